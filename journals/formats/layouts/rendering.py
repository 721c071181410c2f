"""Fields of records as they are printed, and what is wrong with each, by line."""

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import methodcaller

from billing.patterns import Pattern, compiled
from billing.sheets import guarded
from billing.texts import quoted

from ..documents import Document
from ..lookups import LookupMissing
from .characters import UnknownLetters, cut, require_written, transliterated, width_of
from .condensing import FileLine
from .placeholders import FILE_STEM, LOOKUPS, OF_A_LINE, SEGMENTS, SETTINGS, Kind, Placeholder, pieces_of, written
from .terms import Amount, Field, File, Layout, Record

Value = str | int | datetime.date
# A field as it is printed. An amount is apart, for a spreadsheet holds it as a number.
Printed = str | Decimal


@dataclass(frozen=True)
class Problem:
    """A field that cannot be written: of a line of the file, with its journal lines, or of the journal (line 0)."""

    line: int
    journal_lines: tuple[int, ...]
    record: str
    field: str
    message: str
    # The lookup table that lacks what it prints.
    table: str = ""

    def __str__(self) -> str:
        if not self.line:
            return f"Record {self.record}, {self.field}: {self.message}"
        numbers = ", ".join(map(str, self.journal_lines[:5])) + (", …" if len(self.journal_lines) > 5 else "")
        lines = "journal line" if len(self.journal_lines) == 1 else "journal lines"
        return f"Line {self.line} ({lines} {numbers}), {self.field}: {self.message}"


class _Wrong(Exception):
    """A field cannot be printed; the message says why. `of` names what is wrong where that is not the field itself."""

    def __init__(self, message: str, of: str = "", table: str = "") -> None:
        super().__init__(message)
        self.of, self.table = of, table


@dataclass(frozen=True)
class Totals:
    """What a file comes to: its lines, debits and credits."""

    lines: int
    debit_count: int
    debits: Decimal
    credits: Decimal

    @classmethod
    def of(cls, lines: Sequence[FileLine]) -> "Totals":
        return cls(
            lines=len(lines),
            debit_count=sum(line.is_debit for line in lines),
            debits=sum((line.debit for line in lines), Decimal(0)),
            credits=sum((line.credit for line in lines), Decimal(0)),
        )


class Rendering:
    """One journal in one layout: prints fields, and gathers what cannot be printed."""

    def __init__(self, layout: Layout, document: Document, lines: Sequence[FileLine], stem: str = "") -> None:
        self.layout, self.document, self.lines = layout, document, lines
        self.totals = Totals.of(lines)
        self.problems: list[Problem] = []
        self._pattern: Pattern | None = compiled(layout.segments) if layout.segments else None
        self._asks = layout.unknown_characters == "question_mark"
        self._journal = self._of_the_journal(stem)
        self._segments: dict[str, Mapping[str, str]] = {}

    def printed(self, file: File, record: Record, line: FileLine | None, record_count: int) -> list[Printed]:
        """Return the fields of a record in their order. What cannot be printed is a problem, and empty."""
        found: list[Printed] = []
        for field in record.fields:
            try:
                found.append(self._printed(file, field, line, record_count))
            except _Wrong as wrong:
                numbers = line.numbers if line else ()
                place = (line.number if line else 0, numbers, record.name, wrong.of or field.name)
                self.problems.append(Problem(*place, str(wrong), wrong.table))
                found.append("")
        return found

    def text_of(self, template: str, line: FileLine | None = None, record_count: int = 0) -> str:
        """Fill in a text with names in braces, with single blanks and none at its ends."""
        return " ".join("".join(self._pieces(template, line, record_count)).split())

    def support_of(self, line: FileLine) -> str:
        """Return the reference to the support file that a line prints."""
        return self.text_of(self.layout.support, line)

    def _printed(self, file: File, field: Field, line: FileLine | None, record_count: int) -> Printed:
        if field.is_blank or (line and field.only and not _is(line, field.only)):
            return ""
        if field.amount:
            return self._amount(field, field.amount, line)
        if field.hash_of:
            return self._hash(field)
        if field.side and line:
            text = field.side.debit if line.is_debit else field.side.credit
        else:
            text = self._text(field, line, record_count)
        if not text and field.required:
            raise _Wrong("it is empty, and the ledger needs it.")
        if file.kind == "csv":
            text = guarded(text) if file.guard else text
            if file.quote == "never" and _ends_a_field(text, file.delimiter):
                raise _Wrong(f"{quoted(text)} has {quoted(file.delimiter)} or a quotation mark, and nothing is quoted.")
        if field.width is None or width_of(text, self.layout.encoding) <= field.width:
            return text
        if field.may_be_cut:
            return cut(text, field.width, self.layout.encoding)
        raise _Wrong(_too_long(text, field.width, self.layout.encoding))

    def _text(self, field: Field, line: FileLine | None, record_count: int) -> str:
        template = field.value
        if line and len(line.lines) > 1 and field.many_value is not None:
            template = field.many_value
        elif line and not line.is_debit and field.credit_value is not None:
            template = field.credit_value
        text = self.text_of(template, line, record_count)
        return text.upper() if field.upper else text

    def _pieces(self, template: str, line: FileLine | None, record_count: int) -> Iterator[str]:
        encoding = self.layout.encoding
        try:
            for piece in pieces_of(template):
                if isinstance(piece, str):
                    yield transliterated(piece, encoding, asks=self._asks)
                elif OF_A_LINE.get(piece.name) == Kind.TEXT:
                    yield transliterated(str(self._value(piece, line, record_count)), encoding, asks=self._asks)
                else:
                    yield require_written(written(self._value(piece, line, record_count), piece.form), encoding)
        except UnknownLetters as unknown:
            raise _Wrong(
                f"{encoding} has no letter for {unknown}. Write it otherwise, or change the encoding."
            ) from None

    def _value(self, piece: Placeholder, line: FileLine | None, record_count: int) -> Value:
        name = piece.name
        if name == "record_count":
            return record_count
        if name in self._journal:
            return self._journal[name]
        assert line is not None
        if name.startswith(SEGMENTS):
            return self._segment(line, name.removeprefix(SEGMENTS))
        if name.startswith(LOOKUPS):
            return self._looked_up(line, name.removeprefix(LOOKUPS))
        if name == "description" and (template := self._description(line)):
            return self.text_of(template, line)
        return _OF_A_LINE[name](line) if name != "support" else self.support_of(line)

    def _looked_up(self, line: FileLine, name: str) -> str:
        """Return what a lookup table has for a line. Each line tells once that a row is missing, not once a field."""
        try:
            return self.document.lookups.value(name, lambda each: str(self._value(Placeholder(each), line, 0)))
        except LookupMissing as missing:
            raise _Wrong(str(missing), "lookup table", missing.table) from missing

    def _description(self, line: FileLine) -> str:
        return self.layout.descriptions.of(is_debit=line.is_debit, is_many=len(line.lines) > 1)

    def _segment(self, line: FileLine, name: str) -> str:
        fund_org = line.common("fund_org")
        if self._pattern is None:
            found: Mapping[str, str] = line.lines[0].segments
            if name not in found:
                known = ", ".join(found) or "none"
                raise _Wrong(
                    f"{quoted(fund_org)} has no segment {name}. The policy's pattern has: {known}.", "fund/org"
                )
            return found[name]
        if fund_org not in self._segments:
            match = self._pattern.fullmatch(fund_org)
            self._segments[fund_org] = {each: text or "" for each, text in match.groupdict().items()} if match else {}
        if not self._segments[fund_org]:
            raise _Wrong(
                f"{quoted(fund_org)} does not match the layout's segments {self._pattern.pattern}.", "fund/org"
            )
        return self._segments[fund_org][name]

    def _amount(self, field: Field, amount: Amount, line: FileLine | None) -> Printed:
        value = _AMOUNTS[amount.of](self.totals, line)
        if not value:
            if amount.zero == "blank":
                return ""
            value = abs(value)
        if amount.sign == "none" and value < 0:
            raise _Wrong(f"{value} is negative, and the layout prints no sign.")
        if amount.decimals is not None:
            places = Decimal(1).scaleb(-amount.decimals)
            if value != value.quantize(places):
                raise _Wrong(f"{value} has more than {amount.decimals} decimals.")
            value = value.quantize(places)
        if field.width is not None and len(amount_text(value, amount, field)) > field.width:
            raise _Wrong(_too_long(amount_text(value, amount, field), field.width, self.layout.encoding))
        return value

    def _hash(self, field: Field) -> str:
        """Add up the numbers that a field prints on all lines: the last digits of the sum, as many as it is wide."""
        records = [each for part in self.layout.main.parts for each in part.records if each.is_of_lines]
        hashed = [each for record in records for each in record.fields if each.name == field.hash_of]
        printed = (self._printed(self.layout.main, each, line, 0) for each in hashed for line in self.lines)
        assert field.width is not None
        return str(sum(_number(text) for text in printed if isinstance(text, str)) % 10**field.width)

    def _of_the_journal(self, stem: str) -> dict[str, Value]:
        document, totals = self.document, self.totals
        month = datetime.date.fromisoformat(f"{document.period}-01")
        return {
            "journal.number": document.number,
            "journal.letter": document.number[:1],
            "journal.sequence": int(document.number.rpartition("-")[2] or 0),
            "journal.month": month,
            "posting_date": document.posting_date,
            "today": document.made_at or document.posting_date,
            "batch": document.batch,
            "fiscal_year": document.fiscal_year,
            "fiscal_period": document.fiscal_period,
            "currency": document.currency,
            "line_count": totals.lines,
            "debit_count": totals.debit_count,
            "credit_count": totals.lines - totals.debit_count,
            FILE_STEM: stem,
            **{f"{SETTINGS}{each.name}": each.value.strip() for each in self.layout.settings},
        }


_OF_A_LINE: Mapping[str, Callable[[FileLine], Value]] = {
    "line": lambda line: line.number,
    "count": lambda line: len(line.lines),
    "account": lambda line: line.common("natural_account"),
    "kind": lambda line: str(line.common("kind")).replace("_", " "),
    "month": lambda line: datetime.date.fromisoformat(f"{line.common('month')}-01"),
    **{
        name: methodcaller("common", name)
        for name in (
            *("fund_org", "reference", "description", "pi_email", "pi_name", "project", "source", "service"),
            *("grant_number", "request_id"),
        )
    },
}

_AMOUNTS: Mapping[str, Callable[[Totals, FileLine | None], Decimal]] = {
    "debit": lambda totals, line: line.debit if line else Decimal(0),
    "credit": lambda totals, line: line.credit if line else Decimal(0),
    "amount": lambda totals, line: line.debit - line.credit if line else Decimal(0),
    "absolute": lambda totals, line: max(line.debit, line.credit) if line else Decimal(0),
    "debits": lambda totals, line: totals.debits,
    "credits": lambda totals, line: totals.credits,
    "total": lambda totals, line: totals.debits + totals.credits,
}


def _is(line: FileLine, side: str) -> bool:
    return {
        "debit": line.is_debit,
        "credit": not line.is_debit,
        "payer": line.is_payer,
        "recovery": not line.is_payer,
    }[side]


def amount_text(value: Decimal, amount: Amount, field: Field) -> str:
    """Write an amount with its sign where the layout has it: zeros that fill it up come after a sign in front."""
    digits = format(abs(value), "f")
    if not amount.point:
        digits = digits.replace(".", "")
    front = {"minus": "-" if value < 0 else "", "plus": "-" if value < 0 else "+"}.get(amount.sign, "")
    back = ("-" if value < 0 else " ") if amount.sign == "trailing" else ""
    if field.fill == "0" and field.width:
        digits = digits.rjust(field.width - len(front) - len(back), "0")
    return f"{front}{digits}{back}"


def _ends_a_field(text: str, delimiter: str) -> bool:
    return delimiter in text or '"' in text


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def _too_long(text: str, width: int, encoding: str) -> str:
    return f"{quoted(text)} takes {width_of(text, encoding)} bytes, and the field holds {width}."

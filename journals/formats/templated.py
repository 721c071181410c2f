"""An institution's own format: a template written in the admin, rendered without access to anything else.

The language is Django's, cut down to values, conditions, loops over the journal's totals and a few filters: no includes
and no loaders, so that a template can neither read what it was not given nor run without end.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any

from django.template import Context, Engine, Library, TemplateSyntaxError, defaultfilters, defaulttags
from django.template.base import Variable, VariableDoesNotExist, VariableNode

from billing.errors import BillingError
from billing.plain_templates import PlainContext, PlainTemplate, loop
from billing.sheets import guarded

from .documents import Document, Line, Written, as_text
from .lookups import LookupMissing

MAX_BYTES = 50 * 1024 * 1024
MAX_WIDTH = 1_000
DIGITS = 30

# Around a value while its line is put together, so that a comma in it is not taken for the end of a
# field. Values are cleared of these two characters first.
OPEN, SHUT = "\ue000", "\ue001"
MARKS = re.compile(f"[{OPEN}{SHUT}]")
LOOKUP = re.compile(r"\bline\.lookup\.([a-z][a-z0-9_]*)\.([a-z][a-z0-9_]*)")
# Lists of totals that `for` goes through: what each total is of.
TOTALS = {
    "accounts": ("natural_account",),
    "fund_orgs": ("fund_org",),
    "chartstrings": ("fund_org", "natural_account"),
    "sources": ("source",),
}


class TemplateFailed(BillingError):
    """A template cannot be read, or not be filled in; the message says where."""


class TemplateTooLarge(TemplateFailed):
    """A template makes more than a file should hold."""


def left(value: Any, width: Any) -> str:
    """Keep the first characters of a text."""
    return as_text(value)[: _width(width)]


def pad(value: Any, width: Any) -> str:
    """Fill a text up with blanks at its end, for columns of a fixed width; too long a text is cut."""
    return as_text(value)[: _width(width)].ljust(_width(width))


def zeros(value: Any, width: Any) -> str:
    """Fill a text up with zeros at its start."""
    return as_text(value).rjust(_width(width), "0")


def cents(value: object) -> str:
    """Write an amount in the smallest unit of its currency: 12.30 USD as 1230, 12 JPY as 12, 1.234 KWD as 1234."""
    sign, digits, exponent = _amount(value).as_tuple()
    assert isinstance(exponent, int)
    return format(Decimal((sign, digits, max(exponent, 0))), "f")


def absolute(value: object) -> Decimal:
    """Drop the sign of an amount."""
    return abs(_amount(value))


def _amount(value: Any) -> Decimal:
    amount = Decimal(value)
    # A text such as 1E999999999 is short; the number written out is not.
    if not amount.is_finite() or amount.adjusted() >= DIGITS:
        raise ValueError(f"An amount has {DIGITS} digits at most before its point.")
    return amount


def _width(text: Any) -> int:
    width = int(text)
    if not 0 <= width <= MAX_WIDTH:
        raise ValueError(f"A width is from 0 to {MAX_WIDTH}, not {text}.")
    return width


def _language() -> Library:
    """Return the tags and filters there are: none of them loads, or makes much of little."""
    library = Library()
    for tag, compiled in {
        "if": defaulttags.do_if,
        "for": loop,
        "comment": defaulttags.comment,
        "templatetag": defaulttags.templatetag,
    }.items():
        library.tag(tag, compiled)
    filters: dict[str, Callable[..., Any]] = {
        "absolute": absolute,
        "cents": cents,
        "cut": defaultfilters.cut,
        "date": defaultfilters.date,
        "default": defaultfilters.default,
        "left": left,
        "lower": defaultfilters.lower,
        "pad": pad,
        "upper": defaultfilters.upper,
        "zeros": zeros,
    }
    for name, function in filters.items():
        library.filter(name, function)
    return library


LANGUAGE = _language()


def _engine() -> Engine:
    engine = Engine(loaders=[], autoescape=False, debug=False)
    engine.template_builtins = [LANGUAGE]
    return engine


class ValueNode(VariableNode):
    """Prints a value between marks, and fails where Django would print nothing for a name it does not know."""

    part: str
    template_name: str
    token: Any

    def render(self, context: Context) -> str:
        try:
            if isinstance(self.filter_expression.var, Variable):
                self.filter_expression.var.resolve(context)
            value = self.filter_expression.resolve(context)
        except VariableDoesNotExist:
            known = ", ".join(sorted(_names(context.flatten())))
            raise self.failed(f"there is no “{self.filter_expression.var}”. There are: {known}.") from None
        except (TypeError, ValueError, ArithmeticError, AttributeError, InvalidOperation) as error:
            raise self.failed(f"“{self.filter_expression}” cannot be printed: {error}.") from error
        if isinstance(value, tuple):
            raise self.failed(f"“{self.filter_expression}” is a list. Go through it with for.")
        return f"{OPEN}{MARKS.sub('', as_text('' if value is None else value))}{SHUT}"

    def failed(self, message: str) -> TemplateFailed:
        return TemplateFailed(f"Template “{self.template_name}”, {self.part}, line {self.token.lineno}: {message}")


@dataclass(frozen=True)
class TemplateFormat:
    """A template's texts, ready to write a journal with."""

    name: str
    header: str
    line: str
    footer: str = ""
    is_csv: bool = True
    extension: str = "csv"
    is_ledger: bool = True

    @cached_property
    def compiled(self) -> dict[str, PlainTemplate]:
        """The three parts, compiled; raises TemplateFailed for one that cannot be read."""
        return {part: self._compile(part, text) for part, text in self.parts.items()}

    @property
    def parts(self) -> dict[str, str]:
        return {"header": self.header, "line": self.line, "footer": self.footer}

    def write(self, document: Document) -> Written:
        """Render the header, each line that the ledger gets and the footer; a draft says so in a line before them.

        Raises TemplateFailed, naming the template, its part and the line in it, and
        TemplateTooLarge beyond 50 MB.
        """
        written = bytearray()
        for piece in self._pieces(document):
            written += piece.encode()
            if len(written) > MAX_BYTES:
                raise TemplateTooLarge(
                    f"Template “{self.name}” makes a file of more than {MAX_BYTES // 1024**2} MB. Shorten its line."
                )
        return Written(bytes(written), len(document.ledger_lines))

    def _pieces(self, document: Document) -> Iterator[str]:
        lines = document.ledger_lines
        if document.is_draft:
            yield csv_lines(document.draft_notice) if self.is_csv else document.draft_notice + "\n"
        journal = {
            "number": document.number,
            "period": document.period,
            "state": document.state,
            "posting_date": document.posting_date,
            "currency": document.currency,
            "debits": document.debits,
            "credits": document.credits,
            "line_count": len(lines),
            **{name: _totals(lines, of) for name, of in TOTALS.items()},
        }
        context = PlainContext({"journal": journal}, autoescape=False, use_l10n=False, use_tz=False)
        if self.header:
            yield self._render("header", context)
        for line in lines:
            with context.push(line=values_of(line, document.segments) | self._looked_up(line, document)):
                yield self._render("line", context)
        if self.footer:
            yield self._render("footer", context)

    @cached_property
    def _lookups(self) -> frozenset[tuple[str, str]]:
        """What its lines look up: tables with their columns."""
        return frozenset(LOOKUP.findall(self.line))

    def _looked_up(self, line: Line, document: Document) -> dict[str, Any]:
        """Return what lookup tables have for a line. Raises TemplateFailed, naming the line of the journal."""
        found: dict[str, dict[str, str]] = {}
        for table, column in sorted(self._lookups):
            try:
                value = document.lookups.value(f"{table}.{column}", lambda name: said_by(line, name))
            except LookupMissing as missing:
                where = f"Template “{self.name}”, line {line.number} of the journal"
                raise TemplateFailed(f"{where}: {missing}", then=missing.then) from missing
            found.setdefault(table, {})[column] = value
        return {"lookup": found} if found else {}

    def _render(self, part: str, context: Context) -> str:
        compiled = self.compiled[part]
        try:
            text = compiled.render(context).rstrip("\r\n")
        except TemplateSyntaxError as error:
            raise TemplateTooLarge(f"Template “{self.name}”, {part}: {error}") from error
        if self.is_csv:
            return csv_lines(text)
        return MARKS.sub("", text) + "\n"

    def _compile(self, part: str, text: str) -> PlainTemplate:
        try:
            # Editors on the web send CRLF; a template counts its lines by LF.
            template = PlainTemplate(text.replace("\r\n", "\n"), engine=_engine(), name=f"{self.name}: {part}")
        except TemplateSyntaxError as error:
            token = getattr(error, "token", None)
            where = f", line {token.lineno}" if token else ""
            raise TemplateFailed(
                f"Template “{self.name}”, {part}{where}: {error} "
                f"Tags are {', '.join(sorted(LANGUAGE.tags))}; filters are {', '.join(sorted(LANGUAGE.filters))}."
            ) from error
        for node in template.nodelist.get_nodes_by_type(VariableNode):
            node.__class__ = ValueNode
            assert isinstance(node, ValueNode)
            node.part, node.template_name = part, self.name
        return template


def said_by(line: Line, name: str) -> str:
    """Return what a line says by the name of a layout: `account`, `segments.fund`."""
    if name.startswith("segments."):
        return line.segments.get(name.removeprefix("segments."), "")
    return str(getattr(line, {"account": "natural_account"}.get(name, name)))


def _totals(lines: Iterable[Line], of: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    """Return what lines come to, for each of what they have in these fields, in its order."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for line in lines:
        key = tuple(getattr(line, name) for name in of)
        nothing = {"debit": 0 * line.debit, "credit": 0 * line.credit, "line_count": 0}
        total = found.setdefault(key, {**dict(zip(of, key, strict=True)), **nothing})
        total["debit"] += line.debit
        total["credit"] += line.credit
        total["line_count"] += 1
    for total in found.values():
        total["amount"] = total["debit"] - total["credit"]
    return tuple(found[key] for key in sorted(found))


def values_of(line: Line, segments: tuple[str, ...]) -> dict[str, Any]:
    """Return what a template may print of a line: plain texts, amounts and numbers."""
    return {
        "number": line.number,
        "side": "payer" if line.is_payer else "recovery",
        "fund_org": line.fund_org,
        "natural_account": line.natural_account,
        "segments": {name: line.segments.get(name, "") for name in segments},
        "debit": line.debit,
        "credit": line.credit,
        "amount": line.amount,
        "debit_or_credit": "D" if line.debit else "C",
        "reference": line.reference,
        "description": line.description,
        "kind": line.kind,
        "month": line.month,
        "pi_email": line.pi_email,
        "pi_name": line.pi_name,
        "project": line.project,
        "source": line.source,
        "service": line.service,
        "grant_number": line.grant_number,
        "request_id": line.request_id,
        "list_cost": line.list_cost,
        "contracted_cost": line.contracted_cost,
    }


def csv_lines(text: str) -> str:
    """Write rendered lines as CSV: fields end at commas of the template, never at those of a value.

    The template may quote a field itself. Whatever starts like a formula is guarded.
    """
    fields: list[str] = []
    current: list[str] = []
    written = io.StringIO(newline="")
    writer = csv.writer(written)
    in_value = in_quotes = False

    def end_field() -> None:
        fields.append(guarded("".join(current)))
        current.clear()

    for character in text:
        if character == OPEN:
            in_value = True
        elif character == SHUT:
            in_value = False
        elif in_value:
            current.append(character)
        elif character == '"':
            in_quotes = not in_quotes
        elif character == "," and not in_quotes:
            end_field()
        elif character == "\n" and not in_quotes:
            end_field()
            writer.writerow(fields)
            fields.clear()
        else:
            current.append(character)
    end_field()
    writer.writerow(fields)
    return written.getvalue()


def _names(values: dict[Any, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _names(value, f"{prefix}{name}.")
        elif name not in ("True", "False", "None"):
            yield f"{prefix}{name}"

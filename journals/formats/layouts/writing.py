"""A journal in a layout: its files as bytes, and which journal lines each line of the file stands for."""

import csv
import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from openpyxl import Workbook

from billing.errors import BillingError
from billing.sheets import amount_cell, guarded, text_cell

from ..documents import DRAFT, Beside, Cell, Document, Line, Table, Written, as_csv
from .characters import ENCODINGS, filled
from .condensing import FileLine, condensed, regrouped
from .rendering import Printed, Problem, Rendering, amount_text
from .terms import Field, File, Layout, Record, Sheet

# Problems that a message names; pages and files can name all of them.
MOST = 20
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,199}")
LINE_ENDS = {"lf": "\n", "crlf": "\r\n"}
# Archives and spreadsheets say when they were made. These say the same whenever they are made again.
NO_TIME = (1980, 1, 1, 0, 0, 0)
NO_MOMENT = b"1980-01-01T00:00:00Z"
_MADE_AT = re.compile(rb"(<dcterms:(?:created|modified)[^>]*>)[^<]*")


class LayoutRefused(BillingError):
    """A journal cannot be written in a layout. `problems` are all of it, by line."""

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


@dataclass(frozen=True)
class _Row:
    """A record as it is printed, or the names of its fields."""

    record: Record
    printed: list[Printed]


@dataclass(frozen=True)
class LayoutFormat:
    """A layout under its name and version, ready to write journals."""

    name: str
    layout: Layout
    version: int = 1
    is_ledger: bool = True

    @property
    def extension(self) -> str:
        return (self.layout.zip or self.layout.main.name).rpartition(".")[2]

    @cached_property
    def is_spreadsheet(self) -> bool:
        return not self.layout.zip and self.layout.main.kind == "xlsx"

    def write(self, document: Document) -> Written:
        """Write a journal for the ledger: the file, those beside it, and which journal lines each line stands for.

        A draft says so before all records, and has no file but the first and its support: a loader that waits for a
        second file never sees it. Raises LayoutRefused, naming by line every field that cannot be written.
        """
        lines = self._lines(document)
        rendering = self._rendering(document, lines)
        wanted = [each for each in self.layout.files if not document.is_draft or each in self._of_drafts]
        made = [(each, self._name_of(each, rendering), self._content(each, rendering)) for each in wanted]
        archive = rendering.text_of(self.layout.zip)
        self._require_written(rendering, [name for _, name, _ in made] + [archive] * bool(archive))
        beside = [Beside(name, content) for file, name, content in made if file is not self.layout.main]
        name, content = made[0][1:]
        if archive:
            zipped = [(name, content) for file, name, content in made if file.zipped]
            beside = [Beside(name, content) for file, name, content in made if not file.zipped]
            name, content = archive, _zipped(zipped)
        return Written(content, len(lines), name, tuple(beside), tuple(line.numbers for line in lines))

    def problems(self, document: Document) -> list[Problem]:
        """Return every field of a journal that cannot be written. Raises LayoutRefused for a layout not filled in."""
        rendering = self._rendering(document, self._lines(document))
        for each in self.layout.files:
            self._content(each, rendering)
        return _once(rendering.problems)

    def preview(self, document: Document, count: int) -> list[str]:
        """Return the first lines of the file as text, cells of a spreadsheet with blanks and bars between.

        Raises LayoutRefused.
        """
        rendering = self._rendering(document, self._lines(document))
        file = self.layout.main
        if file.kind != "xlsx":
            text = self._content(file, rendering).decode(ENCODINGS[self.layout.encoding])
            found = text.splitlines()[:count]
        else:
            found = []
            for sheet in file.parts:
                rows = self._rows(file, sheet, rendering)
                found += [sheet.name, *(" | ".join(_shown(row)) for row in rows[:count])]
        self._require_written(rendering, [])
        return found

    def _name_of(self, file: File, rendering: Rendering) -> str:
        """Return the name of a file; of a draft, what lies beside it says so, too."""
        name = rendering.text_of(file.name)
        if file is self.layout.main or not rendering.document.is_draft or DRAFT in name:
            return name
        path = PurePosixPath(name)
        return f"{path.stem}-{DRAFT}{path.suffix}"

    @property
    def _of_drafts(self) -> list[File]:
        return [each for each in self.layout.files if each is self.layout.main or each.kind == "support"]

    def _lines(self, document: Document) -> list[FileLine]:
        if document.groups is not None:
            return regrouped(document.lines, document.groups)
        return condensed(document.ledger_lines, self.layout.condense)

    def _rendering(self, document: Document, lines: list[FileLine]) -> Rendering:
        if empty := self.layout.empty_settings:
            told = ", ".join(f"{each.label} ({each.name})" for each in empty)
            raise LayoutRefused(
                f"The layout “{self.name}” is not filled in: {told}. Enter these settings in a new version of it."
            )
        if document.file_stem:
            return Rendering(self.layout, document, lines, document.file_stem)
        own = Rendering(self.layout, document, lines).text_of(self.layout.main.name)
        return Rendering(self.layout, document, lines, own.rpartition(".")[0] or own)

    def _require_written(self, rendering: Rendering, names: Iterable[str]) -> None:
        if problems := _once(rendering.problems):
            told = "".join(f"\n- {each}" for each in problems[:MOST])
            more = f"\n- and {len(problems) - MOST:,} more" if len(problems) > MOST else ""
            fields = "1 field" if len(problems) == 1 else f"{len(problems):,} fields"
            raise LayoutRefused(
                f"The layout “{self.name}” cannot write {fields} of the journal:{told}{more}\n"
                "Correct the values where they come from, or the layout.",
                problems,
            )
        for name in names:
            if not FILE_NAME.fullmatch(name):
                raise LayoutRefused(
                    f"The layout “{self.name}” names a file “{name}”. Allowed: letters, digits, blanks and . _ -, "
                    "up to 200 of them. Correct the name in the layout."
                )

    def _content(self, file: File, rendering: Rendering) -> bytes:
        if file.kind == "support":
            return as_csv(Table(SUPPORT, _support_rows(rendering))).content
        if file.kind == "xlsx":
            return _as_spreadsheet(file, rendering, self._rows)
        rows = self._rows(file, file.parts[0], rendering)
        end = LINE_ENDS[self.layout.line_end]
        notice = [rendering.document.draft_notice] if rendering.document.is_draft else []
        if file.kind == "fixed":
            texts = [*notice, *(_fixed(row, self.layout.encoding) for row in rows)]
            return "".join(f"{text}{end}" for text in texts).encode(ENCODINGS[self.layout.encoding], errors="replace")
        return _as_csv(file, notice, rows, end).encode(ENCODINGS[self.layout.encoding], errors="replace")

    def _rows(self, file: File, sheet: Sheet, rendering: Rendering) -> list[_Row]:
        """Return the records of a file or sheet. Those of lines that follow one another take turns line by line."""
        runs: list[list[Record]] = []
        for record in sheet.records:
            if record.is_of_lines and runs and runs[-1][-1].is_of_lines:
                runs[-1].append(record)
            else:
                runs.append([record])
        count = sum(len(run) * (len(rendering.lines) if run[0].is_of_lines else 1) for run in runs)
        found: list[_Row] = []
        for run in runs:
            found += [_Row(record, _headings(file, record)) for record in run if record.headings]
            for line in rendering.lines if run[0].is_of_lines else [None]:
                found += [_Row(record, rendering.printed(file, record, line, count)) for record in run]
        return found


def _headings(file: File, record: Record) -> list[Printed]:
    is_guarded = file.kind == "csv" and file.guard
    return [guarded(field.name) if is_guarded else field.name for field in record.fields]


# Texts -----------------------------------------------------------------------------------------------


def _text(field: Field, printed: Printed) -> str:
    if isinstance(printed, Decimal):
        assert field.amount is not None
        return amount_text(printed, field.amount, field)
    return printed


def _texts(row: _Row) -> list[str]:
    return [_text(field, printed) for field, printed in zip(row.record.fields, row.printed, strict=True)]


def _shown(row: _Row) -> list[str]:
    return [format(printed, "f") if isinstance(printed, Decimal) else printed for printed in row.printed]


def _fixed(row: _Row, encoding: str) -> str:
    return "".join(
        filled(text, field.width or 0, encoding, fill=field.fill, is_right=field.is_right)
        for field, text in zip(row.record.fields, _texts(row), strict=True)
    )


def _as_csv(file: File, notice: list[str], rows: Iterable[_Row], end: str) -> str:
    """Write rows as CSV, of which no field needs quotes where the layout has none."""
    quoting: Any = csv.QUOTE_ALL if file.quote == "always" else csv.QUOTE_MINIMAL
    made = io.StringIO(newline="")
    writer = csv.writer(made, delimiter=file.delimiter, quoting=quoting, lineterminator=end)
    writer.writerows([each] for each in notice)
    for row in rows:
        writer.writerow(_texts(row))
    return made.getvalue()


# Spreadsheets and archives ---------------------------------------------------------------------------


def _as_spreadsheet(file: File, rendering: Rendering, rows_of: Any) -> bytes:
    book = Workbook(write_only=True)
    is_draft = rendering.document.is_draft
    for sheet in file.sheets:
        made = book.create_sheet(f"{DRAFT} {sheet.name}"[:31] if is_draft else sheet.name)
        if is_draft:
            made.append([text_cell(made, rendering.document.draft_notice)])
        for row in rows_of(file, sheet, rendering):
            made.append([_cell(made, printed) for printed in row.printed])
    content = io.BytesIO()
    book.save(content)
    return _without_times(content.getvalue())


def _cell(sheet: object, printed: Printed) -> Any:
    if isinstance(printed, Decimal):
        return amount_cell(sheet, printed)
    return text_cell(sheet, printed) if printed else None


def _without_times(content: bytes) -> bytes:
    """Return a spreadsheet that says nothing of when it was made, so that it can be made again to the byte."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(each, archive.read(each)) for each in archive.namelist()]
    return _zipped(
        (name, _MADE_AT.sub(rb"\g<1>" + NO_MOMENT, text) if name == "docProps/core.xml" else text)
        for name, text in members
    )


def _zipped(members: Iterable[tuple[str, bytes]]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members:
            archive.writestr(zipfile.ZipInfo(name, NO_TIME), text, zipfile.ZIP_DEFLATED)
    return content.getvalue()


# The support of what is condensed --------------------------------------------------------------------

SUPPORT = [
    *("journal", "state", "file_line", "support", "journal_line", "side", "fund_org", "account", "debit", "credit"),
    *("currency", "reference", "for_month", "kind", "pi_email", "pi_name", "project", "source", "service"),
    *("description", "grant_number", "request_id"),
]


def _support_rows(rendering: Rendering) -> Iterator[list[Cell]]:
    document = rendering.document
    for line in rendering.lines:
        support = rendering.support_of(line)
        for each in line.lines:
            yield [document.number, document.state, line.number, support, *_of_a_line(each, document.currency)]


def _of_a_line(line: Line, currency: str) -> list[Cell]:
    return [
        line.number,
        "payer" if line.is_payer else "recovery",
        *(line.fund_org, line.natural_account, line.debit, line.credit, currency),
        *(line.reference, line.month, line.kind, line.pi_email, line.pi_name, line.project, line.source, line.service),
        *(line.description, line.grant_number, line.request_id),
    ]


def _once(problems: Iterable[Problem]) -> list[Problem]:
    """Return problems in their order, without those that further fields or files have again."""
    return list(dict.fromkeys(problems))

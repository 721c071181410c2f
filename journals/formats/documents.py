"""What a format is given and what it gives back: plain rows in, the bytes of a file out."""

import csv
import datetime
import io
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from openpyxl import Workbook

from billing.sheets import amount_cell, guarded, text_cell
from billing.texts import one_line

from .lookups import Lookups

# What the state of a journal that is not submitted reads in every file of it, and what its files' names end in.
DRAFT = "DRAFT"

Cell = str | int | Decimal | datetime.date


@dataclass(frozen=True)
class Line:
    """One side of a pair of a journal: its payer's, or its source's recovery.

    Its amounts have the decimals of the journal's currency, as `money.in_decimals_of` gives them.
    """

    number: int
    is_payer: bool
    fund_org: str
    natural_account: str
    debit: Decimal
    credit: Decimal
    reference: str
    description: str
    kind: str
    month: str
    pi_email: str
    pi_name: str
    project: str
    source: str
    service: str
    list_cost: Decimal
    contracted_cost: Decimal
    segments: dict[str, str] = field(default_factory=dict)
    # The policy's two references, under the names of the tags they come from unless it says otherwise.
    grant_number: str = ""
    request_id: str = ""
    # Whether its fund/org is a sponsored award's.
    is_sponsored: bool = False

    @property
    def amount(self) -> Decimal:
        """Debit less credit: on a payer's line what is charged, negative where it is given back."""
        return self.debit - self.credit


@dataclass(frozen=True)
class Document:
    """A journal to be written: its head and its lines, in order."""

    number: str
    period: str
    state: str
    posting_date: datetime.date
    currency: str
    lines: list[Line]
    segments: tuple[str, ...] = ()
    # What layouts print besides: the moment of writing in the institution's zone, which file of the day it is, and the
    # fiscal year and period of the posting date.
    made_at: datetime.datetime | None = None
    batch: int = 1
    fiscal_year: int = 0
    fiscal_period: int = 0
    # The numbers of the lines behind each line of a file that was written before; None: they are grouped afresh.
    groups: tuple[tuple[int, ...], ...] | None = None
    # What the file is called, without what follows its last dot, where that is not as the layout has it.
    file_stem: str = ""
    # What its fields look up in tables, such as worktags.
    lookups: Lookups = field(default_factory=Lookups, compare=False)

    @property
    def payer_lines(self) -> list[Line]:
        """What people read: every payer's line, what is charged 0.00 too, by reference."""
        return sorted((line for line in self.lines if line.is_payer), key=lambda line: line.reference)

    @property
    def ledger_lines(self) -> list[Line]:
        """What the ledger gets: nothing of 0.00."""
        return [line for line in self.lines if line.debit or line.credit]

    @property
    def is_draft(self) -> bool:
        return self.state == DRAFT

    @property
    def draft_notice(self) -> str:
        """The first line of a draft in a format that has no column for its state: no ledger takes it for an entry."""
        name = f"journal {self.number} of {self.period}" if self.number else f"journal of {self.period}"
        return f"{DRAFT}: {name} is not submitted. Do not load it."

    @property
    def debits(self) -> Decimal:
        return sum((line.debit for line in self.lines), Decimal(0))

    @property
    def credits(self) -> Decimal:
        return sum((line.credit for line in self.lines), Decimal(0))


@dataclass(frozen=True)
class Beside:
    """A file that belongs to another and lies beside it."""

    name: str
    content: bytes


@dataclass(frozen=True)
class Written:
    """A file's content and the rows it holds, headings not counted; from a layout, what else comes of it."""

    content: bytes
    rows: int
    # As the layout names it; "" where journals of all formats are named alike.
    name: str = ""
    beside: tuple[Beside, ...] = ()
    # The numbers of the journal lines behind each line of the file.
    groups: tuple[tuple[int, ...], ...] = ()


class Format(Protocol):
    """A way to write a journal. A ledger's format needs whole accounting; a draft for people does not."""

    @property
    def name(self) -> str: ...

    @property
    def extension(self) -> str: ...

    @property
    def is_ledger(self) -> bool: ...

    def write(self, document: Document) -> Written: ...


@dataclass(frozen=True)
class Table:
    """A sheet: headings, and rows of as many cells."""

    headings: list[str]
    rows: Iterable[list[Cell]]


@dataclass(frozen=True)
class TableFormat:
    """A built-in format: a table, as CSV or as a spreadsheet."""

    name: str
    description: str
    table: Callable[[Document], Table]
    is_ledger: bool = False
    extension: str = "csv"

    def write(self, document: Document) -> Written:
        return as_csv(self.table(document))

    def write_spreadsheet(self, document: Document) -> Written:
        return as_spreadsheet(
            self.table(document), title=f"{DRAFT} " * document.is_draft + (document.number or document.period)
        )


def as_text(cell: Cell) -> str:
    """Write a cell as files carry it: amounts with the decimals they have, dates in ISO form, texts on one line."""
    if isinstance(cell, Decimal):
        return format(cell if cell else abs(cell), "f")
    if isinstance(cell, datetime.date):
        return cell.isoformat()
    return one_line(str(cell))


def as_csv(table: Table) -> Written:
    """Write a table as CSV (RFC 4180, UTF-8), with no cell that a spreadsheet takes for a formula."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(table.headings)
    rows = 0
    for row in table.rows:
        writer.writerow([guarded(as_text(cell)) if isinstance(cell, str) else as_text(cell) for cell in row])
        rows += 1
    return Written(text.getvalue().encode(), rows)


def as_spreadsheet(table: Table, *, title: str) -> Written:
    """Write a table as XLSX: amounts as numbers, text as text and never as a formula."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet(re.sub(r"[\\/*?:\[\]]", "-", title)[:31])
    sheet.freeze_panes = "A2"

    def cell(value: Cell) -> Any:
        if isinstance(value, str):
            return text_cell(sheet, value)
        return amount_cell(sheet, value) if isinstance(value, Decimal) else value

    sheet.append([cell(heading) for heading in table.headings])
    rows = 0
    for row in table.rows:
        sheet.append([cell(value) for value in row])
        rows += 1
    content = io.BytesIO()
    book.save(content)
    return Written(content.getvalue(), rows)

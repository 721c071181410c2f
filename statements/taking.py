"""Many statements taken along at once: their PDFs in one zip file, or their lines in one workbook."""

import datetime
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from openpyxl import Workbook

from billing import fiscal_years
from billing.errors import BillingError
from billing.models import Policy
from billing.models.periods import parse_month
from billing.models.scopes import Scope
from billing.sheets import SHEET_ROWS, cells_of
from billing.texts import iso_month, long_month

from . import issuing, list_sheets, sheets
from .issuing.snapshots import MOST_RESOURCES
from .models import Statement, StatementLine, StatementQuerySet

FORMATS = {"zip": "application/zip", "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}
# Rows of a workbook beyond which it takes longer than anybody waits for a page.
LARGE = 5_000
# Statements read at once, so that memory does not grow with their number.
AT_ONCE = 50
FISCAL_YEAR = "FY"

Tell = Callable[[int, int, str], None]


class NoSuchTime(BillingError):
    """A text that is neither a month nor a fiscal year."""


@dataclass(frozen=True)
class Time:
    """A month or a fiscal year, by its first and last month."""

    name: str
    label: str
    first: datetime.date
    last: datetime.date

    @classmethod
    def named(cls, text: str) -> "Time":
        """Return the time that a text names: `2025-01` or `FY2025`. Raises NoSuchTime."""
        if text.startswith(FISCAL_YEAR) and (year := text.removeprefix(FISCAL_YEAR)).isascii() and year.isdecimal():
            if len(year) == 4 and year > "0001":
                return cls.of_year(int(year))
        else:
            try:
                return cls.of_month(parse_month(text))
            except ValueError:
                pass
        raise NoSuchTime("Choose a month or a fiscal year.")

    @classmethod
    def of_month(cls, month: datetime.date) -> "Time":
        return cls(iso_month(month), long_month(month), month, month)

    @classmethod
    def of_year(cls, year: int) -> "Time":
        label = fiscal_years.label_of(year)
        return cls(label, label, *Policy.objects.current().months_of_fiscal_year(year))

    def of(self, statements: StatementQuerySet) -> StatementQuerySet:
        """Keep the statements of this time."""
        return statements.filter(period__month__gte=self.first, period__month__lte=self.last)


def times(statements: StatementQuerySet) -> tuple[list[Time], list[Time]]:
    """Return the months and the fiscal years of which there are statements, the newest first."""
    months = list(statements.order_by("-period__month").values_list("period__month", flat=True).distinct())
    policy = Policy.objects.current()
    years = sorted({policy.fiscal_year_of(month) for month in months}, reverse=True)
    return [Time.of_month(month) for month in months], [Time.of_year(year) for year in years]


def is_large(statements: StatementQuerySet) -> bool:
    """Tell whether a workbook of statements is for the worker to write."""
    lines = StatementLine.objects.filter(statement__in=statements.order_by().values("pk")).order_by()
    # A line has at most a row for each charge, and for each resource that it names, or one.
    charges = lines.values_list("charge_count", flat=True)[: LARGE + 1]
    return sum(min(max(count, 1), MOST_RESOURCES + 1) for count in charges) > LARGE


def digest_of(scope: Scope) -> str:
    """Return what is equal as long as somebody may see the same."""
    whole = sorted(scope.own | scope.whole)
    projects = sorted((pi, sorted(of)) for pi, of in scope.projects.items() if pi not in whole)
    return hashlib.sha256(repr((whole, projects)).encode()).hexdigest()


def zipped(statements: StatementQuerySet) -> Iterator[bytes]:
    """Yield a zip file of the PDFs of statements, piece by piece: one PDF is in memory at a time."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for statement in _read(statements):
            day = statement.issued_at
            about = zipfile.ZipInfo(
                f"statement-{statement.number}.pdf", (day.year, day.month, day.day, day.hour, day.minute, 0)
            )
            # Without it nobody may read what is unpacked.
            about.external_attr = 0o644 << 16
            archive.writestr(about, issuing.pdf_of(statement))
            yield sink.take()
    yield sink.take()


class _Sink(io.RawIOBase):
    """What a zip file is written to: a stream that nobody can go back in, emptied after each member."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def write_workbook(statements: StatementQuerySet, file: IO[bytes], tell: Tell | None = None) -> int:
    """Write a workbook with a sheet of statements and one of their lines; return how many statements it has.

    Rows go to a file as they are made. Lines beyond what a sheet holds go to further sheets.
    """
    book = Workbook(write_only=True)
    book.properties.creator = "OpenChargeback"
    listed = book.create_sheet("Statements")
    listed.freeze_panes = "B2"
    listed.append(list(list_sheets.COLUMNS))
    total = statements.count() if tell else 0
    sheet: Any = None
    rows = number = count = 0
    for count, statement in enumerate(_read(statements), start=1):
        listed.append(cells_of(listed, list_sheets.values_of(statement), list_sheets.COLUMNS))
        document = issuing.document_of(statement)
        for row in sheets.rows(document):
            if rows % SHEET_ROWS == 0:
                number += 1
                sheet = sheets.new_sheet(book, "Lines" if number == 1 else f"Lines {number}", document)
            sheet.append(sheets.cells_of(sheet, row))
            rows += 1
        if tell and count % AT_ONCE == 0:
            tell(count, total, "Writing statements")
    book.save(file)
    return count


def _read(statements: StatementQuerySet) -> Iterator[Statement]:
    """Yield statements, the newest month first, with all that is said of them."""
    keys = list(statements.order_by("-period__month", "number").values_list("pk", flat=True))
    for start in range(0, len(keys), AT_ONCE):
        batch = Statement.objects.filter(pk__in=keys[start : start + AT_ONCE])
        yield from (
            batch.select_related("period", "pi", "project", "reference__period", "superseded_by")
            .prefetch_related("lines")
            .order_by("-period__month", "number")
        )

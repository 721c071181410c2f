"""The lines of statements as CSV and as a spreadsheet; no text of a file can become a formula."""

import csv
import io
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Font

from billing.sheets import amount_cell, guarded, text_cell

from .document import Figures, StatementDocument

HEADINGS = (
    "Statement",
    "Period",
    "PI",
    "Project",
    "Fund/org",
    "Source",
    "Service",
    "For month",
    "Natural account",
    "Resource",
    "Resource id",
    "Charges",
    "Currency",
    "List price",
    "Provider discount",
    "Subsidy",
    "Amount due",
)
FIRST_AMOUNT = HEADINGS.index("List price")

Row = tuple[str | int | Decimal, ...]


def rows(document: StatementDocument) -> Iterator[Row]:
    """Yield a row for each resource, so that a column of amounts adds up to the statement."""
    for section in document.sections:
        for line in section.lines:
            about = (
                document.number,
                f"{document.month:%Y-%m}",
                document.pi_email,
                document.project_code,
                section.fund_org,
                line.source,
                line.what,
                line.for_month or f"{document.month:%Y-%m}",
                line.natural_account,
            )
            if not line.resources:
                yield (*about, "", "", line.charge_count, document.currency, *_amounts(line.figures))
            for resource in line.resources:
                name = f"{resource.further} further resources" if resource.further else resource.name
                yield (
                    *about,
                    name,
                    resource.resource_id,
                    resource.count,
                    document.currency,
                    *_amounts(resource.figures),
                )


def as_csv(document: StatementDocument) -> bytes:
    """Return the lines as CSV (UTF-8, with the mark by which Excel knows it)."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(HEADINGS)
    for row in rows(document):
        writer.writerow([guarded(value) if isinstance(value, str) else value for value in row])
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def as_xlsx(document: StatementDocument) -> bytes:
    """Return the lines as a workbook, amounts as numbers and everything else as text."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet(document.number[:31])
    sheet.freeze_panes = "A2"
    for number, heading in enumerate(HEADINGS):
        letter = chr(ord("A") + number)
        sheet.column_dimensions[letter].width = 14 if number >= FIRST_AMOUNT else max(12, len(heading) + 4)
    headings = []
    for heading in HEADINGS:
        cell = WriteOnlyCell(sheet, heading)
        cell.font = Font(bold=True)
        headings.append(cell)
    sheet.append(headings)
    for row in rows(document):
        cells: list[Any] = []
        for value in row:
            if isinstance(value, str):
                cells.append(text_cell(sheet, value))
            else:
                cells.append(amount_cell(sheet, value) if isinstance(value, Decimal) else value)
        sheet.append(cells)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _amounts(figures: Figures) -> tuple[Decimal, ...]:
    return figures.list_cost, figures.discount, figures.subsidy, figures.charged

"""The lines of statements as CSV and as a spreadsheet; no text of a file can become a formula."""

import csv
import io
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from openpyxl import Workbook
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter

from billing.money import in_decimals_of
from billing.quantities import Usage, plain
from billing.sheets import amount_cell, guarded, text_cell
from billing.texts import iso_month

from .document import Figures, Line, Resource, StatementDocument

HEADINGS = (
    "Statement",
    "Period",
    "PI",
    "Project",
    "Fund/org",
    "Source",
    "Service",
    "For month",
    "Account code",
    # Stand-ins: what the policy calls them.
    "Grant number",
    "Request id",
    "Resource",
    "Resource id",
    "Charges",
    "Usage",
    "Unit",
    # Of the usage, or of a shared cost.
    "Share",
    "Currency",
    "List price",
    "Provider discount",
    "Subsidy",
    "Charged",
    "Kind",
    "Corrects",
    "Original currency",
    "Original amount",
    "Exchange rate",
)
FIRST_REFERENCE, FIRST_AMOUNT = HEADINGS.index("Grant number"), HEADINGS.index("List price")
OWN_MONTH = "Charge"

Row = tuple[str | int | Decimal, ...]


def headings_of(document: StatementDocument) -> tuple[str, ...]:
    """Return the headings, with the two references by what the statement calls them."""
    return (*HEADINGS[:FIRST_REFERENCE], *document.reference_labels, *HEADINGS[FIRST_REFERENCE + 2 :])


def rows(document: StatementDocument) -> Iterator[Row]:
    """Yield a row for each resource, so that a column of amounts adds up to the statement."""
    for section in (*document.sections, *document.corrections):
        for line in section.lines:
            about = (
                document.number,
                iso_month(document.month),
                document.pi_email,
                document.project_code,
                section.fund_org,
                line.source,
                line.what,
                line.for_month or iso_month(document.month),
                line.natural_account,
                *([text for _, text in line.references] or ("", "")),
            )
            if not line.resources:
                yield (
                    *about,
                    "",
                    "",
                    line.charge_count,
                    *used(()),
                    line.share,
                    document.currency,
                    *_amounts(line.figures, document),
                    *_behind(line),
                )
            for resource in line.resources:
                name = f"{resource.further} further resources" if resource.further else resource.name
                yield (
                    *about,
                    name,
                    resource.resource_id,
                    resource.count,
                    *used(resource.usage),
                    shares(resource.usage),
                    document.currency,
                    *_amounts(resource.figures, document),
                    *_behind(line, resource),
                )


def used(usage: Sequence[Usage]) -> tuple[str | Decimal, str]:
    """Return usage as two cells: a number and its unit, or, of several units, both as text in the same order."""
    units = "; ".join(each.unit for each in usage)
    if len(usage) == 1:
        return usage[0].quantity, units
    return "; ".join(plain(each.quantity) for each in usage), units


def shares(usage: Sequence[Usage]) -> str:
    """Return what part of the usage's cost is charged here: `60%`."""
    return "; ".join(dict.fromkeys(each.share for each in usage))


def as_csv(document: StatementDocument) -> bytes:
    """Return the lines as CSV (UTF-8, with the mark by which Excel knows it)."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([guarded(heading) for heading in headings_of(document)])
    for row in rows(document):
        writer.writerow([_csv_cell(value) for value in row])
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def _csv_cell(value: str | int | Decimal) -> str | int:
    if isinstance(value, str):
        return guarded(value)
    # Without an exponent, which not every program reads.
    return format(value, "f") if isinstance(value, Decimal) else value


def as_xlsx(document: StatementDocument) -> bytes:
    """Return the lines as a workbook, amounts as numbers and everything else as text."""
    book = Workbook(write_only=True)
    sheet = new_sheet(book, document.number[:31], document)
    for row in rows(document):
        sheet.append(cells_of(sheet, row))
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def new_sheet(book: Workbook, title: str, document: StatementDocument) -> Any:
    """Add a sheet with the headings of a statement's lines."""
    sheet = book.create_sheet(title)
    sheet.freeze_panes = "A2"
    headings = []
    for number, heading in enumerate(headings_of(document)):
        letter = get_column_letter(number + 1)
        sheet.column_dimensions[letter].width = 14 if number >= FIRST_AMOUNT else max(12, len(heading) + 4)
        cell = text_cell(sheet, heading)
        cell.font = Font(bold=True)
        headings.append(cell)
    sheet.append(headings)
    return sheet


def cells_of(sheet: Any, row: Row) -> list[Any]:
    """Return a row as cells: amounts as numbers, and everything else as text."""
    cells: list[Any] = []
    for value in row:
        if isinstance(value, str):
            cells.append(text_cell(sheet, value))
        else:
            cells.append(amount_cell(sheet, value) if isinstance(value, Decimal) else value)
    return cells


def _amounts(figures: Figures, document: StatementDocument) -> tuple[Decimal, ...]:
    amounts = (figures.list_cost, figures.discount, figures.subsidy, figures.charged)
    return tuple(in_decimals_of(amount, document.currency) for amount in amounts)


def _behind(line: Line, resource: Resource | None = None) -> Row:
    """Return what kind of row it is, which lines it corrects, and what it was before it was converted."""
    kind = line.correction or ("Charge of another month" if line.is_correction else OWN_MONTH)
    corrects = "; ".join(line.corrects)
    if not line.original:
        return (kind, corrects, "", "", "")
    original = line.original.charged if resource is None or resource.original is None else resource.original
    of = line.original.currency
    return (kind, corrects, of, in_decimals_of(original, of), line.original.rate_text)

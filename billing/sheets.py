"""Tables as CSV and Excel whose cells stay what they are: no text becomes a formula in somebody's spreadsheet."""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import IO, Any

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

from .currencies import minor_units
from .money import in_decimals_of, plain
from .texts import one_line

FORMATS = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
# Rows of an Excel sheet, its heading left out; further ones go to further sheets.
SHEET_ROWS = 1_048_575

# What spreadsheets take for the start of a formula (OWASP, “CSV Injection”), also in the full width in which East
# Asian ones write it. Some look past what is not seen: blanks of any kind, marks and control characters.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "−")
PLAIN_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
# Control, format (byte order mark, joiners, directions) and unassigned characters.
UNSEEN = ("Cc", "Cf", "Cn", "Co")
# A cell holds no more.
CELL_LENGTH = 32_767


def guarded(text: str) -> str:
    """Return a text for a CSV cell, with an apostrophe before what would run as a formula; numbers stay numbers.

    A record stays one line: not every program that reads CSV knows of line ends between quotes. What has apostrophes
    there of its own gets one more, so that `unguarded` gives every text back.
    """
    text = one_line(text)
    return f"'{text}" if starts_formula(text.lstrip("'")) and not PLAIN_NUMBER.fullmatch(text) else text


def unguarded(text: str) -> str:
    """Return a cell's text as it was before `guarded`, for readers that run no formulas."""
    return text[1:] if text.startswith("'") and starts_formula(text.lstrip("'")) else text


def starts_formula(text: str) -> bool:
    if text.startswith(FORMULA_STARTS):
        return True
    for character in text:
        if not character.isspace() and unicodedata.category(character) not in UNSEEN:
            return character in FORMULA_STARTS
    return False


def text_cell(sheet: object, text: str) -> Any:
    """Return a cell whose text stays text: openpyxl makes a formula of any that starts with "="."""
    cell = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("", one_line(text))[:CELL_LENGTH])
    cell.data_type = "s"
    if starts_formula(text):
        # A text even after somebody has edited the cell.
        cell.quotePrefix = True
    return cell


def amount_format(places: int) -> str:
    """Return how a spreadsheet shows amounts with so many decimals."""
    return f"#,##0.{'0' * places}".rstrip(".")


def amount_cell(sheet: object, amount: Decimal, places: int | None = None) -> Any:
    """Return an amount as a number to its last digit; openpyxl would write 16 of them.

    It is shown with so many decimals: without a number those it has, which are its currency's in whole cents.
    """
    cell = WriteOnlyCell(sheet)
    text = format(amount, "f")
    cell.data_type = "n"
    cell._value = text  # noqa: SLF001 (its setter would take it for a text)
    cell.number_format = amount_format(len(text.partition(".")[2]) if places is None else places)
    return cell


# Tables of texts and amounts, each row in its currency -----------------------------------------------

Row = Mapping[str, str | Decimal]


def write_table(*, rows: Iterable[Row], columns: Sequence[str], title: str, file: IO[bytes], form: str) -> int:
    """Write rows of texts and amounts to a file of one of FORMATS, and return how many.

    A row names its cells as `columns` do, and its amounts are in its `currency`. `title` names the sheets of Excel.
    """
    if form == "csv":
        return _write_csv(rows, columns, file)
    return _write_xlsx(rows, columns, title, file)


def _write_csv(rows: Iterable[Row], columns: Sequence[str], file: IO[bytes]) -> int:
    """Write UTF-8, with the mark by which Excel knows it."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow(columns)
    count = 0
    for row in rows:
        writer.writerow([_csv_cell(row[name], str(row["currency"])) for name in columns])
        count += 1
    text.detach()
    return count


def _csv_cell(value: str | Decimal, currency: str) -> str:
    return guarded(value) if isinstance(value, str) else plain(value, currency)


def _write_xlsx(rows: Iterable[Row], columns: Sequence[str], title: str, file: IO[bytes]) -> int:
    book = Workbook(write_only=True)
    book.properties.creator = "OpenChargeback"
    sheet: Any = None
    count = 0
    for row in rows:
        if count % SHEET_ROWS == 0:
            sheet = _new_sheet(book, columns, title, count // SHEET_ROWS)
        sheet.append(cells_of(sheet, row, columns))
        count += 1
    if sheet is None:
        _new_sheet(book, columns, title, 0)
    book.save(file)
    return count


def _new_sheet(book: Workbook, columns: Sequence[str], title: str, number: int) -> Any:
    sheet = book.create_sheet(f"{title} {number + 1}" if number else title)
    sheet.freeze_panes = "B2"
    sheet.append(list(columns))
    return sheet


def cells_of(sheet: object, row: Row, columns: Sequence[str]) -> list[Any]:
    """Return the cells of a row of texts and amounts, which names its currency, in the order of `columns`."""
    return [_xlsx_cell(sheet, row[name], str(row["currency"])) for name in columns]


def _xlsx_cell(sheet: object, value: str | Decimal, currency: str) -> Any:
    if isinstance(value, Decimal):
        return amount_cell(sheet, in_decimals_of(value, currency), minor_units(currency))
    return text_cell(sheet, value) if value else None

"""Cells that stay what they are: no text of ours becomes a formula in somebody's spreadsheet."""

import re
import unicodedata
from decimal import Decimal
from typing import Any

from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

from .texts import one_line

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

    A record stays one line: not every program that reads CSV knows of line ends between quotes.
    """
    text = one_line(text)
    return f"'{text}" if starts_formula(text) and not PLAIN_NUMBER.fullmatch(text) else text


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

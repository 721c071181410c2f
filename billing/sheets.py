"""Cells that stay what they are: no text of ours becomes a formula in somebody's spreadsheet."""

import re
import unicodedata
from decimal import Decimal
from typing import Any

from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

from .money import plain

# What spreadsheets take for the start of a formula (OWASP, “CSV Injection”), also in the full width in which East
# Asian ones write it. Some look past what is not seen: blanks of any kind, marks and control characters.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "−")
PLAIN_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
# Control, format (byte order mark, joiners, directions) and unassigned characters.
UNSEEN = ("Cc", "Cf", "Cn", "Co")
AMOUNT_FORMAT = "#,##0.00"
# A cell holds no more.
CELL_LENGTH = 32_767


def guarded(text: str) -> str:
    """Return a text for a CSV cell, with an apostrophe before what would run as a formula; numbers stay numbers."""
    return f"'{text}" if starts_formula(text) and not PLAIN_NUMBER.fullmatch(text) else text


def starts_formula(text: str) -> bool:
    if text.startswith(FORMULA_STARTS):
        return True
    for character in text:
        if not character.isspace() and unicodedata.category(character) not in UNSEEN:
            return character in FORMULA_STARTS
    return False


def text_cell(sheet: Any, text: str) -> Any:
    """Return a cell whose text stays text: openpyxl makes a formula of any that starts with "="."""
    cell = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("", text)[:CELL_LENGTH])
    cell.data_type = "s"
    if starts_formula(text):
        # A text even after somebody has edited the cell.
        cell.quotePrefix = True
    return cell


def amount_cell(sheet: Any, amount: Decimal) -> Any:
    """Return an amount as a number to its last digit; openpyxl would write 16 of them."""
    cell = WriteOnlyCell(sheet)
    cell.data_type, cell._value = "n", plain(amount)
    cell.number_format = AMOUNT_FORMAT
    return cell

"""What spreadsheets make of codes: recognized in every file that may have been through one."""

import datetime
import re
from enum import StrEnum
from typing import Any

from .. import texts
from .values import BadValue, text_of

# Excel keeps 15 digits of a number and makes the others zeros.
EXACT = 10**15
# What stands for a formula whose value the workbook does not hold.
UNCALCULATED = "#UNCALCULATED!"
ADVICE = "Write the code itself, in a column that is formatted as text."

# What is no id, whatever the policy says of tags: a file means the same whenever it is read. But for #N/A, an error
# where an id was.
NO_ID = texts.folds_of(texts.MISSING_WORDS) - {"#n/a"}

# Excel's errors in a few languages.
_ERROR = re.compile(r"#(N/A|N/D|NV|GETTING_DATA|[A-ZÄÖÜ0/]{2,12}[!?])", re.IGNORECASE)
# A number that its column is too narrow for, and LibreOffice's errors. People write such texts too: “##”.
_ERROR_IN_CODES = re.compile(r"#+|Err:\d{3}", re.IGNORECASE)
# Without sign and decimal point it may be a code: 12E10.
_SCIENTIFIC = re.compile(r"[-+]?\d+([.,]\d+)?E[-+]\d{1,3}|[-+]?\d[.,]\d+E\d{1,3}", re.IGNORECASE | re.ASCII)
_BOOLEAN = re.compile(r"true|false", re.IGNORECASE)
_TIME = re.compile(r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?[ap]\.?m\.?)?", re.IGNORECASE | re.ASCII)
_MONTH = (
    r"(jan(uary?)?|feb(ruary?)?|mar(ch)?|märz?|apr(il)?|may|mai|june?|juni|july?|juli|aug(ust)?|sept?(ember)?|"
    r"o[ck]t(ober)?|nov(ember)?|de[cz](ember)?)\.?"
)
_MONTH_AND_DIGITS = _MONTH + r"[-/. ](\d{2}|(19|20)\d{2})"
_DATES = (
    r"(0?\d|1\d|2\d|3[01])[-/. ]{1,2}" + _MONTH + r"([-/. ](\d{2}|(19|20)\d{2}))?",
    _MONTH_AND_DIGITS,
    r"(0?[1-9]|[12]\d|3[01])/(0?[1-9]|[12]\d|3[01])/((19|20)\d{2}|\d{2})( .*)?",
    r"(0?[1-9]|[12]\d|3[01])\.(0?[1-9]|1[0-2])\.(19|20)\d{2}( .*)?",
    r"(19|20)\d{2}[-/](0?[1-9]|1[0-2])[-/](0?[1-9]|[12]\d|3[01])[T ]\d{1,2}:\d{2}.*",
)
_DATE = re.compile("|".join(_DATES), re.IGNORECASE | re.ASCII)
_MONTH_FIRST = re.compile(_MONTH_AND_DIGITS, re.IGNORECASE | re.ASCII)
_DAY = re.compile(r"(19|20)\d{2}[-/](0[1-9]|1[0-2])[-/](0[1-9]|[12]\d|3[01])", re.ASCII)
_FRACTION = re.compile(r"[-+]?0?[.,]\d+", re.ASCII)
# How all of these begin.
_MAY_BE_SPOILED = re.compile(
    r"[-+#.,\d]|true|false|err:|jan|feb|m[aä]|apr|ju[nl]|aug|sep|o[ck]t|nov|de[cz]", re.IGNORECASE
)
# Texts, colors and languages within a format of numbers.
_NOT_OF_FORMAT = re.compile(r'"[^"]*"|\[\$[^]]*]|\\.')
_QUOTED = re.compile(r'="((?:[^"]|"")*)"', re.DOTALL)


class Kind(StrEnum):
    """What a column of a spreadsheet holds: it decides what a cell of it may be."""

    CODE = "code"
    TEXT = "text"
    DATE = "date"
    YES = "yes or no"


def unwrapped(text: str) -> str:
    """Take off what people put around a code so that a spreadsheet leaves it alone: '0042 and ="0042"."""
    bare = text.strip()
    if found := _QUOTED.fullmatch(bare):
        return found[1].replace('""', '"')
    return bare[1:] if bare.startswith("'") and "'" not in bare[1:] else text


def check_code(text: str, *, is_strict: bool = True, may_be_month: bool = False) -> None:
    """Raise BadValue where a text is what a spreadsheet makes of a code, and no code.

    Ids that may be anything are not checked as strictly: they may look like a day or a decimal number. An invoice may
    be called by its month: Mar-2025.
    """
    bare = text.strip()
    # Digits alone, as most ids of accounts are, and most other ids are none of what follows: 0.5 µs in place of 3.
    if (bare.isascii() and bare.isdigit()) or not _MAY_BE_SPOILED.match(bare):
        return
    check_error(bare)
    if _ERROR_IN_CODES.fullmatch(bare):
        raise _an_error(text)
    if _SCIENTIFIC.fullmatch(bare):
        raise BadValue(f"“{text[:60]}” is a number as spreadsheets shorten it: digits of the code are lost. {ADVICE}")
    if _BOOLEAN.fullmatch(bare):
        raise BadValue(f"“{text[:60]}” is true or false, where a code is expected. {ADVICE}")
    is_date = _DATE.fullmatch(bare) and not (may_be_month and _MONTH_FIRST.fullmatch(bare))
    if is_date or (is_strict and _DAY.fullmatch(bare)):
        raise BadValue(f"“{text[:60]}” is a date, where a code is expected: spreadsheets make dates of codes. {ADVICE}")
    if _TIME.fullmatch(bare):
        raise BadValue(f"“{text[:60]}” is a time of day, where a code is expected. {ADVICE}")
    if is_strict and _FRACTION.fullmatch(bare):
        raise BadValue(f"“{text[:60]}” is a fraction, where a code is expected. {ADVICE}")


def check_error(text: str) -> None:
    """Raise BadValue for what a spreadsheet shows in place of a value."""
    if text == UNCALCULATED:
        raise BadValue(
            "The cell has a formula that was never calculated. Open the workbook in a spreadsheet program and save it "
            "again."
        )
    if text[:1] == "#" and _ERROR.fullmatch(text):
        raise _an_error(text)


def _an_error(text: str) -> BadValue:
    return BadValue(f"“{text[:60]}” is an error of a spreadsheet, not a value. Correct the cell.")


def strict_id_of(text: str) -> str:
    """Return an id as `id_of` does; raise BadValue for what a spreadsheet made of it."""
    bare = id_of(text)
    # Spreadsheets write the names of months with a capital: Dec-12.
    check_code(bare, may_be_month=bare.islower())
    return bare


def free_id_of(text: str) -> str:
    """Return an id that may be anything, as `strict_id_of`; raise BadValue for what is plainly none any more."""
    bare = id_of(text)
    check_code(bare, is_strict=False, may_be_month=True)
    return bare


def region_of(text: str) -> str:
    """Return the id of a region, as `free_id_of`; but “NA” is one, North America."""
    bare = _as_meant(text)
    check_code(bare, is_strict=False, may_be_month=True)
    return bare


def id_of(text: str) -> str:
    """Return an id as it was meant, "" for a word that means nothing."""
    bare = _as_meant(text)
    return "" if texts.is_missing(bare, NO_ID) else bare


def _as_meant(text: str) -> str:
    bare = text_of(text, texts.code_of)
    return text_of(unwrapped(bare), texts.code_of) if bare[:1] in ("'", "=") else bare


def said_of(text: str) -> str:
    """Return a text as it was meant; raise BadValue for an error of a spreadsheet."""
    bare = text_of(text)
    if bare[:1] == "=":
        bare = text_of(unwrapped(bare))
    check_error(bare)
    return bare


def text_of_cell(cell: Any, kind: Kind | None) -> str:
    """Return what a cell of a CSV file (a text) or of a workbook holds, "" for nothing.

    A column without a kind is nobody's business. Raises BadValue for what the kind of its column cannot be.
    """
    value = cell if isinstance(cell, str) else getattr(cell, "value", None)
    if value is None:
        return ""
    if kind is None:
        return str(value).strip()
    if isinstance(value, str):
        text = unwrapped(value).strip() if kind is Kind.CODE or value[:1] == "=" else value.strip()
        check_error(text)
        if kind is Kind.CODE:
            check_code(text)
        return text
    if isinstance(value, bool):
        if kind is Kind.CODE:
            raise BadValue(f"The cell is {str(value).upper()}, where a code is expected. {ADVICE}")
        return str(value).lower()
    if isinstance(value, int | float):
        return code_of_number(value, cell) if kind is Kind.CODE else plain_number(value)
    if kind is Kind.CODE:
        what = "a date" if isinstance(value, datetime.date) else "a time"
        raise BadValue(f"The cell is {what} ({value}), where a code is expected. {ADVICE}")
    if isinstance(value, datetime.datetime):
        at_midnight = value.time() == datetime.time(0)
        return value.date().isoformat() if kind is Kind.DATE or at_midnight else value.isoformat(" ")
    return str(value)


def plain_number(value: float) -> str:
    """Write a number without the zeros that a float has."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else repr(value)


def code_of_number(value: float, cell: Any) -> str:
    """Return the code that a cell with a number shows; raise BadValue where digits of it are lost."""
    if isinstance(value, float) and not value.is_integer():
        raise BadValue(f"{value!r} is a number with decimals, where a code is expected. {ADVICE}")
    if abs(value) >= EXACT:
        raise BadValue(
            f"{value!r} is an id of more than 15 digits kept as a number, of which Excel has rounded the last. "
            "Format the column as text before the ids are entered, or import the original file."
        )
    digits = str(int(value))
    return shown_by(digits, str(cell.number_format)) if value >= 0 else digits


def shows_hours(cell: Any) -> bool:
    """Tell whether a cell with a moment shows its time of day: midnight is a time then, and a day alone otherwise."""
    return "h" in _NOT_OF_FORMAT.sub("", str(cell.number_format)).lower()


def shown_by(digits: str, number_format: str) -> str:
    """Return digits as a format of zeros shows them (00000, 000000-0000): how Excel keeps leading zeros."""
    pieces: list[str] = []
    for quoted, escaped, character in re.findall(r'"([^"]*)"|\\(.)|(.)', number_format):
        if character and character not in "0- /":
            return digits
        pieces.append(character if character == "0" else f"={quoted or escaped or character}")
    zeros = pieces.count("0")
    if zeros < 2:
        return digits
    digits = digits.zfill(zeros)
    # What does not fit stands before the first of them.
    left, shown = digits[: len(digits) - zeros], ""
    rest = iter(digits[len(digits) - zeros :])
    for piece in pieces:
        if piece == "0":
            shown, left = shown + left + next(rest), ""
        else:
            shown += piece[1:]
    return shown

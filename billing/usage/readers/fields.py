"""Values of readings and reports into exact numbers, names and times; what is none is named by its column."""

import datetime
import re
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from ...readers.amounts import MAX_EXPONENT, NUMBER, decimal_of
from ...readers.batches import FileError, Problem
from ...readers.dates import is_date_only, service_time_of
from ...readers.values import MAX_NAME, BadValue
from ...texts import code_of, quoted

# What one record may hold of a measure: 256 PiB, in bytes. Thirty-one days of it still fit 64 bits.
MOST = 2**58
# A path may be longer than a name.
MAX_ID = 1_000
UTC = ZoneInfo("UTC")

# Of a number, with all the zeros behind its point.
LONGEST = 400

_EXACT = Context(prec=250)
_HAS_ZONE = re.compile(r"(Z|UTC|[+-]\d{2}(:?\d{2})?)$", re.ASCII)
# A day, and perhaps a time, that stand by themselves in the name of a file. Another day is no time.
_DAY = r"20\d\d([-_.]?)(?:0[1-9]|1[0-2])\{}(?:[0-2]\d|3[01])"
_TIME_IN_NAME = re.compile(
    r"(?<!\d)(20\d\d)([-_.]?)(0[1-9]|1[0-2])\2([0-2]\d|3[01])"
    rf"(?:[T_. -]?(?!{_DAY.format(5)})([01]\d|2[0-3])[-_:.h]?([0-5]\d)(?:[-_:.m]?([0-5]\d))?(Z?))?(?!\d)",
    re.ASCII,
)


class BadField(BadValue):
    """A value that is not what its column holds, with a message for the person who sent the file."""

    def __init__(self, message: str, column: str) -> None:
        self.column = column
        super().__init__(message)

    def at(self, line: int | None, place: str = "") -> FileError:
        """Return the error of the file that this is; `place` says more than the line where a line has many values."""
        return FileError([Problem(f"{place}{self}", line, self.column or None)])


def whole_number(value: Any, column: str, *, most: int = MOST) -> int:
    """Return the whole number from 0 that a value of JSON, or a text, says exactly; raises BadField.

    A text with an exponent is refused: so write spreadsheets large numbers, without their last digits.
    """
    number = _number_of(value, column)
    if isinstance(value, str) and "e" in value.casefold():
        raise BadField(f"{quoted(value)} lacks its last digits. A spreadsheet may have written the file.", column)
    if number != number.to_integral_value(context=_EXACT):
        raise BadField(f"{quoted(str(value))} is not a whole number.", column)
    return _within(int(number), value, column, most=most)


def scaled(value: Any, factor: int | Decimal, column: str, *, most: int = MOST, may_be_negative: bool = False) -> int:
    """Return a number times a factor as the nearest whole number (half to even); raises BadField.

    A float counts as its shortest form, which is what a text of it would hold.
    """
    text = (repr(value) if isinstance(value, float) else str(value)).strip()
    # What programs compute may be as little as 1E-300, and that is nothing.
    is_tiny = len(text) < LONGEST and bool(NUMBER.fullmatch(text)) and Decimal(text).adjusted() < -MAX_EXPONENT
    number = Decimal(0) if is_tiny else _EXACT.multiply(_number_of(value, column), Decimal(factor))
    rounded = int(number.to_integral_value(ROUND_HALF_EVEN, _EXACT))
    return _within(rounded, value, column, most=most, may_be_negative=may_be_negative)


def _number_of(value: Any, column: str) -> Decimal:
    text = repr(value) if isinstance(value, float) else str(value)
    try:
        number = None if isinstance(value, bool) else decimal_of(text)
    except BadValue as error:
        raise BadField(str(error), column) from None
    if number is None:
        raise BadField(f"{quoted(text)} is not a number." if text.strip() else "The number is missing.", column)
    return number


def _within(number: int, value: Any, column: str, *, most: int, may_be_negative: bool = False) -> int:
    if number < 0 and not may_be_negative:
        raise BadField(f"{quoted(str(value))} is negative.", column)
    if abs(number) > most:
        raise BadField(f"{quoted(str(value))} is out of range.", column)
    return number


def name_of(value: Any, column: str, *, limit: int = MAX_NAME) -> str:
    """Return a name or code as it is stored, "" for none; raises BadField for what cannot be stored."""
    if value is None:
        return ""
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise BadField(f"{quoted(str(value))} is not a name.", column)
    text = str(value)
    if "\0" in text:
        raise BadField("The text has a NUL byte in it.", column)
    bare = code_of(text)
    if not bare.isascii():
        try:
            bare.encode()
        except UnicodeEncodeError:
            raise BadField(f"{quoted(text)} has half of a character in it.", column) from None
    if len(bare) > limit:
        raise BadField(f"The text has {len(bare):,} characters; {limit:,} is the limit.", column)
    return bare


def moment_of(value: Any, zone: datetime.tzinfo, column: str) -> int:
    """Return seconds since 1970 of an ISO date or time; without a zone of its own it is of `zone`. Raises BadField."""
    text = str(value)
    try:
        moment = service_time_of(text)
    except BadValue as error:
        raise BadField(str(error), column) from None
    if moment is None:
        raise BadField("The time is missing. Write 2026-01-31 or 2026-01-31T00:00:00Z.", column)
    if is_date_only(text) or not _HAS_ZONE.search(text.strip()):
        moment = moment.replace(tzinfo=zone)
    return int(moment.timestamp() // 1)


def moment_in_name(name: str, zone: ZoneInfo) -> int | None:
    """Return the one time that the name of a file has in it, None for none; a day alone is its midnight in `zone`.

    Raises BadField where it has two that differ.
    """
    found = set()
    for year, _, month, day, _, hour, minute, second, is_utc in _TIME_IN_NAME.findall(name):
        parts = [int(part or 0) for part in (year, month, day, hour, minute, second)]
        try:
            found.add(int(datetime.datetime(*parts, tzinfo=datetime.UTC if is_utc else zone).timestamp()))  # type: ignore[misc,arg-type]
        except ValueError:
            # The 31st of a month of 30 days: no date.
            continue
    if len(found) > 1:
        raise BadField(f"The name {quoted(name)} has two dates in it.", "")
    return found.pop() if found else None

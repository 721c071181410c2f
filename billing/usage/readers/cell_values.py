"""Values of usage, as JSON and tables hold them: texts, whole numbers, and moments."""

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar

from ...fields import WIDE
from ...readers import UnreadableFile
from ...readers.amounts import decimal_of
from ...readers.dates import service_time_of
from ...readers.values import BadValue, Memo, name_of
from ...texts import quoted

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
SECOND = datetime.timedelta(seconds=1)
# What a column of 64 bits holds.
LARGEST = 2**63 - 1
# Currency units are kept in millionths of millionths, as finely as anybody prices a token.
PICO = 12

Value = TypeVar("Value")


def of_field(name: str, convert: Callable[[Any], Value], value: Any) -> Value:
    """Convert the value of a field; raise UnreadableFile that names the field, for the row's line."""
    try:
        return convert(value)
    except BadValue as error:
        raise UnreadableFile(str(error), column=name) from None


def text_of(value: Any) -> str:
    """Return the text of a value of at most 200 characters, "" for none; raise BadValue for a list or an object."""
    if value is None:
        return ""
    if isinstance(value, str):
        return _TEXTS[value]
    if isinstance(value, int | Decimal):
        return str(value).lower()
    raise BadValue("A text is expected, and not a list or an object.")


def _text_of(text: str) -> str:
    try:
        return name_of(text) if text.isascii() else name_of(text.encode().decode())
    except UnicodeEncodeError:
        raise BadValue("The text has half of a character in it.") from None


_TEXTS = Memo(_text_of)


def number_of(value: Any) -> Decimal:
    """Return the exact number of a value, 0 for none; raise BadValue for what is no number."""
    if value is None:
        return Decimal(0)
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise BadValue("A number is expected.")
    return decimal_of(str(value)) or Decimal(0)


def units_of(number: Decimal, decimals: int) -> Decimal:
    """Return a number in units of its last decimal that counts; it may be no whole number."""
    units = number.scaleb(decimals, context=WIDE)
    if abs(units) > LARGEST:
        raise BadValue(f"{number} is larger than can be kept.")
    return units


def count_of(value: Any) -> int:
    """Return a whole number from 0, 0 for none; `59200.0` is one."""
    if type(value) is int and 0 <= value <= LARGEST:
        return value
    number = units_of(number_of(value), 0)
    if number != number.to_integral_value(context=WIDE):
        raise BadValue(f"{quoted(str(value))} is not a whole number.")
    if number < 0:
        raise BadValue(f"{quoted(str(value))} is below zero.")
    return int(number)


def cost_of(value: Any) -> tuple[int, bool]:
    """Return an amount in 10⁻¹² of the currency unit, and whether that is all of it: more decimals are rounded."""
    units = units_of(number_of(value), PICO)
    if units < 0:
        raise BadValue(f"{quoted(str(value))} is below zero.")
    whole = units.to_integral_value(context=WIDE)
    return int(whole), whole == units


def seconds_of(value: Any) -> int | None:
    """Return a moment in seconds since 1970, rounded down; None for no value.

    A number is seconds already; a text is a date or time of ISO 8601, in UTC where it names no zone. Raises BadValue
    for what has two readings, and for years before 2000 or after 2100.
    """
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        value = _iso(value)
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadValue("A date or time is expected.")
    moment = service_time_of(value)
    return None if moment is None else (moment - EPOCH) // SECOND


def _iso(seconds: int | Decimal) -> str:
    try:
        return (EPOCH + int(number_of(seconds)) * SECOND).isoformat()
    except OverflowError:
        raise BadValue(f"{quoted(str(seconds))} is no moment in seconds since 1970.") from None

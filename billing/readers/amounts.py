"""Amounts and quantities: a text into an exact number."""

import re
from decimal import Decimal, InvalidOperation

from ..fields import MAX_UNITS, PLACES, WIDE, half_even
from ..texts import quoted
from .values import BadValue, is_nothing

# What no price list has: more characters of a number, or a greater power of ten.
MAX_LENGTH = 90
MAX_EXPONENT = 40

NUMBER = re.compile(r"-?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
# A sign, letters or a symbol of a currency, a number as people write it; or the currency after it.
_FIGURE = r"\d+([,.'’ \u00a0\u202f]\d+)*"
_CURRENCY = r"([A-Za-z]{1,3}\.?\s*)?[$€£¥₩₹₫฿₪₺]|[A-Za-z]{3}"
WITH_CURRENCY = re.compile(
    rf"[-+(−]?\s*({_CURRENCY})\s*[-+(−]?\s*{_FIGURE}\s*[-−)]?|[-+(−]?\s*{_FIGURE}\s*({_CURRENCY})\s*[-−)]?", re.ASCII
)


def decimal_of(text: str) -> Decimal | None:
    """Return the exact number a FOCUS numeric field holds, or None for no value.

    Integers, decimals and `mEn` (FOCUS, Numeric Format); raises BadValue for anything else.
    """
    bare = text.strip()
    if not NUMBER.fullmatch(bare):
        if is_nothing(bare):
            return None
        if WITH_CURRENCY.fullmatch(bare):
            raise BadValue(
                f"{quoted(text)} has a currency in it. Write the plain number, such as 1234.56, and the currency in "
                "BillingCurrency."
            )
        if re.fullmatch(r"[-+(−]?\s*\d+([,.'’ \u00a0\u202f]\d+)*\s*[-−)]?", bare, re.ASCII):
            raise BadValue(f"{quoted(text)} is formatted for people. Write the plain number, such as 1234.56.")
        raise BadValue(f"{quoted(text)} is not a number.")
    try:
        number = Decimal(bare)
    except InvalidOperation:
        raise BadValue(f"{quoted(text)} is not a number.") from None
    # Zeros behind the point are no digits, however many.
    written = bare.rstrip("0") if "." in bare and "e" not in bare.casefold() else bare
    if len(written) > MAX_LENGTH or (number and abs(number.adjusted()) > MAX_EXPONENT):
        raise BadValue(f"{quoted(text)} is out of range.")
    return number


def plain_decimal(text: str) -> str:
    """Return a number in its one plain form (no exponent, no trailing zeros), "" for no value."""
    number = decimal_of(text)
    if number is None:
        return ""
    plain = format(number, "f")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return "0" if plain in ("", "-0") else plain


def units_of(text: str) -> int | None:
    """Return an amount in units of 10⁻⁸ (half-even beyond), None for no value; see fields.AmountField."""
    number = decimal_of(text)
    return None if number is None else units_of_number(number, text)


def units_of_number(number: Decimal, text: str) -> int:
    """Return in units of 10⁻⁸ (half-even beyond) the amount that a text says."""
    units = int(half_even(number).scaleb(PLACES, context=WIDE))
    if abs(units) > MAX_UNITS:
        raise BadValue(f"{text.strip()} is beyond the ±92 billion an amount can hold.")
    return units


def every_digit(number: Decimal) -> str:
    """Write an amount of more than 8 decimals by all its digits, as rows are compared by; "" for any other."""
    sign, digits, exponent = number.normalize(context=WIDE).as_tuple()
    if not isinstance(exponent, int) or exponent >= -PLACES:
        return ""
    return f"{'-' if sign else ''}{''.join(map(str, digits))}e-{-exponent}"

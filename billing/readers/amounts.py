"""Amounts and quantities: texts into exact numbers, column by column."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from ..fields import MAX_UNITS, PLACES, WIDE, half_even
from ..texts import quoted
from .values import BadValue, is_nothing

# Beyond so many decimals an amount goes the long way, which has a limit of its own.
MAX_PLACES = 80

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
    if len(bare) > 90 or (number and abs(number.adjusted()) > 40):
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
    if number is None:
        return None
    units = int(half_even(number).scaleb(PLACES, context=WIDE))
    if abs(units) > MAX_UNITS:
        raise BadValue(f"{text.strip()} is beyond the ±92 billion an amount can hold.")
    return units


@dataclass(frozen=True)
class Amounts:
    """A column of amounts: in units of 10⁻⁸, in the text they are compared by, and their exact sum."""

    units: list[int | None]
    canonical: list[str]
    exact: Decimal


def amounts_of(texts: Sequence[str]) -> Amounts:
    """Convert a column of amounts exactly; raises BadValue at the first that is none.

    Amounts hardly repeat and have more than 8 decimals as often as not, so this is whole-number
    arithmetic: half a microsecond each, where Decimal and a memo take five.
    """
    # One `6.123E-7` among them must not send the others the long way.
    joined = "".join(texts)
    # A sign behind the point, which is no number, would read as one once the point is left out.
    is_plain = _is_plain(joined) and ".-" not in joined
    if is_plain and texts and joined.count(".") == len(texts) and (alike := _amounts_alike(texts)):
        return alike
    units: list[int | None] = []
    canonical: list[str] = []
    sums: dict[int, int] = {}
    slow = Decimal(0)
    for text in texts:
        whole, _, decimals = text.partition(".")
        places = len(decimals)
        if places > PLACES:
            decimals = decimals.rstrip("0")
            places = len(decimals)
        try:
            if (
                len(whole) > 10
                or places > MAX_PLACES
                or not (is_plain or text.isascii() and text.strip("-").replace(".", "", 1).isdigit())
            ):
                raise ValueError
            exact = int(whole + decimals)
        except ValueError:
            value = units_of(text)
            units.append(value)
            number = decimal_of(text)
            if number is None:
                canonical.append("")
            else:
                slow = WIDE.add(slow, number)
                canonical.append(_canonical(number))
            continue
        sums[places] = sums.get(places, 0) + exact
        if places <= PLACES:
            value = exact * _TENS[PLACES - places]
            canonical.append(str(value))
        else:
            value = _rounded(exact, _TENS[places - PLACES])
            canonical.append(f"{exact}e-{places}")
        units.append(value)
    return Amounts(units, canonical, WIDE.add(slow, _total(sums)))


def _is_plain(numbers: str) -> bool:
    """Tell whether there is nothing but digits, points and signs, which is quicker than asking for one of these."""
    return numbers.isascii() and numbers.replace(".", "").replace("-", "").isdigit()


def _rounded(exact: int, divisor: int) -> int:
    """Divide by a power of ten, half-even."""
    value, rest = divmod(exact, divisor)
    half = 2 * rest - divisor
    return value + 1 if half > 0 or (half == 0 and value & 1) else value


def _amounts_alike(texts: Sequence[str]) -> Amounts | None:
    """Convert amounts of digits, signs and a point each that all have as many decimals, as most exports write them.

    None where they have not: then each is looked at by itself.
    """
    places = len(texts[0]) - texts[0].find(".") - 1
    point = -places - 1
    longest = max(map(len, texts))
    # Ten digits before the point, or a sign among them, at the most: what is longer is seldom and may be too much.
    if (
        not 0 < places < min(len(texts[0]), MAX_PLACES)
        or longest > 10 - point
        or {text[point:-places] for text in texts} != {"."}
    ):
        return None
    try:
        numbers = list(map(int, "\n".join(texts).replace(".", "").split("\n")))
    except ValueError:
        return None
    total = Decimal(sum(numbers)).scaleb(-places, context=WIDE)
    if places <= PLACES:
        factor = _TENS[PLACES - places]
        exact = [number * factor for number in numbers]
        return Amounts([*exact], list(map(str, exact)), total)
    canonical = [f"{number}e-{places}" for number in numbers]
    for row, number in enumerate(numbers):
        if not number % 10:
            # Zeros at the end are none of the digits it is compared by.
            canonical[row] = _shortened(number, places)
    divisor = _TENS[places - PLACES]
    return Amounts([_rounded(number, divisor) for number in numbers], canonical, total)


def _shortened(number: int, places: int) -> str:
    while places > PLACES and not number % 10:
        number, places = number // 10, places - 1
    return f"{number}e-{places}" if places > PLACES else str(number)


def kept_amounts(column: Amounts, chosen: Sequence[bool]) -> Amounts:
    """Return the amounts of a column that were chosen, with their own exact sum."""
    canonical = [text for text, keep in zip(column.canonical, chosen, strict=True) if keep]
    sums: dict[int, int] = {}
    for text in filter(None, canonical):
        digits, _, below = text.partition("e-")
        places = int(below or PLACES)
        sums[places] = sums.get(places, 0) + int(digits)
    return Amounts([each for each, keep in zip(column.units, chosen, strict=True) if keep], canonical, _total(sums))


def _total(sums: Mapping[int, int]) -> Decimal:
    """Add up whole numbers of 10^-places, by places."""
    total = Decimal(0)
    for places, number in sums.items():
        total = WIDE.add(total, Decimal(number).scaleb(-places, context=WIDE))
    return total


_TENS = [10**power for power in range(120)]


def _canonical(number: Decimal) -> str:
    """Write an amount as amounts_of compares it: in units where it is exact in them, else every digit."""
    sign, digits, exponent = number.normalize(context=WIDE).as_tuple()
    if not isinstance(exponent, int):
        raise BadValue("The amount is not a number.")
    exact = int("".join(map(str, digits))) * (-1 if sign else 1)
    if exponent >= -PLACES:
        return str(exact * 10 ** (exponent + PLACES))
    return f"{exact}e-{-exponent}"


def plain_decimals_of(texts: Sequence[str]) -> list[str]:
    """Convert a column of numbers to their one plain form, as plain_decimal does."""
    if not _is_plain("".join(texts)):
        return list(map(plain_decimal, texts))
    plain = []
    for text in texts:
        whole, point, decimals = text.partition(".")
        # Only what is written as plainly as can be; the rest goes the long way.
        if point and decimals.isdecimal() and (whole == "0" or (whole.isdecimal() and whole[0] != "0")):
            decimals = decimals.rstrip("0")
            plain.append(f"{whole}.{decimals}" if decimals else whole)
        else:
            plain.append(plain_decimal(text))
    return plain

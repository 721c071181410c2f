"""Columns of amounts and quantities: all that are written plainly at once, the others one by one; never by a float."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..fields import MAX_UNITS, PLACES, WIDE
from .amounts import MAX_LENGTH, decimal_of, every_digit, plain_decimal, units_of_number
from .coded import Numbers

# As `amounts.NUMBER`, without an exponent.
PLAIN = r"^-?([0-9]+\.?[0-9]*|\.[0-9]+)$"
# One without zeros before it, whose plain form is itself but for zeros at its end.
NEARLY_PLAIN = r"^(-?(0|[1-9][0-9]*)(\.[0-9]+)?)?$"
# Of no more characters, a number is within what one may be; see `amounts.decimal_of`.
IN_RANGE = 41
# What 64 bits hold for certain, and the most decimals whose rounding they hold.
MAX_DIGITS = 18
MOST_PLACES = PLACES + 18

_TENS = np.array([10**power for power in range(19)], dtype=np.int64)
_LOW = np.int64(0xFFFFFFFF)


@dataclass(frozen=True)
class AmountColumn:
    """A column of amounts: in units of 10⁻⁸ (half-even beyond), and exactly.

    `missing` marks rows without an amount, whose units are 0; None where all have one. `beyond` has every digit of
    those with more than 8 decimals, as a text, and "" for the others; None where there is none. A row's exact amount
    is its whole number of `wholes` times 10^-`places`, unless it is among the `odd` ones.
    """

    units: Numbers
    missing: Numbers | None
    beyond: Any
    wholes: Numbers
    places: Numbers
    odd: dict[int, Decimal]

    def total_units(self, rows: Numbers | None = None) -> int:
        """Return the sum of the units of all rows, or of some by their places."""
        return _sum(self.units if rows is None else self.units[rows])

    def total(self, rows: Numbers | None = None) -> Decimal:
        """Return the exact sum of all rows, or of some by their places."""
        wholes, places = (self.wholes, self.places) if rows is None else (self.wholes[rows], self.places[rows])
        total = Decimal(0)
        for decimals in np.flatnonzero(np.bincount(places)).tolist():
            whole = _sum(wholes[places == decimals])
            total = WIDE.add(total, Decimal(whole).scaleb(-decimals, context=WIDE))
        if self.odd:
            wanted = set(self.odd) if rows is None else self.odd.keys() & set(rows.tolist())
            for row in sorted(wanted):
                total = WIDE.add(total, self.odd[row])
        return total


def amount_column(values: Any) -> AmountColumn:
    """Convert an Arrow array of texts exactly; raises BadValue for one that is no amount."""
    lengths = _numbers(pc.binary_length(values))
    points = _numbers(pc.find_substring(values, "."))
    places = np.where(points < 0, 0, lengths - points - 1)
    digits = _numbers(pc.binary_length(pc.ascii_ltrim(values, "-0.")))
    is_fast = _numbers(pc.match_substring_regex(values, PLAIN))
    is_fast &= (lengths <= MAX_LENGTH) & (digits <= MAX_DIGITS) & (places <= MOST_PLACES)
    if not is_fast.all():
        values_now = pc.if_else(pa.array(is_fast), values, "0")
        places = np.where(is_fast, places, 0)
    else:
        values_now = values
    wholes = pc.replace_substring(values_now, ".", "", max_replacements=1).cast(pa.int64()).to_numpy()
    wholes, places = _without_zeros(wholes, places)
    factors = _TENS[np.maximum(PLACES - places, 0)]
    is_held = np.abs(wholes) <= MAX_UNITS // factors
    units = np.where(places <= PLACES, wholes * np.where(is_held, factors, 0), 0)
    is_beyond = places > PLACES
    beyond: Any = None
    if is_beyond.any():
        rows = np.flatnonzero(is_beyond)
        units[rows] = _rounded(wholes[rows], _TENS[places[rows] - PLACES])
        written = [pa.array(each).cast(pa.string()) for each in (wholes, places)]
        beyond = pc.if_else(pa.array(is_beyond), pc.binary_join_element_wise(*written, "e-"), "")
    slow = np.flatnonzero(~(is_fast & is_held))
    if not len(slow):
        return AmountColumn(units, None, beyond, wholes, places, {})
    return _with_others(values, slow, units, beyond, wholes, places)


def _with_others(
    values: Any, slow: Numbers, units: Numbers, beyond: Any, wholes: Numbers, places: Numbers
) -> AmountColumn:
    """Convert the amounts that are not written plainly, each distinct text once; most are empty."""
    units, wholes, places = units.copy(), wholes.copy(), places.copy()
    missing = np.zeros(len(units), dtype=np.bool_)
    encoded = values.take(pa.array(slow)).dictionary_encode()
    codes = encoded.indices.to_numpy()
    odd: dict[int, Decimal] = {}
    written: dict[int, str] = {}
    for code, text in enumerate(encoded.dictionary.to_pylist()):
        rows = slow[codes == code]
        wholes[rows] = places[rows] = 0
        number = decimal_of(text)
        if number is None:
            missing[rows] = True
            units[rows] = 0
            continue
        units[rows] = units_of_number(number, text)
        all_digits = every_digit(number)
        for row in rows.tolist():
            odd[row] = number
            if all_digits:
                written[row] = all_digits
    if written:
        texts = [""] * len(units) if beyond is None else beyond.to_pylist()
        for row, text in written.items():
            texts[row] = text
        beyond = pa.array(texts, pa.string())
    return AmountColumn(units, missing if missing.any() else None, beyond, wholes, places, odd)


def _without_zeros(wholes: Numbers, places: Numbers) -> tuple[Numbers, Numbers]:
    """Take zeros at the end, beyond 8 decimals, from whole numbers of 10^-places."""
    places = np.where(wholes == 0, 0, places)
    rows = np.flatnonzero(places > PLACES)
    if len(rows):
        wholes = wholes.copy()
    while len(rows):
        rows = rows[wholes[rows] % 10 == 0]
        wholes[rows] //= 10
        places[rows] -= 1
        rows = rows[places[rows] > PLACES]
    return wholes, places


def _rounded(wholes: Numbers, divisors: Numbers) -> Numbers:
    """Divide by powers of ten, half-even."""
    quotients = wholes // divisors
    twice = 2 * (wholes - quotients * divisors)
    return quotients + ((twice > divisors) | ((twice == divisors) & (quotients % 2 == 1)))


def _sum(numbers: Numbers) -> int:
    """Add up 64-bit numbers to one of any size."""
    return (int((numbers >> 32).sum()) << 32) + int((numbers & _LOW).sum())


def plain_column(values: Any) -> Any:
    """Return an Arrow array of numbers as texts in their one plain form; raises BadValue for one that is none."""
    is_fast = _numbers(pc.match_substring_regex(values, NEARLY_PLAIN))
    is_fast &= _numbers(pc.binary_length(values)) <= IN_RANGE
    trimmed = pc.ascii_rtrim(pc.ascii_rtrim(values, "0"), ".")
    plain = pc.if_else(pc.match_substring(values, "."), trimmed, values)
    plain = pc.if_else(pc.equal(plain, "-0"), "0", plain)
    if is_fast.all():
        return plain
    slow = np.flatnonzero(~is_fast)
    encoded = values.take(pa.array(slow)).dictionary_encode()
    known = [plain_decimal(text) for text in encoded.dictionary.to_pylist()]
    found = pa.array(known, pa.string()).take(encoded.indices)
    return pc.replace_with_mask(plain, pa.array(~is_fast), found)


def _numbers(array: Any) -> Numbers:
    return array.to_numpy(zero_copy_only=False)

"""Whole numbers in arrays, exact whatever their size, and the one rounding of prices.

Amounts and quantities are whole numbers of 10^-8. An array has 64 bits a number where everything that is made of it
fits, and Python's own numbers where not: that is slower by a factor of about twenty, and right.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from math import gcd
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

# A number of an amount's last digit in one of its units.
ONE = 10**8
# Half of what 64 bits hold, so that a number can be doubled to see whether it is beyond the half.
LIMIT = 2**62
BLOCK = 16_384

# An array of int64, or of Python ints.
Ints = npt.NDArray[Any]


class Line(NamedTuple):
    """A straight line through whole numbers: (slope × x + offset) / denominator."""

    slope: int
    offset: int
    denominator: int

    def exactly(self, x: int) -> Fraction:
        return Fraction(self.slope * x + self.offset, self.denominator)


def line(slope: Fraction, offset: Fraction = Fraction(0)) -> Line:
    """Return the line slope × x + offset in its smallest whole numbers."""
    denominator = slope.denominator * offset.denominator // gcd(slope.denominator, offset.denominator)
    return Line(int(slope * denominator), int(offset * denominator), denominator)


def rounded(x: Ints, lines: Sequence[Line], which: Ints | None = None) -> Ints:
    """Return what lines are at each x, to whole numbers, halves to even. `which` says which line, if there are several.

    The only rounding of prices: half to even, so that many halves add up to no bias.
    """
    slope = max(abs(each.slope) for each in lines)
    offset = max(abs(each.offset) for each in lines)
    denominator = max(each.denominator for each in lines)
    is_wide = max(slope * max(largest(x), 1) + offset, denominator) >= LIMIT
    kind: Any = object if is_wide else np.int64
    columns = [np.array(column, dtype=kind) for column in zip(*lines, strict=True)]
    found = np.empty(len(x), dtype=kind)
    # In blocks, so that what is made on the way stays in the cache: half the time, and no memory to speak of.
    for start in range(0, len(x), BLOCK):
        block = slice(start, start + BLOCK)
        n, m, d = lines[0] if which is None else (column[which[block]] for column in columns)
        numerator = x[block].astype(kind, copy=False) * n + m
        floor = numerator // d
        twice = 2 * (numerator - floor * d)
        found[block] = floor + ((twice > d) | ((twice == d) & (floor % 2 == 1)))
    return narrowed(found)


def largest(values: Ints) -> int:
    """Return the largest absolute value; 0 of no values."""
    return max(abs(int(values.max())), abs(int(values.min()))) if len(values) else 0


def narrowed(values: Ints) -> Ints:
    """Return values with 64 bits each, if they fit."""
    return values.astype(np.int64) if values.dtype == object and largest(values) < LIMIT else values


def times(values: Ints, factor: int) -> Ints:
    if factor == 1:
        return values
    return values * factor if largest(values) * factor < LIMIT else values.astype(object) * factor


def total(values: Ints) -> int:
    if values.dtype == object or len(values) * largest(values) >= LIMIT:
        return int(values.astype(object).sum()) if len(values) else 0
    return int(values.sum())


def cumulated(values: Ints, before: int = 0) -> Ints:
    """Return the running sum, which goes on from `before`."""
    known = values if len(values) * largest(values) + before < LIMIT else values.astype(object)
    return (np.cumsum(known) if known.dtype != object else np.add.accumulate(known)) + before


def spread(values: Sequence[int], sizes: Ints) -> Ints:
    """Return each value as often as its size says; where all are the same, without any memory."""
    if len(set(values)) == 1:
        return np.broadcast_to(whole(values[:1]), (int(sizes.sum()),))
    return np.repeat(whole(values), sizes)


def whole(values: Sequence[int]) -> Ints:
    """Return numbers as an array."""
    return np.array(values, dtype=np.int64 if max(map(abs, values), default=0) < LIMIT else object)


def amount(value: Decimal | Fraction) -> int:
    """Return an amount or a quantity in whole numbers of 10^-8, rounded down where it has more digits."""
    return int(Fraction(value) * ONE // 1)


def decimal(value: int) -> Decimal:
    """Return what a whole number of 10^-8 is worth."""
    return Decimal(value).scaleb(-8)

"""Cents: the one rounding rule, and sharing a whole among parts so that it adds up."""

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from math import floor
from typing import Any, TypeVar

Key = TypeVar("Key")

CENT = Decimal("0.01")
ZERO = Decimal(0)

# Wide enough for any product of an amount (19 digits) with a share or a rate (up to 28 digits).
EXACT = Context(prec=60)


def to_cents(amount: Decimal) -> Decimal:
    """Round to whole cents, halves away from zero, as accountants do."""
    return amount.quantize(CENT, rounding=ROUND_HALF_UP, context=EXACT)


def split(total: Decimal, weights: Mapping[Key, Decimal]) -> dict[Key, Decimal]:
    """Share a `total` in whole cents among keys in proportion to `weights`, by largest remainder.

    The parts sum to the total, none is off by more than a cent, and none changes sign. Ties go to
    the key that sorts first, so the same call gives the same parts on every machine.

    Raises ValueError for a total with parts of a cent, a negative weight, or weights that sum to 0.
    """
    cents = _whole_cents(total)
    if any(weight < 0 for weight in weights.values()):
        raise ValueError("A share cannot be negative.")
    whole = sum((Fraction(weight) for weight in weights.values()), Fraction(0))
    if not whole:
        raise ValueError("There is nobody to share among: the weights sum to 0.")
    exact = {key: abs(cents) * Fraction(weight) / whole for key, weight in weights.items()}
    parts = _largest_remainder(abs(cents), exact)
    sign = -1 if cents < 0 else 1
    return {key: _from_cents(sign * part) for key, part in parts.items()}


def apportion(total: Decimal, exact: Mapping[Key, Decimal]) -> dict[Key, Decimal]:
    """Round each of `exact` to cents so that together they make `total`, by largest remainder.

    For printing a line's parts below it: amounts may have either sign, and `total` is their sum
    rounded, or a payer's share of it (then in proportion). Where the exact amounts cancel out but
    the total does not, the difference goes to the largest.
    """
    cents = _whole_cents(total)
    hundredths = {key: Fraction(amount) * 100 for key, amount in exact.items()}
    whole = sum(hundredths.values(), Fraction(0))
    # A line's own rounding is half a cent; anything further away is a share and scales its parts.
    if whole and abs(whole - cents) > Fraction(1, 2):
        hundredths = {key: amount * cents / whole for key, amount in hundredths.items()}
    return {key: _from_cents(part) for key, part in _largest_remainder(cents, hundredths).items()}


def plain(amount: Decimal) -> str:
    """Write an amount exactly, without an exponent and with at least two decimals."""
    text = format(amount, "f")
    whole, _, decimals = text.partition(".")
    decimals = decimals.rstrip("0").ljust(2, "0")
    return f"{'0' if (whole, decimals) == ('-0', '00') else whole}.{decimals}"


def _largest_remainder(cents: int, exact: Mapping[Key, Fraction]) -> dict[Key, int]:
    """Floor every part, then hand out what is left, a cent each, to the largest remainders."""
    parts = {key: floor(part) for key, part in exact.items()}
    by_remainder: list[Any] = sorted(exact, key=lambda key: (parts[key] - exact[key], _stable(key)))
    residue = cents - sum(parts.values())
    step = 1 if residue >= 0 else -1
    if step < 0:
        by_remainder.reverse()
    for turn in range(abs(residue)) if by_remainder else ():
        parts[by_remainder[turn % len(by_remainder)]] += step
    return parts


def _stable(key: Any) -> tuple[str, str]:
    return type(key).__name__, f"{key:020d}" if isinstance(key, int) else str(key)


def _whole_cents(total: Decimal) -> int:
    cents = total.scaleb(2, context=EXACT)
    if cents != int(cents):
        raise ValueError(f"{total} is not in whole cents.")
    return int(cents)


def _from_cents(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)

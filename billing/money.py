"""Cents: the one rounding rule, and sharing a whole among parts so that it adds up.

A cent here is the smallest unit of whatever currency, by ISO 4217: a hundredth of a dollar, a whole yen, a thousandth
of a Kuwaiti dinar.
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any, TypeVar

from .currencies import DEFAULT, minor_units

Key = TypeVar("Key")

ZERO = Decimal(0)

# Wide enough for any product of an amount (19 digits) with a share or a rate (up to 28 digits).
EXACT = Context(prec=60)


class Priced:
    """What has a list price, a price after the provider's discount and a charge; how they differ."""

    list_cost: Decimal
    contracted_cost: Decimal
    charged: Decimal

    @property
    def discount(self) -> Decimal:
        """Provider discount: list − contracted."""
        return self.list_cost - self.contracted_cost

    @property
    def subsidy(self) -> Decimal:
        """What the center forgoes or funds: contracted − charged."""
        return self.contracted_cost - self.charged


def to_cents(amount: Decimal, currency: str) -> Decimal:
    """Round to whole cents of a currency, halves away from zero, as accountants do."""
    cents = amount.quantize(Decimal(1).scaleb(-minor_units(currency)), rounding=ROUND_HALF_UP, context=EXACT)
    # −0.001 rounds to 0.00, not to the −0.00 that would be printed.
    return cents if cents else cents.copy_abs()


def is_whole(amount: Decimal, currency: str) -> bool:
    """Tell whether an amount is in whole cents of its currency: 33.4 is not, of yen."""
    return amount.is_finite() and amount == amount.quantize(Decimal(1).scaleb(-minor_units(currency)), context=EXACT)


def split(total: Decimal, weights: Mapping[Key, Decimal], currency: str) -> dict[Key, Decimal]:
    """Share a `total` in whole cents among keys in proportion to `weights`, by largest remainder.

    The parts sum to the total, none is off by more than a cent, and none changes sign. Ties go to
    the key that sorts first, so the same call gives the same parts on every machine.

    Raises ValueError for a total with parts of a cent, a negative weight, or weights that sum to 0.
    """
    cents = _whole_cents(total, currency)
    if any(weight < 0 for weight in weights.values()):
        raise ValueError("A share cannot be negative.")
    shares, _ = _scaled(weights)
    whole = sum(shares.values())
    if not whole:
        raise ValueError("There is nobody to share among: the weights sum to 0.")
    sign = -1 if cents < 0 else 1
    parts = _largest_remainder(abs(cents), {key: abs(cents) * share for key, share in shares.items()}, whole)
    return {key: _from_cents(sign * part, currency) for key, part in parts.items()}


def apportion(total: Decimal, exact: Mapping[Key, Decimal], currency: str) -> dict[Key, Decimal]:
    """Round each of `exact` to cents so that together they make `total`, by largest remainder.

    For printing a line's parts below it: the amounts may have either sign, and `total` is their sum
    rounded, or a few cents off it where several roundings met. What is left after rounding down goes
    to the largest remainders, a cent each, and never to an amount of nothing while there is another.

    Raises ValueError for a total with parts of a cent, or one that is not 0 and has no parts.
    """
    cents = _whole_cents(total, currency)
    if not exact:
        if cents:
            raise ValueError(f"There is nothing to share {total} among.")
        return {}
    amounts, places = _scaled(exact, at_least=minor_units(currency))
    # A refund is shared as its charge was, with the sign put back last.
    sign = -1 if cents < 0 else 1
    parts = _largest_remainder(
        abs(cents), {key: sign * amount for key, amount in amounts.items()}, 10 ** (places - minor_units(currency))
    )
    return {key: _from_cents(sign * part, currency) for key, part in parts.items()}


def plain(amount: Decimal, currency: str | None = None) -> str:
    """Write an amount exactly, without an exponent and with at least the decimals of its currency.

    Without a currency these are two: what is sealed and recorded is written so, whatever money it is.
    """
    least = DEFAULT if currency is None else minor_units(currency)
    text = format(amount, "f")
    whole, _, decimals = text.partition(".")
    decimals = decimals.rstrip("0").ljust(least, "0")
    if whole == "-0" and not decimals.strip("0"):
        whole = "0"
    return f"{whole}.{decimals}" if decimals else whole


def written(amount: Decimal, currency: str | None) -> str:
    """Write an amount to its last digit with thousands separators and at least the decimals of its currency."""
    whole, point, decimals = plain(amount, currency).partition(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{int(digits):,}{point}{decimals}"


def rounded(amount: Decimal, currency: str) -> str:
    """Write an amount in whole cents of its currency with thousands separators: `20,227.00`, of yen `20,227`."""
    return written(to_cents(amount, currency), currency)


def named(amount: Decimal, currency: str) -> str:
    """Write an amount exactly, with its currency: `20227.00 USD`."""
    return f"{plain(amount, currency)} {currency}"


def in_decimals_of(amount: Decimal, currency: str) -> Decimal:
    """Return an amount with the decimals that its currency has, so that it prints with them; more where it has more."""
    return Decimal(plain(amount, currency))


def _largest_remainder(cents: int, numerators: Mapping[Key, int], denominator: int) -> dict[Key, int]:
    """Round every part (a fraction of whole cents) down, then hand out what is left, a cent each."""
    floors = {key: divmod(numerator, denominator) for key, numerator in numerators.items()}
    parts = {key: floor for key, (floor, _) in floors.items()}
    residue = cents - sum(parts.values())
    if not residue:
        return parts
    takers: list[Any] = [key for key, numerator in numerators.items() if numerator] or list(numerators)
    takers.sort(key=lambda key: (-floors[key][1], _stable(key)))
    if residue < 0:
        takers.reverse()
    each, rest = divmod(abs(residue), len(takers))
    for turn, key in enumerate(takers):
        parts[key] += (each + (turn < rest)) * (1 if residue > 0 else -1)
    return parts


def _scaled(amounts: Mapping[Key, Decimal], at_least: int = 0) -> tuple[dict[Key, int], int]:
    """Return the amounts as whole numbers of one unit, and its decimal places."""
    places = max([at_least, *(-int(amount.as_tuple().exponent) for amount in amounts.values())])
    return {key: int(amount.scaleb(places, context=EXACT)) for key, amount in amounts.items()}, places


def _stable(key: object) -> tuple[str, str]:
    return type(key).__name__, f"{key:020d}" if isinstance(key, int) else str(key)


def _whole_cents(total: Decimal, currency: str) -> int:
    cents = total.scaleb(minor_units(currency), context=EXACT)
    if cents != int(cents):
        raise ValueError(f"{total} is not in whole cents of {currency}.")
    return int(cents)


def _from_cents(cents: int, currency: str) -> Decimal:
    return Decimal(cents).scaleb(-minor_units(currency))

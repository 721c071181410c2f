"""Quantities with units, such as 257.33 core-hours: added up exactly, and written for people and for files."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal

from .money import ZERO

HUNDRED = Decimal(100)
# Files hold numbers of up to 90 digits with exponents up to ±40 (see `readers.amounts`), and a month adds up many.
EXACT = Context(prec=250)
# People read so many decimals of a quantity, or of one below 1 so many digits. Files have them all.
READ = 3
# A line with more units than these says nothing of them: its resources do.
MOST_ON_A_LINE = 2
# What ends like a word is counted as one: core-hour, TB-month and job, but not TiB, GB-Mo, h, min, GB/month or
# million tokens.
_ONE = re.compile(r"(?!\d|(?:min|sec|mol)$|(?:thousand|million|billion) )[^/]*[a-z]{3}$")
_ENDS_IN_S = re.compile(r"(?<![isu])s$")


@dataclass(frozen=True)
class Usage:
    """How much was used, in one unit: of the resource as a whole, whatever part of its cost this payer has.

    `percent` is that part. The quantity is exact and not multiplied by it: an auditor finds it at the provider.
    """

    quantity: Decimal
    unit: str
    percent: Decimal = HUNDRED

    def __str__(self) -> str:
        told = counted(self.quantity, self.unit)
        return told if self.percent == HUNDRED else f"{self.share} of {told}"

    @property
    def share(self) -> str:
        """The part of the cost that is this payer's: `60%`."""
        return f"{plain(self.percent)}%"


def added(usages: Iterable[Usage]) -> tuple[Usage, ...]:
    """Add up usage of one unit and share each, sorted by unit; what comes to nothing is left out."""
    known = list(usages)
    if len(known) < 2:
        # As of nearly every resource.
        return tuple(each for each in known if each.quantity)
    sums: dict[tuple[str, Decimal], Decimal] = {}
    for each in known:
        key = each.unit, each.percent
        sums[key] = EXACT.add(sums.get(key, ZERO), each.quantity)
    ordered = sorted(sums, key=lambda key: (key[0], -key[1]))
    return tuple(Usage(sums[key], *key) for key in ordered if sums[key])


def on_a_line(usages: Iterable[Usage]) -> str:
    """Write usage beside a service: `60% of 257.33 core-hours, 12 GPU-hours`; empty where there are many units."""
    known = list(usages)
    return told(known) if len({each.unit for each in known}) <= MOST_ON_A_LINE else ""


def told(usages: Iterable[Usage]) -> str:
    return ", ".join(map(str, usages))


def plain(quantity: Decimal) -> str:
    """Write a quantity to its last digit, without an exponent and without zeros that say nothing."""
    text = format(quantity, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text


def counted(quantity: Decimal, unit: str) -> str:
    """Write a quantity with its unit for people: `240 core-hours`, `1 core-hour`, `5 TiB`, `3 × 1000 tokens`."""
    told = for_people(quantity)
    # A unit such as `1000 tokens` begins with a number of its own.
    return f"{told} {'× ' if unit[:1].isdigit() else ''}{unit_of(Decimal(told.replace(',', '')), unit)}"


def unit_of(quantity: Decimal, unit: str) -> str:
    """Return a unit as it stands behind a number: `core-hours`, or `core-hour` behind 1."""
    if " per " in unit or not _ONE.match(unit):
        return unit
    if unit.endswith("s"):
        return _ENDS_IN_S.sub("", unit) if abs(quantity) == 1 else unit
    if abs(quantity) == 1:
        return unit
    return f"{unit[:-1]}ies" if re.search("[^aeiou]y$", unit) else f"{unit}s"


def for_people(quantity: Decimal) -> str:
    """Write a quantity with thousands separators and few decimals: `412,600`, `86.5`, `0.000278`."""
    places = READ if abs(quantity) >= 1 or not quantity else READ - 1 - quantity.adjusted()
    exponent = quantity.as_tuple().exponent
    if isinstance(exponent, int) and -exponent > places:
        quantity = quantity.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP, context=EXACT)
    whole, point, decimals = plain(quantity).partition(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{int(digits):,}{point}{decimals}"

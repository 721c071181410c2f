"""Why a row costs what it does: from where its record stood in somebody's use to its list, contracted and billed cost.

Worked out again from the schedule by what prices a month (`rating`), for one record. What a row says can be held
against it.
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa

from ...errors import BillingError
from ..records import Shape
from .curves import curve_of
from .exact import ONE, decimal, whole
from .groups import Group
from .lines import By
from .month import month_of
from .payers import Payers
from .rating import Rated, Use, rated
from .terms import Balance, Payer, Rate, RateClass, Schedule, Subsidy, Tier, Tiering
from .uses import APARTS, Before, Calendar, Key

# A row for what a further fund/org pays of a line.
PAID = "paid"
_NO_SHAPE = Shape((), ())
# An hour by itself: prices of one record do not depend on when it was.
_ONE_RECORD = {"id": [""], "start": [0], "end": [0], "number": [0], "payer": [0], "reason": [0]}


class NoSuchRate(BillingError):
    """A row is of a rate that its schedule does not have."""


@dataclass(frozen=True)
class TierPart:
    """What of a record's use a tier priced: units from a place in the use of the scope to another, and their cost.

    `amount` is exact to 10^-8. `up_to` is the end of the tier in its threshold, None for the last.
    """

    tier: int
    price: Decimal
    up_to: Decimal | None
    begin: Fraction
    end: Fraction
    amount: Decimal

    @property
    def quantity(self) -> Fraction:
        return self.end - self.begin


@dataclass(frozen=True)
class Reduced:
    """What a line was reduced by: `used` of `of` with it, in units or in money, where there is a limit."""

    by: str
    code: str
    name: str
    fund_org: str
    percent: Decimal | None
    quantity: Decimal
    amount: Decimal
    used: Decimal
    of: Decimal | None
    unit: str

    @property
    def left(self) -> Decimal | None:
        """What is left of the free amount, the balance or the cap; None without a limit."""
        return None if self.of is None else max(self.of - self.used, Decimal(0))


@dataclass(frozen=True)
class Explanation:
    """How one row came about. Amounts and quantities are exact; those of the record are in units of its rate."""

    rate: Rate
    rate_class: RateClass
    kind: str
    scope: str
    apart: str
    use: Fraction
    before: Fraction
    free: Fraction
    tiers: tuple[TierPart, ...]
    # What the tiers come to, and what it is in the running sum of the scope.
    listed: Decimal
    rounding: Decimal
    contracted: Decimal
    surcharge: Decimal
    base: Decimal
    reductions: tuple[Reduced, ...]
    # What further fund/orgs pay of the line, on rows of their own.
    elsewhere: Decimal
    # Who pays what is not billed, of this row.
    fund_org: str
    row: tuple[Decimal, Decimal, Decimal]

    @property
    def after(self) -> Fraction:
        return self.before + self.use

    @property
    def free_before(self) -> Fraction:
        """How much of the free amount was used before the record."""
        return min(self.before, self.free)

    @property
    def free_after(self) -> Fraction:
        return min(self.after, self.free)

    def adds_up(self, listed: Decimal, contracted: Decimal, billed: Decimal) -> bool:
        """Tell whether a row lists, contracts and bills what it should."""
        return self.row == (listed, contracted, billed)


def explained(
    working: Mapping[str, Any],
    schedule: Schedule,
    *,
    subsidies: Sequence[Subsidy] = (),
    balances: Sequence[Balance] = (),
) -> Explanation:
    """Return how a row came about, of which `working` is kept (see `workings`). Raises NoSuchRate."""
    rate = next((each for each in schedule.rates if each.code == working["rate"]), None)
    rate_class = next((each for each in schedule.classes if each.name == working["rate_class"]), RateClass(""))
    if rate is None or rate_class.name != working["rate_class"]:
        raise NoSuchRate(f"{schedule.name}, version {schedule.version}, has no rate {working['rate']} for this row.")
    scale = int(working["scale"])
    numbers = {name: int(working[name]) for name in ("use", "before", "in_all", "free")}
    is_of_money = working["kind"] in ("minimum", "indirect")
    made = _rated(rate, rate_class, schedule, scale, working, dict.fromkeys(numbers, 0) if is_of_money else numbers)
    listed = decimal(int(made.listed[0]))
    tiers = tuple(_tiers(rate, made, scale, numbers)) if listed else ()
    surcharge, base = decimal(int(made.surcharge[0])), decimal(int(working["base"]))
    terms = _Terms(rate, {each.code: each for each in subsidies}, {each.code: each for each in balances})
    reductions = tuple(terms.reduced(each, Fraction(numbers["free"], scale)) for each in working["reductions"])
    line = _line_of(working["kind"], rate, rate_class, made, base, Fraction(numbers["before"], ONE))
    if line is None:
        # What a further fund/org pays: as much as reduces the line in its name.
        paid = sum((each.amount for each in reductions if each.fund_org == working["fund_org"]), Decimal(0))
        elsewhere, row = Decimal(0), (paid, paid, Decimal(0))
    else:
        own = reductions[0].fund_org if reductions else ""
        elsewhere = sum((each.amount for each in reductions if each.fund_org != own), Decimal(0))
        billed = line[1] - sum((each.amount for each in reductions), Decimal(0))
        row = (line[0] - elsewhere, line[1] - elsewhere, billed)
    return Explanation(
        rate=rate,
        rate_class=rate_class,
        kind=working["kind"],
        scope=working["scope"],
        apart=working["apart"],
        use=Fraction(numbers["use"], scale),
        before=Fraction(0) if is_of_money else Fraction(numbers["before"], scale),
        free=Fraction(numbers["free"], scale),
        tiers=tiers,
        listed=listed,
        rounding=listed - sum((each.amount for each in tiers), Decimal(0)) if tiers else Decimal(0),
        contracted=decimal(int(made.contracted[0])),
        surcharge=surcharge,
        base=base,
        reductions=reductions,
        elsewhere=elsewhere,
        fund_org=working["fund_org"],
        row=row,
    )


def _line_of(
    kind: str, rate: Rate, rate_class: RateClass, made: Rated, base: Decimal, before: Fraction
) -> tuple[Decimal, Decimal] | None:
    """Return what the line of a row lists and contracts, before it is reduced; None for what a further fund pays."""
    if kind == "usage":
        return decimal(int(made.listed[0])), decimal(int(made.contracted[0]))
    if kind == PAID:
        return None
    if kind == "surcharge":
        cost = decimal(int(made.surcharge[0]))
    elif kind == "minimum":
        cost = (rate.minimum or Decimal(0)) - base
    else:
        # Rounded once for all of them: what this one adds to the sum.
        percent = Fraction(rate_class.indirect_percent) / 100
        cost = _cents_of((before + Fraction(base)) * percent) - _cents_of(before * percent)
    return cost, cost


def _rated(
    rate: Rate,
    rate_class: RateClass,
    schedule: Schedule,
    scale: int,
    working: Mapping[str, Any],
    numbers: Mapping[str, int],
) -> Rated:
    """Price one record where it stood, by all that its scope used, where prices go by volume."""
    month = month_of(
        records=pa.table(_ONE_RECORD),
        shape=_NO_SHAPE,
        payers=Payers([Payer(rate_class=rate_class.name)], schedule),
        schedule=schedule,
        before=Before(),
        calendar=Calendar(datetime.date(2000, 1, 1), 1),
        zone=datetime.UTC,
        reasons=[""],
    )
    apart = next(each for each in APARTS if each.name == working["apart"])
    after = numbers["before"] + numbers["use"]
    group = Group(Key(rate.code, working["scope"], apart.name), apart, False, 0, numbers["free"], None)
    use = Use(
        rate=rate,
        scale=scale,
        groups=[group],
        in_all=[max(numbers["in_all"], after)],
        starts=np.array([0]),
        sizes=np.array([1]),
        record=np.array([0]),
        parts=whole([numbers["use"]]),
        after=whole([after]),
    )
    return rated(use, month)


def _tiers(rate: Rate, made: Rated, scale: int, numbers: Mapping[str, int]) -> Iterable[TierPart]:
    """Yield what each tier priced of a record; of rates with steps, of the steps that began with it."""
    curve = curve_of(rate, rate.tiers, scale)
    begin, end = _stepped(rate, scale, numbers)
    if rate.tiering is Tiering.VOLUME:
        tier = int(made.last_tier[0])
        yield _part(rate, tier, rate.tiers[tier], begin, end, scale)
        return
    bounds: list[Fraction | None] = [*curve.bounds, None]
    at = Fraction(begin)
    for number, (tier_of, bound) in enumerate(zip(rate.tiers, bounds, strict=False)):
        until = Fraction(end) if bound is None else min(bound, Fraction(end))
        if until > at:
            yield _part(rate, number, tier_of, at, until, scale)
            at = until


def _part(rate: Rate, number: int, tier: Tier, begin: Fraction | int, end: Fraction | int, scale: int) -> TierPart:
    units = Fraction(end - begin) / scale
    amount = _cents_of(units * Fraction(tier.price) / Fraction(rate.per))
    return TierPart(number + 1, tier.price, tier.up_to, Fraction(begin) / scale, Fraction(end) / scale, amount)


def _stepped(rate: Rate, scale: int, numbers: Mapping[str, int]) -> tuple[int, int]:
    """Return from where to where a record is charged: in whole steps of what is not free, where the rate has steps."""
    before, free = numbers["before"], numbers["free"]
    places = []
    for place in (before, before + numbers["use"]):
        if rate.step is not None:
            step = int(Fraction(rate.step) * scale)
            place = min(place, free) + -(-max(place - free, 0) // step) * step
        places.append(place)
    return places[0], places[1]


def _cents_of(amount: Fraction) -> Decimal:
    """Return an amount to 10^-8, halves to even."""
    return decimal(round(amount * ONE))


@dataclass(frozen=True)
class _Terms:
    """What a row may have been reduced by."""

    rate: Rate
    subsidies: Mapping[str, Subsidy]
    balances: Mapping[str, Balance]

    def reduced(self, kept: Mapping[str, Any], free: Fraction) -> Reduced:
        """Return a reduction with what it is a part of."""
        code, by = kept["code"], kept["by"]
        subsidy, balance = self.subsidies.get(code), self.balances.get(code)
        name, percent, of, unit, fund_org = code, None, None, "", kept["fund_org"]
        if by == By.SUBSIDY and subsidy:
            name, percent, of = subsidy.name, subsidy.percent, subsidy.cap
        elif by == By.DRAWDOWN and balance:
            of, unit = balance.size, balance.unit
        elif by == By.FREE and code == self.rate.code:
            of, unit = _cents_of(free), self.rate.unit
        exact = {name: decimal(int(kept[name])) for name in ("quantity", "amount", "used")}
        return Reduced(by, code, name, fund_org, percent, of=of, unit=unit, **exact)

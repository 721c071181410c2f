"""One rate over its records: list price, what the payer's class pays, and what of it is free."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from .counting import parts_of
from .curves import Curve, curve_of, stepped
from .exact import ONE, Ints, cumulated, line, rounded, spread, whole
from .fitting import Mask
from .groups import DAYS, Group, Groups
from .month import Month
from .terms import Rate, RateClass, Span, Tiering
from .uses import APARTS, INTERNAL, WORTHLESS, Apart

_FULL = 100


@dataclass(frozen=True)
class Use:
    """What a rate counts: the records it prices, by group and in the order they were used, and their parts of a unit.

    `starts` has the place of the first record of each group, and `sizes` how many it has. `after` is what was used in
    the group with each record. `in_all` is what each group uses in the whole month, where prices go by volume.
    """

    rate: Rate
    scale: int
    groups: Sequence[Group]
    in_all: Sequence[int]
    starts: Ints
    sizes: Ints
    record: Ints
    parts: Ints
    after: Ints

    def each(self, of_groups: Sequence[int]) -> Ints:
        """Return a number of each group for each of its records."""
        return spread(of_groups, self.sizes)

    @property
    def aparts(self) -> Ints:
        """For each record, the place in APARTS of what it is counted as."""
        return self.each([APARTS.index(group.apart) for group in self.groups])


@dataclass(frozen=True)
class Rated:
    """What a rate makes of its records, with a place for each as in `use`; amounts are in 10^-8.

    contracted = free + paid, but for what has a reason to be free. `surcharge` is what a class pays above list.
    """

    use: Use
    quantity: Ints
    listed: Ints
    contracted: Ints
    free: Ints
    paid: Ints
    surcharge: Ints
    free_parts: Ints
    # What is not free, in whole steps where the rate has steps: what a balance of units is drawn down by.
    paid_parts: Ints
    first_tier: Ints
    last_tier: Ints


def use_of(counting: Groups, mask: Mask, month: Month) -> Use:
    """Count what the records that a rate prices used, by scope, after the parts before. Raises NegativeUse."""
    rate, scale = counting.rate, counting.scale
    record = month.order[mask[month.order]]
    keys = counting.scoped.codes[month.payer[record]] * len(APARTS) + month.apart[record]
    if rate.span is Span.DAY:
        keys = keys * DAYS + month.days()[record]
    by_group = np.argsort(keys, kind="stable")
    record, keys = record[by_group], keys[by_group]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    sizes = np.diff(starts, append=len(keys))
    parts = parts_of(month.records, rate, month.shape, scale)[record]
    numbers = keys[starts].tolist()
    groups = [counting.group(number) for number in numbers]
    after = cumulated(parts)
    # The running sum begins anew with each group, at what it used before.
    used = [counting.ends.get(number, group.begin) for number, group in zip(numbers, groups, strict=True)]
    begins = after[starts] - parts[starts] - whole(used)
    after = after - np.repeat(begins, sizes)
    counting.ends.update(zip(numbers, after[starts + sizes - 1].tolist(), strict=True))
    in_all = [counting.totals.get(number, 0) for number in numbers]
    return Use(rate, scale, groups, in_all, starts, sizes, record, parts, after)


def rated(use: Use, month: Month) -> Rated:
    """Price what was used.

    The list price is what the tiers ask. What is free has it, too. A class pays its own prices or a percentage of the
    list price: up to the list price it is contracted, and above it a surcharge.
    """
    curve = curve_of(use.rate, use.rate.tiers, use.scale)
    stretch, gift = _stretches(use)
    listed = _Costs(curve.at(stretch.begin, stretch.in_all), curve.at(stretch.end, stretch.in_all))
    given = _Costs(curve.at(gift.begin, gift.in_all), curve.at(gift.end, gift.in_all)) if gift else None
    nothing = np.broadcast_to(np.int64(0), len(use.record))
    list_free = given.amount if given else nothing
    cost, cost_free = _of_classes(use, month, stretch, gift, listed, given)
    free = np.minimum(list_free, cost_free) if given else nothing
    paid = np.minimum(listed.amount - list_free, cost - cost_free)
    aparts = use.aparts
    has_value, is_paid = aparts != APARTS.index(WORTHLESS), ~np.isin(aparts, _places(WORTHLESS, INTERNAL))
    free_parts = gift.end - gift.begin if gift else nothing
    quantity = [line(Fraction(ONE, use.scale))]
    first = curve.tiers(stretch.in_all if curve.is_volume else stretch.begin, of_next=not curve.is_volume)
    last = curve.tiers(stretch.in_all if curve.is_volume else stretch.end)
    return Rated(
        use=use,
        quantity=rounded(use.after, quantity) - rounded(use.after - use.parts, quantity),
        listed=listed.amount * has_value,
        contracted=(free + paid) * has_value,
        free=free * is_paid,
        paid=paid * is_paid,
        surcharge=(cost - cost_free - paid) * is_paid,
        free_parts=free_parts,
        paid_parts=(stretch.end - stretch.begin - free_parts) * is_paid,
        first_tier=np.minimum(first, last),
        last_tier=last,
    )


def until(rate: Rated, record: int, parts: int, scale: int, month: Month) -> tuple[int, int]:
    """Return what the first parts of what is not free of a record cost at most: as contracted, and as surcharge.

    A unit has `scale` of these parts, a multiple of those that the rate counts.
    """
    use, finer = rate.use, scale // rate.use.scale
    at = int(np.flatnonzero(use.record == record)[0])
    group = int(np.searchsorted(use.starts, at, side="right")) - 1
    one = replace(
        use,
        groups=[use.groups[group]],
        in_all=[use.in_all[group]],
        starts=np.array([0]),
        sizes=np.array([1]),
        **{name: getattr(use, name)[[at]] for name in ("record", "parts", "after")},
    )
    stretch, _ = _stretches(one)
    begin = (stretch.begin + rate.free_parts[at]).astype(object) * finer
    part = _Stretch(begin, begin + int(parts), stretch.in_all.astype(object) * finer)
    fine = replace(one, scale=scale)
    curve = curve_of(use.rate, use.rate.tiers, scale)
    listed = _Costs(curve.at(part.begin, part.in_all), curve.at(part.end, part.in_all))
    cost, _ = _of_classes(fine, month, part, None, listed, None)
    paid = min(int(listed.amount[0]), int(cost[0]))
    return min(paid, int(rate.paid[at])), min(int(cost[0]) - paid, int(rate.surcharge[at]))


class _Stretch(NamedTuple):
    """From where to where on its curve each record goes, and how far its group goes in all."""

    begin: Ints
    end: Ints
    in_all: Ints


class _Costs(NamedTuple):
    """What the curve is where each record begins and ends."""

    begin: Ints
    end: Ints

    @property
    def amount(self) -> Ints:
        return self.end - self.begin


def _stretches(use: Use) -> tuple[_Stretch, _Stretch | None]:
    """Return where the curve is gone along, in whole steps where the rate has steps, and what of it is free, if any."""
    free = use.each([group.free for group in use.groups])
    before = use.after - use.parts
    in_all = _in_all(use) if use.rate.tiering is Tiering.VOLUME else use.after
    begin, end = (stepped(each, free, use.rate, use.scale) for each in (before, use.after))
    stretch = _Stretch(begin, end, in_all)
    if not any(group.free for group in use.groups):
        return stretch, None
    return stretch, _Stretch(np.minimum(before, free), np.minimum(use.after, free), in_all)


def _in_all(use: Use) -> Ints:
    """Return for each record where its group ends, in whole steps where the rate has steps."""
    frees = whole([group.free for group in use.groups])
    return use.each(stepped(whole(use.in_all), frees, use.rate, use.scale).tolist())


def _of_classes(
    use: Use, month: Month, span: _Stretch, gift: _Stretch | None, listed: _Costs, given: _Costs | None
) -> tuple[Ints, Ints]:
    """Return what each record costs by the class of its payer, and how much of that its free part would."""
    cost = listed.amount
    cost_free = given.amount if given else np.broadcast_to(np.int64(0), len(cost))
    class_of = month.payers.class_of[month.payer[use.record]]
    for place in np.unique(class_of).tolist():
        rate_class = month.payers.classes[place]
        own = use.rate.prices.get(rate_class.name)
        if own is None and rate_class.percent == _FULL:
            continue
        those = class_of == place
        curve = curve_of(use.rate, own, use.scale) if own is not None else None
        cost = cost.copy()
        cost[those] = _cost(curve, rate_class, span, listed, those)
        if gift is not None and given is not None:
            cost_free = cost_free.copy()
            cost_free[those] = _cost(curve, rate_class, gift, given, those)
    return cost, cost_free


def _cost(curve: Curve | None, rate_class: RateClass, stretch: _Stretch, costs: _Costs, those: Mask) -> Ints:
    if curve is not None:
        in_all = stretch.in_all[those]
        return curve.at(stretch.end[those], in_all) - curve.at(stretch.begin[those], in_all)
    percent = [line(Fraction(rate_class.percent) / _FULL)]
    return rounded(costs.end[those], percent) - rounded(costs.begin[those], percent)


def _places(*aparts: Apart) -> list[int]:
    return [APARTS.index(each) for each in aparts]

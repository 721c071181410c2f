"""From priced records to lines, before anything but free amounts reduces them."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from .balance import units_of
from .exact import ONE, Ints, amount, line, rounded, total, whole
from .fitting import Mask
from .lines import (
    FREE_AMOUNT,
    NO_CHARGE,
    By,
    Columns,
    Kind,
    Reduction,
    Units,
    Working,
    at_list_price,
    is_free,
    joined,
    working,
)
from .month import Month
from .rating import Rated, Use, rated, use_of
from .terms import Tiering
from .uses import CHARGED, EXTERNAL, INTERNAL, Key, Used

# The texts that `Columns.free` has places of, before the reasons of the records.
_WHY = ("", FREE_AMOUNT, NO_CHARGE)


class Counted(NamedTuple):
    """Whose use was added up, how many parts a unit of the rate has, and how many of them are free."""

    scope: str
    apart: str
    scale: int
    free: int


@dataclass(frozen=True)
class Opened:
    """Lines of use, surcharges and minimums, what of each is `left` to be billed, and what is free of them.

    `reasons` are the texts that `columns.free` has places of, and `groups` what `columns.group` has places of, from 1.
    `made` has what each rate made, where that is kept.
    """

    columns: Columns
    left: Ints
    reductions: list[Reduction]
    units: list[Units]
    used: dict[Key, Used]
    reasons: list[str]
    made: list[Rated]
    groups: list[Counted]


def lines_of(masks: Mapping[str, Mask], month: Month, *, keep: bool) -> Opened:
    """Price what each rate fits. Each record has a line for each rate that counts any use of it, and at least one.

    `keep` says whether what each rate made is needed again: it takes memory.
    """
    some: list[tuple[Columns, Ints]] = []
    reductions: list[Reduction] = []
    used: dict[Key, Used] = {}
    units, all_made, count = [], [], 0
    groups: list[Counted] = []
    # A job without a GPU says nothing on a line of GPU-hours.
    has_line = np.zeros(month.records.num_rows, dtype=bool)
    for place, rate in enumerate(month.schedule.rates):
        made = rated(use_of(rate, masks[rate.code], month), month)
        units.append(units_of(made, masks[rate.code], month))
        used |= made.used
        all_made += [made] if keep else []
        kept = made.use.parts > 0
        has_line[made.use.record[kept]] = True
        reductions += _free(made, kept, count)
        group = np.repeat(np.arange(len(groups) + 1, len(groups) + len(made.use.groups) + 1), made.use.sizes)
        for lines in (
            _usage(made, place, kept, group, month),
            _surcharges(made, place, group, month),
            _minimums(made, place, group, month),
        ):
            some.append(lines)
            count += len(lines[1])
        groups += [Counted(each.key.scope, each.apart.name, made.use.scale, each.free) for each in made.use.groups]
    some.append(_of_nothing(masks, ~has_line, month))
    columns = joined([lines for lines, _ in some])
    left = np.concatenate([each for _, each in some])
    return Opened(columns, left, reductions, units, used, [*_WHY, *month.reasons], all_made, groups)


def _usage(rate: Rated, place: int, kept: Mask, group: Ints, month: Month) -> tuple[Columns, Ints]:
    record = rate.use.record[kept]
    columns = Columns(
        record=record,
        payer=month.payer[record],
        rate=np.full(len(record), place, dtype=np.int16),
        kind=np.full(len(record), Kind.USAGE, dtype=np.int8),
        quantity=rate.quantity[kept],
        listed=rate.listed[kept],
        contracted=rate.contracted[kept],
        free=_why_free(rate, month)[kept],
        first_tier=rate.first_tier[kept],
        last_tier=rate.last_tier[kept],
        parts=rate.paid_parts[kept],
        **_how(rate.use, kept, group)._asdict(),
    )
    return columns, rate.paid[kept]


def _how(use: Use, those: Mask, group: Ints) -> Working:
    """Return where on their curve records begin and end, and whose use it is counted with."""
    known = {"use": use.parts[those], "before": (use.after - use.parts)[those], "group": group[those].astype(np.int32)}
    if use.rate.tiering is Tiering.VOLUME:
        known["in_all"] = use.after[use.starts + use.sizes - 1].repeat(use.sizes)[those]
    return working(len(known["use"]), **known)


def _why_free(rate: Rated, month: Month) -> Ints:
    """Return the places of reasons for which nobody is charged."""
    use = rate.use
    own = _reasons(month)[month.reason[use.record]]
    if is_free(use.rate):
        return np.where(own > 0, own, _WHY.index(NO_CHARGE)).astype(np.int16)
    is_gift = (rate.free_parts == use.parts) & (use.parts > 0)
    return np.where(own > 0, own, is_gift * _WHY.index(FREE_AMOUNT)).astype(np.int16)


def _reasons(month: Month) -> Ints:
    """Return the places of the reasons that records come with; 0 of none."""
    return whole([place if text else 0 for place, text in enumerate([*month.reasons, ""], len(_WHY))])


def _free(rate: Rated, kept: Mask, first: int) -> list[Reduction]:
    """Return what free amounts and the center's own use take off; `first` is the place of the rate's first line."""
    use = rate.use
    own = use.each([group.apart is INTERNAL for group in use.groups]).astype(bool)
    quantity = [line(Fraction(ONE, use.scale))]
    found = []
    so_far = np.minimum(use.after, use.each([group.free for group in use.groups]))
    for code, those, money, parts, used in (
        (use.rate.code, (rate.free_parts > 0)[kept], rate.free, rate.free_parts, so_far),
        (INTERNAL.name, (own & (rate.contracted > 0))[kept], rate.contracted, use.parts, np.zeros_like(use.after)),
    ):
        if those.any():
            at = first + np.flatnonzero(those)
            taken, so_far = (rounded(each[kept][those], quantity) for each in (parts, used))
            found.append(Reduction(By.FREE, code, at, money[kept][those], taken, so_far))
    return found


def _surcharges(rate: Rated, place: int, group: Ints, month: Month) -> tuple[Columns, Ints]:
    those = rate.surcharge > 0
    record, cost = rate.use.record[those], rate.surcharge[those]
    rates, how = np.full(len(record), place), _how(rate.use, those, group)
    return at_list_price(Kind.SURCHARGE, record, month.payer[record], rates, cost, how), cost


def _minimums(rate: Rated, place: int, groups: Ints, month: Month) -> tuple[Columns, Ints]:
    """Return what is missing to the minimum, of each scope whose use is not all free, for the payer of most of it."""
    use, found = rate.use, []
    if use.rate.minimum is not None:
        cost = rate.paid + rate.surcharge
        # Of a rate that counts by day, a month has many groups of one key.
        by_key: dict[Key, list[Ints]] = {}
        for group, start, size in zip(use.groups, use.starts.tolist(), use.sizes.tolist(), strict=True):
            if group.is_known and group.apart in (CHARGED, EXTERNAL):
                by_key.setdefault(group.key, []).append(np.arange(start, start + size))
        for _, some in sorted(by_key.items()):
            rows = np.concatenate(some)
            came_to = total(cost[rows])
            missing = amount(use.rate.minimum) - came_to
            if missing > 0 and (rate.paid_parts[rows] > 0).any():
                most = rows[np.argmax(cost[rows])]
                found.append((int(month.payer[use.record[most]]), missing, int(groups[most]), came_to))
    payer, missing_all, of_group, base = (whole([each[at] for each in found]) for at in range(4))
    record, rates = np.full(len(found), -1), np.full(len(found), place)
    how = working(len(found), group=of_group.astype(np.int32), base=base)
    return at_list_price(Kind.MINIMUM, record, payer, rates, missing_all, how), missing_all


def _of_nothing(masks: Mapping[str, Mask], those: Mask, month: Month) -> tuple[Columns, Ints]:
    """Return a line of the first rate that fits for each record that used nothing at all: it is told, too."""
    record = np.flatnonzero(those)
    nothing = np.zeros(len(record), dtype=np.int64)
    rate = nothing.copy()
    for place, code in reversed(list(enumerate(masks))):
        rate[masks[code][record]] = place
    columns = at_list_price(Kind.USAGE, record, month.payer[record], rate, nothing)
    return columns.with_reasons(_reasons(month)[month.reason[record]]), nothing

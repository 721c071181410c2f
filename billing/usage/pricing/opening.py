"""From priced records to lines, before anything but free amounts reduces them."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from .balance import units_of
from .exact import ONE, Ints, amount, line, rounded, total, whole
from .fitting import Mask
from .lines import FREE_AMOUNT, NO_CHARGE, By, Columns, Kind, Reduction, Units, at_list_price, is_free, joined
from .month import Month
from .rating import Rated, rated, use_of
from .uses import CHARGED, EXTERNAL, INTERNAL, Key, Used

# The texts that `Columns.free` has places of, before the reasons of the records.
_WHY = ("", FREE_AMOUNT, NO_CHARGE)


@dataclass(frozen=True)
class Opened:
    """Lines of use, surcharges and minimums, what of each is `left` to be billed, and what is free of them.

    `reasons` are the texts that `columns.free` has places of. `made` has what each rate made, where that is kept.
    """

    columns: Columns
    left: Ints
    reductions: list[Reduction]
    units: list[Units]
    used: dict[Key, Used]
    reasons: list[str]
    made: list[Rated]


def lines_of(masks: Mapping[str, Mask], month: Month, *, keep: bool) -> Opened:
    """Price what each rate fits. Each record has a line for each rate that counts any use of it, and at least one.

    `keep` says whether what each rate made is needed again: it takes memory.
    """
    some: list[tuple[Columns, Ints]] = []
    reductions: list[Reduction] = []
    used: dict[Key, Used] = {}
    units, all_made, count = [], [], 0
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
        for lines in (_usage(made, place, kept, month), _surcharges(made, place, month), _minimums(made, place, month)):
            some.append(lines)
            count += len(lines[1])
    some.append(_of_nothing(masks, ~has_line, month))
    columns = joined([lines for lines, _ in some])
    left = np.concatenate([each for _, each in some])
    return Opened(columns, left, reductions, units, used, [*_WHY, *month.reasons], all_made)


def _usage(rate: Rated, place: int, kept: Mask, month: Month) -> tuple[Columns, Ints]:
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
    )
    return columns, rate.paid[kept]


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
    for code, those, money, parts in (
        (use.rate.code, (rate.free_parts > 0)[kept], rate.free, rate.free_parts),
        (INTERNAL.name, (own & (rate.contracted > 0))[kept], rate.contracted, use.parts),
    ):
        if those.any():
            taken = rounded(parts[kept][those], quantity)
            found.append(Reduction(By.FREE, code, first + np.flatnonzero(those), money[kept][those], taken))
    return found


def _surcharges(rate: Rated, place: int, month: Month) -> tuple[Columns, Ints]:
    record, cost = rate.use.record[rate.surcharge > 0], rate.surcharge[rate.surcharge > 0]
    return at_list_price(Kind.SURCHARGE, record, month.payer[record], np.full(len(record), place), cost), cost


def _minimums(rate: Rated, place: int, month: Month) -> tuple[Columns, Ints]:
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
            missing = amount(use.rate.minimum) - total(cost[rows])
            if missing > 0 and (rate.paid_parts[rows] > 0).any():
                most = rows[np.argmax(cost[rows])]
                found.append((int(month.payer[use.record[most]]), missing))
    payer, missing_all = whole([each for each, _ in found]), whole([each for _, each in found])
    record, rates = np.full(len(found), -1), np.full(len(found), place)
    return at_list_price(Kind.MINIMUM, record, payer, rates, missing_all), missing_all


def _of_nothing(masks: Mapping[str, Mask], those: Mask, month: Month) -> tuple[Columns, Ints]:
    """Return a line of the first rate that fits for each record that used nothing at all: it is told, too."""
    record = np.flatnonzero(those)
    nothing = np.zeros(len(record), dtype=np.int64)
    rate = nothing.copy()
    for place, code in reversed(list(enumerate(masks))):
        rate[masks[code][record]] = place
    columns = at_list_price(Kind.USAGE, record, month.payer[record], rate, nothing)
    return columns.with_reasons(_reasons(month)[month.reason[record]]), nothing

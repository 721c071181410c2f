"""From priced records to lines, before anything but free amounts reduces them."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from .exact import ONE, Ints, amount, line, rounded, whole
from .lines import FREE_AMOUNT, NO_CHARGE, By, Columns, Kind, Reduction, at_list_price, is_free, joined
from .month import Month
from .rating import Rated
from .uses import CHARGED, EXTERNAL, INTERNAL

_BEFORE_REASONS = ("", FREE_AMOUNT, NO_CHARGE)


@dataclass(frozen=True)
class Opened:
    """Lines of use, surcharges and minimums, what of each is `left` to be billed, and what is free of them.

    `reasons` are the texts that `columns.free` has places of.
    """

    columns: Columns
    left: Ints
    reasons: list[str]
    reductions: list[Reduction]


class _Made(NamedTuple):
    columns: Columns
    left: Ints


def lines_of(made: Sequence[Rated], month: Month) -> Opened:
    """Return the lines of all rates. Each record has one for each rate that counts any use of it, and at least one."""
    reasons = [*_BEFORE_REASONS, *month.reasons]
    has_line = np.zeros(month.records.num_rows, dtype=bool)
    for rate in made:
        has_line[rate.use.record[rate.use.parts > 0]] = True
    parts: list[_Made] = []
    reductions: list[Reduction] = []
    count = 0
    for place, rate in enumerate(made):
        # A job without a GPU says nothing on a line of GPU-hours, but one that used nothing at all is told.
        kept = (rate.use.parts > 0) | ~has_line[rate.use.record]
        has_line[rate.use.record] = True
        usage = _usage(rate, place, kept, month)
        reductions += _free(rate, kept, count, month)
        some = [usage, _surcharges(rate, place, month), _minimums(rate, place, month)]
        count += sum(len(each.columns) for each in some)
        parts += some
    left = np.concatenate([each.left for each in parts])
    return Opened(joined([each.columns for each in parts]), left, reasons, reductions)


def _usage(rate: Rated, place: int, kept: Ints, month: Month) -> _Made:
    record = rate.use.record[kept]
    columns = Columns(
        record=record,
        payer=month.payer[record],
        rate=np.full(len(record), place),
        kind=np.full(len(record), Kind.USAGE.value),
        quantity=rate.quantity[kept],
        listed=rate.listed[kept],
        contracted=rate.contracted[kept],
        free=_why_free(rate, month)[kept],
        first_tier=rate.first_tier[kept],
        last_tier=rate.last_tier[kept],
        parts=rate.paid_parts[kept],
    )
    return _Made(columns, rate.paid[kept])


def _why_free(rate: Rated, month: Month) -> Ints:
    """Return the places of reasons for which nobody is charged."""
    use = rate.use
    has_reason = np.array([bool(each) for each in (*month.reasons, "")])[month.reason[use.record]]
    free = (use.parts > 0) & (rate.free_parts == use.parts)
    other = np.where(free, _BEFORE_REASONS.index(FREE_AMOUNT), 0)
    if is_free(use.rate):
        other = np.full(len(other), _BEFORE_REASONS.index(NO_CHARGE))
    return np.where(has_reason, month.reason[use.record] + len(_BEFORE_REASONS), other)


def _free(rate: Rated, kept: Ints, first: int, month: Month) -> list[Reduction]:
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


def _surcharges(rate: Rated, place: int, month: Month) -> _Made:
    record, cost = rate.use.record[rate.surcharge > 0], rate.surcharge[rate.surcharge > 0]
    rates = np.full(len(record), place)
    return _Made(at_list_price(Kind.SURCHARGE, record, month.payer[record], rates, cost), cost)


def _minimums(rate: Rated, place: int, month: Month) -> _Made:
    """Return what is missing to the minimum, of each scope whose use is not all free, for the payer of most of it."""
    use, found = rate.use, []
    if use.rate.minimum is not None:
        cost = rate.paid + rate.surcharge
        # Of a rate that counts by day, a month has many groups of one key.
        by_key: dict[tuple[str, ...], list[int]] = {}
        for at, group in enumerate(use.groups):
            if group.is_known and group.apart in (CHARGED, EXTERNAL):
                by_key.setdefault(group.key, []).extend(range(use.starts[at], use.starts[at] + use.sizes[at]))
        for _, rows in sorted(by_key.items()):
            missing = amount(use.rate.minimum) - int(cost[rows].sum())
            if missing > 0 and (rate.paid_parts[rows] > 0).any():
                most = rows[int(np.argmax(cost[rows]))]
                found.append((int(month.payer[use.record[most]]), missing))
    payer, missing_all = whole([each for each, _ in found]), whole([each for _, each in found])
    record, rates = np.full(len(found), -1), np.full(len(found), place)
    return _Made(at_list_price(Kind.MINIMUM, record, payer, rates, missing_all), missing_all)

"""From priced records to lines, before anything but free amounts reduces them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np

from .balance import UnitsInMonth
from .exact import ONE, Ints, amount, line, rounded, total, whole
from .fitting import Mask
from .groups import Counted, Groups
from .lines import (
    FREE_AMOUNT,
    NO_CHARGE,
    By,
    Columns,
    Kind,
    Reduction,
    Working,
    at_list_price,
    is_free,
    joined,
    working,
)
from .month import Month
from .rating import Rated, Use, rated, use_of
from .terms import Span, Tiering
from .uses import CHARGED, EXTERNAL, INTERNAL, Key

# The texts that `Columns.free` has places of, before the reasons of the records.
WHY = ("", FREE_AMOUNT, NO_CHARGE)


@dataclass(frozen=True)
class Opened:
    """Lines of use and surcharges, what of each is `left` to be billed, and what is free of them.

    `columns.free` has places in WHY and then in the month's reasons. `made` has what each rate made.
    """

    columns: Columns
    left: Ints
    reductions: list[Reduction]
    made: list[Rated]


@dataclass
class Least:
    """What somebody's use came to, of a rate with a minimum, and the record that costs most: the payer of its use."""

    came_to: int = 0
    is_charged: bool = False
    # What it costs; of equal ones the earliest day, as a number below 0.
    most: tuple[int, int] = (-1, 0)
    payer: int = 0
    group: int = 0


class RateInMonth:
    """A rate over the parts of a month: its groups, what became of its units, and what its minimums lack."""

    def __init__(self, place: int, month: Month, counted: list[Counted]) -> None:
        self.place, self.rate = place, month.schedule.rates[place]
        self.groups = Groups(self.rate, month, counted)
        self.units = UnitsInMonth(self.rate, self.groups.scale)
        self._least: dict[Key, Least] = {}

    def price(self, mask: Mask, month: Month) -> Rated:
        """Price the records of a part that the rate fits."""
        made = rated(use_of(self.groups, mask, month), month)
        self.units.add(made, month)
        if self.rate.minimum is not None:
            self._note_least(made, month)
        return made

    def _note_least(self, made: Rated, month: Month) -> None:
        use, cost = made.use, made.paid + made.surcharge
        days = month.days()[use.record[use.starts]] if self.rate.span is Span.DAY else np.zeros(len(use.starts))
        for group, start, size, day in zip(use.groups, use.starts.tolist(), use.sizes.tolist(), days, strict=True):
            if not group.is_known or group.apart not in (CHARGED, EXTERNAL):
                continue
            of_group = slice(start, start + size)
            least = self._least.setdefault(group.key, Least())
            least.came_to += total(cost[of_group])
            least.is_charged |= bool((made.paid_parts[of_group] > 0).any())
            at = start + int(np.argmax(cost[of_group]))
            if (most := (int(cost[at]), -int(day))) > least.most:
                least.most, least.payer, least.group = most, int(month.payer[use.record[at]]), group.place

    def minimums(self) -> tuple[Columns, Ints]:
        """Return what is missing to minimums of scopes whose use is not all free, for the payer of most of it."""
        found = []
        for _, each in sorted(self._least.items()):
            missing = amount(self.rate.minimum or Decimal(0)) - each.came_to
            if missing > 0 and each.is_charged:
                found.append((each.payer, missing, each.group, each.came_to))
        payer, missing_all, of_group, base = (whole([each[at] for each in found]) for at in range(4))
        record, rates = np.full(len(found), -1), np.full(len(found), self.place)
        how = working(len(found), group=of_group.astype(np.int32), base=base)
        return at_list_price(Kind.MINIMUM, record, payer, rates, missing_all, how), missing_all


def lines_of(masks: Mapping[str, Mask], rates: Sequence[RateInMonth], month: Month) -> Opened:
    """Price what each rate fits. Each record has a line for each rate that counts any use of it, and at least one."""
    some: list[tuple[Columns, Ints]] = []
    reductions: list[Reduction] = []
    all_made, count = [], 0
    # A job without a GPU says nothing on a line of GPU-hours.
    has_line = np.zeros(month.records.num_rows, dtype=bool)
    for each in rates:
        made = each.price(masks[each.rate.code], month)
        all_made.append(made)
        kept = made.use.parts > 0
        has_line[made.use.record[kept]] = True
        reductions += _free(made, kept, count)
        group = np.repeat(np.array([known.place for known in made.use.groups], dtype=np.int32), made.use.sizes)
        for lines in (_usage(made, each.place, kept, group, month), _surcharges(made, each.place, group, month)):
            some.append(lines)
            count += len(lines[1])
    some.append(_of_nothing(masks, ~has_line, month))
    columns = joined([lines for lines, _ in some])
    return Opened(columns, np.concatenate([each for _, each in some]), reductions, all_made)


def minimums_of(rates: Sequence[RateInMonth]) -> Opened:
    """Return what is missing to minimums, after all parts of the month."""
    some = [each.minimums() for each in rates]
    return Opened(joined([lines for lines, _ in some]), np.concatenate([each for _, each in some]), [], [])


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
        known["in_all"] = use.each(use.in_all)[those]
    return working(len(known["use"]), **known)


def _why_free(rate: Rated, month: Month) -> Ints:
    """Return the places of reasons for which nobody is charged."""
    use = rate.use
    own = _reasons(month)[month.reason[use.record]]
    if is_free(use.rate):
        return np.where(own > 0, own, WHY.index(NO_CHARGE)).astype(np.int16)
    is_gift = (rate.free_parts == use.parts) & (use.parts > 0)
    return np.where(own > 0, own, is_gift * WHY.index(FREE_AMOUNT)).astype(np.int16)


def _reasons(month: Month) -> Ints:
    """Return the places of the reasons that records come with; 0 of none."""
    return whole([place if text else 0 for place, text in enumerate([*month.reasons, ""], len(WHY))])


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


def _of_nothing(masks: Mapping[str, Mask], those: Mask, month: Month) -> tuple[Columns, Ints]:
    """Return a line of the first rate that fits for each record that used nothing at all: it is told, too."""
    record = np.flatnonzero(those)
    nothing = np.zeros(len(record), dtype=np.int64)
    rate = nothing.copy()
    for place, code in reversed(list(enumerate(masks))):
        rate[masks[code][record]] = place
    columns = at_list_price(Kind.USAGE, record, month.payer[record], rate, nothing)
    return columns.with_reasons(_reasons(month)[month.reason[record]]), nothing

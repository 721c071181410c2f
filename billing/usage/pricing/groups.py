"""Whose use of a rate is added up over the parts of a month: where each began, where it is by now, what is free."""

from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

from .counting import scale_of
from .curves import curve_of, stepped
from .exact import whole
from .month import Month
from .terms import Rate, Span, Threshold
from .uses import APARTS, CHARGED, WITHIN_A_MONTH, Apart, Key, Used

# More than a month has days.
DAYS = 32


class Counted(NamedTuple):
    """Whose use was added up, how many parts a unit of the rate has, and how many of them are free."""

    scope: str
    apart: str
    scale: int
    free: int


class Group(NamedTuple):
    """Records whose use is added up. `begin` is how many parts were used before, and the first `free` ones are free.

    `place` is that of its `Counted`, from 1.
    """

    key: Key
    apart: Apart
    # Whether it is known whose use it is. Where it is not, nothing is free: somebody has to be found first.
    is_known: bool
    begin: int
    free: int
    earlier: Used | None
    place: int = 0


class Groups:
    """The groups of one rate in a month. `counted` lists those of all rates.

    A group has a number. `ends` has where each is after the parts so far, and `totals`, of volume prices alone, where
    it is after the whole month.
    """

    def __init__(self, rate: Rate, month: Month, counted: list[Counted]) -> None:
        self.rate, self.month, self.counted = rate, month, counted
        self.scoped = month.payers.scoped(rate.scope)
        earlier = (value for key, used in month.before.used.items() if key.rate == rate.code for value in used.numbers)
        self.scale = scale_of(rate, month.shape, earlier)
        self.curve = curve_of(rate, rate.tiers, self.scale)
        self.known: dict[int, Group] = {}
        self.ends: dict[int, int] = {}
        self.totals: Mapping[int, int] = {}

    def group(self, number: int) -> Group:
        """Return a group by its number: of its scope and what it is counted apart as, and of its day if need be."""
        if number not in self.known:
            place, apart = divmod(number // DAYS if self.rate.span is Span.DAY else number, len(APARTS))
            key = Key(self.rate.code, self.scoped.names[place], APARTS[apart].name)
            group = self._begun(key, APARTS[apart], is_known=self.scoped.is_known(self.rate.scope, place))
            self.counted.append(Counted(key.scope, key.apart, self.scale, group.free))
            self.known[number] = group._replace(place=len(self.counted))
        return self.known[number]

    def _begun(self, key: Key, apart: Apart, *, is_known: bool) -> Group:
        rate, month = self.rate, self.month
        calendar, used = month.calendar, month.before.used.get(key)
        is_same = used is not None and calendar.goes_on(rate.span, used)
        begin = 0
        if used is not None and is_same:
            # Where money counts, the place on the curve is where as much money was charged, whatever the prices then
            # were.
            is_money = rate.threshold is Threshold.AMOUNT
            begin = self.curve.reached(used.amount) if is_money else int(used.quantity * self.scale)
        free = Fraction(rate.free) if apart is CHARGED and is_known else Fraction(0)
        if rate.carries_over and free:
            spans = calendar.spans_since(rate.span, month.before.since)
            free = max(free * spans - self._free_before(used, is_same=is_same), Fraction(0))
        return Group(key, apart, is_known, begin, int(free * self.scale), used if is_same else None)

    def _free_before(self, used: Used | None, *, is_same: bool) -> Fraction:
        """Return how many units were free in the fiscal year before the present span."""
        if used is None or not self.month.calendar.is_same_year(used.month):
            return Fraction(0)
        return used.free_in_year - (used.free_in_span if is_same else 0)

    def used(self) -> dict[Key, Used]:
        """Return what was used of the span until the end of this month, by each whose use is known."""
        if not self.rate.carries_over and self.rate.span in WITHIN_A_MONTH:
            return {}
        found = {}
        for number, group in self.known.items():
            if not group.is_known or not group.apart.has_value:
                continue
            begin, end = group.begin, self.ends[number]
            at = stepped(whole([begin, end]), whole([group.free, group.free]), self.rate, self.scale).tolist()
            money = self.curve.exactly(at[1], at[1]) - self.curve.exactly(at[0], at[1])
            free_now = Fraction(min(end, group.free), self.scale)
            before = self._free_before(self.month.before.used.get(group.key), is_same=group.earlier is not None)
            found[group.key] = Used(
                month=self.month.calendar.month,
                span=self.rate.span,
                quantity=Fraction(end - begin, self.scale) + (group.earlier.quantity if group.earlier else 0),
                amount=money + (group.earlier.amount if group.earlier else 0),
                free_in_year=before + free_now,
                free_in_span=free_now,
            )
        return found

"""What lines are reduced by before they are billed: balances of units, subsidies, and balances of money, in this order.

`left` is what of each line is still to be billed, in 10^-8. Every function takes it and returns it reduced. What the
parts of a month before had of a balance or a subsidy stands in `SoFar`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import cache
from math import lcm
from typing import NamedTuple

import numpy as np

from .exact import LIMIT, ONE, Ints, amount, cumulated, decimal, largest, line, rounded, total, whole
from .groups import DAYS
from .lines import By, Columns, Drawn, Granted, Kind, Notice, Reduction
from .month import Month
from .rating import Rated, until
from .terms import Balance, ClassKind, Scope, Span, Subsidy
from .uses import WITHIN_A_MONTH, Subsidized

_FULL = 100
NOTICED = (80, 100)


@dataclass(frozen=True)
class Step:
    """What is left after a reduction, and what it was."""

    left: Ints
    reductions: list[Reduction] = field(default_factory=list)


class Had(NamedTuple):
    """What a scope had of a subsidy before this month, and by now: what of, and how much."""

    scope: str
    was: int
    base: int
    used: int


@dataclass(frozen=True)
class SoFar:
    """What the parts of a month so far had of balances and subsidies, and what of indirect cost was worked out.

    `drawn` is by a balance's code: of one with a unit in parts of it, and else in 10^-8. A unit has `scale` of these
    parts, and each part of a unit of a rate is as many of them as `factors` says. `had` is by a subsidy's code and the
    number of a scope (and its day), and `indirect` by payer and rate.
    """

    scale: int
    factors: list[int]
    drawn: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    had: dict[str, dict[int, Had]] = field(default_factory=lambda: defaultdict(dict))
    indirect: dict[int, int] = field(default_factory=lambda: defaultdict(int))


@dataclass(frozen=True)
class Reduced:
    """What a month came to have of balances and subsidies, and what people are told of them."""

    drawn: list[Drawn] = field(default_factory=list)
    granted: list[Granted] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    subsidized: dict[tuple[str, str], Subsidized] = field(default_factory=dict)


def in_sequence(columns: Columns, month: Month) -> Ints:
    """Return lines as their records were used, those of no record last: what is first is reduced first."""
    rank = np.full(len(columns), month.records.num_rows)
    has_record = columns.record >= 0
    rank[has_record] = month.rank()[columns.record[has_record]]
    return np.lexsort((columns.kind, columns.rate, rank))


def nothing_so_far(balances: Sequence[Balance], scales: Sequence[int]) -> SoFar:
    """Return that nothing was reduced, before the first part. `scales` are the parts that a unit of each rate has."""
    common = lcm(*scales, *(Fraction(each.left).denominator for each in balances if each.unit))
    return SoFar(common, [common // scale for scale in scales])


def draw_units(
    columns: Columns, left: Ints, balances: Sequence[Balance], made: Sequence[Rated], month: Month, so_far: SoFar
) -> Step:
    """Draw what is not free from balances of units: of usage, and with it of its surcharge.

    A balance that ends within a record pays for its first units, at the price of their tier.
    """
    step = Step(left.copy())
    if not balances:
        return step
    owned, usage_of = _Owned(columns, month), _usage_of(columns)
    # Quantities of all rates and balances in one whole part of a unit.
    common = so_far.scale
    factors = whole(so_far.factors)[columns.rate]
    parts = columns.parts.astype(object) * factors.astype(object) * (columns.kind == Kind.USAGE)
    if largest(parts) * max(len(parts), 1) < LIMIT:
        parts = parts.astype(np.int64)
    there, places = parts.copy(), np.zeros(len(columns), dtype=np.int64)
    for balance in balances:
        at = owned.by(balance)
        places[at] = np.arange(len(at))
        usage, old = places[usage_of[at]], step.left[at]
        costs = np.zeros(len(at), dtype=bool)
        # Use whose surcharge alone is left costs something, too.
        costs[usage[old > 0]] = True
        drawn = so_far.drawn[balance.code]
        taken = _taken(np.where(costs, there[at], 0), int(Fraction(balance.left) * common) - drawn)
        rest = there[at] - taken
        new = np.where((taken[usage] > 0) & (rest[usage] == 0), 0, old)
        for place in np.flatnonzero((taken[usage] > 0) & (rest[usage] > 0)).tolist():
            line_at, of_it = at[place], at[usage[place]]
            drawn_so_far = parts[of_it] - rest[usage[place]]
            paid = until(made[columns.rate[of_it]], columns.record[of_it], drawn_so_far, common, month)
            new[place] = left[line_at] - paid[int(line_at != of_it)]
        step.left[at], there[at] = new, rest
        hit = np.flatnonzero((new < old) | (taken > 0))
        quantity = rounded(taken[hit], [line(Fraction(ONE, common))])
        # With what was drawn before this month, and by earlier lines of it.
        used = rounded(cumulated(taken, drawn)[hit], [line(Fraction(ONE, common))])
        used += amount(balance.size - balance.left)
        step.reductions.append(Reduction(By.DRAWDOWN, balance.code, at[hit], (old - new)[hit], quantity, used))
        so_far.drawn[balance.code] += total(taken)
    return step


class _Owned:
    """Lines by the owner of a balance, in turn."""

    def __init__(self, columns: Columns, month: Month) -> None:
        self.columns, self.month = columns, month
        self.sequence = in_sequence(columns, month)
        self.in_scope = cache(self._in_scope)

    def by(self, balance: Balance) -> Ints:
        """Return the lines that a balance may pay for: of its owner, and of rates that it pays for."""
        scoped = self.month.payers.scoped(balance.scope)
        if balance.owner not in scoped.names:
            return self.sequence[:0]
        code = scoped.names.index(balance.owner)
        if not scoped.is_known(balance.scope, code):
            return self.sequence[:0]
        lines, codes = self.in_scope(balance.scope)
        at = lines[np.searchsorted(codes, code) : np.searchsorted(codes, code, side="right")]
        rates = [
            (not balance.rates or rate.code in balance.rates) and balance.unit in ("", rate.unit)
            for rate in self.month.schedule.rates
        ]
        return at[np.array(rates)[self.columns.rate[at]]]

    def _in_scope(self, scope: Scope) -> tuple[Ints, Ints]:
        codes = self.month.payers.scoped(scope).codes[self.columns.payer[self.sequence]]
        by_owner = np.argsort(codes, kind="stable")
        return self.sequence[by_owner], codes[by_owner]


def _usage_of(columns: Columns) -> Ints:
    """Return for each line the usage line that it belongs to: a surcharge to that of its record and rate."""
    found = np.arange(len(columns))
    surcharges = np.flatnonzero(columns.kind == Kind.SURCHARGE)
    if len(surcharges):
        usage = np.flatnonzero(columns.kind == Kind.USAGE)
        rates = int(columns.rate.max()) + 1
        keys = columns.record[usage].astype(np.int64) * rates + columns.rate[usage]
        by_key = np.argsort(keys)
        wanted = columns.record[surcharges].astype(np.int64) * rates + columns.rate[surcharges]
        found[surcharges] = usage[by_key[np.searchsorted(keys[by_key], wanted)]]
    return found


def _taken(wanted: Ints, there: int) -> Ints:
    """Return what each takes of what is there, in turn."""
    run = cumulated(wanted)
    if there >= LIMIT:
        run = run.astype(object)
    return np.minimum(np.maximum(there - (run - wanted), 0), wanted)


def draw_money(columns: Columns, left: Ints, balances: Sequence[Balance], month: Month, so_far: SoFar) -> Step:
    """Draw what is left of all lines from balances of money: surcharges and indirect costs, too."""
    step = Step(left.copy())
    if not balances:
        return step
    owned = _Owned(columns, month)
    for balance in balances:
        at = owned.by(balance)
        drawn = so_far.drawn[balance.code]
        taken = _taken(step.left[at], amount(balance.left) - drawn)
        step.left[at] -= taken
        hit = taken > 0
        nothing = np.zeros(int(hit.sum()), dtype=np.int64)
        used = cumulated(taken, drawn)[hit] + amount(balance.size - balance.left)
        step.reductions.append(Reduction(By.DRAWDOWN, balance.code, at[hit], taken[hit], nothing, used))
        so_far.drawn[balance.code] += total(taken)
    return step


def subsidize(columns: Columns, left: Ints, subsidies: Sequence[Subsidy], month: Month, so_far: SoFar) -> Step:
    """Take off subsidies, each a percentage of what the ones before it left, up to its cap for each of its scope.

    Rounded once for a scope and span: of 33% of many small charges no part of a cent is lost.
    """
    step = Step(left.copy())
    if not subsidies:
        return step
    sequence = in_sequence(columns, month)
    for subsidy in subsidies:
        groups = _groups_of(columns, step.left, subsidy, sequence, month, so_far)
        if not len(groups.at):
            continue
        of_it, percent = step.left[groups.at], [line(Fraction(subsidy.percent) / _FULL)]
        run = cumulated(of_it)
        base, used = whole([each.base for each in groups.had]), whole([each.used for each in groups.had])
        after = run - np.repeat(run[groups.starts] - of_it[groups.starts] - base, groups.sizes)
        grown = rounded(after, percent) - np.repeat(rounded(base, percent) - used, groups.sizes)
        elsewhere = whole([amount(elsewhere_of(subsidy, each.scope)) for each in groups.had])
        if subsidy.cap is not None:
            caps = amount(subsidy.cap) - elsewhere
            grown = np.minimum(grown, np.repeat(np.maximum(caps, used), groups.sizes))
        taken = np.diff(grown, prepend=0)
        taken[groups.starts] = grown[groups.starts] - used
        hit = taken > 0
        nothing = np.zeros(int(hit.sum()), dtype=np.int64)
        had = (grown + np.repeat(elsewhere, groups.sizes))[hit]
        step.reductions.append(
            Reduction(By.SUBSIDY, subsidy.code, groups.at[hit], taken[hit], nothing, had, subsidy.fund_org)
        )
        step.left[groups.at] -= taken
        last = groups.starts + groups.sizes - 1
        now = zip(after[last].tolist(), grown[last].tolist(), strict=True)
        for number, each, (of_what, so_much) in zip(groups.numbers, groups.had, now, strict=True):
            so_far.had[subsidy.code][number] = Had(each.scope, each.was, of_what, so_much)
    return step


def elsewhere_of(subsidy: Subsidy, scope: str) -> Decimal:
    """Return what a scope had of a subsidy from other feeds; the caps of days are each feed's own."""
    return Decimal(0) if subsidy.span is Span.DAY else subsidy.elsewhere.get(scope, Decimal(0))


class _Groups(NamedTuple):
    """Lines that share a subsidy's cap: their places, in turn, and where each group of them starts."""

    at: Ints
    starts: Ints
    sizes: Ints
    numbers: list[int]
    had: list[Had]


def _groups_of(columns: Columns, left: Ints, subsidy: Subsidy, sequence: Ints, month: Month, so_far: SoFar) -> _Groups:
    payers, scoped = month.payers, month.payers.scoped(subsidy.scope)
    classes = [
        each.name in subsidy.classes if subsidy.classes else each.kind is not ClassKind.EXTERNAL
        for each in payers.classes
    ]
    scopes = [
        scoped.is_known(subsidy.scope, at) and (not subsidy.scopes or name in subsidy.scopes)
        for at, name in enumerate(scoped.names)
    ]
    has_it = np.array(classes)[payers.class_of] & np.array(scopes, dtype=bool)[scoped.codes]
    rates = np.array([not subsidy.rates or each.code in subsidy.rates for each in month.schedule.rates])
    is_of_use = (columns.kind == Kind.USAGE) | (columns.kind == Kind.MINIMUM)
    those = (left > 0) & is_of_use & rates[columns.rate] & has_it[columns.payer]
    at = sequence[those[sequence]]
    keys = scoped.codes[columns.payer[at]]
    if subsidy.span is Span.DAY:
        # A minimum has no day, and so one after all of them.
        record = columns.record[at]
        keys = keys * DAYS + np.where(record < 0, DAYS - 1, month.days()[record] if month.records.num_rows else 0)
    by_group = np.argsort(keys, kind="stable")
    at, keys = at[by_group], keys[by_group]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    numbers = keys[starts].tolist()
    known = so_far.had[subsidy.code]
    had = [
        known.get(number) or _before(subsidy, scoped.names[number // (DAYS if subsidy.span is Span.DAY else 1)], month)
        for number in numbers
    ]
    return _Groups(at, starts, np.diff(starts, append=len(at)), numbers, had)


def _before(subsidy: Subsidy, scope: str, month: Month) -> Had:
    """Return what a scope had of a subsidy in the months before, of the same span."""
    earlier = month.before.subsidized.get((subsidy.code, scope))
    if earlier is None or not month.calendar.goes_on(subsidy.span, earlier):
        return Had(scope, 0, 0, 0)
    return Had(scope, earlier.used, earlier.base, earlier.used)


def indirect_of(columns: Columns, left: Ints, month: Month, so_far: SoFar) -> tuple[Ints, Ints, Ints]:
    """Return which lines have indirect cost by the class of their payer, how much, and what it was added up to before.

    Rounded once for each payer and rate.
    """
    percents = [each.indirect_percent for each in month.payers.classes]
    class_of = month.payers.class_of[columns.payer]
    those = (left > 0) & np.array([bool(each) for each in percents])[class_of]
    if not those.any():
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing, nothing
    sequence = in_sequence(columns, month)
    at = sequence[those[sequence]]
    keys = columns.payer[at].astype(np.int64) * len(month.schedule.rates) + columns.rate[at]
    by_group = np.argsort(keys, kind="stable")
    at, keys = at[by_group], keys[by_group]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    sizes = np.diff(starts, append=len(at))
    run, numbers = cumulated(left[at]), keys[starts].tolist()
    before = whole([so_far.indirect[number] for number in numbers])
    after = run - np.repeat(run[starts] - left[at[starts]] - before, sizes)
    so_far.indirect.update(zip(numbers, after[starts + sizes - 1].tolist(), strict=True))
    lines = [line(Fraction(each) / _FULL) for each in percents]
    which = class_of[at]
    cost = rounded(after, lines, which) - rounded(after - left[at], lines, which)
    return at[cost > 0], cost[cost > 0], (after - left[at])[cost > 0]


def reduced(balances: Sequence[Balance], subsidies: Sequence[Subsidy], so_far: SoFar, month: Month) -> Reduced:
    """Return what a month had of its balances and subsidies, each in turn, once all its parts are priced."""
    of_units, of_money = ([each for each in balances if bool(each.unit) is has_unit] for has_unit in (True, False))
    found = Reduced()
    for balance in of_units:
        _draw(found, balance, Fraction(so_far.drawn[balance.code], so_far.scale))
    for subsidy in subsidies:
        _grant(found, subsidy, so_far.had[subsidy.code], month)
    for balance in of_money:
        _draw(found, balance, Fraction(so_far.drawn[balance.code], ONE))
    return found


def _draw(found: Reduced, balance: Balance, used: Fraction) -> None:
    """Note what was drawn from a balance, with what is left rounded down to 10^-8."""
    there = Fraction(balance.left) - used
    drawn = decimal(amount(Fraction(balance.left)) - amount(there))
    found.drawn.append(Drawn(balance.code, drawn, decimal(amount(there))))
    was = balance.size - balance.left
    found.notices.extend(_notices(By.DRAWDOWN, balance.code, balance.owner, was, used, balance.size, balance.unit))


def _grant(found: Reduced, subsidy: Subsidy, had: Mapping[int, Had], month: Month) -> None:
    """Note what each scope had of a subsidy."""
    in_span: dict[str, int] = defaultdict(int)
    in_month: dict[str, int] = defaultdict(int)
    # Of a subsidy whose span is a day, a scope has one for each day.
    for _, (scope, was, base, used) in sorted(had.items()):
        in_month[scope] += used - was
        in_span[scope] = used
        if subsidy.span not in WITHIN_A_MONTH:
            found.subsidized[subsidy.code, scope] = Subsidized(month.calendar.month, subsidy.span, base, used)
        if subsidy.cap is not None:
            more = Fraction(used - was, ONE)
            before = decimal(was) + elsewhere_of(subsidy, scope)
            found.notices.extend(_notices(By.SUBSIDY, subsidy.code, scope, before, more, subsidy.cap))
    for scope, granted in in_month.items():
        now = decimal(in_span[scope]) + elsewhere_of(subsidy, scope)
        left = None if subsidy.cap is None else max(subsidy.cap - now, Decimal(0))
        found.granted.append(Granted(subsidy.code, scope, decimal(granted), decimal(in_span[scope]), left))


def _notices(
    by: By, code: str, owner: str, was: Decimal, more: Fraction, size: Decimal, unit: str = ""
) -> list[Notice]:
    """Return which of the limits that people are told of was reached in this month, the highest alone."""
    now = Fraction(was) + more
    limits = [(percent, Fraction(size) * percent / _FULL) for percent in NOTICED]
    reached = [percent for percent, limit in limits if Fraction(was) < limit <= now]
    return [Notice(by, code, owner, percent, decimal(amount(now)), size, unit) for percent in reached[-1:]]

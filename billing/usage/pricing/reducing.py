"""What lines are reduced by before they are billed: balances of units, subsidies, and balances of money, in this order.

`left` is what of each line is still to be billed, in 10^-8. Every function takes it and returns it reduced.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import lcm
from typing import NamedTuple

import numpy as np

from .exact import LIMIT, ONE, Ints, amount, cumulated, decimal, largest, line, rounded, total, whole
from .lines import By, Columns, Drawn, Kind, Notice, Reduction
from .month import Month
from .payers import Flags
from .rating import Rated, until
from .terms import Balance, ClassKind, Span, Subsidy
from .uses import Subsidized

_FULL = 100
NOTICED = (80, 100)
_DAYS = 32


@dataclass(frozen=True)
class Step:
    """What is left after a reduction, and what it was."""

    left: Ints
    reductions: list[Reduction]
    drawn: list[Drawn]
    notices: list[Notice]
    subsidized: dict[tuple[str, str], Subsidized]


def in_sequence(columns: Columns, month: Month) -> Ints:
    """Return lines as their records were used, those of no record last: what is first is reduced first."""
    rank = np.full(len(columns), month.records.num_rows)
    has_record = columns.record >= 0
    rank[has_record] = month.rank()[columns.record[has_record]]
    return np.lexsort((columns.kind, columns.rate, rank))


def draw_units(columns: Columns, left: Ints, balances: Sequence[Balance], made: Sequence[Rated], month: Month) -> Step:
    """Draw what is not free from balances of units: of usage, and with it of its surcharge.

    A balance that ends within a record pays for its first units, at the price of their tier.
    """
    if not balances:
        return Step(left, [], [], [], {})
    sequence, usage_of = in_sequence(columns, month), _usage_of(columns)
    # Quantities of all rates and balances in one whole part of a unit.
    common = lcm(*(each.use.scale for each in made), *(Fraction(each.left).denominator for each in balances))
    factors = whole([common // each.use.scale for each in made])[columns.rate]
    parts = columns.parts.astype(object) * factors.astype(object) * (columns.kind == Kind.USAGE)
    if largest(parts) * max(len(parts), 1) < LIMIT:
        parts = parts.astype(np.int64)
    opened, there = left, parts
    reductions, drawn, notices = [], [], []
    for balance in balances:
        costs = left > 0
        # Use whose surcharge alone is left costs something, too.
        costs[usage_of[costs]] = True
        those = costs & (there > 0) & _of_balance(columns, balance, month)
        at = sequence[those[sequence]]
        taken = np.zeros(len(columns), dtype=there.dtype)
        taken[at] = _taken(there[at], int(Fraction(balance.left) * common))
        there = there - taken
        now = np.where((taken[usage_of] > 0) & (there[usage_of] == 0), 0, left)
        for place in np.flatnonzero((taken[usage_of] > 0) & (there[usage_of] > 0)).tolist():
            usage = int(usage_of[place])
            paid = until(made[columns.rate[place]], columns.record[place], parts[usage] - there[usage], common, month)
            now[place] = opened[place] - paid[place != usage]
        hit = np.flatnonzero((now < left) | (taken > 0))
        quantity = rounded(taken[hit], [line(Fraction(ONE, common))])
        reductions.append(Reduction(By.DRAWDOWN, balance.code, hit, (left - now)[hit], quantity))
        left, used = now, Fraction(total(taken), common)
        drawn.append(_drawn(balance, used))
        notices += _notices(By.DRAWDOWN, balance.code, balance.owner, balance.size - balance.left, used, balance)
    return Step(left, reductions, drawn, notices, {})


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


def _of_balance(columns: Columns, balance: Balance, month: Month) -> Flags:
    """Return the lines whose payer owns a balance, of rates that it pays for."""
    rates = [
        (not balance.rates or rate.code in balance.rates) and balance.unit in ("", rate.unit)
        for rate in month.schedule.rates
    ]
    scoped = month.payers.scoped(balance.scope)
    owners = [name == balance.owner and scoped.is_known(balance.scope, at) for at, name in enumerate(scoped.names)]
    return np.array(rates)[columns.rate] & np.array(owners, dtype=bool)[scoped.codes][columns.payer]


def draw_money(columns: Columns, left: Ints, balances: Sequence[Balance], month: Month) -> Step:
    """Draw what is left of all lines from balances of money: surcharges and indirect costs, too."""
    if not balances:
        return Step(left, [], [], [], {})
    sequence = in_sequence(columns, month)
    reductions, drawn, notices = [], [], []
    for balance in balances:
        those = (left > 0) & _of_balance(columns, balance, month)
        at = sequence[those[sequence]]
        taken = _taken(left[at], amount(balance.left))
        hit = taken > 0
        reductions.append(
            Reduction(By.DRAWDOWN, balance.code, at[hit], taken[hit], np.zeros(int(hit.sum()), dtype=np.int64))
        )
        left = left.copy()
        left[at] -= taken
        used = Fraction(total(taken), ONE)
        drawn.append(_drawn(balance, used))
        notices += _notices(By.DRAWDOWN, balance.code, balance.owner, balance.size - balance.left, used, balance)
    return Step(left, reductions, drawn, notices, {})


def _drawn(balance: Balance, used: Fraction) -> Drawn:
    """Return what was drawn, with what is left rounded down to 10^-8."""
    there = Fraction(balance.left) - used
    return Drawn(balance.code, decimal(amount(Fraction(balance.left)) - amount(there)), decimal(amount(there)))


def subsidize(columns: Columns, left: Ints, subsidies: Sequence[Subsidy], month: Month) -> Step:
    """Take off subsidies, each a percentage of what the ones before it left, up to its cap for each of its scope.

    Rounded once for a scope and span: of 33% of many small charges no part of a cent is lost.
    """
    if not subsidies:
        return Step(left, [], [], [], {})
    sequence = in_sequence(columns, month)
    reductions, notices, found = [], [], {}
    for subsidy in subsidies:
        groups = _groups_of(columns, left, subsidy, sequence, month)
        if not len(groups.at):
            continue
        percent = [line(Fraction(subsidy.percent) / _FULL)]
        run = cumulated(left[groups.at])
        base = whole([each.base if each else 0 for each in groups.earlier])
        used = whole([each.used if each else 0 for each in groups.earlier])
        after = run - np.repeat(run[groups.starts] - left[groups.at[groups.starts]] - base, groups.sizes)
        grown = rounded(after, percent) - np.repeat(rounded(base, percent) - used, groups.sizes)
        if subsidy.cap is not None:
            grown = np.minimum(grown, np.maximum(amount(subsidy.cap), np.repeat(used, groups.sizes)))
        taken = np.diff(grown, prepend=0)
        taken[groups.starts] = grown[groups.starts] - used
        hit = taken > 0
        nothing = np.zeros(int(hit.sum()), dtype=np.int64)
        reductions.append(Reduction(By.SUBSIDY, subsidy.code, groups.at[hit], taken[hit], nothing, subsidy.fund_org))
        left = left.copy()
        left[groups.at] -= taken
        for place, scope in enumerate(groups.scopes):
            last = int(groups.starts[place] + groups.sizes[place]) - 1
            if subsidy.span is not Span.DAY:
                found[subsidy.code, scope] = Subsidized(month.calendar.month, int(after[last]), int(grown[last]))
            if subsidy.cap is not None:
                was, now = decimal(int(used[place])), Fraction(int(grown[last]) - int(used[place]), ONE)
                notices += _notices(By.SUBSIDY, subsidy.code, scope, was, now, subsidy)
    return Step(left, reductions, [], notices, found)


class _Groups(NamedTuple):
    """Lines that share a subsidy's cap: their places, in turn, and where each group of them starts."""

    at: Ints
    starts: Ints
    sizes: Ints
    scopes: list[str]
    earlier: list[Subsidized | None]


def _groups_of(columns: Columns, left: Ints, subsidy: Subsidy, sequence: Ints, month: Month) -> _Groups:
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
        keys = keys * _DAYS + np.where(record < 0, _DAYS - 1, month.days()[record])
    by_group = np.argsort(keys, kind="stable")
    at, keys = at[by_group], keys[by_group]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    codes = (keys[starts] // (_DAYS if subsidy.span is Span.DAY else 1)).tolist()
    names = [scoped.names[code] for code in codes]
    earlier = [month.before.subsidized.get((subsidy.code, name)) for name in names]
    same = [each if each and month.calendar.is_same(subsidy.span, each.month) else None for each in earlier]
    return _Groups(at, starts, np.diff(starts, append=len(at)), names, same)


def indirect_of(columns: Columns, left: Ints, month: Month) -> tuple[Ints, Ints]:
    """Return which lines have indirect cost by the class of their payer, and how much, rounded once for each."""
    percents = [each.indirect_percent for each in month.payers.classes]
    class_of = month.payers.class_of[columns.payer]
    those = (left > 0) & np.array([bool(each) for each in percents])[class_of]
    if not those.any():
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    sequence = in_sequence(columns, month)
    at = sequence[those[sequence]]
    keys = columns.payer[at].astype(np.int64) * len(month.schedule.rates) + columns.rate[at]
    by_group = np.argsort(keys, kind="stable")
    at, keys = at[by_group], keys[by_group]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    sizes = np.diff(starts, append=len(at))
    run = cumulated(left[at])
    after = run - np.repeat(run[starts] - left[at[starts]], sizes)
    lines = [line(Fraction(each) / _FULL) for each in percents]
    which = class_of[at]
    cost = rounded(after, lines, which) - rounded(after - left[at], lines, which)
    return at[cost > 0], cost[cost > 0]


def _notices(by: By, code: str, owner: str, was: Decimal, more: Fraction, of: Balance | Subsidy) -> list[Notice]:
    """Return which of the limits that people are told of was reached in this month."""
    size = of.size if isinstance(of, Balance) else of.cap
    if not size:
        return []
    now = Fraction(was) + more
    reached = [percent for percent in NOTICED if Fraction(was) < Fraction(size) * percent / _FULL <= now]
    unit = of.unit if isinstance(of, Balance) else ""
    return [Notice(by, code, owner, percent, decimal(amount(now)), size, unit) for percent in reached[-1:]]

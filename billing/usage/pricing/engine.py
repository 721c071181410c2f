"""From records of usage and a rate schedule to exact amounts: the one place where use is priced.

In this order: what records used is counted by rate and scope, and priced by the tiers (`rating`). What the first units
of a free amount cost is taken off, then what balances of units pay for, then subsidies in their order. Indirect costs
are added to what is left, and balances of money pay before anything is billed (`reducing`).
"""

import datetime
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from ..records import Shape
from .checks import problems_of
from .fitting import fitting
from .lines import Columns, Kind, Priced, as_tables, at_list_price, in_order, joined, working
from .month import Month, month_of
from .opening import Opened, lines_of
from .reducing import Step, draw_money, draw_units, indirect_of, subsidize
from .schedules import ScheduleNotUnderstood
from .terms import Balance, Payer, Schedule, Subsidy
from .uses import Before, Calendar
from .workings import workings_of


def price(
    *,
    records: pa.Table,
    shape: Shape,
    payers: Sequence[Payer],
    schedule: Schedule,
    month: datetime.date,
    subsidies: Sequence[Subsidy] = (),
    balances: Sequence[Balance] = (),
    before: Before | None = None,
    fiscal_year_start: int = 7,
    zone: datetime.tzinfo = datetime.UTC,
) -> Priced:
    """Price the records of a month: all of them, each once, and cut to the month.

    `records` have the columns of `shape` and `payer`, an int32 that is a place in `payers`. `before` is what earlier
    months of the same quarter and fiscal year used, as their `Priced.used` says. `zone` is where days begin.

    Every record gets a line for each rate that fits it and counts any use of it, and at least one line.
    Raises ScheduleNotUnderstood, NoRate, UnknownClass and NegativeUse, each in words for a person.
    """
    if shape.are_levels:
        raise ValueError("Levels are made into amounts before they are priced.")
    if problems := problems_of(schedule, shape):
        raise ScheduleNotUnderstood(problems)
    this_month, earlier = month.replace(day=1), before or Before()
    known = month_of(
        records=records,
        shape=shape,
        payers=payers,
        schedule=schedule,
        before=replace(earlier, since=earlier.since or this_month),
        calendar=Calendar(this_month, fiscal_year_start),
        zone=zone,
    )
    masks = fitting(records, schedule, shape.attributes)
    opened = lines_of(masks, known, keep=any(each.unit for each in balances))
    columns, steps = _reduced(opened, subsidies, balances, known)
    reductions = [*opened.reductions, *(each for step in steps for each in step.reductions)]
    order = in_order(columns, known)
    lines, reduced = as_tables(columns, steps[-1].left, opened.reasons, reductions, known, order)
    return Priced(
        lines=lines,
        reductions=reduced,
        workings=workings_of(columns, order, opened.groups, reduced),
        units=tuple(opened.units),
        balances=tuple(drawn for step in steps for drawn in step.drawn),
        subsidies=tuple(granted for step in steps for granted in step.granted),
        notices=tuple(notice for step in steps for notice in step.notices),
        used=_used(opened, steps, known),
    )


def _reduced(
    opened: Opened, subsidies: Sequence[Subsidy], balances: Sequence[Balance], month: Month
) -> tuple[Columns, list[Step]]:
    """Return all lines, with those of indirect cost, and what they were reduced by, step by step."""
    columns = opened.columns
    in_turn = sorted(balances, key=lambda each: (each.order, each.code))
    units = draw_units(columns, opened.left, [each for each in in_turn if each.unit], opened.made, month)
    subsidized = subsidize(columns, units.left, sorted(subsidies, key=lambda each: (each.order, each.code)), month)
    at, cost, before = indirect_of(columns, subsidized.left, month)
    how = working(len(at), group=columns.group[at], before=before, base=subsidized.left[at])
    indirect = at_list_price(Kind.INDIRECT, columns.record[at], columns.payer[at], columns.rate[at], cost, how)
    columns = joined([columns, indirect])
    left = np.concatenate([subsidized.left, cost])
    return columns, [units, subsidized, draw_money(columns, left, [each for each in in_turn if not each.unit], month)]


def _used(opened: Opened, steps: Sequence[Step], month: Month) -> Before:
    """Return what the next month goes on from: what this fiscal year used so far."""
    before, calendar = month.before, month.calendar
    used = {key: each for key, each in before.used.items() if calendar.is_same_year(each.month)}
    subsidized = {key: each for key, each in before.subsidized.items() if calendar.is_same_year(each.month)}
    used |= opened.used
    for step in steps:
        subsidized |= step.subsidized
    return Before(used, subsidized, before.since)

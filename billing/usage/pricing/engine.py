"""From records of usage and a rate schedule to exact amounts: the one place where use is priced.

In this order: what records used is counted by rate and scope, and priced by the tiers (`rating`). What the first units
of a free amount cost is taken off, then what balances of units pay for, then subsidies in their order. Indirect costs
are added to what is left, and balances of money pay before anything is billed (`reducing`).

A month is priced in parts that follow each other as records were used, so that it takes the memory of a part: what each
part leaves behind of tiers, free amounts, caps and balances is what the next goes on from (`turns`).
"""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..records import Records, Shape
from .checks import problems_of
from .fitting import masks_of
from .gathering import Cause, Gathered, Gathering, Lines
from .groups import Counted, Groups
from .lines import By, Drawn, Granted, Kind, Notice, Units, at_list_price, joined, working
from .month import Month, month_of
from .opening import WHY, Opened, RateInMonth, lines_of, minimums_of
from .payers import Payers
from .rating import use_of
from .reducing import Reduced, draw_money, draw_units, indirect_of, nothing_so_far, reduced, subsidize
from .schedules import ScheduleNotUnderstood
from .terms import Balance, Payer, Schedule, Subsidy, Tiering
from .turns import InTurn
from .uses import INTERNAL, Before, Calendar


@dataclass(frozen=True)
class Block:
    """Lines of a block of records, whose places they name; `first` is the place of the block in the month."""

    records: pa.Table
    first: int
    of: Lines


@dataclass(frozen=True)
class Priced:
    """What a month costs: lines for each record, what they were reduced by, and what the next month goes on from."""

    records: Records
    gathered: Gathered
    # What was free, drawn and granted, in 10^-8.
    reduced: Mapping[Cause, int]
    units: tuple[Units, ...]
    balances: tuple[Drawn, ...]
    subsidies: tuple[Granted, ...]
    notices: tuple[Notice, ...]
    used: Before

    def blocks(self, columns: Sequence[str]) -> Iterator[Block]:
        """Yield the lines in the order of their records, with these columns of the records."""
        first = 0
        for number, records in enumerate(self.records.blocks(columns)):
            for lines in self.gathered.of_block(number):
                yield Block(records, first, lines)
            first += records.num_rows


def price(
    *,
    records: Records,
    shape: Shape,
    payers: Sequence[Payer],
    schedule: Schedule,
    month: datetime.date,
    scratch: Path,
    subsidies: Sequence[Subsidy] = (),
    balances: Sequence[Balance] = (),
    before: Before | None = None,
    fiscal_year_start: int = 7,
    zone: datetime.tzinfo = datetime.UTC,
) -> Priced:
    """Price the records of a month: all of them, each once, and cut to the month.

    `records` have the columns of `shape` and `payer`, an int32 that is a place in `payers`. `before` is what earlier
    months of the same quarter and fiscal year used, as their `Priced.used` says. `zone` is where days begin. What does
    not fit the memory lies in the folder `scratch`.

    Every record gets a line for each rate that fits it and counts any use of it, and at least one line.
    Raises ScheduleNotUnderstood, NoRate, UnknownClass, NegativeUse and TooLarge, each in words for a person.
    """
    if shape.are_levels:
        raise ValueError("Levels are made into amounts before they are priced.")
    if problems := problems_of(schedule, shape):
        raise ScheduleNotUnderstood(problems)
    this_month, earlier = month.replace(day=1), before or Before()
    known = Payers(payers, schedule)
    turns = InTurn(records, schedule, shape, scratch)
    nothing = month_of(
        records=turns.nothing(),
        shape=shape,
        payers=known,
        schedule=schedule,
        before=replace(earlier, since=earlier.since or this_month),
        calendar=Calendar(this_month, fiscal_year_start),
        zone=zone,
        reasons=turns.reasons,
    )
    return _Pricing(nothing, turns, subsidies, balances).priced(records, scratch)


class _Pricing:
    """Prices the parts of a month one after the other. `month` is one without records."""

    def __init__(self, month: Month, turns: InTurn, subsidies: Sequence[Subsidy], balances: Sequence[Balance]) -> None:
        self.month, self.turns = month, turns
        self.subsidies = sorted(subsidies, key=lambda each: (each.order, each.code))
        in_turn = sorted(balances, key=lambda each: (each.order, each.code))
        self.of_units, self.of_money = ([each for each in in_turn if bool(each.unit) is unit] for unit in (True, False))
        self.counted: list[Counted] = []
        self.rates = [RateInMonth(place, month, self.counted) for place in range(len(month.schedule.rates))]
        self.so_far = nothing_so_far(balances, [each.groups.scale for each in self.rates])

    def priced(self, records: Records, scratch: Path) -> Priced:
        """Price all parts."""
        month, turns = self.month, self.turns
        came_in = turns.spread([each.groups.scale for each in self.rates])
        for rate, (count, parts) in zip(self.rates, came_in, strict=True):
            rate.units.count(count, parts)
        self._look_ahead()
        gathering = Gathering(self._causes(), scratch, size=turns.size, blocks=turns.blocks)
        for part in turns.parts():
            now = month.of(part)
            opened = lines_of(masks_of(part, month.schedule), self.rates, now)
            self._gather(gathering, opened, now)
        self._gather(gathering, minimums_of(self.rates), month)
        came_to = reduced([*self.of_units, *self.of_money], self.subsidies, self.so_far, month)
        return Priced(
            records=records,
            gathered=gathering.gathered(month.schedule, month.payers, [*WHY, *month.reasons], self.counted),
            reduced=gathering.sums,
            units=tuple(each.units.units() for each in self.rates),
            balances=tuple(came_to.drawn),
            subsidies=tuple(came_to.granted),
            notices=tuple(came_to.notices),
            used=self._used(came_to),
        )

    def _look_ahead(self) -> None:
        """Find out how much each group uses in the whole month, where prices go by volume."""
        by_volume = [each.rate for each in self.rates if each.rate.tiering is Tiering.VOLUME]
        if not by_volume:
            return
        ahead = {rate.code: Groups(rate, self.month, []) for rate in by_volume}
        for part in self.turns.parts():
            now, masks = self.month.of(part), masks_of(part, self.month.schedule)
            for code, groups in ahead.items():
                use_of(groups, masks[code], now)
        for each in self.rates:
            if each.rate.code in ahead:
                each.groups.totals = ahead[each.rate.code].ends

    def _causes(self) -> list[Cause]:
        """Return all that may reduce a line, in the order applied."""
        free = [(rate.code, INTERNAL.name) for rate in self.month.schedule.rates]
        return [
            *(Cause(By.FREE, code, "") for codes in free for code in codes),
            *(Cause(By.DRAWDOWN, each.code, "") for each in self.of_units),
            *(Cause(By.SUBSIDY, each.code, each.fund_org) for each in self.subsidies),
            *(Cause(By.DRAWDOWN, each.code, "") for each in self.of_money),
        ]

    def _gather(self, gathering: Gathering, opened: Opened, month: Month) -> None:
        """Reduce the lines of a part, and put them aside with those of indirect cost."""
        columns, so_far = opened.columns, self.so_far
        units = draw_units(columns, opened.left, self.of_units, opened.made, month, so_far)
        subsidized = subsidize(columns, units.left, self.subsidies, month, so_far)
        at, cost, before = indirect_of(columns, subsidized.left, month, so_far)
        how = working(len(at), group=columns.group[at], before=before, base=subsidized.left[at])
        indirect = at_list_price(Kind.INDIRECT, columns.record[at], columns.payer[at], columns.rate[at], cost, how)
        columns = joined([columns, indirect])
        money = draw_money(columns, np.concatenate([subsidized.left, cost]), self.of_money, month, so_far)
        steps = [*opened.reductions, *units.reductions, *subsidized.reductions, *money.reductions]
        gathering.add(columns.in_month(month.number), money.left, steps)

    def _used(self, came_to: Reduced) -> Before:
        """Return what the next month goes on from: what this fiscal year used so far."""
        before, calendar = self.month.before, self.month.calendar
        used = {key: each for key, each in before.used.items() if calendar.is_same_year(each.month)}
        subsidized = {key: each for key, each in before.subsidized.items() if calendar.is_same_year(each.month)}
        for rate in self.rates:
            used |= rate.groups.used()
        return Before(used, subsidized | came_to.subsidized, before.since)

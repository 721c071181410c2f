"""What is priced at once: records that a month used one after the other, with all that their prices depend on."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..records import Shape
from .exact import Ints
from .payers import Payers
from .terms import Schedule
from .uses import APARTS, Before, Calendar, apart_of


@dataclass(frozen=True)
class Month:
    """A part of a month's records, with arrays that have a place for each.

    The parts follow each other as records were used: by end, start and id, so that no order of files changes a price.
    `order` has those of a part so. `number` is the place of each in the month, `apart` which of APARTS it is counted
    as, and `reason` the place of the text why it is free.
    """

    records: pa.Table
    shape: Shape
    schedule: Schedule
    payers: Payers
    before: Before
    calendar: Calendar
    zone: datetime.tzinfo
    reasons: Sequence[str]
    order: Ints
    number: Ints
    payer: Ints
    reason: Ints
    apart: Ints

    def of(self, records: pa.Table) -> "Month":
        """Return another part of the same month."""
        return month_of(
            records=records,
            shape=self.shape,
            payers=self.payers,
            schedule=self.schedule,
            before=self.before,
            calendar=self.calendar,
            zone=self.zone,
            reasons=self.reasons,
        )

    def rank(self) -> Ints:
        """Return the place of each record in the order in which they were used."""
        rank = np.empty_like(self.order)
        rank[self.order] = np.arange(len(self.order), dtype=rank.dtype)
        return rank

    def days(self) -> Ints:
        """Return on which day of the month, from 0, each record starts."""
        first = self.calendar.month.replace(day=1)
        midnights = [
            datetime.datetime.combine(first + datetime.timedelta(days=day), datetime.time(), self.zone).timestamp()
            for day in range(31)
        ]
        # What started before the month was cut to it, so that it starts on its first day at the earliest.
        starts = self.records.column("start").to_numpy()
        return np.maximum(np.searchsorted(np.array(midnights), starts, side="right") - 1, 0)


def month_of(
    *,
    records: pa.Table,
    shape: Shape,
    payers: Payers,
    schedule: Schedule,
    before: Before,
    calendar: Calendar,
    zone: datetime.tzinfo,
    reasons: Sequence[str],
) -> Month:
    """Return what is to be priced. `records` have the columns `number`, `payer` and `reason`, too."""
    number, payer, reason = (records.column(name).to_numpy() for name in ("number", "payer", "reason"))
    places = {each.name: place for place, each in enumerate(APARTS)}
    table = np.array(
        [
            [places[apart_of(each, is_external=is_external).name] for is_external in (False, True)]
            for each in (*reasons, "")
        ],
        dtype=np.int8,
    )
    return Month(
        records=records,
        shape=shape,
        schedule=schedule,
        payers=payers,
        before=before,
        calendar=calendar,
        zone=zone,
        reasons=reasons,
        order=_ordered(records),
        number=number,
        payer=payer,
        reason=reason,
        apart=table[reason, payers.is_external[payer].astype(np.int8)] if len(payer) else reason,
    )


def _ordered(records: pa.Table) -> Ints:
    """Return the records by end, start and id. Ids are compared only where needed: of a million jobs, of few."""
    start, end = (records.column(name).to_numpy() for name in ("start", "end"))
    order = np.lexsort((start, end)).astype(np.int32)
    start, end = start[order], end[order]
    same = np.zeros(len(order) + 1, dtype=bool)
    same[1:-1] = (start[1:] == start[:-1]) & (end[1:] == end[:-1])
    tied = np.flatnonzero(same[1:] | same[:-1])
    if len(tied):
        ties = records.select(["end", "start", "id"]).take(pa.array(order[tied]))
        keys = [(name, "ascending") for name in ("end", "start", "id")]
        order[tied] = order[tied][pc.sort_indices(ties, sort_keys=keys).to_numpy()]
    return order

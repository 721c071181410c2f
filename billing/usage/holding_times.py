"""Levels into amounts by time: what is read every few minutes counts until the next reading of its system."""

import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from ..texts import long_moment
from .level_policies import ByTime
from .numbered import Numbers, Texts, ends_of_runs, midnight, numbered, some_of, sums_of_runs, table_of
from .records import Measure, Shape

# The attribute that says what is read as one: a license server.
SYSTEM = "system"
ELAPSED = "elapsed_seconds"
TIMES = {"hour": 3_600, "day": 86_400}


def amounts_shape(shape: Shape) -> Shape:
    """Return the shape of the amounts: `seats` become `seat_seconds`, with the units seat-hour and seat-day."""
    measures = [
        Measure(
            f"{each.name.removesuffix('s')}_seconds",
            {f"{unit}-{name}": size * time for unit, size in each.units.items() for name, time in TIMES.items()},
        )
        for each in shape.measures
    ]
    return Shape(shape.attributes, (*measures, Measure(ELAPSED, {"second": 1, **TIMES})))


def amounts(
    table: pa.Table, shape: Shape, *, begin: datetime.date, end: datetime.date, policy: ByTime, zone: ZoneInfo
) -> tuple[pa.Table, list[str]]:
    """Return what levels come to from `begin` to before `end`, days of a time zone, and what is to be said of it.

    All records of a system with the same `start` are one reading of it: what is not among them is not there. The result
    has one record for each object and owner that was there. `table` should also have the last readings before and the
    first ones after. Where an object is in a reading twice, the larger record counts.
    """
    month = (midnight(begin, zone), midnight(end, zone))
    systems, names = numbered(table, (SYSTEM,))
    objects, object_texts = numbered(table, ("resource", "id"))
    owners, owner_texts = numbered(table, ("account", "user", "free", *shape.attributes))
    starts = table["start"].to_numpy().astype(np.int64)
    levels = np.array([table[each.name].to_numpy() for each in shape.measures], dtype=np.int64)
    until, notes = _until(systems, names, starts, policy, month, zone)
    begins, ends = np.maximum(starts, month[0]), np.minimum(until, month[1])
    counts = np.flatnonzero((ends > begins) & levels.any(axis=0))
    # Of the same object and moment the last one is taken: the larger one.
    order = counts[np.lexsort((*levels[::-1, counts], starts[counts], owners[counts], objects[counts]))]
    order = order[ends_of_runs(objects[order], owners[order], starts[order])]
    is_last = ends_of_runs(objects[order], owners[order])
    last, first = order[is_last], order[np.roll(is_last, 1)]
    runs = np.flatnonzero(np.roll(is_last, 1))
    lengths = (ends - begins)[order]
    sums = [sums_of_runs(line[order] * lengths, runs) for line in levels]
    amounts_of = dict(zip((f"{each.name.removesuffix('s')}_seconds" for each in shape.measures), sums, strict=True))
    columns = {
        **object_texts.columns_of(objects[last]),
        **owner_texts.columns_of(owners[last]),
        **{"start": begins[first], "end": ends[last], **amounts_of, ELAPSED: sums_of_runs(lengths, runs)},
    }
    return table_of(columns, amounts_shape(shape).schema), some_of(notes)


def _until(
    systems: Numbers, names: Texts, starts: Numbers, policy: ByTime, month: tuple[int, int], zone: ZoneInfo
) -> tuple[Numbers, list[str]]:
    """Return until when each record counts, and what is to be said of readings that are too far apart."""
    until = starts.copy()
    notes = []
    for number, (name,) in enumerate(names.rows):
        rows = systems == number
        moments = np.unique(starts[rows])
        # Nobody knows how long the last one holds.
        following = np.append(moments[1:], moments[-1])
        until[rows] = np.minimum(following, moments + policy.longest_hold)[np.searchsorted(moments, starts[rows])]
        for at in np.flatnonzero(following - moments > policy.longest_hold).tolist():
            one, other = int(moments[at]), int(moments[at + 1])
            if other > month[0] and one < month[1]:
                told = " to ".join(long_moment(datetime.datetime.fromtimestamp(each, zone)) for each in (one, other))
                minutes = policy.longest_hold // 60
                notes.append(f"{name}: no reading from {told}. What was in use counts for {minutes:,} minutes of it.")
    return until, notes

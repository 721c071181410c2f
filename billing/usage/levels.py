"""Levels into amounts: the readings of a month become one record for each object, in bytes times days, exactly.

A level times a day is a whole number, and so are their sums: no order of files or readings changes them. How much a
TB-month is depends on the month, so the units are part of the month's shape: see `amounts_shape`.
"""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from ..texts import long_dates, quoted
from . import holding_times
from .level_policies import ByDay, ByTime, Charge, Edges, Gaps, Method, Pick, Policy
from .numbered import Numbers, Texts, ends_of_runs, midnight, numbered, some_of, sums_of_runs, table_of
from .records import Measure, Shape

USED, QUOTA = "used_bytes", "quota_bytes"
CHARGED = "charged_byte_days"
ELAPSED = "elapsed_seconds"
# What is said of days without a reading.
GAP = "no reading on"
DAY_SECONDS = 86_400


def amounts_shape(shape: Shape, policy: Policy, begin: datetime.date, end: datetime.date) -> Shape:
    """Return the shape of the amounts that levels become in the days from `begin` to before `end`.

    A measure such as `used_bytes` becomes `used_byte_days`. Each of its units, such as TB, becomes TB-day, of as many
    base units, and TB-month, of as many times the days. So a Rate's Count of the unit TB-month has to be looked up in
    the shape of the month that is priced. `charged_byte_days` is what the policy charges. `elapsed_seconds` says how
    long an object was there, with 86,400 seconds for every day that counts, also where the clocks were changed.
    """
    if isinstance(policy, ByTime):
        return holding_times.amounts_shape(shape)
    days = (end - begin).days
    measures = [Measure(_by_days(each.name), _units(each, days)) for each in shape.measures]
    names = [each.name for each in shape.measures]
    if USED in names and QUOTA in names:
        measures.append(Measure(CHARGED, _units(shape.measure(USED), days)))
    times = {"second": 1, "hour": 3_600, "day": DAY_SECONDS, "month": DAY_SECONDS * days}
    return Shape(shape.attributes, (*measures, Measure(ELAPSED, times)))


def _by_days(name: str) -> str:
    return f"{name.removesuffix('s')}_days"


def _units(measure: Measure, days: int) -> dict[str, int]:
    return {
        **{f"{unit}-day": size for unit, size in measure.units.items()},
        **{f"{unit}-month": size * days for unit, size in measure.units.items()},
    }


def amounts(
    table: pa.Table, shape: Shape, *, begin: datetime.date, end: datetime.date, policy: Policy, zone: ZoneInfo
) -> tuple[pa.Table, list[str]]:
    """Return what levels come to from `begin` to before `end`, days of a time zone, and what is to be said of it.

    The table has one record for each object and month, of the schema of `amounts_shape`; two where its owner or an
    attribute changed, each with its days; one for each day, if the policy's method is daily. `table` should also have
    the readings of `longest_gap` days before and after, by which gaps at the edges are bridged. Readings that are there
    twice count once; where two of the same moment differ, the larger counts. The notes say which days of which
    resources had no reading, and what counts for them.
    A month of 100,000 objects takes some 5 seconds and 900 MiB.
    """
    if isinstance(policy, ByTime):
        return holding_times.amounts(table, shape, begin=begin, end=end, policy=policy, zone=zone)
    first, last = begin.toordinal(), end.toordinal() - 1
    notes: list[str] = []
    readings = _picked(table, shape, policy, zone, (first, last), notes)
    days = _with_gaps(readings, policy, (first, last), notes)
    if policy.edges is Edges.MONTH:
        days = _whole_months(days, (first, last))
    _tell_edges(readings, policy, (first, last), notes)
    result = _added_up(days, amounts_shape(shape, policy, begin, end), policy, zone)
    return result, some_of(notes)


@dataclass(frozen=True)
class _Days:
    """What counts on which day: rows ordered by object and day, of which there is one for each.

    `amounts` has a line for each measure, and a last one for what is charged, if anything is.
    """

    object: Numbers
    owner: Numbers
    resource: Numbers
    day: Numbers
    amounts: Numbers
    objects: Texts
    owners: Texts
    resources: list[str]

    def take(self, rows: Any) -> "_Days":
        """Return some of the rows, by their places or by a mask."""
        return replace(
            self,
            object=self.object[rows],
            owner=self.owner[rows],
            resource=self.resource[rows],
            day=self.day[rows],
            amounts=self.amounts[:, rows],
        )

    def repeated(self, times: Numbers, first: Numbers) -> "_Days":
        """Return each row as often as `times` says, on the days from `first` on."""
        rows = np.repeat(np.arange(len(self.day)), times)
        place = np.arange(len(rows)) - np.repeat(np.cumsum(times) - times, times)
        return replace(self.take(rows), day=first[rows] + place)

    def within(self, days: tuple[int, int]) -> "_Days":
        return self.take((self.day >= days[0]) & (self.day <= days[1]))


def _picked(
    table: pa.Table, shape: Shape, policy: ByDay, zone: ZoneInfo, days: tuple[int, int], notes: list[str]
) -> _Days:
    """Return the one reading of each object and day that counts, some days before and after the month included."""
    objects, object_texts = numbered(table, ("resource", "id"))
    owners, owner_texts = numbered(table, ("account", "user", "free", *shape.attributes))
    starts, place = np.unique(table["start"].to_numpy(), return_inverse=True)
    day = _local_days(starts, zone)[place]
    resources = sorted(set(object_texts.column("resource")))
    numbers = {name: number for number, name in enumerate(resources)}
    of_objects = np.array([numbers[name] for name in object_texts.column("resource")], dtype=np.int64)
    amounts = _amounts_of(table, shape, policy)
    near = (day >= days[0] - policy.longest_gap) & (day <= days[1] + policy.longest_gap)
    found = _Days(objects, owners, of_objects[objects], day, amounts, object_texts, owner_texts, resources)
    start = table["start"].to_numpy()
    if not near.all():
        found, start = found.take(near), start[near]
    # The last of each object and day is taken: so what decides comes after them, the most important first.
    decides = [start, *found.amounts[::-1]]
    if policy.pick is Pick.FIRST:
        decides[0] = -start
    elif policy.pick is Pick.LARGEST:
        decides = [*decides[1:], start]
    order = np.lexsort((found.owner, *decides[::-1], found.day, found.object))
    if policy.pick is not Pick.LARGEST:
        _tell_contradictions(found, start, order, notes)
    return found.take(order[ends_of_runs(found.object[order], found.day[order])])


def _local_days(seconds: Numbers, zone: ZoneInfo) -> Numbers:
    found = (datetime.datetime.fromtimestamp(each, zone).toordinal() for each in seconds.tolist())
    return np.fromiter(found, dtype=np.int64, count=len(seconds))


def _amounts_of(table: pa.Table, shape: Shape, policy: ByDay) -> Numbers:
    by_name = {measure.name: table[measure.name].to_numpy() for measure in shape.measures}
    lines = list(by_name.values())
    if USED in by_name and QUOTA in by_name:
        larger = np.maximum(by_name[USED], by_name[QUOTA])
        lines.append({Charge.USED: by_name[USED], Charge.QUOTA: by_name[QUOTA], Charge.LARGER: larger}[policy.charge])
    return np.array(lines, dtype=np.int64).reshape(len(lines), table.num_rows)


def _tell_contradictions(found: _Days, start: Numbers, order: Numbers, notes: list[str]) -> None:
    """Say how often two readings of an object differ that are of the same moment, and so follow each other."""
    same = np.flatnonzero(~ends_of_runs(found.object[order], start[order]))
    one, other = found.take(order[same]), found.take(order[same + 1])
    differs = (one.owner != other.owner) | (one.amounts != other.amounts).any(axis=0)
    if count := int(np.count_nonzero(differs)):
        notes.append(f"Two readings of the same object and moment differ, {count:,} times. The larger one counts.")


def _with_gaps(found: _Days, policy: ByDay, days: tuple[int, int], notes: list[str]) -> _Days:
    """Add the days between readings on which the reading before them counts, and leave out what is not in the month."""
    missing = np.zeros(len(found.day), dtype=np.int64)
    missing[:-1] = np.where(ends_of_runs(found.object)[:-1], 0, found.day[1:] - found.day[:-1] - 1)
    gaps = found.repeated(missing, found.day + 1)
    is_short = np.repeat(missing <= policy.longest_gap, missing)
    read = np.unique(_by_resource(found))
    is_read = np.isin(_by_resource(gaps), read)
    if policy.gaps is Gaps.NEVER:
        is_filled = np.zeros(len(is_short), dtype=np.bool_)
    else:
        is_filled = is_short if policy.gaps is Gaps.ALWAYS else is_short & ~is_read
    before, nothing = "The reading before counts for", "Nothing is charged for"
    otherwise = before if policy.edges is Edges.MONTH else nothing
    _tell_gaps(gaps.take(is_filled & ~is_read).within(days), before, notes)
    _tell_gaps(gaps.take(~is_filled & ~is_read).within(days), otherwise, notes)
    _tell_missing(gaps.take(is_filled & is_read).within(days), before, notes)
    _tell_missing(gaps.take(~is_filled & is_read).within(days), otherwise, notes)
    return _joined(found, gaps.take(is_filled)).within(days)


def _by_resource(found: _Days) -> Numbers:
    """Number each day of each resource."""
    return found.resource * (datetime.date.max.toordinal() + 1) + found.day


def _joined(one: _Days, other: _Days) -> _Days:
    if not len(other.day):
        return one
    both = replace(
        one,
        object=np.concatenate([one.object, other.object]),
        owner=np.concatenate([one.owner, other.owner]),
        resource=np.concatenate([one.resource, other.resource]),
        day=np.concatenate([one.day, other.day]),
        amounts=np.concatenate([one.amounts, other.amounts], axis=1),
    )
    return both.take(np.lexsort((both.day, both.object)))


def _whole_months(found: _Days, days: tuple[int, int]) -> _Days:
    """Have what is there on any day be there on all: as on the day before it, or the first one that there is."""
    is_last = ends_of_runs(found.object)
    is_first = np.roll(is_last, 1)
    begins = np.where(is_first, days[0], found.day)
    ends = np.full(len(found.day), days[1] + 1)
    ends[:-1] = np.where(is_last[:-1], days[1] + 1, found.day[1:])
    return found.repeated(ends - begins, begins)


def _added_up(found: _Days, shape: Shape, policy: ByDay, zone: ZoneInfo) -> pa.Table:
    """Return a record for each object, and for each run of days of one owner, or each day."""
    is_last = ends_of_runs(found.object, found.owner)
    if policy.method is Method.DAILY:
        is_last = np.ones_like(is_last)
    ends, begins = np.flatnonzero(is_last), np.flatnonzero(np.roll(is_last, 1))
    days = ends - begins + 1
    sums = []
    for line in found.amounts:
        if policy.method is Method.MAXIMUM and len(begins):
            line = np.repeat(np.maximum.reduceat(line, begins), days)
        elif policy.method is Method.LAST:
            line = np.repeat(line[ends], days)
        sums.append(sums_of_runs(line, begins))
    first, after = found.day[begins], found.day[ends] + 1
    midnights = {each: midnight(datetime.date.fromordinal(each), zone) for each in {*first.tolist(), *after.tolist()}}
    columns = {
        **found.objects.columns_of(found.object[ends]),
        **found.owners.columns_of(found.owner[ends]),
        "start": [midnights[each] for each in first.tolist()],
        "end": [midnights[each] for each in after.tolist()],
        **dict(zip((each.name for each in shape.measures), (*sums, days * DAY_SECONDS), strict=True)),
    }
    return table_of(columns, shape.schema)


# ---- What is said


def _tell_gaps(gaps: _Days, what: str, notes: list[str]) -> None:
    for resource, of_it in _of_resources(gaps):
        days = days_told(sorted(set(of_it.day.tolist())))
        notes.append(f"{resource}: {GAP} {days}. {what} {_objects(of_it)}.")


def _tell_missing(gaps: _Days, what: str, notes: list[str]) -> None:
    for resource, of_it in _of_resources(gaps):
        first = quoted(of_it.objects.column("id")[of_it.object[0]])
        days = days_told(sorted(set(of_it.day[of_it.object == of_it.object[0]].tolist())))
        notes.append(
            f"{resource}: others were read, and {_objects(of_it)} not until later, such as {first} on {days}. "
            f"{what} them."
        )


def _tell_edges(found: _Days, policy: ByDay, days: tuple[int, int], notes: list[str]) -> None:
    """Say where a resource was not read from the first day to the last."""
    is_filled = policy.edges is Edges.MONTH
    for resource, of_it in _of_resources(found):
        first, last = int(of_it.day.min()), int(of_it.day.max())
        if last < days[0] or first > days[1]:
            continue
        if first > days[0]:
            then = "The first one after counts for them." if is_filled else "Nothing is charged for them."
            notes.append(f"{resource}: no reading on the days before {days_told([first])}. {then}")
        if last < days[1]:
            then = "The last one before counts for them." if is_filled else "Nothing is charged for them."
            notes.append(f"{resource}: no reading on the days after {days_told([last])}. {then}")


def _of_resources(found: _Days) -> Iterator[tuple[str, _Days]]:
    for number in np.unique(found.resource).tolist():
        yield found.resources[number], found.take(found.resource == number)


def _objects(found: _Days) -> str:
    count = len(np.unique(found.object))
    return f"{count:,} {'object' if count == 1 else 'objects'}"


def days_told(days: list[int]) -> str:
    """Write days as people read them, those that follow each other by the first and the last."""
    spans: list[list[int]] = []
    for each in days:
        if spans and spans[-1][1] == each - 1:
            spans[-1][1] = each
        else:
            spans.append([each, each])
    told = [long_dates(*map(datetime.date.fromordinal, span)) for span in spans[:5]]
    return ", ".join(told) + (f" and {len(spans) - 5} more times" if len(spans) > 5 else "")

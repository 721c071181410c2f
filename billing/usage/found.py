"""One row of a priced month among a million: how it came about, and the records behind it, read without the others."""

import datetime
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..files.received import local_copy
from ..models import PricedMonth, StoredFile, UsageFile
from ..quantities import Usage
from . import keeping, taking
from .records import Measure, Shape

# What of a FOCUS row says which record it is of.
OF_RECORD = (
    *("x_UsageId", "x_UsageUser", "ResourceId", "SubAccountId"),
    *("ChargePeriodStart", "ChargePeriodEnd", "x_FreeReason"),
)
HIDDEN = "…"
# Units by 1,024: TiB, GiB-hour.
BINARY = re.compile("[KMGTP]iB")
# More are told in a larger unit.
MANY = 10**7


@dataclass(frozen=True)
class Row:
    """A row as it was priced: the record it is of, and how it came about (`working`, see `workings`)."""

    record: str
    user: str
    resource: str
    account: str
    start: datetime.datetime
    end: datetime.datetime
    # Why nobody pays for it; empty where somebody may.
    reason: str
    working: Mapping[str, Any]


@dataclass(frozen=True)
class UsageRecord:
    """A record behind a row, or the readings of a day: `measures` are what was counted, in words.

    `counts` is false for a record that a later file, or a later line, has completed.
    """

    file: UsageFile
    id: str
    resource: str
    account: str
    user: str
    start: datetime.datetime
    end: datetime.datetime
    free: str
    attributes: dict[str, str] = field(default_factory=dict)
    measures: tuple[str, ...] = ()
    readings: int = 1
    counts: bool = True

    def as_data(self) -> dict[str, Any]:
        return {
            "file": self.file.pk,
            "id": self.id,
            "resource": self.resource,
            "account": self.account,
            "user": self.user or None,
            "start": self.start,
            "end": self.end,
            "free": self.free or None,
            "attributes": self.attributes,
            "measures": list(self.measures),
            "readings": self.readings,
            "counts": self.counts,
        }


def rows_of(priced: PricedMonth, places: Collection[int]) -> dict[int, Row]:
    """Return rows of a priced month by their places, from 0; those that it does not have are left out."""
    if not priced.focus_file or not priced.workings_file:
        return {}
    workings = _rows_at(priced.workings_file, places)
    said = _rows_at(priced.focus_file, places, OF_RECORD)
    return {
        place: Row(
            record=said[place]["x_UsageId"] or "",
            user=said[place]["x_UsageUser"] or "",
            resource=said[place]["ResourceId"] or "",
            account=said[place]["SubAccountId"] or "",
            start=said[place]["ChargePeriodStart"],
            end=said[place]["ChargePeriodEnd"],
            reason=said[place]["x_FreeReason"] or "",
            working=workings[place],
        )
        for place in places
        if place in said and place in workings
    }


def _rows_at(stored: StoredFile, places: Collection[int], columns: Sequence[str] | None = None) -> dict[int, Any]:
    """Return rows of a parquet file, of which only the groups that have them are read."""
    found: dict[int, Any] = {}
    with pq.ParquetFile(local_copy(stored)) as file:
        first = 0
        for number in range(file.num_row_groups):
            count = file.metadata.row_group(number).num_rows
            here = sorted(place for place in places if first <= place < first + count)
            if here:
                table = file.read_row_group(number, columns=columns)
                rows = table.take(pa.array([place - first for place in here])).to_pylist()
                found.update(zip(here, rows, strict=True))
            first += count
    return found


def records_behind(priced: PricedMonth, row: Row) -> list[UsageRecord]:
    """Return the records that a row was made of, oldest first; of readings, those of each day together."""
    feed = keeping.feed_of(priced)
    shape, zone = taking.shape_of(feed), ZoneInfo(feed.time_zone)
    begins, ends = int(row.start.timestamp()), int(row.end.timestamp())
    rows = [
        (file, each)
        for file in keeping.files_of(priced)
        for each in _with_id(local_copy(file.records_file), row)
        if _is_within(each, begins, ends, is_level=shape.are_levels)
    ]
    rows.sort(key=lambda each: (each[1]["start"], each[1]["end"], each[0].pk))
    return list(_by_day(rows, shape, zone) if shape.are_levels else _each(rows, shape, zone))


def _with_id(path: Path, row: Row) -> Iterator[dict[str, Any]]:
    """Yield the records of a file that have the id of a row; of its other columns only the parts that have it."""
    with pq.ParquetFile(path) as file:
        place = file.schema_arrow.get_field_index("id")
        for number in range(file.num_row_groups):
            statistics = file.metadata.row_group(number).column(place).statistics
            if statistics and statistics.has_min_max and not statistics.min <= row.record <= statistics.max:
                continue
            has_it = pc.equal(file.read_row_group(number, columns=["id"]).column("id"), row.record)
            if pc.any(has_it).as_py():
                table = file.read_row_group(number).filter(has_it)
                yield from (each for each in table.to_pylist() if each["resource"] == row.resource)


def _is_within(record: Mapping[str, Any], begins: int, ends: int, *, is_level: bool) -> bool:
    start, end = record["start"], record["end"]
    if is_level or start == end:
        return bool(begins <= start < ends)
    return bool(start < ends and end > begins)


def _each(rows: Sequence[tuple[UsageFile, dict[str, Any]]], shape: Shape, zone: ZoneInfo) -> Iterator[UsageRecord]:
    # Of records with the same start the last to end counts, and of these the one read last.
    last = {record["start"]: at for at, (_, record) in enumerate(rows)}
    for at, (file, record) in enumerate(rows):
        measures = tuple(_told(each, [record[each.name]]) for each in shape.measures if record[each.name])
        yield _record(file, record, shape, zone, measures=measures, counts=last[record["start"]] == at)


def _by_day(rows: Sequence[tuple[UsageFile, dict[str, Any]]], shape: Shape, zone: ZoneInfo) -> Iterator[UsageRecord]:
    days: dict[datetime.date, list[tuple[UsageFile, dict[str, Any]]]] = {}
    for file, record in rows:
        days.setdefault(datetime.datetime.fromtimestamp(record["start"], zone).date(), []).append((file, record))
    for of_day in days.values():
        (_, first), (file, last) = of_day[0], of_day[-1]
        readings = [(each, [record[each.name] for _, record in of_day]) for each in shape.measures]
        measures = tuple(_told(each, values) for each, values in readings if any(values))
        yield _record(file, {**last, "start": first["start"]}, shape, zone, measures=measures, readings=len(of_day))


def _record(file: UsageFile, record: Mapping[str, Any], shape: Shape, zone: ZoneInfo, **more: Any) -> UsageRecord:
    start, end = (datetime.datetime.fromtimestamp(record[name], zone) for name in ("start", "end"))
    texts = {name: record[name] for name in ("id", "resource", "account", "user", "free")}
    attributes = {name: record[name] for name in shape.attributes if record[name]}
    return UsageRecord(file=file, start=start, end=end, attributes=attributes, **texts, **more)


def _told(measure: Measure, values: Sequence[int]) -> str:
    """Write what was measured, in a unit that people read: `cpu: 200 core-hours`, `used: 13.1 TB`."""
    unit = _unit_of(measure, max(values))
    low, high = (Usage(Decimal(each) / measure.units[unit], unit) for each in (min(values), max(values)))
    # The unit says what it is counted in.
    name = measure.name.removesuffix("_seconds").removesuffix("_mib").removesuffix("_bytes").replace("_", " ")
    return f"{name}: {low}" if low == high else f"{name}: {low} to {high}"


def _unit_of(measure: Measure, value: int) -> str:
    """Return the unit of a few plain things, and else the largest one that there is one of; bytes by the thousand."""
    units = {unit: size for unit, size in measure.units.items() if not BINARY.search(unit)} or dict(measure.units)
    if value < MANY and (single := next((unit for unit, size in units.items() if size == 1), "")):
        return single
    reached = {unit: size for unit, size in units.items() if size <= value} or {min(units, key=units.__getitem__): 0}
    return max(reached, key=reached.__getitem__)

"""Ceph object storage: traffic and operations, as `radosgw-admin usage show` writes them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...readers.batches import FileError, Problem, UnreadableFile
from ..records import Measure, Shape
from .byte_units import BYTES
from .fields import MAX_ID, UTC, BadField, moment_of, name_of, whole_number
from .gathering import Record, batches_of
from .json_rows import JsonRow, JsonRows
from .kinds import Kind, Tally
from .settings import Given

HOUR, DAY = 3_600, 86_400
SHAPE = Shape(
    attributes=("system",),
    measures=(
        Measure("bytes_sent", BYTES),
        Measure("bytes_received", BYTES),
        Measure("operations", {"operation": 1, "thousand operations": 1000, "million operations": 1_000_000}),
    ),
)
# What is added up for each measure: failed operations moved nothing, and are not counted.
FIELDS = {"bytes_sent": "bytes_sent", "bytes_received": "bytes_received", "operations": "successful_ops"}
# A day's buckets of all users are held while the file is read.
MAX_RECORDS = 1_000_000
NO_ENTRIES = "The file has no traffic. Run radosgw-admin usage show with --show-log-entries=true."


@dataclass(frozen=True)
class TrafficSettings:
    """`system` is what the resource is called; with `by_hour`, each hour of a bucket is a record, and not each day."""

    system: str = "ceph"
    by_hour: bool = False


def settings_of(settings: Mapping[str, Any]) -> TrafficSettings:
    """Return the settings of a feed, or raise BadSettings."""
    given = Given(settings)
    found = TrafficSettings(given.text("system", "ceph"), given.flag("by_hour"))
    given.done()
    return found


def shape(settings: TrafficSettings) -> Shape:
    """Return what records of traffic have."""
    return SHAPE


def read(path: Path, name: str, settings: TrafficSettings, tally: Tally) -> Iterator[pa.RecordBatch]:
    """Yield the traffic of each bucket and user by day, in UTC as Ceph counts it; see Kind.

    A record goes from the first hour of the day that the file has to the last one, so that the parts of a day that two
    files have stay two records.
    """
    found: dict[tuple[str, str, int], dict[str, int]] = {}
    for row in JsonRows(path, ("entries",)):
        tally.lines += 1
        try:
            _add(row, settings, found)
        except BadField as error:
            raise error.at(row.line, row.place) from None
        if len(found) > MAX_RECORDS:
            message = f"The file has more than {MAX_RECORDS:,} buckets and days. Write a file for each day."
            raise FileError([Problem(message, row.line)])
    if not found:
        raise UnreadableFile(NO_ENTRIES)
    yield from batches_of(_records(found, settings), SHAPE, tally)


def _add(row: JsonRow, settings: TrafficSettings, found: dict[tuple[str, str, int], dict[str, int]]) -> None:
    owner = name_of(row.value.get("user") or row.value.get("owner"), "user")
    for bucket in _objects(row.value, "buckets"):
        hour = moment_of(bucket.get("time"), UTC, "time")
        key = (owner, name_of(bucket.get("bucket"), "bucket", limit=MAX_ID), hour if settings.by_hour else hour // DAY)
        sums = found.setdefault(key, dict.fromkeys(FIELDS, 0) | {"start": hour, "end": hour + HOUR})
        sums["start"], sums["end"] = min(sums["start"], hour), max(sums["end"], hour + HOUR)
        for category in _objects(bucket, "categories"):
            for measure, field in FIELDS.items():
                sums[measure] += whole_number(category.get(field, 0), field)


def _objects(value: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = value.get(name)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise BadField(f"The entry has no list of {name}.", name)
    return found


def _records(found: Mapping[tuple[str, str, int], dict[str, int]], settings: TrafficSettings) -> Iterator[Record]:
    for (owner, bucket, _), sums in found.items():
        system = settings.system
        yield {"id": f"{owner}/{bucket}", "account": owner, "resource": system, "system": system, **sums}


KIND = Kind("ceph_traffic", "Ceph: traffic and operations", settings_of, shape, read, service_category="Storage")

"""Storage: what a system says of its quotas, volumes and buckets, as levels of bytes at a moment."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from ....readers.batches import UnreadableFile
from ...records import Measure, Shape
from ..byte_units import BYTES
from ..fields import BadField, moment_in_name
from ..gathering import Record, batches_of
from ..kinds import Kind, Tally
from ..settings import Given, by_day
from . import mapped
from .formats import dialect_of
from .nesting import counted_once
from .readings import Dialect, Format, Nested, Reading, StorageSettings, owner_of

SHAPE = Shape(
    attributes=("system", "file_system", "tier", "quota_type"),
    measures=(
        Measure("used_bytes", BYTES),
        # 0 where there is none.
        Measure("quota_bytes", BYTES),
        Measure("files", {"file": 1, "thousand files": 1000, "million files": 1_000_000}),
    ),
    are_levels=True,
)
NO_TIME = (
    "The file does not say when it was taken. Put the day into its name, such as quotas-2026-01-31.json, or set "
    "taken_at."
)
# Of a path that is cut: enough that no two of a system are alike.
DIGEST = 8


def settings_of(settings: Mapping[str, Any]) -> StorageSettings:
    """Return the settings of a feed, or raise BadSettings. docs/integrations says what each means."""
    given = Given(settings)
    zone = given.zone("time_zone")
    taken_at = given.moment("taken_at", zone)
    columns = given.names("columns")
    has_header = given.flag("has_header", default=True)
    unit = given.text("unit", "byte")
    nested = given.text("nested")
    found = StorageSettings(
        format=given.choice("format", Format.AUTO),
        system=given.text("system"),
        zone=zone,
        taken_at=None if taken_at is None else int(taken_at.timestamp()),
        account=given.text("account"),
        user=given.text("user"),
        used=given.text("used"),
        limits=given.texts("limits"),
        quota_types=given.texts("quota_types"),
        nested=Nested(nested) if nested in list(Nested) else None,
        tier=given.text("tier"),
        strip=given.text("strip"),
        keep_parts=given.number("keep_parts", 0, most=100),
        columns=columns,
        has_header=has_header,
        unit=BYTES.get(unit, 1),
        policy=by_day(given),
        zfs_columns=given.texts("zfs_columns", StorageSettings.zfs_columns),
    )
    if nested and found.nested is None:
        given.refuse("nested", f"There is no {nested}. There are {', '.join(Nested)}.")
    if unit not in BYTES:
        given.refuse("unit", f"There is no unit {unit}. There are {', '.join(BYTES)}.")
    for name in ("account", "user"):
        place = getattr(found, name).removeprefix("part:")
        if place != getattr(found, name) and not (place.isascii() and place.isdigit() and 0 < int(place) < 100):
            given.refuse(name, "Write which part of the path it is, such as part:3.")
    _check_columns(given, found)
    given.done()
    return found


def _check_columns(given: Given, settings: StorageSettings) -> None:
    if settings.format is Format.CSV or settings.columns:
        for name in mapped.NEEDED:
            if name not in settings.columns:
                given.refuse("columns", f"It does not say which column has the {name}.")
    for name, heading in settings.columns.items():
        if name not in mapped.COLUMNS:
            given.refuse("columns", f"There is no {name}. There are {', '.join(mapped.COLUMNS)}.")
        if not settings.has_header and not (heading.isascii() and heading.isdigit() and len(heading) < 5):
            given.refuse("columns", f"Without a header, {name} is the number of a column, counted from 1.")


def shape(settings: StorageSettings) -> Shape:
    """Return what records of storage have; it is the same for all settings."""
    return SHAPE


def read(path: Path, name: str, settings: StorageSettings, tally: Tally) -> Iterator[pa.RecordBatch]:
    """Yield what a system said of its objects; see Kind.

    In constant memory where quotas are not within each other (nested: all), and otherwise for a million at the most.
    """
    found, dialect = dialect_of(path, settings)
    readings = dialect.read(path, settings, tally)
    nested = settings.nested or dialect.nested
    if nested is not Nested.ALL:
        readings = counted_once(readings, nested, tally)
    yield from batches_of(_records(readings, name, _chosen(settings, found, dialect), tally), SHAPE, tally)
    if not tally.records:
        left_out = ", ".join(f"{count:,} × {reason}" for reason, count in tally.left_out.items())
        raise UnreadableFile(f"The file has nothing that is counted. Left out: {left_out or 'nothing'}.")


def _chosen(settings: StorageSettings, found: Format, dialect: Dialect) -> StorageSettings:
    """Fill in what a feed leaves to the format."""
    account, user = dialect.account, dialect.user
    if found is Format.CSV:
        account = "account" if "account" in settings.columns else "name"
        user = "user" if "user" in settings.columns else "none"
    return replace(
        settings,
        system=settings.system or found.value,
        account=settings.account or account,
        user=settings.user or user,
    )


def _records(readings: Iterator[Reading], name: str, settings: StorageSettings, tally: Tally) -> Iterator[Record]:
    otherwise = settings.taken_at
    if otherwise is None:
        try:
            otherwise = moment_in_name(name, settings.zone)
        except BadField as error:
            raise error.at(None) from None
    for reading in readings:
        at = otherwise if reading.at is None else reading.at
        if at is None:
            raise UnreadableFile(NO_TIME)
        try:
            yield _record(reading, at, settings)
        except BadField as error:
            raise error.at(reading.line) from None


def _record(reading: Reading, at: int, settings: StorageSettings) -> Record:
    if not reading.path:
        raise BadField("The name of the object is missing.", "path")
    system = reading.system or settings.system
    shown = _shown(reading.path, settings)
    return {
        "id": f"{shown}:{reading.holder}" if reading.holder else shown,
        "start": at,
        "end": at,
        "account": owner_of(reading, settings.account, "account"),
        "user": owner_of(reading, settings.user, "user"),
        "resource": f"{system}/{reading.file_system}" if reading.file_system else system,
        "system": system,
        "file_system": reading.file_system,
        "tier": reading.tier or settings.tier,
        "quota_type": reading.quota_type,
        "used_bytes": reading.used,
        "quota_bytes": reading.quota,
        "files": reading.files,
    }


def _shown(path: str, settings: StorageSettings) -> str:
    """Return a path as it is kept: without what all have in common, and cut where names of people begin.

    What is cut off becomes a digest, so that paths stay apart and each is the same from day to day.
    """
    shown = (path.removeprefix(settings.strip) or path).rstrip("/") or "/"
    parts = [part for part in shown.split("/") if part]
    if not settings.keep_parts or len(parts) <= settings.keep_parts:
        return shown
    digest = hashlib.sha256("/".join(parts).encode()).hexdigest()[:DIGEST]
    kept = "/".join(parts[: settings.keep_parts])
    return f"{'/' if shown.startswith('/') else ''}{kept}/~{digest}"


KIND = Kind(
    "storage",
    "Storage: quotas and use",
    settings_of,
    shape,
    read,
    takes_time_from_name=True,
    service_category="Storage",
)

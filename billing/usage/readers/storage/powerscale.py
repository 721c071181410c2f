"""Dell PowerScale (Isilon): what the OneFS API answers for quotas, /platform/N/quota/quotas."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..fields import MAX_ID, BadField, name_of, whole_number
from ..json_rows import JsonRow
from ..kinds import Tally
from .readings import Reading, StorageSettings, is_wanted, understood

FIELDS = ("path", "type", "usage", "thresholds")
# The figure that limits apply to by default; the second is its name in old versions of the API.
USED = ("fslogical", "logical")
LIMITS = ("hard", "soft")


def readings(rows: Iterable[JsonRow], settings: StorageSettings, tally: Tally) -> Iterator[Reading]:
    """Yield the quotas of a file. Where a path has one with snapshots and one without, the latter counts."""
    found: dict[tuple[str, str, str], tuple[Reading, bool]] = {}
    unready = 0
    for row, reading in understood(rows, lambda row: _reading(row, settings)):
        if not is_wanted(reading.quota_type, "directory", settings, tally):
            continue
        has_snapshots = row.value.get("include_snapshots") is True
        key = (reading.path, reading.quota_type, reading.holder)
        other = found.get(key)
        if other is not None and other[1] is not has_snapshots:
            tally.left_out["the same path, with snapshots"] += 1
            if has_snapshots:
                continue
        elif other is not None:
            raise BadField("The path has two quotas of this type.", "path").at(row.line, row.place)
        found[key] = (reading, has_snapshots)
        unready += row.value.get("ready") is False
    if unready:
        tally.notes.append(f"The system was still counting for {unready:,} of the quotas. Their use may be too low.")
    yield from (reading for reading, _ in found.values())


def _reading(row: JsonRow, settings: StorageSettings) -> Reading:
    value = row.value
    usage, thresholds = _object(value, "usage"), _object(value, "thresholds")
    wanted = (settings.used,) if settings.used else USED
    figure = next((name for name in wanted if name in usage), None)
    if figure is None:
        raise BadField(f"usage has no {wanted[0]}. It has {', '.join(sorted(usage))}.", "usage")
    persona = value.get("persona") or {}
    holder = name_of(persona.get("name") or persona.get("id"), "persona") if isinstance(persona, dict) else ""
    return Reading(
        path=name_of(value.get("path"), "path", limit=MAX_ID),
        line=row.line,
        used=whole_number(usage[figure], f"usage.{figure}"),
        quota=_limit(thresholds, settings.limits or LIMITS),
        files=whole_number(usage.get("inodes") or 0, "usage.inodes"),
        holder=holder,
        quota_type=name_of(value.get("type"), "type"),
        names={"owner": holder},
    )


def _limit(thresholds: Mapping[str, Any], order: Iterable[str]) -> int:
    for name in order:
        if thresholds.get(name):
            return whole_number(thresholds[name], f"thresholds.{name}")
    return 0


def _object(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    if not isinstance(found, dict):
        raise BadField(f"The quota has no {name}.", name)
    return found

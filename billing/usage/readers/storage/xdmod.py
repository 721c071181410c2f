"""Open XDMoD's storage realm: daily snapshots as JSON, one object for each user of a file system."""

from collections.abc import Iterable, Iterator

from ..fields import MAX_ID, moment_of, name_of, whole_number
from ..json_rows import JsonRow
from ..kinds import Tally
from .readings import Reading, StorageSettings, understood

FIELDS = ("dt", "resource", "user", "logical_usage")
USED = "logical_usage"
LIMITS = ("hard", "soft")


def readings(rows: Iterable[JsonRow], settings: StorageSettings, tally: Tally) -> Iterator[Reading]:
    """Yield what each user had of each file system."""
    yield from (reading for _, reading in understood(rows, lambda row: _reading(row, settings)))


def _reading(row: JsonRow, settings: StorageSettings) -> Reading:
    value = row.value
    user, used = name_of(value.get("user"), "user"), settings.used or USED
    limits = [f"{name}_threshold" for name in settings.limits or LIMITS]
    limit = next((name for name in limits if value.get(name)), limits[0])
    return Reading(
        path=name_of(value.get("mountpoint"), "mountpoint", limit=MAX_ID),
        line=row.line,
        used=whole_number(value.get(used), used),
        quota=whole_number(value.get(limit) or 0, limit),
        files=whole_number(value.get("file_count") or 0, "file_count"),
        at=moment_of(value.get("dt"), settings.zone, "dt"),
        holder=user,
        system=name_of(value.get("resource"), "resource"),
        quota_type="user",
        names={"user": user, "pi": name_of(value.get("pi"), "pi")},
    )

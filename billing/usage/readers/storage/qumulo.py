"""Qumulo: what its API answers for the state of quotas, /v1/files/quotas/status/. Amounts are texts of digits."""

from collections.abc import Iterable, Iterator

from ..fields import MAX_ID, name_of, whole_number
from ..json_rows import JsonRow
from ..kinds import Tally
from .readings import Reading, StorageSettings, understood

FIELDS = ("path", "limit", "capacity_usage")


def readings(rows: Iterable[JsonRow], settings: StorageSettings, tally: Tally) -> Iterator[Reading]:
    """Yield the quotas of a file."""
    yield from (reading for _, reading in understood(rows, _reading))


def _reading(row: JsonRow) -> Reading:
    value = row.value
    return Reading(
        path=name_of(value.get("path"), "path", limit=MAX_ID),
        line=row.line,
        used=whole_number(value.get("capacity_usage"), "capacity_usage"),
        quota=whole_number(value.get("limit") or 0, "limit"),
        quota_type="directory",
    )

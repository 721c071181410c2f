"""Ceph object storage: what `radosgw-admin bucket stats` writes."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..fields import BadField, name_of, whole_number
from ..json_rows import JsonRow
from ..kinds import Tally
from .readings import Reading, StorageSettings, understood

FIELDS = ("bucket", "usage")
KIB = 1024
# What objects take, each rounded up to its 4 KiB: as quotas count by default.
USED = "size_actual"
# It holds no bytes, and its count is known to be wrong.
NOTHING = "rgw.none"


def readings(rows: Iterable[JsonRow], settings: StorageSettings, tally: Tally) -> Iterator[Reading]:
    """Yield the buckets of a file, with all categories of their objects added up."""
    yield from (reading for _, reading in understood(rows, lambda row: _reading(row, settings)))


def _reading(row: JsonRow, settings: StorageSettings) -> Reading:
    value = row.value
    usage = value.get("usage")
    if not isinstance(usage, dict):
        raise BadField("The bucket has no usage. Run radosgw-admin bucket stats.", "usage")
    tenant, bucket = name_of(value.get("tenant"), "tenant"), name_of(value.get("bucket"), "bucket")
    categories = {name: each for name, each in usage.items() if name != NOTHING and isinstance(each, dict)}
    return Reading(
        path=f"{tenant}/{bucket}" if tenant else bucket,
        line=row.line,
        used=sum(_size(each, settings.used or USED, name) for name, each in categories.items()),
        quota=_quota(value.get("bucket_quota")),
        files=whole_number(categories.get("rgw.main", {}).get("num_objects", 0), "usage.rgw.main.num_objects"),
        tier=name_of(value.get("placement_rule") or value.get("pool"), "placement_rule"),
        quota_type="bucket",
        names={"owner": name_of(value.get("owner"), "owner"), "tenant": tenant, "bucket": bucket},
    )


def _size(category: Mapping[str, Any], figure: str, name: str) -> int:
    """Return a size in bytes, where old versions have it in KiB only: `size_actual` or `size_kb_actual`."""
    in_kib = figure.replace("size", "size_kb", 1)
    if figure in category:
        return whole_number(category[figure], f"usage.{name}.{figure}")
    if in_kib in category:
        return KIB * whole_number(category[in_kib], f"usage.{name}.{in_kib}")
    raise BadField(f"usage has no {figure}. It has {', '.join(sorted(category))}.", f"usage.{name}")


def _quota(quota: Any) -> int:
    """Return the limit of a bucket's own quota, 0 where it has none or it is not enabled; -1 is none too."""
    if not isinstance(quota, dict) or quota.get("enabled") is not True:
        return 0
    for name, factor in (("max_size", 1), ("max_size_kb", KIB)):
        size = quota.get(name)
        if isinstance(size, int) and size > 0:
            return factor * whole_number(size, f"bucket_quota.{name}")
    return 0

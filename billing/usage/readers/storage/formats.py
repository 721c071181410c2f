"""Which format a file of storage readings is in, and how each is read."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ....readers.batches import UnreadableFile
from ..json_rows import JsonRow, JsonRows
from ..kinds import Tally
from ..opened import start_of
from . import ceph, gpfs, mapped, powerscale, qumulo, xdmod, zfs
from .readings import Dialect, Format, Nested, Reading, StorageSettings

JsonReader = Callable[[Iterable[JsonRow], StorageSettings, Tally], Iterator[Reading]]

# By what its objects have, the most particular first.
JSON_FORMATS: dict[Format, tuple[tuple[str, ...], JsonReader]] = {
    Format.POWERSCALE: (powerscale.FIELDS, powerscale.readings),
    Format.QUMULO: (qumulo.FIELDS, qumulo.readings),
    Format.XDMOD: (xdmod.FIELDS, xdmod.readings),
    Format.CEPH: (ceph.FIELDS, ceph.readings),
}
TRAFFIC = (
    "This is what radosgw-admin usage show writes: traffic, and not what is stored. Give it a feed of the kind "
    "ceph_traffic, or import what radosgw-admin bucket stats writes."
)
ONE_PAGE = (
    "The file is a page of several: the system had more quotas to tell. Ask for all pages, and write them into one "
    "file, one after the other."
)
UNKNOWN_JSON = "The objects are none of PowerScale, Qumulo, Ceph or XDMoD."
UNKNOWN = (
    "The format is not recognized. For a table, say in the settings which columns it has; for any other file, which "
    "format it is."
)
# A report may begin with lines for people.
FIRST_LINES = 20


def dialect_of(path: Path, settings: StorageSettings) -> tuple[Format, Dialect]:
    """Return the format that a file is in, as set or by its first lines; raises UnreadableFile where none fits."""
    found = settings.format if settings.format is not Format.AUTO else _recognized(path, settings)
    return found, DIALECTS[found]


def _recognized(path: Path, settings: StorageSettings) -> Format:
    lines = [line for line in start_of(path).splitlines()[:FIRST_LINES] if line.strip()] or [""]
    first = lines[0]
    if first.lstrip().startswith(("{", "[")):
        row = next(iter(JsonRows(path, ("quotas", "entries"))), None)
        if row is None:
            raise UnreadableFile("The file has no quotas and no buckets.")
        if "buckets" in row.value and "user" in row.value:
            raise UnreadableFile(TRAFFIC)
        for name, (fields, _) in JSON_FORMATS.items():
            if all(field in row.value for field in fields):
                return name
        raise UnreadableFile(f"{UNKNOWN_JSON} The first has {', '.join(list(row.value)[:12])}.", row.line)
    if any(line.startswith(f"{gpfs.COMMAND}:") for line in lines):
        return Format.GPFS
    if not settings.columns and zfs.is_zfs(first):
        return Format.ZFS
    if settings.columns:
        return Format.CSV
    raise UnreadableFile(UNKNOWN, 1)


def _json(name: Format) -> Callable[[Path, StorageSettings, Tally], Iterator[Reading]]:
    def read(path: Path, settings: StorageSettings, tally: Tally) -> Iterator[Reading]:
        rows = JsonRows(path, ("quotas",))
        yield from JSON_FORMATS[name][1](_counted(rows, tally), settings, tally)
        if rows.pages and _has_more(rows.pages[-1]):
            raise UnreadableFile(ONE_PAGE)

    return read


def _counted(rows: Iterable[JsonRow], tally: Tally) -> Iterator[JsonRow]:
    for row in rows:
        tally.lines += 1
        yield row


def _has_more(page: dict[str, Any]) -> bool:
    """Tell whether the last page of a file says that there are more: OneFS by `resume`, Qumulo by `paging`."""
    paging = page.get("paging")
    return bool(page.get("resume")) or isinstance(paging, dict) and bool(paging.get("next"))


DIALECTS = {
    Format.POWERSCALE: Dialect("PowerScale", _json(Format.POWERSCALE), account="name", user="owner", nested=Nested.OWN),
    Format.QUMULO: Dialect("Qumulo", _json(Format.QUMULO), account="name", nested=Nested.OWN),
    Format.GPFS: Dialect("Storage Scale", gpfs.readings, account="fileset"),
    Format.CEPH: Dialect("Ceph", _json(Format.CEPH), account="owner"),
    Format.XDMOD: Dialect("XDMoD", _json(Format.XDMOD), account="pi", user="user"),
    Format.ZFS: Dialect("ZFS", zfs.readings, account="name", nested=Nested.OWN),
    Format.CSV: Dialect("Table", mapped.readings, account="account", user="user"),
}

"""ZFS: what `zfs list -Hp` and `zfs get -Hp` write: tabs between fields, and amounts in bytes."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ....readers.batches import UnreadableFile
from ..fields import MAX_ID, BadField, name_of, whole_number
from ..kinds import Tally
from ..opened import lines_of
from .readings import Reading, StorageSettings

USED = "used"
LIMITS = ("quota", "refquota", "volsize")
# What `zfs get` writes behind each property: where its value comes from.
SOURCES = ("local", "default", "inherited", "temporary", "received", "none", "-")
NONE = ("", "-", "none", "0")

Properties = dict[str, str]


def readings(path: Path, settings: StorageSettings, tally: Tally) -> Iterator[Reading]:
    """Yield the datasets of a pool. Snapshots are passed over: what they take is in the use of their dataset."""
    for line, name, properties in _datasets(_rows(path, tally), settings):
        if "@" in name or "#" in name:
            tally.left_out["snapshot or bookmark"] += 1
            continue
        try:
            yield _reading(line, name, properties, settings)
        except BadField as error:
            raise error.at(line) from None


def is_zfs(line: str) -> bool:
    """Tell whether a line is one that ZFS writes for machines: a dataset and, behind tabs, bytes or a property."""
    fields = line.split("\t")
    if len(fields) < 3 or not fields[0][:1].isalpha():
        return False
    return is_property(fields) or all(field.isdigit() for field in fields[1:3])


def _rows(path: Path, tally: Tally) -> Iterator[tuple[int, list[str]]]:
    for number, line in lines_of(path):
        tally.lines += 1
        if line.strip():
            yield number, line.split("\t")


def _datasets(
    rows: Iterable[tuple[int, list[str]]], settings: StorageSettings
) -> Iterator[tuple[int, str, Properties]]:
    """Yield each dataset with its first line and its properties; `zfs get` has a line for each of them."""
    at, gathered, properties = 0, "", Properties()
    for line, fields in rows:
        if is_property(fields):
            if fields[0] != gathered and gathered:
                yield at, gathered, properties
            if fields[0] != gathered:
                at, gathered, properties = line, fields[0], Properties()
            properties[fields[1]] = fields[2]
        elif len(fields) != len(settings.zfs_columns):
            raise UnreadableFile(
                f"The line has {len(fields)} fields, and zfs_columns names {len(settings.zfs_columns)}. "
                "Set it to the names behind -o.",
                line,
            )
        else:
            found = dict(zip(settings.zfs_columns, fields, strict=True))
            yield line, found.pop("name", ""), found
    if gathered:
        yield at, gathered, properties


def is_property(fields: list[str]) -> bool:
    """Tell whether a line is of `zfs get`: a name, a property that is a word, its value, and perhaps its source."""
    is_get = len(fields) == 4 and fields[3].partition(" ")[0] in SOURCES
    return (is_get or len(fields) == 3) and bool(fields[1]) and not fields[1].isdigit()


def _reading(line: int, name: str, properties: Mapping[str, str], settings: StorageSettings) -> Reading:
    used = settings.used or USED
    if used not in properties:
        raise BadField(f"The dataset has no {used}. Ask zfs for this property.", used)
    limits = (properties.get(each, "") for each in settings.limits or LIMITS)
    limit = next((each for each in limits if each not in NONE), "0")
    pool = name_of(name.partition("/")[0], "name")
    return Reading(
        path=name_of(name, "name", limit=MAX_ID),
        line=line,
        used=whole_number(properties[used], used),
        quota=whole_number(limit, "quota"),
        file_system=pool,
        quota_type="dataset",
        names={each: "" if value in ("-", "none") else name_of(value, each) for each, value in properties.items()},
    )

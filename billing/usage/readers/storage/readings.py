"""What a storage system said of one quota, volume or bucket at one moment, and how a feed wants it taken."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

from ...level_policies import ByDay
from ..fields import BadField
from ..json_rows import JsonRow
from ..kinds import Tally


class Format(StrEnum):
    """What a file is written in; AUTO looks at the file."""

    AUTO = "auto"
    POWERSCALE = "powerscale"
    QUMULO = "qumulo"
    GPFS = "gpfs"
    CEPH = "ceph"
    XDMOD = "xdmod"
    ZFS = "zfs"
    CSV = "csv"


class Nested(StrEnum):
    """What a quota within another one means, where the outer one's amounts have those of the inner one in them.

    OWN takes the inner amounts out of the outer ones. OUTER leaves out the inner ones. ALL takes each as it is, which
    counts twice unless the system itself keeps them apart.
    """

    OWN = "own"
    OUTER = "outer"
    ALL = "all"


@dataclass(frozen=True)
class StorageSettings:
    """How a feed wants readings taken. Empty texts and tuples leave it to the format; see docs/integrations."""

    format: Format = Format.AUTO
    system: str = ""
    zone: ZoneInfo = ZoneInfo("UTC")
    taken_at: int | None = None
    # Where the account and the user come from: the name of a field, `name`, `part:3` or `none`.
    account: str = ""
    user: str = ""
    used: str = ""
    limits: tuple[str, ...] = ()
    quota_types: tuple[str, ...] = ()
    nested: Nested | None = None
    tier: str = ""
    strip: str = ""
    keep_parts: int = 0
    # Of tables only: the headings, or the numbers where there is no header, of the columns.
    columns: Mapping[str, str] = field(default_factory=dict)
    has_header: bool = True
    unit: int = 1
    policy: ByDay = ByDay()
    zfs_columns: tuple[str, ...] = ("name", "used", "avail", "refer", "mountpoint")


@dataclass(slots=True)
class Reading:
    """One object at one moment. Amounts are bytes, `quota` is 0 for none; what is "" or None the file does not say.

    `path` is what the object is called within its system, and `holder` whose quota it is where others share the path.
    `names` are the fields that the account and the user may be taken from.
    """

    path: str
    line: int
    used: int
    quota: int = 0
    files: int = 0
    at: int | None = None
    holder: str = ""
    system: str = ""
    file_system: str = ""
    tier: str = ""
    quota_type: str = ""
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(part for part in self.path.split("/") if part)


@dataclass(frozen=True)
class Dialect:
    """A format: what it takes where a feed does not say, and how it is read.

    `read` yields readings, or raises FileError. `nested` is how quotas within others are taken.
    """

    label: str
    read: Callable[[Path, StorageSettings, Tally], Iterator[Reading]]
    account: str
    user: str = "none"
    nested: Nested = Nested.ALL


def understood(rows: Iterable[JsonRow], convert: Callable[[JsonRow], Reading]) -> Iterator[tuple[JsonRow, Reading]]:
    """Yield each object with its reading; raises FileError with the place of one that cannot be converted."""
    for row in rows:
        try:
            reading = convert(row)
        except BadField as error:
            raise error.at(row.line, row.place) from None
        yield row, reading


def is_wanted(quota_type: str, default: str, settings: StorageSettings, tally: Tally) -> bool:
    """Tell whether quotas of a type are counted; those that are not are told as left out."""
    wanted = settings.quota_types or (default,)
    if quota_type.casefold() in {each.casefold() for each in wanted}:
        return True
    tally.left_out[f"quota of the type {quota_type}"] += 1
    return False


def owner_of(reading: Reading, source: str, column: str) -> str:
    """Return what a setting takes as the account or user of a reading; raises BadField where there is no such field."""
    if source in ("", "none"):
        return ""
    if source == "name":
        return reading.parts[-1] if reading.parts else ""
    if source.startswith("part:"):
        place = int(source.removeprefix("part:"))
        return reading.parts[place - 1] if place <= len(reading.parts) else ""
    if source not in reading.names:
        known = ", ".join([*reading.names, "name", "part:1", "none"])
        raise BadField(f"The setting {column} is {source}, which the file does not have. There are {known}.", column)
    return reading.names[source]

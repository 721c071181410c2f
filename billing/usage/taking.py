"""Taking files of usage in: read, reduced to what is charged for, and kept so; the file itself is not kept.

A file is read as a whole or not at all, and files given together are. What is kept is a file of records (parquet), by
its hash, with the hash of the file as it came, so that the same file is recognized.
"""

import datetime
import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from django.conf import settings

from .. import audit
from ..audit import Actor
from ..errors import BillingError, ReasonMissing, WrongState
from ..file_names import shown
from ..files.received import store
from ..importing.outcomes import describe, errors_of, in_file
from ..models import UsageFeed, UsageFile
from ..progress import Progress, unwatched
from ..readers import FileError
from .readers import KINDS, Kind, Tally
from .records import Shape

CHUNK = 1024 * 1024
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class UsageRefused(BillingError):
    """Files of usage that cannot be read: `errors` holds file, line, column and message of each problem."""

    def __init__(self, error: FileError) -> None:
        self.errors = errors_of(error)
        lines = [describe(each) for each in self.errors[:20]]
        if len(self.errors) > len(lines):
            lines.append(f"… and {len(self.errors) - len(lines)} more.")
        super().__init__("\n".join(["Nothing was read.", *lines]))

    @property
    def result(self) -> dict[str, Any]:
        return {"files": [], "months": [], "errors": self.errors}


class NoSuchKind(BillingError):
    """A feed is of a kind that no reader knows."""


@dataclass(frozen=True)
class Taken:
    """What came of one file; `file` is None for a dry run. `seen` is the file that holds it already, where one does."""

    name: str
    lines: int = 0
    records: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    totals: dict[str, int] = field(default_factory=dict)
    first: datetime.datetime | None = None
    last: datetime.datetime | None = None
    file: UsageFile | None = None
    seen: UsageFile | None = None
    # Its records, in a scratch folder that lives as long as the caller's.
    path: Path | None = None

    def as_data(self) -> dict[str, Any]:
        """What came of it, as --json has it."""
        return {
            "name": self.name,
            "file": self.file.pk if self.file else None,
            "already_read": self.seen.pk if self.seen else None,
            "lines": self.lines,
            "records": self.records,
            "left_out": self.left_out,
            "notes": list(self.notes),
            "totals": {name: str(total) for name, total in self.totals.items()},
            "first": self.first,
            "last": self.last,
        }

    def as_text(self) -> str:
        """What came of it, for a person."""
        if self.seen:
            return f"{self.name}: read already, as usage file {self.seen.pk}. Nothing to do."
        number = f"Usage file {self.file.pk}" if self.file else "Dry run, nothing was stored"
        of_file, of_it = "" if self.lines == 1 else "s", "" if self.records == 1 else "s"
        lines = [f"{number}: {self.name}, {self.lines:,} line{of_file}, {self.records:,} record{of_it}."]
        lines += [f"  left out, {reason}: {count:,}" for reason, count in sorted(self.left_out.items())]
        lines += [f"  {note}" for note in self.notes]
        return "\n".join(lines)


def kind_of(feed: UsageFeed) -> Kind:
    """Return the reader of a feed; raise NoSuchKind."""
    if feed.kind not in KINDS:
        raise NoSuchKind(f"No reader knows usage of the kind “{feed.kind}”. Known: {', '.join(sorted(KINDS))}.")
    return KINDS[feed.kind]


def settings_of(feed: UsageFeed) -> Any:
    """Return a feed's settings as its reader has them; raises NoSuchKind and BadSettings."""
    return kind_of(feed).settings({"time_zone": feed.time_zone, **feed.settings})


def shape_of(feed: UsageFeed) -> Shape:
    """Return the shape of a feed's records."""
    return kind_of(feed).shape(settings_of(feed))


def reduce(
    *,
    paths: Sequence[Path],
    names: Sequence[str],
    feed: UsageFeed,
    into: Path,
    progress: Progress = unwatched,
) -> list[tuple[Taken, str, int]]:
    """Read files into files of records in the folder `into`; return what came of each, with hash and size as it came.

    Raises UsageRefused, for all of them, where one cannot be read.
    """
    kind, given = kind_of(feed), settings_of(feed)
    made: list[tuple[Taken, str, int]] = []
    known: set[tuple[str, datetime.datetime | None]] = set()
    for number, (path, name) in enumerate(zip(paths, names, strict=True)):
        progress(number, len(paths), f"Reading {shown(name)}")
        try:
            with in_file(shown(name)):
                sha256, size = _hashed(path)
                taken, first = None, None
                seen = UsageFile.objects.filter(feed=feed, original_sha256=sha256, state=UsageFile.State.STANDING)
                if kind.takes_time_from_name:
                    taken = _reduced(kind, given, path, shown(name), into / f"{number}.parquet")
                    first = taken.first
                    seen = seen.filter(first=first)
                if same := seen.first():
                    made.append((Taken(shown(name), seen=same), sha256, size))
                elif (sha256, first) not in known:
                    known.add((sha256, first))
                    taken = taken or _reduced(kind, given, path, shown(name), into / f"{number}.parquet")
                    made.append((taken, sha256, size))
        except FileError as error:
            raise UsageRefused(error) from error
    return made


def _hashed(path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as source:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise FileError([]) from error
    return digest.hexdigest(), size


def _reduced(kind: Kind, given: Any, path: Path, name: str, into: Path) -> Taken:
    """Write the records of one file, and count them."""
    shape, tally = kind.shape(given), Tally()
    totals = {measure.name: 0 for measure in shape.measures}
    records, first, last = 0, None, None
    with pq.ParquetWriter(into, shape.schema, compression="zstd") as writer:
        for batch in kind.read(path, name, given, tally):
            if not batch.num_rows:
                continue
            writer.write_batch(batch)
            records += batch.num_rows
            for measure in totals:
                totals[measure] += exact_sum(batch.column(measure))
            starts, ends = pc.min(batch.column("start")).as_py(), pc.max(batch.column("end")).as_py()
            first = starts if first is None else min(first, starts)
            last = ends if last is None else max(last, ends)
    return Taken(
        name,
        lines=tally.lines,
        records=records,
        left_out=dict(tally.left_out),
        notes=tuple(tally.notes),
        totals=totals,
        first=moment(first),
        last=moment(last),
        path=into,
    )


def exact_sum(column: pa.Array | pa.ChunkedArray) -> int:
    """Return the sum of whole numbers, which 64 bits may not hold."""
    return int(pc.sum(pc.cast(column, pa.decimal128(19, 0))).as_py() or 0)


def moment(seconds: int | None) -> datetime.datetime | None:
    """Return seconds since 1970 as a moment in UTC."""
    return None if seconds is None else EPOCH + datetime.timedelta(seconds=seconds)


def keep(
    *,
    made: Sequence[tuple[Taken, str, int]],
    feed: UsageFeed,
    actor: Actor,
    now: datetime.datetime,
) -> list[Taken]:
    """Store what `reduce` made, all in one transaction."""
    kept: list[Taken] = []
    stored = [store(path=taken.path, now=now) if taken.path else None for taken, _, _ in made]
    with audit.gesture(actor=actor, now=now) as gesture:
        for (taken, sha256, size), records_file in zip(made, stored, strict=True):
            if records_file is None:
                kept.append(taken)
                continue
            file = UsageFile(
                feed=feed,
                name=taken.name[:254],
                original_sha256=sha256,
                original_size=size,
                records_file=records_file,
                lines=taken.lines,
                records=taken.records,
                left_out=taken.left_out,
                notes=list(taken.notes),
                totals={name: str(total) for name, total in taken.totals.items()},
                first=taken.first,
                last=taken.last,
                read_at=now,
                read_by=actor.user,
                read_by_name=actor.name,
            )
            file.save()
            gesture.record(
                "usage.read",
                file,
                after={"feed": feed.name, "name": file.name, "sha256": sha256, "records": file.records},
            )
            kept.append(_with_file(taken, file))
    return kept


def _with_file(taken: Taken, file: UsageFile) -> Taken:
    return Taken(**{**vars(taken), "file": file, "path": None})


def scratch() -> "tempfile.TemporaryDirectory[str]":
    """Return a folder for files of records in the making, on the disk that keeps them."""
    incoming = Path(settings.MEDIA_ROOT) / "incoming"
    incoming.mkdir(mode=0o750, parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=incoming, prefix="usage-")


def withdraw(*, file: UsageFile, reason: str, actor: Actor, now: datetime.datetime) -> UsageFile:
    """Have a file of usage count no longer; the months that it was of are to be priced again.

    Raises ReasonMissing, and WrongState where it was withdrawn before.
    """
    if not reason.strip():
        raise ReasonMissing("Say why the file is withdrawn.")
    with audit.gesture(actor=actor, now=now) as gesture:
        fresh = UsageFile.objects.select_for_update(no_key=True).select_related("feed").get(pk=file.pk)
        if fresh.state != UsageFile.State.STANDING:
            raise WrongState(f"Usage file {fresh.pk} was withdrawn before.")
        fresh.state, fresh.withdrawn_at, fresh.reason = UsageFile.State.WITHDRAWN, now, reason.strip()
        fresh.save(update_fields=["state", "withdrawn_at", "reason"])
        gesture.record("usage.withdrawn", fresh, after={"feed": fresh.feed.name, "reason": fresh.reason})
    return fresh


def months_of(files: Sequence[UsageFile | Taken], zone: str) -> list[datetime.date]:
    """Return the months that files have usage in, from the first to the last of each."""
    months: set[datetime.date] = set()
    for each in files:
        if each.first is None or each.last is None:
            continue
        month = each.first.astimezone(ZoneInfo(zone)).date().replace(day=1)
        # What ends at midnight ends in the month before; a reading is of its own moment.
        end = each.last if each.last == each.first else each.last - datetime.timedelta(seconds=1)
        last = end.astimezone(ZoneInfo(zone)).date()
        while month <= last:
            months.add(month)
            month = (month + datetime.timedelta(days=32)).replace(day=1)
    return sorted(months)


def bounds(month: datetime.date, zone: str) -> tuple[int, int]:
    """Return the first second of a month in a time zone and of the next month, since 1970 in UTC."""
    following = (month + datetime.timedelta(days=32)).replace(day=1)
    first, after = (
        int(datetime.datetime.combine(day, datetime.time(), tzinfo=ZoneInfo(zone)).timestamp())
        for day in (month, following)
    )
    return first, after

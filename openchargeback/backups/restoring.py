"""Restoring a backup into an installation that has nothing yet."""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from django.conf import settings
from django.db import connection, transaction

from billing import audit, safeguards, schema
from billing.audit import Actor, anchors
from billing.background import jobs
from billing.errors import BillingError
from billing.files import documents, whole
from billing.files.places import Place
from billing.files.received import put_back
from billing.models import Job
from billing.progress import Progress, unwatched
from statements import emails

from .. import transfer
from ..transfer import Row, Table
from . import room
from .archive import HEADS, OWN, RECEIVED, Archive, Damaged, Manifest, Part
from .own_files import own_files, received_files
from .verifying import MIB, verify_opened

ACTION = "installation.restored"
# Why an e-mail that waited then is not sent by itself.
PERHAPS_SENT = (
    "This installation was restored from a backup. It may have been sent after the backup was made: send it again, or "
    "say what became of it."
)


class NotRestored(BillingError):
    """Nothing was restored. What was written to files before is taken again by the next try."""


@dataclass(frozen=True)
class Restored:
    """What was restored, and what of it waits for a person."""

    manifest: Manifest
    is_same_version: bool
    jobs_canceled: int = 0
    emails_in_doubt: int = 0


def restore(path: Path, *, progress: Progress = unwatched) -> Restored:
    """Put a backup into this installation's database and VAR_DIR.

    1. Everything that can be wrong is looked for first: the backup is read whole, and nothing may be here yet.
    2. The files are written, each whole. A try that was broken off is taken up again.
    3. The rows are loaded in one transaction, with their safeguards. Before it ends the database is empty.
    4. What waited to be done is not done by itself: since then it may have been done.

    Where the backup is of an older version, its tables are made as they were then. What brings them up to date is the
    caller's (`initialize`). Raises NotRestored, NotABackup and Damaged.
    """
    with Archive(path) as archive:
        manifest = archive.manifest
        _require_known(archive)
        _require_nothing_here(manifest)
        verify_opened(archive, progress=progress)
        _require_room(manifest)
        _write_files(archive, progress)
        is_same = set(manifest.migrations) == set(transfer.ours(connection))
        _load(archive, with_safeguards=is_same, progress=progress)
    transfer.analyze(connection)
    return Restored(manifest, is_same_version=is_same)


def settle(restored: Restored, *, path: Path, actor: Actor, now: datetime.datetime) -> Restored:
    """Record a restore, cancel the jobs that waited at that moment, and put in doubt the e-mails that did.

    The tables have to be up to date by now.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        manifest = restored.manifest
        told = {"file": path.name, "moment": manifest.moment, "version": manifest.version, "events": manifest.events}
        gesture.record(ACTION, after=told)
    waiting = list(Job.objects.filter(state=Job.State.QUEUED))
    for job in waiting:
        jobs.cancel(job=job, actor=actor, now=now)
    doubted = emails.doubt_waiting(why=PERHAPS_SENT, actor=actor, now=now)
    return Restored(manifest, restored.is_same_version, len(waiting), doubted)


def _require_known(archive: Archive) -> None:
    """Raise NotRestored where the tables of a backup are not those of this version or one before it."""
    strange = sorted(set(archive.manifest.migrations) - set(transfer.ours(connection)))
    if strange:
        app, name = strange[0]
        raise NotRestored(
            f"{archive.path} was made by version {archive.manifest.version}, whose tables this version "
            f"({settings.VERSION}) does not know ({app}.{name}). Install that version, and restore it there."
        )


def _require_nothing_here(manifest: Manifest) -> None:
    """Raise NotRestored where this installation has rows, files, or notes of an audit log."""
    schema.lacking()
    if not transfer.is_unused(connection):
        raise NotRestored(
            f"The database {_named()} is not empty, and nothing is restored over what is there. Name an empty one in "
            "DATABASE_URL, or move this one away first."
        )
    expected = {each.name: each.size for each in manifest.files}
    for name, path in own_files():
        if expected.get(OWN + name) != path.stat().st_size:
            raise NotRestored(_in_the_way(path))
    for path in received_files():
        name = RECEIVED + path.relative_to(settings.MEDIA_ROOT).as_posix()
        if expected.get(name) != path.stat().st_size:
            raise NotRestored(_in_the_way(path))
    for name, size in documents.in_bucket():
        if expected.get(OWN + name) != size:
            raise NotRestored(_in_the_way(documents.place(name)))
    noted = anchors.read(anchors.default_path())
    if noted and (noted.unreadable or any(each.events > manifest.events for each in noted.anchors)):
        last = max(noted.anchors, key=lambda each: each.events)
        raise NotRestored(
            f"{anchors.default_path()} notes {last.events:,} events of the audit log on {last.when}, and the backup "
            f"has {manifest.events:,}. The others are lost. Move the file away and keep it: it shows what was lost."
        )


def _named() -> str:
    return str(settings.DATABASES["default"]["NAME"])


def _in_the_way(place: Path | Place) -> str:
    where = "VAR_DIR" if isinstance(place, Path) else "STORAGE_BUCKET or STORAGE_PREFIX"
    return (
        f"{place} is there, and not from this backup. Nothing is restored over what is there: name an empty {where}, "
        "or move this one away first."
    )


def _require_room(manifest: Manifest) -> None:
    rows = sum(each.size for each in manifest.rows)
    is_here = not documents.bucket()
    files = sum(each.size for each in manifest.files if is_here or not _is_of_bucket(each))
    root = Path(settings.VAR_DIR)
    if settings.IS_SQLITE:
        folder = Path(_named()).resolve().parent
        same = folder.stat().st_dev == root.stat().st_dev
        room.require(folder, rows + files if same else rows, what="The database", error=NotRestored)
    room.require(root, files, what="What is restored", error=NotRestored)


def _is_of_bucket(part: Part) -> bool:
    """Tell whether a file goes to an object storage where one is set."""
    folder, _, rest = part.name.partition("/")
    return f"{folder}/" == RECEIVED or (f"{folder}/" == OWN and rest.split("/")[0] in documents.FOLDERS)


def _write_files(archive: Archive, progress: Progress) -> None:
    total, done = archive.manifest.file_size // MIB, 0
    for part in archive.manifest.files:
        progress(done // MIB, total, "Writing MiB")
        if part.name.startswith(RECEIVED):
            try:
                put_back(_safe(part, RECEIVED), archive.chunks(part), sha256=part.sha256)
            except FileExistsError as error:
                raise NotRestored(_in_the_way(Path(settings.MEDIA_ROOT, str(error)))) from error
        elif part.name == HEADS:
            _write(anchors.default_path(), archive.chunks(part))
        elif _is_of_bucket(part):
            documents.put_back(_safe(part, OWN), archive.chunks(part))
        else:
            _write(Path(settings.VAR_DIR, _safe(part, OWN)), archive.chunks(part))
        done += part.size


def _safe(part: Part, prefix: str) -> str:
    """Return the path of a file below its folder. Raises Damaged for one that leads out of it."""
    name = part.name.removeprefix(prefix)
    path = PurePosixPath(name)
    if not part.name.startswith(prefix) or path.is_absolute() or ".." in path.parts or not path.parts:
        raise Damaged(f"{part.name} is no name of a file in a backup.")
    return name


def _write(path: Path, content: Iterable[bytes]) -> None:
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    with whole(path) as file:
        for chunk in content:
            file.write(chunk)


def _load(archive: Archive, *, with_safeguards: bool, progress: Progress) -> None:
    manifest = archive.manifest
    progress(0, 0, "Making tables")
    transfer.make_tables(connection, manifest.migrations)
    parts = {part.table: part for part in manifest.rows}

    def rows_of(table: Table) -> Iterable[Row]:
        return archive.rows(parts[table])

    with transaction.atomic():
        safeguards.remove(connection)
        transfer.load(
            connection,
            {table: part.count for table, part in parts.items()},
            rows_of,
            last={table.name: part.last for table, part in parts.items()},
            progress=progress,
        )
        if with_safeguards:
            safeguards.install(connection)

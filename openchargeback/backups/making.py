"""Making a backup while people work and imports run."""

import datetime
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import connection

from billing import audit
from billing.audit import Actor, anchors
from billing.audit.anchors import Anchor
from billing.errors import BillingError
from billing.files import Pending, disposed, documents
from billing.files.received import chunks, opened_at
from billing.models import AuditEvent, AuditHead, DisposedFile, StoredFile
from billing.moments import one_moment
from billing.progress import Progress, unwatched

from .. import transfer
from ..transfer import Row, Table
from . import room
from .archive import HEADS, OWN, RECEIVED, Manifest, Part, Rows, Writer
from .own_files import own_files
from .verifying import verify

MODE, FOLDER_MODE = 0o600, 0o700
PREFIX, ENDING = "openchargeback-", ".zip"
ACTION = "installation.backed_up"
# What is of a process or a browser, and not of the institution: everybody signs in anew after a restore, waiting jobs
# are kept in their own table, and the rest is worked out again.
LEFT_OUT = ("billing_atwork", "billing_kept", "billing_worker", "django_q_ormq", "django_session")
STORED = StoredFile._meta.db_table


class NotBackedUp(BillingError):
    """No backup was made, and nothing is left of it."""


@dataclass(frozen=True)
class Made:
    """A backup that was made and verified."""

    path: Path
    size: int
    sha256: str
    manifest: Manifest


def back_up(folder: Path, *, actor: Actor, now: datetime.datetime, progress: Progress = unwatched) -> Made:
    """Write a backup into a folder, read it back, and give it its name once all is as it should be.

    1. The rows are read at one moment of the database (`one_moment`): nobody waits, whatever commits meanwhile.
    2. The files follow. Those received are kept by their hash before a row names them, so that all which the rows
       name are there; one that was cleared away meanwhile, because nothing came of it, loses its row as well.
    3. Of the noted heads of the audit log, those up to that moment: a later one would say that the end is cut off.

    Raises NotBackedUp, and Damaged where what is read back is not what was written.
    """
    folder = _ready(folder)
    path = folder / f"{PREFIX}{now.astimezone(datetime.UTC):%Y%m%dT%H%M%SZ}{ENDING}"
    if path.exists():
        raise NotBackedUp(f"{path} is there already. Another backup was made at the same second: try again.")
    clear_abandoned(folder)
    room.require(folder, room.needed_for_backup(), what="The backup", error=NotBackedUp)
    pending = Pending(path, mode=MODE, prefix=f".{PREFIX}")
    try:
        pending.lock()
        manifest = _write(Writer(pending.file), now=now, progress=progress)
        pending.complete()
        verify(pending.temporary, progress=progress)
        made = Made(path, pending.temporary.stat().st_size, _sha256(pending.temporary), manifest)
        pending.publish()
    finally:
        pending.discard()
    with audit.gesture(actor=actor, now=now) as gesture:
        gesture.record(ACTION, after=_told(made))
    return made


def _told(made: Made) -> dict[str, object]:
    manifest = made.manifest
    return {
        "file": made.path.name,
        "sha256": made.sha256,
        "bytes": made.size,
        "rows": manifest.row_count,
        "files": len(manifest.files),
        "events": manifest.events,
        "head": manifest.head,
        "lacking": len(manifest.lacking),
    }


def _ready(folder: Path) -> Path:
    folder = folder.resolve()
    if folder.is_relative_to(Path(settings.VAR_DIR).resolve()):
        raise NotBackedUp(f"{folder} lies in VAR_DIR, and would be lost with it. Name a folder on another disk.")
    if folder.exists() and not folder.is_dir():
        raise NotBackedUp(f"{folder} is a file. Name the folder that backups are to lie in.")
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    return folder


def clear_abandoned(folder: Path) -> None:
    """Remove what a killed backup left: nobody has it locked."""
    for left in folder.glob(f".{PREFIX}*.part"):
        Pending.remove_abandoned(left)


def _write(writer: Writer, *, now: datetime.datetime, progress: Progress) -> Manifest:
    with one_moment():
        tables = transfer.tables_of(connection)
        last = transfer.last_numbers(connection, tables)
        migrations = transfer.applied(connection)
        head = AuditHead.objects.filter(pk=1).first() or AuditHead(events=0, hash="")
        first = AuditEvent.objects.order_by("pk").values_list("hash", flat=True).first() or ""
        written: list[Rows] = []
        stored: list[Row] = []
        for number, table in enumerate(tables):
            progress(number, len(tables), "Reading tables")
            rows: Iterable[Row] = () if table.name in LEFT_OUT else transfer.rows(connection, table)
            if table.name == STORED:
                stored_table, stored = table, list(rows)
            else:
                written.append(writer.add_rows(table, rows, last=last.get(table.name, 0)))
        gone = set(DisposedFile.objects.values_list("name", flat=True))
    files, stored, lacking = _received(writer, stored_table, stored, gone, progress)
    written.append(writer.add_rows(stored_table, stored, last=last[STORED]))
    for name, path in own_files():
        if part := _own(writer, name, path):
            files.append(part)
    for name, _ in documents.in_bucket():
        progress(len(files), 0, "Copying documents")
        if part := _document(writer, name):
            files.append(part)
    files.append(writer.add_file(HEADS, _heads(head, now)))
    manifest = Manifest(
        version=settings.VERSION,
        moment=now,
        installation=first,
        site=settings.SITE_URL,
        database=connection.display_name,
        migrations=tuple(migrations),
        rows=tuple(sorted(written, key=lambda each: each.name)),
        files=tuple(files),
        events=head.events,
        head=head.hash,
        left_out=LEFT_OUT,
        lacking=tuple(lacking),
    )
    writer.finish(manifest)
    return manifest


def _received(
    writer: Writer, table: Table, stored: list[Row], gone: set[str], progress: Progress
) -> tuple[list[Part], list[Row], list[str]]:
    """Write the files as received; return them, the rows of those that are still known, and what is wrong of others.

    `gone` are those that were disposed of.
    """
    place = {column.name: at for at, column in enumerate(table.columns)}
    files, known, lacking = [], [], []
    for number, row in enumerate(stored):
        progress(number, len(stored), "Copying files")
        key, path, sha256 = int(row[place["id"]] or 0), str(row[place["path"]]), row[place["sha256"]]
        if path in gone:
            known.append(row)
            continue
        try:
            with opened_at(path) as source:
                part = writer.add_file(RECEIVED + path, chunks(source))
        except FileNotFoundError:
            if not StoredFile.objects.filter(pk=key).exists():
                continue
            told = disposed.said(path)
            lacking.append(f"{path} was {told} meanwhile. Make another backup." if told else f"{path} is missing.")
        else:
            files.append(part)
            if part.sha256 != sha256:
                lacking.append(f"{path} is not what was received: its SHA-256 is another one.")
        known.append(row)
    return files, known, lacking


def _own(writer: Writer, name: str, path: Path) -> Part | None:
    """Write a file of VAR_DIR; None where it was removed meanwhile."""
    try:
        with path.open("rb") as file:
            return writer.add_file(OWN + name, chunks(file))
    except FileNotFoundError:
        return None


def _document(writer: Writer, name: str) -> Part | None:
    """Write a document of the object storage, as one of VAR_DIR; None where it was removed meanwhile."""
    try:
        with documents.opened(name) as file:
            return writer.add_file(OWN + name, chunks(file))
    except FileNotFoundError:
        return None


def _heads(head: AuditHead, now: datetime.datetime) -> Iterator[bytes]:
    """Yield the noted heads up to the moment of the backup, and its own."""
    notes = anchors.read(anchors.default_path())
    yield from (each.line() for each in (notes.anchors if notes else ()) if each.events < head.events)
    if head.events:
        yield Anchor(head.events, head.hash, now.astimezone(datetime.UTC).isoformat(timespec="seconds")).line()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        for chunk in chunks(file):
            digest.update(chunk)
    return digest.hexdigest()

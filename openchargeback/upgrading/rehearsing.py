"""Rehearsing an upgrade: all rows are copied, the copy is brought up to date, proved, replayed and compared."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django import db
from django.conf import settings
from django.db import connection

from billing import schema, scratch
from billing.audit import anchors
from billing.errors import BillingError
from billing.moments import one_moment
from billing.progress import Progress, unwatched

from .. import transfer
from ..backups import room
from .comparing import Change, changes, contents_of

# What is of a process or a browser.
LEFT_OUT = ("billing_atwork", "billing_kept", "billing_worker", "django_q_ormq", "django_session")


class NotRehearsed(BillingError):
    """The copy could not be made or brought up to date. The installation is as it was."""


@dataclass(frozen=True)
class Rehearsed:
    """What came of a rehearsal: the migrations that wait, what they change, and what does not hold afterwards."""

    migrations: tuple[str, ...]
    rows: int
    proved: int
    replayed: int
    changes: tuple[Change, ...]
    problems: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.problems


def rehearse(*, on: str = "", progress: Progress = unwatched) -> Rehearsed:
    """Bring a copy of the database up to date, and say what comes of it. Nothing of the installation is changed.

    The copy is a file in the folder of temporary files, or on PostgreSQL a database on the same server, which is
    dropped afterwards; or the empty one at the address `on`, which keeps it. Files are read where they are.

    Raises NotRehearsed, AnotherVersion, and CannotLoad.
    """
    schema.lacking()
    waiting = sorted(set(transfer.ours(connection)) - set(transfer.applied(connection)))
    with (
        tempfile.TemporaryDirectory(prefix="upgrade-") as temporary,
        _scratch(Path(temporary), on) as url,
        transfer.connected(url) as target,
    ):
        folder = Path(temporary).resolve()
        if not transfer.is_unused(target):
            raise NotRehearsed(f"The database at {transfer.without_password(url)} is not empty. Name an empty one.")
        with one_moment():
            progress(0, 0, "Making tables")
            transfer.make_tables(target, transfer.applied(connection))
            counts = transfer.copy(target, left_out=LEFT_OUT, progress=progress)
            _copy_heads(folder / "var")
        before = contents_of(target)
        target.close()
        progress(0, 0, "Upgrading the copy")
        answer = _upgraded(folder, url)
        found = changes(before, contents_of(target))
    return Rehearsed(
        migrations=tuple(f"{app}.{name}" for app, name in waiting),
        rows=sum(counts.values()),
        proved=answer["proved"],
        replayed=answer["replayed"],
        changes=tuple(found),
        problems=tuple(answer["problems"]),
    )


def _copy_heads(var: Path) -> None:
    """Make the copy's VAR_DIR: the heads of the audit log as they are, and the real files to read."""
    var.mkdir(mode=0o750)
    (var / "files").symlink_to(Path(settings.MEDIA_ROOT))
    head = _head()
    notes = anchors.read(anchors.default_path())
    with (var / "audit-head").open("wb") as file:
        file.writelines(each.line() for each in (notes.anchors if notes else ()) if each.events <= head)


def _head() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(events), 0) FROM billing_audithead")
        return int(cursor.fetchone()[0])


@contextmanager
def _scratch(folder: Path, on: str) -> Iterator[str]:
    """Give the address of an empty database of the same kind, which is there while the context lasts."""
    if on:
        yield on
        return
    if connection.vendor == "sqlite":
        room.require(folder, room.database_size(), what="The copy", error=NotRehearsed)
        yield f"sqlite:///{folder.resolve() / 'db.sqlite3'}"
        return
    name = f"{settings.DATABASES['default']['NAME']}_rehearsal_{os.getpid()}"
    quoted = connection.ops.quote_name(name)
    with connection.cursor() as cursor:
        try:
            cursor.execute(f"CREATE DATABASE {quoted}")
        except db.Error as error:
            raise NotRehearsed(
                f"A database for the copy cannot be made: {str(error).strip()}. Name an empty one that this user may "
                "write to."
            ) from error
        try:
            yield urlsplit(settings.DATABASE_URL)._replace(path=f"/{name}").geturl()
        finally:
            cursor.execute(f"DROP DATABASE {quoted} WITH (FORCE)")


def _upgraded(folder: Path, url: str) -> dict[str, Any]:
    """Have a process of its own bring the copy up to date; return its answer."""
    return scratch.answer_of(
        "openchargeback.upgrading.on_the_copy",
        folder,
        answer="answer.json",
        environment={"DATABASE_URL": url},
        unanswered=lambda errors: NotRehearsed(f"The copy could not be brought up to date: {errors}"),
    )

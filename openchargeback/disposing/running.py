"""Disposing: decided in one transaction, removed file by file, and certified once all are gone."""

import datetime
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from django.db import connection

from billing import audit
from billing.audit import Actor
from billing.disposals import digest_of
from billing.errors import BillingError
from billing.files import documents, own_folder, received
from billing.inserting import insert
from billing.locks import FileLock
from billing.models import Disposal, DisposedFile
from billing.progress import Progress, unwatched
from billing.setup.holds import take_turn
from billing.texts import iso_month

from . import certificates
from .planning import Item, Plan, plan, summed

# On PostgreSQL whoever disposes has an advisory lock of this number, until it is done or its process is gone.
ALONE = 0x4F43_001A
# Files between two looks at how far it is.
STEP = 100


class DisposingAlready(BillingError):
    """Somebody else is disposing of records."""


class NotDisposed(BillingError):
    """A file could not be removed: what was decided is done as far as it went, and the next run goes on."""


@dataclass(frozen=True)
class Disposed:
    """What was done: certificates that earlier runs left open and, where there was something, the new one."""

    finished: tuple[Disposal, ...]
    disposal: Disposal | None
    plan: Plan


def dispose(*, before: int, actor: Actor, now: datetime.datetime, progress: Progress = unwatched) -> Disposed:
    """Remove the detail of the fiscal years before one that nothing holds back, and certify it.

    1. What an earlier run decided and did not remove, because it was killed, is removed first.
    2. One transaction, in which nobody places a hold, decides: it looks at everything and records each file with its
       hash, and the audit log says so. Before it ends nothing is changed. After it files are said to be disposed of.
    3. The files are removed, which can be repeated.
    4. One transaction ends it: with the certificate, whose hash is in the audit log.

    Raises DisposingAlready, TooEarly and NotDisposed.
    """
    with _alone():
        left = Disposal.objects.filter(completed_at__isnull=True).order_by("pk")
        finished = tuple(_finish(each, actor=actor, now=now, progress=progress) for each in left)
        decided, of = _decide(before=before, actor=actor, now=now)
        return Disposed(finished, _finish(decided, actor=actor, now=now, progress=progress) if decided else None, of)


@contextmanager
def _alone() -> Iterator[None]:
    busy = DisposingAlready("Records are being disposed of by another process. Wait until it is done.")
    with FileLock(own_folder("working") / "disposing") as lock:
        if not lock.acquire():
            raise busy
        if connection.vendor != "postgresql":
            yield
            return
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [ALONE])
            if not cursor.fetchone()[0]:
                raise busy
        try:
            yield
        finally:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [ALONE])


def _decide(*, before: int, actor: Actor, now: datetime.datetime) -> tuple[Disposal | None, Plan]:
    with audit.gesture(actor=actor, now=now) as gesture:
        take_turn()
        of = plan(before=before, now=now)
        if not of.items:
            return None, of
        disposal = Disposal.objects.create(
            before=before,
            first_kept=of.first_kept,
            years=of.years,
            held_back=[each.as_data() for each in summed(of.held_back)],
            decided_at=now,
            decided_by=actor.user,
            decided_by_name=actor.name,
        )
        items = [_with_hash(each) for each in of.items]
        insert([_record(disposal, each) for each in items])
        told = {
            "before": before,
            "files": len(items),
            "bytes": sum(each.size for each in items),
            "sha256_of_hashes": digest_of(each.sha256 for each in items),
            "held_back": sum(each.files for each in summed(of.held_back)),
        }
        gesture.record("disposal.decided", disposal, after=told)
    return disposal, of


def _with_hash(item: Item) -> Item:
    """Take the hash of a file of which none was recorded: of an e-mail, which is small."""
    return item if item.sha256 else replace(item, sha256=hashlib.sha256(documents.read(item.name)).hexdigest())


def _record(disposal: Disposal, item: Item) -> DisposedFile:
    return DisposedFile(
        disposal=disposal,
        kind=item.kind,
        name=item.name,
        sha256=item.sha256,
        size=item.size,
        months=[iso_month(each) for each in item.months],
    )


def _finish(disposal: Disposal, *, actor: Actor, now: datetime.datetime, progress: Progress) -> Disposal:
    """Remove the files of a disposal that was decided, and certify it."""
    files = list(disposal.files.order_by("pk"))
    for number, file in enumerate(files):
        if number % STEP == 0:
            progress(number, len(files), "Removing files")
        try:
            _remove(file)
        except OSError as error:
            raise NotDisposed(
                f"{file.name} cannot be removed: {error.strerror or error}. What was decided under {disposal} stays "
                "decided. Mend that and dispose again: it goes on from here."
            ) from error
    disposal.completed_at = now
    disposal.certificate = certificates.text_of(disposal, files)
    disposal.sha256 = hashlib.sha256(disposal.certificate.encode()).hexdigest()
    with audit.gesture(actor=actor, now=now) as gesture:
        disposal.save(update_fields=Disposal.COMPLETED)
        gesture.record("disposal.completed", disposal, after={"sha256": disposal.sha256, "files": len(files)})
    return disposal


def _remove(file: DisposedFile) -> None:
    (received if file.kind in DisposedFile.STORED else documents).remove(file.name)

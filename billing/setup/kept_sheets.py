"""Spreadsheets that somebody uploaded: kept from their preview until it is confirmed, under names of our own.

A large list is read by the worker, first for the preview and then once more to load it. See `load_by_job`.
"""

import datetime
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from django.core import signing
from django.core.files.uploadedfile import UploadedFile
from django.utils import timezone

from ..audit import Actor
from ..background import jobs
from ..errors import NoLongerKept
from ..files import documents
from ..files.received import display_name
from ..models import Job

FOLDER = "review-sheets"
KEPT_SECONDS = 24 * 3600
# Of a file that is read while its page loads. A list of some 5,000 lines has about as many.
LARGE_BYTES = 128 * 1024
GONE = "This preview is no longer there. Choose the file again."


# Called with `file`, `is_dry_run`, `expected`, `actor` and `now`. What it returns says in words what the list did or
# would do, and has its digest.
Load = Callable[..., Any]


def keep(file: UploadedFile) -> str:
    """Keep an upload and return its new name, which ends in .xlsx whatever it is; throw away those nobody confirmed."""
    _clear()
    name = f"{uuid.uuid4().hex}.xlsx"
    file.seek(0)
    with documents.writing(_document(name)) as kept:
        for chunk in file.chunks():
            kept.write(chunk)
    return name


def _clear() -> None:
    """Throw away what nobody confirmed, but not what a job will read."""
    waiting = Job.objects.filter(state__in=jobs.UNFINISHED)
    asked = {arguments.get("kept") for arguments in waiting.values_list("arguments", flat=True)}
    before = timezone.now() - datetime.timedelta(seconds=KEPT_SECONDS)
    for old in documents.names_in(FOLDER):
        # Another upload may throw it away at the same time.
        written_at = documents.written_at(old)
        if written_at and written_at < before and Path(old).name not in asked:
            documents.remove(old)


def opened(name: str) -> IO[bytes]:
    """Open what is kept under this name. Raises NoLongerKept."""
    try:
        return documents.opened(_document(name))
    except FileNotFoundError:
        raise NoLongerKept(GONE) from None


def path_of(name: str) -> Path:
    """Return where the file that is kept under this name can be read on this machine. Raises NoLongerKept."""
    try:
        return documents.local(_document(name))
    except FileNotFoundError:
        raise NoLongerKept(GONE) from None


def is_large(file: IO[bytes]) -> bool:
    """Tell whether a kept file is one that the worker reads."""
    return os.fstat(file.fileno()).st_size > LARGE_BYTES


def drop(name: str) -> None:
    """Forget what is kept under this name."""
    documents.remove(_document(name))


def token_of(name: str, *, owner: int | None, about: str) -> str:
    """Return what a page sends back when its owner, a user's id, confirms what is kept under this name."""
    return signing.dumps([name, owner], salt=about)


def name_of(token: str, *, owner: int | None, about: str) -> str:
    """Return the name that a page's token stands for. Raises NoLongerKept, also for somebody else's token."""
    try:
        name, made_for = signing.loads(token, salt=about, max_age=KEPT_SECONDS)
    except signing.BadSignature:
        raise NoLongerKept(GONE) from None
    if made_for != owner:
        raise NoLongerKept(GONE)
    return str(name)


def _document(name: str) -> str:
    return f"{FOLDER}/{name}"


# Large lists, read by the worker ---------------------------------------------------------------------


def load_by_job(
    *,
    kind: Job.Kind,
    kept: str,
    file_name: str,
    is_dry_run: bool,
    expected: str = "",
    actor: Actor,
    now: datetime.datetime,
) -> Job:
    """Have the worker load what is kept under a name, or say what that would do; asking twice is one job.

    With `expected`, the digest of its preview, nothing is loaded unless the list would do just that.
    """
    return jobs.enqueue(
        kind=kind,
        subject=kept,
        # The name comes back from the page that showed the preview.
        arguments={"kept": kept, "file": display_name(file_name), "dry_run": is_dry_run, "expected": expected},
        untold=("kept", "expected"),
        actor=actor,
        now=now,
    )


def worker_of(load: Load) -> jobs.Work:
    """Return the work of a job that loads a list of this kind."""

    def work(*, arguments: dict[str, Any], actor: Actor, now: datetime.datetime, **_: object) -> dict[str, Any]:
        with opened(arguments["kept"]) as file:
            expected = arguments.get("expected", "")
            loaded = load(file=file, is_dry_run=arguments["dry_run"], expected=expected, actor=actor, now=now)
        if not arguments["dry_run"]:
            drop(arguments["kept"])
        return {"message": str(loaded), "planned": str(loaded)} | shown_of(loaded)

    return work


def shown_of(loaded: Any) -> dict[str, Any]:
    """Return what a page shows of what a list would do: its digest, and the changes or some of them in words."""
    plan = getattr(loaded, "plan", None)
    return {"digest": loaded.digest, "plan": plan, "examples": [] if plan else list(getattr(loaded, "examples", ()))}


def preview_by(job: Job, *, kind: Job.Kind, owner: int | None) -> dict[str, Any] | None:
    """Return what a job of this owner, a user's id, found that a list would do; None where it is none, or not done."""
    is_such = job.kind == kind and job.created_by_id == owner and job.arguments.get("dry_run")
    return job.result if is_such and job.state == Job.State.DONE else None

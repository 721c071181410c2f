"""What a killed process left half-written, removed."""

import contextlib
import datetime
import fcntl
from pathlib import Path

from django.conf import settings

from . import documents

ABANDONED_AFTER = 3600
# What is fetched from a storage elsewhere is kept as long as somebody asks for it.
FETCHED_KEPT = 24 * 3600
# What the worker wrote for somebody to download.
EXPORTS = "exports"
EXPORTS_KEPT = 24 * 3600
# The folders of VAR_DIR in which files are written whole.
WRITTEN = ("proofs", "journals", "statements", "receivables", "mail", "review-sheets", EXPORTS, "fetched")


def clear_leftovers(now: datetime.datetime) -> None:
    """Remove half files: those that nobody has locked, and an hour old."""
    own = Path(settings.VAR_DIR)
    incoming = Path(settings.MEDIA_ROOT) / "incoming"
    copies = [*incoming.glob("*"), *incoming.glob("*/*"), *own.glob("piped/*")]
    copies += own.glob("uploads/*")
    # See `writing.Pending`; the head of the audit log lies in VAR_DIR itself.
    copies += [*own.glob(".*.part"), *(each for folder in WRITTEN for each in (own / folder).rglob(".*.part"))]
    for left in copies:
        _remove(left, before=now.timestamp() - ABANDONED_AFTER)
    for folder in incoming.glob("*/"):
        _remove_empty(folder, before=now.timestamp() - ABANDONED_AFTER)
    for fetched in own.glob("fetched/[!.]*"):
        _remove(fetched, before=now.timestamp() - FETCHED_KEPT)
    for export in own.glob(f"{EXPORTS}/[!.]*"):
        _remove(export, before=now.timestamp() - EXPORTS_KEPT)
    if there := documents.bucket():
        for name, entry in there.entries(EXPORTS):
            if entry.modified_at < now - datetime.timedelta(seconds=EXPORTS_KEPT):
                there.delete(name)


def _remove(left: Path, *, before: float) -> None:
    with contextlib.suppress(OSError), left.open("rb") as copy:
        # A complete copy is unlocked for the moment in which it gets its name.
        if left.stat().st_mtime < before:
            fcntl.flock(copy, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def _remove_empty(folder: Path, *, before: float) -> None:
    with contextlib.suppress(OSError):
        if folder.stat().st_mtime < before:
            folder.rmdir()

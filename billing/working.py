"""Which imports a living process works on: a locked file for each, unlocked by the system when the process ends."""

from pathlib import Path

from django.conf import settings

from .locks import FileLock


def begin(number: int) -> FileLock:
    """Mark an import as worked on, before anybody else can see it; `end` takes the mark away."""
    path = _mark_of(number)
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    lock = FileLock(path)
    lock.acquire()
    return lock


def end(lock: FileLock) -> None:
    """Take the mark of an import away, once its state says how it ended."""
    lock.path.unlink(missing_ok=True)
    lock.release()


def was_abandoned(number: int) -> bool | None:
    """Tell whether the process that worked on an import is gone; None where that cannot be known.

    It cannot where the mark is missing: the import is of another machine, or ends at this moment.
    """
    path = _mark_of(number)
    if not path.exists():
        return None
    with FileLock(path) as lock:
        return lock.acquire()


def forget(number: int) -> None:
    """Remove the mark that a dead process left."""
    _mark_of(number).unlink(missing_ok=True)


def _mark_of(number: int) -> Path:
    return Path(settings.VAR_DIR) / "working" / f".{number}"

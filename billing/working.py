"""Which imports and jobs a living process works on: a locked file each, unlocked by the system when it ends."""

from pathlib import Path

from django.conf import settings

from .locks import FileLock


def begin(number: int | str) -> FileLock:
    """Mark an import as worked on, before anybody else can see it; `end` takes the mark away.

    A job is marked under a name of its own, such as `job-7`.
    """
    path = _mark_of(number)
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    lock = FileLock(path)
    lock.acquire()
    return lock


def end(lock: FileLock) -> None:
    """Take the mark of an import away, once its state says how it ended."""
    lock.path.unlink(missing_ok=True)
    lock.release()


def was_abandoned(number: int | str) -> bool | None:
    """Tell whether the process that worked on an import is gone; None where that cannot be known.

    It cannot where the mark is missing: the import is of another machine, or ends at this moment.
    """
    path = _mark_of(number)
    if not path.exists():
        return None
    with FileLock(path) as lock:
        return lock.acquire()


def forget(number: int | str) -> None:
    """Remove the mark that a dead process left."""
    _mark_of(number).unlink(missing_ok=True)


def _mark_of(number: int | str) -> Path:
    return Path(settings.VAR_DIR) / "working" / f".{number}"

"""Files that others on the machine could read: found, and closed to them."""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from django.conf import settings

# What anybody else than the owner and, for reading, the group may do with what is ours.
OTHERS = stat.S_IRWXO | stat.S_IWGRP


def exposed() -> Iterator[Path]:
    """Yield what of the installation others can read or change: the database, VAR_DIR and what is in it.

    Below a folder that is closed nothing is, whatever its own mode says.
    """
    yield from _exposed(_database_files())
    root = Path(settings.VAR_DIR)
    if _is_open(root, stat.S_IRWXO):
        yield root
        for here, folders, names in os.walk(root):
            yield from _exposed(Path(here, each) for each in (*folders, *names))


def close() -> int:
    """Close to others what is exposed and is this user's, and return how many files and folders that were."""
    closed = 0
    for path in list(exposed()):
        try:
            status = path.lstat()
            # What is another user's, or a folder that many share such as /tmp, the check names.
            if status.st_uid != os.geteuid() or status.st_mode & stat.S_ISVTX:
                continue
            path.chmod(stat.S_IMODE(status.st_mode) & ~OTHERS)
        except (PermissionError, FileNotFoundError):
            continue
        closed += 1
    return closed


def _exposed(paths: Iterable[Path]) -> Iterator[Path]:
    return (path for path in paths if _is_open(path, OTHERS))


def _is_open(path: Path, bits: int) -> bool:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    return not stat.S_ISLNK(mode) and bool(mode & bits)


def _database_files() -> list[Path]:
    if not settings.IS_SQLITE:
        return []
    name = str(settings.DATABASES["default"]["NAME"])
    return [Path(name + ending) for ending in ("", "-wal", "-shm", "-journal")]

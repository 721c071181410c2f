"""The files of VAR_DIR that belong in a backup: what was written for people, and nothing that is of a process."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from billing.audit import anchors

# Of a process, of a day, or worked out again; `files` has what was received, which is copied by the rows that name it.
NOT_TAKEN = ("cache", "demo", "exports", "fetched", "files", "piped", "uploads", "working")


def own_files() -> Iterator[tuple[str, Path]]:
    """Yield each file by its name below VAR_DIR, with `/` between folders."""
    root = Path(settings.VAR_DIR)
    apart = _apart()
    for here, folders, names in os.walk(root):
        if Path(here) == root:
            folders[:] = [each for each in folders if each not in NOT_TAKEN]
        folders.sort()
        for name in sorted(names):
            path = Path(here, name)
            # What begins with a point is half-written, or of a process.
            if not name.startswith(".") and path not in apart and _is_file(path):
                yield path.relative_to(root).as_posix(), path


def received_files() -> Iterator[Path]:
    """Yield what lies where files are received, on this disk."""
    for here, _, names in os.walk(Path(settings.MEDIA_ROOT) / "received"):
        yield from (Path(here, name) for name in names)


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _apart() -> set[Path]:
    """Return the files of VAR_DIR that are the database's, or say something of this machine."""
    root, noted = Path(settings.VAR_DIR), anchors.default_path()
    found = {noted, noted.with_name(noted.name + ".lock"), root / "audit-verified"}
    if settings.IS_SQLITE:
        name = str(settings.DATABASES["default"]["NAME"])
        found |= {Path(name + ending) for ending in ("", "-wal", "-shm", "-journal")}
    return found

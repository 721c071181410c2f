"""Opening what may be opened: an ordinary file, and where a folder is the boundary nothing that lies outside of it."""

import os
import stat
from io import BufferedReader
from pathlib import Path

from .batches import UnreadableFile

# Opening a pipe would wait for whoever writes to it; without it, for nobody.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
# A folder is only passed through, which takes no right to list it.
THROUGH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

OUTSIDE = "It is a link that leads out of the folder that is imported. Put the file itself there."
NO_FILE = "This is no ordinary file but a pipe, a socket or a device. Write its output to a file, and import that."


def real_path(path: Path) -> Path:
    """Return where a path leads, links resolved."""
    return Path(os.path.realpath(path))


def open_file(path: Path, within: Path | None = None) -> BufferedReader:
    """Open an ordinary file for reading; with `within`, a real path, only if it lies in it or is it, links resolved.

    Whoever can write in the folder may put a link in the place of a file, or of a folder above it, at any
    moment. So the path is resolved first, and then walked from the root without following any link. Pipes, sockets
    and devices are not opened at all: that alone may block, or do something. Raises UnreadableFile.
    """
    try:
        return os.fdopen(_opened(path) if within is None else _opened_within(path, within), "rb")
    except FileNotFoundError:
        raise UnreadableFile("There is no such file.") from None
    except IsADirectoryError:
        raise UnreadableFile("This is a folder, not a file.") from None
    except OSError as error:
        raise UnreadableFile(f"The file cannot be opened: {error.strerror}.") from error
    except ValueError:
        # A name with a NUL, or that no file system writes so.
        raise UnreadableFile("There is no such file.") from None


def _opened(path: Path) -> int:
    _require_ordinary(os.stat(path))
    return _ordinary(os.open(path, _FLAGS))


def _opened_within(path: Path, within: Path) -> int:
    real = Path(os.path.realpath(path, strict=True))
    if not real.is_relative_to(within):
        raise UnreadableFile(OUTSIDE)
    folder = os.open(real.anchor, THROUGH)
    try:
        for part in real.parts[1:-1]:
            inner = os.open(part, THROUGH, dir_fd=folder)
            os.close(folder)
            folder = inner
        _require_ordinary(os.stat(real.name, dir_fd=folder, follow_symlinks=False))
        return _ordinary(os.open(real.name, _FLAGS | os.O_NOFOLLOW, dir_fd=folder))
    finally:
        os.close(folder)


def _ordinary(handle: int) -> int:
    """Return a handle of what is an ordinary file still; it may be another one than a moment ago."""
    try:
        _require_ordinary(os.fstat(handle))
    except BaseException:
        os.close(handle)
        raise
    return handle


def _require_ordinary(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableFile("This is a folder, not a file.")
    if stat.S_ISLNK(status.st_mode):
        raise UnreadableFile(OUTSIDE)
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableFile(NO_FILE)

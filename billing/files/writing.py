"""Files that are written whole or not at all."""

import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

# Costs and names are nobody else's on the machine.
MODE = 0o640
# The files a process has open, by all their names; what they lead to is never replaced, for it is written through them.
_OPEN = re.compile(r"/dev/(stdin|stdout|stderr)|(?:/dev/fd|/proc/(?:self|thread-self|\d+)/fd)/(\d+)")
_STANDARD = {"stdin": 0, "stdout": 1, "stderr": 2}


@contextmanager
def whole(path: Path, *, mode: int = MODE) -> Iterator[IO[bytes]]:
    """Give a file to write to, which takes the place of what is at `path` once the block ends well.

    A crash or a full disk leaves the old file, or none, and nothing half-written beside it. A link stays, and what it
    names is written. What is no ordinary file (`/dev/stdout`, a pipe) is written to as it is. A file that was there
    gives nobody a right who had none.
    """
    if is_in_place(path):
        with os.fdopen(_open_in_place(path), "wb") as there:
            yield there
        return
    path = Path(os.path.realpath(path))
    mode = mode_for(path, mode)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def write_whole(path: Path, content: bytes) -> None:
    """Put content in place of a file at once, so that a crash leaves the old one or the new one."""
    with whole(path) as file:
        file.write(content)


def write_whole_in(folder: int, name: str, content: bytes) -> None:
    """Do the same for a name in a folder that is open, whatever its path has become."""
    temporary = f".{secrets.token_hex(8)}.part"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, MODE, dir_fd=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise


def mode_for(path: Path, mode: int = MODE) -> int:
    """Return the mode of a file that takes the place of what is at `path`: with no bit that this one lacks."""
    try:
        return mode & stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return mode


def is_in_place(path: Path) -> bool:
    """Say whether a path is written to as it is: a pipe, a device, or what a process has open, redirected or not."""
    if _open_name(path):
        return True
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _open_in_place(path: Path) -> int:
    name = _open_name(path)
    own = re.fullmatch(rf"/dev/.*|/proc/(self|thread-self|{os.getpid()})/.*", name)
    if own and (found := _OPEN.fullmatch(name)):
        # Opened anew, a file would be written from its start, over what stands there already.
        return os.dup(_STANDARD[found[1]] if found[1] else int(found[2]))
    return os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)


def _open_name(path: Path) -> str:
    """Return the name of an open file of a process that a path is, or leads to by links; "" for any other."""
    step = os.path.abspath(path)
    # As many links as the system follows.
    for _ in range(40):
        if _OPEN.fullmatch(step):
            return step
        if not os.path.islink(step):
            break
        step = os.path.abspath(os.path.join(os.path.dirname(step), os.readlink(step)))
    return ""

"""Files that are written whole or not at all, and are on the disk once they have their name."""

import fcntl
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterable, Iterator
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
    pending = Pending(path, mode=mode)
    try:
        yield pending.file
        pending.complete()
        pending.publish()
    except BaseException:
        pending.discard()
        raise


@contextmanager
def whole_if_absent(path: Path) -> Iterator[IO[bytes]]:
    """Give a file to write to, which gets its name once the block ends well; raise FileExistsError if that is taken."""
    pending = Pending(path)
    try:
        yield pending.file
        pending.complete()
        # Unlike a renaming, this takes the place of nothing.
        os.link(pending.temporary, pending.path)
        _sync_folder(pending.path.parent)
    finally:
        pending.discard()


class Pending:
    """A file that is written beside its place, and gets its name when all else is done. See `leftovers` for crashes.

    A link stays, and what it names is written. Raises OSError.
    """

    def __init__(self, path: Path, *, mode: int = MODE, prefix: str = ".") -> None:
        self.path = Path(os.path.realpath(path))
        self.mode = mode_for(self.path, mode)
        handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=prefix, suffix=".part")
        self.temporary = Path(temporary)
        self.file: IO[bytes] = os.fdopen(handle, "wb")

    def lock(self) -> None:
        """Have others see that somebody writes it, until it is complete or the process is gone."""
        fcntl.flock(self.file, fcntl.LOCK_EX)

    @staticmethod
    def remove_abandoned(temporary: Path) -> None:
        """Remove what a killed process left of one that it had locked."""
        with suppress(OSError), temporary.open("rb") as left:
            fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
            temporary.unlink()

    def complete(self) -> None:
        """Have all of it on the disk, with the rights it is to have."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        self.temporary.chmod(self.mode)

    def publish(self) -> None:
        """Put it in place of what is there."""
        publish_all([self])

    def discard(self) -> None:
        """Leave nothing of it; a file that has its name already stays."""
        with suppress(OSError):
            self.file.close()
        with suppress(OSError):
            self.temporary.unlink()


def publish_all(files: Iterable[Pending]) -> None:
    """Put files in place of what is there; each folder is written to the disk once."""
    folders = set()
    for each in files:
        each.temporary.replace(each.path)
        folders.add(each.path.parent)
    for folder in folders:
        _sync_folder(folder)


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
        with suppress(OSError):
            os.fsync(folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise


def _sync_folder(folder: Path) -> None:
    """Have a name that was given in a folder on the disk, where the file system can be asked for that."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


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

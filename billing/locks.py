"""Locks that end with the process that holds them, however it ends: flock on a file."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType


class FileLock:
    """A lock on a file, made where it is not there; a context. The operating system lets go of it with the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    def acquire(self, *, wait: bool = False) -> bool:
        """Take the lock; without `wait`, False where another process, or another lock of this one, has it."""
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle
        return True

    @property
    def is_held(self) -> bool:
        return self._handle is not None

    def release(self) -> None:
        """Let go; the file stays, because removing it would let two processes hold two files of one name."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> "FileLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold the lock on a file for a block; gives False, holding nothing, where somebody else has it."""
    with FileLock(path) as lock:
        yield lock.acquire()

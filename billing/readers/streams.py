"""A file as bytes that came out of it, watched: how long a line, how much from how little."""

import io
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

from .batches import UnreadableFile

MIB = 1024 * 1024
GIB = 1024 * MIB

# Text compresses 10 to 40 times; what grows 200 times and is large is made to fill the disk or the memory.
MAX_RATIO = 200
SMALL_ENOUGH = 256 * MIB
MAX_EXPANDED = 64 * GIB
# The longest field is a Tags object; a longer line is no row of a table.
MAX_LINE = 8 * MIB
# Rows are split in one go per batch; more than this is a memory's worth of delimiters.
MAX_BATCH_BYTES = 32 * MIB

BROKEN: tuple[type[Exception], ...] = (
    EOFError,
    OSError,
    zlib.error,
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    # The name of a member that says it is UTF-8.
    UnicodeDecodeError,
)


def check_expansion(expanded: int, packed: int, line: int | None = None) -> None:
    """Raise UnreadableFile where more comes out of an archive than any real file packs."""
    if expanded > MAX_EXPANDED:
        raise UnreadableFile(
            f"The file unpacks to more than {MAX_EXPANDED // GIB} GiB. Export it in several files.", line=line
        )
    if expanded > SMALL_ENOUGH and expanded > MAX_RATIO * max(packed, 1):
        raise UnreadableFile(
            f"The file unpacks to more than {MAX_RATIO} times its size, which no table of costs does. "
            "Import the unpacked file if it is real.",
            line=line,
        )


class Watched(io.BufferedIOBase):
    """A stream of bytes that refuses a line, a batch or an expansion beyond its limit while it is read.

    `packed` tells how many bytes of the file behind the stream were taken so far. What the
    stream raises comes out as UnreadableFile, with the line it was at.
    """

    def __init__(self, stream: Any, *, packed: Callable[[], int], is_packed: bool = False) -> None:
        self.stream: Any = stream
        self.packed = packed
        self.is_packed = is_packed
        self.expanded = 0
        self.lines = 0
        self._in_line = 0
        self._batch_from = 0

    def readable(self) -> bool:
        return True

    def begin_batch(self) -> None:
        """Count the bytes of a batch anew."""
        self._batch_from = self.expanded

    def read1(self, size: int = -1, /) -> bytes:
        try:
            data: bytes = self.stream.read1(size)
        except BROKEN as error:
            raise broken(error, line=self.lines + 1) from error
        self.expanded += len(data)
        if self.is_packed:
            check_expansion(self.expanded, self.packed(), self.lines + 1)
        end = max(data.rfind(b"\n"), data.rfind(b"\r"))
        self._in_line = len(data) - 1 - end if end >= 0 else self._in_line + len(data)
        if self._in_line > MAX_LINE:
            raise UnreadableFile(
                f"The line is longer than {MAX_LINE // MIB} MiB. A quote that is never closed, or a file that "
                "is no CSV, is the usual cause.",
                line=self.lines + 1,
            )
        if self.expanded - self._batch_from > MAX_BATCH_BYTES:
            raise UnreadableFile(
                f"The rows from here on are longer than those of a table of costs: {MAX_BATCH_BYTES // MIB} MiB "
                "and more for a few hundred of them.",
                line=self.lines + 1,
            )
        self.lines += data.count(b"\n")
        return data

    def read(self, size: int | None = -1, /) -> bytes:
        return self.read1(-1 if size is None else size)

    def close(self) -> None:
        self.stream.close()
        super().close()


def broken(error: Exception, line: int | None = None) -> UnreadableFile:
    """Say what is wrong with a packed file, and what to do."""
    if isinstance(error, EOFError):
        message = "The file ends in the middle: it was not copied completely. Copy or download it again."
    elif isinstance(error, NotImplementedError):
        message = "The archive is packed in a way that cannot be read here. Pack it again as an ordinary zip."
    elif isinstance(error, RuntimeError):
        message = "The archive is protected by a password. Unpack it and import the files."
    elif isinstance(error, OSError) and error.errno:
        message = f"The file cannot be read: {error.strerror}."
    else:
        message = "The file is damaged and cannot be unpacked. Copy or download it again."
    return UnreadableFile(message, line=line)

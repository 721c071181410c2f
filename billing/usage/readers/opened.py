"""A file of usage as text, plain or out of gzip: its lines, each with its number."""

import gzip
import io
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, cast

from ...readers.batches import UnreadableFile
from ...readers.kinds import GZIP, OTHERS
from ...readers.opening import open_file
from ...readers.streams import BROKEN, MAX_LINE, Watched, broken

BLOCK = 64 * 1024
TEXT_NOTICE = "Its lines have to be text in UTF-8."


class _Owning(Watched):
    """A watched stream that closes the file under it too."""

    def __init__(self, stream: Any, *, owner: Any, packed: Callable[[], int]) -> None:
        super().__init__(stream, packed=packed, is_packed=True)
        self.owner = owner

    def close(self) -> None:
        super().close()
        self.owner.close()


def open_text(path: Path) -> Watched:
    """Open a file as the bytes of a text, unpacked where it is gzip.

    Raises UnreadableFile for what is empty, or plainly no text: a workbook, a picture, UTF-16.
    """
    binary = open_file(path)
    try:
        start = binary.peek(BLOCK)[:BLOCK]
        if start.startswith(GZIP):
            unpacked = gzip.GzipFile(fileobj=binary)
            _refuse(unpacked.peek(BLOCK)[:BLOCK])
            return _Owning(unpacked, owner=binary, packed=binary.tell)
        _refuse(start)
    except BROKEN as error:
        binary.close()
        raise broken(error) from error
    except UnreadableFile:
        binary.close()
        raise
    return Watched(binary, packed=binary.tell)


def _refuse(start: bytes) -> None:
    if not start:
        raise UnreadableFile("The file is empty.")
    for magic, says in OTHERS.items():
        if start.startswith(magic):
            raise UnreadableFile(says)


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file without their ends, each with its number, in constant memory.

    A byte order mark is passed over. Raises UnreadableFile, with the line, for what is not UTF-8, for a NUL, and for
    a line of more than 8 MiB.
    """
    with closing(open_text(path)) as binary:
        # What is no UTF-8 comes as a surrogate, so that its line is known.
        text = io.TextIOWrapper(cast(BinaryIO, binary), encoding="utf-8-sig", errors="surrogateescape", newline=None)
        number = 0
        while line := text.readline(MAX_LINE):
            number += 1
            binary.begin_batch()
            require_text(line, number)
            yield number, line.rstrip("\n")


def start_of(path: Path) -> str:
    """Return the first characters of a file, as far as they are text: enough to see what it is."""
    with closing(open_text(path)) as binary:
        return binary.read1(BLOCK).decode("utf-8-sig", "replace")


def require_text(line: str, number: int) -> None:
    """Raise UnreadableFile for a line with a NUL, or with bytes that are not UTF-8."""
    if "\0" in line:
        raise UnreadableFile(f"The line has a NUL byte in it. {TEXT_NOTICE}", line=number)
    if not line.isascii():
        try:
            line.encode()
        except UnicodeEncodeError:
            raise UnreadableFile(f"The line is not UTF-8. {TEXT_NOTICE}", line=number) from None

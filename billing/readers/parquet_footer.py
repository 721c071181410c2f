"""The table of contents of a parquet file, read without the library that would abort the program over a bad one.

Arrow's bindings let some C++ exceptions through when they are asked about a damaged column chunk, and
that ends the process. So sizes are checked here first; the format is Thrift's compact protocol
(https://parquet.apache.org/docs/file-format/metadata/).
"""

from dataclasses import dataclass
from typing import Any, BinaryIO

from .streams import MIB

MAX_FOOTER = 32 * MIB
MAX_DEPTH = 32
MAX_VARINT = 10
# Most headers of pages are a few dozen bytes.
PAGE_HEADER = 512
MAX_PAGE_HEADER = 16 * MIB
MAX_PAGES = 100_000

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_INTEGERS = (4, 5, 6)


class BadFooter(ValueError):
    """A table of contents that is none."""


@dataclass(frozen=True)
class Chunk:
    """One column of one row group; sizes in bytes."""

    path: str
    packed: int
    unpacked: int
    values: int = 0
    # Where its first page begins; None where its pages are encrypted.
    first_page: int | None = None


@dataclass(frozen=True)
class Group:
    """One row group."""

    rows: int
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True)
class Contents:
    """What a file says is in it."""

    rows: int
    groups: tuple[Group, ...]


def read_footer(binary: BinaryIO, size: int) -> Contents:
    """Read the contents of an open file of `size` bytes; raise BadFooter for anything but a sound one."""
    binary.seek(max(0, size - 8))
    end = binary.read(8)
    length = int.from_bytes(end[:4], "little")
    if end[4:] != b"PAR1" or not 0 < length <= min(MAX_FOOTER, size - 12):
        raise BadFooter
    binary.seek(size - 8 - length)
    found = _Compact(binary.read(length)).struct(0)
    try:
        groups = tuple(
            Group(_whole(group[3]), tuple(_chunk(chunk) for chunk in group[1])) for group in found.get(4, [])
        )
        return Contents(_whole(found[3]), groups)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise BadFooter from error


def check_chunk(binary: BinaryIO, chunk: Chunk) -> None:
    """Walk the pages of a column by their headers; raise BadFooter for one that says it unpacks to too much.

    Arrow makes room for as much as a page's header says before it unpacks it, and for as many values as
    that of a dictionary says. What a column unpacks to as a whole has been checked before.
    """
    if chunk.first_page is None:
        return
    limit = max(2 * chunk.unpacked, MIB)
    place, values, unpacked = chunk.first_page, 0, 0
    for _ in range(MAX_PAGES):
        if values >= chunk.values:
            return
        header, length = _page_header(binary, place)
        try:
            size, packed = _whole(header[2]), _whole(header[3])
            unpacked += size
            if dictionary := header.get(7):
                if _whole(dictionary[1]) > max(size, 1):
                    raise BadFooter
            elif page := header.get(5) or header.get(8):
                values += _whole(page[1])
        except (KeyError, TypeError, AttributeError) as error:
            raise BadFooter from error
        if unpacked > limit:
            raise BadFooter
        place += length + packed
    raise BadFooter


def _page_header(binary: BinaryIO, place: int) -> tuple[dict[int, Any], int]:
    """Return the header of the page that begins at a place, and how many bytes it takes."""
    size = PAGE_HEADER
    while True:
        binary.seek(place)
        content = binary.read(size)
        reader = _Compact(content)
        try:
            return reader.struct(0), reader.place
        except BadFooter:
            # A header holds the least and the greatest value, which may be long.
            if len(content) < size or size >= MAX_PAGE_HEADER:
                raise
            size *= 16


def _chunk(column: dict[int, Any]) -> Chunk:
    meta = column[3]
    path = b".".join(meta[3]).decode("utf-8", "replace")
    offsets = [_whole(meta[9])]
    # Some writers say 0 for no dictionary.
    if meta.get(11):
        offsets.append(_whole(meta[11]))
    return Chunk(
        path,
        packed=_whole(meta[7]),
        unpacked=_whole(meta[6]),
        values=_whole(meta[5]),
        first_page=None if 8 in column else min(offsets),
    )


def _whole(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise BadFooter
    return value


class _Compact:
    """Reads Thrift's compact protocol into dicts by field number, lists, bytes and numbers."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.place = 0

    def byte(self) -> int:
        if self.place >= len(self.content):
            raise BadFooter
        self.place += 1
        return self.content[self.place - 1]

    def varint(self) -> int:
        number = 0
        for shift in range(0, 7 * MAX_VARINT, 7):
            byte = self.byte()
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
        raise BadFooter

    def integer(self) -> int:
        number = self.varint()
        return (number >> 1) ^ -(number & 1)

    def taken(self, length: int) -> bytes:
        if length > len(self.content) - self.place:
            raise BadFooter
        self.place += length
        return self.content[self.place - length : self.place]

    def struct(self, depth: int) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while head := self.byte():
            number = number + (head >> 4) if head >> 4 else self.integer()
            kind = head & 0x0F
            # A field that is true or false has no value but its type.
            fields[number] = kind == _TRUE if kind in (_TRUE, _FALSE) else self.value(kind, depth + 1)
        return fields

    def value(self, kind: int, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise BadFooter
        if kind in _INTEGERS:
            return self.integer()
        if kind in (_TRUE, _FALSE, _BYTE):
            return self.byte()
        if kind == _BINARY:
            return self.taken(self.varint())
        if kind == _STRUCT:
            return self.struct(depth)
        if kind in (_LIST, _SET):
            head = self.byte()
            length = head >> 4 if head >> 4 < 15 else self.varint()
            self._check_length(length)
            return [self.value(head & 0x0F, depth + 1) for _ in range(length)]
        if kind == _MAP:
            length = self.varint()
            self._check_length(length)
            kinds = self.byte() if length else 0
            for _ in range(length):
                self.value(kinds >> 4, depth + 1)
                self.value(kinds & 0x0F, depth + 1)
            return None
        if kind == _DOUBLE:
            return self.taken(8)
        raise BadFooter

    def _check_length(self, length: int) -> None:
        # Every element takes a byte at least.
        if length > len(self.content) - self.place:
            raise BadFooter

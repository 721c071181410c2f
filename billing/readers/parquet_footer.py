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
            Group(_whole(group[3]), tuple(_chunk(chunk[3]) for chunk in group[1])) for group in found.get(4, [])
        )
        return Contents(_whole(found[3]), groups)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise BadFooter from error


def _chunk(meta: dict[int, Any]) -> Chunk:
    path = b".".join(meta[3]).decode("utf-8", "replace")
    return Chunk(path, packed=_whole(meta[7]), unpacked=_whole(meta[6]))


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

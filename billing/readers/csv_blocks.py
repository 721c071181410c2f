"""Blocks of a CSV file that are written plainly, read by columns; of any other nothing is said here.

A block is plain if Arrow and `csv.reader` must agree on it: each line is a row, quotes open and close fields and
stand nowhere else. Whatever is not, is read row by row (see csv_file), which knows every quirk and names what is wrong.
"""

import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from .batches import BATCH_ROWS, Batch
from .columns import AMOUNTS, QUANTITIES, base_of
from .streams import MIB, Watched

# The first block tells how long rows are. Others hold as many as a piece, or as many bytes as memory is meant for.
FIRST_BLOCK = MIB
LARGEST_BLOCK = 8 * MIB

# Bytes that are looked at several times while they are in the processor's cache: twice as quick as all at once.
NEAR = 256 * 1024

# They hardly repeat; all other columns come as numbers of their distinct texts.
_NOT_REPEATED = frozenset((*AMOUNTS, *QUANTITIES))

_QUOTE, _LINE_FEED, _CARRIAGE_RETURN, _FIRST_BEYOND_ASCII = 34, 10, 13, 128


class Blocks:
    """An open file in blocks that end at the end of a line; each stands where the one before it stood in memory.

    What reading raises is kept until the bytes before it have been looked at; see `rest`.
    """

    def __init__(self, binary: Watched) -> None:
        self.binary = binary
        self.size = FIRST_BLOCK
        self._buffer = bytearray()
        # Where the bytes begin that are not of the last block, and where they end.
        self._begin = self._end = 0
        self._error: Exception | None = None
        self.is_over = False

    def next(self) -> memoryview:
        """Return the next block, empty at the end; its last line may lack an end there, or be cut off (see `rest`).

        It lasts until the next one is asked for.
        """
        self.binary.begin_batch()
        left = self._buffer[self._begin : self._end]
        if len(self._buffer) < self.size + MIB + len(left):
            self._buffer = bytearray(self.size + MIB + len(left))
        self._begin, self._end = 0, len(left)
        self._buffer[: len(left)] = left
        while self._end < self.size and not self.is_over:
            try:
                data = self.binary.read1(min(MIB, self.size))
            except Exception as error:  # raised where the rows before it are read
                self._error = error
                data = b""
            self.is_over = not data
            self._buffer[self._end : self._end + len(data)] = data
            self._end += len(data)
        self._begin = self._end if self.is_over else self._buffer.rfind(b"\n", 0, self._end) + 1
        return memoryview(self._buffer)[: self._begin]

    @property
    def is_broken(self) -> bool:
        """Whether the file could not be read to its end."""
        return self._error is not None

    def check(self) -> None:
        """Raise what reading raised; only once the bytes before it have been looked at."""
        if self._error is not None:
            raise self._error

    def rest(self, block: memoryview) -> "Rest":
        """Return a block and all that comes after it as a stream."""
        left = self._buffer[self._begin : self._end]
        self._begin = self._end
        return Rest(bytes(block) + left, self.binary, self._error)

    def expect(self, rows: int, size: int) -> None:
        """Have further blocks hold as many rows as a piece, if they are as long as these."""
        self.size = max(FIRST_BLOCK, min(LARGEST_BLOCK, BATCH_ROWS * size // max(rows, 1)))


class Rest(io.BufferedIOBase):
    """Bytes that were read already, and then the file they are of; raises what reading it raised."""

    def __init__(self, start: bytes, binary: Watched, error: Exception | None) -> None:
        self._start = io.BytesIO(start)
        self._binary = binary
        self._error = error

    def readable(self) -> bool:
        return True

    def read1(self, size: int = -1, /) -> bytes:
        if data := self._start.read1(size):
            return data
        if self._error is not None:
            raise self._error
        return self._binary.read1(size)

    def read(self, size: int | None = -1, /) -> bytes:
        return self.read1(-1 if size is None else size)


class PlainRows:
    """Reads plain blocks of a file whose header has been read."""

    def __init__(self, *, width: int, positions: Mapping[str, int], delimiter: str) -> None:
        self.positions = positions
        self._delimiter = ord(delimiter)
        names = [str(position) for position in range(width)]
        self._names = {name: str(position) for name, position in positions.items()}
        kinds = dict.fromkeys(self._names.values(), pa.string())
        self._read: dict[str, Any] = {"column_names": names, "use_threads": False}
        self._parse = pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=False, ignore_empty_lines=False)
        # What is no UTF-8 is found before: columns that nobody wants count too.
        self._convert = pa.csv.ConvertOptions(
            column_types=kinds, include_columns=list(kinds), strings_can_be_null=False, check_utf8=False
        )
        # By the byte before a quote that opens a field, or opens it again, and after one that closes it.
        self._before, self._after = np.zeros(256, dtype=np.bool_), np.zeros(256, dtype=np.bool_)
        self._before[[self._delimiter, _LINE_FEED, _QUOTE]] = True
        self._after[[self._delimiter, _LINE_FEED, _CARRIAGE_RETURN, _QUOTE]] = True

    def of(self, block: memoryview) -> dict[str, Any] | None:
        """Return the columns of a block as Arrow arrays, None where it is not plain."""
        rows = self._lines_of(block)
        if rows is None:
            return None
        try:
            table = pa.csv.read_csv(
                pa.BufferReader(pa.py_buffer(block)),
                read_options=pa.csv.ReadOptions(block_size=len(block) + 1, **self._read),
                parse_options=self._parse,
                convert_options=self._convert,
            )
        except pa.ArrowException:
            return None
        if table.num_rows != rows:
            return None
        columns = {name: table.column(own).combine_chunks() for name, own in self._names.items()}
        # Not by Arrow's reader of CSV, which takes several times as long to number texts.
        columns = {
            name: column if base_of(name) in _NOT_REPEATED else column.dictionary_encode()
            for name, column in columns.items()
        }
        # A line of nothing but delimiters, as spreadsheets leave them, has no cost.
        if pc.min(pc.binary_length(columns["BilledCost"])).as_py() == 0:
            return None
        return columns

    def _lines_of(self, block: memoryview) -> int | None:
        """Return how many lines a block has, None where it is not plain."""
        numbers = np.frombuffer(block, dtype=np.uint8)
        lines = is_open = 0
        is_ascii = True
        for start in range(0, len(numbers), NEAR):
            part = numbers[start : start + NEAR]
            is_ascii = is_ascii and part.max() < _FIRST_BEYOND_ASCII
            lines += int(np.count_nonzero(part == _LINE_FEED))
            quotes = np.flatnonzero(part == _QUOTE) + start
            opening, closing = quotes[is_open::2], quotes[1 - is_open :: 2]
            is_open ^= len(quotes) & 1
            # Before the first byte there is the end of a line, which the last byte is too, and after the last nothing.
            before = self._before[np.take(numbers, opening - 1, mode="wrap")]
            after = self._after[np.take(numbers, closing + 1, mode="clip")]
            if not (before.all() and after.all() and part.min() and _ends_are_of_lines(numbers, part, start)):
                return None
        if is_open or not (is_ascii or _is_utf8(block)):
            return None
        return lines + int(numbers[-1] != _LINE_FEED)


def _ends_are_of_lines(numbers: Any, part: Any, start: int) -> bool:
    """Tell whether each carriage return of a part is followed by a line feed."""
    returns = np.flatnonzero(part == _CARRIAGE_RETURN) + start
    return bool((np.take(numbers, returns + 1, mode="clip") == _LINE_FEED).all())


def _is_utf8(block: memoryview) -> bool:
    try:
        str(block, "utf-8")
    except UnicodeDecodeError:
        return False
    return True


class PlainBatches:
    """The pieces of the plain blocks at the start of a file. `block` and `line` are then those of the first other."""

    def __init__(self, blocks: Blocks, rows: PlainRows, block: memoryview, line: int, unread: tuple[str, ...]) -> None:
        self.blocks = blocks
        self.rows = rows
        self.block = block
        self.line = line
        self.unread = unread

    def __iter__(self) -> Iterator[Batch]:
        while True:
            if not self.block and not self.blocks.is_over:
                self.block = self.blocks.next()
            # Where nothing more can be read, the last line may be cut off.
            columns = self.rows.of(self.block) if self.block and not self.blocks.is_broken else None
            if columns is None:
                return
            size = len(columns["BilledCost"])
            lines = range(self.line, self.line + size)
            self.blocks.expect(size, len(self.block))
            self.line += size
            self.block = self.block[:0]
            yield Batch(lines=lines, columns=columns, bytes_read=self.blocks.binary.packed(), unread=self.unread)

"""FOCUS as text: CSV, with commas, semicolons, tabs or bars, plain or out of an archive."""

import codecs
import csv
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

from .batches import Batch, UnreadableFile
from .columns import Positions, recognized, require_focus
from .kinds import refuse_other
from .opening import open_file
from .streams import Watched

DELIMITERS = (",", ";", "\t", "|")
# A Tags field can be long; a field beyond this is an unclosed quote or an attack.
MAX_FIELD = 8 * 1024 * 1024
MAX_HEADER_BYTES = 1024 * 1024
BLOCK = 64 * 1024
# Rows taken at once where they are read one by one: few enough to stay in the processor's cache.
ROWS = 250
BOM = codecs.BOM_UTF8


def read_csv(path: Path, *, has_period: bool = False) -> Iterator[Batch]:
    """Yield the rows of a FOCUS CSV file in pieces, in constant memory; see read_text."""
    return read_text(lambda: open_plain(path), has_period=has_period)


def read_text(
    reopen: Callable[[], Watched], *, has_period: bool = False, may_be_empty: bool = False
) -> Iterator[Batch]:
    """Yield the rows of FOCUS as text in pieces, in constant memory; `reopen` opens it from its start.

    Only the columns that charges keep are taken; they may come in any order and case. Blank lines, and
    lines of nothing but delimiters as spreadsheets leave them, are passed over. Raises UnreadableFile
    (line, column, what to do) for what is missing, empty, without rows (unless it `may_be_empty`), not CSV,
    not UTF-8 or not FOCUS, and for rows of another length than the header.
    """
    csv.field_size_limit(MAX_FIELD)
    with closing(reopen()) as binary:
        found = False
        try:
            for batch in _batches(binary, has_period=has_period):
                found = True
                yield batch
        except UnicodeDecodeError as error:
            raise undecodable(reopen) from error
        if not found and not may_be_empty:
            raise UnreadableFile("The file has a header and no rows.", line=1)


def row_of_text(binary: Watched, line: int) -> list[tuple[str, str]]:
    """Return the row that begins on a line of an open text: all its headings, each with its value.

    Raises UnreadableFile where no row begins there.
    """
    csv.field_size_limit(MAX_FIELD)
    text = io.TextIOWrapper(cast(BinaryIO, binary), encoding="utf-8-sig", newline="")
    header = _header(text)
    if line < header.skipped + 2:
        raise UnreadableFile("No row begins here: the header and what is above it.", line=line)
    # Lines are passed over and not parsed: what one of them begins is known by its number.
    for _ in range(line - header.skipped - 2):
        binary.begin_batch()
        if not text.readline():
            raise UnreadableFile("The file has no such line.", line=line)
    row = next(csv.reader(text, delimiter=header.delimiter), None)
    if not row:
        raise UnreadableFile("The file has no row on this line.", line=line)
    return list(zip(header.headings, row, strict=False))


def open_plain(source: Path | Callable[[], io.BufferedReader]) -> Watched:
    """Open a file for reading as text; raise UnreadableFile for what is plainly something else."""
    binary = open_file(source) if isinstance(source, Path) else source()
    try:
        start = binary.peek(BLOCK)
    except OSError as error:
        binary.close()
        raise UnreadableFile(f"The file cannot be read: {error.strerror or error}.") from error
    try:
        refuse_other(start)
    except UnreadableFile:
        binary.close()
        raise
    return Watched(binary, packed=binary.tell)


@dataclass(frozen=True)
class _Header:
    """The header of a table, the lines that stand before it, and the bytes that they take together."""

    headings: list[str]
    delimiter: str
    skipped: int
    size: int


def _batches(binary: Watched, *, has_period: bool) -> Iterator[Batch]:
    """Yield the plain blocks of a file by columns, and from the first other on its rows one by one."""
    # Arrow takes a while to load: only files need it.
    from .csv_blocks import Blocks, PlainBatches, PlainRows
    from .gathering import gathered

    blocks = Blocks(binary)
    block = blocks.next()
    text = _text(io.BytesIO(block) if block else blocks.rest(block), encoding="utf-8-sig")
    header = _header(text)
    headings = header.headings
    positions = recognized(headings)
    require_focus(headings, positions, has_period=has_period)
    line = header.skipped + 2
    if block:
        plain = PlainBatches(
            blocks,
            PlainRows(width=len(headings), positions=positions, delimiter=header.delimiter),
            block=block[header.size + (len(BOM) if block[: len(BOM)] == BOM else 0) :],
            line=line,
            unread=positions.unread,
        )
        yield from plain
        line = plain.line
        text = _text(blocks.rest(plain.block))
    rows = _Rows(binary, text, header=header, positions=positions, line=line)
    yield from gathered(rows.batches())


def _text(binary: io.BufferedIOBase, encoding: str = "utf-8") -> io.TextIOWrapper:
    text = io.TextIOWrapper(cast(BinaryIO, binary), encoding=encoding, newline="")
    # Of 8 KiB, asking takes longer than reading; Python has no public name for it.
    text._CHUNK_SIZE = BLOCK  # type: ignore[attr-defined]  # noqa: SLF001 (see above)
    return text


class _Rows:
    """Reads rows one after the other, from a text whose first line is of the number `line`."""

    def __init__(
        self, binary: Watched, text: io.TextIOWrapper, *, header: _Header, positions: Positions, line: int
    ) -> None:
        self.binary = binary
        self.width = len(header.headings)
        self.delimiter = header.delimiter
        self.positions = positions
        self.reader = csv.reader(text, delimiter=header.delimiter, strict=True)
        self.lines_before = line - 1

    def batches(self) -> Iterator[Batch]:
        """Yield the rows, some at a time."""
        taken = ROWS
        while taken == ROWS:
            self.binary.begin_batch()
            before = self._last_line()
            rows = self._taken()
            taken = len(rows)
            lines: Sequence[int] = range(before + 1, before + taken + 1)
            if before + taken != self._last_line() or [] in rows:
                rows, lines = _numbered(rows, before)
            if not rows:
                continue
            columns = self._columns(rows, lines)
            if "" in columns[self.positions["BilledCost"]]:
                rows, lines = _filled(rows, lines)
                columns = list(zip(*rows, strict=True))
                if not rows:
                    continue
            yield Batch(
                lines=lines,
                columns={name: columns[position] for name, position in self.positions.items()},
                bytes_read=self.binary.packed(),
                unread=self.positions.unread,
            )

    def _last_line(self) -> int:
        return self.lines_before + self.reader.line_num

    def _taken(self) -> list[list[str]]:
        try:
            return list(islice(self.reader, ROWS))
        except csv.Error as error:
            raise UnreadableFile(
                f"The line cannot be read as CSV: {error}. A quote that is never closed is the usual cause.",
                line=self._last_line(),
            ) from error

    def _columns(self, rows: list[list[str]], lines: Sequence[int]) -> list[tuple[str, ...]]:
        try:
            columns = list(zip(*rows, strict=True))
        except ValueError:
            columns = []
        if len(columns) != self.width:
            raise _wrong_width(rows, lines, self.width, self.delimiter)
        return columns


def _wrong_width(rows: list[list[str]], lines: Sequence[int], width: int, delimiter: str) -> UnreadableFile:
    """Name the first row that has not as many fields as the header."""
    line, row = next((line, row) for line, row in zip(lines, rows, strict=True) if len(row) != width)
    return UnreadableFile(
        f"The row has {len(row)} fields where the header has {width}. "
        f"A text with a {'comma' if delimiter == ',' else 'delimiter'} in it has to stand in quotes.",
        line=line,
    )


def _filled(rows: list[list[str]], lines: Sequence[int]) -> tuple[list[list[str]], Sequence[int]]:
    """Leave out rows of nothing but delimiters, as spreadsheets leave them."""
    kept = [any(row) for row in rows]
    if all(kept):
        return rows, lines
    return (
        [row for row, keep in zip(rows, kept, strict=True) if keep],
        [line for line, keep in zip(lines, kept, strict=True) if keep],
    )


def _header(text: io.TextIOWrapper) -> _Header:
    """Read the header of a table, from the start of its file."""
    header_line = text.readline(MAX_HEADER_BYTES)
    skipped = size = 0
    # Excel writes the delimiter into a first line of its own.
    while header_line and (not header_line.strip() or header_line[:4].lower() == "sep=" and len(header_line) < 8):
        size += len(header_line.encode())
        header_line = text.readline(MAX_HEADER_BYTES)
        skipped += 1
    if not header_line:
        raise UnreadableFile("The file is empty.")
    if "\0" in header_line or len(header_line) >= MAX_HEADER_BYTES:
        raise UnreadableFile("This is not a CSV file. Export it as CSV (UTF-8).", line=1)
    delimiter = max(DELIMITERS, key=lambda each: (_known(_split(header_line, each)), each == ","))
    return _Header(_split(header_line, delimiter), delimiter, skipped, size + len(header_line.encode()))


def _numbered(rows: list[list[str]], before: int) -> tuple[list[list[str]], list[int]]:
    """Return the rows that are not blank and the line each begins on, where some take several lines."""
    kept, lines = [], []
    for row in rows:
        if row:
            kept.append(row)
            lines.append(before + 1)
        text = "".join(row)
        before += 1 + text.count("\n") + text.count("\r") - text.count("\r\n")
    return kept, lines


def _known(headings: Sequence[str]) -> int:
    try:
        return len(recognized(headings))
    except UnreadableFile:
        # Twice the same column: that is said once the delimiter is chosen.
        return len(headings)


def _is_of_focus(header: bytes) -> bool:
    """Tell whether a first line has a column of FOCUS: of any other file nothing is repeated."""
    line = header.decode("utf-8-sig", "replace")
    return any(_known(_split(line, each)) for each in DELIMITERS)


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter))
    except (csv.Error, StopIteration):
        return []


def undecodable(reopen: Callable[[], Watched]) -> UnreadableFile:
    """Make the error of a text that is not UTF-8. Text is decoded in blocks, so that the line has to be found."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line, position, pending = 1, 0, b""
    header = b""
    with closing(reopen()) as binary:
        while True:
            binary.begin_batch()
            block = binary.read1(BLOCK)
            header = header or block.split(b"\n", 1)[0]
            pending = decoder.getstate()[0]
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                good = (pending + block)[: error.start]
                line += good.count(b"\n")
                position = len(good) - 1 - good.rfind(b"\n") + (0 if b"\n" in good else position)
                byte = f"byte 0x{(pending + block)[error.start]:02X} at " if _is_of_focus(header) else ""
                return UnreadableFile(
                    f"The line is not UTF-8 ({byte}position {position + 1}). Save the file as “CSV UTF-8”.", line=line
                )
            if not block:
                return UnreadableFile("The file is not UTF-8. Save it as “CSV UTF-8”.")
            seen = (pending + block)[: len(pending) + len(block) - len(decoder.getstate()[0])]
            line += seen.count(b"\n")
            position = len(seen) - 1 - seen.rfind(b"\n") + (0 if b"\n" in seen else position)

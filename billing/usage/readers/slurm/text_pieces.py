"""What `sacct --parsable2` or `--parsable` writes, in pieces by columns.

sacct puts nothing in quotes and marks no line break, so that a line is a job only if it has as many fields as all.
Arrow splits the lines. Which of them is wrong, and why, is looked for only once it says that one is.
"""

import codecs
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from ....readers.batches import MAX_PROBLEMS, FileError, Problem, UnreadableFile
from ....readers.csv_blocks import Blocks
from ....readers.streams import Watched
from ....texts import quoted
from ..kinds import Tally
from .fields import Layout, layout_of
from .pieces import Piece
from .settings import Settings

# Hardly one line has what another has.
_NOT_REPEATED = frozenset({"JobID", "JobIDRaw", "Start", "End"})
# One of these stands for a delimiter that Arrow does not know: more than a byte, or a quote.
_STAND_INS = (b"\x1f", b"\x1e", b"\x1d", b"\x1c")
# What it means if these fields are not there.
_MISSED = {
    "Account": "only the user tells who is charged.",
    "State": "no job is free because of how it ended.",
}


def text_pieces(binary: Watched, settings: Settings, tally: Tally) -> Iterator[Piece]:
    """Yield the jobs and steps of an open file; raises FileError with each line that is not as the first one is."""
    blocks = Blocks(binary)
    block, line = _next(blocks, 1).removeprefix(codecs.BOM_UTF8), 1
    layout = _layout(block, settings, tally)
    if layout.has_header:
        block, line = block.partition(b"\n")[2], 2
        tally.lines += 1
    while block:
        lines = Lines(block, line, layout)
        piece = lines.piece()
        blocks.expect(len(piece), len(block))
        tally.lines += lines.count
        line += lines.count
        yield piece
        if not lines.is_ended:
            tally.notes.append(
                "The last line has no line break at its end. If the file was cut off there, copy it again."
            )
        block = b"" if blocks.is_over else _next(blocks, line)


def _next(blocks: Blocks, line: int) -> bytes:
    """Return the next block; raises what reading raised, so that a line that is cut off is not taken for whole."""
    block = bytes(blocks.next())
    blocks.check()
    if not block and not blocks.is_over:
        raise UnreadableFile("The line is longer than any that sacct writes.", line=line)
    return block


def _layout(block: bytes, settings: Settings, tally: Tally) -> Layout:
    first = block.partition(b"\n")[0].removesuffix(b"\r")
    layout = layout_of(first.decode("utf-8", "replace"), settings.format, settings.delimiter)
    if chosen := layout.chosen_by_users:
        tally.notes.append(
            f"Not kept: {', '.join(chosen)}. Leave what users write out of the export: a text can be made to look like "
            "the line of another job."
        )
    for name, missed in _MISSED.items():
        if name not in layout.positions:
            tally.notes.append(f"No {name} among the fields: {missed}")
    return layout


class Lines:
    """The lines of a block, of which the first has the number `first`; `count` is how many there are."""

    def __init__(self, block: bytes, first: int, layout: Layout) -> None:
        self.block = block
        self.first = first
        self.layout = layout
        self.is_ended = block.endswith(b"\n")
        self.count = block.count(b"\n") + (not self.is_ended)
        self._has_blank = block.startswith((b"\n", b"\r\n")) or b"\n\n" in block or b"\n\r\n" in block

    def piece(self) -> Piece:
        """Return the lines by columns, without blank ones; raises FileError with every line that is wrong."""
        block = self.block
        if b"\0" in block or b"\r" in block and block.count(b"\r") != block.count(b"\r\n"):
            raise self._wrong("")
        delimiter = self.layout.delimiter.encode()
        if len(delimiter) > 1 or delimiter == b'"':
            stand_in = next((each for each in _STAND_INS if each not in block), b"")
            if not stand_in:
                raise self._wrong("The line has control characters in it.")
            block = block.replace(delimiter, stand_in)
            delimiter = stand_in
        try:
            columns = _columns(block, self.layout, delimiter)
        except pa.ArrowException as error:
            raise self._wrong(str(error)) from error
        size = len(next(iter(columns.values())))
        return Piece(columns, np.arange(size), self.line_of)

    def line_of(self, place: int) -> int:
        """Return the number of the line that holds a row of the piece."""
        return self._filled[place] if self._has_blank else self.first + place

    @cached_property
    def _filled(self) -> list[int]:
        """The numbers of the lines that are not blank."""
        return [number for number, line in enumerate(self.block.split(b"\n"), self.first) if line.strip(b"\r")]

    def _wrong(self, otherwise: str) -> FileError:
        """Look for what is wrong with which lines."""
        problems = []
        for number, line in enumerate(self.block.split(b"\n"), self.first):
            if line.strip(b"\r") and (says := self._problem(line.removesuffix(b"\r"))):
                problems.append(Problem(says[0], number, says[1] or None))
                if len(problems) == MAX_PROBLEMS:
                    break
        return FileError(problems or [Problem(f"The lines from here on cannot be read: {otherwise[:200]}", self.first)])

    def _problem(self, line: bytes) -> tuple[str, str] | None:
        layout = self.layout
        if b"\0" in line:
            return "The line has a NUL byte in it: the file was not written or copied completely.", ""
        fields = line.split(layout.delimiter.encode())
        if len(fields) != layout.width:
            return _wrong_width(len(fields), layout), ""
        if b"\r" in line:
            return "The line has a carriage return in it. Leave names and comments of jobs out of the export.", ""
        if layout.is_closed and fields[-1]:
            return f"The line does not end with {quoted(layout.delimiter)}, as the first one does.", ""
        for name, position in layout.positions.items():
            try:
                fields[position].decode()
            except UnicodeDecodeError:
                return "The text is not UTF-8.", name
        return None


def _wrong_width(count: int, layout: Layout) -> str:
    what = "header" if layout.has_header else "format of the feed"
    return (
        f"The line has {count - layout.is_closed} fields where the {what} has {len(layout.names)}. A "
        f"{quoted(layout.delimiter)} or a line break in the name of a job is the usual cause: leave names and comments "
        "out of the export."
    )


def _columns(block: bytes, layout: Layout, delimiter: bytes) -> dict[str, Any]:
    names = [str(position) for position in range(layout.width)]
    own = {name: str(position) for name, position in layout.positions.items()}
    coded = pa.dictionary(pa.int32(), pa.string())
    kinds = {place: pa.string() if name in _NOT_REPEATED else coded for name, place in own.items()}
    if layout.is_closed:
        # Refused where it holds anything.
        kinds[names[-1]] = pa.null()
    table = pa.csv.read_csv(
        pa.BufferReader(block),
        read_options=pa.csv.ReadOptions(column_names=names, use_threads=False, block_size=len(block) + 1),
        parse_options=pa.csv.ParseOptions(
            delimiter=delimiter.decode(), quote_char=False, escape_char=False, newlines_in_values=False
        ),
        convert_options=pa.csv.ConvertOptions(
            column_types=kinds, include_columns=list(kinds), strings_can_be_null=False, null_values=[""]
        ),
    )
    return {name: table.column(place).combine_chunks() for name, place in own.items()}

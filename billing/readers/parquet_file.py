"""FOCUS as parquet: every physical type that providers write, as the texts that CSV would have held."""

import contextlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from .arrow_texts import Column
from .batches import BATCH_ROWS, Batch, FileError, UnreadableFile
from .columns import AMOUNTS, QUANTITIES, Positions, base_of, is_of_focus, recognized, require_focus
from .parquet_footer import BadFooter, Contents, Group, check_chunk, read_footer
from .projects import PARTS as PROJECT_PARTS
from .projects import PROJECT
from .streams import GIB, MAX_RATIO, MIB, SMALL_ENOUGH

# What the rows of a piece may unpack to; where they are long, there are fewer of them.
DECODED_BYTES = 64 * MIB
# Each column has one.
READ_BUFFER = MIB // 16
# What the table of contents may say: beyond this it is damaged or made to fill the memory.
MAX_CHUNK = 8 * GIB
MAX_ROWS_PER_BYTE = 50
FEW_ROWS = 10_000_000
MAX_DECODED = GIB

# Columns that come as they are stored where they are numbers.
SUMMED = frozenset((*AMOUNTS, *QUANTITIES))

DAMAGED = "The parquet file is damaged or incomplete: copy or download it again."


def read_parquet(
    source: Path | BinaryIO,
    *,
    size: int,
    has_period: bool = False,
    batch_rows: int = BATCH_ROWS,
    may_be_empty: bool = False,
) -> Iterator[Batch]:
    """Yield the rows of a FOCUS parquet file in pieces, one row group's next rows at a time.

    As texts, doubles are of their shortest form, decimals of every digit, times in UTC, tags one JSON object.
    `size` is the file's, for progress. Raises UnreadableFile as read_csv does.
    """
    try:
        yield from _batches(source, size=size, has_period=has_period, batch_rows=batch_rows, may_be_empty=may_be_empty)
    except UnreadableFile:
        raise
    except Exception as error:  # Arrow raises a dozen kinds for a damaged file, some of Python's own among them.
        raise _damaged(error) from error


def row_of_parquet(source: Path | BinaryIO, *, size: int, row: int) -> list[tuple[str, str]]:
    """Return a row, counted from 1: all its columns, each with its value. Raises UnreadableFile where there is none."""
    try:
        contents = _contents_of(source, size)
        file = _opened(source, None)
        try:
            before = 0
            for number, group in enumerate(contents.groups):
                if row > before + group.rows:
                    before += group.rows
                    continue
                _check_pages(source, group, file.schema_arrow.names)
                for decoded in _decoded(file, number, group, list(file.schema_arrow.names)):
                    if row <= before + decoded.num_rows:
                        return _row_of(decoded.slice(row - before - 1, 1))
                    before += decoded.num_rows
        finally:
            file.close()
    except UnreadableFile:
        raise
    except Exception as error:  # Arrow raises a dozen kinds for a damaged file.
        raise _damaged(error) from error
    raise UnreadableFile(f"The file has {contents.rows:,} rows.", line=row)


def read_columns(
    path: Path, choose: Callable[[list[str]], list[str]]
) -> Iterator[tuple[int, Mapping[str, Sequence[Any]]]]:
    """Yield the columns of any parquet file, some rows at a time, each with the number of its first row, from 1.

    `choose` takes the names of its columns and returns those that are read, or raises FileError. Raises UnreadableFile.
    """
    try:
        size = path.stat().st_size
        contents = _contents_of(path, size)
        file = _opened(path, None)
        try:
            wanted = choose(list(file.schema_arrow.names))
            row = 1
            for number, group in enumerate(contents.groups):
                _check_pages(path, group, wanted)
                for decoded in _decoded(file, number, group, wanted):
                    # Only here does a text that is no UTF-8, or a moment out of range, show.
                    yield row, {name: decoded.column(name).to_pylist() for name in wanted}
                    row += decoded.num_rows
        finally:
            file.close()
    except FileError:
        raise
    except Exception as error:  # Arrow raises a dozen kinds for a damaged file.
        raise _damaged(error) from error


def _row_of(decoded: Any) -> list[tuple[str, str]]:
    known = {position: name for name, position in recognized(decoded.schema.names).items()}
    found = []
    for position, heading in enumerate(decoded.schema.names):
        array = decoded.column(position)
        if position in known:
            text = str(Column(base_of(known[position])).texts(array)[0])
        else:
            # What no charge keeps is shown as it is.
            value = array.to_pylist()[0]
            is_nested = pa.types.is_nested(array.type)
            text = "" if value is None else json.dumps(value, default=str) if is_nested else str(value)
        found.append((heading, text))
    return found


def _batches(
    source: Path | BinaryIO, *, size: int, has_period: bool, batch_rows: int, may_be_empty: bool
) -> Iterator[Batch]:
    contents = _contents_of(source, size)
    file = _opened(source, None)
    try:
        layout = _layout_of(file, contents, has_period=has_period)
        if contents.rows == 0:
            if may_be_empty:
                return
            raise UnreadableFile("The file has columns and no rows.")
        wanted = layout.wanted
        _check_types(layout.schema, wanted)
        # Texts that repeat are decoded once per dictionary and not once per row.
        file.close()
        file = _opened(source, layout.dictionary_leaves())
        columns = {name: Column(base_of(name)) for name in wanted}
        row = 0
        leaves = layout.leaves()
        for number, group in enumerate(contents.groups):
            _check_pages(source, group, wanted.values())
            for decoded in _decoded(file, number, group, leaves, batch_rows):
                lines = range(row + 1, row + decoded.num_rows + 1)
                row += decoded.num_rows
                yield Batch(
                    lines=lines,
                    columns={name: _column(columns[name], decoded.column(heading)) for name, heading in wanted.items()},
                    bytes_read=size * row // contents.rows,
                    unread=layout.positions.unread,
                )
        if row != contents.rows:
            raise UnreadableFile(f"The file says it has {contents.rows:,} rows and has {row:,}. {DAMAGED}")
    finally:
        file.close()


@dataclass(frozen=True)
class _Layout:
    """The columns of a file, and which of them are `wanted`: their headings by their names in FOCUS."""

    schema: pa.Schema
    metadata: pq.FileMetaData
    positions: Positions
    wanted: dict[str, str]

    def leaves(self) -> list[str]:
        """Return what is to be read of the file: its columns by name, and of Google's project only id and name."""
        leaves: list[str] = []
        for name, heading in self.wanted.items():
            kind = self.schema.field(heading).type
            parts = [kind.field(n).name for n in range(kind.num_fields)] if pa.types.is_struct(kind) else []
            known = [f"{heading}.{part}" for part in parts if name == PROJECT and part.casefold() in PROJECT_PARTS]
            leaves += known or [heading]
        return leaves

    def dictionary_leaves(self) -> list[str]:
        """Return the leaves of text among the wanted columns: what repeats is decoded once."""
        headings = set(self.wanted.values())
        leaves = [self.metadata.schema.column(number) for number in range(self.metadata.num_columns)]
        texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
        return [path for path in texts if path.split(".")[0] in headings]


def _layout_of(file: pq.ParquetFile, contents: Contents, *, has_period: bool) -> _Layout:
    """Return the columns of an open file. Raises UnreadableFile where they are not FOCUS, or not what it says."""
    metadata = file.metadata
    if (metadata.num_rows, metadata.num_row_groups) != (contents.rows, len(contents.groups)):
        raise UnreadableFile(DAMAGED)
    headings = list(file.schema_arrow.names)
    positions = recognized(headings)
    require_focus(headings, positions, has_period=has_period)
    wanted = {name: headings[position] for name, position in positions.items()}
    return _Layout(file.schema_arrow, metadata, positions, wanted)


def _opened(source: Path | BinaryIO, dictionaries: list[str] | None) -> pq.ParquetFile:
    """Open a file for Arrow; `dictionaries` are the leaves whose texts come as numbers of distinct values."""
    if not isinstance(source, Path):
        source.seek(0)
    try:
        return pq.ParquetFile(
            source,
            read_dictionary=dictionaries,
            # Pages one after the other, not whole row groups.
            pre_buffer=False,
            buffer_size=READ_BUFFER,
            # Nanoseconds end in 2262; a far end of a contract does not.
            coerce_int96_timestamp_unit="us",
            thrift_string_size_limit=64 * MIB,
            thrift_container_size_limit=4_000_000,
            arrow_extensions_enabled=False,
        )
    except FileNotFoundError:
        raise UnreadableFile("There is no such file.") from None


def _damaged(error: Exception) -> UnreadableFile:
    """Say what is wrong with a file that Arrow could not read, and what to do."""
    if isinstance(error, NotImplementedError) or "ncrypted" in str(error):
        return UnreadableFile(
            f"The parquet file uses what cannot be read here ({str(error)[:120]}). "
            "Export it with snappy or gzip, unencrypted."
        )
    return UnreadableFile(DAMAGED)


def _contents_of(source: Path | BinaryIO, size: int) -> Contents:
    """Return what the file says is in it; refuse what no export of costs has, before anything is decoded by it."""
    try:
        if isinstance(source, Path):
            with source.open("rb") as binary:
                contents = read_footer(binary, binary.seek(0, io.SEEK_END))
        else:
            contents = read_footer(source, source.seek(0, io.SEEK_END))
    except FileNotFoundError:
        raise UnreadableFile("There is no such file.") from None
    except (BadFooter, OSError) as error:
        raise UnreadableFile(DAMAGED) from error
    if contents.rows > max(FEW_ROWS, MAX_ROWS_PER_BYTE * size):
        raise UnreadableFile(f"The file of {size:,} bytes says it has {contents.rows:,} rows. {DAMAGED}")
    for number, group in enumerate(contents.groups, start=1):
        for chunk in group.chunks:
            if chunk.unpacked > MAX_CHUNK or (
                chunk.unpacked > SMALL_ENOUGH and chunk.unpacked > MAX_RATIO * max(chunk.packed, 1)
            ):
                is_known = is_of_focus(chunk.path.split(".")[0])
                which = f"The column {chunk.path}" if is_known else "A column"
                raise UnreadableFile(
                    f"{which} of row group {number} unpacks to {chunk.unpacked:,} bytes "
                    f"from {chunk.packed:,}. Export it in smaller row groups if it is real."
                )
    if sum(group.rows for group in contents.groups) != contents.rows:
        raise UnreadableFile(DAMAGED)
    return contents


def _check_types(schema: pa.Schema, wanted: dict[str, str]) -> None:
    """Refuse columns of types that hold no one value."""
    for name, heading in wanted.items():
        kind = schema.field(schema.get_field_index(heading)).type
        if name == "Tags":
            if (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and not _is_pairs(kind.value_type):
                raise UnreadableFile(
                    f"The tags are a list of {kind.value_type}; they have to be a map, a list of keys and values, "
                    "or JSON.",
                    column=name,
                )
        elif pa.types.is_nested(kind) and not (name == PROJECT and pa.types.is_struct(kind)):
            raise UnreadableFile(f"The column is of the type {kind}, where one value is expected.", column=name)


def _check_pages(source: Path | BinaryIO, group: Group, headings: Iterable[str]) -> None:
    """Refuse a row group whose pages lie about their size, before Arrow makes room for what they say."""
    wanted = tuple(headings)
    try:
        with contextlib.ExitStack() as stack:
            binary = stack.enter_context(source.open("rb")) if isinstance(source, Path) else source
            for chunk in group.chunks:
                if _is_in(chunk.path, wanted):
                    check_chunk(binary, chunk)
    except (BadFooter, OSError) as error:
        raise UnreadableFile(DAMAGED) from error


def _is_in(path: str, headings: Iterable[str]) -> bool:
    """Tell whether a leaf belongs to one of these columns."""
    return any(path == heading or path.startswith(f"{heading}.") for heading in headings)


def _is_pairs(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) and {"key", "value"} <= {kind.field(n).name.casefold() for n in range(len(kind))}


def _column(column: Column, array: Any) -> Any:
    """Return numbers that sums are made of as they are stored, and any other values as texts."""
    kind = array.type
    is_number = pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_integer(kind)
    return array if is_number and column.name in SUMMED else column.encoded(array)


def _decoded(
    file: pq.ParquetFile, number: int, group: Group, headings: list[str], batch_rows: int = BATCH_ROWS
) -> Iterator[Any]:
    """Yield the rows of a row group as Arrow has them, as many at once as fit the memory meant for it."""
    if group.rows == 0:
        return
    size = sum(chunk.unpacked for chunk in group.chunks if _is_in(chunk.path, headings))
    rows = max(1, min(batch_rows, DECODED_BYTES * group.rows // max(size, 1)))
    for decoded in file.iter_batches(batch_size=rows, row_groups=[number], columns=headings, use_threads=True):
        if decoded.nbytes > MAX_DECODED:
            raise UnreadableFile(f"{decoded.num_rows:,} rows of the file unpack to more than {MAX_DECODED // GIB} GiB.")
        yield decoded

"""Parts of an import as large pieces of columns, for what works on columns and not on rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from .arrow_texts import Column
from .batches import Batch, FileError, UnreadableFile
from .columns import base_of
from .kinds import Kind
from .parquet_file import check_pages, check_types, contents_of, damaged, layout_of, opened
from .parts import Part
from .reading import read

# Rows in a piece of text, and of parquet, whose texts are numbers of a dictionary.
TEXT_ROWS = 65_536
PARQUET_ROWS = 262_144
# Columns whose arrays sums are made of, and all others, which are wanted as texts.
NUMBERS = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "PricingQuantity", "ConsumedQuantity")


@dataclass(frozen=True)
class Piece:
    """Some rows of a file by column: Arrow arrays, or sequences of texts. `lines` and `bytes_read` as in Batch."""

    lines: Sequence[int]
    columns: Mapping[str, Any]
    bytes_read: int
    unread: tuple[str, ...] = ()

    def as_batch(self) -> Batch:
        """Return the same as texts."""
        texts = {
            name: values if isinstance(values, list) else Column(name).texts(values).tolist()
            for name, values in self.columns.items()
        }
        return Batch(lines=self.lines, columns=texts, bytes_read=self.bytes_read, unread=self.unread)


def read_columns(part: Part, *, has_period: bool = False) -> Iterator[Piece]:
    """Yield a part in pieces of columns. Raises UnreadableFile as `read` does.

    Numbers of a parquet file come as they are stored, texts and times as Arrow dictionaries of texts.
    """
    if part.kind is Kind.PARQUET and not part.member:
        try:
            yield from _parquet(part, has_period=has_period)
        except FileError:
            raise
        except Exception as error:  # Arrow raises a dozen kinds for a damaged file, some of Python's own among them.
            raise damaged(error) from error
        return
    yield from _texts(part, has_period=has_period)


def _texts(part: Part, *, has_period: bool) -> Iterator[Piece]:
    lines: list[int] = []
    columns: dict[str, list[str]] = {}
    bytes_read = 0
    unread: tuple[str, ...] = ()
    for batch in read(part, has_period=has_period):
        unread = batch.unread
        lines += batch.lines
        for name, values in batch.columns.items():
            columns.setdefault(name, []).extend(values)
        bytes_read = batch.bytes_read
        if len(lines) >= TEXT_ROWS:
            yield Piece(lines, columns, bytes_read, unread)
            lines, columns = [], {}
    if lines:
        yield Piece(lines, columns, bytes_read, unread)


def _parquet(part: Part, *, has_period: bool) -> Iterator[Piece]:
    size = part.path.stat().st_size
    contents = contents_of(part.path, size)
    file = opened(part.path, None)
    try:
        layout = layout_of(file, contents, has_period=has_period)
        if any(base_of(name) != name for name in layout.positions):
            # Columns that say the same are compared row by row, as texts.
            yield from _texts(part, has_period=has_period)
            return
        check_types(layout.schema, layout.wanted)
        if contents.rows == 0 and not part.may_be_empty:
            raise UnreadableFile("The file has columns and no rows.")
        file.close()
        file = opened(part.path, layout.dictionary_leaves())
        texts = {name: Column(name) for name in layout.wanted}
        leaves = layout.leaves()
        row = 0
        for group, of_group in enumerate(contents.groups):
            if not of_group.rows:
                continue
            check_pages(part.path, of_group, layout.wanted.values())
            pieces = file.iter_batches(batch_size=PARQUET_ROWS, row_groups=[group], columns=leaves, use_threads=True)
            for piece in pieces:
                columns = {name: _column(texts[name], piece.column(heading)) for name, heading in layout.wanted.items()}
                lines = range(row + 1, row + piece.num_rows + 1)
                row += piece.num_rows
                yield Piece(lines, columns, size * row // contents.rows, layout.positions.unread)
        if part.expected_rows is not None and row != part.expected_rows:
            raise UnreadableFile(
                f"{part.manifest or 'The manifest'} says the file has {part.expected_rows:,} rows, and it has "
                f"{row:,}. Copy the files again."
            )
    finally:
        file.close()


def _column(column: Column, array: Any) -> Any:
    """Return an array of numbers as it is stored, and any other as texts."""
    is_number = pa.types.is_floating(array.type) or pa.types.is_decimal(array.type) or pa.types.is_integer(array.type)
    if column.name in NUMBERS and is_number:
        return array
    if pa.types.is_nested(array.type):
        return column.texts(array).tolist()
    return _dictionary(column, array)


def _dictionary(column: Column, array: Any) -> Any:
    """Return a column as numbers of texts; each distinct value is written once."""
    if pa.types.is_null(array.type):
        return pa.DictionaryArray.from_arrays(pa.nulls(len(array), pa.int32()), pa.array([], pa.string()))
    encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    texts = column.texts(encoded.dictionary).tolist()
    return pa.DictionaryArray.from_arrays(encoded.indices, pa.array(texts, pa.string()))

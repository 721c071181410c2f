"""FOCUS as parquet: every physical type that providers write, as the texts that CSV would have held."""

import contextlib
import datetime
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .batches import BATCH_ROWS, Batch, UnreadableFile
from .columns import AMOUNTS, DECIMALS, TIMES, base_of, is_of_focus, recognized, require_focus
from .parquet_footer import BadFooter, Contents, Group, check_chunk, read_footer
from .projects import PARTS as PROJECT_PARTS
from .projects import PROJECT
from .streams import GIB, MAX_RATIO, MIB, SMALL_ENOUGH
from .tags import INHERITED_FIELDS, own_first

# Rows decoded at once, fewer where they are long; they leave in batches of the usual size.
DECODED_ROWS = 32_768
DECODED_BYTES = 64 * MIB
READ_BUFFER = MIB
# What the table of contents may say: beyond this it is damaged or made to fill the memory.
MAX_CHUNK = 8 * GIB
MAX_ROWS_PER_BYTE = 50
FEW_ROWS = 10_000_000
MAX_DECODED = GIB

DAMAGED = "The parquet file is damaged or incomplete: copy or download it again."
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
# Doubles hold whole numbers exactly up to here.
EXACT_WHOLE = 2**53
_MICROSECONDS = {"s": (1_000_000, 1), "ms": (1_000, 1), "us": (1, 1), "ns": (1, 1_000)}

Objects = Any


def read_parquet(
    source: Path | BinaryIO,
    *,
    size: int,
    has_period: bool = False,
    batch_rows: int = BATCH_ROWS,
    may_be_empty: bool = False,
) -> Iterator[Batch]:
    """Yield the rows of a FOCUS parquet file in batches, one row group's next rows at a time.

    Doubles come out by their shortest form, decimals with every digit, times in UTC, tags as one JSON object.
    `size` is the file's, for progress. Raises UnreadableFile as read_csv does.
    """
    try:
        yield from _batches(source, size=size, has_period=has_period, batch_rows=batch_rows, may_be_empty=may_be_empty)
    except UnreadableFile:
        raise
    except Exception as error:  # Arrow raises a dozen kinds for a damaged file, some of Python's own among them.
        raise damaged(error) from error


def row_of_parquet(source: Path | BinaryIO, *, size: int, row: int) -> list[tuple[str, str]]:
    """Return a row, counted from 1: all its columns, each with its value. Raises UnreadableFile where there is none."""
    try:
        contents = contents_of(source, size)
        file = opened(source, None)
        try:
            before = 0
            for number, group in enumerate(contents.groups):
                if row > before + group.rows:
                    before += group.rows
                    continue
                check_pages(source, group, file.schema_arrow.names)
                for decoded in _decoded(file, number, group, list(file.schema_arrow.names)):
                    if row <= before + decoded.num_rows:
                        return _row_of(decoded.slice(row - before - 1, 1))
                    before += decoded.num_rows
        finally:
            file.close()
    except UnreadableFile:
        raise
    except Exception as error:  # Arrow raises a dozen kinds for a damaged file.
        raise damaged(error) from error
    raise UnreadableFile(f"The file has {contents.rows:,} rows.", line=row)


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
    contents = contents_of(source, size)
    file = opened(source, None)
    try:
        schema = file.schema_arrow
        metadata = file.metadata
        if (metadata.num_rows, metadata.num_row_groups) != (contents.rows, len(contents.groups)):
            raise UnreadableFile(DAMAGED)
        headings = list(schema.names)
        positions = recognized(headings)
        require_focus(headings, positions, has_period=has_period)
        if contents.rows == 0:
            if may_be_empty:
                return
            raise UnreadableFile("The file has columns and no rows.")
        wanted = {name: headings[position] for name, position in positions.items()}
        check_types(schema, wanted)
        # Texts that repeat are decoded once per dictionary and not once per row.
        file.close()
        file = opened(source, dictionary_leaves(metadata, set(wanted.values())))
        columns = {name: Column(base_of(name)) for name in wanted}
        row = 0
        leaves = leaves_of(schema, wanted)
        for number, group in enumerate(contents.groups):
            check_pages(source, group, wanted.values())
            for decoded in _decoded(file, number, group, leaves):
                texts = {name: columns[name].texts(decoded.column(heading)) for name, heading in wanted.items()}
                for start in range(0, decoded.num_rows, batch_rows):
                    end = min(start + batch_rows, decoded.num_rows)
                    yield Batch(
                        lines=range(row + start + 1, row + end + 1),
                        columns={name: objects[start:end].tolist() for name, objects in texts.items()},
                        bytes_read=size * (row + end) // contents.rows,
                        unread=positions.unread,
                    )
                row += decoded.num_rows
        if row != contents.rows:
            raise UnreadableFile(f"The file says it has {contents.rows:,} rows and has {row:,}. {DAMAGED}")
    finally:
        file.close()


def opened(source: Path | BinaryIO, dictionaries: list[str] | None) -> pq.ParquetFile:
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


def damaged(error: Exception) -> UnreadableFile:
    """Say what is wrong with a file that Arrow could not read, and what to do."""
    if isinstance(error, NotImplementedError) or "ncrypted" in str(error):
        return UnreadableFile(
            f"The parquet file uses what cannot be read here ({str(error)[:120]}). "
            "Export it with snappy or gzip, unencrypted."
        )
    return UnreadableFile(DAMAGED)


def contents_of(source: Path | BinaryIO, size: int) -> Contents:
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


def check_types(schema: pa.Schema, wanted: dict[str, str]) -> None:
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


def check_pages(source: Path | BinaryIO, group: Group, headings: Iterable[str]) -> None:
    """Refuse a row group whose pages lie about their size, before Arrow makes room for what they say."""
    wanted = tuple(headings)
    try:
        with contextlib.ExitStack() as stack:
            binary = stack.enter_context(source.open("rb")) if isinstance(source, Path) else source
            for chunk in group.chunks:
                if is_in(chunk.path, wanted):
                    check_chunk(binary, chunk)
    except (BadFooter, OSError) as error:
        raise UnreadableFile(DAMAGED) from error


def is_in(path: str, headings: Iterable[str]) -> bool:
    """Tell whether a leaf belongs to one of these columns."""
    return any(path == heading or path.startswith(f"{heading}.") for heading in headings)


def leaves_of(schema: pa.Schema, wanted: dict[str, str]) -> list[str]:
    """Return what is to be read of a file: its columns by name, and of Google's project only id and name."""
    leaves: list[str] = []
    for name, heading in wanted.items():
        kind = schema.field(heading).type
        parts = [kind.field(n).name for n in range(kind.num_fields)] if pa.types.is_struct(kind) else []
        known = [f"{heading}.{part}" for part in parts if name == PROJECT and part.casefold() in PROJECT_PARTS]
        leaves += known or [heading]
    return leaves


def _is_pairs(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) and {"key", "value"} <= {kind.field(n).name.casefold() for n in range(len(kind))}


def dictionary_leaves(metadata: pq.FileMetaData, headings: set[str]) -> list[str]:
    """Return the leaves of text among columns: what repeats is decoded once."""
    leaves = [metadata.schema.column(number) for number in range(metadata.num_columns)]
    return [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY" and leaf.path.split(".")[0] in headings]


def _decoded(file: pq.ParquetFile, number: int, group: Group, headings: list[str]) -> Iterator[Any]:
    """Yield the rows of a row group as Arrow has them, as many at once as fit the memory meant for it."""
    if group.rows == 0:
        return
    size = sum(chunk.unpacked for chunk in group.chunks if is_in(chunk.path, headings))
    rows = max(1, min(DECODED_ROWS, DECODED_BYTES * group.rows // max(size, 1)))
    for decoded in file.iter_batches(batch_size=rows, row_groups=[number], columns=headings, use_threads=False):
        if decoded.nbytes > MAX_DECODED:
            raise UnreadableFile(f"{decoded.num_rows:,} rows of the file unpack to more than {MAX_DECODED // GIB} GiB.")
        yield decoded


class Column:
    """Turns one column of the file, array by array, into texts; None becomes an empty text."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.convert: Callable[[Any], Objects] = _plain_texts
        if name in AMOUNTS or name in DECIMALS:
            self.convert = _number_texts
        elif name in TIMES:
            self.convert = _time_texts
        self.known: Any = None
        self.known_texts: Objects = None

    def texts(self, array: Any) -> Objects:
        try:
            if self.name == "Tags" and pa.types.is_nested(array.type):
                return _tag_texts(array)
            if self.name == PROJECT and pa.types.is_nested(array.type):
                return _project_texts(array)
            return self._column(array)
        except UnreadableFile as error:
            raise UnreadableFile(error.problems[0].message, column=self.name) from error
        except Exception as error:
            raise UnreadableFile(
                f"The column of the type {array.type} cannot be read: {str(error)[:200]}.", column=self.name
            ) from error

    def _column(self, array: Any) -> Objects:
        encoded = _encoded(array)
        if self.known is None or not encoded.dictionary.equals(self.known):
            self.known = encoded.dictionary
            self.known_texts = np.append(self.convert(encoded.dictionary), "")
        return self.known_texts[_codes(encoded)]


def _encoded(array: Any) -> Any:
    if pa.types.is_dictionary(array.type):
        return array
    if pa.types.is_null(array.type):
        return pa.DictionaryArray.from_arrays(pa.nulls(len(array), pa.int32()), pa.array([], pa.string()))
    if pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type):
        array = array.cast(pa.string())
    return array.dictionary_encode()


def _codes(encoded: Any) -> Any:
    """Return the place of each value in its dictionary, and one past the end for none."""
    indices = encoded.indices
    if indices.null_count:
        indices = pc.fill_null(indices.cast(pa.int64()), len(encoded.dictionary))
    return indices.to_numpy(zero_copy_only=False)


def _objects(array: Any) -> Objects:
    """Return an array of texts as Python's, with none as an empty text."""
    if array.null_count:
        array = pc.fill_null(array, "")
    objects = np.empty(len(array), dtype=object)
    objects[:] = array.to_pylist()
    return objects


def _plain_texts(values: Any) -> Objects:
    kind = values.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        # Some writers do not mark texts as such; what is not UTF-8 is refused by the cast.
        return _objects(values.cast(pa.binary()).cast(pa.string()))
    if pa.types.is_floating(kind):
        return _whole_texts(values)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _time_texts(values)
    if pa.types.is_decimal(kind):
        return _objects(_undotted(values.cast(pa.string())))
    return _objects(values.cast(pa.string()))


def _undotted(texts: Any) -> Any:
    """Take the zeros after the point from whole numbers: an id kept as DECIMAL(20, 2) is still an id."""
    return pc.replace_substring_regex(texts, r"\.0*$", "")


def _whole_texts(values: Any) -> Objects:
    """Write ids that were stored as doubles, as pandas does where some are missing."""
    texts = np.empty(len(values), dtype=object)
    for place, value in enumerate(values.cast(pa.float64()).to_pylist()):
        if value is None or value != value:
            texts[place] = ""
        elif abs(value) >= EXACT_WHOLE:
            raise UnreadableFile(f"The id {value:.17g} was stored as a double and has lost digits. Export ids as text.")
        else:
            texts[place] = str(int(value)) if value.is_integer() else repr(value)
    return texts


def _number_texts(values: Any) -> Objects:
    """Write numbers plainly; Arrow writes doubles by their shortest form and decimals with every digit."""
    kind = values.type
    if pa.types.is_boolean(kind) or pa.types.is_temporal(kind):
        raise UnreadableFile(f"The column is of the type {kind}, where numbers are expected.")
    if not (pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_integer(kind)):
        return _plain_texts(values)
    written = values.cast(pa.string())
    texts = _objects(written)
    if not pa.types.is_integer(kind):
        scientific = pc.match_substring(written, "E" if pa.types.is_decimal(kind) else "e")
        for place in np.flatnonzero(pc.fill_null(scientific, False).to_numpy(zero_copy_only=False)):
            number = Decimal(texts[place])
            if abs(number.adjusted()) < 40:
                texts[place] = format(number, "f") if number else "0"
    return texts


def _time_texts(values: Any) -> Objects:
    kind = values.type
    if pa.types.is_timestamp(kind):
        factor, divisor = _MICROSECONDS[kind.unit]
        return _written(values.cast(pa.int64()), lambda count: _moment(count * factor // divisor))
    if pa.types.is_date(kind):
        return _written(values.cast(pa.date32()).cast(pa.int32()), lambda days: _moment(days * 86_400_000_000)[:10])
    return _plain_texts(values)


def _moment(microseconds: int) -> str:
    try:
        moment = EPOCH + datetime.timedelta(microseconds=microseconds)
    except OverflowError:
        raise UnreadableFile("A time is out of range.") from None
    return moment.replace(tzinfo=None).isoformat() + "Z"


def _written(counts: Any, write: Callable[[int], str]) -> Objects:
    texts = np.empty(len(counts), dtype=object)
    texts[:] = ["" if count is None else write(count) for count in counts.to_pylist()]
    return texts


def _tag_texts(array: Any) -> Objects:
    """Write tags as one JSON object a row, each distinct set of them once."""
    kind = array.type
    if pa.types.is_map(kind):
        return _listed(array, array.keys, array.items)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        pairs = array.values
        fields = {pairs.type.field(n).name.casefold(): n for n in range(len(pairs.type))}
        inherited = next((fields[name] for name in INHERITED_FIELDS if name in fields), None)
        return _listed(
            array,
            pairs.field(fields["key"]),
            pairs.field(fields["value"]),
            None if inherited is None else pairs.field(inherited),
        )
    if pa.types.is_struct(kind):
        names = [kind.field(n).name for n in range(len(kind))]
        parts = [_tag_column(part) for part in array.flatten()]
        texts = np.empty(len(array), dtype=object)
        texts[:] = (
            [
                tag_json([(name, value) for name, value in zip(names, row, strict=True) if value is not None])
                for row in zip(*parts, strict=True)
            ]
            if parts
            else ""
        )
        return texts
    raise UnreadableFile(f"The tags are of the type {kind}; they have to be a map, keys and values, or JSON.")


def _tag_column(values: Any) -> list[str | None]:
    encoded = _encoded(values)
    texts: list[str | None] = [*_plain_texts(encoded.dictionary), None]
    return [texts[code] for code in _codes(encoded).tolist()]


def _project_texts(array: Any) -> Objects:
    """Write a project as a JSON object of its id and name, without what else Google tells of it."""
    folded = {array.type.field(n).name.casefold(): n for n in range(len(array.type))}
    # Through pc, because flattening would forget which of the structs are none.
    parts = {name: pc.struct_field(array, folded[name]) for name in PROJECT_PARTS if name in folded}
    columns = [_tag_column(part) for part in parts.values()]
    texts = np.empty(len(array), dtype=object)
    texts[:] = (
        [tag_json([pair for pair in zip(parts, row, strict=True) if pair[1]]) for row in zip(*columns, strict=True)]
        if columns
        else ""
    )
    return texts


def _listed(array: Any, keys: Any, values: Any, inherited: Any = None) -> Objects:
    encoded_keys, encoded_values = _encoded(keys), _encoded(values)
    names = [*_plain_texts(encoded_keys.dictionary), ""]
    texts = [*_plain_texts(encoded_values.dictionary), None]
    codes = np.zeros((len(keys), 3), dtype=np.int64)
    codes[:, 0], codes[:, 1] = _codes(encoded_keys), _codes(encoded_values)
    if inherited is not None and pa.types.is_boolean(inherited.type):
        codes[:, 2] = pc.fill_null(inherited, False).to_numpy(zero_copy_only=False)
    offsets = array.offsets.to_numpy(zero_copy_only=False).tolist()
    packed = codes.tobytes()
    width = codes.itemsize * 3
    known: dict[bytes, str] = {b"": ""}
    written = []
    for start, end in pairwise(offsets):
        piece = packed[start * width : end * width]
        text = known.get(piece)
        if text is None:
            text = known[piece] = tag_json(
                own_first([(names[key], texts[value], bool(mark)) for key, value, mark in codes[start:end].tolist()])
            )
        written.append(text)
    objects = np.empty(len(array), dtype=object)
    objects[:] = written
    return objects


def tag_json(pairs: Sequence[tuple[str, str | None]]) -> str:
    """Write tags as a JSON object; a key with several different values keeps them all, as a list.

    Google's tags may name a key twice. Which one counts nobody can say, so the row is flagged for it.
    """
    found: dict[str, list[str | None]] = {}
    for key, value in pairs:
        values = found.setdefault(key, [])
        if value not in values:
            values.append(value)
    if not found:
        return ""
    return json.dumps(
        {key: values[0] if len(values) == 1 else values for key, values in found.items()}, ensure_ascii=False
    )

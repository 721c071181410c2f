"""Columns of Arrow as the texts that CSV would have held, for every physical type that providers write."""

import datetime
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .batches import UnreadableFile
from .coded import Coded, Encoded, encoded
from .columns import AMOUNTS, DECIMALS, TIMES, base_of
from .projects import PARTS as PROJECT_PARTS
from .projects import PROJECT
from .tags import INHERITED_FIELDS, own_first

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
# Doubles hold whole numbers exactly up to here.
EXACT_WHOLE = 2**53
_MICROSECONDS = {"s": (1_000_000, 1), "ms": (1_000, 1), "us": (1, 1), "ns": (1, 1_000)}

Objects = Any


def encoded_column(name: str, values: Any) -> Encoded:
    """Return a column of a piece by the numbers of its distinct texts; see Batch.columns."""
    return encoded(values if _is_of_texts(values) else Column(base_of(name)).encoded(values))


def coded_column(name: str, values: Any) -> Coded:
    """Return the same with Python's texts."""
    return encoded_column(name, values).coded()


def text_column(name: str, values: Any) -> Any:
    """Return a column of a piece as an Arrow array of texts; no value is an empty text."""
    if not isinstance(values, pa.Array):
        return pa.array(values, pa.string())
    array = values if _is_of_texts(values) else Column(base_of(name)).encoded(values)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return pc.fill_null(array, "") if array.null_count else array


def _is_of_texts(values: Any) -> bool:
    if not isinstance(values, pa.Array):
        return True
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    return bool(pa.types.is_string(kind))


class Column:
    """Turns one column of the file, array by array, into texts; None becomes an empty text."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.convert: Callable[[Any], Objects] = _plain_texts
        if name in AMOUNTS or name in DECIMALS:
            self.convert = number_texts
        elif name in TIMES:
            self.convert = _time_texts
        self.known: Any = None
        self.known_texts: Objects = None
        self.known_array: Any = None
        self.known_encoded: Any = None

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

    def encoded(self, array: Any) -> Any:
        """Return an array as texts, as an Arrow dictionary where it holds one value a row."""
        if pa.types.is_nested(array.type):
            return pa.array(self.texts(array).tolist(), pa.string())
        encoded = _encoded(array)
        if self.known_array is None or not encoded.dictionary.equals(self.known_array):
            self.known_array = encoded.dictionary
            self.known_encoded = pa.array(self.texts(encoded.dictionary).tolist(), pa.string())
        return pa.DictionaryArray.from_arrays(encoded.indices, self.known_encoded)

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


def number_texts(values: Any) -> Objects:
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

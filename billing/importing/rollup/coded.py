"""Columns of texts as numbers: each distinct text once, and rows by the number of theirs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Column = Any
Numbers = Any


def encoded_texts(values: Column) -> tuple[Numbers, list[str]]:
    """Return a column of texts as numbers, and the text of each number; no value is an empty text."""
    array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, pa.string())
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    codes = array.indices
    texts = ["" if text is None else text for text in array.dictionary.to_pylist()]
    if codes.null_count:
        codes = pc.fill_null(codes.cast(pa.int64()), len(texts))
        texts.append("")
    return codes.to_numpy(zero_copy_only=False), texts or [""]


def texts_of(values: Column) -> list[str]:
    """Return a column as texts, row by row."""
    codes, texts = encoded_texts(values)
    found: list[str] = np.array(texts, dtype=object)[codes].tolist()
    return found


def counted_combinations(
    names: Sequence[str], given: Mapping[str, tuple[Numbers, list[str]]], size: int
) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield each combination of texts that columns hold, and in how many rows."""
    codes = np.zeros(size, dtype=np.int64)
    columns = [given.get(name, (codes, [""])) for name in names]
    for numbers, texts in columns:
        codes = codes * len(texts) + numbers
    for code, count in zip(*(each.tolist() for each in np.unique(codes, return_counts=True)), strict=True):
        combination = []
        for _, texts in reversed(columns):
            code, place = divmod(code, len(texts))
            combination.append(texts[place])
        yield tuple(reversed(combination)), count


def dense_numbers(codes: Numbers) -> tuple[Numbers, Numbers]:
    """Number the distinct values of an array in the order they come: their numbers, and the values."""
    encoded = pa.array(codes).dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_numpy()


def distinct_keys(keys: Numbers) -> tuple[Numbers, Numbers]:
    """Return the group of each column of `keys`, numbered from 0, and for each group one column that is of it."""
    codes = np.zeros(keys.shape[1], dtype=np.int64)
    span = 1
    for row in keys:
        least, most = int(row.min()), int(row.max())
        width = most - least + 1
        if width == 1:
            continue
        if span * width >= 2**62:
            codes, distinct = dense_numbers(codes)
            span = len(distinct)
        codes = codes * width + (row - least)
        span *= width
    positions, distinct = dense_numbers(codes)
    representatives = np.empty(len(distinct), dtype=np.int64)
    representatives[positions] = np.arange(len(positions))
    return positions, representatives

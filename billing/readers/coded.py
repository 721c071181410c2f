"""Columns of texts as numbers: each distinct text once, and rows by the number of theirs."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Numbers = Any

# Beyond this the number of a combination does not fit 64 bits.
WIDEST = 2**62


@dataclass(frozen=True)
class Coded:
    """A column: its distinct texts, each of some row, and for each row the place of its text among them.

    `numbers` are those of the texts in the whole import, where they have any.
    """

    codes: Numbers
    texts: list[str]
    numbers: Numbers | None = None

    def __len__(self) -> int:
        return len(self.codes)

    def converted(self, convert: Callable[[str], str]) -> "Coded":
        """Convert each text once; those that become the same are one text then."""
        found = list(map(convert, self.texts))
        if found == self.texts:
            # The same texts, but those that `convert` remembers: their hashes are known.
            return Coded(self.codes, found)
        numbers: dict[str, int] = {}
        places = [numbers.setdefault(text, len(numbers)) for text in found]
        return Coded(np.array(places, dtype=np.int64)[self.codes], list(numbers))

    def encoded(self) -> "Encoded":
        return Encoded(self.codes, pa.array(self.texts, pa.string()))

    def values(self, values: Iterable[Any], kind: Any) -> Numbers:
        """Return for each row what belongs to its text, given for each distinct text, as an array."""
        return np.array(list(values), dtype=kind)[self.codes]

    def at(self, rows: Numbers) -> list[str]:
        """Return the texts of some rows, by their places."""
        return list(map(self.texts.__getitem__, self.codes[rows].tolist()))

    def numbers_at(self, rows: Numbers) -> Numbers:
        """Return the numbers, import-wide, of the texts of some rows; -1 where this column has none."""
        return np.full(len(rows), -1) if self.numbers is None else self.numbers[self.codes[rows]]

    def column(self) -> list[str]:
        """Return the text of each row."""
        return list(map(self.texts.__getitem__, self.codes.tolist()))

    def counts(self) -> list[int]:
        """Return for each distinct text in how many rows it is."""
        found: list[int] = np.bincount(self.codes, minlength=len(self.texts)).tolist()
        return found


@dataclass(frozen=True)
class Encoded:
    """The same before its texts become Python's: `texts` is an Arrow array, where one may be twice."""

    codes: Numbers
    texts: Any

    def __len__(self) -> int:
        return len(self.codes)

    def coded(self) -> Coded:
        texts: list[str] = self.texts.to_pylist()
        if len(set(texts)) == len(texts):
            return Coded(self.codes, texts)
        numbers: dict[str, int] = {}
        places = [numbers.setdefault(text, len(numbers)) for text in texts]
        return Coded(np.array(places, dtype=np.int64)[self.codes], list(numbers))


def encoded(values: Any) -> Encoded:
    """Return a column of texts (an Arrow array, or a sequence) by numbers; no value is an empty text."""
    array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, pa.string())
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    indices, texts = array.indices, array.dictionary
    if indices.null_count:
        indices = pc.fill_null(indices.cast(pa.int64()), len(texts))
        texts = pa.concat_arrays([texts, pa.array([""], pa.string())])
    codes = indices.to_numpy(zero_copy_only=False)
    used = np.zeros(len(texts), dtype=np.bool_)
    used[codes] = True
    if not used.all():
        # Dictionaries of larger parts of a file hold texts that no row of a piece has.
        codes = (np.cumsum(used) - 1)[codes]
        texts = texts.filter(pa.array(used))
    return Encoded(codes, pc.fill_null(texts, "") if texts.null_count else texts)


def coded(values: Any) -> Coded:
    """Return the same with Python's texts."""
    return encoded(values).coded()


def constant(text: str, size: int) -> Coded:
    """Return a column that has one text in all of its rows."""
    return Coded(np.zeros(size, dtype=np.int64), [text])


def combined(columns: Sequence[Numbers]) -> tuple[Numbers, Numbers]:
    """Number the distinct combinations of columns of whole numbers in the order they come.

    Returns the number of each row's combination, counted from 0, and the first row of each combination.
    """
    size = len(columns[0])
    codes = np.zeros(size, dtype=np.int64)
    span = 1
    for column in columns:
        least, most = int(column.min()), int(column.max())
        width = most - least + 1
        if width == 1:
            continue
        if span * width >= WIDEST:
            codes, firsts = numbered(codes)
            span = len(firsts)
            if span * width >= WIDEST:
                column, of_column = numbered(column)
                least, width = 0, len(of_column)
        codes = codes * width + (column - least)
        span *= width
    return numbered(codes)


def numbered(values: Numbers) -> tuple[Numbers, Numbers]:
    """Number the distinct values of an array in the order they come: the number of each, and the first of each."""
    if values.min() == values.max():
        return np.zeros(len(values), dtype=np.int64), np.zeros(1, dtype=np.int64)
    numbers = pa.array(values).dictionary_encode().indices.to_numpy().astype(np.int64)
    firsts = np.empty(int(numbers.max()) + 1, dtype=np.int64)
    # Backwards: what is written last stays.
    firsts[numbers[::-1]] = np.arange(len(numbers) - 1, -1, -1)
    return numbers, firsts

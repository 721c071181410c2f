"""Rows that come a few at a time into pieces of columns."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from .batches import BATCH_ROWS, Batch, UnreadableFile
from .streams import MIB

# What the texts of a piece take, at the most.
LARGEST = 16 * MIB


def gathered(batches: Iterable[Batch], batch_rows: int = BATCH_ROWS) -> Iterator[Batch]:
    """Yield batches of the same columns in larger pieces, of Arrow arrays.

    Raises what reading the batches raises, once the rows before it were yielded. Raises UnreadableFile for half a
    character, which nothing can store.
    """
    gathering = _Gathering()
    error: Exception | None = None
    try:
        for batch in batches:
            gathering.add(batch)
            if gathering.rows >= batch_rows or gathering.size >= LARGEST:
                yield gathering.taken()
    except Exception as raised:  # raised again below
        error = raised
    if gathering.rows:
        yield gathering.taken()
    if error is not None:
        raise error


class _Gathering:
    """The rows of the piece that is gathered."""

    def __init__(self) -> None:
        self.rows = 0
        self.size = 0
        self._lines: list[Any] = []
        self._columns: dict[str, list[Any]] = {}
        self._last: Batch | None = None

    def add(self, batch: Batch) -> None:
        arrays = {name: _array(name, values, batch.lines) for name, values in batch.columns.items()}
        for name, array in arrays.items():
            self._columns.setdefault(name, []).append(array)
            self.size += array.nbytes
        self._lines.append(np.asarray(batch.lines, dtype=np.int64))
        self.rows += len(batch.lines)
        self._last = batch

    def taken(self) -> Batch:
        """Return the piece, and begin another."""
        assert self._last is not None  # noqa: S101 (something was added)
        piece = Batch(
            lines=np.concatenate(self._lines).tolist(),
            columns={name: pa.concat_arrays(arrays) for name, arrays in self._columns.items()},
            bytes_read=self._last.bytes_read,
            unread=self._last.unread,
        )
        self.rows = self.size = 0
        self._lines, self._columns = [], {}
        return piece


def _array(name: str, texts: Sequence[str], lines: Sequence[int]) -> Any:
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError as error:
        raise UnreadableFile("A text has half a character in it.", line=lines[0], column=name) from error

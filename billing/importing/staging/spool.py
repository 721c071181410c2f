"""The rows of an import as they come, by columns, in a file without a name."""

import tempfile
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

    from ..converting import Converted

from ...readers.columns import AMOUNTS, QUANTITIES
from ...readers.dimensions import DIMENSIONS, HASH_BYTES
from ...readers.facts import FACTS

# The columns of a staged row; `month`, `attribution` and dimensions become keys when it is applied.
STAGED = ("row", "file_number", "month", "attribution", "state", *FACTS)

# So many rows are handed on at once: they become Python's own values, which take ten times as much.
TOGETHER = 16_384


class Spool:
    """Keeps rows as Arrow writes them, and gives them back in the order they came, as often as somebody asks.

    It takes a tenth of what a table takes to fill, and most rows are only ever needed once. The file has no name: it
    is gone with the process, however that ends.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        self._writer: Any = None
        # The states of rows that are held or decided otherwise than they came.
        self.doubted: dict[int, str] = {}

    def add(self, converted: "Converted") -> None:
        """Append a piece."""
        # It takes a while to load, and only who reads a file needs it.
        import pyarrow as pa

        batch = pa.RecordBatch.from_arrays(_arrays(converted), names=list(STAGED))
        if self._writer is None:
            self._file.seek(0, 2)
            self._writer = pa.ipc.new_stream(self._file, batch.schema)
        self._writer.write_batch(batch)

    def batches(self) -> Iterator["pa.RecordBatch"]:
        """Yield all rows, some thousands at a time, with the columns of STAGED and the states they have by now."""
        import pyarrow as pa

        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if not self._file.tell():
            return
        self._file.seek(0)
        doubted = np.array(sorted(self.doubted), dtype=np.int64)
        for batch in pa.ipc.open_stream(self._file):
            for start in range(0, len(batch), TOGETHER):
                yield self._decided(batch.slice(start, TOGETHER), doubted)

    def _decided(self, batch: "pa.RecordBatch", doubted: Any) -> "pa.RecordBatch":
        import pyarrow as pa

        first = int(batch.column("row")[0].as_py())
        start, end = np.searchsorted(doubted, (first, first + len(batch))).tolist()
        if start == end:
            return batch
        states = batch.column("state").to_pylist()
        for row in doubted[start:end].tolist():
            states[row - first] = self.doubted[row]
        return batch.set_column(STAGED.index("state"), "state", pa.array(states, pa.string()))

    def close(self) -> None:
        self._writer = None
        self._file.close()


def numbers_of(batch: "pa.RecordBatch", name: str) -> Any:
    """Return a column of whole numbers, none of which is missing."""
    return batch.column(name).to_numpy(zero_copy_only=False)


def hashes_of(batch: "pa.RecordBatch", name: str) -> bytes:
    """Return a column of hashes, one after the other."""
    column = batch.column(name)
    _, data = column.buffers()
    start = column.offset * HASH_BYTES
    return bytes(data[start : start + len(column) * HASH_BYTES])


def values_of(batch: "pa.RecordBatch", name: str) -> list[Any]:
    """Return a column as Python's own values."""
    import pyarrow as pa

    column = batch.column(name)
    if pa.types.is_integer(column.type) and not column.null_count:
        values: list[Any] = numbers_of(batch, name).tolist()
        return values
    return list(column.to_pylist())


def _arrays(converted: "Converted") -> Sequence["pa.Array"]:
    """Return rows as Arrow arrays, in the order of STAGED."""
    import pyarrow as pa

    said = converted.said
    size = len(converted.rows)
    first = converted.rows.start
    none = pa.nulls(size, pa.int64())

    def hashes(together: bytes) -> "pa.Array":
        return pa.Array.from_buffers(pa.binary(HASH_BYTES), size, [None, pa.py_buffer(together)])

    def numbers(values: Any, kind: "pa.DataType") -> "pa.Array":
        return pa.array(np.asarray(values), kind)

    def amounts(name: str) -> "pa.Array":
        amount = said.amounts.get(name)
        return none if amount is None else pa.array(amount.units, pa.int64(), mask=amount.missing)

    return [
        pa.array(np.arange(first, first + size, dtype=np.int64)),
        numbers(converted.file_numbers, pa.int32()),
        numbers(converted.months, pa.int32()),
        numbers(converted.attributed, pa.int32()),
        pa.array(converted.states, pa.string()),
        numbers(said.lines, pa.int64()),
        hashes(said.contents),
        hashes(said.identities),
        numbers(said.starts, pa.int64()),
        numbers(said.ends, pa.int64()),
        pa.array(said.currencies.column(), pa.string()),
        *map(amounts, AMOUNTS),
        *(numbers(said.numbers[name], pa.int64()) for name in DIMENSIONS),
        *(pa.array(said.quantities[name], pa.string()) for name in QUANTITIES),
        numbers(said.counts, pa.int64()),
    ]

"""The records of a month in the files that usage was reduced to, read block by block."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import BillingError
from . import cutting
from .aside import BLOCK
from .records import Shape, in_blocks


class RecordsOfFiles:
    """The records of a month in files, read anew each time somebody asks: each once, and cut to the month.

    Which of them stand is found out once, by way of the folder `scratch`. Raises BillingError where a file lacks a
    column.
    """

    def __init__(self, paths: Sequence[Path], shape: Shape, begin: int, end: int, scratch: Path) -> None:
        self.paths, self.shape, self.begin, self.end = paths, shape, begin, end
        count = sum(pq.read_metadata(path).num_rows for path in paths)
        self._stands = cutting.standing_rows(read(paths, shape, ("id", "start", "end")), count, scratch)

    def blocks(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield the records, as `Records` says."""
        names = self.shape.schema.names if columns is None else list(columns)
        return in_blocks(self._cut(names))

    def _cut(self, names: Sequence[str]) -> Iterator[pa.Table]:
        row = 0
        yield schema_of(self.shape, names).empty_table()
        for table in read(self.paths, self.shape, list(dict.fromkeys([*names, "start", "end"]))):
            stands = self._stands[row : row + table.num_rows]
            row += table.num_rows
            table = table if stands.all() else table.filter(pa.array(stands))
            yield cutting.within(table, self.shape, self.begin, self.end).select(names)


def read(paths: Sequence[Path], shape: Shape, names: Sequence[str]) -> Iterator[pa.Table]:
    """Yield columns of all records of files, in blocks. Raises BillingError where a file lacks one of its shape.

    Where each file is whole, those that a later file took the place of are left out.
    """
    for table, is_gone in _with_gone(paths, shape, names):
        yield table.filter(pa.array(~is_gone)) if is_gone.any() else table


def gone(paths: Sequence[Path], shape: Shape, begin: int, end: int) -> int:
    """Return how many records that begin in a time are gone, as later files of that time do not have them."""
    if not shape.are_whole:
        return 0
    there: set[tuple[str, int]] = set()
    left: set[tuple[str, int]] = set()
    for table, is_gone in _with_gone(paths, shape, ("id", "start")):
        starts = table["start"].to_numpy()
        for known, those in ((there, is_gone), (left, ~is_gone)):
            some = table.filter(pa.array(those & (starts >= begin) & (starts < end)))
            known.update(zip(some["id"].to_pylist(), some["start"].to_pylist(), strict=True))
    return len(there - left)


def _with_gone(paths: Sequence[Path], shape: Shape, names: Sequence[str]) -> Iterator[tuple[pa.Table, Any]]:
    """Yield blocks of records, and of each record whether a later file took its place."""
    spans = [_span(path) for path in paths] if shape.are_whole and len(paths) > 1 else []
    asked = list(dict.fromkeys([*names, "start"])) if spans else list(names)
    for place, path in enumerate(paths):
        for table in _blocks(path, shape, asked):
            is_gone = np.zeros(table.num_rows, dtype=bool)
            for first, last in spans[place + 1 :]:
                starts = table["start"].to_numpy()
                is_gone |= (starts >= first) & (starts <= last)
            yield table.select(list(names)), is_gone


def _span(path: Path) -> tuple[int, int]:
    """Return when the first and the last record of a file begin; of none, a time that holds nothing."""
    starts = pq.read_table(path, columns=["start"])["start"].to_numpy()
    return (int(starts.min()), int(starts.max())) if len(starts) else (1, 0)


def _blocks(path: Path, shape: Shape, names: Sequence[str]) -> Iterator[pa.Table]:
    schema = schema_of(shape, names)
    with pq.ParquetFile(path) as file:
        missing = [name for name in shape.schema.names if name not in file.schema_arrow.names]
        if missing:
            raise BillingError(
                f"Usage that was read before lacks {', '.join(missing)}: the feed's settings changed since. "
                "Withdraw its files and read them again."
            )
        for batch in file.iter_batches(BLOCK, columns=list(names)):
            yield pa.Table.from_batches([batch]).select(names).cast(schema)


def schema_of(shape: Shape, names: Sequence[str]) -> pa.Schema:
    """Return the schema of some columns of records."""
    return pa.schema([shape.schema.field(name) for name in names])

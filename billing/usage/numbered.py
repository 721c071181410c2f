"""Rows of records by the numbers of what they are about, so that they are ordered and added up as columns."""

import datetime
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..readers.coded import coded, combined

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Texts:
    """What numbered things are called: for each number, the texts of some columns. They are in the order of these."""

    names: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def column(self, name: str) -> list[str]:
        place = self.names.index(name)
        return [row[place] for row in self.rows]

    def columns_of(self, numbers: Numbers) -> dict[str, pa.Array]:
        """Return each column as an Arrow array of texts, for rows of these numbers."""
        places = pa.array(numbers)
        return {name: pa.array(self.column(name), pa.string()).take(places) for name in self.names}


def numbered(table: pa.Table, names: tuple[str, ...]) -> tuple[Numbers, Texts]:
    """Number the combinations of columns of texts in the order of these texts: whatever the order of the rows."""
    if not table.num_rows:
        return np.zeros(0, dtype=np.int64), Texts(names, [])
    columns = [coded(table[name]) for name in names]
    numbers, firsts = combined([column.codes for column in columns])
    rows = list(zip(*(column.at(firsts) for column in columns), strict=True))
    order = sorted(range(len(rows)), key=rows.__getitem__)
    ranks = np.empty(len(rows), dtype=np.int64)
    ranks[order] = np.arange(len(rows))
    return ranks[numbers], Texts(names, [rows[number] for number in order])


def ends_of_runs(*columns: Numbers) -> npt.NDArray[np.bool_]:
    """Tell of each row whether the next one differs in one of the columns, as the last one does."""
    differs = np.ones(len(columns[0]), dtype=np.bool_)
    if len(differs):
        differs[:-1] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return differs


def sums_of_runs(values: Numbers, begins: Numbers) -> Numbers:
    """Add up the runs that begin at these rows; raises OverflowError for sums beyond 64 bits."""
    if not len(begins):
        return values[:0]
    longest = int(np.diff(begins, append=len(values)).max())
    if int(values.max()) > np.iinfo(np.int64).max // longest:
        raise OverflowError("The sum is larger than a record can hold.")
    return np.add.reduceat(values, begins)


def table_of(columns: dict[str, Any], schema: pa.Schema) -> pa.Table:
    """Make a table of a schema from numbers and from texts."""
    arrays = [pa.array(columns[each.name]) for each in schema]
    return pa.table(
        [
            (array.dictionary_encode() if pa.types.is_dictionary(each.type) else array).cast(each.type)
            for array, each in zip(arrays, schema, strict=True)
        ],
        schema=schema,
    )


def midnight(day: datetime.date, zone: ZoneInfo) -> int:
    """Return when a day begins in a zone, in seconds since 1970."""
    return int(datetime.datetime.combine(day, datetime.time(), zone).timestamp())


def some_of(notes: list[str], most: int = 20) -> list[str]:
    """Return the first of many sentences, with how many there are beside."""
    return notes if len(notes) <= most else [*notes[:most], f"And {len(notes) - most:,} more like these."]

"""Records of usage: what a reader makes of a file, reduced to what is charged for.

A record says how much of what was used, by whom, and when. Records are columns of an Arrow table, in two shapes:

- *amounts* add up over their time from `start` to `end`: the core-seconds of a job, the tokens of a call
- *levels* hold at the moment `start`, and `end` is the same: the bytes of a volume, the seats of a license

Every measure is a whole number of its base unit, so that sums are exact and no order of adding changes them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from .aside import BLOCK

TEXT = pa.dictionary(pa.int32(), pa.string())

# What every record has. Times are seconds since 1970 in UTC.
COMMON = (
    # What tells it from every other record of its feed, with `start`: a job's number, the path of a volume.
    pa.field("id", pa.string(), nullable=False),
    pa.field("start", pa.int64(), nullable=False),
    pa.field("end", pa.int64(), nullable=False),
    # Who is charged: the account, team, namespace or owner that the system knows, and its user. Either may be empty.
    pa.field("account", TEXT, nullable=False),
    pa.field("user", TEXT, nullable=False),
    # What is charged for, as FOCUS ResourceId: cluster/partition, file system, model.
    pa.field("resource", TEXT, nullable=False),
    # Why nobody is charged for it: failed, preempted, internal; empty where somebody is.
    pa.field("free", TEXT, nullable=False),
)


@dataclass(frozen=True)
class Measure:
    """Something that is counted: a column of whole numbers, and the units it is priced and shown in.

    `units` maps the name of a unit to how many base units it has: `core-hour` has 3,600 core-seconds.
    """

    name: str
    units: dict[str, int]


@dataclass(frozen=True)
class Shape:
    """What the records of one kind of usage have beside what all have."""

    attributes: tuple[str, ...]
    measures: tuple[Measure, ...]
    are_levels: bool = False
    # A file has all records that begin from its first to its last: what earlier files have of that time is gone.
    are_whole: bool = False

    @property
    def schema(self) -> pa.Schema:
        return pa.schema(
            [
                *COMMON,
                *(pa.field(name, TEXT, nullable=False) for name in self.attributes),
                *(pa.field(measure.name, pa.int64(), nullable=False) for measure in self.measures),
            ]
        )

    def measure(self, name: str) -> Measure:
        """Return a measure by its name; raises KeyError."""
        return {measure.name: measure for measure in self.measures}[name]


class Records(Protocol):
    """The records of a month, each once and cut to it."""

    def blocks(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield them, or these columns of them, each time in the same order and in blocks of the same sizes.

        Every block has `BLOCK` rows but the last one, and there is at least one.
        """


@dataclass(frozen=True)
class RecordsInMemory:
    """Records of one table."""

    table: pa.Table
    size: int = BLOCK

    def blocks(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        table = self.table if columns is None else self.table.select(list(columns))
        return in_blocks([table], self.size)


def in_blocks(tables: Iterable[pa.Table], size: int = BLOCK) -> Iterator[pa.Table]:
    """Yield the rows of tables of one schema, of which there is at least one, in blocks."""
    waiting: list[pa.Table] = []
    count, has_any = 0, False
    for table in tables:
        waiting.append(table)
        count += table.num_rows
        while count >= size:
            whole = pa.concat_tables(waiting)
            yield _plain(whole[:size])
            waiting, count, has_any = [whole[size:]], count - size, True
    if count or not has_any:
        yield _plain(pa.concat_tables(waiting))


def _plain(table: pa.Table) -> pa.Table:
    return table.unify_dictionaries().combine_chunks()

"""Records of usage: what a reader makes of a file, reduced to what is charged for.

A record says how much of what was used, by whom, and when. Records are columns of an Arrow table, in two shapes:

- *amounts* add up over their time from `start` to `end`: the core-seconds of a job, the tokens of a call
- *levels* hold at the moment `start`, and `end` is the same: the bytes of a volume, the seats of a license

Every measure is a whole number of its base unit, so that sums are exact and no order of adding changes them.
"""

from dataclasses import dataclass

import pyarrow as pa

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

"""What a reader of usage is: one kind of file in, batches of records out."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...readers import FileError
from ..records import Shape

# Records of a batch, at the most.
BATCH_RECORDS = 32_768


class BadSettings(FileError):
    """A feed is set up in a way that its reader cannot read by."""


@dataclass
class Tally:
    """What a reader counts while it reads: lines, records, and what became no record and why.

    `notes` are sentences for a person: gaps of readings, columns that were dropped.
    """

    lines: int = 0
    records: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Kind:
    """A kind of usage file.

    `settings` makes the reader's own settings of a feed's JSON, or raises BadSettings. `read` takes a path, the name
    the file came by, the settings, and a Tally to count in. It yields batches of `shape(settings).schema` in constant
    memory, and raises FileError with the line and column of what it cannot read: then nothing of the file is kept.
    """

    name: str
    label: str
    settings: Callable[[Mapping[str, Any]], Any]
    shape: Callable[[Any], Shape]
    read: Callable[[Path, str, Any, Tally], Iterator[pa.RecordBatch]]
    # Its files may not say when they were written, so that the same content under another name is another reading.
    takes_time_from_name: bool = False
    # FOCUS ServiceCategory of what it charges for.
    service_category: str = "Other"

"""What a reader understood of its rows into batches of records, and what it did not into one error."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

import pyarrow as pa

from ...readers import FileError, Problem
from ...readers.batches import MAX_PROBLEMS
from ...readers.values import BadValue
from ..records import Shape
from .gathering import batch_of
from .kinds import BATCH_RECORDS, Tally

# A record as its shape has it, field by field; None where a row is no use of anything.
Record = tuple[Any, ...]


class Row(Protocol):
    """A row of a file, with the line it begins on, and what else is to be said of where it is."""

    @property
    def line(self) -> int: ...

    @property
    def place(self) -> str: ...


Each = TypeVar("Each", bound=Row)


@dataclass
class Understanding(Generic[Each]):
    """Turns rows into records by `convert`, which raises FileError or BadValue for a row that it does not understand.

    Iterating yields batches of the shape. Once a row is not understood, the others are only looked at for what else is
    wrong, and the first hundred problems are raised together.
    """

    shape: Shape
    rows: Iterable[Each]
    convert: Callable[[Each], Record | None]
    tally: Tally
    problems: list[Problem] = field(default_factory=list)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        schema = self.shape.schema
        records: list[Record] = []
        for row in self.rows:
            self.tally.lines += 1
            record = self._understood(row)
            if record is None:
                continue
            records.append(record)
            if len(records) == BATCH_RECORDS:
                yield batch_of(zip(*records, strict=True), schema, self.tally)
                records = []
        if self.problems:
            raise FileError(self.problems)
        if records:
            yield batch_of(zip(*records, strict=True), schema, self.tally)

    def _understood(self, row: Each) -> Record | None:
        try:
            record = self.convert(row)
        except (FileError, BadValue) as error:
            found = error.problems if isinstance(error, FileError) else [Problem(str(error))]
            self.problems += [replace(each, line=row.line, message=f"{row.place}{each.message}") for each in found]
            if len(self.problems) >= MAX_PROBLEMS:
                raise FileError(self.problems[:MAX_PROBLEMS]) from None
            return None
        return None if self.problems else record

"""What every reader yields: some thousand rows of one file, column by column, with their lines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import BillingError

# Rows of a piece, at the most: enough that texts repeat within it, and few enough for the memory.
BATCH_ROWS = 32_768
MAX_PROBLEMS = 100


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a file, and where: lines and columns as a text editor counts them.

    `file` is named where it is not plain which one is being read.
    """

    message: str
    line: int | None = None
    column: str | None = None
    file: str = ""

    def __str__(self) -> str:
        place = ", ".join(
            part
            for part in (f"line {self.line}" if self.line else "", f"column {self.column}" if self.column else "")
            if part
        )
        return ": ".join(filter(None, (self.file, place, self.message)))


class FileError(BillingError):
    """A file that cannot become charges, with every problem found (the first hundred)."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems[:3]))


class UnreadableFile(FileError):
    """A file that is not what its reader reads: missing, empty, another format or encoding."""

    def __init__(self, message: str, line: int | None = None, column: str | None = None) -> None:
        super().__init__([Problem(message, line, column)])


@dataclass(frozen=True)
class Batch:
    """A piece of a file: some of its rows, column by column.

    `columns` maps FOCUS column names to texts as delivered, one per row: a sequence, or an Arrow array of texts or of
    a dictionary of texts. Numbers of a parquet file come as they are stored, for which `texts` gives what CSV would
    hold. `lines` says where each row is found
    again: the line it begins on in a text, the row number a spreadsheet shows, and the number of the
    row, counted from 1, in a parquet file, which has no header row. `bytes_read` tells how far into the
    file (as packed) this piece ends. `unread` are the headings of columns that look like money and are not read.
    """

    lines: Sequence[int]
    columns: Mapping[str, Any]
    bytes_read: int
    # Where rows were added up: how many each stands for, and the file its first one is in.
    counts: Sequence[int] | None = None
    file_numbers: Sequence[int] | None = None
    unread: tuple[str, ...] = ()

    def texts(self, name: str) -> list[str]:
        """Return a column as texts, row by row."""
        values = self.columns[name]
        if isinstance(values, list | tuple):
            return list(values)
        # Arrow takes a while to load: only files need it.
        from .arrow_texts import text_column

        texts: list[str] = text_column(name, values).to_pylist()
        return texts

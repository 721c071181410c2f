"""Lists kept elsewhere and loaded as CSV or Excel: all of a file, or nothing with the lines that are wrong."""

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import IO, Any

from ..errors import BillingError
from ..readers import UnreadableFile
from ..readers.cells import Kind
from ..readers.tables import read_table

# What is told of a file with more mistakes than anybody reads.
SHOWN = 50
# The same on a page of its own.
TOLD = 200


@dataclass(frozen=True)
class LineError:
    """What is wrong on a line of the list."""

    line: int
    column: str
    message: str

    def __str__(self) -> str:
        return (
            f"line {self.line}, {self.column}: {self.message}" if self.column else f"line {self.line}: {self.message}"
        )


class ListRefused(BillingError):
    """A list that cannot be loaded; `errors` says why, line by line, and nothing was stored."""

    nothing = "Nothing was loaded."

    def __init__(self, errors: list[LineError], said: str = "") -> None:
        self.errors = errors
        more = len(errors) - SHOWN
        lines = [str(error) for error in errors[:SHOWN]] + ([f"… and {more:,} more"] if more > 0 else [])
        super().__init__("\n".join([said or self.nothing, *lines]))

    @property
    def result(self) -> dict[str, Any]:
        """What a job that was refused this list keeps for its page."""
        errors = [{"line": each.line, "column": each.column, "message": each.message} for each in self.errors]
        return {"errors": errors[:TOLD]}


def read_list(
    file: IO[bytes], *, columns: Mapping[str, Kind], refused: type[ListRefused]
) -> list[tuple[int, dict[str, str]]]:
    """Return the lines of a CSV or .xlsx file by their numbers, each with its trimmed cells by column.

    The first of `columns` is a must. Raises `refused`, also for what a spreadsheet made of a code.
    """
    try:
        table = read_table(file, kinds=columns, heading=_heading)
    except UnreadableFile as error:
        problem = error.problems[0]
        errors = [LineError(problem.line, "", problem.message)] if problem.line else []
        raise refused(errors, refused.nothing if errors else problem.message) from error
    headings, (first, *_) = table.headings, columns
    if first not in headings:
        raise refused([], f"The file has no column {first}. Its columns may be: {', '.join(columns)}.")
    if unknown := sorted(set(headings) - set(columns) - {""}):
        raise refused([], f"Unknown columns: {', '.join(unknown)}. There may be: {', '.join(columns)}.")
    if doubled := sorted({name for name in headings if name and headings.count(name) > 1}):
        raise refused([], f"The file has the column {', '.join(doubled)} twice. Remove one of them.")
    errors = [LineError(each.line or 0, each.column or "", each.message) for each in table.problems]
    errors += [
        LineError(number, "", "has more cells than the first line has columns")
        for number, cells in table.lines
        if len(cells) > len(headings)
    ]
    if errors:
        raise refused(sorted(errors, key=lambda error: error.line))
    return [
        (number, {name: cell for name, cell in zip_longest(headings, cells, fillvalue="") if name})
        for number, cells in table.lines
    ]


def _heading(text: str) -> str:
    """Return the column that a heading such as “Fund/Org” or “E-mail” means."""
    return re.sub(r"[/ -]", "_", text.strip().casefold().replace("e-mail", "email"))


def day_of(text: str) -> datetime.date | None:
    """Return the day a cell says, None for an empty one; raise ValueError with what is wrong."""
    try:
        return datetime.date.fromisoformat(text) if text else None
    except ValueError:
        raise ValueError(f"“{text}” is not a date such as 2025-06-30") from None

"""Lists kept elsewhere and loaded as CSV or Excel: all of a file, or nothing with the lines that are wrong."""

import datetime
import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from types import MappingProxyType
from typing import IO, Any, ClassVar, Generic, TypeVar

from django.db.models import Model

from .. import audit
from ..audit.snapshots import differences, snapshot
from ..errors import BillingError, PreviewOutdated
from ..readers import UnreadableFile
from ..readers.cells import Kind
from ..readers.tables import read_table
from . import releasing

Listed = TypeVar("Listed", bound=Model)

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


def digest_of(planned: object) -> str:
    """Return what is equal as long as a list would do the same."""
    return hashlib.sha256(repr(planned).encode()).hexdigest()


def require_as_shown(digest: str, expected: str) -> None:
    """Raise PreviewOutdated where a list was shown to do something else; `expected` is "" where nobody was shown."""
    if expected and digest != expected:
        raise PreviewOutdated(
            "Nothing was loaded: somebody changed meanwhile what this file is compared with. Look at the new preview."
        )


@dataclass(frozen=True)
class Loaded:
    """What a list changed, or would. What it does not name stays as it is."""

    # What it lists: one, and several.
    NOUNS: ClassVar[tuple[str, str]]

    added: int
    changed: int
    unchanged: int
    # Held charges that the list answers.
    released: int = 0
    is_dry_run: bool = False
    # Of what it would do; see `digest_of`.
    digest: str = field(default="", compare=False)

    @property
    def nouns(self) -> tuple[str, str]:
        return self.NOUNS

    def __str__(self) -> str:
        will = "would be " if self.is_dry_run else ""
        one, several = self.nouns
        text = (
            f"{self.added:,} {one if self.added == 1 else several} {will}added, {self.changed:,} {will}changed, "
            f"{self.unchanged:,} stay as they are."
        )
        return f"{text} {releasing.told(self.released)}".strip()


@dataclass
class Loading(Generic[Listed]):
    """What the lines of a list make of what is stored: what is new, what changes, and what is wrong."""

    errors: list[LineError] = field(default_factory=list)
    added: list[Listed] = field(default_factory=list)
    # Each with its fields as they were.
    changed: list[tuple[Listed, dict[str, Any]]] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)

    @property
    def unchanged(self) -> int:
        return len(self.lines) - len(self.added) - len(self.changed)

    @property
    def counts(self) -> dict[str, int]:
        """How many are new and changed, for the event of the list."""
        return {"added": len(self.added), "changed": len(self.changed)}

    @property
    def digest(self) -> str:
        """What is equal as long as the list would do the same; see `digest_of`."""
        changed = [(each.pk, before, snapshot(each, with_links=False)) for each, before in self.changed]
        return digest_of(([snapshot(each, with_links=False) for each in self.added], changed))

    def refuse(self, line: int, column: str, message: str) -> None:
        """Note what is wrong on a line."""
        self.errors.append(LineError(line, column, message))

    def day(self, line: int, row: Mapping[str, str], column: str) -> datetime.date | None:
        """Return the day in a cell; note what is wrong with it."""
        try:
            return day_of(row[column])
        except ValueError as error:
            self.refuse(line, column, str(error))
            return None

    def is_first(self, line: int, column: str, *, key: str, name: str) -> bool:
        """Tell whether no line before named the same; note it otherwise."""
        if key in self.lines:
            self.refuse(line, column, f"{name} is on line {self.lines[key]} already")
            return False
        self.lines[key] = line
        return True

    def fill(
        self,
        line: int,
        subject: Listed,
        values: Mapping[str, object],
        *,
        wrong: Callable[[Listed], Iterable[tuple[str, str]]],
        is_linked_anew: bool = False,
    ) -> None:
        """Give an object the values of its line; `wrong` says what it must not have, by column."""
        before = snapshot(subject, with_links=False)
        for name, value in values.items():
            setattr(subject, name, value)
        for column, message in wrong(subject):
            self.refuse(line, column, message)
        if subject.pk is None:
            self.added.append(subject)
        elif is_linked_anew or snapshot(subject, with_links=False) != before:
            self.changed.append((subject, before))

    def require_right(self, refused: type[ListRefused]) -> None:
        """Raise `refused` with all that is wrong, in the order of the lines."""
        if self.errors:
            raise refused(sorted(self.errors, key=lambda error: error.line))

    def record(
        self,
        gesture: audit.Gesture,
        *,
        kind: str,
        links: Callable[[Listed], tuple[dict[str, Any], dict[str, Any]]] = lambda _: ({}, {}),
    ) -> None:
        """Record an event for each object; `links` are what changed beside its fields."""
        for subject in self.added:
            gesture.record(f"{kind}.added", subject, after=snapshot(subject, with_links=False))
        for subject, before in self.changed:
            old, new = differences(before, snapshot(subject, with_links=False))
            links_before, links_after = links(subject)
            gesture.record(f"{kind}.changed", subject, before=old | links_before, after=new | links_after)


class _Kinds(dict[str, Kind]):
    """The kinds of columns, with one for all that are not named."""

    def __init__(self, named: Mapping[str, Kind], others: Kind) -> None:
        super().__init__(named)
        self._others = others

    def get(self, name: str, default: object = None) -> Kind:
        return super().get(name, self._others)


def read_list(
    file: IO[bytes],
    *,
    columns: Mapping[str, Kind],
    others: Kind | None = None,
    refused: type[ListRefused],
    nobody: str,
    stored: Mapping[str, Collection[str]] = MappingProxyType({}),
    keys: int = 1,
) -> list[tuple[int, dict[str, str]]]:
    """Return the lines of a CSV or .xlsx file by their numbers, each with its trimmed cells by column.

    The first `keys` of `columns` are a must. Further columns are of the kind `others`, or refused. What is `stored` of
    a column is right as it is. Raises `refused`, also for what a spreadsheet made of a code, and, saying `nobody`, for
    a file without lines.
    """
    try:
        kinds = _Kinds(columns, others) if others else columns
        table = read_table(file, kinds=kinds, heading=_heading, stored=stored)
    except UnreadableFile as error:
        problem = error.problems[0]
        errors = [LineError(problem.line, "", problem.message)] if problem.line else []
        raise refused(errors, refused.nothing if errors else problem.message) from error
    headings = table.headings
    for name in [name for name in list(columns)[:keys] if name not in headings]:
        raise refused([], f"The file has no column {name}. Its columns may be: {', '.join(columns)}.")
    if not others and (unknown := sorted(set(headings) - set(columns) - {""})):
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
    if not table.lines:
        raise refused([], nobody)
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

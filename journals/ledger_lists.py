"""Lists of the ledger: a file names some, each is replaced as a whole, and every version is kept.

A kind of list says what its files have and what its rows are called; all else is the same for all kinds.
"""

import datetime
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from django.db.models import F, Max, QuerySet

from billing import audit
from billing.audit import Actor
from billing.errors import BillingError
from billing.setup.lists import LineError, ListRefused, day_of, digest_of, require_as_shown
from billing.texts import code_of, odd_characters, quoted

from .models.ledger_lists import DatedRow, ListVersion
from .spans import Span, overlap

BATCH = 2_000
# Rows that a preview names.
NAMED = 20


class UnknownList(BillingError):
    """There is no list of this name."""


@dataclass(frozen=True)
class Line:
    """A row as a file or the database has it: what it is found by, as people read it, its days and its fields."""

    told: str
    span: Span
    fields: Mapping[str, Any]


@dataclass
class Content:
    """A list as a file or the database has it, with what its version says beside its rows."""

    lines: list[Line] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)

    def by_told(self) -> dict[str, dict[Span, Mapping[str, Any]]]:
        found: dict[str, dict[Span, Mapping[str, Any]]] = defaultdict(dict)
        for each in self.lines:
            found[each.told][each.span] = each.fields
        return found


@dataclass(frozen=True)
class Replaced:
    """What a file changed of one list, by what its rows are found by."""

    name: str
    rows: int
    # What a row is called: one, and several.
    nouns: tuple[str, str]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def changes(self) -> dict[str, tuple[str, ...]]:
        return {"added": self.added, "removed": self.removed, "changed": self.changed}

    def __str__(self) -> str:
        counts = ", ".join(f"{len(told):,} {verb}" for verb, told in self.changes.items())
        return f"{self.name}: {self.rows:,} {self.nouns[self.rows != 1]} ({counts})"


@dataclass(frozen=True)
class LoadedLists:
    """What a file changed, list by list. Lists that it does not name stay as they are."""

    lists: tuple[Replaced, ...]
    is_dry_run: bool = False
    between: str = ", "

    @property
    def digest(self) -> str:
        """What is equal as long as the file would do the same."""
        return digest_of(self.lists)

    def __str__(self) -> str:
        verb = "Would replace" if self.is_dry_run else "Replaced"
        return f"{verb} {'; '.join(map(str, self.lists))}."

    @property
    def examples(self) -> list[str]:
        """What a preview names of each list."""
        found = []
        for each in self.lists:
            for verb, told in (("adds", each.added), ("removes", each.removed), ("changes", each.changed)):
                if told:
                    more = f" and {len(told) - NAMED:,} more" if len(told) > NAMED else ""
                    found.append(f"{each.name} {verb} {self.between.join(told[:NAMED])}{more}")
        return found


class Reading:
    """The lists that a file has, as they are read, and all that is wrong with it."""

    def __init__(self) -> None:
        self.lists: dict[str, Content] = defaultdict(Content)
        self.errors: list[LineError] = []
        self._days: dict[tuple[str, str], list[tuple[int, Span]]] = defaultdict(list)

    def refuse(self, line: int, column: str, message: str) -> None:
        """Note what is wrong on a line."""
        self.errors.append(LineError(line, column, message))

    def code(self, line: int, column: str, text: str, *, length: int, is_must: bool = True) -> str:
        """Return the code in a cell; note what is wrong with it."""
        code = code_of(text)
        if is_must and not code:
            self.refuse(line, column, "is empty")
        elif odd := odd_characters(code):
            self.refuse(line, column, f"{quoted(text)}: {odd}")
        elif len(code) > length:
            self.refuse(line, column, f"has more than {length} characters")
        return code

    def take(
        self,
        name: str,
        line: int,
        row: Mapping[str, str],
        *,
        column: str,
        told: str,
        is_whole: bool,
        fields: Mapping[str, Any],
    ) -> None:
        """Take a row into a list; note where another is found by the same, which is in `column`, on a day of its own.

        A row is not whole where a part is empty of what it is found by.
        """
        span = self._span(line, row)
        days = self._days[name, told]
        if is_whole and (other := next((number for number, of in days if overlap(span, of)), None)):
            self.refuse(line, column, f"{told} is on line {other} already, for days that overlap")
        days.append((line, span))
        self.lists[name].lines.append(Line(told, span, fields))

    def require_right(self, refused: type[ListRefused]) -> None:
        """Raise `refused` with all that is wrong, in the order of the lines."""
        if self.errors:
            raise refused(sorted(self.errors, key=lambda error: error.line))

    def _span(self, line: int, row: Mapping[str, str]) -> Span:
        days: list[datetime.date | None] = []
        for name in ("valid_from", "valid_until"):
            try:
                days.append(day_of(row.get(name, "")))
            except ValueError as error:
                self.refuse(line, name, str(error))
                days.append(None)
        first, last = days
        if first and last and last < first:
            self.refuse(line, "valid_until", "The last day is before the first.")
            return first, None
        return first, last


@dataclass(frozen=True)
class ListKind:
    """A kind of list: how its files are read, where it is kept, and what its rows are called."""

    versions: type[ListVersion]
    rows: type[DatedRow]
    # The fields of a row beside its days, and how people read what it is found by.
    fields: tuple[str, ...]
    told: Callable[[Mapping[str, Any]], str]
    read: Callable[[IO[bytes]], Reading]
    refused: type[ListRefused]
    # Of its events: `valid_values.loaded`.
    event: str
    # What the name of a list is called, in events and files; its rows: one, and several; the list before its name.
    what: str
    nouns: tuple[str, str]
    called: str
    # Between rows that a preview names.
    between: str = ", "

    def in_force(self) -> QuerySet[Any]:
        """Return the versions in force, one for each list."""
        return self.versions.objects.filter(replaced_at__isnull=True)

    def named(self, name: str) -> ListVersion:
        """Return the version of a list that is in force. Raises UnknownList."""
        found = self.in_force().filter(name=name).first()
        if found is None:
            names = ", ".join(self.in_force().values_list("name", flat=True))
            raise UnknownList(f"There is no {self.called} “{name}”. There are: {names or 'none yet'}.")
        return found

    def rows_of(self, version: ListVersion) -> QuerySet[Any]:
        """Return the rows of a version, by what they are found by and then by their days, alike on each database."""
        rows = self.rows.objects.filter(list=version)
        return rows.order_by(self.fields[0], F("valid_from").asc(nulls_first=True))

    def content_of(self, version: ListVersion | None) -> Content:
        """Return what a version says; nothing where there is none."""
        if version is None:
            return Content()
        rows = self.rows_of(version).values("valid_from", "valid_until", *self.fields)
        return Content(
            [
                Line(self.told(row), (row["valid_from"], row["valid_until"]), {name: row[name] for name in self.fields})
                for row in rows
            ]
        )


def load(
    kind: ListKind,
    *,
    file: IO[bytes],
    is_dry_run: bool = False,
    expected: str = "",
    actor: Actor,
    now: datetime.datetime,
) -> LoadedLists:
    """Replace each list that a CSV or Excel file names, as a whole.

    What rows are found by may be on several lines, for days that do not overlap. A dry run stores nothing; with
    `expected`, its digest, nothing is stored unless the file would do just that. Raises the kind's refusal with every
    mistake by line and column, and PreviewOutdated.
    """
    reading = kind.read(file)
    reading.require_right(kind.refused)
    with audit.gesture(actor=actor, now=now) as gesture:
        # Who loads at the same time takes turns.
        current = {each.name: each for each in kind.in_force().select_for_update(no_key=True)}
        done = []
        for name, content in reading.lists.items():
            before = current.get(name)
            replaced = _compared(kind, name, kind.content_of(before), content)
            done.append(replaced)
            if is_dry_run:
                continue
            made = _replace(kind, name, content, before, actor=actor, now=now)
            counts = {verb: len(told) for verb, told in replaced.changes.items()}
            after = {kind.what: name, "version": made.version, kind.nouns[1]: made.row_count, **counts}
            gesture.record(f"{kind.event}.loaded", made, after=after)
        loaded = LoadedLists(tuple(done), is_dry_run, kind.between)
        # What was written already is undone with the transaction.
        require_as_shown(loaded.digest, expected)
        return loaded


def remove(kind: ListKind, *, name: str, actor: Actor, now: datetime.datetime) -> ListVersion:
    """Have a list in force no more. Its versions are kept. Raises UnknownList."""
    with audit.gesture(actor=actor, now=now) as gesture:
        found = kind.named(name)
        found.replaced_at = now
        found.save(update_fields=["replaced_at"])
        gesture.record(f"{kind.event}.removed", found, after={kind.what: name, "version": found.version})
        return found


def _compared(kind: ListKind, name: str, before: Content, after: Content) -> Replaced:
    old, new = before.by_told(), after.by_told()
    return Replaced(
        name,
        len(after.lines),
        kind.nouns,
        added=tuple(sorted(set(new) - set(old))),
        removed=tuple(sorted(set(old) - set(new))),
        changed=tuple(sorted(told for told in set(old) & set(new) if old[told] != new[told])),
    )


def _replace(
    kind: ListKind,
    name: str,
    content: Content,
    before: ListVersion | None,
    *,
    actor: Actor,
    now: datetime.datetime,
) -> ListVersion:
    if before:
        before.replaced_at = now
        before.save(update_fields=["replaced_at"])
    versions = kind.versions.objects
    latest = versions.filter(name=name).aggregate(latest=Max("version"))["latest"] or 0
    made: ListVersion = versions.create(
        name=name,
        version=latest + 1,
        row_count=len(content.lines),
        loaded_at=now,
        loaded_by=actor.user,
        loaded_by_name=actor.name,
        **content.fields,
    )
    rows: Any = kind.rows
    kind.rows.objects.bulk_create(
        (rows(list=made, valid_from=each.span[0], valid_until=each.span[1], **each.fields) for each in content.lines),
        batch_size=BATCH,
    )
    return made

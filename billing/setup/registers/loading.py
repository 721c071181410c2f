"""Loading a register: what each line makes of what is stored, shown first and then done, all of it or nothing."""

import datetime
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import IO, Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Model

from ... import audit
from ...audit import Actor
from ...audit.snapshots import differences, snapshot
from ...errors import PreviewOutdated
from ...models.typed import words_asked_once
from .. import releasing
from ..departments import lock_tree, told_of_new
from ..lists import Loaded, Loading, digest_of, read_list, require_as_shown
from .columns import NOT_SAID, Column, Known
from .kinds import Register, Stored

BATCH = 500
# Objects told in a preview, as many as a person reads on a page.
SHOWN = 200


@dataclass(frozen=True)
class Change:
    """What a line makes of an object: its columns, each as it was and as it will be; of a new one, what it says."""

    line: int
    name: str
    is_new: bool
    columns: tuple[tuple[str, str, str], ...]

    def __str__(self) -> str:
        if self.is_new:
            said = ", ".join(f"{column} {after}" for column, _, after in self.columns[1:])
            return f"line {self.line}: {self.name} is added{f' ({said})' if said else ''}"
        told = ", ".join(f"{column} {before or '–'} → {after or '–'}" for column, before, after in self.columns)
        return f"line {self.line}: {self.name}: {told}"

    def as_data(self) -> dict[str, Any]:
        columns = {column: {"before": before, "after": after} for column, before, after in self.columns}
        return {"line": self.line, "name": self.name, "new": self.is_new, "columns": columns}


@dataclass(frozen=True)
class LoadedRegister(Loaded):
    """What a list changed, or would. What it does not name stays as it is."""

    register: Register = field(kw_only=True, compare=False)
    changes: tuple[Change, ...] = field(default=(), compare=False)
    # Those that the list names for the first time.
    departments: tuple[str, ...] = ()

    @property
    def nouns(self) -> tuple[str, str]:
        return self.register.nouns

    @property
    def examples(self) -> tuple[str, ...]:
        """The first changes, for a terminal."""
        return tuple(str(each) for each in self.changes[:SHOWN])

    @property
    def plan(self) -> dict[str, Any]:
        """What a page shows: the first changes, and how many there are beyond them."""
        shown = [each.as_data() for each in self.changes[:SHOWN]]
        added, changed = ([each for each in shown if each["new"] is is_new] for is_new in (True, False))
        return {"added": added, "changed": changed, "more": len(self.changes) - len(shown)}

    def __str__(self) -> str:
        new = told_of_new(self.departments, is_dry_run=self.is_dry_run)
        return f"{super().__str__()} {new}".strip()


def load(
    register: Register,
    *,
    file: IO[bytes],
    is_dry_run: bool = False,
    expected: str = "",
    actor: Actor,
    now: datetime.datetime,
) -> LoadedRegister:
    """Add and change what a CSV or Excel file names, by the columns of a register.

    A column that the file lacks leaves that field as it is; an empty cell clears it. A cell that says what an export
    would write changes nothing. What the file does not name stays. Held charges that waited for it are released. A dry
    run stores nothing; with `expected`, its digest, nothing is stored unless the list would do just that.

    Raises the register's `refused` with every mistake by line and column, and PreviewOutdated.
    """
    with audit.gesture(actor=actor, now=now) as gesture, words_asked_once():
        work = _Work(register, _stored(register, is_locked=not is_dry_run))
        work.read(file)
        done = LoadedRegister(
            added=len(work.loading.added),
            changed=len(work.loading.changed),
            unchanged=work.loading.unchanged,
            is_dry_run=is_dry_run,
            register=register,
            changes=tuple(work.changes),
            departments=tuple(str(each) for each in work.new_departments),
            digest=digest_of((work.changes, [each.pk for each, _ in work.loading.changed])),
        )
        require_as_shown(done.digest, expected)
        if is_dry_run:
            return done
        try:
            with transaction.atomic():
                work.store(gesture)
        except IntegrityError as error:
            raise PreviewOutdated(
                "Nothing was loaded: somebody stored one of these at the same time. Load the file again."
            ) from error
        gesture.record(f"{register.name}.loaded", after=work.loading.counts)
        return replace(done, released=releasing.release(gesture=gesture).cleared) if register.releases else done


def _stored(register: Register, *, is_locked: bool) -> Stored:
    """Return what a register holds; who changes it at the same time waits, where this is to be changed."""
    if is_locked and register.is_of_departments:
        lock_tree()
    elif is_locked:
        locked = register.manager.select_for_update(no_key=True).order_by("pk")
        list(locked.values_list("pk", flat=True))
    return Stored(register, list(register.objects()))


class _Work:
    """The lines of a file, read one after the other into what they make of the objects."""

    def __init__(self, register: Register, stored: Stored) -> None:
        self.register = register
        self.stored = stored
        self.loading: Loading[Any] = Loading()
        self.known = Known(list(stored.objects) if register.is_of_departments else None)
        self.changes: list[Change] = []
        self._fields: dict[str, None] = {}
        self._wrong_lines: set[int] = set()
        # Each object with a column that links others, and what that had and is to have.
        self._links: list[tuple[Any, Column, Collection[Model], Collection[Model]]] = []

    @property
    def new_departments(self) -> list[Any]:
        return [] if self.register.is_of_departments else self.known.departments.added

    def read(self, file: IO[bytes]) -> None:
        """Read all lines. Raises the register's `refused`."""
        register, loading = self.register, self.loading
        rows = read_list(
            file,
            columns=register.kinds,
            refused=register.refused,
            nobody=register.nobody,
            stored={each.name: self.stored.texts(each.name) for each in register.columns},
            keys=register.keys,
        )
        # All that are new come first, for a line may name what a later one adds.
        found = [(line, row, self._subject(line, row)) for line, row in rows]
        for line, row, (subject, name) in found:
            self._fill(line, row, subject, name)
        if not loading.errors:
            register.check(loading, self.stored, self.known)
        loading.require_right(register.refused)

    def _subject(self, line: int, row: dict[str, str]) -> tuple[Any, str]:
        """Return what a line is about and how it is called; note what is wrong, and then the name is empty."""
        register = self.register
        new: Any = register.model()
        try:
            key, name, subject = register.find(row, self.known, self.stored)
        except ValueError as error:
            self._refuse(line, error.args[0], error.args[1])
            return new, ""
        if not self.loading.is_first(
            line, register.columns[0].name, key=f"line {line}" if key is None else str(key), name=name
        ):
            return new, ""
        if subject is None:
            for column in register.columns:
                if column.is_key and column.field:
                    self._set(line, row, new, column)
            register.introduce(new, self.known)
        return subject or new, name

    def _fill(self, line: int, row: dict[str, str], subject: Any, name: str) -> None:
        """Give an object what its line says."""
        register, is_new = self.register, subject.pk is None
        before, said = snapshot(subject, with_links=False), self.stored.said.get(subject.pk, {})
        changed = [
            column
            for column in register.columns
            if not (column.links or (column.is_key and (is_new or not register.cleans_keys)))
            and (column.name not in row or row[column.name] != said.get(column.name))
            and self._set(line, row, subject, column)
        ]
        names = {each.name for each in changed}
        linked = [
            column
            for column in register.columns
            if column.links
            and (row.get(column.name) != said.get(column.name) or names & column.links.depends_on)
            and self._link(line, row, subject, column)
        ]
        if not name:
            return
        checked = [*changed, *(each for each in register.columns if each.is_key and each.field and is_new)]
        # A line that is wrong already says so once.
        if checked and line not in self._wrong_lines:
            for column, message in self._wrong(subject, checked):
                self._refuse(line, column, message)
        told = [each for each in register.columns if each in changed or each in linked]
        if is_new:
            self.loading.added.append(subject)
            cells = [(each.name, "", each.text_of(subject)) for each in register.columns if not each.links]
            cells += [(each.name, "", self._words(subject, each)) for each in linked]
            self.changes.append(Change(line, name, True, tuple(cell for cell in cells if cell[2])))
        elif told:
            self.loading.changed.append((subject, before))
            self._fields |= dict.fromkeys(each.field for each in changed)
            texts = ((each, self._words(subject, each) if each.links else each.text_of(subject)) for each in told)
            columns = tuple((each.name, said[each.name], text) for each, text in texts)
            self.changes.append(Change(line, name, False, columns))

    def _set(self, line: int, row: dict[str, str], subject: Any, column: Column) -> bool:
        """Give an object the value of a cell; tell whether that is another. Notes what is wrong with it."""
        if column.name in row:
            try:
                value = column.read(row[column.name], self.known)
            except ValueError as error:
                self._refuse(line, column.name, str(error))
                return False
        elif column.absent is not NOT_SAID:
            value = column.absent
        else:
            return False
        if getattr(subject, column.field, None) == value:
            return False
        setattr(subject, column.field, value)
        return True

    def _link(self, line: int, row: dict[str, str], subject: Any, column: Column) -> bool:
        links = column.links
        assert links is not None
        if column.name not in row:
            return False
        try:
            chosen = links.read(row[column.name], self.known)
        except ValueError as error:
            self._refuse(line, column.name, str(error))
            return False
        had = links.of(subject) if subject.pk else []
        if set(had) == set(chosen):
            return False
        if wrong := links.wrong(subject, [each for each in chosen if each not in had]):
            self._refuse(line, column.name, wrong)
        self._links.append((subject, column, had, chosen))
        return True

    def _refuse(self, line: int, column: str, message: str) -> None:
        self._wrong_lines.add(line)
        self.loading.refuse(line, column, message)

    def _words(self, subject: Any, column: Column) -> str:
        """Return what a cell that links others will say."""
        chosen = next(chosen for each, at, _, chosen in self._links if each is subject and at is column)
        return column.said_of(chosen)

    def _wrong(self, subject: Any, checked: list[Column]) -> Iterable[tuple[str, str]]:
        """Yield what is wrong with the columns that were set, and with an object that has them."""
        names = {each.field: each.name for each in checked}
        is_related = {each.name for each in subject._meta.fields if each.is_relation}
        others = {each.name for each in subject._meta.fields if each.name not in names} | is_related
        try:
            subject.clean_fields(exclude=others)
        except ValidationError as error:
            for field_name, messages in error.message_dict.items():
                yield from ((names[field_name], message[:1].lower() + message[1:]) for message in messages)
            return
        yield from self.register.wrong(subject, {each.name for each in checked}, self.known)

    def store(self, gesture: audit.Gesture) -> None:
        """Store what is new and what changed, each with its event."""
        register, loading = self.register, self.loading
        if self.new_departments:
            self.known.departments.store(gesture)
        for batch in register.in_order(loading.added):
            register.manager.bulk_create(batch, batch_size=BATCH)
        changed = [subject for subject, _ in loading.changed]
        if changed and self._fields:
            register.manager.bulk_update(changed, list(self._fields), batch_size=BATCH)
        linked: dict[int, list[tuple[Column, Any, Any]]] = {}
        for subject, column, had, chosen in self._links:
            assert column.links is not None
            column.links.store(gesture, subject, had, chosen)
            linked.setdefault(subject.pk, []).append((column, column.said_of(had), column.said_of(chosen)))
        for subject in loading.added:
            after = {column.name: now for column, _, now in linked.get(subject.pk, ())}
            gesture.record(f"{register.event}.added", subject, after=snapshot(subject, with_links=False) | after)
        for subject, before in loading.changed:
            old, new = differences(before, snapshot(subject, with_links=False))
            for column, had, now in linked.get(subject.pk, ()):
                old[column.name], new[column.name] = had, now
            gesture.record(f"{register.event}.changed", subject, before=old, after=new)

"""The columns of a register: what each holds, how an object says it, and how a cell is read."""

import datetime
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Model
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

from ... import audit
from ...addresses import normalized_email
from ...models import Department, Person, Project, Source
from ...models.people import Mailboxes
from ...models.typed import require_said
from ...readers.cells import Kind
from ...sheets import CELL_LENGTH
from ...texts import cleaned, code_of, folded_code, number_in, odd_characters, one_line, quoted
from ..departments import Departments, DepartmentUnclear
from ..lists import day_of

YES, NO = frozenset({"1", "y", "yes", "true", "x"}), frozenset({"0", "n", "no", "false"})
# What separates the codes in a cell that holds several.
SEPARATOR = "; "
NOT_SAID: Any = object()

Cell = str | int | bool | datetime.date | None


class Known:
    """What the lines of a list may name, each kind read once, when the first line asks."""

    def __init__(self, departments: "list[Department] | None" = None) -> None:
        self._departments = departments

    @cached_property
    def departments(self) -> Departments:
        return Departments(self._departments)

    @cached_property
    def mailboxes(self) -> Mailboxes:
        return Mailboxes()

    @cached_property
    def people(self) -> dict[str, Person]:
        return {each.email: each for each in Person.objects.select_related("department", "customer")}

    @cached_property
    def projects(self) -> dict[str, Project]:
        return {folded_code(each.code): each for each in Project.objects.all()}

    @cached_property
    def sources(self) -> dict[str, Source]:
        return {each.name.casefold(): each for each in Source.objects.order_by("name")}


@dataclass(frozen=True)
class Links:
    """Other objects that a cell names, several in one, separated by semicolons."""

    # What an object has now, and what a cell means; `read` raises ValueError.
    of: Callable[[Any], Collection[Model]]
    read: Callable[[str, Known], Collection[Model]]
    # Called once the objects are stored: with the gesture, the object, and what it had and is to have.
    store: Callable[[audit.Gesture, Any, Collection[Any], Collection[Any]], None]
    # What is wrong with what an object is to have; "" where nothing is.
    wrong: Callable[[Any, Collection[Any]], str] = lambda subject, chosen: ""
    # Columns that change what is linked: the same cell may then mean others.
    depends_on: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Column:
    """A column of a register.

    `read` returns the value of `field` that a cell means, and raises ValueError with what is wrong with it. `absent` is
    the value of a line in a file without the column; where it is not said, that stays as it is.
    """

    name: str
    kind: Kind
    about: str
    write: Callable[[Any], Cell]
    read: Callable[[str, Known], Any] = lambda text, known: text
    field: str = ""
    is_key: bool = False
    absent: Any = NOT_SAID
    links: Links | None = None
    # How one of the objects is written that a cell links.
    words: Callable[[Any], str] = str

    def said_of(self, linked: Collection[Any]) -> str:
        """Return what a cell says that links these objects."""
        return SEPARATOR.join(sorted(self.words(each) for each in linked))

    def text_of(self, subject: Model) -> str:
        """Return what an object says in this column, as a list has it."""
        return as_text(self.write(subject))


def as_text(cell: Cell) -> str:
    """Write a cell as CSV has it, and as it is compared."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, datetime.date):
        return cell.isoformat()
    return ILLEGAL_CHARACTERS_RE.sub("", one_line(str(cell)))[:CELL_LENGTH]


# Kinds of columns -----------------------------------------------------------------------------------------------------


def text(name: str, about: str, field: str = "") -> Column:
    """Return a column of texts of one line."""
    field = field or name
    return Column(name, Kind.TEXT, about, _field(field), lambda said, known: cleaned(said), field)


def code(name: str, about: str, field: str = "", *, is_key: bool = False) -> Column:
    """Return a column of codes; none of the words that mean nothing."""
    field = field or name

    def read(said: str, known: Known) -> str:
        found = code_of(said)
        try:
            require_said(found)
        except ValidationError as error:
            raise ValueError(error.messages[0]) from error
        if odd := odd_characters(found):
            raise ValueError(f"{quoted(said)}: {odd}")
        return found

    return Column(name, Kind.CODE, about, _field(field), read, field, is_key)


def address(name: str, about: str, *, is_key: bool = False) -> Column:
    """Return a column of e-mail addresses."""
    return Column(name, Kind.CODE, about, _field(name), lambda said, known: normalized_email(said), name, is_key)


def day(name: str, about: str) -> Column:
    """Return a column of dates: cells of a workbook with a date, or texts such as 2025-06-30."""
    return Column(name, Kind.DATE, about, _field(name), lambda said, known: day_of(said), name)


def yes(name: str, about: str, field: str, *, empty: bool = False, absent: Any = NOT_SAID) -> Column:
    """Return a column of yes and no; `empty` is what an empty cell means."""

    def read(said: str, known: Known) -> bool:
        word = said.casefold()
        if word and word not in YES | NO:
            raise ValueError(f"“{said}” is neither yes nor no")
        return word in YES if word else empty

    about = f"{about} Empty: {'yes' if empty else 'no'}."
    return Column(name, Kind.YES, about, _field(field), read, field, absent=absent)


def choice(name: str, about: str, field: str, values: Collection[str]) -> Column:
    """Return a column of one of some words, or of nothing."""

    def read(said: str, known: Known) -> str:
        word = said.casefold()
        if word and word not in values:
            raise ValueError(f"{quoted(said)} is none of {', '.join(values)}, and not empty")
        return word

    return Column(name, Kind.TEXT, about, _field(field), read, field)


def number(name: str, about: str, *, empty: int) -> Column:
    """Return a column of whole numbers; `empty` is what an empty cell means."""

    def read(said: str, known: Known) -> int:
        found = number_in(said) if said else empty
        if found is None:
            raise ValueError(f"{quoted(said)} is not a whole number such as {empty}")
        return found

    return Column(name, Kind.TEXT, f"{about} Empty: {empty}.", _field(name), read, name)


def person(name: str, about: str, field: str) -> Column:
    """Return a column of PIs, by their addresses or aliases."""

    def read(said: str, known: Known) -> Person | None:
        owner = known.mailboxes.owner(normalized_email(said)) if said else ""
        if said and not owner:
            raise ValueError(f"there is no PI {quoted(said)}. Load them with the list of people first")
        return known.people[owner] if owner else None

    def write(subject: Any) -> Cell:
        found = getattr(subject, field)
        return found.email if found else None

    return Column(name, Kind.CODE, about, write, read, field)


def project(name: str, about: str, field: str) -> Column:
    """Return a column of projects, by their codes in any case."""

    def read(said: str, known: Known) -> Project | None:
        found = known.projects.get(folded_code(said))
        if said and found is None:
            raise ValueError(f"there is no project {quoted(said)}. Load it with the list of projects first")
        return found

    return Column(name, Kind.CODE, about, _coded(field), read, field)


def department(name: str, about: str, field: str, *, adds: bool = False) -> Column:
    """Return a column of departments, by code or name; those that are neither are added, or refused."""

    def read(said: str, known: Known) -> Department | None:
        try:
            return known.departments.named(said) if adds else known.departments.found(said)
        except DepartmentUnclear as error:
            raise ValueError(str(error)) from error

    return Column(name, Kind.CODE, about, _coded(field), read, field)


def source(name: str, about: str, *, is_key: bool = False) -> Column:
    """Return a column of sources, by name."""

    def read(said: str, known: Known) -> Source | None:
        found = known.sources.get(said.casefold())
        if said and found is None:
            there = ", ".join(each.name for each in known.sources.values())
            raise ValueError(f"there is no source {quoted(said)}. There are: {there or 'none yet'}")
        return found

    def write(subject: Any) -> Cell:
        found = getattr(subject, "source", None)
        return found.name if found else None

    return Column(name, Kind.CODE, about, write, read, "source", is_key)


def codes(name: str, about: str, *, words: Callable[[Any], str], links: Links) -> Column:
    """Return a column with several codes in a cell; `words` says how one object is written there."""

    about = f"{about} Several are separated by semicolons."

    def write(subject: Any) -> Cell:
        return SEPARATOR.join(sorted(words(each) for each in links.of(subject)))

    return Column(name, Kind.CODE, about, write, links=links, words=words)


def parts_of(said: str) -> list[str]:
    """Return the codes in a cell that holds several."""
    return [each.strip() for each in said.split(";") if each.strip()]


def _field(name: str) -> Callable[[Any], Cell]:
    return lambda subject: getattr(subject, name)


def _coded(name: str) -> Callable[[Any], Cell]:
    def write(subject: Any) -> Cell:
        found = getattr(subject, name)
        return found.code if found else None

    return write


def kinds_of(columns: Collection[Column]) -> Mapping[str, Kind]:
    """Return the columns by name, each with what it holds."""
    return {each.name: each.kind for each in columns}

"""What a register is: its columns, what identifies a line, and what the database holds of it."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import CheckConstraint, F, Model, Q, QuerySet

from ...models import Job
from ...readers.cells import Kind
from ..lists import ListRefused, Loading
from .columns import Column, Known, kinds_of

# What a line is about: what no other line may be about as well (None: nothing keeps others from that), how people call
# it, and the object, None for a new one.
Found = tuple[object, str, Model | None]


@dataclass(frozen=True)
class Register:
    """A list that people keep in a spreadsheet: exported, edited there, and loaded again.

    `find` says what a line is about, of what is stored; it raises ValueError with the column and what is wrong.
    """

    # As commands and files name it, and as the audit log does: one, and the list.
    name: str
    event: str
    model: type[Model]
    nouns: tuple[str, str]
    columns: tuple[Column, ...]
    # The job that loads a large one.
    job: Job.Kind
    refused: type[ListRefused]
    nobody: str
    find: Callable[[Mapping[str, str], Known, "Stored"], Found]
    key_of: Callable[[Any], object]
    related: tuple[str, ...] = ()
    # Columns that a file must have.
    keys: int = 1
    # How the objects are read; those that a cell links come along.
    queryset: Callable[["QuerySet[Any]"], "QuerySet[Any]"] = lambda found: found
    # What is wrong with an object whose columns of these names were set, by column.
    wrong: Callable[[Any, Collection[str], Known], Iterable[tuple[str, str]]] = lambda subject, changed, known: ()
    # What is wrong with all of them together; notes it in what is being loaded.
    check: Callable[[Loading[Any], "Stored", Known], None] = lambda loading, stored, known: None
    # The new objects, in the order in which they can be stored.
    in_order: Callable[[list[Any]], Iterable[list[Any]]] = lambda added: [added]
    # Told of a new object before any line is read: others may name it.
    introduce: Callable[[Any, Known], None] = lambda subject, known: None
    # Whether held charges may wait for it.
    releases: bool = False
    # Whether a line that writes a code properly has what is stored written so, too.
    cleans_keys: bool = False
    # Whether lines name departments by the objects of this list itself.
    is_of_departments: bool = False

    @property
    def kinds(self) -> Mapping[str, Kind]:
        return kinds_of(self.columns)

    @property
    def add_permission(self) -> str:
        return self._permission("add")

    @property
    def permissions(self) -> tuple[str, str]:
        """What it takes to load the list: it adds and changes."""
        return self._permission("add"), self._permission("change")

    @property
    def view_permission(self) -> str:
        return self._permission("view")

    def _permission(self, verb: str) -> str:
        return f"{self.model._meta.app_label}.{verb}_{self.model._meta.model_name}"

    @property
    def manager(self) -> Any:
        return self.model._default_manager  # noqa: SLF001 (documented by Django)

    def objects(self, chosen: "QuerySet[Any] | None" = None) -> "QuerySet[Any]":
        """Return what the list holds, or what was chosen of it, in the order of the list."""
        found = self.manager.all()
        if chosen is not None:
            found = found.filter(pk__in=chosen.order_by().values("pk"))
        return self.queryset(found.select_related(*self.related))

    def texts_of(self, subject: Model) -> dict[str, str]:
        """Return what an object says in each column."""
        return {each.name: each.text_of(subject) for each in self.columns}


class Stored:
    """What a register holds when a list is loaded, by what identifies each, and what each says in its columns."""

    def __init__(self, register: Register, objects: Sequence[Any]) -> None:
        self.objects = objects
        self.by_key: dict[object, Any] = {register.key_of(each): each for each in objects}
        self.said: dict[int, dict[str, str]] = {each.pk: register.texts_of(each) for each in objects}

    def texts(self, column: str) -> set[str]:
        """Return all that is said in a column."""
        return {texts[column] for texts in self.said.values()}


def broken(subject: Model) -> list[str]:
    """Return the messages of the check constraints of its table that an object breaks.

    Django asks the database about each of them: a query for every line.
    """
    return [
        str(each.get_violation_error_message())
        for each in subject._meta.constraints
        if isinstance(each, CheckConstraint) and not _holds(each.condition, subject)
    ]


def _holds(condition: Any, subject: Model) -> bool:
    if not isinstance(condition, Q):
        name, value = condition
        return _compares(subject, name, value)
    parts = (_holds(each, subject) for each in condition.children)
    is_so = all(parts) if condition.connector == Q.AND else any(parts)
    return is_so is not condition.negated


def _compares(subject: Model, name: str, value: Any) -> bool:
    field, _, lookup = name.partition("__")
    here = getattr(subject, field)
    if lookup == "isnull":
        return (here is None) is value
    if isinstance(value, F):
        other: Any = value
        value = getattr(subject, other.name)
    elif hasattr(value, "resolve_expression"):
        # Of the database's own functions (lower case of an address) nothing is said here: fields clean those.
        return True
    if lookup == "gte":
        return here is None or value is None or here >= value
    if lookup:
        raise NotImplementedError(f"Constraints of {subject._meta.label} compare by {lookup}.")
    return bool(here == value)

"""The tables of a database and the kind of each column, as its own migrations made them."""

from dataclasses import dataclass
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor

# A row in the form that both databases share: a whole number, a text, or nothing. See KINDS.
Value = int | str | None
Row = tuple[Value, ...]

# How each kind is written: yes and no as 1 and 0, times in UTC as `2026-01-31 14:03:00.5`, bytes in hexadecimal, UUIDs
# as 32 digits, decimals with all their places, and JSON as its text.
KINDS = {
    "AutoField": "integer",
    "BigAutoField": "integer",
    "SmallIntegerField": "integer",
    "IntegerField": "integer",
    "BigIntegerField": "integer",
    "PositiveSmallIntegerField": "integer",
    "PositiveIntegerField": "integer",
    "PositiveBigIntegerField": "integer",
    "BooleanField": "boolean",
    "CharField": "text",
    "SlugField": "text",
    "TextField": "text",
    "GenericIPAddressField": "address",
    "DateField": "date",
    "DateTimeField": "moment",
    "DecimalField": "decimal",
    "UUIDField": "uuid",
    "BinaryField": "bytes",
    "JSONField": "json",
}


class UnknownColumn(Exception):
    """A model has a field of a kind that nobody has said here how to write: a fault of the program."""


@dataclass(frozen=True)
class Column:
    """A column and its kind; a decimal has so many places."""

    name: str
    kind: str
    places: int = 0


@dataclass(frozen=True)
class Table:
    """A table: its columns, and its key, by which its rows are ordered and which may be numbered by the database."""

    name: str
    columns: tuple[Column, ...]
    key: str
    is_numbered: bool

    @property
    def key_column(self) -> Column:
        return next(column for column in self.columns if column.name == self.key)


def tables_of(connection: BaseDatabaseWrapper) -> list[Table]:
    """Return every table of the program and of what it is made with, by name; without the list of migrations.

    Raises UnknownColumn.
    """
    loader = MigrationExecutor(connection).loader
    state = loader.project_state([each for each in loader.applied_migrations if each in loader.graph.nodes])
    found = {
        model._meta.db_table: _table(model, connection)
        for model in state.apps.get_models(include_auto_created=True)
        if model._meta.managed and not model._meta.proxy
    }
    return [found[name] for name in sorted(found)]


def _table(model: type[models.Model], connection: BaseDatabaseWrapper) -> Table:
    meta = model._meta
    key = meta.pk
    assert key
    return Table(
        meta.db_table,
        tuple(_column(field, connection) for field in meta.concrete_fields),
        str(key.column),
        isinstance(key, models.AutoField),
    )


def _column(field: Any, connection: BaseDatabaseWrapper) -> Column:
    target = field
    while target.remote_field:
        target = target.target_field
    kind = KINDS.get(target.get_internal_type())
    if kind is None and target.db_type(connection) == "bigint":
        # Amounts and moments in whole units.
        kind = "integer"
    if kind is None:
        raise UnknownColumn(f"{field}: how a {target.get_internal_type()} is written is not known.")
    return Column(str(field.column), kind, target.decimal_places if kind == "decimal" else 0)

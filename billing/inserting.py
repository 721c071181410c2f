"""Many new rows as one prepared statement: bulk_create works out its SQL anew for every 70 rows on SQLite."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from django.db import connection, models

BATCH = 5_000


def insert(rows: Sequence[models.Model]) -> None:
    """Store new objects of one model, in their order; their keys are not read back and no signal is sent."""
    if not rows:
        return
    meta = rows[0]._meta
    fields = [field for field in meta.concrete_fields if not field.primary_key]
    prepared = [_Prepared(field) for field in fields]
    insert_values(
        type(rows[0]),
        [str(field.column) for field in fields],
        (tuple(each.of(row) for each in prepared) for row in rows),
    )


def insert_values(model: type[models.Model], columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """The same of values by column, as the database takes them, without an object for each row."""
    marks = ", ".join(["%s"] * len(columns))
    sql = f"INSERT INTO {model._meta.db_table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 (names from the model)
    left = iter(rows)
    with connection.cursor() as cursor:
        while some := list(islice(left, BATCH)):
            cursor.executemany(sql, some)


class _Prepared:
    """A column's values as the database takes them; of the rows of one act many hold the same object."""

    def __init__(self, field: "models.Field[Any, Any]") -> None:
        self.field = field
        self.name = field.attname
        self.is_plain = isinstance(field, models.CharField | models.TextField)
        self.value: Any = self
        self.stored: Any = None

    def of(self, row: models.Model) -> Any:
        value = getattr(row, self.name)
        if self.is_plain:
            # A choice is an enumeration, which the drivers would write each in its own way.
            return value if type(value) is str else str(value)
        if value is not self.value:
            self.value, self.stored = value, self.field.get_db_prep_save(value, connection)
        return self.stored

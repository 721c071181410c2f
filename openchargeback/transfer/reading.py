"""Reading rows in the form that both databases share; most of it is done by the database."""

from collections.abc import Callable, Iterator
from decimal import Context, Decimal
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from .tables import Column, Row, Table

BATCH = 2_000
# As many digits as SQLite keeps of a decimal, which is a float there.
FLOAT = Context(prec=15)

SQLITE = {
    "integer": "{0}",
    # Not as its declared type, which the driver would turn into an object.
    "boolean": "CAST({0} AS INTEGER)",
    "text": "CAST({0} AS TEXT)",
    "address": "CAST({0} AS TEXT)",
    "date": "CAST({0} AS TEXT)",
    "moment": "CAST({0} AS TEXT)",
    "decimal": "CAST({0} AS REAL)",
    "uuid": "CAST({0} AS TEXT)",
    "bytes": "CASE WHEN {0} IS NOT NULL THEN lower(hex({0})) END",
    "json": "CAST({0} AS TEXT)",
}
POSTGRESQL = {
    "integer": "{0}",
    "boolean": "{0}::int",
    "text": "{0}",
    "address": "host({0})",
    "date": "to_char({0}, 'YYYY-MM-DD')",
    "moment": "to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')",
    "decimal": "{0}::text",
    "uuid": "replace({0}::text, '-', '')",
    "bytes": "encode({0}, 'hex')",
    "json": "{0}::text",
}


def rows(connection: BaseDatabaseWrapper, table: Table) -> Iterator[Row]:
    """Yield the rows of a table, ordered by its key; within a transaction, in bounded memory."""
    is_sqlite = connection.vendor == "sqlite"
    shapes = SQLITE if is_sqlite else POSTGRESQL
    columns = ", ".join(shapes[column.kind].format(f'"{column.name}"') for column in table.columns)
    # Texts in the order of their bytes, which no language has a part in.
    order = f'"{table.key}"'
    if not is_sqlite and table.key_column.kind == "text":
        order += ' COLLATE "C"'
    sql = f'SELECT {columns} FROM "{table.name}" ORDER BY {order}'  # noqa: S608 (names from the migrations)
    changes = [
        (place, change)
        for place, column in enumerate(table.columns)
        if (change := _change(column, is_sqlite=is_sqlite))
    ]
    with connection.cursor() if is_sqlite else connection.chunked_cursor() as cursor:
        cursor.execute(sql)
        while batch := cursor.fetchmany(BATCH):
            for row in batch:
                if changes:
                    values = list(row)
                    for place, change in changes:
                        if values[place] is not None:
                            values[place] = change(values[place])
                    row = tuple(values)
                yield row


def _change(column: Column, *, is_sqlite: bool) -> Callable[[Any], str] | None:
    """Return what is still to be done with a value that the database has given."""
    if is_sqlite and column.kind == "decimal":
        unit = Decimal(1).scaleb(-column.places)
        return lambda value: format(FLOAT.create_decimal_from_float(value).quantize(unit), "f")
    if not is_sqlite and column.kind == "moment":
        # SQLite's texts, which Django writes without a fraction of nothing.
        return lambda value: value.removesuffix(".000000")
    return None


def last_numbers(connection: BaseDatabaseWrapper, tables: list[Table]) -> dict[str, int]:
    """Return the last number that each numbered table gave to a row, by table; 0 where it gave none.

    A number is never given twice, not even that of a row that was deleted: the audit log names rows by theirs.
    """
    numbered = [table for table in tables if table.is_numbered]
    found = {}
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name, seq FROM sqlite_sequence")
            given = dict(cursor.fetchall())
            return {table.name: given.get(table.name, 0) for table in numbered}
        for table in numbered:
            cursor.execute("SELECT pg_get_serial_sequence(%s, %s)", [f'"{table.name}"', table.key])
            cursor.execute(f"SELECT last_value, is_called FROM {cursor.fetchone()[0]}")  # noqa: S608 (the database's own name)
            last, is_called = cursor.fetchone()
            # Rows with a number of their own, which SQLite counts as given.
            cursor.execute(f'SELECT coalesce(max("{table.key}"), 0) FROM "{table.name}"')  # noqa: S608 (names from the migrations)
            found[table.name] = max(last if is_called else 0, cursor.fetchone()[0])
    return found

"""Loading rows into the tables of an empty database."""

import itertools
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from django import db
from django.db import connection as default
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder

from billing.errors import BillingError
from billing.progress import Progress, unwatched

from .reading import last_numbers, rows
from .tables import Column, Row, Table, tables_of

BATCH = 5_000
# Tables that making them may fill, besides the list of migrations itself.
MADE_WITH_ROWS = ("auth_permission", "django_content_type", "django_migrations")

Migration = tuple[str, str]


class CannotLoad(BillingError):
    """Rows that a database does not take, or takes only in part. Nothing of them is left in it."""


def applied(connection: BaseDatabaseWrapper) -> list[Migration]:
    """Return the migrations that a database has, as (app, name), sorted."""
    return sorted(MigrationRecorder(connection).applied_migrations())


def ours(connection: BaseDatabaseWrapper) -> list[Migration]:
    """Return the migrations that this version of the program has, of all its apps, sorted."""
    return sorted(MigrationExecutor(connection).loader.graph.nodes)


def is_unused(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether no row of ours is in a database: nothing was ever made in it, or nothing but empty tables."""
    ours = {name for name in connection.introspection.table_names() if name.startswith(("billing_", "statements_"))}
    ours |= {name for name in connection.introspection.table_names() if name.startswith(("journals_", "auth_"))}
    with connection.cursor() as cursor:
        for name in sorted(ours - {*MADE_WITH_ROWS}):
            cursor.execute(f'SELECT EXISTS (SELECT 1 FROM "{name}")')  # noqa: S608 (names from the catalog)
            if cursor.fetchone()[0]:
                return False
    return True


def make_tables(connection: BaseDatabaseWrapper, migrations: Iterable[Migration]) -> None:
    """Make the tables of a database as these migrations say, and nothing else: no permissions and no safeguards."""
    executor = MigrationExecutor(connection)
    graph = executor.loader.graph
    wanted = {each for each in migrations if each in graph.nodes}
    # The last of each app: to name one before it as well would be to go back to it.
    followed = {parent.key for each in wanted for parent in graph.node_map[each].parents if parent.key[0] == each[0]}
    executor.migrate(sorted(wanted - followed))


def load(
    connection: BaseDatabaseWrapper,
    tables: Mapping[Table, int],
    rows_of: Callable[[Table], Iterable[Row]],
    *,
    last: Mapping[str, int],
    progress: Progress = unwatched,
) -> None:
    """Fill the tables of a database with as many rows as are expected, all or none, and go on numbering after `last`.

    What making the tables put into them goes first. Raises CannotLoad.
    """
    total, done = sum(tables.values()), 0

    def counted(rows: Iterable[Row]) -> Iterator[Row]:
        nonlocal done
        for row in rows:
            done += 1
            if done % BATCH == 0:
                progress(done, total, "Loading rows")
            yield row

    into = _into_sqlite if connection.vendor == "sqlite" else _into_postgresql
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f'DELETE FROM "{table.name}"')  # noqa: S608 (names from the migrations)
        for table, expected in tables.items():
            try:
                into(cursor, table, counted(rows_of(table)))
            except (db.DataError, db.IntegrityError) as error:
                raise CannotLoad(f"The database does not take the rows of {table.name}: {_said(error)}") from error
            cursor.execute(f'SELECT count(*) FROM "{table.name}"')  # noqa: S608 (names from the migrations)
            if (count := cursor.fetchone()[0]) != expected:
                raise CannotLoad(f"{table.name} has {count:,} rows, and {expected:,} were to be loaded.")
            if table.is_numbered:
                _number_after(cursor, connection, table, last.get(table.name, 0))
        progress(total, total, "Loading rows")
        try:
            connection.check_constraints()
        except db.IntegrityError as error:
            raise CannotLoad(f"Rows refer to others that are not there: {_said(error)}") from error


def copy(target: BaseDatabaseWrapper, *, left_out: Collection[str], progress: Progress = unwatched) -> dict[Table, int]:
    """Copy every row of this installation's database to the empty tables of another; return how many there are of each.

    Of the tables that are left out there are none. Within a transaction here, which reads one moment.
    """
    tables = tables_of(default)
    counts = {}
    with default.cursor() as cursor:
        for table in tables:
            cursor.execute(f'SELECT count(*) FROM "{table.name}"')  # noqa: S608 (names from the migrations)
            counts[table] = 0 if table.name in left_out else cursor.fetchone()[0]
    load(
        target,
        counts,
        lambda table: () if table.name in left_out else rows(default, table),
        last=last_numbers(default, tables),
        progress=progress,
    )
    return counts


def analyze(connection: BaseDatabaseWrapper) -> None:
    """Have a database that was just filled know how much is in its tables, which its plans go by."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _said(error: Exception) -> str:
    """Return what the database said, in one line, with the line of the copy where it names one."""
    cause = error.__cause__
    context = getattr(getattr(cause, "diag", None), "context", None) or ""
    return " ".join([*str(error).strip().splitlines()[:1], *context.splitlines()[:1]])


def _into_sqlite(cursor: Any, table: Table, rows: Iterable[Row]) -> None:
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    marks = ", ".join(["%s"] * len(table.columns))
    sql = f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})'  # noqa: S608 (names from the migrations)
    for batch in _batches(_changed(rows, table.columns, {"bytes": bytes.fromhex, "json": _as_django_writes})):
        cursor.executemany(sql, batch)


def _into_postgresql(cursor: Any, table: Table, rows: Iterable[Row]) -> None:
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    changed = _changed(rows, table.columns, {"bytes": "\\x{}".format, "moment": "{}+00".format})
    with cursor.copy(f'COPY "{table.name}" ({names}) FROM STDIN') as copy:
        for row in changed:
            copy.write_row(row)


def _changed(
    rows: Iterable[Row], columns: tuple[Column, ...], kinds: Mapping[str, Callable[..., Any]]
) -> Iterator[Any]:
    changes = [(place, kinds[column.kind]) for place, column in enumerate(columns) if column.kind in kinds]
    for row in rows:
        if changes:
            values: list[Any] = list(row)
            for place, change in changes:
                if values[place] is not None:
                    values[place] = change(values[place])
            yield values
        else:
            yield row


def _as_django_writes(text: str) -> str:
    """Return JSON as Django writes it to SQLite; PostgreSQL writes it in a form of its own."""
    return json.dumps(json.loads(text))


def _batches(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while batch := list(itertools.islice(rows, BATCH)):
        yield batch


def _number_after(cursor: Any, connection: BaseDatabaseWrapper, table: Table, last: int) -> None:
    """Have the next row of a table get a number after the last that was given, and after those that are there."""
    cursor.execute(f'SELECT coalesce(max("{table.key}"), 0) FROM "{table.name}"')  # noqa: S608 (names from the migrations)
    last = max(last, cursor.fetchone()[0])
    if connection.vendor == "sqlite":
        cursor.execute("DELETE FROM sqlite_sequence WHERE name = %s", [table.name])
        if last:
            cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [table.name, last])
        return
    cursor.execute(
        "SELECT setval(pg_get_serial_sequence(%s, %s), %s, %s)",
        [f'"{table.name}"', table.key, last or 1, bool(last)],
    )

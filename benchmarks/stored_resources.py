"""Put resources into a database that no charge is of: what an installation has collected in years of jobs.

They are inserted into the tables of resources themselves, as importing ten million jobs would take hours. In batches
of a million, each in the order of its hashes, as imports leave them.
"""

import contextlib
import re
import sqlite3
from typing import Any

from installations import Installation

# As the tables of resources are called; an installation without them stores no resources.
TABLES = ("billing_resourcetext", "billing_resource")
BATCH = 1_000_000
HASH_BYTES = 16
# Numbers of jobs that no generated file holds.
FIRST = 3_000_000_000


class NoSuchColumn(Exception):
    """A table of resources has a column that this script knows no value for."""


def fill(place: Installation, count: int) -> int:
    """Store so many resources in each table of resources; return how many tables there are."""
    if place.postgres_url:
        import psycopg

        with psycopg.connect(place.postgres_url, autocommit=True) as connection:
            tables = {table: _postgres_columns(connection, table) for table in TABLES}
            for sql in _inserts_of(tables, count, is_sqlite=False):
                connection.execute(sql)
            connection.execute("VACUUM ANALYZE")
    else:
        with contextlib.closing(sqlite3.connect(place.var / "db.sqlite3", isolation_level=None)) as database:
            database.execute("PRAGMA cache_size=-262144")
            tables = {
                table: [
                    (name, kind.lower(), not not_null)
                    for _, name, kind, not_null, _, _ in database.execute(f"PRAGMA table_info({table})")
                ]
                for table in TABLES
            }
            for sql in _inserts_of(tables, count, is_sqlite=True):
                database.execute(sql)
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return sum(bool(columns) for columns in tables.values())


def _postgres_columns(connection: Any, table: str) -> list[tuple[str, str, bool]]:
    """Return name, kind, and whether it may be empty, of each column."""
    return [
        (name, kind, nullable == "YES")
        for name, kind, nullable in connection.execute(
            "SELECT column_name, data_type, is_nullable FROM information_schema.columns "
            "WHERE table_name = %s AND table_schema = 'public' ORDER BY ordinal_position",
            [table],
        )
    ]


def _inserts_of(tables: dict[str, list[tuple[str, str, bool]]], count: int, *, is_sqlite: bool) -> list[str]:
    """Return the SQL of all tables. Raises NoSuchColumn before anything is stored."""
    return [sql for table, columns in tables.items() for sql in _inserts(table, columns, count, is_sqlite=is_sqlite)]


def _inserts(table: str, columns: list[tuple[str, str, bool]], count: int, *, is_sqlite: bool) -> list[str]:
    """Return the SQL of each batch; none where there is no such table."""
    if not columns:
        return []
    values = {
        name: _value(name, kind, nullable, is_sqlite=is_sqlite) for name, kind, nullable in columns if name != "id"
    }
    # The hash is made before the rows are put in its order.
    hashed = next((name for name, kind, _ in columns if _is_binary(kind)), "")
    order = f" ORDER BY {hashed}" if hashed else ""
    selected = ", ".join(f"{value} AS {name}" for name, value in values.items())
    found = []
    for first in range(0, count, BATCH):
        last = min(first + BATCH, count) - 1
        numbers = (
            f"(WITH RECURSIVE numbers(n) AS (SELECT {FIRST + first} UNION ALL "
            f"SELECT n + 1 FROM numbers WHERE n < {FIRST + last}) SELECT n FROM numbers)"
            if is_sqlite
            else f"generate_series({FIRST + first}, {FIRST + last})"
        )
        as_name = "AS numbers" if is_sqlite else "AS numbers(n)"
        found.append(
            f"INSERT INTO {table} ({', '.join(values)}) SELECT * FROM (SELECT {selected} FROM {numbers} {as_name}) "
            f"AS stored{order}"
        )
    return found


def _value(name: str, kind: str, is_nullable: bool, *, is_sqlite: bool) -> str:
    """Return the SQL of a column's value for the resource with the number `n`."""
    if _is_binary(kind):
        return f"randomblob({HASH_BYTES})" if is_sqlite else "decode(md5(n::text), 'hex')"
    if "char" in kind or kind == "text":
        if re.search(r"(_id|_key|_name)$|^name$|^id$", name) and not name.startswith("region"):
            return "'job-' || n"
        return "'standard'"
    if name == "source_id":
        return "(SELECT min(id) FROM billing_source)"
    if is_nullable:
        return "NULL"
    if "bool" in kind:
        return "0" if is_sqlite else "false"
    if "time" in kind or "date" in kind:
        return "'2024-01-01 00:00:00'" if is_sqlite else "timestamp '2024-01-01'"
    if "int" in kind and not name.endswith("_id"):
        return "0"
    raise NoSuchColumn(f"What is stored in {name} ({kind})? Say so in benchmarks/stored_resources.py.")


def _is_binary(kind: str) -> bool:
    return kind in ("blob", "bytea")

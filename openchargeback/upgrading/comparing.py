"""What an upgrade does to rows that were there: which tables and columns are not what they were."""

import hashlib
import itertools
from dataclasses import dataclass

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from .. import transfer

BATCH = 2_000


@dataclass(frozen=True)
class Contents:
    """How many rows a table has, and a SHA-256 of all values of each column, in the order of its key."""

    rows: int
    columns: dict[str, str]


@dataclass(frozen=True)
class Change:
    """What is not as it was in a table, in words."""

    table: str
    says: str

    def __str__(self) -> str:
        return f"{self.table}: {self.says}"


def contents_of(connection: BaseDatabaseWrapper) -> dict[str, Contents]:
    """Return what is in each table of a database."""
    found = {}
    with transaction.atomic(using=connection.alias):
        for table in transfer.tables_of(connection):
            digests = [hashlib.sha256() for _ in table.columns]
            count = 0
            rows = transfer.rows(connection, table)
            while batch := list(itertools.islice(rows, BATCH)):
                count += len(batch)
                for digest, values in zip(digests, zip(*batch, strict=True), strict=True):
                    digest.update(repr(values).encode())
            names = [column.name for column in table.columns]
            found[table.name] = Contents(count, dict(zip(names, (each.hexdigest() for each in digests), strict=True)))
    return found


def changes(before: dict[str, Contents], after: dict[str, Contents]) -> list[Change]:
    """Return every difference between two states of a database, by table."""
    found = []
    for name in sorted({*before, *after}):
        was, now = before.get(name), after.get(name)
        if was is None or now is None:
            says = f"new, with {now.rows:,} rows" if now else f"removed, with {was.rows if was else 0:,} rows"
            found.append(Change(name, says))
            continue
        added, removed = sorted({*now.columns} - {*was.columns}), sorted({*was.columns} - {*now.columns})
        differing = sorted(each for each in {*was.columns} & {*now.columns} if was.columns[each] != now.columns[each])
        said = [
            *([f"columns added: {', '.join(added)}"] if added else []),
            *([f"columns removed: {', '.join(removed)}"] if removed else []),
            *([f"{was.rows:,} rows, now {now.rows:,}"] if was.rows != now.rows else []),
            *([f"values changed: {', '.join(differing)}"] if differing and was.rows == now.rows else []),
        ]
        if said:
            found.append(Change(name, "; ".join(said)))
    return found

"""What the database needs after an import to stay quick and small."""

import contextlib

from django.db import DatabaseError, connection

from ..models import Charge

# So many new charges change how the whole table is read best; PostgreSQL itself notices within minutes.
MANY = 50_000
# What PostgreSQL has to know of at once to plan well; it looks at the texts by itself, within minutes.
PLANNED_BY = ", ".join(
    str(field.column) for field in Charge._meta.concrete_fields if field.is_relation or field.name == "state"
)


def after_import(added: int) -> None:
    """Leave the database in order after an import that added so many charges.

    The import is committed. Where somebody else is writing, or may not do this, it is left to the next import.
    """
    if connection.in_atomic_block:
        return
    # The planner has to know how large the table has become, and SQLite's write-ahead log is to stay small.
    chores = ["PRAGMA wal_checkpoint(PASSIVE)", "PRAGMA optimize"]
    if connection.vendor == "postgresql":
        # Sums are read from an index alone only where the table's pages are known to be visible to all.
        chores = [f"VACUUM (ANALYZE, SKIP_LOCKED) billing_charge ({PLANNED_BY})"] if added >= MANY else []
    for chore in chores:
        with contextlib.suppress(DatabaseError), connection.cursor() as cursor:
            cursor.execute(chore)

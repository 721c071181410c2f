"""Ids that are given out before their rows are written."""

from typing import Any

from django.db import connection, models, transaction

from .models import Charge

# Ids of charges are given out here and nowhere else; on PostgreSQL under this advisory lock.
CHARGE_IDS_LOCK = 7_105_001


def of_charges(count: int) -> int:
    """Return the first of `count` ids of charges that nobody else is given.

    Must run inside a transaction; on SQLite inside the one that uses them.
    """
    with connection.cursor() as cursor:
        if connection.vendor != "postgresql":
            # The write lock is ours; AUTOINCREMENT never gives an id twice, so we count on from its mark.
            cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = 'billing_charge'")
            row = cursor.fetchone()
            return int(row[0]) + 1 if row else 1
        # What a sequence gave stays given whatever becomes of the transaction: nobody has to wait for its end.
        cursor.execute("SELECT pg_advisory_lock(%s)", [CHARGE_IDS_LOCK])
        try:
            # A transaction within, for after an error nothing else could be asked: not even to let the lock go.
            with transaction.atomic():
                cursor.execute("SELECT nextval(%s)", [sequence := _sequence(cursor, Charge)])
                first = int(cursor.fetchone()[0])
                cursor.execute("SELECT setval(%s, %s)", [sequence, first + count - 1])
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [CHARGE_IDS_LOCK])
        return first


def of(model: type[models.Model], count: int) -> list[int]:
    """Return ids for `count` rows of a table that are still to be made, on PostgreSQL."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(%s) FROM generate_series(1, %s)", [_sequence(cursor, model), count])
        return [int(number) for (number,) in cursor.fetchall()]


def _sequence(cursor: Any, model: type[models.Model]) -> str:
    cursor.execute("SELECT pg_get_serial_sequence(%s, 'id')", [model._meta.db_table])
    return str(cursor.fetchone()[0])

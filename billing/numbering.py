"""Ids that are given out before their rows are written."""

from django.db import connection

from .models import Charge

# Ids of charges are given out here and nowhere else; on PostgreSQL under this advisory lock.
CHARGE_IDS_LOCK = 7_105_001


def of_charges(count: int) -> int:
    """Return the first of `count` ids of charges that nobody else is given.

    On SQLite it must run inside the transaction that uses them.
    """
    with connection.cursor() as cursor:
        if connection.vendor != "postgresql":
            # The write lock is ours; AUTOINCREMENT never gives an id twice, so we count on from its mark.
            cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = 'billing_charge'")
            row = cursor.fetchone()
            return int(row[0]) + 1 if row else 1
        # What a sequence gave stays given whatever becomes of the transaction, so nobody has to wait for its end.
        # One statement, its parts in order: nothing comes between the lock and its release, not even rows that
        # are sent by a thread and refused.
        cursor.execute(
            """
            WITH locked AS MATERIALIZED (SELECT pg_advisory_lock(%(lock)s)),
            given AS MATERIALIZED (
                SELECT setval(sequence, nextval(sequence) + %(count)s - 1) AS last
                FROM locked, pg_get_serial_sequence(%(table)s, 'id') AS sequence
            )
            SELECT last, pg_advisory_unlock(%(lock)s) FROM given
            """,
            {"lock": CHARGE_IDS_LOCK, "count": count, "table": Charge._meta.db_table},
        )
        return int(cursor.fetchone()[0]) - count + 1

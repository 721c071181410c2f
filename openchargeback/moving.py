"""Moving the whole database to another one, from SQLite to PostgreSQL or back."""

import datetime
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from billing import audit, safeguards
from billing.audit import Actor
from billing.background import heartbeat
from billing.errors import BillingError
from billing.progress import Progress, unwatched

from . import transfer

ACTION = "installation.moved"
# What browsers and processes hold of the old one; everybody signs in anew.
LEFT_OUT = ("billing_atwork", "billing_kept", "billing_worker", "django_session")


class NotMoved(BillingError):
    """Nothing was moved. The database that was moved from is as it was, and the other one is empty."""


@dataclass(frozen=True)
class Moved:
    """What was moved: how many rows of how many tables, from which kind of database to which."""

    rows: int
    tables: int
    origin: str
    target: str
    safeguards: int


def move(url: str, *, actor: Actor, now: datetime.datetime, progress: Progress = unwatched) -> Moved:
    """Copy every row of this installation's database to the empty one at an address, with numbers and safeguards.

    1. Nothing may run here: no worker, and nobody else may change anything while it lasts. On SQLite this holds the
       lock of who writes. On PostgreSQL it holds the head of the audit log, which every recorded change needs.
    2. The tables of the other database are made. Until all rows are in it, which is one transaction, it stays empty.
    3. The event that tells of the move is in both. If it fails, it is in neither.

    Raises NotMoved; NotConnected; and CannotLoad where the other database does not take a row.
    """
    if heartbeat.is_worker_alive():
        raise NotMoved("A background worker is running. Stop the site and its worker first, and wait for a minute.")
    with transfer.connected(url) as target:
        _require_unused(target, url)
        progress(0, 0, "Making tables")
        transfer.make_tables(target, transfer.applied(connection))
        with transaction.atomic():
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            with audit.gesture(actor=actor, now=now) as gesture:
                gesture.record(ACTION, after={"from": connection.display_name, "to": target.display_name})
            counts = _fill(target, progress)
    return Moved(
        sum(counts.values()),
        len(counts),
        connection.display_name,
        target.display_name,
        len(safeguards.triggers(connection)),
    )


def _require_unused(target: BaseDatabaseWrapper, url: str) -> None:
    """Raise NotMoved where a database has rows of ours, or tables of another version."""
    strange = set(transfer.applied(target)) - set(transfer.applied(connection))
    if strange or not transfer.is_unused(target):
        raise NotMoved(
            f"The database at {transfer.without_password(url)} is not empty, and nothing is moved over what is there. "
            "Make an empty one, and name that."
        )


def _fill(target: BaseDatabaseWrapper, progress: Progress) -> dict[transfer.Table, int]:
    """Copy all rows, and have the safeguards in place before the other database keeps them."""
    with transaction.atomic(using=target.alias):
        safeguards.remove(target)
        counts = transfer.copy(target, left_out=LEFT_OUT, progress=progress)
        safeguards.install(target)
        if lacking := safeguards.missing(target):
            raise NotMoved(f"The safeguards could not be put in place: {safeguards.listed(lacking)}.")
    transfer.analyze(target)
    return counts

"""Reading one moment of the database, while others go on writing."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def one_moment() -> Iterator[None]:
    """Read what the database held at one moment, whatever others commit meanwhile; write nothing.

    What is looked up once (people, projects, rates) and the charges read after it belong together: an import
    committed between the two brings charges of people that were not there. Nobody waits for it, and it waits for
    nobody. Within a transaction it adds nothing: that holds the locks of what it changes.
    """
    if connection.in_atomic_block:
        yield
        return
    with _without_write_lock(), transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def at_one_moment(read: Callable[P, T]) -> Callable[P, T]:
    """Have a function read one moment of the database."""

    @functools.wraps(read)
    def reading(*args: P.args, **kwargs: P.kwargs) -> T:
        with one_moment():
            return read(*args, **kwargs)

    return reading


@contextmanager
def _without_write_lock() -> Iterator[None]:
    """On SQLite, begin transactions as readers: the settings have them take the lock of writers at once."""
    if connection.vendor != "sqlite":
        yield
        return
    # As Django's connection to SQLite keeps what the settings say, once it is made.
    connection.ensure_connection()
    settings = vars(connections[DEFAULT_DB_ALIAS])
    mode, settings["transaction_mode"] = settings["transaction_mode"], "DEFERRED"
    try:
        yield
    finally:
        settings["transaction_mode"] = mode

"""A second database, beside the one of this installation."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from django import db
from django.conf import settings
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import load_backend

from billing.errors import BillingError

from .. import databases

TARGET = "target"


class NotConnected(BillingError):
    """There is no other database at an address."""


def without_password(url: str) -> str:
    """Return an address of a database as it may be shown."""
    password = urlsplit(url).password
    return url.replace(f":{password}@", ":***@") if password else url


@contextmanager
def connected(url: str) -> Iterator[BaseDatabaseWrapper]:
    """Connect to the database at an address. Raises NotConnected where that is none, is this one, or is silent."""
    try:
        given = databases.configured(url, wait=settings.DATABASE_WAIT_SECONDS)
    except ValueError as error:
        raise NotConnected(f"“{without_password(url)}” {error} For SQLite it is sqlite:////path/of/the/file.") from None
    if _place(given) == _place(connection.settings_dict):
        raise NotConnected("This is the database that the installation has now. Name another one.")
    complete = connections.configure_settings({"default": given})["default"]
    target: BaseDatabaseWrapper = load_backend(complete["ENGINE"]).DatabaseWrapper(complete, TARGET)
    connections[TARGET] = target
    try:
        target.ensure_connection()
    except db.Error as error:
        del connections[TARGET]
        raise NotConnected(f"The database at {without_password(url)} does not answer: {str(error).strip()}") from error
    try:
        yield target
    finally:
        target.close()
        del connections[TARGET]


def _place(given: dict[str, object]) -> tuple[str, ...]:
    return tuple(str(given.get(each) or "") for each in ("ENGINE", "HOST", "PORT", "NAME"))

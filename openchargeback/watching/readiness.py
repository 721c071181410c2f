"""Whether this process can serve people: what it needs of the database, the disk and the worker, each in a word."""

import logging
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING

from django import db
from django.conf import settings
from django.db import connection

from billing import safeguards, schema
from billing.background import heartbeat
from billing.errors import BillingError
from billing.files import documents

if TYPE_CHECKING:
    from billing.files.objects import ObjectStorage

log = logging.getLogger(__name__)

WORKER = "worker"


def checks() -> dict[str, bool]:
    """Look at each part, and return whether it is as it has to be. It says nothing more: anybody may ask.

    Where the database does not answer, nothing is asked of it again, and what lies in it counts as not in order.
    """
    found = {"database": _holds("database", _database)}
    of_the_database = {"tables": _tables, "safeguards": _safeguards, WORKER: _worker}
    for name, holds in of_the_database.items():
        found[name] = found["database"] and _holds(name, holds)
    found["files"] = _holds("files", _files)
    if there := documents.bucket():
        found["storage"] = _holds("storage", lambda: _storage(there))
    return found


def _holds(name: str, holds: Callable[[], bool]) -> bool:
    try:
        return holds()
    except (db.Error, OSError, BillingError) as error:
        log.warning("Not ready: %s: %s", name, error)
        return False


def _database() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return True


def _tables() -> bool:
    return not schema.lacking()


def _safeguards() -> bool:
    return not safeguards.missing(connection)


def _worker() -> bool:
    return any(each.is_alive for each in heartbeat.workers())


def _storage(there: "ObjectStorage") -> bool:
    there.require_bucket()
    return True


def _files() -> bool:
    with tempfile.TemporaryFile(dir=settings.VAR_DIR) as file:
        file.write(b"ready")
        file.flush()
    return True

"""Whether the tables of the database are those that this version of the program works with."""

import pkgutil
from pathlib import Path

from django.apps import apps
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from .errors import BillingError

APPS = ("billing", "statements", "journals")


class AnotherVersion(BillingError):
    """The database was made by a version whose tables this one does not know."""


def lacking() -> list[tuple[str, str]]:
    """The migrations of ours that are not in the database, as (app, name); all of them where it is empty.

    Raises AnotherVersion where the database has migrations that this version does not have.
    """
    applied = _applied()
    known = ours()
    strange = sorted(each for each in applied - known if each[0] in APPS)
    if not strange:
        return sorted(known - applied)
    app, name = strange[0]
    many = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
    made = f"The database has tables of another version of this program ({app}.{name}{many})"
    if known <= applied:
        raise AnotherVersion(f"{made}, a newer one. Install that version again, or restore the backup from before it.")
    raise AnotherVersion(
        f"{made}, from before its first release. They cannot be brought over. Export what you need with that version. "
        "Then name a new database in DATABASE_URL, initialize it, and import the files again: they are kept in "
        "files/received of VAR_DIR. For the demo, remove var/demo."
    )


def is_empty() -> bool:
    """Whether nothing was ever made in the database."""
    return not _applied()


def ours() -> set[tuple[str, str]]:
    """The migrations that this version has for its apps, as (app, name)."""
    return {
        (app, migration.name)
        for app in APPS
        for migration in pkgutil.iter_modules([str(Path(apps.get_app_config(app).path) / "migrations")])
    }


def _applied() -> set[tuple[str, str]]:
    return set(MigrationRecorder(connection).applied_migrations())

"""Putting the safeguards in place, removing them, and finding out which are missing."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from django.core import checks
from django.db import IntegrityError, connections, transaction
from django.db import connection as default
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor

from . import postgresql, sqlite
from .refusals import SIGNATURE, Trigger, protected_tables, refusals_of


class Vendor(Protocol):
    """What the module of a database knows of its triggers."""

    def triggers(self, connection: BaseDatabaseWrapper) -> list[Trigger]: ...
    def installed(self, connection: BaseDatabaseWrapper) -> dict[str, tuple[object, ...]]: ...
    def drop_all(self, connection: BaseDatabaseWrapper) -> None: ...


VENDORS: dict[str, Vendor] = {"sqlite": sqlite, "postgresql": postgresql}


def triggers(connection: BaseDatabaseWrapper) -> list[Trigger]:
    """Return every trigger that must be in place in this database."""
    return VENDORS[connection.vendor].triggers(connection)


def installed(connection: BaseDatabaseWrapper = default) -> dict[str, tuple[object, ...]]:
    """Return the safeguards there are, by name, as the catalog shows them; the first part is the table."""
    return VENDORS[connection.vendor].installed(connection)


@dataclass(frozen=True)
class Missing:
    """A trigger that is not there, or not as it should be."""

    trigger: str
    table: str
    why: str

    def __str__(self) -> str:
        return f"{self.trigger} on {self.table} {self.why}"


def install(connection: BaseDatabaseWrapper = default) -> list[Missing]:
    """Put every safeguard in place whose table exists, and return what was missing; do nothing if all are in place."""
    if connection.vendor not in VENDORS or not (lacking := missing(connection)):
        return []
    with transaction.atomic(using=connection.alias):
        remove(connection)
        tables = _tables_as_in_code(connection)
        with connection.cursor() as cursor:
            for trigger in triggers(connection):
                if trigger.table in tables:
                    for sql in trigger.sql:
                        cursor.execute(sql)
    return lacking


def remove(connection: BaseDatabaseWrapper = default) -> None:
    """Remove every safeguard, those of earlier versions too."""
    if connection.vendor not in VENDORS:
        return
    with transaction.atomic(using=connection.alias):
        VENDORS[connection.vendor].drop_all(connection)


def missing(connection: BaseDatabaseWrapper = default) -> list[Missing]:
    """Return the safeguards that are not in place as the code says, of the tables that exist."""
    if connection.vendor not in VENDORS:
        return []
    there = installed(connection)
    wanted = [trigger for trigger in triggers(connection) if there.get(trigger.name) != trigger.shown]
    if not wanted and len(there) == len(triggers(connection)):
        return []
    tables = set(connection.introspection.table_names())
    known = {trigger.name for trigger in triggers(connection)}
    return [
        Missing(trigger.name, trigger.table, "differs" if trigger.name in there else "is missing")
        for trigger in wanted
        if trigger.table in tables
    ] + [Missing(name, str(found[0]), "is not known") for name, found in sorted(there.items()) if name not in known]


def _tables_as_in_code(connection: BaseDatabaseWrapper) -> set[str]:
    """Return the protected tables with the columns of their models: not so after a migrate to a former state."""
    there = set(connection.introspection.table_names())
    found = set()
    with connection.cursor() as cursor:
        for table in protected_tables():
            if table in there:
                # Django's description of a table parses its SQL on SQLite, which takes most of the time of installing.
                cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)} WHERE 1 = 0")
                columns = {each[0] for each in cursor.description}
                if {field.column for field in refusals_of(table)[0].model._meta.concrete_fields} <= columns:
                    found.add(table)
    return found


def before_migrate(*, using: str, plan: object = None, **kwargs: object) -> None:
    """Remove the safeguards where there is something to migrate; receives pre_migrate."""
    if plan:
        remove(connections[using])


def after_migrate(*, using: str, **kwargs: object) -> None:
    """Put the safeguards in place; receives post_migrate, at the end of a flush too."""
    install(connections[using])


def listed(lacking: list[Missing]) -> str:
    """Write the first few of what is missing."""
    return "; ".join(map(str, lacking[:5])) + (f"; and {len(lacking) - 5} more" if len(lacking) > 5 else "")


@checks.register(checks.Tags.database)
def check_safeguards(databases: Iterable[str] | None = None, **kwargs: object) -> list[checks.CheckMessage]:
    """Fail if a safeguard is missing; warn only while migrations wait, for they put all in place at their end."""
    found: list[checks.CheckMessage] = []
    for alias in databases or ():
        connection = connections[alias]
        if not (lacking := missing(connection)):
            continue
        message = f"Safeguards of the database “{alias}” are not in place: {listed(lacking)}."
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            found.append(checks.Warning(message, hint="Run `manage.py initialize`.", id="billing.W001"))
        else:
            hint = "Find out who removed them, then run `manage.py initialize`: it restores them."
            found.append(checks.Error(message, hint=hint, id="billing.E001"))
    return found


def said(error: BaseException) -> str:
    """Return what a safeguard said, without our signature and what the driver adds; "" for any other error."""
    match = re.search(re.escape(SIGNATURE) + r"([^\n]+)", str(error)) if isinstance(error, IntegrityError) else None
    return match[1][:1].upper() + match[1][1:] if match else ""

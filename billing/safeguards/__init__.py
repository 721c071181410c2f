"""Triggers by which the database itself refuses to change what stands, whoever asks and however.

Verbs refuse first (`closing.require_open`), querysets second (`models.standing`). What gets past both, a slip of the
program or SQL typed by hand, ends here. The SQL is made from refusals kept in Python, one text for each database. It
is installed after every migrate and removed before one, never by a migration: on SQLite, rebuilding a table silently
drops its triggers, and a trigger that names a table that is being rebuilt breaks the migration.
"""

from .installing import (
    Missing,
    after_migrate,
    before_migrate,
    install,
    installed,
    listed,
    missing,
    remove,
    said,
    triggers,
)
from .of_billing import register_own
from .refusals import ALL, Refusal, frozen, in_shut_months, kept_for_ever, refusals, register
from .sqlite import as_one_statement

__all__ = [
    "ALL",
    "Missing",
    "Refusal",
    "after_migrate",
    "as_one_statement",
    "before_migrate",
    "frozen",
    "in_shut_months",
    "install",
    "installed",
    "kept_for_ever",
    "listed",
    "missing",
    "refusals",
    "register",
    "register_own",
    "remove",
    "said",
    "triggers",
]

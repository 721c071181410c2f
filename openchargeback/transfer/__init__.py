"""Every row of the database in one form for SQLite and PostgreSQL: read at one moment, and loaded into an empty one.

Which tables and columns there are is read from the migrations that the database has, not from the models: so it also
works while the program is newer than its database.
"""

from .loading import CannotLoad, analyze, applied, copy, is_unused, load, make_tables, ours
from .reading import last_numbers, rows
from .tables import Column, Row, Table, UnknownColumn, tables_of
from .targets import NotConnected, connected, without_password

__all__ = [
    "CannotLoad",
    "Column",
    "NotConnected",
    "Row",
    "Table",
    "UnknownColumn",
    "analyze",
    "applied",
    "connected",
    "copy",
    "is_unused",
    "last_numbers",
    "load",
    "make_tables",
    "ours",
    "rows",
    "tables_of",
    "without_password",
]

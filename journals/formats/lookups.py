"""Lookup tables as formats read them: a row is found by what a line says, on a day (pure)."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from billing.errors import BillingError, NextStep
from billing.texts import long_date, quoted

from ..spans import Span, holds_on

Key = tuple[str, ...]

# What rows can be found by; segments besides, as segments.NAME.
KEYS = ("fund_org", "account", "source", "project", "service", "pi_email", "grant_number", "request_id")


class LookupMissing(BillingError):
    """A lookup table, a column or a row of it is not there. `table` is the table's name."""

    def __init__(self, message: str, table: str) -> None:
        super().__init__(message, then=NextStep("lookups", {"table": table}))
        self.table = table


@dataclass(frozen=True)
class Row:
    """The values of a key, and the days on which they hold."""

    span: Span
    values: Mapping[str, str]

    def holds_on(self, day: datetime.date) -> bool:
        return holds_on(self.span, day)


@dataclass(frozen=True)
class Table:
    """A version of a lookup table: what rows are found by, what they have, and the rows by their keys."""

    name: str
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    rows: Mapping[Key, Sequence[Row]]

    def values(self, key: Key, day: datetime.date) -> Mapping[str, str]:
        """Return the values of a key on a day. Raises LookupMissing."""
        told = ", ".join(f"{name} {quoted(part)}" for name, part in zip(self.keys, key, strict=True))
        if empty := [name for name, part in zip(self.keys, key, strict=True) if not part]:
            said = f"the line has no {', '.join(empty)}, or stands for several that differ in it"
            raise LookupMissing(f"{self.name} goes by {' and '.join(self.keys)}, and {said}.", self.name)
        rows = self.rows.get(key, ())
        for row in rows:
            if row.holds_on(day):
                return row.values
        on = f" on {long_date(day)}" if rows else ""
        raise LookupMissing(f"{self.name} has no row for {told}{on}.", self.name)


@dataclass
class Lookups:
    """The tables that a journal is written with, each read once it is needed, and the day its rows hold on."""

    day: datetime.date = datetime.date.min
    read: Callable[[str], Table | None] = lambda name: None
    # Of a made-up journal the values of any row.
    is_sample: bool = False
    _known: dict[str, Table | None] = field(default_factory=dict)

    def value(self, name: str, said: Callable[[str], str]) -> str:
        """Return what `TABLE.COLUMN` is for a line, of which `said` returns what it says by a name.

        Raises LookupMissing.
        """
        table_name, _, column = name.partition(".")
        if table_name not in self._known:
            self._known[table_name] = self.read(table_name)
        table = self._known[table_name]
        if table is None:
            raise LookupMissing(f"There is no lookup table {table_name}. Load it.", table_name)
        if column not in table.columns:
            has = ", ".join(table.columns)
            raise LookupMissing(f"The lookup table {table_name} has no column {column}. It has: {has}.", table_name)
        if self.is_sample:
            return next(iter(table.rows.values()))[0].values.get(column, "")
        return table.values(tuple(said(each) for each in table.keys), self.day).get(column, "")

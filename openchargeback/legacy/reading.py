"""The database of the FastAPI version, read as it stands: its months, sources, charges, and what was done with them.

Its tables are those of its schema version 9 (`billing_periods`, `sources`, `charges`, `statements`, `imports`,
`email_logs`, `journal_exports`, `users`, `review_logs`). Earlier ones lack columns and tables, later ones have more:
what is not there reads as nothing.
"""

import contextlib
import datetime
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from django.utils import timezone

from billing.errors import BillingError

NEEDED = {
    "billing_periods": ("id", "period", "status"),
    "sources": ("id", "name"),
    "charges": ("id", "billing_period_id", "source_id", "billed_cost", "pi_email"),
}
_CHARGE = (
    *("id", "charge_period_start", "charge_period_end", "list_cost", "contracted_cost", "billed_cost"),
    *("effective_cost", "resource_id", "resource_name", "service_name", "pi_email", "project_id", "fund_org"),
    *("reference_1", "reference_2", "raw_tags", "needs_review", "review_reason", "reviewed_at", "reviewed_by"),
    *("rejected_at", "rejected_by", "rejection_note"),
)


class NotLegacy(BillingError):
    """A file is no database of the FastAPI version, or one that cannot be read."""


@dataclass(frozen=True)
class LegacyPeriod:
    """A month as it stood there: open, closed or finalized."""

    pk: int
    month: str
    status: str
    closed_at: str
    closed_by: str
    finalized_at: str
    finalized_by: str
    notes: str


@dataclass(frozen=True)
class LegacyCharge:
    """A charge as it stood there. Amounts are what its floats print, to the last digit."""

    pk: int
    start: str
    end: str
    list_cost: Decimal | None
    contracted_cost: Decimal | None
    billed_cost: Decimal
    effective_cost: Decimal | None
    resource_id: str
    resource_name: str
    service_name: str
    pi_email: str
    project_id: str
    fund_org: str
    reference_1: str
    reference_2: str
    tags: dict[str, Any]
    state: str
    reason: str
    decided_by: str
    decided_at: str
    note: str


@dataclass(frozen=True)
class LegacyStatement:
    """What a PI was told a month comes to, and when it was e-mailed."""

    pi_email: str
    total: Decimal
    sent_at: datetime.datetime | None


@dataclass(frozen=True)
class LegacyExport:
    """A journal that was handed on."""

    format: str
    file_name: str
    at: datetime.datetime | None
    by: str
    total: Decimal


@dataclass(frozen=True)
class LegacyUser:
    """Somebody who could sign in there."""

    username: str
    email: str
    name: str
    role: str


class LegacyDatabase:
    """A database of the FastAPI version, opened to be read."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        columns = connection.execute(
            "SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table'"
        )
        self._columns: dict[str, set[str]] = {}
        for table, column in columns.fetchall():
            self._columns.setdefault(table, set()).add(column)
        for table, needed in NEEDED.items():
            if lacking := sorted(set(needed) - self._columns.get(table, set())):
                raise NotLegacy(
                    f"This is no database of the FastAPI version: its table {table} "
                    + (f"lacks {', '.join(lacking)}." if table in self._columns else "is missing.")
                )

    def periods(self) -> list[LegacyPeriod]:
        """Return its months, the earliest first."""
        wanted = ("id", "period", "status", "closed_at", "closed_by", "finalized_at", "finalized_by", "notes")
        return [
            LegacyPeriod(
                row["id"],
                _text(row["period"]),
                _text(row["status"]) or "open",
                *(_text(row[name]) for name in wanted[3:]),
            )
            for row in self._rows("billing_periods", wanted, "ORDER BY period")
        ]

    def sources(self) -> dict[int, tuple[str, str]]:
        """Return name and display name of its sources, by id."""
        rows = self._rows("sources", ("id", "name", "display_name"), "ORDER BY id")
        return {row["id"]: (_text(row["name"]), _text(row["display_name"])) for row in rows}

    def charges(self, period: LegacyPeriod, sources: Sequence[int]) -> Iterator[LegacyCharge]:
        """Read the charges of a month that are of any of these sources, in the order they came.

        Raises NotLegacy for an amount that is none, by the number of its row.
        """
        marks = ", ".join("?" * len(sources))
        where = f"WHERE billing_period_id = ? AND source_id IN ({marks}) ORDER BY id"
        for row in self._rows("charges", _CHARGE, where, (period.pk, *sources)):
            yield _charge(row)

    def sources_of(self, period: LegacyPeriod) -> list[int]:
        """Return the ids of the sources that a month has charges of."""
        found = self._connection.execute(
            "SELECT DISTINCT source_id FROM charges WHERE billing_period_id = ? ORDER BY source_id", (period.pk,)
        )
        return [pk for (pk,) in found.fetchall()]

    def statements(self, period: LegacyPeriod) -> list[LegacyStatement]:
        """Return the statements of a month: one for each PI, or for each of their projects in later versions."""
        rows = self._rows("statements", ("pi_email", "total_cost", "sent_at"), *_of_period(period))
        return [
            LegacyStatement(_text(row["pi_email"]), _amount(row["total_cost"]) or Decimal(0), moment_of(row["sent_at"]))
            for row in rows
        ]

    def exports(self, period: LegacyPeriod) -> list[LegacyExport]:
        """Return the journals of a month that were exported, the earliest first."""
        wanted = ("format", "filename", "exported_at", "exported_by", "total_cost")
        rows = self._rows("journal_exports", wanted, *_of_period(period, order="exported_at, id"))
        return [
            LegacyExport(
                _text(row["format"]),
                _text(row["filename"]),
                moment_of(row["exported_at"]),
                _text(row["exported_by"]),
                _amount(row["total_cost"]) or Decimal(0),
            )
            for row in rows
        ]

    def users(self) -> list[LegacyUser]:
        wanted = ("username", "email", "display_name", "role")
        rows = self._rows("users", wanted, "ORDER BY username")
        return [LegacyUser(*(_text(row[name]) for name in wanted)) for row in rows]

    def lost(self, period: LegacyPeriod) -> list[tuple[str, Decimal]]:
        """Return what its review log tells of charges that are gone: the action and the amount of each.

        Versions before 9 deleted a charge that was rejected.
        """
        if "review_logs" not in self._columns:
            return []
        found = self._connection.execute(
            "SELECT action, amount FROM review_logs WHERE billing_period_id = ? "
            "AND charge_id NOT IN (SELECT id FROM charges) ORDER BY id",
            (period.pk,),
        )
        return [(_text(action), _amount(amount) or Decimal(0)) for action, amount in found.fetchall()]

    def count(self, table: str) -> int:
        """Return how many rows a table has; 0 for one that is not there."""
        if table not in self._columns:
            return 0
        return int(self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 (named here)

    def _rows(
        self, table: str, wanted: Sequence[str], rest: str = "", arguments: Sequence[object] = ()
    ) -> Iterator[sqlite3.Row]:
        """Read columns of a table; those that this version lacks are null, and a table that it lacks has no rows."""
        there = self._columns.get(table)
        if there is None:
            return iter(())
        named = ", ".join(name if name in there else f"NULL AS {name}" for name in wanted)
        # Names and conditions are those of this module.
        return iter(self._connection.execute(f"SELECT {named} FROM {table} {rest}", arguments))  # noqa: S608


@contextlib.contextmanager
def opened(path: Path) -> Iterator[LegacyDatabase]:
    """Open a database of the FastAPI version to be read, as it stands at one moment. Raises NotLegacy."""
    if not path.is_file():
        raise NotLegacy(f"There is no file {path}. Name the database of the FastAPI version, such as billing.db.")
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    connection.row_factory = sqlite3.Row
    # Some of its texts may come from files in other encodings.
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    try:
        connection.execute("BEGIN")
        yield LegacyDatabase(connection)
    except sqlite3.DatabaseError as error:
        raise NotLegacy(f"{path.name} cannot be read as a database of the FastAPI version: {error}.") from error
    finally:
        connection.close()


def moment_of(value: object) -> datetime.datetime | None:
    """Read a moment, which it wrote in the local time of its machine; None for nothing, or what is none."""
    text = _text(value)
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)


def _of_period(period: LegacyPeriod, order: str = "id") -> tuple[str, tuple[int]]:
    return f"WHERE billing_period_id = ? ORDER BY {order}", (period.pk,)


def _charge(row: sqlite3.Row) -> LegacyCharge:
    state, by, at = _standing(row)
    try:
        costs = {name: _amount(row[name]) for name in ("list_cost", "contracted_cost", "billed_cost", "effective_cost")}
    except InvalidOperation:
        raise NotLegacy(f"Row {row['id']} of its table charges has an amount that is no number.") from None
    return LegacyCharge(
        pk=row["id"],
        start=_text(row["charge_period_start"]),
        end=_text(row["charge_period_end"]),
        list_cost=costs["list_cost"],
        contracted_cost=costs["contracted_cost"],
        billed_cost=costs["billed_cost"] or Decimal(0),
        effective_cost=costs["effective_cost"],
        resource_id=_text(row["resource_id"]),
        resource_name=_text(row["resource_name"]),
        service_name=_text(row["service_name"]),
        pi_email=_text(row["pi_email"]),
        project_id=_text(row["project_id"]),
        fund_org=_text(row["fund_org"]),
        reference_1=_text(row["reference_1"]),
        reference_2=_text(row["reference_2"]),
        tags=_tags(row["raw_tags"]),
        state=state,
        reason=_text(row["review_reason"]),
        decided_by=by,
        decided_at=at,
        note=_text(row["rejection_note"]),
    )


def _standing(row: sqlite3.Row) -> tuple[str, str, str]:
    """Return what became of a charge, and by whom and when: rejected, held, approved, or clear from the start."""
    if row["rejected_at"] is not None:
        return "rejected", _text(row["rejected_by"]), _text(row["rejected_at"])
    if row["needs_review"]:
        return "held", "", ""
    if row["reviewed_at"] is not None:
        return "approved", _text(row["reviewed_by"]), _text(row["reviewed_at"])
    return "clear", "", ""


def _tags(value: object) -> dict[str, Any]:
    try:
        tags = json.loads(_text(value) or "{}")
    except ValueError:
        return {}
    return tags if isinstance(tags, dict) else {}


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _amount(value: object) -> Decimal | None:
    """Return a float as the number it prints as; raise InvalidOperation for what is none."""
    if value is None:
        return None
    amount = Decimal(repr(value) if isinstance(value, float) else str(value))
    if not amount.is_finite():
        raise InvalidOperation
    return amount

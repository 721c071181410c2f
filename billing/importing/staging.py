"""A delivery's rows beside the charges: temporary tables, filled by stream, applied by one INSERT ... SELECT."""

import hashlib
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from django.db import connection, models

from .. import numbering
from ..attribution import OWNER_COLUMNS
from ..copy_text import DELIMITER, fields_of, joined
from ..fields import AmountField, sum_sql, units_of_sum
from ..models import BillingPeriod, Charge, Flag, Import
from ..readers.columns import TEXTS
from ..readers.spelling import BESIDE, IDS, compared
from ..readers.understanding import FACTS, HASH_BYTES, IDENTITY
from ..safeguards import walls
from . import copying
from .converting import Converted
from .live_charges import Span, span_of
from .matching import hashes_at

# Rows taken from a cursor at once.
CHUNK = 20_000

# The columns of Flag that are given; its id gives itself.
FLAG_COLUMNS = ("charge_id", "code", "detail", "is_resolved")

# The columns of a staged row; `month` and `attribution` become keys when it is applied.
STAGED = ("row", "file_number", "month", "attribution", "state", *FACTS)
# Those that are not columns of Charge, with their types (the same on both databases).
_OWN_TYPES = {"row": "bigint", "month": "integer", "attribution": "integer"}

_FACTS = ("file_number", *FACTS)

_OWNER_TYPES = ", ".join(f"{name} {'bigint' if name.endswith('_id') else 'text'}" for name in OWNER_COLUMNS)

# Who pays, which a decision on the charge before it outlives.
_WHO_PAYS = tuple(name for name in OWNER_COLUMNS if name != "attributed_by")

# What the delivery changes or no longer has.
_DISPLACED = (
    "SELECT charge_id FROM stage_gone UNION ALL SELECT replaces_id FROM stage_keep WHERE replaces_id IS NOT NULL"
)

# The charge before was somebody's to pay (or rejected): a late change of it is for the same.
_CHARGED_THEN = "(o.id IS NOT NULL AND o.state <> 'held')"

# It was nobody's to pay yet, but somebody decided whose it is: what replaces it waits for the same.
_HELD_FOR = "(o.state = 'held' AND o.attributed_by = 'decision')"

# Nobody has said yet whether the charge before was the same cost as another.
_ASKED = (
    "(o.state = 'held' AND EXISTS (SELECT 1 FROM billing_flag f WHERE f.charge_id = o.id "
    "AND f.code = 'possible_duplicate' AND NOT f.is_resolved))"
)

_DECIDED = "(o.state IN ('approved', 'rejected', 'absorbed') OR o.attributed_by = 'decision')"


def charge_columns() -> list[str]:
    """Return the columns of the charge table, from the model."""
    return [str(field.column) for field in Charge._meta.concrete_fields]


# What makes a row the same cost as another, beside its accounts and resource.
_COST = (
    *("billed_cost", "charge_period_start", "charge_period_end", "currency"),
    *("service_name", "sku_id", "charge_category", "charge_class"),
)


class Hashes(NamedTuple):
    """Rows by number, with the hashes of 16 bytes each and a mark where they have a ResourceId."""

    rows: npt.NDArray[np.int64]
    contents: bytearray
    identities: bytearray
    with_resource: bytearray


class Keys(NamedTuple):
    """Rows or charges by number, with hashes of 16 bytes of all they say, and of who they are, but the invoice id."""

    numbers: npt.NDArray[np.int64]
    wholes: bytearray
    identities: bytearray


# The identity of a row but for its invoice id comes first, then whatever else it says.
_IDENTIFYING = (
    *(TEXTS[name] for name in IDENTITY if name != "InvoiceId"),
    "resource_id",
    "resource_name",
    "charge_period_start",
    "charge_period_end",
)
_SAYING = tuple(
    name
    for name in _FACTS
    if name not in _IDENTIFYING
    and name not in ("invoice_id", "content_hash", "identity_hash", "file_number", "line_number", "row_count")
)


class Stage:
    """The temporary tables of one delivery on this connection; a context that takes them away again.

    They are filled outside any transaction and never touch the main database's write lock: on
    SQLite temporary tables live in a file of their own, on PostgreSQL they are filled by COPY.
    """

    TABLES = {
        "stage_row": None,
        "stage_flag": "row bigint, code text, detail text, is_resolved boolean NOT NULL DEFAULT false",
        "stage_attribution": f"number integer PRIMARY KEY, {_OWNER_TYPES}",
        "stage_month": "month integer PRIMARY KEY, period_id bigint",
        "stage_keep": "row bigint PRIMARY KEY, ordinal bigint, replaces_id bigint",
        "stage_gone": "charge_id bigint PRIMARY KEY",
        "stage_left": "number bigint PRIMARY KEY",
    }

    def __init__(self, *, remembers: bool = False) -> None:
        """`remembers` keeps the hashes of the rows at hand (37 bytes a row), for a delivery that will be matched."""
        self.remembers = remembers
        self._months = array("i")
        self._contents, self._identities, self._with_resource = bytearray(), bytearray(), bytearray()
        self.is_postgresql = connection.vendor == "postgresql"
        self.takes_lines = self.is_postgresql
        self.rows = 0
        # When the first charge period of the rows begins, and the last.
        self.span: Span | None = None
        # Whether `stage_keep` says which rows become charges; until then all of them do, as new ones.
        self.is_chosen = False
        # Whether any row has an invoice id, and whether any has none.
        self.has_invoices = self.lacks_invoices = False
        self._copier: copying.Copier | None = None

    def __enter__(self) -> "Stage":
        columns = ", ".join(f"{name} {_type_of(name)}" for name in STAGED)
        if self.is_postgresql and self.remembers:
            # Of what is matched a few rows are asked for, again and again; nobody waits for the index meanwhile.
            columns += ", PRIMARY KEY (row)"
        self._drop()
        with connection.cursor() as cursor:
            for table, definition in self.TABLES.items():
                cursor.execute(f"CREATE TEMPORARY TABLE {table} ({definition or columns})")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._copier:
            self._copier.close()
        # A broken transaction on PostgreSQL takes no more commands; the next stage drops them then.
        if not connection.needs_rollback:
            self._drop()

    def _drop(self) -> None:
        with connection.cursor() as cursor:
            for table in self.TABLES:
                cursor.execute(f"DROP TABLE IF EXISTS {'pg_temp' if self.is_postgresql else 'temp'}.{table}")

    def add(self, converted: Converted) -> None:
        """Append a batch of rows and their flags; `settle` says that they are there."""
        said = converted.said
        numbered = (
            converted.rows,
            converted.file_numbers,
            converted.months,
            converted.attributed,
            converted.states,
        )
        fill = self.fill
        if self.is_postgresql:
            self._copier = self._copier or copying.Copier()
            self._copier.add_lines("stage_row", joined([*map(fields_of, numbered), said.written]), STAGED)
            fill = self._copier.add
        else:
            fill("stage_row", [*numbered, *said.columns], STAGED)
        self.has_invoices = self.has_invoices or said.has_invoices
        self.lacks_invoices = self.lacks_invoices or said.lacks_invoices
        if self.remembers:
            self._months.extend(converted.months)
            self._contents += said.contents
            self._identities += said.identities
            self._with_resource += said.with_resource
        self.span = span_of(said.starts, self.span)
        if converted.flags:
            fill("stage_flag", list(zip(*converted.flags, strict=True)), ("row", "code", "detail"))
        self.rows += len(converted.rows)

    def settle(self) -> None:
        """Wait until all rows that were added are there."""
        if self._copier:
            self._copier.settle()

    def fill(self, table: str, columns: Sequence[Sequence[Any]], names: Sequence[str]) -> None:
        """Append values, given column by column, to one of the temporary tables."""
        if self.is_postgresql:
            copying.copy(table, columns, names)
        else:
            marks = ", ".join("?" * len(names))
            sql = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"
            with connection.cursor() as cursor:
                # Past Django's wrapper, which would look at every row, and in a transaction of its own:
                # a deferred one that touches temporary tables only leaves the main database alone.
                raw = cursor.connection
                is_outside = not connection.in_atomic_block
                if is_outside:
                    raw.execute("BEGIN DEFERRED")
                raw.executemany(sql, zip(*columns, strict=True))
                if is_outside:
                    raw.execute("COMMIT")

    def fill_rows(self, table: str, rows: Iterable[Sequence[Any]]) -> None:
        """The same, given row by row."""
        listed = list(rows)
        if listed:
            names = [part.split()[0] for part in (self.TABLES[table] or "").split(", ")]
            self.fill(table, list(zip(*listed, strict=True)), names)

    def hashes(self, months: Iterable[int]) -> "Hashes":
        """Return the hashes of the rows in months, in file order.

        From memory where they were remembered while the rows came; else from the table, whose rows are wide.
        """
        wanted = [int(month) for month in months]
        if self.remembers:
            chosen = np.isin(np.frombuffer(self._months, dtype=np.int32), wanted)
            rows = np.flatnonzero(chosen) + 1
            if len(rows) == self.rows:
                return Hashes(rows, self._contents, self._identities, self._with_resource)
            return Hashes(
                rows,
                hashes_at(self._contents, chosen),
                hashes_at(self._identities, chosen),
                hashes_at(self._with_resource, chosen, size=1),
            )
        numbers, contents, identities, with_resource = array("q"), bytearray(), bytearray(), bytearray()
        sql = f"""
            SELECT row, content_hash, identity_hash, resource_id <> '' FROM stage_row
            WHERE month IN ({", ".join(map(str, wanted))}) ORDER BY row
        """
        for row, content, identity, has_resource in _stream(sql):
            numbers.append(row)
            contents += content
            identities += identity
            with_resource.append(bool(has_resource))
        return Hashes(np.frombuffer(numbers, dtype=np.int64), contents, identities, with_resource)

    def delivered(self, months: Iterable[int]) -> Iterator[tuple[int, int, int, bool]]:
        """Yield (row, file number, month, whether it is a cost of a resource) of months, as `hashes` orders them."""
        wanted = ", ".join(str(int(month)) for month in months)
        yield from _stream(
            "SELECT row, file_number, month, "
            "resource_id <> '' AND (billed_cost <> 0 OR coalesce(effective_cost, 0) <> 0) "
            f"FROM stage_row WHERE month IN ({wanted}) ORDER BY row"
        )

    def in_several_files(self, files: Collection[int]) -> Iterator[tuple[int, int, bytes]]:
        """Yield (row, file number, content) of the new costs of a resource that are in more than one of some files."""
        costs = (
            f"file_number IN ({', '.join(str(int(number)) for number in files)}) "
            "AND resource_id <> '' AND (billed_cost <> 0 OR coalesce(effective_cost, 0) <> 0)"
        )
        new = "AND EXISTS (SELECT 1 FROM stage_keep k WHERE k.row = s.row AND k.replaces_id IS NULL)"
        for row, file, content in _stream(
            f"SELECT s.row, s.file_number, s.content_hash FROM stage_row s WHERE {costs} AND s.content_hash IN "
            f"(SELECT content_hash FROM stage_row WHERE {costs} GROUP BY content_hash "
            f"HAVING min(file_number) < max(file_number)) {new if self.is_chosen else ''} ORDER BY s.row"
        ):
            yield int(row), int(file), bytes(content)

    def doubt(self, code: str, states: Mapping[str, Sequence[tuple[int, str]]]) -> None:
        """Flag rows (and say why) with a code, by the state they have then; without one it is answered already."""
        for state, rows in states.items():
            self.fill_rows("stage_flag", ((row, code, detail, not state) for row, detail in rows))
            if state:
                self._leave(np.array([row for row, _ in rows], dtype=np.int64))
                with connection.cursor() as cursor:
                    cursor.execute(
                        "UPDATE stage_row SET state = %s WHERE row IN (SELECT number FROM stage_left)", [state]
                    )

    def flagged_otherwise(self, rows: Sequence[int]) -> int:
        """Return how many of these rows have a flag."""
        self._leave(np.array(rows, dtype=np.int64))
        ((count,),) = _stream("SELECT count(DISTINCT row) FROM stage_flag WHERE row IN (SELECT number FROM stage_left)")
        return int(count)

    def costs_elsewhere(
        self, sources: Iterable[int], period_ids: Iterable[int]
    ) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """Return the new rows, and the charges of other sources in some months, that are alike as costs of a resource.

        Each with its number and content, what both have in common, and the ids of billing account, sub account and
        resource as they are spelled. Neither what a late change took back counts nor what was rejected as the same.
        """
        temp = "" if self.is_postgresql else "temp."
        with connection.cursor() as cursor:
            # By the resource first: where a price is flat, many resources cost the same at the same time.
            cursor.execute(
                f"CREATE INDEX IF NOT EXISTS {temp}stage_cost ON stage_row "
                "(lower(rtrim(resource_id, '/')), billed_cost, charge_period_start)"
            )
            if self.is_postgresql:
                cursor.execute("ANALYZE stage_row")
        new = "AND EXISTS (SELECT 1 FROM stage_keep k WHERE k.row = s.row AND k.replaces_id IS NULL)"
        equal = " AND ".join(f"s.{name} = c.{name}" for name in _COST)
        # In this order: the charges lie together by source and month, and the rows have an index.
        alike = f"""
            FROM billing_charge c CROSS JOIN stage_row s
            WHERE c.source_id IN ({", ".join(str(int(pk)) for pk in sources)})
            AND c.period_id IN ({", ".join(str(int(pk)) for pk in period_ids)})
            AND c.withdrawn_in_id IS NULL AND c.reverses_id IS NULL AND c.resource_id <> '' AND c.billed_cost <> 0
            AND {equal} AND lower(rtrim(s.resource_id, '/')) = lower(rtrim(c.resource_id, '/'))
            AND NOT EXISTS (SELECT 1 FROM billing_charge r WHERE r.reverses_id = c.id AND r.withdrawn_in_id IS NULL)
            AND NOT (c.state = 'rejected' AND EXISTS (
                SELECT 1 FROM billing_flag f WHERE f.charge_id = c.id AND f.code = 'possible_duplicate'))
            {new if self.is_chosen else ""}
        """
        ids = ("billing_account_id", "sub_account_id", "resource_id")
        rows = ", ".join(f"s.{name}" for name in ("row", "content_hash", *_COST, *ids))
        charges = ", ".join(f"c.{name}" for name in ("id", "content_hash", *_COST, *ids))
        return (
            list(_stream(f"SELECT DISTINCT {rows} {alike} ORDER BY s.row")),
            list(_stream(f"SELECT DISTINCT {charges} {alike} ORDER BY c.id")),
        )

    def without_invoice(
        self, rows: npt.NDArray[np.int64], charge_ids: npt.NDArray[np.int64], periods: Mapping[int, int]
    ) -> tuple[Keys, Keys] | None:
        """Return keys of rows and charges by which one may be the other with its invoice id filled in, or taken out.

        None where there are none: on one side there has to be an id, and on the other none. `periods` maps
        the months of rows to the ids of their periods.
        """
        self._leave(charge_ids)
        charges = "FROM billing_charge c JOIN stage_left l ON l.number = c.id"
        ((total, blank),) = _stream(f"SELECT count(*), count(*) FILTER (WHERE c.invoice_id = '') {charges}")
        filled_in, taken_out = blank and self.has_invoices, total > blank and self.lacks_invoices
        if not (filled_in or taken_out):
            return None
        wanted = [sign for sign, is_wanted in (("=", filled_in), ("<>", taken_out)) if is_wanted]
        either = " OR ".join(f"c.invoice_id {sign} ''" for sign in wanted)
        of_charges = _keys_of(
            f"SELECT c.id, c.period_id, c.invoice_id = '', {_listed('c')} {charges} WHERE {either} ORDER BY c.id"
        )
        self._leave(rows)
        either = " OR ".join(f"s.invoice_id {'<>' if sign == '=' else '='} ''" for sign in wanted)
        of_rows = _keys_of(
            f"SELECT s.row, s.month, s.invoice_id <> '', {_listed('s')} "
            f"FROM stage_row s JOIN stage_left l ON l.number = s.row WHERE {either} ORDER BY s.row",
            periods,
        )
        return of_rows, of_charges

    def _leave(self, numbers: npt.NDArray[np.int64]) -> None:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM stage_left")
        for start in range(0, len(numbers), CHUNK):
            self.fill("stage_left", [numbers[start : start + CHUNK].tolist()], ("number",))

    def keep(self, rows: npt.NDArray[np.int64], replaced: npt.NDArray[np.int64]) -> None:
        """Have these rows become charges, in this order, and take the place of these; 0 is for none."""
        self.is_chosen = True
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK].tolist()
            of_charges = [charge_id or None for charge_id in replaced[start : start + CHUNK].tolist()]
            ordinals = range(start, start + len(part))
            self.fill("stage_keep", [part, ordinals, of_charges], ("row", "ordinal", "replaces_id"))
        if self.is_postgresql:
            # Nobody else looks at temporary tables: that few rows of many are asked for would not be known.
            with connection.cursor() as cursor:
                cursor.execute("ANALYZE stage_row (row)")
                cursor.execute("ANALYZE stage_keep")

    def kept_months(self) -> list[int]:
        """Return the months of the rows that are to be inserted."""
        rows = _stream("SELECT DISTINCT s.month FROM stage_row s JOIN stage_keep k ON k.row = s.row")
        return [month for (month,) in rows]

    def gone_by_period(self) -> dict[int, int]:
        """Return how many charges are to be withdrawn, by the id of their period."""
        return dict(
            _stream(
                "SELECT c.period_id, count(*) FROM billing_charge c JOIN stage_gone g ON g.charge_id = c.id "
                "GROUP BY c.period_id"
            )
        )

    def spare(self, period: BillingPeriod, account: str) -> None:
        """Withdraw nothing of a billing account."""
        with connection.cursor() as cursor:
            cursor.execute(
                f"DELETE FROM stage_gone WHERE charge_id IN (SELECT c.id {self._GONE_OF_ACCOUNT})",
                [period.pk, account],
            )

    def gone(self) -> Iterator[tuple[int, str, str, str, str, int, int]]:
        """Yield (period id, billing account, sub account, day, currency, charges, units billed) of what leaves."""
        day = self._day("c.charge_period_start")
        for *of, charges, billed in _stream(
            f"SELECT c.period_id, c.billing_account_id, c.sub_account_id, {day}, c.currency, count(*), "
            f"{_sum('c.billed_cost')} FROM billing_charge c JOIN stage_gone g ON g.charge_id = c.id "
            "GROUP BY 1, 2, 3, 4, 5"
        ):
            yield (*of, int(charges), units_of_sum(billed) or 0)

    def new(self) -> Iterator[tuple[int, str, str, str, int, int]]:
        """Yield (month, billing account, day, currency, rows, units billed) of the rows that take no charge's place."""
        day = self._day("s.charge_period_start")
        for *of, rows, billed in _stream(
            f"SELECT s.month, s.billing_account_id, {day}, s.currency, count(*), {_sum('s.billed_cost')} "
            "FROM stage_keep k JOIN stage_row s ON s.row = k.row WHERE k.replaces_id IS NULL GROUP BY 1, 2, 3, 4"
        ):
            yield (*of, int(rows), units_of_sum(billed) or 0)

    def present(self, months: Iterable[int]) -> Iterator[tuple[int, str, str, str]]:
        """Yield each (month, billing account, sub account, day) of months that there is a row of."""
        named = ", ".join(str(int(month)) for month in months)
        day = self._day("s.charge_period_start")
        yield from _stream(
            f"SELECT DISTINCT s.month, s.billing_account_id, s.sub_account_id, {day} FROM stage_row s "
            f"WHERE s.month IN ({named})"
        )

    def _day(self, column: str) -> str:
        """SQL for the day of a time, in UTC."""
        if self.is_postgresql:
            return f"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
        return f"substr({column}, 1, 10)"

    def spare_all(self) -> None:
        """Withdraw nothing."""
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM stage_gone")

    _GONE_OF_ACCOUNT = (
        "FROM billing_charge c JOIN stage_gone g ON g.charge_id = c.id "
        "WHERE c.period_id = %s AND c.billing_account_id = %s"
    )

    def kept_sums(self) -> list[tuple[int, str, int, int, int]]:
        """Return (month, currency, rows of the files, units billed, units effective) of what is to be inserted."""
        return self._sums(
            "SELECT s.month, s.currency, sum(s.row_count), "
            f"{_sum('s.billed_cost')}, {_sum('coalesce(s.effective_cost, 0)')} "
            "FROM stage_keep k JOIN stage_row s ON s.row = k.row GROUP BY s.month, s.currency"
        )

    def sums_by_attribution(self) -> list[tuple[int, str, int, int]]:
        """Return (attribution's number, currency, rows, units billed) of the rows that become charges."""
        kept = "JOIN stage_keep k ON k.row = s.row " if self.is_chosen else ""
        rows = _stream(
            f"SELECT s.attribution, s.currency, count(*), {_sum('s.billed_cost')} FROM stage_row s {kept}"
            "GROUP BY s.attribution, s.currency"
        )
        return [
            (int(number), str(currency), int(count), units_of_sum(sum) or 0) for number, currency, count, sum in rows
        ]

    def displaced_sums(self) -> list[tuple[int, int, str, int, int, int]]:
        """Return (period id, id of the month that bears it, currency, rows, units billed, effective) of what leaves."""
        return self._sums(
            f"SELECT period_id, charged_in_id, currency, sum(row_count), {_sum('billed_cost')}, "
            f"{_sum('coalesce(effective_cost, 0)')} FROM billing_charge WHERE id IN ({_DISPLACED}) "
            "GROUP BY period_id, charged_in_id, currency"
        )

    def _sums(self, sql: str) -> list[Any]:
        return [
            (*key, str(currency), int(rows), units_of_sum(billed) or 0, units_of_sum(effective) or 0)
            for *key, currency, rows, billed, effective in _stream(sql)
        ]

    def apply(self, imported: Import, *, tolerance_units: int, measures: dict[int, str]) -> tuple[int, int]:
        """Turn what is staged into charges; return the first id given out, and how many.

        Where rows are chosen, `stage_keep` names those to insert and what each replaces; else all are new. A
        replacement inherits who pays from a charge that people decided about, and their decision too, unless the
        amount of the measure moved by more than the tolerance: then it is held. `measures` maps period ids to the
        cost column that is charged there.

        Must run inside the transaction that also marks the import applied.
        """
        only_kept = self.is_chosen
        with connection.cursor() as cursor:
            self._lock_displaced(cursor)
            count = self.rows
            if only_kept:
                count = self._kept(cursor)
            first = numbering.of_charges(count) if count else 0
            if count:
                values = {"first": first, "imported": imported.pk, "source": imported.source_id}
                if only_kept:
                    values["tolerance"] = tolerance_units
                if self.is_postgresql:
                    # Compiling the statement costs seconds and gains nothing: its time goes to the indexes.
                    cursor.execute("SET LOCAL jit = off")
                with walls.as_one_statement(connection, Charge, Flag):
                    cursor.execute(self._insert_sql(only_kept, measures), values)
                    self._insert_flags(cursor, only_kept, first, measures, tolerance_units)
            cursor.execute(
                f"UPDATE billing_charge SET withdrawn_in_id = %s WHERE id IN ({_DISPLACED})",
                [imported.pk],
            )
        return first, count

    def apply_late(self, imported: Import, *, target: BillingPeriod) -> tuple[int, int, int, int]:
        """Book what is staged as late changes of `target`.

        Returns the first id given out, how many ids went to rows of the delivery, how many charges were taken
        back, and how many that `target` held are withdrawn.

        The charges that the delivery changes or no longer has stay as they are: a row in `target` takes
        each of them back, paid by whom it was paid, and what replaces it is charged there to the same
        payers. A new row goes by its own attribution. What `target` holds, be it carried over or left by an
        earlier late change, is withdrawn instead, for nobody was charged it.

        Must run inside the transaction that also marks the import applied.
        """
        with connection.cursor() as cursor:
            self._lock_displaced(cursor)
            count = self._kept(cursor)
            cursor.execute(f"SELECT count(*) FROM billing_charge o WHERE o.id IN ({_DISPLACED}) AND o.state <> 'held'")
            reversals = int(cursor.fetchone()[0])
            first = numbering.of_charges(count + reversals) if count + reversals else 0
            values = {
                "first": first,
                "imported": imported.pk,
                "source": imported.source_id,
                "target": target.pk,
                "reversals": first + count - 1,
            }
            if count:
                # Row by row as the walls look on SQLite: late changes are few.
                cursor.execute(self._late_sql(), values)
                cursor.execute(
                    f"INSERT INTO billing_flag ({_flag_columns()}) "
                    "SELECT %s + k.ordinal, f.code, f.detail, "
                    f"f.is_resolved OR (o.id IS NOT NULL AND {_HELD_FOR}) FROM stage_keep k "
                    "JOIN stage_flag f ON f.row = k.row LEFT JOIN billing_charge o ON o.id = k.replaces_id "
                    f"WHERE NOT ({_CHARGED_THEN}) ORDER BY k.ordinal",
                    [first],
                )
                self._keep_open_questions(cursor, first)
            if reversals:
                cursor.execute(_reversal_sql(), values)
            # Last, and also where nothing else is booked: nobody owes what the delivery no longer has.
            cursor.execute(
                f"UPDATE billing_charge SET withdrawn_in_id = %s WHERE id IN ({_DISPLACED}) AND state = 'held'",
                [imported.pk],
            )
            withdrawn = int(cursor.rowcount)
        return first, count, reversals, withdrawn

    def _keep_open_questions(self, cursor: Any, first: int) -> None:
        """Keep the reason of what was held for its amount, when the amount moves once more.

        And of what may be the same cost as another, for that one moves as well.
        """
        cursor.execute(
            f"INSERT INTO billing_flag ({_flag_columns()}) "
            "SELECT %(first)s + k.ordinal, f.code, f.detail, %(false)s FROM stage_keep k "
            "JOIN billing_flag f ON f.charge_id = k.replaces_id AND f.code IN ('amount_changed', 'possible_duplicate') "
            "JOIN billing_charge o ON o.id = k.replaces_id "
            "WHERE o.state = 'held' AND NOT f.is_resolved ORDER BY k.ordinal",
            {"first": first, "false": False},
        )

    def _lock_displaced(self, cursor: Any) -> None:
        """Wait for whoever is deciding about the charges that leave, so that the decision is seen and inherited.

        On SQLite the transaction holds the only write lock already.
        """
        if self.is_postgresql:
            cursor.execute(f"SELECT id FROM billing_charge WHERE id IN ({_DISPLACED}) ORDER BY id FOR NO KEY UPDATE")

    def held_elsewhere(self, target: BillingPeriod) -> list[tuple[int, int]]:
        """Return (period id, number) of the staged charges that another month than `target` holds for review."""
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT charged_in_id, count(*) FROM billing_charge WHERE id IN ({_DISPLACED}) "
                "AND state = 'held' AND charged_in_id <> %s GROUP BY charged_in_id",
                [target.pk],
            )
            return [(int(period_id), int(number)) for period_id, number in cursor.fetchall()]

    def leave_out(self, months: Iterable[int], periods: Iterable[BillingPeriod]) -> None:
        """Stage nothing of these months: none of their rows becomes a charge, none of their charges leaves."""
        numbers = ", ".join(str(int(month)) for month in months)
        ids = ", ".join(str(int(period.pk)) for period in periods)
        with connection.cursor() as cursor:
            cursor.execute(
                f"DELETE FROM stage_keep WHERE row IN (SELECT row FROM stage_row WHERE month IN ({numbers}))"
            )
            cursor.execute(
                "DELETE FROM stage_gone WHERE charge_id IN (SELECT c.id FROM stage_gone g "
                f"JOIN billing_charge c ON c.id = g.charge_id WHERE c.period_id IN ({ids}))"
            )

    def leave_out_of_file(self, number: int, months: Iterable[int]) -> None:
        """Let no row that a file has of these months become a charge."""
        named = ", ".join(str(int(month)) for month in months)
        with connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM stage_keep WHERE row IN (SELECT row FROM stage_row "
                f"WHERE file_number = %s AND month IN ({named}))",
                [number],
            )

    def kept_rows(self) -> int:
        """Return how many rows are to be inserted."""
        ((count,),) = _stream("SELECT count(*) FROM stage_keep")
        return int(count)

    def bearing(self) -> list[int]:
        """Return the ids of the periods that bear what the delivery changes or no longer has."""
        rows = _stream(f"SELECT DISTINCT charged_in_id FROM billing_charge WHERE id IN ({_DISPLACED})")
        return [int(period_id) for (period_id,) in rows]

    def flags_beside(self, months: Iterable[int]) -> tuple[dict[str, int], int]:
        """Return the number of staged flags by code, and of rows that have any, outside of some months."""
        numbers = ", ".join(str(int(month)) for month in months)
        flags = f"FROM stage_flag f JOIN stage_row s ON s.row = f.row WHERE s.month NOT IN ({numbers})"
        counts = dict(_stream(f"SELECT f.code, count(*) {flags} GROUP BY f.code ORDER BY f.code"))
        return counts, sum(rows for (rows,) in _stream(f"SELECT count(DISTINCT f.row) {flags}"))

    def choose_all(self) -> None:
        """Say of every row that it becomes a charge, where none is chosen yet, so that some can be left out."""
        if self.is_chosen:
            return
        self.is_chosen = True
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO stage_keep (row, ordinal) SELECT row, row - 1 FROM stage_row")

    def _kept(self, cursor: Any) -> int:
        """Return how many ids the kept rows take: their ordinals have gaps where some were left out."""
        cursor.execute("SELECT coalesce(max(ordinal) + 1, 0) FROM stage_keep")
        return int(cursor.fetchone()[0])

    def _late_sql(self) -> str:
        known = f"({_CHARGED_THEN} OR {_HELD_FOR})"
        taken = {name: f"s.{name}" for name in _FACTS} | {
            "id": "%(first)s + k.ordinal",
            "source_id": "%(source)s",
            "imported_in_id": "%(imported)s",
            "withdrawn_in_id": "NULL",
            "period_id": "m.period_id",
            "charged_in_id": "%(target)s",
            "replaces_id": "k.replaces_id",
            "reverses_id": "NULL",
            "is_late": "true",
            "payer_split_id": f"CASE WHEN {known} THEN o.payer_split_id END",
            "attributed_by": f"CASE WHEN {_CHARGED_THEN} THEN 'charged' WHEN {_HELD_FOR} THEN 'decision' "
            "ELSE a.attributed_by END",
            "state": f"CASE WHEN {known} OR {_ASKED} THEN o.state ELSE s.state END",
        }
        taken |= {name: f"CASE WHEN {known} THEN o.{name} ELSE a.{name} END" for name in _WHO_PAYS}
        columns = charge_columns()
        return (
            f"INSERT INTO billing_charge ({', '.join(columns)}) "
            f"SELECT {', '.join(taken[column] for column in columns)} "
            "FROM stage_keep k JOIN stage_row s ON s.row = k.row JOIN stage_month m ON m.month = s.month "
            "JOIN stage_attribution a ON a.number = s.attribution "
            "LEFT JOIN billing_charge o ON o.id = k.replaces_id ORDER BY k.ordinal"
        )

    def _insert_sql(self, by_keep: bool, measures: dict[int, str]) -> str:
        taken = {name: f"s.{name}" for name in _FACTS} | {
            "id": "%(first)s + k.ordinal" if by_keep else "%(first)s + s.row - 1",
            "source_id": "%(source)s",
            "imported_in_id": "%(imported)s",
            "withdrawn_in_id": "NULL",
            "period_id": "m.period_id",
            "charged_in_id": "m.period_id",
            "replaces_id": "k.replaces_id" if by_keep else "NULL",
            "reverses_id": "NULL",
            "is_late": "false",
            "payer_split_id": "NULL",
            "attributed_by": "a.attributed_by",
            "state": "s.state",
        }
        taken |= {name: f"a.{name}" for name in _WHO_PAYS}
        joins = "stage_row s"
        if by_keep:
            joins = "stage_keep k JOIN stage_row s ON s.row = k.row"
        joins += " JOIN stage_month m ON m.month = s.month JOIN stage_attribution a ON a.number = s.attribution"
        if by_keep:
            joins += " LEFT JOIN billing_charge o ON o.id = k.replaces_id"
            decided = f"o.id IS NOT NULL AND {_DECIDED}"
            for name in _WHO_PAYS:
                taken[name] = f"CASE WHEN {decided} THEN o.{name} ELSE a.{name} END"
            taken["payer_split_id"] = f"CASE WHEN {decided} THEN o.payer_split_id END"
            taken["attributed_by"] = f"CASE WHEN {decided} THEN 'decision' ELSE a.attributed_by END"
            taken["state"] = (
                f"CASE WHEN {_ASKED} THEN 'held' WHEN NOT ({decided}) THEN s.state "
                f"WHEN o.state IN ('approved', 'rejected', 'absorbed') AND {_moved(measures)} THEN 'held' "
                "ELSE o.state END"
            )
        columns = charge_columns()
        order = " ORDER BY k.ordinal" if by_keep else " ORDER BY s.row"
        if self.is_postgresql and not by_keep:
            # Rows come in the order they were filled in; asked for it, PostgreSQL sorts them all on disk.
            order = ""
        return (
            f"INSERT INTO billing_charge ({', '.join(columns)}) "
            f"SELECT {', '.join(taken[column] for column in columns)} FROM {joins}{order}"
        )

    def _insert_flags(
        self, cursor: Any, by_keep: bool, first: int, measures: dict[int, str], tolerance_units: int
    ) -> None:
        """Store the staged flags; those of a charge whose payer people decided count as resolved."""
        columns = _flag_columns()
        if not by_keep:
            cursor.execute(
                f"INSERT INTO billing_flag ({columns}) "
                "SELECT %s + row - 1, code, detail, is_resolved FROM stage_flag ORDER BY row",
                [first],
            )
            return
        truth = f"(o.id IS NOT NULL AND {_DECIDED})"
        cursor.execute(
            f"INSERT INTO billing_flag ({columns}) "
            f"SELECT %s + k.ordinal, f.code, f.detail, f.is_resolved OR {truth} FROM stage_keep k "
            "JOIN stage_flag f ON f.row = k.row LEFT JOIN billing_charge o ON o.id = k.replaces_id ORDER BY k.ordinal",
            [first],
        )
        cursor.execute(
            f"INSERT INTO billing_flag ({columns}) "
            f"SELECT %(first)s + k.ordinal, 'amount_changed', '', %(false)s FROM stage_keep k "
            "JOIN stage_row s ON s.row = k.row JOIN stage_month m ON m.month = s.month "
            "JOIN billing_charge o ON o.id = k.replaces_id "
            f"WHERE o.state IN ('approved', 'rejected', 'absorbed') AND {_moved(measures)} ORDER BY k.ordinal",
            {"first": first, "false": False, "tolerance": tolerance_units},
        )
        self._keep_open_questions(cursor, first)


def _listed(table: str) -> str:
    return ", ".join(f"{table}.{name}" for name in (*_IDENTIFYING, *_SAYING))


def _keys_of(sql: str, periods: Mapping[int, int] | None = None) -> Keys:
    """Return keys of what a query gives: number, period (or month, by `periods`), which side lacks the id, columns."""
    blake = hashlib.blake2b
    numbers, wholes, identities = array("q"), bytearray(), bytearray()
    resource, first_saying = 3 + _IDENTIFYING.index("resource_id"), 3 + len(_IDENTIFYING)
    columns = (*_IDENTIFYING, *_SAYING)
    spelled = {name: 3 + columns.index(TEXTS[name]) for name in {*IDS, *BESIDE}}
    for delivered in _stream(sql):
        numbers.append(delivered[0])
        row = list(delivered)
        for name, text in compared({name: row[place] for name, place in spelled.items()}).items():
            row[spelled[name]] = text
        period = periods[row[1]] if periods else row[1]
        start = [period, bool(row[2]), *row[3:resource], row[resource] or row[resource + 1], *row[resource + 2 :]]
        texts = list(map(str, start))
        # One column less: the resource is its id, or else its name.
        identity = DELIMITER.join(texts[: first_saying - 2]).encode()
        identities += blake(identity, digest_size=HASH_BYTES).digest()
        wholes += blake(DELIMITER.join((*texts, str(row[resource + 1]))).encode(), digest_size=HASH_BYTES).digest()
    return Keys(np.frombuffer(numbers, dtype=np.int64), wholes, identities)


def _flag_columns() -> str:
    if {str(field.column) for field in Flag._meta.concrete_fields} != {"id", *FLAG_COLUMNS}:
        raise AssertionError("Flag has other columns now.")
    return ", ".join(FLAG_COLUMNS)


def _reversal_sql() -> str:
    """SQL that takes back the staged charges: the same facts and payers, amounts and quantities negated."""
    taken = {str(field.column): f"o.{field.column}" for field in Charge._meta.concrete_fields}
    taken |= {
        str(field.column): f"-o.{field.column}"
        for field in Charge._meta.concrete_fields
        if isinstance(field, AmountField)
    }
    for name in ("pricing_quantity", "consumed_quantity"):
        taken[name] = (
            f"CASE WHEN o.{name} IN ('', '0') THEN o.{name} "
            f"WHEN o.{name} LIKE '-%%' THEN substr(o.{name}, 2) ELSE '-' || o.{name} END"
        )
    taken |= {
        "id": "%(reversals)s + row_number() OVER (ORDER BY o.id)",
        "imported_in_id": "%(imported)s",
        # It stands in no file: `reverses` leads to the line.
        "file_number": "0",
        "line_number": "0",
        "charged_in_id": "%(target)s",
        "replaces_id": "NULL",
        "reverses_id": "o.id",
        "is_late": "true",
        "attributed_by": "'charged'",
    }
    columns = charge_columns()
    return (
        f"INSERT INTO billing_charge ({', '.join(columns)}) "
        f"SELECT {', '.join(taken[column] for column in columns)} FROM billing_charge o "
        f"WHERE o.id IN ({_DISPLACED}) AND o.state <> 'held' ORDER BY o.id"
    )


def _moved(measures: dict[int, str]) -> str:
    """SQL for: the amount that is charged moved by more than the tolerance, or is in another currency."""
    by_period = {
        column: ", ".join(str(period_id) for period_id, each in measures.items() if each == column)
        for column in sorted(set(measures.values()))
    }
    # Two amounts can be further apart than 64 bits hold: SQLite goes on with a float there, PostgreSQL gives up.
    exact = "::numeric" if connection.vendor == "postgresql" else ""
    amount = " ".join(
        f"WHEN m.period_id IN ({ids}) THEN coalesce(s.{column}, 0){exact} - coalesce(o.{column}, 0)"
        for column, ids in by_period.items()
    )
    return f"(abs(CASE {amount} ELSE 0 END) > %(tolerance)s OR s.currency <> o.currency)"


def _type_of(name: str) -> str:
    if name in _OWN_TYPES:
        # A row's number is SQLite's own key: no second index, and rows lie in file order.
        return "INTEGER PRIMARY KEY" if name == "row" and connection.vendor == "sqlite" else _OWN_TYPES[name]
    field = Charge._meta.get_field(name)
    if not isinstance(field, models.Field):
        raise TypeError(name)
    return str(field.db_type(connection))


def _sum(expression: str) -> str:
    return sum_sql(expression, connection.vendor)


def _stream(sql: str) -> Iterator[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        while rows := cursor.fetchmany(CHUNK):
            yield from rows

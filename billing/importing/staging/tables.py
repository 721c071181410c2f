"""The stage: temporary tables of the rows of an import, of which of them become charges, and of which charges leave."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from django.db import connection, models

from ...attribution import OWNER_COLUMNS
from ...fields import moment_of
from ...models import BillingPeriod, Charge
from ...readers.dimensions import DIMENSIONS, HASH_BYTES
from ..live_charges import FETCHED, Span, span_of
from ..partitions import HASHED, Partitions, by_content, hashed
from . import dimensions, pg_copy
from .spool import STAGED, Spool, hashes_of, numbers_of, values_of
from .tallies import Tallies

if TYPE_CHECKING:
    from ..converting import Converted

# Numbers handed to a table at once.
CHUNK = 20_000
# So many rows have the server look at them before they are asked for.
MANY = 5_000

# The columns of a staged row that are not columns of Charge, with their types (the same on both databases).
_OWN_TYPES = {"row": "integer", "month": "integer", "attribution": "integer", **dict.fromkeys(DIMENSIONS, "bigint")}

_OWNER_TYPES = ", ".join(f"{name} {'bigint' if name.endswith('_id') else 'text'}" for name in OWNER_COLUMNS)


class Stage:
    """The rows of one import in a spool, and temporary tables of this connection beside it; a context that ends both.

    Rows are put in a table (`lay_out`) only where SQL has to ask for them. The tables are filled outside any
    transaction and never touch the main database's write lock: on SQLite temporary tables live in a file of their own,
    on PostgreSQL they are filled by COPY.
    """

    TABLES = {
        "stage_row": None,
        "stage_flag": "row bigint, code text, detail text, is_resolved boolean NOT NULL DEFAULT false",
        "stage_attribution": f"number integer PRIMARY KEY, {_OWNER_TYPES}",
        "stage_month": "month integer PRIMARY KEY, period_id bigint",
        "stage_keep": "row bigint PRIMARY KEY, ordinal bigint, replaces_id bigint",
        "stage_gone": "charge_id bigint PRIMARY KEY",
        # Rows that another month bears than their own, though they replace nothing that it has.
        "stage_elsewhere": "row bigint PRIMARY KEY, period_id bigint",
        "stage_left": "number bigint PRIMARY KEY",
    }

    def __init__(self, *, remembers: bool = False) -> None:
        """`remembers` keeps the hashes of the rows at hand (45 bytes a row), for an import that will be matched."""
        self.remembers = remembers
        self._hashes = Partitions(HASHED, by_content)
        self.is_postgresql = connection.vendor == "postgresql"
        self.rows = 0
        # When the first charge period of the rows begins, and the last.
        self.span: Span | None = None
        # Whether `stage_keep` says which rows become charges; until then all of them do, as new ones.
        self.is_chosen = False
        # Whether any row has an invoice id, and whether any has none.
        self.has_invoices = self.lacks_invoices = False
        self.spool = Spool()
        # Whether `stage_row` has all rows.
        self._has_all = False

    def __enter__(self) -> "Stage":
        columns = ", ".join(f"{name} {_type_of(name)}" for name in STAGED)
        self._drop()
        with connection.cursor() as cursor:
            for table, definition in (self.TABLES | dimensions.tables()).items():
                cursor.execute(f"CREATE TEMPORARY TABLE {table} ({definition or columns})")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.spool.close()
        # A broken transaction on PostgreSQL takes no more commands; the next stage drops them then.
        if not connection.needs_rollback:
            self._drop()

    def _drop(self) -> None:
        with connection.cursor() as cursor:
            for table in (*self.TABLES, *dimensions.tables()):
                cursor.execute(f"DROP TABLE IF EXISTS {'pg_temp' if self.is_postgresql else 'temp'}.{table}")

    def add(self, converted: "Converted") -> None:
        """Append a batch of rows and their flags."""
        said = converted.said
        self.spool.add(converted)
        for name, new in said.dimensions.items():
            if new:
                self.fill(f"stage_{name}", dimensions.columns_of(name, new), dimensions.COLUMNS[name])
        self.has_invoices = self.has_invoices or said.has_invoices
        self.lacks_invoices = self.lacks_invoices or said.lacks_invoices
        if self.remembers:
            marks = np.frombuffer(said.with_resource, dtype=np.bool_)
            self._hashes.add(hashed(converted.rows, said.contents, said.identities, converted.months, marks))
        self.span = span_of((moment_of(int(said.starts.min())), moment_of(int(said.starts.max()))), self.span)
        if converted.flags:
            self.fill("stage_flag", list(zip(*converted.flags, strict=True)), ("row", "code", "detail"))
        self.rows += len(converted.rows)

    @cached_property
    def tallies(self) -> Tallies:
        """What all rows come to, in the states that they have when it is asked for first."""
        return Tallies(self.spool.batches(), dict(self.select("SELECT number, service_name FROM stage_product")))

    def lay_out(self, rows: npt.NDArray[np.int64] | None = None) -> None:
        """Put rows into `stage_row`, where SQL can ask for them: these (in order), or all; no others are there then."""
        if self._has_all:
            return
        self._has_all = rows is None
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM stage_row")
        for batch in self.spool.batches():
            if rows is not None:
                first = int(batch.column("row")[0].as_py())
                start, end = np.searchsorted(rows, (first, first + len(batch))).tolist()
                if start == end:
                    continue
                batch = batch.take(rows[start:end] - first)
            if self.is_postgresql:
                with pg_copy.copying("stage_row", STAGED) as write:
                    write(pg_copy.lines_of_arrays(batch.columns))
            else:
                self.fill("stage_row", [values_of(batch, name) for name in STAGED], STAGED)
        self.analyze("stage_row (row)")

    def fill(self, table: str, columns: Sequence[Sequence[Any]], names: Sequence[str]) -> None:
        """Append values, given column by column, to one of the temporary tables."""
        if self.is_postgresql:
            pg_copy.copy(table, columns, names)
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

    def hashes(self) -> Partitions:
        """Return the hashes of the rows, in the order of contents.

        They were remembered while the rows came, or else are read from the spool.
        """
        if not len(self._hashes):
            without = [number for (number,) in self.select("SELECT number FROM stage_resource WHERE resource_id = ''")]
            for batch in self.spool.batches():
                marks = np.isin(numbers_of(batch, "resource"), without, invert=True)
                contents, identities = (hashes_of(batch, f"{name}_hash") for name in ("content", "identity"))
                months = numbers_of(batch, "month")
                self._hashes.add(hashed(numbers_of(batch, "row"), contents, identities, months, marks))
        return self._hashes

    def contents(self, months: Iterable[int]) -> bytearray:
        """Return the content hashes of the rows in months, in file order."""
        wanted, contents = list(months), bytearray()
        for batch in self.spool.batches():
            chosen = np.isin(numbers_of(batch, "month"), wanted)
            hashes = np.frombuffer(hashes_of(batch, "content_hash"), dtype=f"V{HASH_BYTES}")
            contents += hashes[chosen].tobytes()
        return contents

    def doubt(self, code: str, states: Mapping[str, Sequence[tuple[int, str]]]) -> None:
        """Flag rows (and say why) with a code, by the state they have then; without one it is answered already."""
        for state, rows in states.items():
            self.fill_rows("stage_flag", ((row, code, detail, not state) for row, detail in rows))
            if state:
                self.spool.doubted |= {row: state for row, _ in rows}
                self.list_numbers([np.array([row for row, _ in rows], dtype=np.int64)])
                with connection.cursor() as cursor:
                    cursor.execute(
                        "UPDATE stage_row SET state = %s WHERE row IN (SELECT number FROM stage_left)", [state]
                    )

    def select(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query over the stage and the charges."""
        with connection.cursor() as cursor:
            cursor.execute(sql)
            while rows := cursor.fetchmany(FETCHED):
                yield from rows

    def list_numbers(self, numbers: Iterable[npt.NDArray[np.int64]]) -> None:
        """List numbers of rows or charges in `stage_left`, instead of those before, for a query that is about them."""
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM stage_left")
        for some in numbers:
            for start in range(0, len(some), CHUNK):
                self.fill("stage_left", [some[start : start + CHUNK].tolist()], ("number",))

    def keep(self, kept: Iterable[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]) -> None:
        """Have some rows become charges, in this order, and take the place of others; 0 is for none."""
        self.is_chosen = True
        before, laid_out = 0, [np.empty(0, dtype=np.int64)]
        for rows, replaced in kept:
            laid_out.append(rows)
            for start in range(0, len(rows), CHUNK):
                part = rows[start : start + CHUNK].tolist()
                of_charges = [charge_id or None for charge_id in replaced[start : start + CHUNK].tolist()]
                ordinals = range(before + start, before + start + len(part))
                self.fill("stage_keep", [part, ordinals, of_charges], ("row", "ordinal", "replaces_id"))
            before += len(rows)
        self.lay_out(np.concatenate(laid_out))
        self.analyze("stage_keep")

    def analyze(self, *tables: str) -> None:
        """Have PostgreSQL know how many rows tables of the stage have: nobody else looks at temporary tables.

        Where there are few it plans well without, and takes longer to look than to read them.
        """
        if self.is_postgresql and self.rows >= MANY:
            with connection.cursor() as cursor:
                for table in tables:
                    cursor.execute(f"ANALYZE {table}")

    def choose_all(self) -> None:
        """Say of every row that it becomes a charge, where none is chosen yet, so that some can be left out."""
        if self.is_chosen:
            return
        self.is_chosen = True
        self.lay_out()
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO stage_keep (row, ordinal) SELECT row, row - 1 FROM stage_row")

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

    def spare(self, period: BillingPeriod, account: str) -> None:
        """Withdraw nothing of a billing account."""
        with connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM stage_gone WHERE charge_id IN (SELECT c.id FROM billing_charge c "
                "JOIN stage_gone g ON g.charge_id = c.id JOIN billing_accounttext t ON t.id = c.account_id "
                "WHERE c.period_id = %s AND t.billing_account_id = %s)",
                [period.pk, account],
            )

    def spare_all(self) -> None:
        """Withdraw nothing."""
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM stage_gone")


def _type_of(name: str) -> str:
    if name in _OWN_TYPES:
        # On SQLite, a row's number is the key of its table: no second index, and rows lie in file order.
        return f"{_OWN_TYPES[name]}{' PRIMARY KEY' if name == 'row' else ''}"
    field = Charge._meta.get_field(name)
    if not isinstance(field, models.Field):
        raise TypeError(name)
    return str(field.db_type(connection))

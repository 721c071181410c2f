"""An import's rows straight into the charges, on PostgreSQL, where nothing is there to match them with.

The server takes rows while the next are still read, in the transaction that ends by marking the import applied:
all or nothing, and nobody sees them before. Meanwhile nobody has to wait for it, for it holds no row: PIs,
projects and months that are new are only given their ids, and are made at the end. Where somebody else has
made the same by then, theirs stand, and the charges are moved to them. Whatever else comes in between raises
NotLoadable: the import is read once more, staged and matched.
"""

import datetime
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType

from django.db import IntegrityError, InternalError, connection

from ... import numbering
from ...attribution import OWNER_COLUMNS, known_people, known_projects, owner_values
from ...copy_text import fields_of, joined, lines_of
from ...models import BillingPeriod, Charge, Import, Person, Project, totalling
from ...readers.facts import FACTS
from ...texts import folded_code
from ..converting import Converted
from ..live_charges import Span, span_of
from . import pg_copy
from .charges import FLAG_COLUMNS, charge_columns

COLUMNS = (
    "id",
    "file_number",
    "period_id",
    "charged_in_id",
    "state",
    *OWNER_COLUMNS,
    "source_id",
    "imported_in_id",
    "is_late",
    *FACTS,
)
# What no new charge has.
EMPTY = {"withdrawn_in_id", "replaces_id", "reverses_id", "payer_split_id"}

# Ids taken at once.
BLOCK = 20_000


class NotLoadable(Exception):
    """There is something to match with, or somebody else came in between."""


class DirectLoad:
    """The rows of one import on their way into the charges; a context, inside the transaction that applies them."""

    takes_lines = True

    def __init__(self, imported: Import, *, is_matched: bool, remembers: bool) -> None:
        """`is_matched` says that charges of the months would have to be matched, if there were any.

        What `remembers` keeps the hashes of its rows, 16 bytes each, to find those that are there twice.
        """
        if set(charge_columns()) != {*COLUMNS, *EMPTY}:
            raise AssertionError("Charge has other columns now.")
        self.imported = imported
        self.is_matched = is_matched
        self.remembers = remembers
        self.rows = 0
        self.contents = bytearray()
        self.span: Span | None = None
        # Ids for what is still to be made: months, PIs by address, projects by their folded code.
        self.period_ids: dict[datetime.date, int] = {}
        self.person_ids: dict[str, int] = {}
        self.project_ids: dict[str, int] = {}
        # What charges were given to, by the same keys.
        self._periods: dict[datetime.date, int] = {}
        self._people: dict[str, int] = {}
        self._projects = known_projects()
        self._owners: list[str] = []
        self._months: dict[int, str] = {}
        self._ids = range(0)

    def __enter__(self) -> "DirectLoad":
        self._copier = pg_copy.Copier()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._copier.close()

    def add(self, converted: Converted) -> None:
        """Append a batch of rows and their flags; `settle` says that they are there."""
        with self._refusals():
            self._add(converted)

    def _add(self, converted: Converted) -> None:
        numbers = self._next_ids(len(converted.rows))
        for month in dict.fromkeys(converted.months):
            if month not in self._months:
                self._months[month] = self._month(datetime.date(month // 100, month % 100, 1))
        self._meet(converted)
        columns = (
            fields_of(numbers),
            fields_of(converted.file_numbers),
            list(map(self._months.__getitem__, converted.months)),
            fields_of(converted.states),
            list(map(self._owners.__getitem__, converted.attributed)),
            converted.said.written,
        )
        self._copier.add_lines("billing_charge", joined(columns), COLUMNS)
        if converted.flags:
            rows, codes, details = zip(*converted.flags, strict=True)
            first = converted.rows.start
            charges = [numbers[row - first] for row in rows]
            self._copier.add("billing_flag", [charges, codes, details, ["false"] * len(rows)], FLAG_COLUMNS)
        self.rows += len(numbers)
        if self.remembers:
            self.contents += converted.said.contents
            self.span = span_of(converted.said.starts, self.span)

    def settle(self) -> None:
        """Wait until all rows that were added are there."""
        with self._refusals():
            self._copier.settle()

    def move(
        self, *, periods: Mapping[datetime.date, BillingPeriod], people: Mapping[str, int], projects: Mapping[str, int]
    ) -> None:
        """Take what stands now instead of what was taken: somebody else has made or removed the same meanwhile.

        The rows are there, and counted from here on.
        """
        totalling.add(Charge.objects.filter(imported_in=self.imported))
        for month, number in self._periods.items():
            self._move("period_id", number, periods[month].pk)
            self._move("charged_in_id", number, periods[month].pk)
        for email, number in self._people.items():
            self._move("pi_id", number, people[email])
        for code, number in self._projects.items():
            # Of those that are not in the import, some are there no more.
            self._move("project_id", number, projects.get(code, number))

    def _move(self, column: str, number: int, stands: int) -> None:
        if number != stands:
            Charge.objects.filter(imported_in=self.imported, **{column: number}).update(**{column: stands})

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Say for a refusal of the safeguards what happened: the month was closed meanwhile."""
        try:
            with connection.wrap_database_errors:
                try:
                    yield
                except InternalError:
                    # Nothing more is done in this transaction: why, rows say that were sent before.
                    self._copier.settle()
                    raise
        except IntegrityError as error:
            raise NotLoadable(str(error)) from error

    def _next_ids(self, count: int) -> list[int]:
        taken = list(self._ids[:count])
        self._ids = self._ids[count:]
        if missing := count - len(taken):
            # Few for few rows, for what is left over is never used.
            block = max(missing, min(BLOCK, self.rows))
            first = numbering.of_charges(block)
            taken += range(first, first + missing)
            self._ids = range(first + missing, first + block)
        return taken

    def _month(self, month: datetime.date) -> str:
        period = BillingPeriod.objects.filter(month=month).first()
        if period is None:
            (number,) = numbering.of(BillingPeriod, 1)
            self.period_ids[month] = number
        elif period.status != BillingPeriod.Status.OPEN:
            raise NotLoadable(f"{period} takes none by itself")
        elif self.is_matched and self._charges_of(period):
            raise NotLoadable(f"{period} has charges")
        else:
            number = period.pk
        self._periods[month] = number
        return lines_of([[number], [number]])[0]

    def _charges_of(self, period: BillingPeriod) -> bool:
        return Charge.objects.live().filter(source=self.imported.source, period=period).exists()

    def _meet(self, converted: Converted) -> None:
        """Know who pays by the numbers of the batch."""
        new = converted.owners[len(self._owners) :]
        if not new:
            return
        emails = sorted({each.pi_email for each in new if each.pi_email} - self._people.keys())
        self._people |= known_people(emails)
        given = _given(Person, [email for email in emails if email not in self._people])
        self.person_ids |= given
        self._people |= given
        codes = dict.fromkeys(folded_code(each.project_code) for each in new if each.project_code)
        given = _given(Project, [code for code in codes if code not in self._projects])
        self.project_ids |= given
        self._projects |= given
        of_import = (self.imported.source_id, self.imported.pk, "false")
        for each in new:
            values = (*owner_values(each, people=self._people, projects=self._projects), *of_import)
            self._owners += lines_of([[value] for value in values])


def _given(model: type[Person | Project], keys: list[str]) -> dict[str, int]:
    return dict(zip(keys, numbering.of(model, len(keys)), strict=True)) if keys else {}

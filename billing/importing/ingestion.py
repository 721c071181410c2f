"""Bringing a delivery in: store by hash, read, check, match with what is there, apply at once or not at all."""

import contextlib
import dataclasses
import datetime
import logging
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from django.db import DatabaseError, connection, transaction
from django.db.models import Count, Max, Q

from .. import audit, charging
from ..attribution import (
    NO_IDS,
    Attributor,
    known_people,
    newcomers,
    owner_values,
    people_of,
    projects_of,
    reference_of,
)
from ..audit import Actor
from ..background import jobs, working
from ..background.outages import outage_of
from ..background.working import Mark
from ..errors import BillingError, NextStep
from ..fields import AmountSum, from_units, to_units
from ..file_names import shown
from ..files.storing import MAX_NAME, clear_incoming, clear_unused, display_name, local_path, store
from ..models import (
    BillingPeriod,
    Charge,
    Flag,
    Import,
    ImportedFile,
    ImportOverlap,
    ImportTotal,
    Job,
    Policy,
    ReviewDecision,
    Source,
    StoredFile,
)
from ..models.periods import MONTH, month_text, parse_month
from ..money import plain
from ..months import closing
from ..months.closing import PeriodClosed
from ..progress import Progress, unwatched
from ..readers import FileError, Part, Problem, check_rows, open_delivery
from ..readers.batches import MAX_PROBLEMS
from ..readers.beside import understood
from ..readers.columns import AMOUNTS, without_measure
from ..readers.spelling import same_id
from ..readers.understanding import FACTS, ScopeTotal, month_number
from . import attempts, brought, differences, doubts, duplicates, late
from .converting import Converted, Converter, totals_by_currency
from .loading import Load, NotLoadable
from .matching import Matched, digest_of, further, hashes_of, match, paired
from .outcomes import (
    Booked,
    Counts,
    ImportRefused,
    IngestResult,
    OfAnotherSource,
    SourceUnknown,
    WouldWithdraw,
    describe,
)
from .staging import LiveHashes, Stage, hashes_at, live_elsewhere, live_hashes

log = logging.getLogger(__name__)

# A month in a file's name: 2025-01, 2025_01 or 202501; or a quarter: 2025-Q1.
MONTH_IN_NAME = re.compile(r"(?<!\d)(20\d{2})[-_]?(0[1-9]|1[0-2])(?!\d)")
QUARTER = re.compile(r"(?<!\d)(20\d{2})[-_]?[qQ]([1-4])(?!\d)")

BROKEN_OFF = (
    "The program was stopped while it worked on this import; nothing of it was applied. "
    "Its files can be imported again."
)

# A provider's clock may go before ours.
CLOCKS_DIFFER_BY = datetime.timedelta(days=1)

# Ids handed to a temporary table at once.
CHUNK = 20_000

# So many new charges change how the whole table is read best; PostgreSQL itself notices within minutes.
MANY = 50_000
# What PostgreSQL has to know of at once to plan well; it looks at the texts by itself, within minutes.
PLANNED_BY = ", ".join(
    str(field.column) for field in Charge._meta.concrete_fields if field.is_relation or field.name == "state"
)

Numbers = npt.NDArray[np.int64]

MEASURES = {Source.Measure.BILLED: "billed_cost", Source.Measure.EFFECTIVE: "effective_cost"}


def expected_months(text: str) -> frozenset[datetime.date]:
    """Return the months that `2025-01` or `2025-Q1` stand for; raise ValueError for anything else."""
    if quarter := QUARTER.fullmatch(text.strip()):
        first = 3 * int(quarter[2]) - 2
        return frozenset(datetime.date(int(quarter[1]), month, 1) for month in range(first, first + 3))
    if not MONTH.fullmatch(text.strip()):
        raise ValueError(f"“{text}” is not a billing period. Write 2025-01 for a month or 2025-Q1 for a quarter.")
    return frozenset({parse_month(text)})


def period_in_name(name: str) -> str:
    """Return the period a file's name speaks of (`2025-01`, `2025-Q1`), "" for none or for several."""
    quarters = {f"{year}-Q{quarter}" for year, quarter in QUARTER.findall(name)}
    months = {f"{year}-{month}" for year, month in MONTH_IN_NAME.findall(QUARTER.sub(" ", name))}
    found = quarters | months
    return found.pop() if len(found) == 1 else ""


def ingest(
    *,
    paths: Sequence[Path],
    names: Sequence[str] | None = None,
    source: Source | None = None,
    period: str = "",
    dry_run: bool = False,
    replace: bool = False,
    force: bool = False,
    in_its_folder: bool = False,
    beside: bool = True,
    made_at: datetime.datetime | None = None,
    within: Path | None = None,
    actor: Actor,
    now: datetime.datetime,
    progress: Progress = unwatched,
) -> IngestResult:
    """Import files that belong together into the charges: one, several, a folder or a manifest.

    The source is guessed from the names where it is not given, the expected period (`2025-01` or
    `2025-Q1`) too. What a second delivery means is the source's delivery mode. Either all of it is
    applied, with flags, withdrawals and totals, or nothing but the failed attempt is kept. A dry
    run does all but store and apply. `replace` lets a snapshot remove whatever it lacks; `force`
    confirms that the files are the source's own, though their accounts or providers are not those of its earlier files.
    Where they lie `in_its_folder`, that goes without saying for those that no other source knows.

    The files a manifest names are looked for `beside` it; not so for uploads, where it could name anything. Nothing is
    opened that lies outside of the folder that was named, or of `within`, a real path (see `open_delivery`). `made_at`
    says when the provider made the delivery, where its manifest is no longer there to say so.

    A snapshot that would shrink what is there, or is older than what was applied, is stored and waits: nothing of it is
    applied until somebody answers (`apply_deferred`), and WouldWithdraw says why.

    Raises ImportRefused, with the problems by file, line and column.
    """
    told = [display_name(name) for name in names or [path.name for path in paths]]
    delivery = _Delivery(
        paths=list(paths),
        names=told,
        replace=replace,
        force=force,
        in_its_folder=in_its_folder,
        beside=beside,
        made_at=made_at,
        within=within,
        actor=actor,
        now=now,
        progress=progress,
    )
    return delivery.try_out(source, period) if dry_run else delivery.bring_in(source, period)


def book(
    *,
    imported: Import,
    into: BillingPeriod,
    missing: str = "",
    actor: Actor,
    now: datetime.datetime,
    progress: Progress = unwatched,
) -> Booked:
    """Book what a deferred import changes as late changes of an open month.

    Its stored files are read again and compared with what was charged and what late changes booked since,
    so that restatements add up: 9,800 after 10,000 books −200, then 9,850 books +50. Each charge that
    changed is taken back from those it was charged to, and charged to them again as it is now; a new row
    goes by its own attribution, and may be held for review. The charges of closed months stay as they are.

    `missing`, an Import.Missing, answers what becomes of charges that a doubtful delivery lacks.

    Raises NotDeferred, NotBookable, PeriodClosed for `into`, ImportRefused where the files cannot be read, or
    WouldWithdraw where there is no answer.
    """
    late.require_deferred(imported)
    late.require_bookable(imported)
    closing.require_open(into)
    delivery, files = _delivery_again(imported, missing=missing, actor=actor, now=now, progress=progress)
    return delivery.book(imported, into, files)


def apply_deferred(
    *, imported: Import, missing: str = "", actor: Actor, now: datetime.datetime, progress: Progress = unwatched
) -> IngestResult:
    """Apply a deferred import by hand to those of its months that take changes: open, or in review.

    Its stored files are read again and matched with what is there by now. What it says of months that are
    closed goes on waiting, under a number of its own.

    `missing`, an Import.Missing, answers what becomes of charges that a doubtful delivery lacks: they are kept, and the
    delivery withdraws nothing at all, or it is taken as delivered.

    Raises NotDeferred, NotApplicable, ImportRefused where the files cannot be read, or WouldWithdraw where there is
    no answer; then it waits as before.
    """
    late.require_deferred(imported)
    late.require_applicable(imported)
    delivery, files = _delivery_again(imported, missing=missing, actor=actor, now=now, progress=progress)
    return delivery.apply_deferred(imported, files)


def decide_later(
    *, imported: Import, into: BillingPeriod | None = None, missing: str = "", actor: Actor, now: datetime.datetime
) -> Job:
    """Have the worker `book` a deferred import in a month, or without a month apply it by hand (`apply_deferred`).

    Refuses at once what they would refuse before they read the files; who asks twice gets the same job.
    """
    late.require_deferred(imported)
    arguments: dict[str, Any] = {"import": imported.pk}
    if missing:
        arguments["missing"] = missing
    if into is None:
        late.require_applicable(imported)
    else:
        late.require_bookable(imported)
        closing.require_open(into)
        arguments["into"] = str(into)
    return jobs.enqueue(
        kind=Job.Kind.APPLY if into is None else Job.Kind.BOOK,
        subject=f"import {imported.pk}",
        arguments=arguments,
        actor=actor,
        now=now,
    )


def run_book(
    *, job: Job, arguments: dict[str, Any], actor: Actor, now: datetime.datetime, progress: Progress
) -> dict[str, Any]:
    """Book a deferred import, as a background job. `arguments`: import (its number), into (a month), missing."""
    imported = Import.objects.select_related("source").get(pk=arguments["import"])
    into = BillingPeriod.objects.named(arguments["into"])
    missing = arguments.get("missing", "")
    done = book(imported=imported, into=into, missing=missing, actor=actor, now=now, progress=progress)
    return {"message": done.summary, **done.as_data(), "then": [step.as_data() for step in done.next_steps]}


def run_apply(
    *, job: Job, arguments: dict[str, Any], actor: Actor, now: datetime.datetime, progress: Progress
) -> dict[str, Any]:
    """Apply a deferred import by hand, as a background job. `arguments`: import (its number), missing."""
    imported = Import.objects.select_related("source").get(pk=arguments["import"])
    missing = arguments.get("missing", "")
    done = apply_deferred(imported=imported, missing=missing, actor=actor, now=now, progress=progress)
    then = [step.as_data() for step in done.next_steps]
    return {"message": done.as_text().split("\n")[0], **done.as_data(), "then": then}


def _delivery_again(
    imported: Import, *, missing: str = "", actor: Actor, now: datetime.datetime, progress: Progress
) -> "tuple[_Delivery, list[StoredFile]]":
    """Return the delivery of an import, to be read once more, and the stored file of each of its parts."""
    files = list(imported.imported_files.select_related("file").order_by("number"))
    # An archive is one file of several parts; opened again, it has the same parts in the same order.
    whole: dict[tuple[int, str], tuple[StoredFile, str]] = {}
    for each in files:
        # Of a name that is too long to be kept only the end is there.
        name = each.name.removesuffix(f"/{shown(each.member)}") if each.member else each.name
        whole.setdefault((each.file_id, "" if each.member else name), (each.file, name))
    delivery = _Delivery(
        paths=[local_path(file) for file, _ in whole.values()],
        names=[name for _, name in whole.values()],
        replace=imported.replace,
        missing=missing,
        made_at=imported.made_at,
        again=True,
        actor=actor,
        now=now,
        progress=progress,
    )
    return delivery, [each.file for each in files]


class ReadRow(NamedTuple):
    """A row of a stored file as it would become a charge; amounts in units of 10⁻⁸, as `AMOUNTS` orders them."""

    file_number: int
    line_number: int
    month: int
    currency: str
    content_hash: bytes
    units: tuple[int | None, ...]


# A file and a line of an import, by their numbers.
Place = tuple[int, int]


class _Rows:
    """Takes the place of a stage where rows are only looked at: all of them, or all that some of them say."""

    takes_lines = False

    def __init__(self, places: Collection[Place] | None = None) -> None:
        self.rows: list[ReadRow] = []
        self.places = places
        self.facts: dict[Place, dict[str, Any]] = {}

    def add(self, converted: Converted) -> None:
        of = dict(zip(FACTS, converted.said.columns, strict=True))
        if self.places is not None:
            for row, place in enumerate(zip(converted.file_numbers, of["line_number"], strict=True)):
                if place in self.places:
                    self.facts[place] = {name: column[row] for name, column in of.items()}
            return
        amounts = zip(*(of[field] for field in AMOUNTS.values()), strict=True)
        self.rows += map(
            ReadRow,
            converted.file_numbers,
            of["line_number"],
            converted.months,
            of["currency"],
            of["content_hash"],
            amounts,
        )

    def settle(self) -> None:
        """Nothing is left to be done."""


def reread(imported: Import) -> list[ReadRow]:
    """Read the stored files of an import once more and return their rows; changes nothing.

    Raises ImportRefused where they cannot be read any more.
    """
    return _read_again(imported, _Rows()).rows


def facts_of(imported: Import, places: Collection[Place]) -> dict[Place, dict[str, Any]]:
    """Read the stored files of an import once more; return all that these lines say, as FACTS names it.

    Times are text as the databases write UTC, amounts units of 10⁻⁸. Raises ImportRefused.
    """
    return _read_again(imported, _Rows(places)).facts


def _read_again(imported: Import, rows: _Rows) -> _Rows:
    # Nothing is done in anybody's name.
    nobody = Actor(name="", via="")
    delivery, files = _delivery_again(imported, actor=nobody, now=imported.created_at, progress=unwatched)
    assert imported.source is not None
    try:
        delivery.stored_files = files
        delivery._settle(imported.source, imported.expected_period)
        # A file that was imported before was passed over; its rows are another import's.
        delivery.skipped = frozenset(imported.imported_files.filter(rows=0).values_list("number", flat=True))
        delivery._read(rows)
    except FileError as error:
        raise ImportRefused([{"file": "", "line": None, "column": None, "message": str(error)}], imported) from error
    return rows


class _StandsAlready(Exception):
    """All rows of a delivery that adds up are those of imports that stand."""


class TakenForLeft(FileError):
    """The process was out of touch for so long that the import was taken for one whose process is gone."""


class Overtaken(FileError):
    """Somebody else changed what the delivery was matched with; read once more, it is matched with that."""


class _Delivery:
    """One delivery on its way in."""

    def __init__(
        self,
        *,
        paths: list[Path],
        names: list[str],
        replace: bool,
        force: bool = False,
        in_its_folder: bool = False,
        beside: bool = False,
        missing: str = "",
        made_at: datetime.datetime | None = None,
        within: Path | None = None,
        again: bool = False,
        actor: Actor,
        now: datetime.datetime,
        progress: Progress,
    ) -> None:
        self.paths = paths
        self.names = names
        self.parts: list[Part] = []
        self.replace = replace
        self.force = force
        self.in_its_folder = in_its_folder
        # What is odd about the files and stops nothing.
        self.warnings: list[str] = []
        # A source that the names fit, and that is not the one they are imported for.
        self.named: Source | None = None
        self.beside = beside
        # What somebody answered about charges that the delivery lacks, and why somebody has to be asked.
        self.missing = missing
        self.doubts: list[doubts.Doubt] = []
        self.made_at = made_at
        # The imports that keep this delivery, where it was received before.
        self.own_numbers: tuple[int, ...] = ()
        self.within = within
        self.again = again
        self.actor = actor
        self.now = now
        self.progress = progress
        self.reading = ""
        self.period = ""
        self.expected: frozenset[datetime.date] = frozenset()
        self.file_rows: dict[int, int] = {}
        self.stored_files: list[StoredFile] = []
        self.seen: tuple[str, ...] = ()
        # Files of which nothing is left to import; and of the others the months that stand already, by file number.
        self.skipped: frozenset[int] = frozenset()
        self.standing: dict[int, frozenset[datetime.date]] = {}
        # The same by what the rows say, whatever their packing: file number → month → import.
        self.same_rows: dict[int, dict[datetime.date, int]] = {}
        self.left_out: dict[int, Collection[datetime.date]] = {}
        # Rows that are charges already, of this source or another: they are asked about.
        self.again_rows: list[duplicates.Again] = []
        # How many of them are held, and how many of these for nothing else.
        self.held_again = (0, 0)
        self.counts = Counts()
        # False once `stage_keep` says which of the staged rows become charges.
        self.keeps_all = True
        self.imports_before: dict[str, Any] = {}
        # The imports of other sources that rows were compared with, each with its source.
        self.elsewhere: dict[int, Source] = {}
        # Fetches what the delivery is matched with, while it is read: periods by their ids, and what there is.
        self.fetcher: ThreadPoolExecutor | None = None
        self.fetched: tuple[frozenset[int], Future[LiveHashes]] | None = None
        self.difference: dict[str, Any] = {}
        # In a month in review deliveries wait until somebody applies them.
        self.is_by_hand = False
        # Months with changes that wait, and the import that waits with them.
        self.late: list[datetime.date] = []
        self.deferred: Import | None = None
        # The day on which another month than the rows' own posts what they are charged, where one does.
        self.posted: datetime.date | None = None
        # Addresses of PIs whom this import names for the first time, and what comes of them.
        self.new_emails: frozenset[str] = frozenset()
        self.new_pis: tuple[newcomers.NewPI, ...] = ()

    # From outside in ---------------------------------------------------------------------------

    def try_out(self, source: Source | None, period: str) -> IngestResult:
        """Read, check and match; store nothing."""
        try:
            self._settle(source, period)
            with self._staged() as (stage, converter):
                self._find_new(converter)
                if self.doubts:
                    raise self._would_withdraw()
                self._count_new(stage, converter)
                return self._result(None, "dry run", converter)
        except _StandsAlready:
            return self._seen(None, "dry run")
        except FileError as error:
            raise self._refused(self._errors_of(error), None) from error
        except ImportRefused as refused:
            refused.warnings = tuple(self.warnings)
            raise

    def bring_in(self, source: Source | None, period: str) -> IngestResult:
        """Store, read, check, match and apply."""
        try:
            close_broken_off(actor=self.actor, now=self.now)
            imported, mark = self._receive()
        except (DatabaseError, OSError) as error:
            if outage := outage_of(error):
                attempts.keep(names=self.names, why=outage.said, actor=self.actor, now=self.now)
            raise
        try:
            try:
                return self._bring_in(imported, source, period)
            finally:
                if _has_ended(imported):
                    working.end(mark)
        finally:
            # Where it could not be said how it ended, the mark stays and tells that nobody works on it.
            mark.release()

    def _bring_in(self, imported: Import, source: Source | None, period: str) -> IngestResult:
        try:
            self._settle(source, period)
            imported.source, imported.mode = self.source, self.source.delivery
            imported.expected_period, imported.made_at = self.period, self.made_at
            self._store(imported)
            if (seen := self._seen_before(imported)) is not None:
                return seen
            if loaded := self._load(imported):
                _after_apply(self.counts.new)
                return loaded
            if (seen := self._seen_before(imported)) is not None:
                # Applied by somebody else while it was read.
                return seen
            with self._staged() as (stage, converter):
                with transaction.atomic():
                    _require_at_work(imported)
                    imported.state = Import.State.CHECKED
                    self._note(imported, converter)
                    imported.save()
                if self.doubts:
                    self._set_aside(imported, converter)
                elif not self.late:
                    self._apply(stage, converter, imported)
                elif self.touched <= set(self.late):
                    self._defer(imported, converter)
                else:
                    self._defer_part(stage, converter, imported)
            _after_apply(self.counts.new + self.counts.changed)
            return self._result(imported, imported.state, converter)
        except _StandsAlready:
            return self._pass_over(imported)
        except FileError as error:
            errors = self._errors_of(error)
            self._fail(imported, errors)
            raise self._refused(errors, imported) from error
        except ImportRefused as refused:
            self._fail(imported, refused.errors)
            refused.warnings = tuple(self.warnings)
            refused.kept_as(imported)
            raise
        except BillingError as error:
            errors = [{"file": "", "line": None, "column": None, "message": str(error)}]
            self._fail(imported, errors)
            raise self._refused(errors, imported, then=error.then) from error
        except Exception as error:
            message = str(outage_of(error) or f"Broken off: {error}")[:500]
            try:
                self._fail(imported, [{"file": "", "line": None, "column": None, "message": message}])
            except (DatabaseError, OSError):
                # Where not even that can be written, the next import says of this one that it was broken off.
                log.exception("It could not be recorded that import %s failed: %s", imported.pk, message)
            raise

    def _refused(
        self, errors: list[dict[str, Any]], imported: Import | None, then: NextStep | None = None
    ) -> ImportRefused:
        refused = ImportRefused(errors, imported, then=then)
        refused.warnings = tuple(self.warnings)
        return refused

    def _load(self, imported: Import) -> IngestResult | None:
        """Read the delivery straight into the charges and apply it; None where that cannot be done, and nothing was.

        There must be no charges to match it with, and PostgreSQL, where nobody waits for what is not committed yet.
        """
        if connection.vendor != "postgresql" or self.source.grain != Source.Grain.LINE or self._is_matched():
            return None
        if self.standing:
            return None
        is_matched = self.source.delivery != Source.Delivery.APPEND
        # What adds up may be there already, and files that no manifest names may overlap.
        remembers = not is_matched or len(self._loose_files()) > 1
        try:
            with transaction.atomic(), Load(imported, is_matched=is_matched, remembers=remembers) as load:
                self.imports_before = self._imports_so_far()
                converter = self._read(load)
                self._survey(converter)
                self._doubt_age(converter)
                self._compare(converter)
                if self.late or self.doubts:
                    raise NotLoadable("it waits")
                self.elsewhere = duplicates.imports_elsewhere(self.source, converter.totals)
                if self.elsewhere or self._has_equal(load) or self._overlaps(load):
                    raise NotLoadable("there may be the same rows")
                imported.state = Import.State.CHECKED
                self._note(imported, converter)
                self._apply(load, converter, imported)
                return self._result(imported, imported.state, converter)
        except (NotLoadable, Overtaken, PeriodClosed):
            # Staged and matched, it meets the same, and answers it.
            self.counts, self.file_rows, self.late, self.doubts = Counts(), {}, [], []
            # What was noted on it is rolled back, too.
            imported.refresh_from_db()
            return None

    def book(self, imported: Import, into: BillingPeriod, files: list[StoredFile]) -> Booked:
        """Read a deferred delivery once more, match it with what is charged by now, and book the difference."""
        self.posted = into.last_day
        with self._again(imported, files) as (stage, converter):
            if self.doubts:
                raise self._would_withdraw(imported)
            return self._book(stage, converter, imported, into)

    def apply_deferred(self, imported: Import, files: list[StoredFile]) -> IngestResult:
        """Read a deferred delivery once more and apply it to its months that take changes."""
        self.is_by_hand = True
        with self._again(imported, files) as (stage, converter):
            if self.doubts:
                raise self._would_withdraw(imported)
            own = {period.month for period in late.months_of(imported)}
            self._leave_out_others(stage, own)
            self.months = sorted(own)
            self.touched &= own
            self.late = [month for month in self.late if month in own]
            if self.late:
                self._defer_part(stage, converter, imported)
            else:
                self._note_part(imported, converter, own)
                imported.flagged, imported.flags = self._flagged(converter), self._flags(converter)
                self._apply(stage, converter, imported)
            _after_apply(self.counts.new + self.counts.changed)
            return self._result(imported, imported.state, converter)

    @contextlib.contextmanager
    def _again(self, imported: Import, files: list[StoredFile]) -> Iterator[tuple[Stage, Converter]]:
        """Read, match and compare the stored files of a deferred import with what is charged by now."""
        assert imported.source is not None
        self.stored_files = files
        self.own_numbers = tuple(each for each in (imported.pk, imported.rest_of_id) if each)
        try:
            self._settle(imported.source, imported.expected_period)
            self._recognize()
            with self._staged() as (stage, converter):
                yield stage, converter
        except FileError as error:
            raise ImportRefused(self._errors_of(error), imported) from error

    def _leave_out_others(self, stage: Stage, own: set[datetime.date]) -> None:
        """Stage nothing of months that are not an import's own."""
        others = [month for month in self.months if month not in own]
        if others:
            if self.keeps_all:
                stage.keep_all()
                self.keeps_all = False
            stage.leave_out(
                [month_number(month) for month in others],
                [self.periods[month] for month in others if month in self.periods],
            )

    def _book(self, stage: Stage, converter: Converter, imported: Import, into: BillingPeriod) -> Booked:
        own = {period.month for period in late.months_of(imported)}
        if self.keeps_all:
            stage.keep_all()
            self.keeps_all = False
        self._leave_out_others(stage, own)
        with audit.gesture(actor=self.actor, now=self.now) as gesture:
            imported = Import.objects.select_for_update(no_key=True).get(pk=imported.pk)
            late.require_deferred(imported)
            late.require_bookable(imported)
            for period in closing.require_open(into):
                if period.removed_at:
                    closing.ensure_period(month=period.month, actor=self.actor, now=self.now)
            self._require_unchanged(imported)
            if held := stage.held_elsewhere(into):
                months = BillingPeriod.objects.in_bulk([period_id for period_id, _ in held])
                named = ", ".join(f"{number:,} in {months[period_id]}" for period_id, number in held)
                raise late.NotBookable(
                    f"Charges that this import changes are held for review: {named}. Decide them first, or book the "
                    "import in that month."
                )
            stage.fill_rows(
                "stage_month",
                [(month_number(month), period.pk) for month, period in self.periods.items()],
            )
            self._attribute(stage, converter, gesture)
            self._keep_overlaps(imported, stage, converter, own, into=into)
            first, charged, taken_back, withdrawn = stage.apply_late(imported, target=into)
            late.settle_payers(first, charged + taken_back)
            _write_old_and_new(first, charged)
            charging.stamp_project_splits(into)
            late.hold_what_is_over(first, charged + taken_back, gesture=gesture)
            # What is held here was never charged: it waits as what it is.
            held_now = Charge.objects.held().filter(imported_in=imported).count()
            self._note_part(imported, converter, own)
            self._count_new(stage, converter)
            imported.new_pis = [each.as_data() for each in self.new_pis]
            imported.flagged = held_now
            imported.state, imported.applied_at, imported.booked_in = Import.State.APPLIED, self.now, into
            imported.missing = self.missing
            imported.save()
            gesture.record(
                "import.booked",
                imported,
                before={"state": Import.State.DEFERRED.value},
                after={
                    "state": Import.State.APPLIED.value,
                    "booked_in": str(into),
                    "charged": charged,
                    "taken_back": taken_back,
                    "withdrawn": withdrawn,
                    **({"missing": imported.missing} if imported.missing else {}),
                    "sha256": [file.sha256 for file in self.stored_files],
                    "delta": {
                        month: {currency: found["delta"] for currency, found in currencies.items()}
                        for month, currencies in imported.difference.items()
                    },
                },
            )
        _after_apply(charged)
        return Booked(
            number=imported.pk,
            into=str(into),
            periods=tuple(month_text(month) for month in sorted(own)),
            charged=charged,
            taken_back=taken_back,
            withdrawn=withdrawn,
            held=held_now,
            difference=imported.difference,
        )

    # Steps -------------------------------------------------------------------------------------

    def _receive(self) -> tuple[Import, Mark]:
        with audit.gesture(actor=self.actor, now=self.now) as gesture:
            imported = Import.objects.create(
                name=", ".join(self.names)[:254],
                replace=self.replace,
                created_at=self.now,
                created_by=self.actor.user,
                created_by_name=self.actor.name,
            )
            gesture.record("import.received", imported, after={"files": self.names})
            # Nobody sees the import before the commit, so nobody takes it for one that was left.
            mark = working.begin(imported.pk)
        return imported, mark

    def _settle(self, source: Source | None, period: str) -> None:
        """Decide source, expected period and policy; raise FileError where they cannot be."""
        self.parts = open_delivery(
            self.paths, self.names, beside=self.beside, within=self.within, period=period, again=self.again
        )
        self.source = source or self._guessed_source()
        self._doubt_names(source)
        found = {period_in_name(part.name) for part in self.parts} - {""}
        if not period:
            period = next(iter(found)) if len(found) == 1 else ""
            found = set()
        try:
            self.expected = expected_months(period) if period else frozenset()
        except ValueError as error:
            raise FileError([Problem(str(error))]) from error
        if others := sorted(name for name in found if not expected_months(name) <= self.expected):
            self.warnings.append(f"The names of the files say {', '.join(others)}, and {period} is expected.")
        self.period = period
        self.made_at = self.made_at or min((part.made_at for part in self.parts if part.made_at), default=None)
        if self.made_at and self.made_at > self.now + CLOCKS_DIFFER_BY:
            # Believed, a time yet to come would make every later run an older one.
            self.made_at = None
        self.policy = Policy.objects.current()

    def _doubt_names(self, source: Source | None) -> None:
        """Note where the names fit another source than the one that was chosen."""
        if source is None or self.again:
            return
        for part in self.parts:
            guess = Source.objects.for_file_name(part.name)
            if guess and guess != source:
                self.named = guess
                self.warnings.append(
                    f"The name {part.name} fits the source {guess}. It is imported for {source}, as chosen."
                )
                return

    def _guessed_source(self) -> Source:
        guesses = {part.name: Source.objects.for_file_name(part.name) for part in self.parts}
        sources = {guess.name: guess for guess in guesses.values() if guess}
        unknown = [name for name, guess in guesses.items() if guess is None]
        if len(sources) == 1 and not unknown:
            return next(iter(sources.values()))
        known = ", ".join(Source.objects.filter(is_active=True).order_by("name").values_list("name", flat=True))
        if unknown:
            message = f"No source's pattern fits the name {unknown[0]}. Choose its source: {known or 'there is none'}."
        else:
            message = f"The names fit several sources ({', '.join(sorted(sources))}). Choose one."
        raise SourceUnknown([{"file": "", "line": None, "column": None, "message": message}])

    def _store(self, imported: Import) -> None:
        kept: dict[Path, StoredFile] = {}
        for part in self.parts:
            if part.path not in kept:
                self.reading = part.name
                kept[part.path] = store(path=part.path, within=part.within, now=self.now, progress=self.progress)
        self.reading = ""
        self.stored_files = [kept[part.path] for part in self.parts]
        with transaction.atomic():
            ImportedFile.objects.bulk_create(
                self._imported_file(imported, number) for number in range(1, len(self.parts) + 1)
            )
            imported.save()
        # What is parsed is what is kept, even if the file that was named changes meanwhile.
        self.parts = [
            dataclasses.replace(part, path=local_path(file), within=None)
            for file, part in zip(self.stored_files, self.parts, strict=True)
        ]

    def _imported_file(self, imported: Import, number: int) -> ImportedFile:
        part = self.parts[number - 1]
        return ImportedFile(
            imported_in=imported,
            file=self.stored_files[number - 1],
            number=number,
            name=part.name[-MAX_NAME:],
            member=part.member,
        )

    def _seen_before(self, imported: Import) -> IngestResult | None:
        """For a source whose files add up: a result where all of them were applied before."""
        if self.source.delivery != Source.Delivery.APPEND:
            return None
        known = self._recognize()
        names = zip((part.name for part in self.parts), self.stored_files, strict=True)
        self.seen = tuple(
            f"{name} (import {known[file.pk].number})"
            for number, (name, file) in enumerate(names, start=1)
            if number in self.skipped
        )
        if len(self.skipped) < len(self.stored_files):
            return None
        return self._pass_over(imported)

    def _pass_over(self, imported: Import) -> IngestResult:
        """Have an import stand for nothing: all it has was imported before."""
        with audit.gesture(actor=self.actor, now=self.now) as gesture:
            # A file that was read has rows, though they are another import's: it counts as long as those stand.
            for number, rows in self.file_rows.items():
                ImportedFile.objects.filter(imported_in=imported, number=number).update(rows=rows)
            imported.state, imported.applied_at = Import.State.APPLIED, self.now
            imported.save()
            gesture.record("import.seen_before", imported, note="; ".join(self.seen))
        return self._seen(imported, imported.state)

    def _seen(self, imported: Import | None, state: str) -> IngestResult:
        return IngestResult(
            imported=imported,
            state=str(state),
            source=self.source,
            periods=(),
            rows=0,
            counts=Counts(),
            flagged=0,
            flags={},
            totals={},
            stored={},
            seen_before=self.seen,
            warnings=tuple(self.warnings),
        )

    def _recognize(self) -> dict[int, brought.Brought]:
        """Note what of a delivery that adds up stands already, and return it by file."""
        if self.source.delivery != Source.Delivery.APPEND:
            return {}
        known = brought.by_file(self.source, [file.pk for file in self.stored_files])
        of = {number: known[file.pk] for number, file in enumerate(self.stored_files, start=1) if file.pk in known}
        # Somebody decides about what waits: of that, only what stands is left out.
        self.skipped = frozenset(number for number, each in of.items() if each.is_settled and not self.again)
        self.standing = {
            number: frozenset(each.standing)
            for number, each in of.items()
            if each.standing and number not in self.skipped
        }
        return known

    def _read(self, stage: Stage | Load | _Rows) -> Converter:
        """Stream every file through the converter into the stage."""
        attributor = Attributor(source=self.source, policy=self.policy)
        make_converter = partial(
            Converter,
            attributor=attributor,
            reference=reference_of(self.policy),
            currency=self.policy.currency,
            flag_patterns=self.policy.flag_patterns,
            expected=self.expected,
            posted=self.posted,
            written=stage.takes_lines,
        )
        converter = make_converter()
        rollup = None
        if self.source.grain != Source.Grain.LINE:
            # It adds up by Arrow, which takes a while to load.
            from .rollup import Rollup

            by_month = self.source.grain == Source.Grain.MONTH
            rollup = Rollup(
                by_month=by_month, converter=converter, attributor=attributor, make_converter=make_converter
            )
        before = 0
        rows: dict[Part, int] = {}
        digests: dict[int, int] = {}
        for number, part in enumerate(self.parts, start=1):
            self.reading = part.name
            if number in self.skipped:
                continue
            if rollup is not None:
                reading = partial(self._tell, f"Adding up rows of {part.name}", sum(rows.values()), before)
                rows[part] = self.file_rows[number] = rollup.add(
                    part, number=number, has_period=len(self.expected) == 1, progress=reading
                )
                before += part.size
                continue
            rows_before = converter.rows
            for batch in understood(part, converter.wanted):
                converted = converter.convert(batch, file_name=part.name, file_number=number)
                if converted is not None and not converter.problems:
                    stage.add(converted)
                    digests[number] = digest_of(converted.said.contents, digests.get(number, 0))
                    if self.fetcher and not self.fetched:
                        # Hardly any delivery is of other months than its first rows.
                        self._fetch_meanwhile(self.fetcher, {month for month, _, _ in converter.totals})
                self._tell(f"Reading rows of {part.name}", 0, before, converter.rows, batch.bytes_read)
                if len(converter.problems) >= MAX_PROBLEMS:
                    break
            rows[part] = self.file_rows[number] = converter.rows - rows_before
            before += part.size
        self.reading = ""
        if rollup is not None and not converter.problems:
            digests = self._digests_of_equally_long(make_converter)
            for converted in rollup.finish():
                if not converter.problems:
                    stage.add(converted)
        if converter.problems:
            raise ImportRefused(
                [
                    {"file": name, "line": each.line, "column": each.column, "message": each.message}
                    for name, each in converter.problems
                ]
            )
        if not self.again:
            check_rows(rows)
            self._refuse_same_rows(digests)
            self._require_measure(converter)
        stage.settle()
        return converter

    def _digests_of_equally_long(self, make_converter: Callable[[], Converter]) -> dict[int, int]:
        """Return digests of the rows of files that have as many rows as another, by file; reads these once more."""
        loose = [number for number in self._loose_files() if self.file_rows.get(number)]
        lengths = Counter(self.file_rows[number] for number in loose)
        digests: dict[int, int] = {}
        for number in loose:
            if lengths[self.file_rows[number]] > 1:
                part, converter = self.parts[number - 1], make_converter()
                for batch in understood(part, converter.wanted):
                    converted = converter.convert(batch, file_name=part.name, file_number=number)
                    if converted is not None:
                        digests[number] = digest_of(converted.said.contents, digests.get(number, 0))
        return digests

    def _require_measure(self, converter: Converter) -> None:
        """Refuse files without the cost that the source charges where another of their columns may be it."""
        for measure in {self.source.measure_in(month) for month, _, _ in converter.totals}:
            name = differences.FOCUS_NAMES[measure]
            file = converter.lacking.get(name)
            if file is not None and (unread := [each for each in converter.unread if converter.unread[each] == file]):
                self.reading = file
                raise without_measure(name, unread)

    def _refuse_same_rows(self, digests: Mapping[int, int]) -> None:
        """Refuse a file that has just the rows of another, packed or ordered otherwise, unless a manifest names it."""
        first: dict[tuple[int, int], str] = {}
        problems = []
        for number, part in enumerate(self.parts, start=1):
            if part.manifest or number not in digests:
                continue
            key = (self.file_rows[number], digests[number])
            if key in first:
                problems.append(Problem(f"{part.name} has the same rows as {first[key]}. Name one of them."))
            first.setdefault(key, part.name)
        if problems:
            raise FileError(problems)

    def _tell(self, doing: str, rows_before: int, bytes_before: int, rows: int, read: int) -> None:
        """Tell how many rows came of about how many, by the share of the bytes that they took."""
        rows += rows_before
        size = sum(part.size for part in self.parts)
        self.progress(rows, max(rows, rows * size // max(bytes_before + read, 1)), doing)

    def _is_matched(self) -> bool:
        """Tell whether there will be charges to match the delivery with, as far as that is known before reading."""
        if self.source.delivery == Source.Delivery.APPEND:
            return False
        live = Charge.objects.live().filter(source=self.source)
        return (live.filter(period__month__in=self.expected) if self.expected else live).exists()

    @contextlib.contextmanager
    def _staged(self) -> Iterator[tuple[Stage, Converter]]:
        """Read the delivery, match it with what is there and compare them."""
        is_matched = self._is_matched()
        with Stage(remembers=is_matched) as stage:
            # On SQLite the import itself keeps a core busy with that, and inside a transaction nobody else sees it all.
            is_beside = is_matched and connection.vendor == "postgresql" and not connection.in_atomic_block
            with ThreadPoolExecutor(max_workers=1) as thread:
                self.fetcher = thread if is_beside else None
                converter = self._read(stage)
                self._match(stage, converter)
            self._doubt_age(converter)
            self._compare(converter)
            yield stage, converter

    def _fetch_meanwhile(self, thread: ThreadPoolExecutor, months: Collection[datetime.date]) -> None:
        """Have what is charged in these months fetched by a connection of its own, while the delivery is read."""
        self.imports_before = self._imports_so_far()
        ids = frozenset(BillingPeriod.objects.filter(month__in=months).values_list("id", flat=True))
        self.fetched = ids, thread.submit(live_elsewhere, self.source.pk, sorted(ids))

    def _live_hashes(self, period_ids: Sequence[int]) -> LiveHashes:
        """Return what is charged by now, and note the imports it comes from; see live_hashes."""
        before, self.imports_before = self.imports_before, self._imports_so_far()
        if self.fetched:
            (ids, fetched), self.fetched = self.fetched, None
            if ids == set(period_ids) and before == self.imports_before:
                # Where there was no connection for it, it is fetched by this one.
                with contextlib.suppress(DatabaseError):
                    return fetched.result()
        return live_hashes(self.source.pk, period_ids)

    def _match(self, stage: Stage, converter: Converter) -> None:
        """Decide what is new, changed, unchanged and gone, by the source's delivery mode."""
        self._survey(converter)
        mode = self.source.delivery
        if mode == Source.Delivery.APPEND or not self.periods:
            self.imports_before = self._imports_so_far()
            if mode == Source.Delivery.APPEND and self.periods:
                self._match_rows(stage)
            elif self.standing:
                self._leave_out_standing(stage)
            self._ask_elsewhere(stage, converter)
            return
        period_ids = [period.pk for period in self.periods.values()]
        live_ids, live_content, live_identity = self._live_hashes(period_ids)
        if not live_ids:
            self._ask_elsewhere(stage, converter)
            return
        self.progress(0, 0, "Matching")
        staged = stage.hashes(month_number(month) for month in self.periods)
        changeable = None
        if mode == Source.Delivery.MERGE:
            # Without a ResourceId nothing says that one row is another one changed.
            changeable = np.frombuffer(staged.with_resource, dtype=np.bool_)
        found = match(staged.contents, staged.identities, live_content, live_identity, rows_changeable=changeable)
        row_numbers, ids = staged.rows, np.frombuffer(live_ids, dtype=np.int64)
        del staged, live_content, live_identity
        found = self._match_invoices(stage, found, row_numbers, ids, changeable)
        self._keep(stage, row_numbers, ids, found, converter.rows)
        gone = ids[found.gone_live]
        self.counts = Counts(
            new=converter.rows - found.unchanged - len(found.changed_rows),
            changed=len(found.changed_rows),
            unchanged=found.unchanged,
        )
        if mode == Source.Delivery.MERGE:
            self.counts.unseen = len(gone)
        else:
            self._withdraw_gone(stage, gone, converter)
        self._ask_elsewhere(stage, converter)

    def _match_rows(self, stage: Stage) -> None:
        """Know files that add up by their rows: what stands is left out, and rows that are there are asked about.

        Raises _StandsAlready where nothing is left, unless somebody decides about what waits.
        """
        self.progress(0, 0, "Matching")
        both = duplicates.sides(stage, self.source, self.periods)
        self.same_rows = duplicates.same_files(stage, both, self.periods) if both else {}
        self.left_out = {
            number: self.standing.get(number, frozenset()) | self.same_rows.get(number, {}).keys()
            for number in {*self.standing, *self.same_rows}
        }
        if self.left_out:
            self._leave_out_standing(stage, self.left_out)
            if not self.counts.new and not self.again:
                self._note_seen()
                raise _StandsAlready
        if both:
            self._ask(stage, duplicates.of_own_source(stage, both, self.source, self.periods, self.left_out))

    def _note_seen(self) -> None:
        """Note which import brought the rows of each file."""
        seen = []
        for number, part in enumerate(self.parts, start=1):
            imports = sorted({*self.same_rows.get(number, {}).values()})
            seen += [f"{part.name} (import {', '.join(map(str, imports))})"] if imports else []
        self.seen = (*self.seen, *seen)

    def _ask_elsewhere(self, stage: Stage, converter: Converter) -> None:
        """Have somebody look at new rows that are charges of another source."""
        self.elsewhere = duplicates.imports_elsewhere(self.source, converter.totals)
        if self.keeps_all or self.counts.new:
            self._ask(stage, self._found_elsewhere(stage, self.periods))
            if len(loose := self._loose_files()) > 1:
                self._ask(stage, duplicates.of_several_files(stage, self.source, loose, only_new=not self.keeps_all))

    def _loose_files(self) -> dict[int, str]:
        """Return the names, by number, of the files that no manifest names."""
        return {number: part.name for number, part in enumerate(self.parts, start=1) if not part.manifest}

    def _found_elsewhere(self, stage: Stage, periods: duplicates.Periods) -> list[duplicates.Again]:
        if not self.elsewhere or not periods:
            return []
        return duplicates.of_other_sources(
            stage, self.source, set(self.elsewhere.values()), periods, only_new=not self.keeps_all
        )

    def _ask(self, stage: Stage, again: list[duplicates.Again]) -> None:
        """Hold rows that are charges already, or decide as somebody did when they came before; each row once."""
        known = {each.row for each in self.again_rows}
        again = [each for each in again if each.row not in known]
        if not again:
            return
        states: dict[str, list[tuple[int, str]]] = {}
        for each in again:
            states.setdefault(each.state, []).append((each.row, each.detail))
        held = [row for row, _ in states.get(Charge.State.HELD, [])]
        rows, alone = self.held_again
        self.held_again = rows + len(held), alone + len(held) - stage.flagged_otherwise(held)
        stage.doubt(duplicates.CODE, states)
        self.again_rows += again

    def _has_equal(self, load: Load) -> bool:
        """Tell whether a row of a delivery that adds up is a charge of its source already."""
        if self.source.delivery != Source.Delivery.APPEND or not self.periods or load.span is None:
            return False
        ids = [period.pk for period in self.periods.values()]
        others = live_hashes(self.source.pk, ids, load.span, besides=load.imported.pk)
        return len(paired(load.contents, others[1])[0]) > 0

    def _overlaps(self, load: Load) -> bool:
        """Tell whether two of the files that no manifest names have a row in common."""
        loose = self._loose_files()
        if len(loose) < 2:
            return False
        hashes, start = hashes_of(load.contents), 0
        seen = hashes[:0]
        for number, rows in sorted(self.file_rows.items()):
            own, start = hashes[start : start + rows], start + rows
            if number in loose:
                if len(paired(own, seen)[0]):
                    return True
                seen = np.concatenate([seen, own])
        return False

    def _leave_out_standing(
        self, stage: Stage, months_of: Mapping[int, Collection[datetime.date]] | None = None
    ) -> None:
        """Of a file that adds up, take only the months whose charges were withdrawn or never made."""
        stage.keep_all()
        self.keeps_all = False
        for number, months in (self.standing if months_of is None else months_of).items():
            stage.leave_out_of_file(number, [month_number(month) for month in months])
        kept = stage.kept_rows()
        self.counts = Counts(new=kept, unchanged=self.counts.new - kept)
        self.touched = {datetime.date(month // 100, month % 100, 1) for month in stage.kept_months()}

    def _survey(self, converter: Converter) -> None:
        """Note which months the delivery is about; as long as nothing is matched, all of it is new."""
        self.months = sorted({month for month, _, _ in converter.totals})
        self.periods = {period.month: period for period in BillingPeriod.objects.filter(month__in=self.months)}
        self.touched = set(self.months)
        self.counts.new = converter.rows
        if self.again or self.force or not (why := self._strange(converter)):
            return
        if not self.in_its_folder or self._sources_of(converter):
            raise self._of_another_source(why, converter)

    def _strange(self, converter: Converter) -> str:
        """Say why the files look like another source's; empty where they are like its earlier ones.

        Accounts tell, else providers, else the services: the first of them that both name.
        """
        earlier = Import.objects.filter(source=self.source, state__in=(Import.State.APPLIED, Import.State.DEFERRED))
        accounts = {account for _, account, _ in converter.totals} - {""}
        totals = ImportTotal.objects.filter(imported_in__in=earlier).exclude(billing_account_id="")
        known = set(map(same_id, totals.values_list("billing_account_id", flat=True).distinct()))
        if accounts and known:
            if not known.isdisjoint(map(same_id, accounts)):
                return ""
            return f"its billing accounts ({_named(accounts)}) are in no earlier file of {self.source}"
        for words, field, found in (
            ("providers", "provider_name", converter.providers - {""}),
            ("services", "service_name", converter.services - {""}),
        ):
            own = Charge.objects.live().filter(source=self.source)
            if not found or own.filter(**{f"{field}__in": found}).exists() or not own.exclude(**{field: ""}).exists():
                continue
            # That the services of a month are all new is no wonder by itself.
            if field == "provider_name" or self._sources_of(converter):
                return f"its {words} ({_named(found)}) are in no earlier file of {self.source}"
        if self.named and not earlier.exists() and self.named.name in self._sources_of(converter):
            return f"its name and its rows are like those of {self.named}"
        return ""

    def _of_another_source(self, why: str, converter: Converter) -> OfAnotherSource:
        others = self._sources_of(converter) or ([self.named.name] if self.named else [])
        like = f" Its rows are like those of {' and '.join(others)}." if others else ""
        message = (
            f"This looks like another source's file: {why}.{like} "
            f"Choose its source, or confirm that it is of {self.source}."
        )
        return OfAnotherSource([{"file": "", "line": None, "column": None, "message": message}], source=self.source)

    def _sources_of(self, converter: Converter) -> list[str]:
        """Return the names of other sources that know the accounts, or else the providers, or else the services."""
        if accounts := {same_id(account) for _, account, _ in converter.totals} - {""}:
            totals = ImportTotal.objects.filter(imported_in__state=Import.State.APPLIED).exclude(
                imported_in__source=self.source
            )
            known = totals.values_list("imported_in__source__name", "billing_account_id").distinct()
            return sorted({name for name, account in known if same_id(account) in accounts})
        for field, found in (
            ("provider_name", converter.providers - {""}),
            ("service_name", converter.services - {""}),
        ):
            if not found:
                continue
            charges = Charge.objects.live().filter(**{f"{field}__in": found})
            others = Source.objects.exclude(pk=self.source.pk).order_by("name")
            names = [source.name for source in others if charges.filter(source=source).exists()]
            if names:
                return names
        return []

    def _match_invoices(
        self,
        stage: Stage,
        found: Matched,
        row_numbers: Numbers,
        ids: Numbers,
        changeable: npt.NDArray[np.bool_] | None,
    ) -> Matched:
        """Know a charge again whose invoice id was filled in since, as some providers do at the end of a month.

        First what is equal in all but that, whatever the mode; then what has the same identity but for it.
        """
        if not (len(found.new_rows) and len(found.gone_live)):
            return found
        periods = {month_number(month): period.pk for month, period in self.periods.items()}
        keys = stage.without_invoice(row_numbers[found.new_rows], ids[found.gone_live], periods)
        if keys is None:
            return found
        rows = np.searchsorted(row_numbers, keys[0].numbers)
        live = np.searchsorted(ids, keys[1].numbers)
        found = further(found, rows, live, keys[0].wholes, keys[1].wholes)
        rows_left, live_left = np.isin(rows, found.new_rows), np.isin(live, found.gone_live)
        if changeable is not None:
            rows_left &= changeable[rows]
        return further(
            found,
            rows[rows_left],
            live[live_left],
            hashes_at(keys[0].identities, rows_left),
            hashes_at(keys[1].identities, live_left),
        )

    def _keep(self, stage: Stage, row_numbers: Numbers, ids: Numbers, found: Matched, total: int) -> None:
        """Note which rows become charges, in file order, and which charge each replaces."""
        self.keeps_all = False
        changed = row_numbers[found.changed_rows]
        wanted = np.union1d(row_numbers[found.new_rows], changed)
        if len(row_numbers) < total:
            # Rows of months without charges so far are all new.
            wanted = np.union1d(wanted, np.setdiff1d(np.arange(1, total + 1), row_numbers, assume_unique=True))
        replaced = np.zeros(len(wanted), dtype=np.int64)
        replaced[np.searchsorted(wanted, changed)] = ids[found.changed_live]
        stage.keep(wanted, replaced)
        # Only months where something does change have to take changes.
        self.touched = {datetime.date(month // 100, month % 100, 1) for month in stage.kept_months()}

    def _withdraw_gone(self, stage: Stage, gone: Numbers, converter: Converter) -> None:
        """Stage the withdrawal of what a snapshot no longer has, and note where it may not be whole."""
        for start in range(0, len(gone), CHUNK):
            stage.fill("stage_gone", [gone[start : start + CHUNK].tolist()], ("charge_id",))
        accounts: dict[int, set[str]] = {}
        for month, account, _ in converter.totals:
            if month in self.periods:
                accounts.setdefault(self.periods[month].pk, set()).add(same_id(account))
        # Accounts count in the form that all their spellings share.
        leaves = [doubts.Gone(*row) for row in stage.gone()]
        leaves = [dataclasses.replace(each, account=same_id(each.account)) for each in leaves]
        sums = doubts.by_account(leaves)
        found: list[doubts.Doubt] = []
        for period in self.periods.values():
            delivered = accounts.get(period.pk, set())
            charges = Charge.objects.live().filter(source=self.source, period=period)
            counts = charges.values_list("billing_account_id").annotate(count=Count("id"))
            live: dict[str, int] = {}
            spellings: dict[str, list[str]] = {}
            for spelled, count in counts.order_by("billing_account_id"):
                live[same_id(spelled)] = live.get(same_id(spelled), 0) + count
                spellings.setdefault(same_id(spelled), []).append(spelled)
            missing = live.keys() - delivered
            together = self._delivered_together(period, delivered)
            for account in sorted(missing):
                if account in together:
                    found.append(doubts.of_account(period, account, live[account], sums[period.pk, account]))
                    continue
                # An account that always came in a delivery of its own is not this delivery's to withdraw.
                for spelled in spellings[account]:
                    stage.spare(period, spelled)
            for account in sorted(delivered & set(live)):
                found += doubts.of_most(period, account, live[account], sums[period.pk, account])
        if not (self.replace or self.missing or self.again) and self._was_kept():
            self.missing = Import.Missing.KEEP
        if found and not (self.replace or self.missing):
            services = Charge.objects.live().filter(source=self.source, period__in=self.periods.values())
            if not (
                self.force
                or self.counts.unchanged
                or self.counts.changed
                or services.filter(service_name__in=converter.services - {""}).exists()
            ):
                raise self._of_another_source("none of its rows is like what is there", converter)
        if self.missing == Import.Missing.KEEP:
            stage.spare_all()
        gone_from = stage.gone_by_period()
        if gone_from and not (self.replace or self.missing):
            months = {month_number(month): period for month, period in self.periods.items()}
            present = (
                doubts.Present(months[month].pk, same_id(account), *of) for month, account, *of in stage.present(months)
            )
            self.doubts = [*found, *doubts.of_what_is_missing(leaves, present, self.periods.values())]
            if self.doubts:
                new = (
                    doubts.New(months[month].pk, account, day, currency, rows, units)
                    for month, account, day, currency, rows, units in stage.new()
                    if month in months
                )
                self.doubts += doubts.of_rewriting(leaves, new, self.periods.values())
        self.counts.withdrawn = sum(gone_from.values())
        # Said, for an account whose name has changed would be charged twice.
        self.counts.unseen = len(gone) - self.counts.withdrawn
        self.touched |= {month for month, period in self.periods.items() if gone_from.get(period.pk)}

    def _was_kept(self) -> bool:
        """Whether the latest import of these months had the same files, and somebody had it keep what they lack."""
        last = (
            Import.objects.filter(
                source=self.source, state=Import.State.APPLIED, scope_totals__period__in=self.periods.values()
            )
            .order_by("-pk")
            .first()
        )
        files = [file.pk for file in self.stored_files]
        return last is not None and last.missing == Import.Missing.KEEP and late.same_files(last, files)

    def _doubt_age(self, converter: Converter) -> None:
        """Doubt a delivery that would put an older run of an export over a newer one."""
        if self.source.delivery == Source.Delivery.APPEND or self.replace or self.missing or not self.touched:
            return
        scopes = {
            (self.periods[month].pk, account)
            for month, account, _ in converter.totals
            if month in self.touched and month in self.periods
        }
        self.doubts += doubts.of_age(self.source, self.made_at, scopes, self.own_numbers)

    def _would_withdraw(self, imported: Import | None = None) -> WouldWithdraw:
        error = {"file": "", "line": None, "column": None, "message": " ".join(each.message for each in self.doubts)}
        return WouldWithdraw([error | {"confirmed": True} if self.force else error], imported, source=self.source)

    def _delivered_together(self, period: BillingPeriod, accounts: set[str]) -> set[str]:
        """Return the accounts that the last delivery for a period held beside one of `accounts`."""
        totals = ImportTotal.objects.filter(
            period=period, imported_in__source=self.source, imported_in__state=Import.State.APPLIED
        )
        of_imports: dict[int, set[str]] = {}
        for number, account in totals.values_list("imported_in_id", "billing_account_id"):
            of_imports.setdefault(number, set()).add(same_id(account))
        last = max((number for number, found in of_imports.items() if found & accounts), default=0)
        return of_imports.get(last, set())

    def _compare(self, converter: Converter) -> None:
        """Say what the delivery changes, and which of the months it changes take no more."""
        measures = {month: str(self.source.measure_in(month)) for month in self.months}
        self.difference = differences.difference(
            totals=converter.totals, periods=self.periods, measures=measures, is_matched=not self.keeps_all
        )
        self.late = sorted(month for month in self.touched if self._waits(self.periods.get(month)))
        for month in self.late:
            for currency, found in self.difference[month_text(month)].items():
                found |= differences.charged_and_booked(self.source, self.periods[month], currency, measures[month])

    def _waits(self, period: BillingPeriod | None) -> bool:
        """Tell whether changes of a month wait: it takes none, or is in review and this is no act of a person."""
        if period is None or period.status == BillingPeriod.Status.OPEN:
            return False
        return not (self.is_by_hand and period.takes_changes)

    def _defer(self, imported: Import, converter: Converter) -> None:
        """Keep the whole delivery until somebody decides: nothing of it changes a charge."""
        with audit.gesture(actor=self.actor, now=self.now) as gesture:
            # Imports of one source come one after the other, also those that only wait.
            self._require_unchanged(imported)
            self._wait(imported, converter, gesture)

    def _set_aside(self, imported: Import, converter: Converter) -> None:
        """Keep a delivery that is doubtful as a whole until somebody decides; raise WouldWithdraw to say why.

        Not where the same files were dismissed before: then that was the answer.
        """
        with audit.gesture(actor=self.actor, now=self.now) as gesture:
            self._require_unchanged(imported)
            for month in self.months:
                # Its control totals are kept by month, also of one that has nothing else yet.
                self.periods[month] = closing.ensure_period(month=month, actor=self.actor, now=self.now)
            self.late = list(self.months)
            imported.doubts = [each.as_data() for each in self.doubts]
            self._wait(imported, converter, gesture)
        if imported.state == Import.State.DEFERRED:
            raise self._would_withdraw(imported)

    def _defer_part(self, stage: Stage, converter: Converter, imported: Import) -> None:
        """Apply what is of open months, and keep the rest under a number of its own, until somebody decides."""
        with audit.gesture(actor=self.actor, now=self.now) as gesture:
            rest = Import.objects.create(
                source=self.source,
                state=Import.State.CHECKED,
                mode=imported.mode,
                expected_period=imported.expected_period,
                replace=imported.replace,
                rules=imported.rules,
                billing_zone=imported.billing_zone,
                unread=imported.unread,
                name=imported.name,
                rest_of=imported,
                made_at=imported.made_at,
                doubts=imported.doubts,
                created_at=self.now,
                created_by=self.actor.user,
                created_by_name=self.actor.name,
            )
            ImportedFile.objects.bulk_create(
                self._imported_file(rest, number) for number in range(1, len(self.parts) + 1)
            )
            if self.keeps_all:
                stage.keep_all()
                self.keeps_all = False
            shut = [month_number(month) for month in self.late]
            stage.leave_out(shut, [self.periods[month] for month in self.late])
            flags, flagged = stage.flags_beside(shut)
            self.touched -= set(self.late)
            self._note_part(imported, converter, set(self.months) - set(self.late))
            imported.flags, imported.flagged = flags, flagged
            self._apply(stage, converter, imported)
            self._wait(rest, converter, gesture)

    def _wait(self, imported: Import, converter: Converter, gesture: audit.Gesture) -> None:
        months = set(self.late)
        self._note_part(imported, converter, months)
        imported.flags, imported.flagged = {}, 0
        self._keep_totals(imported, converter, months, self.periods)
        files = [file.pk for file in self.stored_files]
        imported.state = Import.State.DEFERRED
        if before := late.dismissed_before(imported, files):
            imported.state = Import.State.DISMISSED
            imported.reason = f"The same files as import {before.pk}, which was dismissed: {before.reason}"
        imported.save()
        self.deferred = imported
        gesture.record(
            "import.deferred" if imported.state == Import.State.DEFERRED else "import.dismissed",
            imported,
            after={
                "source": self.source.name,
                "rows": imported.rows,
                "periods": [month_text(month) for month in self.late],
                "totals": imported.totals,
                **({"doubts": imported.doubts} if imported.doubts else {}),
            },
            note=imported.reason,
        )
        self._supersede(imported, converter, gesture)

    def _note_part(self, imported: Import, converter: Converter, months: set[datetime.date]) -> None:
        """Note on an import what of the delivery is its own: that of these months."""
        totals = {scope: total for scope, total in converter.totals.items() if scope[0] in months}
        imported.difference = {
            month: found for month, found in self.difference.items() if month in {month_text(each) for each in months}
        }
        found = [each for currencies in imported.difference.values() for each in currencies.values()]
        imported.new = sum(each["new"]["rows"] for each in found)
        imported.changed = sum(each["changed"]["rows"] for each in found)
        imported.unchanged = sum(each["unchanged"]["rows"] for each in found)
        imported.withdrawn = sum(each["gone"]["rows"] for each in found)
        imported.rows = sum(total.rows for total in totals.values())
        imported.totals = totals_by_currency(totals, exact=True)
        imported.stored = totals_by_currency(totals, exact=False)

    def _keep_totals(
        self,
        imported: Import,
        converter: Converter,
        months: set[datetime.date],
        periods: dict[datetime.date, BillingPeriod],
    ) -> None:
        ImportTotal.objects.bulk_create(
            _total_row(imported, periods[month], account, currency, total)
            for (month, account, currency), total in sorted(converter.totals.items())
            if month in months
        )
        for number, rows in self.file_rows.items():
            ImportedFile.objects.filter(imported_in=imported, number=number).update(rows=rows)

    def _keep_overlaps(
        self,
        imported: Import,
        stage: Stage,
        converter: Converter,
        months: set[datetime.date],
        *,
        periods: Mapping[datetime.date, BillingPeriod] | None = None,
        into: BillingPeriod | None = None,
    ) -> None:
        """Keep what of the delivery was there before and what it displaces, so that control totals can be added up.

        What is said again is told from the file's side: its totals less the rows that become charges. Late changes
        of `into` are borne there, and so is what they take back.
        """
        of = periods or self.periods
        again: dict[tuple[datetime.date, str], list[int]] = {}
        for (month, _, currency), total in converter.totals.items():
            if month in months:
                sums = again.setdefault((month, currency), [0, 0, 0])
                for place, number in enumerate((total.rows, total.units["BilledCost"], total.units["EffectiveCost"])):
                    sums[place] += number
        for number, currency, *kept in stage.kept_sums():
            sums = again[datetime.date(number // 100, number % 100, 1), currency]
            for place, value in enumerate(kept):
                sums[place] -= value
        found: list[tuple[Any, ...]] = [
            (ImportOverlap.Kind.AGAIN, of[month].pk, (into or of[month]).pk, currency, *sums)
            for (month, currency), sums in sorted(again.items())
        ]
        displaced: dict[tuple[int, int, str], list[int]] = {}
        for period_id, borne_by, currency, *leaving in stage.displaced_sums():
            sums = displaced.setdefault((period_id, into.pk if into else borne_by, currency), [0, 0, 0])
            for place, value in enumerate(leaving):
                sums[place] += value
        found += [(ImportOverlap.Kind.DISPLACED, *scope, *sums) for scope, sums in sorted(displaced.items())]
        ImportOverlap.objects.bulk_create(
            ImportOverlap(
                imported_in=imported,
                kind=kind,
                period_id=period_id,
                borne_by_id=borne_by,
                currency=currency,
                rows=rows,
                billed=from_units(billed),
                effective=from_units(effective),
            )
            for kind, period_id, borne_by, currency, rows, billed, effective in found
            if rows or billed or effective
        )

    def _supersede(self, imported: Import, converter: Converter, gesture: audit.Gesture) -> None:
        late.supersede(
            by=imported,
            covered={
                (self.periods[month].pk, account) for month, account, _ in converter.totals if month in self.periods
            },
            files=[file.pk for file in self.stored_files],
            is_whole=self.source.delivery == Source.Delivery.SNAPSHOT,
            gesture=gesture,
        )

    def _apply(self, stage: Stage | Load, converter: Converter, imported: Import) -> None:
        """Make charges of what is staged or loaded, in one transaction that also marks the import applied."""
        self.progress(0, 0, "Applying")
        given = stage.period_ids if isinstance(stage, Load) else {}
        with audit.gesture(actor=self.actor, now=self.now) as gesture:
            periods = {
                month: closing.ensure_period(month=month, given=given.get(month), actor=self.actor, now=self.now)
                for month in self.months
            }
            was_deferred = imported.state == Import.State.DEFERRED
            if was_deferred:
                late.require_deferred(Import.objects.select_for_update(no_key=True).get(pk=imported.pk))
                late.require_applicable(imported)
                # What it says is counted anew, with the rows as they are read now.
                imported.scope_totals.all().delete()
            else:
                _require_at_work(imported)
            if self.touched:
                # A late change that this one replaces is borne by another month than its own.
                bearing = BillingPeriod.objects.filter(pk__in=stage.bearing())
                for period in closing.require_open(*(periods[month] for month in self.touched), *bearing):
                    if period.removed_at:
                        # Somebody took it for empty at this moment.
                        closing.ensure_period(month=period.month, actor=self.actor, now=self.now)
                if now_waiting := [month for month in sorted(self.touched) if self._waits(periods[month])]:
                    named = ", ".join(month_text(month) for month in now_waiting)
                    raise Overtaken(
                        [Problem(f"{named} was put in review meanwhile. Import this one again: it waits there.")]
                    )
            self._require_unchanged(imported)
            self._require_no_more_again(stage, periods)
            self._require_no_more_elsewhere(stage, converter, periods)
            if not was_deferred:
                self._require_latest(imported)
            if isinstance(stage, Load):
                people, projects = self._owners_of(converter, gesture, stage.person_ids, stage.project_ids)
                stage.move(periods=periods, people=people, projects=projects)
            else:
                self._apply_staged(stage, converter, imported, periods, gesture)
            self._keep_totals(imported, converter, set(self.months) - set(self.late), periods)
            if not self.late:
                self._supersede(imported, converter, gesture)
            for month in sorted(self.touched):
                charging.stamp_project_splits(periods[month])
            self._count_new(stage, converter)
            imported.new_pis = [each.as_data() for each in self.new_pis]
            imported.state, imported.applied_at = Import.State.APPLIED, self.now
            imported.missing = self.missing
            imported.save()
            gesture.record(
                "import.applied",
                imported,
                before={"state": Import.State.DEFERRED.value} if was_deferred else None,
                after={
                    "source": self.source.name,
                    # What the files were can be told from the trail alone.
                    "sha256": [file.sha256 for file in self.stored_files],
                    "rows": imported.rows,
                    **vars(self.counts),
                    "totals": imported.totals,
                    **({"missing": imported.missing} if imported.missing else {}),
                },
            )

    def _apply_staged(
        self,
        stage: Stage,
        converter: Converter,
        imported: Import,
        periods: dict[datetime.date, BillingPeriod],
        gesture: audit.Gesture,
    ) -> None:
        stage.fill_rows("stage_month", [(month_number(month), period.pk) for month, period in periods.items()])
        self._attribute(stage, converter, gesture)
        measures = {
            period.pk: MEASURES[Source.Measure(self.source.measure_in(month))] for month, period in periods.items()
        }
        if not self.keeps_all:
            own = set(self.months) - set(self.late)
            self._keep_overlaps(imported, stage, converter, own, periods=periods)
        first, count = stage.apply(
            imported,
            only_kept=not self.keeps_all,
            measures=measures,
            tolerance_units=to_units(self.policy.amount_tolerance),
        )
        if not self.keeps_all:
            self._inherit(first, count, gesture)
        duplicates.keep_answers(self.again_rows, imported, self.stored_files, gesture)

    def _imports_so_far(self) -> dict[str, Any]:
        """Return what matching is done against: how many imports of the source were applied and taken back."""
        return Import.objects.filter(source=self.source, applied_at__isnull=False).aggregate(
            applied=Count("id"), latest=Max("id"), withdrawn=Count("id", filter=Q(state=Import.State.WITHDRAWN))
        )

    def _require_unchanged(self, imported: Import) -> None:
        """Refuse if another import of the source was applied after this one was matched, or had the same files."""
        # Imports of one source are applied one after the other.
        Source.objects.select_for_update(no_key=True).get(pk=self.source.pk)
        is_matched = self.source.delivery != Source.Delivery.APPEND
        if is_matched and self._imports_so_far() != self.imports_before:
            raise Overtaken([Problem(f"Another import of {self.source} was applied meanwhile. Import this one again.")])
        before = self.skipped, self.standing
        known = self._recognize()
        if (self.skipped, self.standing) == before:
            return
        numbers = sorted({each.number for each in known.values() if each.standing})
        raise Overtaken(
            [
                Problem(
                    f"Import {numbers[-1]} applied the same file meanwhile: it counts once."
                    if numbers
                    else "The import of the same file was withdrawn meanwhile. Import this one again."
                )
            ]
        )

    def _require_no_more_again(self, stage: Stage | Load, periods: Mapping[datetime.date, BillingPeriod]) -> None:
        """Refuse if an import that was applied meanwhile brought rows of one that adds up."""
        if self.source.delivery != Source.Delivery.APPEND or self._imports_so_far() == self.imports_before:
            return
        self.periods = dict(periods)
        if isinstance(stage, Load):
            is_overtaken = self._has_equal(stage)
        else:
            both = duplicates.sides(stage, self.source, self.periods)
            again = duplicates.of_own_source(stage, both, self.source, self.periods, self.left_out) if both else []
            is_overtaken = not {each.row for each in again} <= {each.row for each in self.again_rows}
        if is_overtaken:
            raise Overtaken([Problem("Another import brought the same rows meanwhile. Import this one again.")])

    def _require_no_more_elsewhere(
        self, stage: Stage | Load, converter: Converter, periods: Mapping[datetime.date, BillingPeriod]
    ) -> None:
        """Refuse if another source brought some of the same costs meanwhile: nobody was asked about them."""
        duplicates.take_turns()
        before = self.elsewhere
        self.elsewhere = duplicates.imports_elsewhere(self.source, converter.totals)
        if self.elsewhere.keys() <= before.keys():
            return
        is_overtaken = isinstance(stage, Load)
        if isinstance(stage, Stage):
            found = self._found_elsewhere(stage, periods)
            is_overtaken = not {each.row for each in found} <= {each.row for each in self.again_rows}
        if is_overtaken:
            sources = sorted({self.elsewhere[number].name for number in self.elsewhere.keys() - before.keys()})
            raise Overtaken(
                [Problem(f"{' and '.join(sources)} brought the same costs meanwhile. Import this one again.")]
            )

    def _require_latest(self, imported: Import) -> None:
        """Refuse a delivery that one received after it overtook: it would put older figures over newer ones."""
        if self.source.delivery == Source.Delivery.APPEND:
            return
        later = Import.objects.filter(source=self.source, state=Import.State.APPLIED, id__gt=imported.pk).first()
        if later:
            raise FileError(
                [
                    Problem(
                        f"Import {later.pk} of {self.source}, which came after this one, was applied while this one "
                        "was read. Import this one again only if it is the newer."
                    )
                ]
            )

    def _attribute(self, stage: Stage, converter: Converter, gesture: audit.Gesture) -> None:
        """Stage the attributions of the delivery with their ids, making the PIs and projects that are new."""
        people, projects = self._owners_of(converter, gesture)
        stage.fill_rows(
            "stage_attribution",
            (
                (number, *owner_values(each, people=people, projects=projects))
                for number, each in enumerate(converter.attribution_list)
            ),
        )

    def _owners_of(
        self,
        converter: Converter,
        gesture: audit.Gesture,
        person_ids: Mapping[str, int] = NO_IDS,
        project_ids: Mapping[str, int] = NO_IDS,
    ) -> tuple[dict[str, int], dict[str, int]]:
        """Return the ids of PIs and projects, making those that are new with the ids they were given."""
        attributions = converter.attribution_list
        self._find_new(converter)
        people = people_of((each.pi_email for each in attributions), gesture, person_ids)
        owners: dict[str, str] = {}
        for each in attributions:
            owners.setdefault(each.project_code, each.pi_email)
        return people, projects_of(owners, people, gesture, project_ids)

    def _find_new(self, converter: Converter) -> None:
        """Note which PIs are not there yet."""
        emails = sorted({each.pi_email for each in converter.attribution_list if each.pi_email})
        self.new_emails = frozenset(emails) - known_people(emails).keys()

    def _count_new(self, stage: Stage | Load, converter: Converter) -> None:
        """Count the charges and money of the PIs that are new: all they have is of this import."""
        if not self.new_emails:
            return
        sums: list[tuple[str, str, int, Decimal]]
        if isinstance(stage, Load):
            sums = self._charged_to_new(converter)
        else:
            emails = [each.pi_email for each in converter.attribution_list]
            sums = [
                (emails[number], currency, count, from_units(units))
                for number, currency, count, units in stage.sums_by_attribution(only_kept=not self.keeps_all)
                if emails[number] in self.new_emails
            ]
        self.new_pis = newcomers.new_pis(sums, converter.attributor.known)

    def _charged_to_new(self, converter: Converter) -> list[tuple[str, str, int, Decimal]]:
        ids = known_people(sorted(self.new_emails))
        emails = {pk: email for email, pk in ids.items()}
        periods = list(BillingPeriod.objects.filter(month__in=self.months).values_list("pk", flat=True))
        charges = Charge.objects.live().filter(charged_in__in=periods, pi__in=list(emails)).order_by()
        currencies = {currency for _, _, currency in converter.totals}
        sums: list[tuple[str, str, int, Decimal]] = []
        # By one currency the index of the month answers, without a look at the charges.
        by_currency = len(currencies) > 1
        groups = charges.values_list("pi_id", *(["currency"] if by_currency else []))
        for pk, *rest in groups.annotate(count=Count("*"), billed=AmountSum("billed_cost")):
            sums.append((emails[pk], rest[0] if by_currency else next(iter(currencies)), rest[-2], rest[-1]))
        return sums

    def _inherit(self, first: int, count: int, gesture: audit.Gesture) -> None:
        """Record, for each replacement of a charge that people decided about, what it inherited."""
        replaced = (
            Charge.objects.filter(id__gte=first, id__lt=first + count, replaces__isnull=False)
            .filter(Q(replaces__state__in=("approved", "rejected", "absorbed")) | Q(attributed_by="decision"))
            .select_related("replaces")
        )
        decisions = []
        for charge in replaced.iterator(chunk_size=2_000):
            old = charge.replaces
            if old is None:
                continue
            before = {"charge": old.pk, "state": old.state, "billed": plain(old.billed_cost)}
            after = {"state": charge.state, "billed": plain(charge.billed_cost)}
            decisions.append(
                ReviewDecision(
                    charge=charge,
                    file_sha256=self.stored_files[charge.file_number - 1].sha256,
                    line_number=charge.line_number,
                    action=ReviewDecision.Action.INHERIT,
                    before=before,
                    after=after,
                    decided_by=self.actor.user,
                    decided_by_name=self.actor.name,
                    decided_at=self.now,
                    gesture=gesture.id,
                )
            )
        ReviewDecision.objects.bulk_create(decisions, batch_size=2_000)
        _write_old_and_new(first, count)

    # Results -----------------------------------------------------------------------------------

    def _note(self, imported: Import, converter: Converter) -> None:
        imported.rows = converter.delivered
        for name, value in vars(self.counts).items():
            setattr(imported, name, value)
        imported.flagged = self._flagged(converter)
        imported.flags = self._flags(converter)
        imported.totals = totals_by_currency(converter.totals, exact=True)
        imported.stored = totals_by_currency(converter.totals, exact=False)
        imported.difference = self.difference
        imported.rules = _rules_of(converter)
        imported.billing_zone = str(converter.zone or "")
        imported.unread = list(converter.unread)

    def _flags(self, converter: Converter) -> dict[str, int]:
        held, _ = self.held_again
        return dict(sorted({**converter.flag_counts, **({str(duplicates.CODE): held} if held else {})}.items()))

    def _flagged(self, converter: Converter) -> int:
        return converter.flagged_rows + self.held_again[1]

    def _result(self, imported: Import | None, state: str, converter: Converter) -> IngestResult:
        return IngestResult(
            imported=imported,
            state=str(state),
            source=self.source,
            periods=tuple(month_text(month) for month in self.months),
            rows=converter.delivered,
            counts=self.counts,
            flagged=self._flagged(converter),
            flags=self._flags(converter),
            totals=totals_by_currency(converter.totals, exact=True),
            stored=totals_by_currency(converter.totals, exact=False),
            rules=_rules_of(converter),
            unread=tuple(converter.unread),
            seen_before=self.seen,
            warnings=tuple(self.warnings),
            difference=self.difference,
            new_pis=self.new_pis,
            deferred_periods=tuple(month_text(month) for month in self.late),
            deferred=self.deferred,
        )

    def _errors_of(self, error: FileError) -> list[dict[str, Any]]:
        return [
            {"file": each.file or self.reading, "line": each.line, "column": each.column, "message": each.message}
            for each in error.problems
        ]

    def _fail(self, imported: Import, errors: list[dict[str, Any]]) -> None:
        with audit.gesture(actor=self.actor, now=self.now) as gesture:
            # What is committed stands, whatever broke off after it: its charges are there.
            reached = Import.objects.select_for_update(no_key=True).values_list("state", flat=True).get(pk=imported.pk)
            if reached not in Import.UNFINISHED:
                imported.refresh_from_db()
                return
            imported.state, imported.errors = Import.State.FAILED, errors
            imported.applied_at = None
            imported.save()
            gesture.record("import.failed", imported, note=describe(errors[0]) if errors else "")


def _total_row(imported: Import, period: BillingPeriod, account: str, currency: str, total: ScopeTotal) -> ImportTotal:
    exact = {f"{_short(column)}_exact": plain(total.exact[column]) for column in AMOUNTS}
    stored = {f"{_short(column)}_stored": total.stored(column) for column in AMOUNTS}
    return ImportTotal(
        imported_in=imported,
        period=period,
        billing_account_id=account,
        currency=currency,
        rows=total.rows,
        **exact,
        **stored,
    )


def _rules_of(converter: Converter) -> dict[str, int]:
    return {str(rule): rows for rule, rows in sorted(converter.rules.items())}


def _named(texts: Collection[str]) -> str:
    """Return a few of these texts, and how many more there are."""
    shown = sorted(texts)[:3]
    return ", ".join(shown) + (f" and {len(texts) - 3:,} more" if len(texts) > 3 else "")


def _short(column: str) -> str:
    return column.removesuffix("Cost").lower()


def _write_old_and_new(first: int, count: int) -> None:
    """Say in the flag of a charge whose amount changed since its approval what it was and is."""
    flags = list(
        Flag.objects.filter(
            charge_id__gte=first, charge_id__lt=first + count, code=Flag.Code.AMOUNT_CHANGED
        ).select_related("charge__replaces")
    )
    for flag in flags:
        if old := flag.charge.replaces:
            # A second change keeps the amount that was decided about.
            decided = flag.detail.partition(" when decided")[0] or plain(old.billed_cost, old.currency)
            flag.detail = f"{decided} when decided, {plain(flag.charge.billed_cost, flag.charge.currency)} now"
    Flag.objects.bulk_update(flags, ["detail"], batch_size=500)


def close_broken_off(*, actor: Actor, now: datetime.datetime) -> int:
    """Mark imports whose process is gone as failed, and return how many; remove the files that nothing came of."""
    attempts.bring_in(actor=actor, now=now)
    clear_incoming(now)
    jobs.close_abandoned(now=now)
    waiting = list(Job.objects.filter(state__in=jobs.UNFINISHED).values_list("arguments", flat=True))
    clear_unused(
        files=[number for each in waiting for number in each.get("files", [])],
        now=now,
    )
    return close_left(actor=actor, now=now)


def close_left(*, actor: Actor, now: datetime.datetime) -> int:
    """Mark imports whose process is gone as failed, and return how many; nothing of them was applied."""
    unfinished = Import.objects.filter(state__in=Import.UNFINISHED)
    gone = [number for number in unfinished.values_list("pk", flat=True) if working.is_gone(number)]
    if not gone:
        return 0
    closed = 0
    with audit.gesture(actor=actor, now=now) as gesture:
        # It may have ended between the two looks.
        for imported in unfinished.select_for_update(no_key=True).filter(pk__in=gone):
            imported.state = Import.State.FAILED
            imported.errors = [{"file": "", "line": None, "column": None, "message": BROKEN_OFF}]
            imported.save()
            gesture.record("import.failed", imported, note=BROKEN_OFF)
            closed += 1
    for number in gone:
        working.forget(number)
    return closed


def _has_ended(imported: Import) -> bool:
    """Tell whether an import's state says how it ended; not where the database cannot be asked."""
    try:
        return not Import.objects.filter(pk=imported.pk, state__in=Import.UNFINISHED).exists()
    except DatabaseError:
        return False


def _require_at_work(imported: Import) -> None:
    """Lock an import for the rest of the transaction, and raise TakenForLeft where somebody has closed it."""
    state = Import.objects.select_for_update(no_key=True).values_list("state", flat=True).get(pk=imported.pk)
    if state not in Import.UNFINISHED:
        raise TakenForLeft(
            [Problem("The database had not heard of this import for so long that it was given up. Import it again.")]
        )


def _after_apply(added: int) -> None:
    """Leave the database in order after an import: what it needs to be quick and small.

    The import is committed: where somebody else is writing, or may not do this, it is left to the next one.
    """
    if connection.in_atomic_block:
        return
    # The planner has to know how large the table has become, and SQLite's write-ahead log is to stay small.
    chores = ["PRAGMA wal_checkpoint(PASSIVE)", "PRAGMA optimize"]
    if connection.vendor == "postgresql":
        # Sums are read from an index alone only where the table's pages are known to be visible to all.
        chores = [f"VACUUM (ANALYZE, SKIP_LOCKED) billing_charge ({PLANNED_BY})"] if added >= MANY else []
    for chore in chores:
        with contextlib.suppress(DatabaseError), connection.cursor() as cursor:
            cursor.execute(chore)

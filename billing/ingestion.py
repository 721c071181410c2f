"""Bringing a delivery in: store by hash, read, check, match with what is there, apply at once or not at all."""

import contextlib
import dataclasses
import datetime
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from django.db import DatabaseError, connection, transaction
from django.db.models import Count, Max, Q

from . import audit, charging, closing, differences, jobs, late, working
from .attribution import NO_IDS, Attributor, owner_values, people_of, projects_of, reference_of
from .audit import Actor
from .closing import PeriodClosed
from .converting import Converted, Converter, totals_by_currency
from .errors import BillingError
from .fields import from_units, to_units
from .loading import Load, NotLoadable
from .locks import FileLock
from .matching import Matched, further, match
from .models import (
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
from .models.periods import MONTH, month_text, parse_month
from .money import plain
from .outcomes import Booked, Counts, ImportRefused, IngestResult, WouldWithdraw, describe
from .progress import Progress, unwatched
from .readers import FileError, Part, Problem, check_rows, open_delivery
from .readers.batches import MAX_PROBLEMS
from .readers.beside import understood
from .readers.columns import AMOUNTS
from .readers.understanding import FACTS, ScopeTotal, month_number
from .staging import LiveHashes, Stage, hashes_at, live_elsewhere, live_hashes
from .storing import MAX_NAME, clear_incoming, clear_unused, display_name, local_path, store

# A month in a file's name: 2025-01, 2025_01 or 202501; or a quarter: 2025-Q1.
MONTH_IN_NAME = re.compile(r"(?<!\d)(20\d{2})[-_]?(0[1-9]|1[0-2])(?!\d)")
QUARTER = re.compile(r"(?<!\d)(20\d{2})[-_]?[qQ]([1-4])(?!\d)")

# An import that began this long ago and never ended was broken off, if nothing tells sooner.
BROKEN_OFF_AFTER = datetime.timedelta(hours=12)
BROKEN_OFF = "The program was stopped while it worked on this import; nothing of it was applied."

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
    beside: bool = True,
    actor: Actor,
    now: datetime.datetime,
    progress: Progress = unwatched,
) -> IngestResult:
    """Bring one delivery into the charges: a file, several that belong together, a folder or a manifest.

    The source is guessed from the names where it is not given, the expected period (`2025-01` or
    `2025-Q1`) too. What a second delivery means is the source's delivery mode. Either all of it is
    applied, with flags, withdrawals and totals, or nothing but the failed attempt is kept. A dry
    run does all but store and apply.

    The files a manifest names are looked for `beside` it; not so for uploads, where it could name anything.

    Raises ImportRefused, with the problems by file, line and column.
    """
    shown = [display_name(name) for name in names or [path.name for path in paths]]
    delivery = _Delivery(
        paths=list(paths), names=shown, replace=replace, beside=beside, actor=actor, now=now, progress=progress
    )
    return delivery.try_out(source, period) if dry_run else delivery.bring_in(source, period)


def book(
    *,
    imported: Import,
    into: BillingPeriod,
    actor: Actor,
    now: datetime.datetime,
    progress: Progress = unwatched,
) -> Booked:
    """Book what a deferred import changes as late changes of an open month.

    Its stored files are read again and compared with what was charged and what late changes booked since,
    so that restatements add up: 9,800 after 10,000 books −200, then 9,850 books +50. Each charge that
    changed is taken back from those it was charged to, and charged to them again as it is now; a new row
    goes by its own attribution, and may be held for review. The charges of closed months stay as they are.

    Raises NotDeferred, NotBookable, PeriodClosed for `into`, or ImportRefused where the files cannot be read.
    """
    late.require_deferred(imported)
    late.require_bookable(imported)
    closing.require_open(into)
    delivery, files = _delivery_again(imported, actor=actor, now=now, progress=progress)
    return delivery.book(imported, into, files)


def apply_deferred(
    *, imported: Import, actor: Actor, now: datetime.datetime, progress: Progress = unwatched
) -> IngestResult:
    """Apply a deferred import by hand to those of its months that take changes: in review, or open again.

    Its stored files are read again and matched with what is there by now. What it says of months that are
    closed goes on waiting, under a number of its own.

    Raises NotDeferred, NotApplicable, or ImportRefused where the files cannot be read or would withdraw too
    much; then it waits as before.
    """
    late.require_deferred(imported)
    late.require_applicable(imported)
    delivery, files = _delivery_again(imported, actor=actor, now=now, progress=progress)
    return delivery.apply_deferred(imported, files)


def decide_later(*, imported: Import, into: BillingPeriod | None = None, actor: Actor, now: datetime.datetime) -> Job:
    """Have the worker `book` a deferred import in a month, or without a month apply it by hand (`apply_deferred`).

    Refuses at once what they would refuse before they read the files; who asks twice gets the same job.
    """
    late.require_deferred(imported)
    arguments: dict[str, Any] = {"import": imported.pk}
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
    """Book a deferred import, as a background job. `arguments`: import (its number), into (a month)."""
    imported = Import.objects.select_related("source").get(pk=arguments["import"])
    into = BillingPeriod.objects.named(arguments["into"])
    done = book(imported=imported, into=into, actor=actor, now=now, progress=progress)
    return {"message": done.summary, **done.as_data()}


def run_apply(
    *, job: Job, arguments: dict[str, Any], actor: Actor, now: datetime.datetime, progress: Progress
) -> dict[str, Any]:
    """Apply a deferred import by hand, as a background job. `arguments`: import (its number)."""
    imported = Import.objects.select_related("source").get(pk=arguments["import"])
    done = apply_deferred(imported=imported, actor=actor, now=now, progress=progress)
    return {"message": done.as_text().split("\n")[0], **done.as_data()}


def _delivery_again(
    imported: Import, *, actor: Actor, now: datetime.datetime, progress: Progress
) -> "tuple[_Delivery, list[StoredFile]]":
    """Return the delivery of an import, to be read once more, and the stored file of each of its parts."""
    files = list(imported.imported_files.select_related("file").order_by("number"))
    # An archive is one file of several parts; opened again, it has the same parts in the same order.
    whole = {(each.name.removesuffix(f"/{each.member}"), each.file_id): each.file for each in files}
    delivery = _Delivery(
        paths=[local_path(file) for file in whole.values()],
        names=[name for name, _ in whole],
        replace=imported.replace,
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


class _Rows:
    """Takes the place of a stage where rows are only looked at."""

    takes_lines = False

    def __init__(self) -> None:
        self.rows: list[ReadRow] = []

    def add(self, converted: Converted) -> None:
        of = dict(zip(FACTS, converted.said.columns, strict=True))
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
    # Nothing is done in anybody's name.
    nobody = Actor(name="", via="")
    delivery, files = _delivery_again(imported, actor=nobody, now=imported.created_at, progress=unwatched)
    assert imported.source is not None
    rows = _Rows()
    try:
        delivery.stored_files = files
        delivery._settle(imported.source, imported.expected_period)
        before = delivery._applied_before(exclude=_of_one_delivery(imported))
        delivery.skipped = frozenset(
            number for number, file in enumerate(files, start=1) if before.get(file.pk, imported.pk) < imported.pk
        )
        delivery._read(rows)
    except FileError as error:
        raise ImportRefused([{"file": "", "line": None, "column": None, "message": str(error)}], imported) from error
    return rows.rows


def _of_one_delivery(imported: Import) -> list[int]:
    """Return the numbers of an import and of those that it is the rest of: they have the same files."""
    numbers = [imported.pk]
    while rest_of := imported.rest_of:
        numbers.append(rest_of.pk)
        imported = rest_of
    return numbers


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
        beside: bool = False,
        again: bool = False,
        actor: Actor,
        now: datetime.datetime,
        progress: Progress,
    ) -> None:
        self.paths = paths
        self.names = names
        self.parts: list[Part] = []
        self.replace = replace
        self.beside = beside
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
        self.skipped: frozenset[int] = frozenset()
        self.counts = Counts()
        # False once `stage_keep` says which of the staged rows become charges.
        self.keeps_all = True
        self.imports_before: dict[str, Any] = {}
        # Fetches what the delivery is matched with, while it is read: periods by their ids, and what there is.
        self.fetcher: ThreadPoolExecutor | None = None
        self.fetched: tuple[frozenset[int], Future[LiveHashes]] | None = None
        self.difference: dict[str, Any] = {}
        # In a month in review deliveries wait until somebody applies them.
        self.is_by_hand = False
        # Months with changes that wait, and the import that waits with them.
        self.late: list[datetime.date] = []
        self.deferred: Import | None = None

    # From outside in ---------------------------------------------------------------------------

    def try_out(self, source: Source | None, period: str) -> IngestResult:
        """Read, check and match; store nothing."""
        try:
            self._settle(source, period)
            with self._staged() as (_, converter):
                return self._result(None, "dry run", converter)
        except FileError as error:
            raise ImportRefused(self._errors_of(error)) from error

    def bring_in(self, source: Source | None, period: str) -> IngestResult:
        """Store, read, check, match and apply."""
        close_broken_off(actor=self.actor, now=self.now)
        imported, mark = self._receive()
        try:
            return self._bring_in(imported, source, period)
        finally:
            working.end(mark)

    def _bring_in(self, imported: Import, source: Source | None, period: str) -> IngestResult:
        try:
            self._settle(source, period)
            imported.source, imported.mode = self.source, self.source.delivery
            imported.expected_period = self.period
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
                imported.state = Import.State.CHECKED
                self._note(imported, converter)
                imported.save()
                if not self.late:
                    self._apply(stage, converter, imported)
                elif self.touched <= set(self.late):
                    self._defer(imported, converter)
                else:
                    self._defer_part(stage, converter, imported)
            _after_apply(self.counts.new + self.counts.changed)
            return self._result(imported, imported.state, converter)
        except FileError as error:
            errors = self._errors_of(error)
            self._fail(imported, errors)
            raise ImportRefused(errors, imported) from error
        except ImportRefused as refused:
            self._fail(imported, refused.errors)
            refused.imported = imported
            raise
        except BillingError as error:
            errors = [{"file": "", "line": None, "column": None, "message": str(error)}]
            self._fail(imported, errors)
            raise ImportRefused(errors, imported) from error
        except Exception as error:
            self._fail(imported, [{"file": "", "line": None, "column": None, "message": f"Broken off: {error}"[:500]}])
            raise

    def _load(self, imported: Import) -> IngestResult | None:
        """Read the delivery straight into the charges and apply it; None where that cannot be done, and nothing was.

        There must be no charges to match it with, and PostgreSQL, where nobody waits for what is not committed yet.
        """
        if connection.vendor != "postgresql" or self.source.grain != Source.Grain.LINE or self._is_matched():
            return None
        is_matched = self.source.delivery != Source.Delivery.APPEND
        try:
            with transaction.atomic(), Load(imported, is_matched=is_matched) as load:
                self.imports_before = self._imports_so_far()
                converter = self._read(load)
                self._survey(converter)
                self._compare(converter)
                if self.late:
                    raise NotLoadable(f"{self.late} wait")
                imported.state = Import.State.CHECKED
                self._note(imported, converter)
                self._apply(load, converter, imported)
                return self._result(imported, imported.state, converter)
        except (NotLoadable, Overtaken, PeriodClosed):
            # Staged and matched, it meets the same, and answers it.
            self.counts, self.file_rows, self.late = Counts(), {}, []
            # What was noted on it is rolled back, too.
            imported.refresh_from_db()
            return None

    def book(self, imported: Import, into: BillingPeriod, files: list[StoredFile]) -> Booked:
        """Read a deferred delivery once more, match it with what is charged by now, and book the difference."""
        with self._again(imported, files) as (stage, converter):
            return self._book(stage, converter, imported, into)

    def apply_deferred(self, imported: Import, files: list[StoredFile]) -> IngestResult:
        """Read a deferred delivery once more and apply it to its months that take changes."""
        self.is_by_hand = True
        with self._again(imported, files) as (stage, converter):
            own = {period.month for period in late.months_of(imported)}
            self._leave_out_others(stage, own)
            self.months = sorted(own)
            self.touched &= own
            self.late = [month for month in self.late if month in own]
            if self.late:
                self._defer_part(stage, converter, imported)
            else:
                self._note_part(imported, converter, own)
                imported.flagged, imported.flags = converter.flagged_rows, dict(sorted(converter.flag_counts.items()))
                self._apply(stage, converter, imported)
            _after_apply(self.counts.new + self.counts.changed)
            return self._result(imported, imported.state, converter)

    @contextlib.contextmanager
    def _again(self, imported: Import, files: list[StoredFile]) -> Iterator[tuple[Stage, Converter]]:
        """Read, match and compare the stored files of a deferred import with what is charged by now."""
        assert imported.source is not None
        self.stored_files = files
        try:
            self._settle(imported.source, imported.expected_period)
            self.skipped = frozenset(
                number
                for number, file in enumerate(files, start=1)
                if file.pk in self._applied_before(exclude=_of_one_delivery(imported))
            )
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
            closing.require_open(into)
            self._require_unchanged(imported)
            if held := stage.held_elsewhere(into):
                months = BillingPeriod.objects.in_bulk([period_id for period_id, _ in held])
                named = ", ".join(f"{number:,} in {months[period_id]}" for period_id, number in held)
                raise late.NotBookable(
                    f"Late changes that this delivery changes again are held for review: {named}. Decide them first."
                )
            stage.fill_rows(
                "stage_month",
                [(month_number(month), period.pk) for month, period in self.periods.items()],
            )
            self._attribute(stage, converter, gesture)
            self._keep_overlaps(imported, stage, converter, own, into=into)
            first, charged, taken_back = stage.apply_late(imported, target=into)
            late.settle_payers(first, charged + taken_back)
            charging.stamp_project_splits(into)
            # What is held here was never charged: it waits as what it is.
            held_now = Charge.objects.held().filter(imported_in=imported).count()
            self._note_part(imported, converter, own)
            imported.flagged = held_now
            imported.state, imported.applied_at, imported.booked_in = Import.State.APPLIED, self.now, into
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
            held=held_now,
            difference=imported.difference,
        )

    # Steps -------------------------------------------------------------------------------------

    def _receive(self) -> tuple[Import, FileLock]:
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
        self.parts = open_delivery(self.paths, self.names, beside=self.beside, again=self.again)
        self.source = source or self._guessed_source()
        if not period:
            found = {period_in_name(part.name) for part in self.parts} - {""}
            period = found.pop() if len(found) == 1 else ""
        try:
            self.expected = expected_months(period) if period else frozenset()
        except ValueError as error:
            raise FileError([Problem(str(error))]) from error
        self.period = period
        self.policy = Policy.objects.current()

    def _guessed_source(self) -> Source:
        guesses = {part.name: Source.objects.for_file_name(part.name) for part in self.parts}
        sources = {guess.name: guess for guess in guesses.values() if guess}
        unknown = [name for name, guess in guesses.items() if guess is None]
        if len(sources) == 1 and not unknown:
            return next(iter(sources.values()))
        known = ", ".join(Source.objects.order_by("name").values_list("name", flat=True))
        if unknown:
            raise FileError([Problem(f"No source's pattern fits the name {unknown[0]}. Name it with -s: {known}.")])
        raise FileError([Problem(f"The names fit several sources ({', '.join(sorted(sources))}). Name one with -s.")])

    def _store(self, imported: Import) -> None:
        kept: dict[Path, StoredFile] = {}
        for part in self.parts:
            if part.path not in kept:
                kept[part.path] = store(path=part.path, now=self.now, progress=self.progress)
        self.stored_files = [kept[part.path] for part in self.parts]
        with transaction.atomic():
            ImportedFile.objects.bulk_create(
                self._imported_file(imported, number) for number in range(1, len(self.parts) + 1)
            )
            imported.save()
        # What is parsed is what is kept, even if the file that was named changes meanwhile.
        self.parts = [
            dataclasses.replace(part, path=local_path(file))
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
        seen = self._applied_before()
        self.seen = tuple(
            f"{name} (import {seen[file.pk]})"
            for name, file in zip((part.name for part in self.parts), self.stored_files, strict=True)
            if file.pk in seen
        )
        self.skipped = frozenset(number for number, file in enumerate(self.stored_files, start=1) if file.pk in seen)
        if len(self.skipped) < len(self.stored_files):
            return None
        with audit.gesture(actor=self.actor, now=self.now) as gesture:
            imported.state, imported.applied_at = Import.State.APPLIED, self.now
            imported.save()
            gesture.record("import.seen_before", imported, note="; ".join(self.seen))
        return IngestResult(
            imported=imported,
            state=imported.state,
            source=self.source,
            periods=(),
            rows=0,
            counts=Counts(),
            flagged=0,
            flags={},
            totals={},
            stored={},
            seen_before=self.seen,
        )

    def _applied_before(self, exclude: Collection[int] = ()) -> dict[int, int]:
        """Return which of the files of a source that adds up were applied before, and in which import."""
        if self.source.delivery != Source.Delivery.APPEND:
            return {}
        return dict(
            ImportedFile.objects.filter(
                file__in=self.stored_files,
                imported_in__source=self.source,
                imported_in__state=Import.State.APPLIED,
            )
            .exclude(imported_in__in=exclude)
            .values_list("file_id", "imported_in_id")
        )

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
        stage.settle()
        return converter

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
            return
        period_ids = [period.pk for period in self.periods.values()]
        live_ids, live_content, live_identity = self._live_hashes(period_ids)
        if not live_ids:
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

    def _survey(self, converter: Converter) -> None:
        """Note which months the delivery is about; as long as nothing is matched, all of it is new."""
        self.months = sorted({month for month, _, _ in converter.totals})
        self.periods = {period.month: period for period in BillingPeriod.objects.filter(month__in=self.months)}
        self.touched = set(self.months)
        self.counts.new = converter.rows

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
        """Stage the withdrawal of what a snapshot no longer has, with the guards against a broken delivery."""
        for start in range(0, len(gone), CHUNK):
            stage.fill("stage_gone", [gone[start : start + CHUNK].tolist()], ("charge_id",))
        accounts: dict[int, set[str]] = {}
        for month, account, _ in converter.totals:
            if month in self.periods:
                accounts.setdefault(self.periods[month].pk, set()).add(account)
        warnings = []
        for period in self.periods.values():
            delivered = accounts.get(period.pk, set())
            live = dict(
                Charge.objects.live()
                .filter(source=self.source, period=period)
                .values_list("billing_account_id")
                .annotate(count=Count("id"))
            )
            missing = {account for account in live if account not in delivered}
            together = self._delivered_together(period, delivered)
            for account in sorted(missing):
                if self.replace and account in together:
                    continue
                if account in together:
                    warnings.append(
                        f"{period}: the account “{account}” with {live[account]} charges is missing from the delivery."
                    )
                # An account that always came in a delivery of its own is not this delivery's to withdraw.
                stage.spare(period, account)
            for account in sorted(delivered & set(live)):
                leaving = stage.leaving(period, account)
                if leaving * 2 > live[account] and not self.replace:
                    of = f" of account {account}" if account else ""
                    warnings.append(
                        f"{period}: {leaving} of {live[account]} charges{of} are not in the delivery "
                        "and would be withdrawn."
                    )
        if warnings:
            message = " ".join(warnings) + " If the delivery is complete, import it again with --replace."
            raise WouldWithdraw([{"file": "", "line": None, "column": None, "message": message}])
        gone_from = stage.gone_by_period()
        self.counts.withdrawn = sum(gone_from.values())
        # Said, for an account whose name has changed would be charged twice.
        self.counts.unseen = len(gone) - self.counts.withdrawn
        self.touched |= {month for month, period in self.periods.items() if gone_from.get(period.pk)}

    def _delivered_together(self, period: BillingPeriod, accounts: set[str]) -> set[str]:
        """Return the accounts that the last delivery for a period held beside one of `accounts`."""
        last = (
            ImportTotal.objects.filter(
                period=period,
                billing_account_id__in=accounts,
                imported_in__source=self.source,
                imported_in__state=Import.State.APPLIED,
            )
            .order_by("-imported_in_id")
            .values_list("imported_in_id", flat=True)
            .first()
        )
        return set(
            ImportTotal.objects.filter(imported_in_id=last, period=period).values_list("billing_account_id", flat=True)
        )

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
                name=imported.name,
                rest_of=imported,
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
            if self.touched:
                # A late change that this one replaces is borne by another month than its own.
                bearing = BillingPeriod.objects.filter(pk__in=stage.bearing())
                closing.require_open(*(periods[month] for month in self.touched), *bearing)
                if now_waiting := [month for month in sorted(self.touched) if self._waits(periods[month])]:
                    named = ", ".join(month_text(month) for month in now_waiting)
                    raise Overtaken(
                        [Problem(f"{named} was put in review meanwhile. Import this one again: it waits there.")]
                    )
            self._require_unchanged(imported)
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
            imported.state, imported.applied_at = Import.State.APPLIED, self.now
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
            raise Overtaken(
                [Problem(f"Another delivery of {self.source} was applied meanwhile. Import this one again.")]
            )
        applied = self._applied_before(exclude=_of_one_delivery(imported))
        for number, file in enumerate(self.stored_files, start=1):
            if file.pk in applied and number not in self.skipped:
                raise Overtaken(
                    [Problem(f"Import {applied[file.pk]} applied the same file meanwhile: it counts once.")]
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
        people = people_of((each.pi_email for each in attributions), gesture, person_ids)
        owners: dict[str, str] = {}
        for each in attributions:
            owners.setdefault(each.project_code, each.pi_email)
        return people, projects_of(owners, people, gesture, project_ids)

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
        imported.flagged = converter.flagged_rows
        imported.flags = dict(sorted(converter.flag_counts.items()))
        imported.totals = totals_by_currency(converter.totals, exact=True)
        imported.stored = totals_by_currency(converter.totals, exact=False)
        imported.difference = self.difference
        imported.rules = _rules_of(converter)

    def _result(self, imported: Import | None, state: str, converter: Converter) -> IngestResult:
        return IngestResult(
            imported=imported,
            state=str(state),
            source=self.source,
            periods=tuple(month_text(month) for month in self.months),
            rows=converter.delivered,
            counts=self.counts,
            flagged=converter.flagged_rows,
            flags=dict(sorted(converter.flag_counts.items())),
            totals=totals_by_currency(converter.totals, exact=True),
            stored=totals_by_currency(converter.totals, exact=False),
            rules=_rules_of(converter),
            seen_before=self.seen,
            difference=self.difference,
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
            if reached not in (Import.State.RECEIVED, Import.State.CHECKED):
                imported.refresh_from_db()
                return
            imported.state, imported.errors = Import.State.FAILED, errors
            imported.applied_at = None
            imported.save()
            gesture.record("import.failed", imported, note=describe(errors[0]) if errors else "")


def run_job(
    *, job: Job, arguments: dict[str, Any], actor: Actor, now: datetime.datetime, progress: Progress
) -> dict[str, Any]:
    """Import what was uploaded, as a background job; the copies that the upload left are removed after it.

    `arguments`: the ids of stored files, or for a dry run paths of copies; names, source (a name, or "" to
    guess), period, dry_run, replace.
    """
    stored = StoredFile.objects.in_bulk(arguments.get("files", []))
    paths = [Path(path) for path in arguments.get("paths", [])]
    try:
        result = ingest(
            paths=[*(local_path(stored[number]) for number in arguments.get("files", [])), *paths],
            names=arguments["names"],
            source=Source.objects.named(arguments["source"]) if arguments.get("source") else None,
            period=arguments.get("period", ""),
            dry_run=arguments.get("dry_run", False),
            replace=arguments.get("replace", False),
            beside=False,
            actor=actor,
            now=now,
            progress=progress,
        )
    finally:
        for path in paths:
            path.unlink(missing_ok=True)
        for folder in {path.parent for path in paths}:
            with contextlib.suppress(OSError):
                folder.rmdir()
    return {"message": result.as_text().split("\n")[0], **result.as_data()}


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
            decided = flag.detail.partition(" when decided")[0] or plain(old.billed_cost)
            flag.detail = f"{decided} when decided, {plain(flag.charge.billed_cost)} now"
    Flag.objects.bulk_update(flags, ["detail"], batch_size=500)


def close_broken_off(*, actor: Actor, now: datetime.datetime) -> int:
    """Mark imports whose process is gone as failed, and return how many; nothing of them was applied.

    Where an import leaves no trace of its process on this machine, half a day tells.
    """
    unfinished = Import.objects.filter(state__in=(Import.State.RECEIVED, Import.State.CHECKED))
    gone = []
    for imported in unfinished:
        abandoned = working.was_abandoned(imported.pk)
        if abandoned or (abandoned is None and imported.created_at < now - BROKEN_OFF_AFTER):
            gone.append(imported.pk)
    clear_incoming(now)
    jobs.close_abandoned(now=now)
    waiting = list(Job.objects.filter(state__in=jobs.UNFINISHED).values_list("arguments", flat=True))
    clear_unused(
        files=[number for each in waiting for number in each.get("files", [])],
        paths=[path for each in waiting for path in each.get("paths", [])],
        now=now,
    )
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

"""Importing files: received, read, compared with what is charged, and applied at once or not at all.

Each step takes what the one before it made: `receiving`, `reading`, `comparing`, then `applying` or `deferring`.
"""

import contextlib
import datetime
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.db import DatabaseError, transaction

from ..audit import Actor
from ..background import jobs, working
from ..background.outages import outage_of
from ..errors import BillingError
from ..files.received import display_name
from ..models import BillingPeriod, Import, Job, Source
from ..months import closing
from ..months.closing import PeriodClosed
from ..progress import Progress, unwatched
from ..readers import FileError
from . import (
    abandoned,
    applying,
    attempts,
    bearing,
    comparing,
    deferring,
    import_record,
    late,
    owners,
    receiving,
    upkeep,
)
from .applying import Applied
from .booking import book
from .comparing import Compared, StandsAlready
from .outcomes import ImportRefused, IngestResult, error_of, errors_of
from .overtaking import Overtaken
from .reading import Read
from .receiving import Received, Request
from .staging import Stage

log = logging.getLogger(__name__)


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
    `2025-Q1`) too. What a second import means is the source's import mode. Either all of it is
    applied, with flags, withdrawals and totals, or nothing but the failed attempt is kept. A dry
    run does all but store and apply. `replace` lets a snapshot remove whatever it lacks; `force`
    confirms that the files are the source's own, though their accounts or providers are not those of its earlier files.
    Where they lie `in_its_folder`, that goes without saying for those that no other source knows.

    The files a manifest names are looked for `beside` it; not so for uploads, where it could name anything. Nothing is
    opened that lies outside of the folder that was named, or of `within`, a real path (see `open_delivery`). `made_at`
    says when the provider made the import, where its manifest is no longer there to say so.

    A snapshot that would shrink what is there, or is older than what was applied, is stored and waits: nothing of it is
    applied until somebody answers (`apply_deferred`), and WouldWithdraw says why.

    Raises ImportRefused, with the problems by file, line and column.
    """
    request = Request(
        paths=list(paths),
        names=[display_name(name) for name in names or [path.name for path in paths]],
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
    return _try_out(request, source, period) if dry_run else _bring_in(request, source, period)


def apply_deferred(
    *, imported: Import, missing: str = "", actor: Actor, now: datetime.datetime, progress: Progress = unwatched
) -> IngestResult:
    """Apply a deferred import by hand to those of its months that take changes: open, or in review.

    Its stored files are read again and matched with what is there by now. What it says of months that are
    closed goes on waiting, under a number of its own.

    `missing`, an Import.Missing, answers what becomes of charges that a doubtful import lacks: they are kept, and the
    import withdraws nothing at all, or it is taken as delivered.

    Raises NotDeferred, NotApplicable, ImportRefused where the files cannot be read, or WouldWithdraw where there is
    no answer; then it waits as before.
    """
    late.require_deferred(imported)
    late.require_applicable(imported)
    try:
        received = receiving.again(imported, actor=actor, now=now, progress=progress, missing=missing, is_by_hand=True)
        received = receiving.recognized(received)
        with comparing.read_and_compared(received) as (stage, read, compared):
            if compared.doubts:
                raise comparing.would_withdraw(received, compared, imported)
            own = {period.month for period in late.months_of(imported)}
            comparing.leave_out_others(stage, compared, own)
            compared = comparing.only(compared, own)
            if compared.late:
                applied = deferring.defer_part(stage, received, read, compared, imported)
            else:
                import_record.note_part(imported, read, compared, own)
                import_record.note_flags(imported, read, compared.asked)
                applied = applying.apply(stage, received, read, compared, imported)
            upkeep.after_import(compared.counts.new + compared.counts.changed)
            return import_record.result(received, read, applied, imported, imported.state)
    except FileError as error:
        raise ImportRefused(errors_of(error), imported) from error


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
        arguments["into"] = into.iso_month
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


def _try_out(request: Request, source: Source | None, period: str) -> IngestResult:
    """Read, check and match; store nothing."""
    warnings: list[str] = []
    try:
        received = receiving.identify(request, source, period, warn=warnings.append)
        with comparing.read_and_compared(received) as (stage, read, compared):
            emails = owners.new_emails(read)
            if compared.doubts:
                raise comparing.would_withdraw(received, compared)
            changing = compared.taking & compared.touched
            bearing.require_taking(stage, [compared.periods[month] for month in changing & compared.periods.keys()])
            new_pis = owners.new_pis(stage, read, emails)
            return import_record.result(received, read, Applied(compared, new_pis), None, "dry run")
    except StandsAlready as stands:
        return import_record.seen_before(stands.received, None, "dry run")
    except FileError as error:
        refusal = ImportRefused(errors_of(error))
        refusal.warnings = tuple(warnings)
        raise refusal from error
    except ImportRefused as refused:
        refused.warnings = tuple(warnings)
        raise


def _bring_in(request: Request, source: Source | None, period: str) -> IngestResult:
    """Import files under a number that keeps the attempt, however it ends."""
    try:
        abandoned.close_broken_off(actor=request.actor, now=request.now)
        imported, mark = receiving.begin(request)
    except (DatabaseError, OSError) as error:
        if outage := outage_of(error):
            attempts.keep(names=request.names, why=outage.said, actor=request.actor, now=request.now)
        raise
    warnings: list[str] = []
    try:
        try:
            with _failure_recorded(imported, request, warnings):
                received = receiving.identify(request, source, period, warn=warnings.append)
                return _import(received, imported)
        except StandsAlready as stands:
            return import_record.pass_over(imported, stands.received, stands.file_rows)
        finally:
            if abandoned.has_ended(imported):
                working.end(mark)
    finally:
        # Where it could not be said how it ended, the mark stays and tells that nobody works on it.
        mark.release()


def _import(received: Received, imported: Import) -> IngestResult:
    """Store, read, compare, and apply or defer."""
    imported.source, imported.mode = received.source, received.source.import_mode
    imported.expected_period, imported.made_at = received.period, received.made_at
    received = receiving.recognized(receiving.keep_files(received, imported))
    if received.is_seen:
        return import_record.pass_over(imported, received, {})
    try:
        return _read_and_apply(received, imported)
    except (Overtaken, PeriodClosed):
        # What it was compared with has changed meanwhile: it is compared once more, with what there is now.
        imported.refresh_from_db()
        received = receiving.recognized(received)
        if received.is_seen:
            return import_record.pass_over(imported, received, {})
        return _read_and_apply(received, imported)


def _read_and_apply(received: Received, imported: Import) -> IngestResult:
    with comparing.read_and_compared(received) as (stage, read, compared):
        with transaction.atomic():
            abandoned.require_at_work(imported)
            imported.state = Import.State.CHECKED
            import_record.note(imported, read, compared)
            imported.save()
        applied = _apply_or_defer(stage, received, read, compared, imported)
    upkeep.after_import(compared.counts.new + compared.counts.changed)
    return import_record.result(received, read, applied, imported, imported.state)


def _apply_or_defer(stage: Stage, received: Received, read: Read, compared: Compared, imported: Import) -> Applied:
    if compared.doubts:
        return deferring.set_aside(received, read, compared, imported)
    if not compared.late:
        return applying.apply(stage, received, read, compared, imported)
    if compared.touched <= set(compared.late):
        return deferring.defer(received, read, compared, imported)
    return deferring.defer_part(stage, received, read, compared, imported)


@contextlib.contextmanager
def _failure_recorded(imported: Import, request: Request, warnings: list[str]) -> Iterator[None]:
    """Record on an import why nothing came of it. What the files are refused for is raised as ImportRefused."""

    def fail(errors: list[dict[str, Any]]) -> None:
        import_record.fail(imported, errors, actor=request.actor, now=request.now)

    try:
        yield
    except StandsAlready:
        raise
    except FileError as error:
        errors = errors_of(error)
        fail(errors)
        refusal = ImportRefused(errors, imported)
        refusal.warnings = tuple(warnings)
        raise refusal from error
    except ImportRefused as refused:
        fail(refused.errors)
        refused.warnings = tuple(warnings)
        refused.kept_as(imported)
        raise
    except BillingError as error:
        errors = [error_of(str(error))]
        fail(errors)
        refusal = ImportRefused(errors, imported, then=error.then)
        refusal.warnings = tuple(warnings)
        raise refusal from error
    except Exception as error:
        message = str(outage_of(error) or f"Broken off: {error}")[:500]
        try:
            fail([error_of(message)])
        except (DatabaseError, OSError):
            # Where not even that can be written, the next import says of this one that it was broken off.
            log.exception("It could not be recorded that import %s failed: %s", imported.pk, message)
        raise

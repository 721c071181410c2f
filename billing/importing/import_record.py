"""What an import records of itself: counts, totals, flags and how it ended; and the result that is told of it."""

import datetime
from collections.abc import Collection, Mapping
from typing import Any

from .. import audit
from ..audit import Actor
from ..models import Import
from ..texts import iso_month
from . import control_totals, duplicates
from .applying import Applied
from .comparing import Compared
from .control_totals import totals_by_currency
from .duplicates import Asked
from .outcomes import Counts, IngestResult, describe
from .reading import Read
from .receiving import Received


def note(imported: Import, read: Read, compared: Compared) -> None:
    """Note on an import what was read and compared, without saving it."""
    imported.rows = read.delivered
    for name, value in vars(compared.counts).items():
        setattr(imported, name, value)
    note_flags(imported, read, compared.asked)
    imported.totals = totals_by_currency(read.totals, exact=True)
    imported.stored = totals_by_currency(read.totals, exact=False)
    imported.difference = compared.difference
    imported.rules = read.rules
    imported.billing_zone = read.zone
    imported.unread = list(read.unread)


def note_flags(imported: Import, read: Read, asked: Asked) -> None:
    """Note on an import what its rows are held for, and how many of them are held."""
    imported.flags, imported.flagged = _flags(read, asked), _flagged(read, asked)


def note_part(imported: Import, read: Read, compared: Compared, months: Collection[datetime.date]) -> None:
    """Note on an import what of the files is its own: that of these months."""
    totals = {scope: total for scope, total in read.totals.items() if scope[0] in months}
    named = {iso_month(month) for month in months}
    imported.difference = {month: found for month, found in compared.difference.items() if month in named}
    found = [each for currencies in imported.difference.values() for each in currencies.values()]
    imported.new = sum(each["new"]["rows"] for each in found)
    imported.changed = sum(each["changed"]["rows"] for each in found)
    imported.unchanged = sum(each["unchanged"]["rows"] for each in found)
    imported.withdrawn = sum(each["gone"]["rows"] for each in found)
    imported.rows = sum(total.rows for total in totals.values())
    imported.totals = totals_by_currency(totals, exact=True)
    imported.stored = totals_by_currency(totals, exact=False)


def result(received: Received, read: Read, applied: Applied, imported: Import | None, state: str) -> IngestResult:
    """Return what came of an import; of a dry run, what would come of it."""
    compared = applied.compared
    return IngestResult(
        imported=imported,
        state=str(state),
        source=received.source,
        periods=tuple(iso_month(month) for month in compared.months),
        rows=read.delivered,
        counts=compared.counts,
        flagged=_flagged(read, compared.asked),
        flags=_flags(read, compared.asked),
        totals=totals_by_currency(read.totals, exact=True),
        stored=totals_by_currency(read.totals, exact=False),
        rules=dict(read.rules),
        unread=read.unread,
        seen_before=received.recognized.seen,
        warnings=received.warnings,
        difference=dict(compared.difference),
        new_pis=applied.new_pis,
        deferred_periods=tuple(iso_month(month) for month in compared.late),
        deferred=applied.deferred,
    )


def seen_before(received: Received, imported: Import | None, state: str) -> IngestResult:
    """Return the result of files that were all imported before."""
    return IngestResult(
        imported=imported,
        state=str(state),
        source=received.source,
        periods=(),
        rows=0,
        counts=Counts(),
        flagged=0,
        flags={},
        totals={},
        stored={},
        seen_before=received.recognized.seen,
        warnings=received.warnings,
    )


def pass_over(imported: Import, received: Received, file_rows: Mapping[int, int]) -> IngestResult:
    """Have an import stand for nothing: all it has was imported before.

    A file that was read has rows, though they are another import's: it counts as long as those stand.
    """
    request = received.request
    with audit.gesture(actor=request.actor, now=request.now) as gesture:
        control_totals.keep_file_rows(imported, file_rows)
        imported.state, imported.applied_at = Import.State.APPLIED, request.now
        imported.save()
        gesture.record("import.seen_before", imported, note="; ".join(received.recognized.seen))
    return seen_before(received, imported, imported.state)


def fail(imported: Import, errors: list[dict[str, Any]], *, actor: Actor, now: datetime.datetime) -> None:
    """Record that an import failed, and why.

    What is committed stands, whatever broke off after it: its charges are there.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        reached = Import.objects.select_for_update(no_key=True).values_list("state", flat=True).get(pk=imported.pk)
        if reached not in Import.UNFINISHED:
            imported.refresh_from_db()
            return
        imported.state, imported.errors = Import.State.FAILED, errors
        imported.applied_at = None
        imported.save()
        gesture.record("import.failed", imported, note=describe(errors[0]) if errors else "")


def _flags(read: Read, asked: Asked) -> dict[str, int]:
    return dict(sorted({**read.flags, **({str(duplicates.CODE): asked.held} if asked.held else {})}.items()))


def _flagged(read: Read, asked: Asked) -> int:
    return read.flagged + asked.held_for_nothing_else

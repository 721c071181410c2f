"""Booking a deferred import: what it changes in a closed month is charged as late changes of an open one."""

import datetime

from .. import audit, charging
from ..audit import Actor
from ..models import BillingPeriod, Charge, Import
from ..months import closing
from ..progress import Progress, unwatched
from ..readers import FileError
from ..readers.facts import month_number
from ..texts import iso_month
from . import comparing, control_totals, import_record, inheritance, late, overtaking, owners, receiving, upkeep
from .comparing import Compared
from .outcomes import Booked, ImportRefused, errors_of
from .reading import Read
from .receiving import Received
from .staging import Stage, charges, dimensions, figures


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
    changed is reversed for those it was charged to, and charged to them again as it is now; a new row
    goes by its own attribution, and may be held for review. The charges of closed months stay as they are.

    `missing`, an Import.Missing, answers what becomes of charges that a doubtful import lacks.

    Raises NotDeferred, NotBookable, PeriodClosed for `into`, ImportRefused where the files cannot be read, or
    WouldWithdraw where there is no answer.
    """
    late.require_deferred(imported)
    late.require_bookable(imported)
    closing.require_open(into)
    try:
        received = receiving.again(
            imported, actor=actor, now=now, progress=progress, missing=missing, posted=into.last_day
        )
        received = receiving.recognized(received)
        with comparing.read_and_compared(received) as (stage, read, compared):
            if compared.doubts:
                raise comparing.would_withdraw(received, compared, imported)
            return _book(stage, received, read, compared, imported, into)
    except FileError as error:
        raise ImportRefused(errors_of(error), imported) from error


def _book(
    stage: Stage, received: Received, read: Read, compared: Compared, imported: Import, into: BillingPeriod
) -> Booked:
    """Charge the staged changes in `into`, in one transaction, which locks in this order:

    1. The import, so that nobody decides about it twice.
    2. The month that bears it, which cannot be closed meanwhile.
    3. The source: what the import was compared with must still stand.
    4. The charges that leave (see `staging.charges`): a decision that somebody is making about one is waited for.
    """
    request = received.request
    own = {period.month for period in late.months_of(imported)}
    stage.choose_all()
    comparing.leave_out_others(stage, compared, own)
    dimensions.store(stage)
    with audit.gesture(actor=request.actor, now=request.now) as gesture:
        imported = Import.objects.select_for_update(no_key=True).get(pk=imported.pk)
        late.require_deferred(imported)
        late.require_bookable(imported)
        for period in closing.require_open(into):
            if period.removed_at:
                closing.ensure_period(month=period.month, actor=request.actor, now=request.now)
        overtaking.require_unchanged(received, compared)
        _require_decided(stage, into)
        stage.fill_rows("stage_month", [(month_number(month), period.pk) for month, period in compared.periods.items()])
        named = owners.make(read, gesture)
        owners.stage_attributions(stage, read, named)
        control_totals.keep_overlaps(imported, stage, read, own, periods=compared.periods, into=into)
        first, charged, taken_back, withdrawn = charges.book_late_changes(stage, imported, target=into)
        late.settle_payers(first, charged + taken_back)
        inheritance.write_old_and_new(first, charged)
        charging.stamp_project_splits(into)
        late.hold_what_is_over(first, charged + taken_back, gesture=gesture)
        # What is held here was never charged: it waits as what it is.
        held_now = Charge.objects.held().filter(imported_in=imported).count()
        import_record.note_part(imported, read, compared, own)
        new_pis = owners.new_pis(stage, read, named.new_emails)
        imported.new_pis = [each.as_data() for each in new_pis]
        imported.flagged = held_now
        imported.state, imported.applied_at, imported.booked_in = Import.State.APPLIED, request.now, into
        imported.missing = compared.missing
        imported.save()
        booked = Booked(
            number=imported.pk,
            into=into.iso_month,
            periods=tuple(iso_month(month) for month in sorted(own)),
            charged=charged,
            taken_back=taken_back,
            withdrawn=withdrawn,
            held=held_now,
            difference=imported.difference,
        )
        _record(booked, imported, received, gesture)
    upkeep.after_import(charged)
    return booked


def _record(booked: Booked, imported: Import, received: Received, gesture: audit.Gesture) -> None:
    gesture.record(
        "import.booked",
        imported,
        before={"state": Import.State.DEFERRED.value},
        after={
            "state": Import.State.APPLIED.value,
            "booked_in": booked.into,
            "charged": booked.charged,
            "taken_back": booked.taken_back,
            "withdrawn": booked.withdrawn,
            **({"missing": imported.missing} if imported.missing else {}),
            "sha256": [file.sha256 for file in received.files],
            "delta": {
                month: {currency: found["delta"] for currency, found in currencies.items()}
                for month, currencies in imported.difference.items()
            },
        },
    )


def _require_decided(stage: Stage, into: BillingPeriod) -> None:
    """Refuse where charges that change are held for review in another month."""
    if held := figures.held_elsewhere(stage, into):
        months = BillingPeriod.objects.in_bulk([period_id for period_id, _ in held])
        named = ", ".join(f"{number:,} in {months[period_id]}" for period_id, number in held)
        raise late.NotBookable(
            f"Charges that this import changes are held for review: {named}. Decide them first, or book the "
            "import in that month."
        )

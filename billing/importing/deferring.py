"""Deferring what cannot be applied at once: it is stored and waits until somebody decides."""

import datetime
from collections.abc import Mapping
from dataclasses import replace

from .. import audit
from ..models import BillingPeriod, Import
from ..months import closing
from ..readers.facts import month_number
from ..texts import iso_month
from . import applying, control_totals, import_record, late, overtaking, receiving
from .applying import Applied
from .comparing import Compared, would_withdraw
from .reading import Read
from .receiving import Received
from .staging import Stage, figures


def defer(received: Received, read: Read, compared: Compared, imported: Import) -> Applied:
    """Keep the whole import until somebody decides: nothing of it changes a charge.

    Locks the source: imports of it come one after the other, also those that only wait.
    """
    request = received.request
    with audit.gesture(actor=request.actor, now=request.now) as gesture:
        overtaking.require_unchanged(received, compared)
        _wait(received, read, compared, imported, gesture)
    return Applied(compared, deferred=imported)


def set_aside(received: Received, read: Read, compared: Compared, imported: Import) -> Applied:
    """Keep an import that is doubtful as a whole until somebody decides; raise WouldWithdraw to say why.

    Not where the same files were dismissed before: then that was the answer. The source is locked first, as
    `defer` does; then the months that there are none of yet are made.
    """
    request = received.request
    with audit.gesture(actor=request.actor, now=request.now) as gesture:
        overtaking.require_unchanged(received, compared)
        periods: Mapping[datetime.date, BillingPeriod] = {
            # Its control totals are kept by month, also of one that has nothing else yet.
            month: closing.ensure_period(month=month, actor=request.actor, now=request.now)
            for month in compared.months
        }
        compared = replace(compared, periods=periods, late=compared.months)
        imported.doubts = [each.as_data() for each in compared.doubts]
        _wait(received, read, compared, imported, gesture)
    if imported.state == Import.State.DEFERRED:
        raise would_withdraw(received, compared, imported)
    return Applied(compared, deferred=imported)


def defer_part(stage: Stage, received: Received, read: Read, compared: Compared, imported: Import) -> Applied:
    """Apply what is of open months, and keep the rest under a number of its own, until somebody decides.

    Both in one transaction, which locks as `applying.apply` does: nothing is applied whose rest does not wait.
    """
    request = received.request
    with audit.gesture(actor=request.actor, now=request.now) as gesture:
        rest = Import.objects.create(
            source=received.source,
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
            created_at=request.now,
            created_by=request.actor.user,
            created_by_name=request.actor.name,
        )
        receiving.name_files(rest, received)
        shut = [month_number(month) for month in compared.late]
        stage.choose_all()
        stage.leave_out(shut, [compared.periods[month] for month in compared.late])
        flags, flagged = figures.flags_beside(stage, shut)
        compared = replace(compared, touched=compared.touched - frozenset(compared.late))
        import_record.note_part(imported, read, compared, compared.taking)
        imported.flags, imported.flagged = flags, flagged
        applied = applying.apply(stage, received, read, compared, imported)
        _wait(received, read, compared, rest, gesture)
    return replace(applied, deferred=rest)


def _wait(received: Received, read: Read, compared: Compared, imported: Import, gesture: audit.Gesture) -> None:
    """Have an import wait with what it says of the months that take no changes."""
    import_record.note_part(imported, read, compared, compared.late)
    imported.flags, imported.flagged = {}, 0
    control_totals.keep_totals(imported, read, compared.late, compared.periods)
    imported.state = Import.State.DEFERRED
    if before := late.dismissed_before(imported, received.file_ids):
        imported.state = Import.State.DISMISSED
        imported.reason = f"The same files as import {before.pk}, which was dismissed: {before.reason}"
    imported.save()
    gesture.record(
        "import.deferred" if imported.state == Import.State.DEFERRED else "import.dismissed",
        imported,
        after={
            "source": received.source.name,
            "rows": imported.rows,
            "periods": [iso_month(month) for month in compared.late],
            "totals": imported.totals,
            **({"doubts": imported.doubts} if imported.doubts else {}),
        },
        note=imported.reason,
    )
    applying.supersede(imported, received, read, compared, gesture)

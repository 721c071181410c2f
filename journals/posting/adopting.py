"""A journal that another program sent to the ledger, taken over as posted: nothing of it is journaled again."""

import datetime

from django.utils import timezone

from billing import audit, charging
from billing.audit import Actor
from billing.models import BillingPeriod
from billing.months import closing

from .. import accounting_calendar
from ..filing import whole_files
from ..formats import BUILT_IN
from ..models import Journal
from ..writing import document_of
from .drafts import redraft
from .keeping import keep
from .records import facts

# What it came to is kept in the format that needs no accounting of a ledger: that other program had its own.
FORMAT = "standard"


def adopt(
    *,
    period: BillingPeriod,
    document_number: str,
    posted_at: datetime.datetime,
    note: str,
    actor: Actor,
    now: datetime.datetime,
) -> Journal | None:
    """Keep what a month comes to as a journal that was posted before it came here; None where it comes to nothing.

    No ledger gets it: accounting that its lines lack is not asked for, and no check before submitting is made. A
    change of the month from here on journals its difference, as after any journal. `document_number` is what that
    program called it, `posted_at` is when it was sent, and `note` says where it came from.

    1. The month is locked, and its payer lines are made from today's charges.
    2. Their journal is drafted, frozen as posted, and its file kept; all of it is committed, or nothing.
    """
    chosen = BUILT_IN[FORMAT]
    with whole_files() as staged, audit.gesture(actor=actor, now=now) as gesture:
        period = closing.locked(period)
        if period.status != BillingPeriod.Status.FINALIZED:
            charging.make_payer_lines(period=period, actor=actor, now=now)
        journal, lines = redraft(period, None, gesture)
        if journal is None:
            return None
        journal.state = Journal.State.POSTED
        journal.submitted_at, journal.submitted_by = posted_at, actor.user
        journal.posted_at, journal.document_number = posted_at, document_number
        journal.date_reason = note
        today = timezone.localdate(now)
        journal.fiscal_year, journal.fiscal_period = accounting_calendar.fiscal_place(journal.posting_date, today)
        document = document_of(journal, lines)
        keep(journal, lines, chosen, document, chosen.write(document), staged)
        journal.save()
        after = facts(journal) | {"document_number": document_number}
        gesture.record("journal.adopted", journal, before={"state": "draft"}, after=after, note=note)
        return journal

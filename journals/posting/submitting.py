"""Journals submitted: checked, frozen, and their files kept."""

import datetime
from collections.abc import Iterable

from billing import audit, charging
from billing.audit import Actor
from billing.errors import BillingError
from billing.models import BillingPeriod
from billing.months import closing

from .. import accruals, estimates
from ..deltas import Pair
from ..drafting import drafting_again, fresh_deltas
from ..filing import whole_files
from ..models import Journal
from ..writing import format_named
from .drafts import is_outdated
from .freezing import freeze
from .opposites import submit_reversal
from .records import facts, locked


class DraftOutdated(BillingError):
    """Charges changed since the draft was made."""


def submit(*, journal: Journal, format: str, date_reason: str = "", actor: Actor, now: datetime.datetime) -> Journal:
    """Freeze a draft as it was seen and keep its file; where no answer is awaited, it counts as posted.

    `date_reason` is why it is posted in another fiscal year, where the draft has no reason yet. Raises WrongState for
    what is no draft, DraftOutdated where today's charges would make another, and the errors of `export`.

    1. The month is locked, so that its charges change under nobody else.
    2. The draft is locked, so that it is submitted once.
    3. What today's charges come to is compared with it, then it is frozen; its file gets its name after the commit.
    4. The reversal of an accrual is submitted with it, so that neither is ever in the ledger without the other.
    """
    chosen = format_named(format)
    with whole_files() as staged, audit.gesture(actor=actor, now=now) as gesture:
        period = closing.locked(journal.period)
        journal = locked(journal, Journal.State.DRAFT, "submitted")
        if journal.kind == Journal.Kind.JOURNAL and period.status != BillingPeriod.Status.FINALIZED:
            charging.make_payer_lines(period=period, actor=actor, now=now)
        lines = list(journal.lines.all())
        if is_outdated(journal, _due(journal, period)):
            raise DraftOutdated(
                f"Charges or accounting changed since {journal} was drafted. Draft it again, check it, and submit it.",
                then=drafting_again(journal),
            )
        journal.date_reason = date_reason.strip() or journal.date_reason
        freeze(journal, lines, chosen, staged, actor=actor, now=now)
        gesture.record("journal.submitted", journal, before={"state": "draft"}, after=facts(journal))
        if journal.reversal_date:
            accruals.require_reversal_date(journal.posting_date, journal.reversal_date, now)
            reversal = submit_reversal(journal, journal.reversal_date, gesture, staged)
            gesture.record("journal.submitted", reversal, after=facts(reversal))
        return journal


def _due(journal: Journal, period: BillingPeriod) -> Iterable[Pair]:
    """Return what a draft of this kind would hold if it were made now."""
    if journal.kind == Journal.Kind.ACCRUAL:
        entered = estimates.of_data(journal.estimates)
        return accruals.accruable(period, journal.posting_date, journal.number, entered).pairs
    return fresh_deltas(period)

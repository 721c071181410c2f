"""Journals submitted: checked, frozen, and their files kept."""

import datetime
from collections.abc import Sequence

from django.utils import timezone

from billing import audit, charging
from billing.audit import Actor
from billing.errors import BillingError, NextStep
from billing.models import BillingPeriod, Policy
from billing.months import closing

from .. import accounting_calendar, preflight
from ..drafting import (
    fresh_deltas,
    require_accounting,
    require_date_reason,
    require_posting_date,
    require_segments,
)
from ..filing import Staged, whole_files
from ..formats import Format, Written
from ..models import Journal, JournalLine
from ..writing import document_of, format_named
from .drafts import is_outdated
from .duties import require_second_person
from .keeping import keep, number_batch
from .records import facts, locked


class NothingToSubmit(BillingError):
    """A journal was to be submitted, and everything is journaled already."""


class DraftOutdated(BillingError):
    """Charges changed since the draft was made."""


def submit(*, journal: Journal, format: str, date_reason: str = "", actor: Actor, now: datetime.datetime) -> Journal:
    """Freeze a draft as it was seen and keep its file; where no answer is awaited, it counts as posted.

    `date_reason` is why it is posted in another fiscal year, where the draft has no reason yet. Raises WrongState for
    what is no draft, DraftOutdated where today's charges would make another, and the errors of `export`.

    1. The month is locked, so that its charges change under nobody else.
    2. The draft is locked, so that it is submitted once.
    3. What today's charges come to is compared with it, then it is frozen; its file gets its name after the commit.
    """
    chosen = format_named(format)
    with whole_files() as staged, audit.gesture(actor=actor, now=now) as gesture:
        period = closing.locked(journal.period)
        journal = locked(journal, Journal.State.DRAFT, "submitted")
        if period.status != BillingPeriod.Status.FINALIZED:
            charging.make_payer_lines(period=period, actor=actor, now=now)
        lines = list(journal.lines.all())
        if is_outdated(journal, fresh_deltas(period)):
            raise DraftOutdated(
                f"Charges or accounting changed since {journal} was drafted. Draft it again, check it, and submit it.",
                then=NextStep("draft_again", {"period": period.iso_month, "journal": str(journal.pk)}),
            )
        journal.date_reason = date_reason.strip() or journal.date_reason
        freeze(journal, lines, chosen, staged, actor=actor, now=now)
        gesture.record("journal.submitted", journal, before={"state": "draft"}, after=facts(journal))
        return journal


def freeze(
    journal: Journal,
    lines: Sequence[JournalLine],
    chosen: Format,
    staged: Staged,
    *,
    actor: Actor,
    now: datetime.datetime,
) -> Written:
    """Submit a draft whose lines are right: check it, write its file, stamp it. Returns what the file holds."""
    if not any(line.is_posted for line in lines):
        raise NothingToSubmit(nothing_to_submit(journal.period))
    if journal.kind == Journal.Kind.JOURNAL:
        require_second_person(journal, actor)
        require_accounting(lines)
        if chosen.is_ledger:
            require_segments(lines)
        require_posting_date(journal.period, journal.posting_date, now)
        require_date_reason(journal.period, journal.posting_date, journal.date_reason, now)
    journal.state = Journal.State.SUBMITTED
    journal.submitted_at, journal.submitted_by = now, actor.user
    policy = Policy.objects.current()
    today = timezone.localdate(now)
    journal.fiscal_year, journal.fiscal_period = accounting_calendar.fiscal_place(journal.posting_date, today)
    if not policy.requires_ledger_answer:
        journal.state = Journal.State.POSTED
        journal.posted_at = now
    number_batch(journal, chosen, now)
    document = document_of(journal, lines)
    written = chosen.write(document)
    if journal.kind == Journal.Kind.JOURNAL:
        preflight.require_passed(journal=journal, lines=lines, chosen=chosen, document=document, now=now)
    keep(journal, lines, chosen, document, written, staged)
    journal.save()
    return written


def nothing_to_submit(period: BillingPeriod) -> str:
    last = Journal.objects.live().filter(period=period).order_by("-id").first()
    since = f" since {last}" if last else ""
    return f"There is nothing to submit for {period}: no payer line of a journaled source changed{since}."

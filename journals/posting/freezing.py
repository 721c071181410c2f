"""Drafts frozen: checked as their kind has to be, written to their file, and stamped as submitted."""

import datetime
from collections.abc import Sequence

from django.utils import timezone

from billing.audit import Actor
from billing.errors import BillingError
from billing.models import BillingPeriod, Policy

from .. import accounting_calendar, preflight
from ..drafting import (
    nothing_to_journal,
    require_accounting,
    require_date_reason,
    require_posting_date,
    require_segments,
)
from ..filing import Staged
from ..formats import Format, Written
from ..models import Journal, JournalLine
from ..writing import document_of
from .duties import require_second_person
from .keeping import keep, number_batch


class NothingToSubmit(BillingError):
    """A journal was to be submitted, and everything is journaled already."""


def freeze(
    journal: Journal,
    lines: Sequence[JournalLine],
    chosen: Format,
    staged: Staged,
    *,
    actor: Actor,
    now: datetime.datetime,
) -> Written:
    """Submit a draft whose lines are right: check it, write its file, stamp it. Returns what the file holds.

    Raises NothingToSubmit, SamePerson, AccountingMissing, FundOrgNotParsed, PostingDateRefused, ReasonMissing, and
    PreflightFailed.
    """
    if not any(line.is_posted for line in lines):
        raise NothingToSubmit(nothing_to_submit(journal.period))
    # What a reversal takes back was checked when it was submitted.
    if journal.kind != Journal.Kind.REVERSAL:
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
    if journal.kind != Journal.Kind.REVERSAL:
        preflight.require_passed(journal=journal, lines=lines, chosen=chosen, document=document, now=now)
    keep(journal, lines, chosen, document, written, staged)
    journal.save()
    return written


def nothing_to_submit(period: BillingPeriod) -> str:
    return f"There is nothing to submit for {period}: {nothing_to_journal(period)}."

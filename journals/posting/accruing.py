"""Accruals drafted: what a month lacks in the ledger, with the day on which it is reversed."""

import datetime
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal

from billing import audit
from billing.audit import Actor, Gesture
from billing.errors import BillingError, NextStep
from billing.models import BillingPeriod, Policy
from billing.money import ZERO
from billing.months import closing
from billing.texts import long_date

from ..accruals import Accruable, accruable, require_reversal_date, standing_on
from ..drafting import (
    BATCH,
    date_reason_needed,
    default_posting_date,
    lines_of,
    nothing_to_journal,
    require_posting_date,
)
from ..estimates import Estimate, of_data
from ..filing import whole_files
from ..models import Journal, JournalLine
from ..writing import format_named
from .exporting import write_draft
from .records import facts, next_number, set_totals


class AccrualRefused(BillingError):
    """A month has nothing to accrue, or is accrued already."""


@dataclass(frozen=True)
class Accruing:
    """What an accrual would hold, and what it leaves out, in sentences."""

    lines: tuple[JournalLine, ...]
    notes: tuple[str, ...]
    posting_date: datetime.date
    reversal_date: datetime.date
    currency: str
    # What was entered for what is not imported yet.
    estimates: tuple[Estimate, ...]
    debits: Decimal
    credits: Decimal
    date_reason_needed: str
    # Why there is nothing to accrue; "" where there is.
    nothing: str = ""


def preview_accrual(
    *,
    period: BillingPeriod,
    posting_date: datetime.date | None = None,
    reversal_date: datetime.date,
    estimates: Collection[Estimate] | None = None,
    now: datetime.datetime,
) -> Accruing:
    """Return what `accrue` would draft. Raises as it does."""
    date = _require_dates(period, posting_date, reversal_date, now)
    journal = Journal(period=period, number=_number(period), posting_date=date)
    policy = Policy.objects.current()
    entered = tuple(estimates_of(period) if estimates is None else estimates)
    found = accruable(period, date, journal.number, entered)
    lines = tuple(lines_of(found.pairs, journal, policy))
    return Accruing(
        lines=lines,
        notes=found.notes,
        posting_date=date,
        reversal_date=reversal_date,
        currency=policy.currency,
        estimates=entered,
        debits=sum((line.debit for line in lines), ZERO),
        credits=sum((line.credit for line in lines), ZERO),
        date_reason_needed=date_reason_needed(period, date, now),
        nothing="" if lines else nothing_to_journal(period),
    )


def accrue(
    *,
    period: BillingPeriod,
    format: str,
    posting_date: datetime.date | None = None,
    reversal_date: datetime.date,
    date_reason: str = "",
    estimates: Collection[Estimate] | None = None,
    actor: Actor,
    now: datetime.datetime,
) -> Journal:
    """Draft the accrual of a month, in place of the draft it had, and write its file; return it.

    It holds what the ledger does not have on the posting date, which is that of a journal where none is given, and
    `estimates` of what is not imported: without any given, those of the draft it had.
    Submitting it submits its reversal for the reversal date. Raises AccrualRefused, PostingDateRefused, UnknownFormat,
    and for a ledger's format AccountingMissing or FundOrgNotParsed; then nothing is changed or written.
    """
    chosen = format_named(format)
    with whole_files() as staged, audit.gesture(actor=actor, now=now) as gesture:
        period = closing.locked(period)
        date = _require_dates(period, posting_date, reversal_date, now)
        drafts = Journal.objects.select_for_update(no_key=True).filter(period=period, state=Journal.State.DRAFT)
        journal = drafts.filter(kind=Journal.Kind.ACCRUAL).first()
        entered = tuple(of_data(journal.estimates if journal else ()) if estimates is None else estimates)
        found = accruable(period, date, journal.number if journal else _number(period), entered)
        if not found.pairs:
            said = [f"Nothing of {period} is to be accrued: {nothing_to_journal(period)}.", *found.notes]
            raise AccrualRefused(" ".join(said))
        journal = journal or Journal(period=period, kind=Journal.Kind.ACCRUAL, number=_number(period))
        journal.posting_date, journal.reversal_date = date, reversal_date
        journal.date_reason = date_reason.strip()
        journal.estimates = [each.as_data() for each in entered]
        lines = _store(journal, found, gesture)
        write_draft(journal, lines, chosen, None, staged, gesture)
        return journal


def estimates_of(period: BillingPeriod) -> tuple[Estimate, ...]:
    """Return the estimates that the draft of a month's accrual has; none where there is no draft."""
    drafts = Journal.objects.filter(period=period, state=Journal.State.DRAFT, kind=Journal.Kind.ACCRUAL)
    return of_data(drafts.values_list("estimates", flat=True).first() or ())


def _store(journal: Journal, found: Accruable, gesture: Gesture) -> list[JournalLine]:
    policy = Policy.objects.current()
    if journal.pk:
        journal.lines.all().delete()
    journal.currency = policy.currency
    journal.drafted_at, journal.drafted_by = gesture.now, gesture.actor.user
    lines = list(lines_of(found.pairs, journal, policy))
    set_totals(journal, lines)
    journal.save()
    for line in lines:
        line.journal = journal
    JournalLine.objects.bulk_create(lines, batch_size=BATCH)
    gesture.record("journal.drafted", journal, after=facts(journal))
    return lines


def _number(period: BillingPeriod) -> str:
    # A is for receivables.
    return next_number(period, "E")


def _require_dates(
    period: BillingPeriod, posting_date: datetime.date | None, reversal_date: datetime.date, now: datetime.datetime
) -> datetime.date:
    """Return the posting date of an accrual. Raises AccrualRefused and PostingDateRefused."""
    if period.status == BillingPeriod.Status.FINALIZED:
        raise AccrualRefused(f"{period} is finalized: all of it is in the ledger.")
    date = posting_date or default_posting_date(period, now)
    require_posting_date(period, date, now)
    require_reversal_date(date, reversal_date, now)
    if standing := standing_on(period, date):
        accrual, reversal = standing
        until = f"until {reversal} reverses it on {long_date(reversal.posting_date)}" if reversal else "already"
        raise AccrualRefused(
            f"{accrual} has what the ledger lacks of {period} {until}. Reverse it first, or choose a posting date "
            "after that.",
            then=NextStep("show_journals", {"period": period.iso_month}),
        )
    return date

"""Drafts: made, and whether one is what would be made today."""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from billing import audit
from billing.audit import Actor, Gesture
from billing.models import BillingPeriod, Policy
from billing.money import ZERO
from billing.months import closing

from ..deltas import Pair
from ..differences import difference, side_of
from ..drafting import (
    BATCH,
    default_posting_date,
    fresh_deltas,
    lines_of,
    require_posting_date,
)
from ..models import Journal, JournalLine
from .records import facts, next_number, set_totals


@dataclass(frozen=True)
class Drafted:
    """The draft a period has now; None where everything is journaled already."""

    journal: Journal | None
    lines: int
    debits: Decimal
    credits: Decimal


def draft(
    *,
    period: BillingPeriod,
    posting_date: datetime.date | None = None,
    date_reason: str = "",
    actor: Actor,
    now: datetime.datetime,
) -> Drafted:
    """Make the period's draft, in place of the one it had: its payer lines less what is on live journals.

    It reads the payer lines as they are; `export` brings them up to date first. Where nothing is left
    to journal, the period has no draft. The posting date is the last day of the period, or today if
    that is earlier, as far as the accounting calendar takes it. Raises PostingDateRefused for a date on which a
    journal cannot be posted.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        journal, lines = redraft(closing.locked(period), posting_date, gesture, date_reason=date_reason)
        if journal is None:
            return Drafted(None, 0, ZERO, ZERO)
        return Drafted(journal, len(lines), journal.debits, journal.credits)


def redraft(
    period: BillingPeriod, posting_date: datetime.date | None, gesture: Gesture, *, date_reason: str = ""
) -> tuple[Journal | None, list[JournalLine]]:
    """Make the draft of a locked period, and return it with its lines.

    Where the ledger has nothing to get there is no draft, and what is left are lines of 0.00. A draft that says
    something else than the one before it keeps what changed. A reason for its date stays as long as the date does.
    """
    if posting_date:
        require_posting_date(period, posting_date, gesture.now)
    pairs = fresh_deltas(period)
    policy = Policy.objects.current()
    drafts = Journal.objects.select_for_update(no_key=True).filter(period=period, kind=Journal.Kind.JOURNAL)
    journal = drafts.filter(state=Journal.State.DRAFT).first()
    if not any(pair.amount for pair in pairs):
        if journal:
            gesture.record("journal.draft_dropped", journal, note="Everything is journaled already.")
            journal.delete()
        return None, list(lines_of(pairs, Journal(), policy))
    earlier, before = (side_of(journal), list(journal.lines.all())) if journal else (None, [])
    if journal:
        journal.lines.all().delete()
    else:
        journal = Journal(period=period, number=next_number(period, "J"))
    date = posting_date or default_posting_date(period, gesture.now)
    kept = journal.date_reason if date == journal.posting_date else ""
    journal.posting_date, journal.date_reason = date, date_reason.strip() or kept
    journal.currency = policy.currency
    journal.drafted_at, journal.drafted_by = gesture.now, gesture.actor.user
    # A file of the draft before is not of this one.
    journal.format = journal.file_path = ""
    lines = list(lines_of(pairs, journal, policy))
    set_totals(journal, lines)
    if earlier and (found := difference(earlier, before, side_of(journal), lines)).is_any:
        journal.draft_changes = found.as_data()
    journal.save()
    for line in lines:
        line.journal = journal
    JournalLine.objects.bulk_create(lines, batch_size=BATCH)
    gesture.record("journal.drafted", journal, after=facts(journal))
    return journal, lines


def _said(line: JournalLine) -> tuple[str, str, str, Decimal, Decimal, Decimal]:
    """Return what a line tells the ledger and, in the journal's detail, people."""
    amount = line.debit - line.credit
    return line.payer_key, line.fund_org, line.natural_account, amount, line.list_cost, line.contracted_cost


def is_outdated(journal: Journal, pairs: Iterable[Pair]) -> bool:
    """Say whether a draft made of these pairs would tell the ledger something else."""
    today = lines_of(pairs, journal, Policy.objects.current())
    return [_said(line) for line in journal.lines.all()] != [_said(line) for line in today]

"""Drafts: what one would hold, made, and whether it is what would be made today."""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from billing import audit, charging
from billing.audit import Actor, Gesture
from billing.errors import BillingError
from billing.models import BillingPeriod, Policy
from billing.money import ZERO
from billing.months import closing

from ..deltas import Pair
from ..drafting import (
    BATCH,
    PostingDateRefused,
    default_posting_date,
    fresh_deltas,
    lines_of,
    require_accounting,
    require_posting_date,
    require_segments,
)
from ..models import Journal, JournalLine
from ..writing import format_named
from .records import facts, next_number, set_totals


@dataclass(frozen=True)
class Drafted:
    """The draft a period has now; None where everything is journaled already."""

    journal: Journal | None
    lines: int
    debits: Decimal
    credits: Decimal


@dataclass(frozen=True)
class Preview:
    """What a draft would hold, and what keeps it from the ledger. Nothing is written."""

    pairs: int
    # Payer lines charged 0.00, which the ledger does not get.
    free: int
    currency: str
    debits: Decimal
    credits: Decimal
    charged: Decimal
    problems: list[str]


def preview(
    *, period: BillingPeriod, format: str, posting_date: datetime.date | None = None, now: datetime.datetime
) -> Preview:
    """Return what an export would hold today, computed from the charges as they are, and its problems.

    Raises UnknownFormat, and the errors of `charging.compute`.
    """
    chosen = format_named(format)
    today = None if period.status == BillingPeriod.Status.FINALIZED else charging.compute(period)
    pairs = fresh_deltas(period, today)
    policy = Policy.objects.current()
    lines = list(lines_of(pairs, Journal(), policy))
    problems = []
    for check in (require_accounting, require_segments) if chosen.is_ledger else (require_accounting,):
        try:
            check(lines)
        except BillingError as error:
            problems.append(str(error))
    try:
        require_posting_date(period, posting_date or default_posting_date(period, now), now)
    except PostingDateRefused as error:
        problems.append(str(error))
    return Preview(
        pairs=sum(1 for pair in pairs if pair.amount),
        free=sum(1 for pair in pairs if not pair.amount),
        currency=policy.currency,
        debits=sum((line.debit for line in lines), ZERO),
        credits=sum((line.credit for line in lines), ZERO),
        charged=sum((pair.amount for pair in pairs), ZERO),
        problems=problems,
    )


def draft(
    *, period: BillingPeriod, posting_date: datetime.date | None = None, actor: Actor, now: datetime.datetime
) -> Drafted:
    """Make the period's draft, in place of the one it had: its payer lines less what is on live journals.

    It reads the payer lines as they are; `export` brings them up to date first. Where nothing is left
    to journal, the period has no draft. The posting date is the last day of the period, or today if
    that is earlier. Raises PostingDateRefused for a date on which a journal cannot be posted.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        journal, lines = redraft(closing.locked(period), posting_date, gesture)
        if journal is None:
            return Drafted(None, 0, ZERO, ZERO)
        return Drafted(journal, len(lines), journal.debits, journal.credits)


def redraft(
    period: BillingPeriod, posting_date: datetime.date | None, gesture: Gesture
) -> tuple[Journal | None, list[JournalLine]]:
    """Make the draft of a locked period, and return it with its lines.

    Where the ledger has nothing to get there is no draft, and what is left are lines of 0.00.
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
    if journal:
        journal.lines.all().delete()
    else:
        journal = Journal(period=period, number=next_number(period, "J"))
    journal.posting_date = posting_date or default_posting_date(period, gesture.now)
    journal.currency = policy.currency
    journal.drafted_at = gesture.now
    # A file of the draft before is not of this one.
    journal.format = journal.file_path = ""
    lines = list(lines_of(pairs, journal, policy))
    set_totals(journal, lines)
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

"""What a draft would hold today, before it is made: its sums, what it changes, and what keeps it from the ledger."""

import datetime
from dataclasses import dataclass
from decimal import Decimal

from billing import charging
from billing.errors import BillingError
from billing.models import BillingPeriod, Policy
from billing.money import ZERO
from billing.months import checklist

from ..differences import Difference, Side, difference, side_of
from ..drafting import (
    PostingDateRefused,
    date_reason_needed,
    default_posting_date,
    fresh_deltas,
    last_charge_day,
    lines_of,
    nothing_to_journal,
    require_accounting,
    require_posting_date,
    require_segments,
)
from ..models import Journal
from ..summaries import Summary, grouped_lines, summaries
from ..writing import format_named

# What a month's prospect is kept under.
PROSPECT = "prospect"


@dataclass(frozen=True)
class Prospect:
    """What a month has to journal today, whatever the format and the posting date."""

    pairs: int
    # Payer lines charged 0.00, which the ledger does not get.
    free: int
    currency: str
    debits: Decimal
    credits: Decimal
    charged: Decimal
    summaries: tuple[Summary, ...]
    # Why no journal of it can be submitted, and why no file for a ledger be written; "" where nothing is in the way.
    accounting: str
    segments: str
    last_day: datetime.date | None
    # The draft there is, and what this would change of it.
    draft: str = ""
    difference: Difference | None = None
    # Why there is nothing to journal; "" where there is.
    nothing: str = ""


@dataclass(frozen=True)
class Preview:
    """What a draft of a format would hold, and what keeps it from the ledger. Nothing is written."""

    prospect: Prospect
    posting_date: datetime.date
    problems: list[str]
    # For what the posting date needs a reason; "" for nothing.
    date_reason_needed: str = ""


def prospect(period: BillingPeriod) -> Prospect:
    """Return what a month has to journal, computed from the charges as they are.

    Raises the errors of `charging.compute`.
    """
    today = None if period.status == BillingPeriod.Status.FINALIZED else charging.compute(period)
    pairs = fresh_deltas(period, today)
    policy = Policy.objects.current()
    lines = list(lines_of(pairs, Journal(), policy))
    refused = []
    for check in (require_accounting, require_segments):
        try:
            check(lines)
            refused.append("")
        except BillingError as error:
            refused.append(str(error))
    draft = Journal.objects.filter(period=period, kind=Journal.Kind.JOURNAL, state=Journal.State.DRAFT).first()
    debits, credits = sum((line.debit for line in lines), ZERO), sum((line.credit for line in lines), ZERO)
    return Prospect(
        pairs=sum(1 for pair in pairs if pair.amount),
        free=sum(1 for pair in pairs if not pair.amount),
        currency=policy.currency,
        debits=debits,
        credits=credits,
        charged=sum((pair.amount for pair in pairs), ZERO),
        summaries=tuple(summaries(grouped_lines(lines))),
        accounting=refused[0],
        segments=refused[1],
        last_day=last_charge_day(period),
        draft=draft.number if draft else "",
        difference=difference(side_of(draft), draft.lines.all(), Side(len(lines), debits, credits), lines)
        if draft
        else None,
        nothing="" if any(pair.amount for pair in pairs) else nothing_to_journal(period),
    )


def kept_prospect(period: BillingPeriod, *, waits: bool = True) -> Prospect | None:
    """Return the prospect of a month as it was worked out last, if nothing changed since; else work it out.

    A page that does not wait gets None of a large month (see checklist.kept_result). Raises the errors of
    `charging.compute`.
    """
    return checklist.kept_result(period, PROSPECT, lambda: prospect(period), waits=waits)


def preview(
    *, period: BillingPeriod, format: str, posting_date: datetime.date | None = None, now: datetime.datetime
) -> Preview:
    """Return what an export would hold today, and its problems.

    Raises UnknownFormat, and the errors of `charging.compute`.
    """
    format_named(format)
    return preview_of(prospect(period), period=period, format=format, posting_date=posting_date, now=now)


def preview_of(
    found: Prospect,
    *,
    period: BillingPeriod,
    format: str,
    posting_date: datetime.date | None = None,
    now: datetime.datetime,
) -> Preview:
    """Return what a prospect comes to in a format, on a posting date. Raises UnknownFormat."""
    is_ledger = format_named(format).is_ledger
    date = posting_date or default_posting_date(period, now)
    problems = [text for text in (found.accounting, found.segments if is_ledger else "") if text]
    try:
        require_posting_date(period, date, now, last_day=found.last_day)
    except PostingDateRefused as error:
        problems.append(str(error))
    return Preview(found, date, problems, date_reason_needed(period, date, now))

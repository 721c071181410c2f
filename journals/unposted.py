"""What of a month is not posted yet, by who pays it: for reports."""

import datetime
from collections import defaultdict
from collections.abc import Collection
from decimal import Decimal

from billing import charging
from billing.errors import BillingError
from billing.fields import AmountSum
from billing.models import BillingPeriod, Policy
from billing.money import ZERO
from billing.reports.ledger import Unposted, UnpostedRow

from .drafting import fresh_deltas
from .models import Journal, JournalLine


def unposted(periods: Collection[int], currency: str, as_of: datetime.date | None = None) -> Unposted:
    """Return what months have to journal, computed from the charges as they are, and what waits for an answer.

    With `as_of` the ledger has only what journals have that are posted on that day or before. A month whose payer lines
    cannot be computed says why, and counts with what is submitted alone.
    """
    sums: dict[tuple[int, str, str], list[Decimal]] = defaultdict(lambda: [ZERO, ZERO])
    problems = []
    for period in BillingPeriod.objects.filter(pk__in=periods).order_by("month"):
        is_final = period.status == BillingPeriod.Status.FINALIZED
        try:
            pairs = fresh_deltas(period, None if is_final else charging.compute(period), as_of)
        except BillingError as error:
            problems.append(f"What {period} has to journal is not counted: {error}")
            continue
        for pair in pairs:
            sums[period.pk, pair.source_name, pair.payer.fund_org][0] += pair.amount
    waiting = (
        JournalLine.objects.filter(journal__in=Journal.objects.live(as_of).open().filter(period__in=periods))
        .filter(side=JournalLine.Side.PAYER, journal__currency=currency)
        .order_by()
        .values_list("journal__period", "source_name", "fund_org")
        .annotate(debits=AmountSum("debit"), credits=AmountSum("credit"))
    )
    # Where no answer is awaited, what is submitted counts as posted.
    awaited = waiting if Policy.objects.current().requires_ledger_answer else waiting.none()
    for period_id, source, fund_org, debits, credits in awaited:
        sums[period_id, source, fund_org][1] += debits - credits
    rows = [
        UnpostedRow(period_id, source, fund_org, pending, submitted)
        for (period_id, source, fund_org), (pending, submitted) in sums.items()
        if pending or submitted
    ]
    return Unposted(rows, problems)

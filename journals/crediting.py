"""What the ledger says, for reports: what journals credit to recovery, and when they first charged a payer."""

import datetime
from collections import defaultdict
from collections.abc import Collection

from django.db.models import Min

from billing.fields import AmountSum
from billing.reports.ledger import Credited, Ledger, PayerKey

from .accruals import accrued
from .models import Journal, JournalLine
from .unposted import unposted

# Keys in one statement: below what any build of SQLite takes.
BATCH = 500


def credited(periods: Collection[int], currency: str) -> list[Credited]:
    """Return what the live journals of months credit to recovery, by month, source, fund/org and kind of line."""
    rows = (
        JournalLine.objects.filter(
            journal__in=Journal.objects.live().filter(period__in=periods, currency=currency),
            side=JournalLine.Side.RECOVERY,
        )
        .order_by()
        .values_list("journal__period", "source_name", "fund_org", "kind")
        .annotate(debits=AmountSum("debit"), credits=AmountSum("credit"))
    )
    return [
        Credited(period_id, source, fund_org, kind, credits - debits)
        for period_id, source, fund_org, kind, debits, credits in rows
    ]


def first_posted(keys: Collection[PayerKey]) -> dict[PayerKey, datetime.date]:
    """Return the posting date of the first journal in the ledger that has each of these payer lines.

    One that was reversed since counts: the payer was charged by it. One that the ledger rejected never was posted.
    """
    of_month: dict[int, list[str]] = defaultdict(list)
    for period_id, key in sorted(keys):
        of_month[period_id].append(key)
    found: dict[PayerKey, datetime.date] = {}
    in_ledger = (Journal.State.SUBMITTED, Journal.State.POSTED, Journal.State.REVERSED)
    for period_id, wanted in of_month.items():
        journals = Journal.objects.filter(period=period_id, kind=Journal.Kind.JOURNAL, state__in=in_ledger)
        for start in range(0, len(wanted), BATCH):
            rows = (
                JournalLine.objects.filter(journal__in=journals, payer_key__in=wanted[start : start + BATCH])
                .order_by()
                .values_list("payer_key")
                .annotate(first=Min("journal__posting_date"))
            )
            found |= {(period_id, key): first for key, first in rows}
    return found


LEDGER = Ledger(credited, first_posted, unposted, accrued)

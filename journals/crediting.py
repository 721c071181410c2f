"""What journals credit to recovery fund/orgs, for reports."""

from collections.abc import Collection

from billing.fields import AmountSum
from billing.reports.ledger import Credited

from .models import Journal, JournalLine


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

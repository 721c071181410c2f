"""What the ledger says, for reports: what journals credit to recovery, and when they first charged a payer."""

import datetime
from collections import defaultdict
from collections.abc import Collection

from django.db.models import Min

from billing.fields import AmountSum
from billing.reports.ledger import Credited, Ledger, PayerKey, PayerPlace, Posting

from .accruals import accrued
from .models import Journal, JournalLine, JournalQuerySet
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
    for period_id, wanted in of_month.items():
        journals = _in_ledger([period_id])
        for start in range(0, len(wanted), BATCH):
            rows = (
                JournalLine.objects.filter(journal__in=journals, payer_key__in=wanted[start : start + BATCH])
                .order_by()
                .values_list("payer_key")
                .annotate(first=Min("journal__posting_date"))
            )
            found |= {(period_id, key): first for key, first in rows}
    return found


def submissions(periods: Collection[int]) -> dict[int, list[datetime.datetime]]:
    """Return when the journals of months were submitted, in order; of months that have any."""
    found: dict[int, list[datetime.datetime]] = defaultdict(list)
    for period_id, at in _in_ledger(periods).order_by("submitted_at").values_list("period", "submitted_at"):
        if at:
            found[period_id].append(at)
    return dict(found)


def charging(periods: Collection[int], fund_orgs: Collection[str]) -> dict[PayerPlace, list[Posting]]:
    """Return when journals of months that charged these fund/orgs were submitted, and their posting dates, by payer."""
    found: dict[PayerPlace, list[Posting]] = defaultdict(list)
    wanted = list(fund_orgs)
    for start in range(0, len(wanted), BATCH):
        lines = JournalLine.objects.filter(
            journal__in=_in_ledger(periods),
            side=JournalLine.Side.PAYER,
            fund_org__in=wanted[start : start + BATCH],
        )
        names = [f"journal__{name}" if name == "period_id" else name for name in PayerPlace._fields]
        for *place, at, day in (
            lines.order_by().values_list(*names, "journal__submitted_at", "journal__posting_date").distinct()
        ):
            found[PayerPlace(*place)].append((at, day))
    return dict(found)


def _in_ledger(periods: Collection[int]) -> JournalQuerySet:
    """Keep the journals of months that the ledger has or will have, and those that were reversed since."""
    states = (Journal.State.SUBMITTED, Journal.State.POSTED, Journal.State.REVERSED)
    return Journal.objects.filter(period__in=periods, kind=Journal.Kind.JOURNAL, state__in=states)


LEDGER = Ledger(credited, first_posted, unposted, accrued, submissions, charging)

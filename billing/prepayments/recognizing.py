"""Use of what was paid before becomes recovery: for each balance and month, what was drawn at the price paid."""

import datetime
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from .. import audit, corrections
from ..audit import Actor, Gesture
from ..corrections import Entered
from ..models import Allocation, BillingPeriod, PayerLine, Policy, PrepaidEntry, Source
from ..money import ZERO, named
from ..texts import long_month
from ..usage import prepaid
from ..usage.prepaid import Paid
from ..usage.terms import standing_months, waits
from .buying import size_told


@dataclass(frozen=True)
class Due:
    """What of a balance is to become recovery of a source, or to come back from it: below zero."""

    allocation: Allocation
    source: Source
    amount: Decimal
    # What was drawn so far in all, and what of it is recovery of any source.
    drawn: Decimal
    recognized: Decimal


def due(period: BillingPeriod, allocations: Iterable[Allocation] | None = None) -> list[Due]:
    """Return what the use of balances until the end of a month is worth beyond what is recognized.

    What was priced as a late change that waits is not charged yet, and does not count.
    """
    found = Allocation.objects.filter(is_prepaid=True) if allocations is None else allocations
    owners = {"pi", "project", "project__pi", "department", "feed__source"}
    balances = list(Allocation.objects.filter(pk__in=[each.pk for each in found]).select_related(*owners))
    if not balances:
        return []
    drawn: dict[str, dict[Source, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for priced in standing_months():
        is_over = priced.period.month <= period.month or not priced.period.takes_changes
        if not is_over or waits(priced):
            continue
        for each in priced.drawn:
            if "balance" in each:
                drawn[each["balance"]][priced.feed.source] += Decimal(each["quantity"])
    paid = prepaid.paid_of(balances)
    return [each for balance in balances for each in _due_of(paid[balance.pk], drawn[balance.code])]


def _due_of(paid: Paid, drawn: dict[Source, Decimal]) -> list[Due]:
    """Return what is due of a balance, by source; together it is worth what was drawn of it in all."""
    allocation = paid.allocation
    recognized = prepaid.recognized_by_source(allocation)
    sources = {source.pk: source for source in drawn}
    sources |= Source.objects.in_bulk([pk for pk in recognized if pk not in sources])
    so_far, worth, found = ZERO, ZERO, []
    for source in sorted(sources.values(), key=lambda each: each.name):
        so_far += drawn.get(source, ZERO)
        until = paid.worth(so_far)
        amount = until - worth - recognized.get(source.pk, ZERO)
        worth = until
        if amount:
            found.append(Due(allocation, source, amount, sum(drawn.values(), ZERO), paid.recognized))
    return found


def recognize(*, period: BillingPeriod, actor: Actor, now: datetime.datetime) -> list[Entered]:
    """Move what was used of balances until the end of a month from deferred revenue to recovery, in this month.

    Each balance and source has a correction of its own, so that the journal balances for each. What was used less than
    is recognized comes back. Done again it does nothing. Raises closing.PeriodClosed.
    """
    with audit.gesture(actor=actor, now=now):
        return [_recognized(each, period, actor=actor, now=now) for each in due(period)]


def _recognized(each: Due, period: BillingPeriod, *, actor: Actor, now: datetime.datetime) -> Entered:
    currency = Policy.objects.current().currency
    allocation = each.allocation
    drawn, whole = (size_told(allocation, amount, currency) for amount in (each.drawn, allocation.amount))
    entered = corrections.add_prepaid(
        allocation=allocation,
        kind=PayerLine.Kind.PREPAID_USE,
        source=each.source,
        amount=each.amount,
        for_period=period,
        charged_in=period,
        reason=f"Use of the prepaid balance {allocation.code} until {long_month(period.month)}: {drawn} of {whole}, "
        f"which cost {named(allocation.worth, currency)}. Recognized before: {named(each.recognized, currency)}.",
        actor=actor,
        now=now,
    )
    PrepaidEntry.objects.create(allocation=allocation, correction=entered.correction, kind=PrepaidEntry.Kind.USE)
    return entered


def before_close(period: BillingPeriod, gesture: Gesture) -> None:
    """Recognize what was used of balances before a month closes: its journal has the use of the month."""
    recognize(period=period, actor=gesture.actor, now=gesture.now)

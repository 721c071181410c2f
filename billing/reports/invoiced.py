"""What providers' invoices say of months, as people entered them, beside what files bill."""

from collections import defaultdict
from collections.abc import Collection
from decimal import Decimal
from typing import NamedTuple

from ..fields import WIDE
from ..models import BillingPeriod, InvoiceTotal
from ..money import ZERO
from ..proof import invoices
from ..proof.month import Month
from ..readers.spelling import same_id

# A source, a month and the currency of an invoice.
Scope = tuple[int, int, str]


class Invoices(NamedTuple):
    """What invoices say beyond what files bill, by source, month and currency, and which of them count for nothing."""

    beyond: dict[Scope, Decimal]
    overlapping: list[InvoiceTotal]


def entered(periods: Collection[BillingPeriod], billed: dict[Scope, Decimal]) -> Invoices:
    """Return what the invoices of months say beyond the files, which bill `billed` in them.

    An invoice of the whole month counts for all of it; else those of single invoices or accounts do, each against
    what files bill under it. One that speaks for a part of what another does is not counted twice.
    """
    by_scope: dict[Scope, list[InvoiceTotal]] = defaultdict(list)
    totals = InvoiceTotal.objects.filter(period__in=periods).select_related("source", "period")
    for total in totals.order_by("invoice_id", "billing_account_id", "pk"):
        by_scope[total.source_id, total.period_id, total.currency].append(total)
    beyond: dict[Scope, Decimal] = {}
    overlapping: list[InvoiceTotal] = []
    bridged: dict[int, dict[tuple[str, str, str, str], Decimal]] = {}
    for scope, found in by_scope.items():
        kept: list[InvoiceTotal] = []
        for total in found:
            (overlapping if any(_overlap(total, other) for other in kept) else kept).append(total)
        difference = ZERO
        for total in kept:
            if not total.invoice_id and not total.billing_account_id:
                files = billed.get(scope, ZERO)
            else:
                if total.period_id not in bridged:
                    bridged[total.period_id] = {
                        (each.source, each.invoice_id, each.billing_account_id, each.currency): each.billed
                        for each in invoices.bridges(Month(total.period))
                        if each.said is not None
                    }
                key = (total.source.name, total.invoice_id, total.billing_account_id, total.currency)
                files = bridged[total.period_id][key]
            difference = WIDE.add(difference, WIDE.subtract(total.amount, files))
        beyond[scope] = difference
    return Invoices(beyond, overlapping)


def _overlap(one: InvoiceTotal, other: InvoiceTotal) -> bool:
    """Tell whether two invoices could speak for the same rows: what one leaves open, the other may name."""
    is_same_invoice = not one.invoice_id or not other.invoice_id or one.invoice_id == other.invoice_id
    mine, its = same_id(one.billing_account_id), same_id(other.billing_account_id)
    return is_same_invoice and (not mine or not its or mine == its)

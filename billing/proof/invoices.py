"""The bridges beside the proof: to the provider's invoices, and from what was billed to what is charged amortized."""

import datetime
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.utils import timezone

from .. import audit
from ..audit import Actor
from ..audit.snapshots import snapshot
from ..errors import BillingError
from ..models import BillingPeriod, InvoiceTotal, Source
from ..money import ZERO
from ..readers.spelling import same_id
from .month import Month


class InvoiceFrozen(BillingError):
    """The invoices of a finalized month stand."""


@dataclass(frozen=True)
class Bridge:
    """A provider's invoice beside what its files billed under that number; `said` is None where nobody typed it in."""

    source: str
    invoice_id: str
    billing_account_id: str
    currency: str
    said: Decimal | None
    billed: Decimal
    count: int

    @property
    def difference(self) -> Decimal | None:
        return None if self.said is None else self.said - self.billed


@dataclass(frozen=True)
class Amortized:
    """What stands between BilledCost and EffectiveCost of a source that charges by the latter."""

    source: str
    currency: str
    billed: Decimal
    bought: Decimal
    used: Decimal
    other: Decimal
    effective: Decimal


def enter(
    *,
    source: Source,
    period: BillingPeriod,
    amount: Decimal,
    currency: str,
    invoice_id: str = "",
    billing_account_id: str = "",
    note: str = "",
    actor: Actor,
    now: datetime.datetime,
) -> InvoiceTotal:
    """Keep what a provider's invoice says; entered again, it replaces what was typed in before.

    Raises InvoiceFrozen for a finalized month, and ValidationError.
    """
    _require_not_finalized(period)
    with audit.gesture(actor=actor, now=now) as gesture:
        key = {"source": source, "period": period, "currency": currency.upper()}
        key |= {"invoice_id": invoice_id, "billing_account_id": billing_account_id}
        known = InvoiceTotal.objects.select_for_update(no_key=True).filter(**key).first()
        before = snapshot(known) if known else None
        total = known or InvoiceTotal(**key)
        total.amount, total.note = amount, note
        stamp(total, actor=actor, now=now)
        total.full_clean()
        total.save()
        gesture.record("invoice.entered", total, before=before, after=snapshot(total))
    return total


def stamp(total: InvoiceTotal, *, actor: Actor, now: datetime.datetime | None = None) -> None:
    """Note who typed an invoice in, and when (unsaved); raises InvoiceFrozen for a finalized month."""
    _require_not_finalized(total.period)
    total.entered_at = now or timezone.now()
    total.entered_by, total.entered_by_name = actor.user, actor.name


def _require_not_finalized(period: BillingPeriod) -> None:
    if BillingPeriod.objects.get(pk=period.pk).status == BillingPeriod.Status.FINALIZED:
        raise InvoiceFrozen(f"Billing period {period} is finalized: the invoices it was compared with are locked.")


def check_not_finalized(period: BillingPeriod) -> None:
    """The same for a form: raise ValidationError."""
    try:
        _require_not_finalized(period)
    except InvoiceFrozen as error:
        raise ValidationError(str(error)) from error


def bridges(month: Month) -> list[Bridge]:
    """Return the invoices of a month: those typed in, and what the imports in force bill by InvoiceId.

    Of sources whose invoices nobody typed in, only the rows that name one are told.
    """
    billed: dict[tuple[int, str, str, str], tuple[Decimal, int]] = defaultdict(lambda: (ZERO, 0))
    for each in month.standing:
        key = (each.source_id, each.invoice_id, each.billing_account_id, each.currency)
        billed[key] = (billed[key][0] + each.billed, billed[key][1] + each.charges)
    names = {pk: source.name for pk, source in month.sources.items()}
    found = []
    told = set()
    for total in InvoiceTotal.objects.filter(period=month.period).order_by("source__name", "invoice_id", "pk"):
        matching = {
            key
            for key in billed
            if (key[0], key[3]) == (total.source_id, total.currency)
            and total.invoice_id in ("", key[1])
            and same_id(total.billing_account_id) in ("", same_id(key[2]))
        }
        told |= matching
        found.append(
            Bridge(
                names[total.source_id],
                total.invoice_id,
                total.billing_account_id,
                total.currency,
                total.amount,
                sum((billed[key][0] for key in matching), ZERO),
                sum(billed[key][1] for key in matching),
            )
        )
    rest: dict[tuple[int, str, str], tuple[Decimal, int]] = defaultdict(lambda: (ZERO, 0))
    for key in set(billed) - told:
        if key[1]:
            amount, count = rest[key[0], key[1], key[3]]
            rest[key[0], key[1], key[3]] = (amount + billed[key][0], count + billed[key][1])
    for (source_id, invoice_id, currency), (amount, count) in sorted(
        rest.items(), key=lambda each: (names[each[0][0]], each[0][1:])
    ):
        found.append(Bridge(names[source_id], invoice_id, "", currency, None, amount, count))
    return found


def amortized(month: Month) -> list[Amortized]:
    """Return, for sources charged by EffectiveCost, what stands between it and BilledCost: commitments."""
    effective = month.effective_sources
    sums: dict[tuple[int, str], dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for each in month.standing if effective else ():
        of = sums[each.source_id, each.currency]
        of["billed"] += each.billed
        of["effective"] += each.effective
        of[each.why] += each.effective - each.billed
    return [
        Amortized(source.name, currency, of["billed"], of["bought"], of["used"], of["other"], of["effective"])
        for source in effective
        for (source_id, currency), of in sorted(sums.items())
        if source_id == source.pk
    ]

"""Another amount tolerance against a month: which approvals would not have outlived the change of their amount.

Whether an approval stays is decided when an import replaces its charge (`importing.staging`). So what is looked at are
the charges of a month that took the place of one that somebody had decided about.
"""

from collections.abc import Iterator
from decimal import Decimal

from django.db.models import F, Q

from ...models import BillingPeriod, Charge, Flag, Policy, Source
from ...money import ZERO
from .effects import SHOWN, Effect, Part, examples_of, held_only_for

_COSTS = ("billed_cost", "effective_cost")


def effect(*, present: Policy, changed: Policy, period: BillingPeriod) -> Effect:
    """Return what another tolerance would hold of a month, by how far amounts moved, and what it would leave alone."""
    was, will = present.amount_tolerance, changed.amount_tolerance
    found = Effect()
    held_for_it = set(held_only_for(Flag.Code.AMOUNT_CHANGED, period).values_list("pk", flat=True))
    newly: list[Part] = []
    for part, moved in _moved(period):
        if will < moved <= was and found.hold(part):
            newly.append(part)
        elif was < moved <= will and part.key[0] in held_for_it:
            found.free(part)
    newly.sort(key=lambda part: -abs(part.billed))
    keys = [Q(pk=part.key[0]) for part in newly[:SHOWN]]
    found.examples = examples_of(Charge.objects.in_month(period), keys) if keys else []
    return found


def _moved(period: BillingPeriod) -> Iterator[tuple[Part, Decimal]]:
    """Return each charge that took the place of a decided one, and by how much what is charged moved.

    A change of the currency is held whatever the tolerance, and left out.
    """
    sources = Source.objects.prefetch_related("measure_changes").in_bulk()
    replacing = Charge.objects.in_month(period).filter(
        replaces__state__in=Charge.DECIDED, currency=F("replaces__currency")
    )
    rows = replacing.order_by().values_list(
        "pk", "state", "currency", "source", "period__month", *_COSTS, *(f"replaces__{cost}" for cost in _COSTS)
    )
    for pk, state, currency, source, month, billed, effective, billed_before, effective_before in rows.iterator():
        if sources[source].measure_in(month) == Source.Measure.EFFECTIVE:
            moved = (effective or ZERO) - (effective_before or ZERO)
        else:
            moved = billed - billed_before
        yield Part((pk,), state, currency, 1, billed), abs(moved)

"""What the open month has come to so far, by what was imported: from the totals that charges keep."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from django.db.models import Max
from django.utils import timezone

from billing.models import BillingPeriod, Charge, Import, ImportTotal, MonthTotal, Source
from billing.models.scopes import Scope
from billing.money import ZERO
from billing.trends import NOT_CHARGED

# Open months looked through, the newest first, for one that has charges of the reader.
LOOKED_THROUGH = 3


@dataclass(frozen=True)
class Delivered:
    """A source that brought some of it, and the day of its newest import of the month."""

    source: str
    on: datetime.date


@dataclass(frozen=True)
class SoFar:
    """A month that still changes, by currency. It is exact: statements round, and add what is shared and corrected."""

    period: BillingPeriod
    charged: Mapping[str, Decimal] = field(default_factory=dict)
    # What waits for review, in none of the sums.
    held: int = 0
    held_amounts: Mapping[str, Decimal] = field(default_factory=dict)
    delivered: tuple[Delivered, ...] = ()


def so_far(scope: Scope, *, after: datetime.date | None = None) -> SoFar | None:
    """Return the newest open month of which the reader has charges, later than another; None without one."""
    months = BillingPeriod.objects.taking_changes().order_by("-month")
    if after:
        months = months.filter(month__gt=after)
    return next((found for month in months[:LOOKED_THROUGH] if (found := of_month(scope, month))), None)


def of_month(scope: Scope, period: BillingPeriod) -> SoFar | None:
    """Return what the reader's charges of a month come to; None where there are none."""
    sources = list(Source.objects.prefetch_related("measure_changes"))
    charged: dict[str, Decimal] = {}
    held_amounts: dict[str, Decimal] = {}
    held, delivering = 0, set()
    totals = MonthTotal.objects.of_month(period).filter(scope.rows())
    for (currency, state, source), sums in totals.priced("currency", "state", "source_id", sources=sources).items():
        if state == Charge.State.HELD:
            held += sums.charges
            held_amounts[currency] = held_amounts.get(currency, ZERO) + sums.charged
        elif state not in NOT_CHARGED:
            charged[currency] = charged.get(currency, ZERO) + sums.charged
        delivering.add(source)
    if not delivering:
        return None
    labels = {source.pk: source.label for source in sources}
    delivered = (
        ImportTotal.objects.filter(
            period=period, imported_in__state=Import.State.APPLIED, rows__gt=0, imported_in__source__in=delivering
        )
        .order_by()
        .values_list("imported_in__source")
        .annotate(last=Max("imported_in__applied_at"))
    )
    days = sorted((labels[source], timezone.localdate(last)) for source, last in delivered)
    return SoFar(
        period,
        dict(sorted(charged.items())),
        held,
        dict(sorted(held_amounts.items())),
        tuple(Delivered(*each) for each in days),
    )

"""What a PI spends: their charges by month, project and source, not rounded, and their shares of shared costs."""

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db.models import Count

from .fields import AmountSum
from .models import BillingPeriod, Charge, PayerLine, Person
from .money import ZERO


@dataclass
class Spending:
    """The charges of one project and source in a month, in one currency. Held charges are counted apart."""

    period: str
    project: str
    source: str
    currency: str
    charges: int = 0
    list_cost: Decimal = ZERO
    discount: Decimal = ZERO
    subsidy: Decimal = ZERO
    billed: Decimal = ZERO
    held: int = 0
    held_billed: Decimal = ZERO
    # Charges that nobody pays, or the center: not in the sums.
    rejected: int = 0
    charged_to_center: int = 0


@dataclass(frozen=True)
class Share:
    """A PI's part of a shared cost, in the cents and currency of the payer line that charges it."""

    period: str
    project: str
    source: str
    name: str
    currency: str
    charged: Decimal


@dataclass
class SpendingOfPI:
    """All that a PI spent, the newest month first."""

    pi: Person
    rows: list[Spending] = field(default_factory=list)
    # As payer lines were last made; no charge of the PI stands for them.
    shares: list[Share] = field(default_factory=list)

    def shared(self) -> dict[str, Decimal]:
        """Return the sum of the shares by currency."""
        sums: dict[str, Decimal] = defaultdict(lambda: ZERO)
        for share in self.shares:
            sums[share.currency] += share.charged
        return dict(sorted(sums.items()))

    def total(self, name: str) -> dict[str, Decimal]:
        """Return a sum over all rows by currency."""
        sums: dict[str, Decimal] = defaultdict(lambda: ZERO)
        for row in self.rows:
            sums[row.currency] += getattr(row, name)
        return dict(sorted(sums.items()))


def of_pi(*, pi: Person, period: BillingPeriod | None = None) -> SpendingOfPI:
    """Return what a PI spent, in one month or in all: list price, provider discount, subsidy and billed.

    Prices are those that statements count (`ChargeQuerySet.with_prices`); a charge without the cost that its source
    is charged by, which keeps the month from being charged, is shown with what it was billed.
    """
    charges = Charge.objects.live().filter(pi=pi)
    if period:
        charges = charges.filter(charged_in=period)
    rows: Any = (
        charges.order_by()
        .with_prices(estimates=True)
        .values("charged_in__month", "project__code", "source__name", "currency", "state")
        .annotate(
            count=Count("*"),
            billed_sum=AmountSum("billed_cost"),
            list_sum=AmountSum("exact_list"),
            contracted_sum=AmountSum("exact_contracted"),
            charged_sum=AmountSum("exact_charged"),
        )
    )
    found: dict[tuple[str, str, str, str], Spending] = {}
    for row in rows:
        key = (f"{row['charged_in__month']:%Y-%m}", row["project__code"] or "", row["source__name"], row["currency"])
        spent = found.setdefault(key, Spending(*key))
        if row["state"] == Charge.State.HELD:
            spent.held += row["count"]
            spent.held_billed += row["billed_sum"]
        elif row["state"] == Charge.State.REJECTED:
            spent.rejected += row["count"]
        elif row["state"] == Charge.State.CHARGED_TO_CENTER:
            spent.charged_to_center += row["count"]
        else:
            spent.charges += row["count"]
            spent.list_cost += row["list_sum"]
            spent.discount += row["list_sum"] - row["contracted_sum"]
            spent.subsidy += row["contracted_sum"] - row["charged_sum"]
            spent.billed += row["charged_sum"]
    newest_first = sorted(found, key=lambda key: (key[1], key[2], key[3]))
    newest_first.sort(key=lambda key: key[0], reverse=True)
    return SpendingOfPI(pi, [found[key] for key in newest_first], _shares(pi, period))


def _shares(pi: Person, period: BillingPeriod | None) -> list[Share]:
    lines = PayerLine.objects.filter(pi=pi, kind=PayerLine.Kind.SHARED)
    if period:
        lines = lines.filter(period=period)
    found = (
        lines.order_by("-period__month", "project__code", "source__name", "service_name")
        .values_list("period__month", "project__code", "source__name", "service_name", "currency")
        .annotate(charged_sum=AmountSum("charged"))
    )
    return [Share(f"{month:%Y-%m}", project or "", *rest) for month, project, *rest in found]

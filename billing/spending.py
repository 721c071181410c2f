"""What a PI spends: their charges by month, project and source, not rounded, and their shares of shared costs."""

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal

from .fields import AmountSum
from .models import BillingPeriod, Charge, MonthTotal, PayerLine, Person
from .money import ZERO
from .texts import iso_month


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
    totals = MonthTotal.objects.filter(pi=pi)
    if period:
        totals = totals.of_month(period)
    found: dict[tuple[str, str, str, str], Spending] = {}
    by = ("charged_in__month", "project__code", "source__name", "currency", "state")
    for (month, project, source, currency, state), sums in totals.priced(*by).items():
        key = (iso_month(month), project or "", source, currency)
        spent = found.setdefault(key, Spending(*key))
        if state == Charge.State.HELD:
            spent.held += sums.charges
            spent.held_billed += sums.billed
        elif state == Charge.State.REJECTED:
            spent.rejected += sums.charges
        elif state == Charge.State.CHARGED_TO_CENTER:
            spent.charged_to_center += sums.charges
        else:
            spent.charges += sums.charges
            spent.list_cost += sums.listed
            spent.discount += sums.listed - sums.contracted
            spent.subsidy += sums.contracted - sums.charged
            spent.billed += sums.charged
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
    return [Share(iso_month(month), project or "", *rest) for month, project, *rest in found]

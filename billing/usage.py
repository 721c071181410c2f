"""What a PI used: their charges by month, project and source before any rounding, and their shares of shared costs."""

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db.models import Case, Count, F, Q, Sum, When
from django.db.models.functions import Coalesce

from .fields import AmountField
from .models import BillingPeriod, Charge, PayerLine, Person, Source
from .money import ZERO

MEASURES = {Source.Measure.BILLED.value: "billed_cost", Source.Measure.EFFECTIVE.value: "effective_cost"}


@dataclass
class Usage:
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
    absorbed: int = 0


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
class UsageOfPI:
    """All that a PI used, the newest month first."""

    pi: Person
    rows: list[Usage] = field(default_factory=list)
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


def of_pi(*, pi: Person, period: BillingPeriod | None = None) -> UsageOfPI:
    """Return what a PI used, in one month or in all: list price, provider discount, subsidy and billed.

    Discount is list − contracted and subsidy contracted − what the source's measure charges. A price
    that is absent, or 0 while money was billed, is no list price and makes no discount, as in charging.
    """
    charges = Charge.objects.live().filter(pi=pi)
    if period:
        charges = charges.filter(charged_in=period)
    sums: dict[str, Any] = {}
    for measure, column in MEASURES.items():
        cost = Coalesce(F(column), F("billed_cost"))
        contracted = Case(
            When(_is_unknown("contracted_cost", column), then=cost),
            default=F("contracted_cost"),
            output_field=AmountField(),
        )
        sums |= {
            f"{measure}_sum": Sum(cost),
            f"{measure}_contracted_sum": Sum(contracted),
            f"{measure}_list_sum": Sum(
                Case(
                    When(_is_unknown("list_cost", column), then=contracted),
                    default=F("list_cost"),
                    output_field=AmountField(),
                )
            ),
        }
    rows: Any = (
        charges.order_by()
        .values("charged_in__month", "period__month", "project__code", "source", "source__name", "currency", "state")
        .annotate(count=Count("*"), billed=Sum("billed_cost"), **sums)
    )
    sources = Source.objects.in_bulk()
    found: dict[tuple[str, str, str, str], Usage] = {}
    for row in rows:
        key = (f"{row['charged_in__month']:%Y-%m}", row["project__code"] or "", row["source__name"], row["currency"])
        usage = found.setdefault(key, Usage(*key))
        if row["state"] == Charge.State.HELD:
            usage.held += row["count"]
            usage.held_billed += row["billed"]
        elif row["state"] == Charge.State.REJECTED:
            usage.rejected += row["count"]
        elif row["state"] == Charge.State.ABSORBED:
            usage.absorbed += row["count"]
        else:
            measure = sources[row["source"]].measure_in(row["period__month"])
            usage.charges += row["count"]
            usage.list_cost += row[f"{measure}_list_sum"]
            usage.discount += row[f"{measure}_list_sum"] - row[f"{measure}_contracted_sum"]
            usage.subsidy += row[f"{measure}_contracted_sum"] - row[f"{measure}_sum"]
            usage.billed += row[f"{measure}_sum"]
    newest_first = sorted(found, key=lambda key: (key[1], key[2], key[3]))
    newest_first.sort(key=lambda key: key[0], reverse=True)
    return UsageOfPI(pi, [found[key] for key in newest_first], _shares(pi, period))


def _shares(pi: Person, period: BillingPeriod | None) -> list[Share]:
    lines = PayerLine.objects.filter(pi=pi, kind=PayerLine.Kind.SHARED)
    if period:
        lines = lines.filter(period=period)
    found = (
        lines.order_by("-period__month", "project__code", "source__name", "service_name")
        .values_list("period__month", "project__code", "source__name", "service_name", "currency")
        .annotate(charged_sum=Sum("charged"))
    )
    return [Share(f"{month:%Y-%m}", project or "", *rest) for month, project, *rest in found]


def _is_unknown(cost: str, measure: str) -> Q:
    return Q(**{f"{cost}__isnull": True}) | (Q(**{cost: 0}) & ~Q(**{measure: 0}))

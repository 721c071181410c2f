"""What the statements of a month come to together, beside the month before."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from billing.fields import AmountSum
from billing.models import BillingPeriod
from billing.money import ZERO

from ..document import Figures, percent
from ..models import StatementQuerySet

SUMMED = (
    *("list_cost", "contracted_cost", "charged"),
    *("corrections_list_cost", "corrections_contracted_cost", "corrections"),
)


@dataclass(frozen=True)
class Due:
    """A month in one currency. Its list price, discount and subsidy are of the month alone."""

    currency: str
    figures: Figures
    corrections: Decimal
    # What the month before came to; None where it has no statement.
    before: Decimal | None = None

    @property
    def charged(self) -> Decimal:
        return self.figures.charged + self.corrections

    @property
    def change(self) -> Decimal:
        return self.charged - (self.before or ZERO)

    @property
    def change_percent(self) -> str:
        """The change as a part of the month before: `3%`; empty where it has none that says something."""
        return percent(abs(self.change), abs(self.before)) if self.before else ""


def due(statements: StatementQuerySet, now: BillingPeriod, before: BillingPeriod | None) -> list[Due]:
    """Return what statements of a month come to, by currency, the one charged most first."""
    of_now = _sums(statements, [now])
    of_before = _sums(statements, [before] if before else [])
    found = [
        Due(
            currency,
            Figures(*sums[:3]).less(Figures(*sums[3:])),
            sums[5],
            of_before[currency][2] if currency in of_before else None,
        )
        for currency, sums in of_now.items()
    ]
    return sorted(found, key=lambda each: (-each.charged, each.currency))


def _sums(statements: StatementQuerySet, months: Iterable[BillingPeriod]) -> dict[str, list[Decimal]]:
    rows = (
        statements.filter(period__in=list(months))
        .order_by()
        .values_list("currency")
        .annotate(*(AmountSum(name) for name in SUMMED))
    )
    return {currency: [amount or ZERO for amount in amounts] for currency, *amounts in rows}

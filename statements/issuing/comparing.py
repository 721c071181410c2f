"""What a run would issue, beside the statements in force. Writes nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from billing import charging
from billing.models import (
    BillingPeriod,
    PayerLine,
)

from ..document import Figures
from .planning import plan


@dataclass(frozen=True)
class Outdated:
    """A statement in force that is not current: what it says is charged, and what a run would say now."""

    statement: int
    number: str
    charged: Decimal
    now: Decimal
    currency: str


@dataclass(frozen=True)
class Pending:
    """How many statements are not current, and what they charge: as the live ones say, and as they would."""

    new: int
    revised: int
    before: Decimal
    after: Decimal

    @property
    def count(self) -> int:
        return self.new + self.revised

    @property
    def difference(self) -> Decimal:
        return self.after - self.before


def changes_of(period: BillingPeriod) -> int:
    """Return how many statements a run would issue now: 0 means that all are current. Writes nothing."""
    return pending(period, charging.compute(period)).count


def pending(period: BillingPeriod, lines: Iterable[PayerLine]) -> Pending:
    """Return what a run would issue of these payer lines beside the statements in force. Writes nothing."""
    changed = [each for each in plan(period, lines) if each.is_new]
    live = [each.live for each in changed if each.live]
    return Pending(
        new=len(changed) - len(live),
        revised=len(live),
        before=sum((each.charged for each in live), Decimal(0)),
        after=Figures.total(each.figures for each in changed).charged,
    )


def outdated(period: BillingPeriod) -> list[Outdated]:
    """Return the statements in force that a run would replace now, by number. Writes nothing.

    Of a finalized period there are none: its statements are final. Raises the errors of `charging.compute`.
    """
    if period.status == BillingPeriod.Status.FINALIZED:
        return []
    found = [
        Outdated(each.live.pk, each.live.number, each.live.charged, each.figures.charged, each.live.currency)
        for each in plan(period, charging.compute(period))
        if each.live and each.is_new
    ]
    return sorted(found, key=lambda each: each.number)

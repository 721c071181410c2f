"""What a run would issue, beside the statements in force. Writes nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from billing import charging
from billing.models import (
    BillingPeriod,
    PayerLine,
)
from billing.months import checklist

from ..document import Figures
from .planning import plan

# Under which name the outdated statements of a month are kept (see `checklist.Kept`).
KEPT_AS = "outdated"


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
    # Those in force that are to be revised, by number.
    outdated: tuple[Outdated, ...]
    before: Decimal
    after: Decimal

    @property
    def revised(self) -> int:
        return len(self.outdated)

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
    outdated = [
        Outdated(each.live.pk, each.live.number, each.live.charged, each.figures.charged, each.live.currency)
        for each in changed
        if each.live
    ]
    return Pending(
        new=len(changed) - len(live),
        outdated=tuple(sorted(outdated, key=lambda each: each.number)),
        before=sum((each.charged for each in live), Decimal(0)),
        after=Figures.total(each.figures for each in changed).charged,
    )


def outdated(period: BillingPeriod) -> list[Outdated]:
    """Return the statements in force that a run would replace now, by number. Writes nothing.

    Of a finalized period there are none: its statements are final. Raises the errors of `charging.compute`.
    """
    if period.status == BillingPeriod.Status.FINALIZED:
        return []
    return list(pending(period, charging.compute(period)).outdated)


def keep_outdated(period: BillingPeriod, known: Pending) -> None:
    """Keep which statements of a month are not current, so that no page works it out again."""
    checklist.Kept(period, KEPT_AS).value(KEPT_AS, lambda: list(known.outdated))


def outdated_kept(period: BillingPeriod, *, instead: list[Outdated] | None = None) -> list[Outdated]:
    """Return what `outdated` does, worked out again only if something was recorded since.

    Of a large month a page shows `instead`, where it has something, until the worker has worked it out.
    """
    kept = checklist.Kept(period, KEPT_AS)
    return kept.value(KEPT_AS, lambda: outdated(period), instead=instead)

"""What other months bear of one already: late changes, carried charges and corrections, by PI and fund/org."""

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import F

from ..fields import WIDE, AmountSum
from ..models import BillingPeriod, Charge, Correction, CorrectionLine, Person, Source
from ..money import ZERO

LATE, CARRIED, CORRECTED, HELD = "Late change", "Carried over", "Correction", "Held for review"
NOBODY = "No PI"
SPLIT = "Split among fund/orgs"


@dataclass(frozen=True)
class Elsewhere:
    """What one month bears of another: whose it is, what pays, why it is there, and over how much."""

    pi: str
    fund_org: str
    period: BillingPeriod
    what: str
    currency: str
    amount: Decimal


def booked_elsewhere(period: BillingPeriod) -> list[Elsewhere]:
    """Return what other months bear of a month, the same PI's together.

    Reopening the month charges none of it again: a later import changes it where it is. Amounts are as priced, each
    rounded by the payer lines of the month that bears it. What was rejected is not among them.
    """
    found: dict[tuple[int | None, str, int, str, str], Decimal] = defaultdict(lambda: ZERO)
    for key, amount in (*_charged(period), *_corrected(period)):
        found[key] = WIDE.add(found[key], amount)
    months = BillingPeriod.objects.in_bulk({key[2] for key in found})
    people = Person.objects.in_bulk({key[0] for key in found if key[0]})
    rows = [
        Elsewhere(people[pi].display_name if pi else NOBODY, fund_org, months[month], what, currency, amount)
        for (pi, fund_org, month, what, currency), amount in found.items()
        if amount
    ]
    return sorted(rows, key=lambda row: (row.pi, row.fund_org, row.period.month, row.what, row.currency))


Key = tuple[int | None, str, int, str, str]


def _charged(period: BillingPeriod) -> list[tuple[Key, Decimal]]:
    sources = Source.objects.prefetch_related("measure_changes")
    rows = (
        Charge.objects.live()
        .filter(period=period)
        .exclude(charged_in=F("period"))
        .exclude(state=Charge.State.REJECTED)
        .with_prices(sources, estimates=True)
        .order_by()
        .values_list("pi", "fund_org", "payer_split", "charged_in", "state", "is_late", "currency")
        .annotate(amount=AmountSum("exact_charged"))
    )
    return [
        (
            (
                *(pi, SPLIT if split and not fund_org else fund_org, month),
                *(HELD if state == Charge.State.HELD else LATE if is_late else CARRIED, currency),
            ),
            amount or ZERO,
        )
        for pi, fund_org, split, month, state, is_late, currency, amount in rows
    ]


def _corrected(period: BillingPeriod) -> list[tuple[Key, Decimal]]:
    rows = (
        CorrectionLine.objects.filter(correction__for_period=period, correction__state=Correction.State.APPROVED)
        .exclude(correction__charged_in=period)
        .order_by()
        .values_list("pi", "fund_org", "correction__charged_in", "correction__currency")
        .annotate(total=AmountSum("amount"))
    )
    return [((pi, fund_org, month, CORRECTED, currency), total) for pi, fund_org, month, currency, total in rows]

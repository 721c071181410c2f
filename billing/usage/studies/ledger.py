"""What was used of a rate in a fiscal year, and what it came to, as the charges stand; and who paid how much for it."""

import datetime
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from django.db.models import Q

from ...charging import paying_split_in
from ...fields import AmountSum
from ...models import PATHS, Charge, FundingSource, PayerSplitShare, Person, PricedMonth, Project, UsageFeed
from ...money import EXACT, ZERO
from ...quantity_sums import QuantitySum, used_quantity
from ..focus_rows import DESCRIBED, PAID_BY
from ..paying import Terms as PayerTerms
from ..pricing.lines import FREE_AMOUNT, NO_CHARGE
from ..pricing.terms import ClassKind
from ..terms import rates_of, standing_months, waits
from .equation import Paid, Use

# What is free and was of use. What else is free, such as failed jobs, gave nothing of value.
OF_VALUE = (FREE_AMOUNT, NO_CHARGE, "internal")
HUNDRED = Decimal(100)


def months_of(feed: UsageFeed, first: datetime.date, last: datetime.date) -> list[PricedMonth]:
    """Return the months of a feed that were priced, as they stand, in order.

    Of a month whose last pricing waits as a late change, what was used is not what is charged: it is left out.
    """
    found = [each for each in standing_months(feed) if first <= each.period.month <= last and not waits(each)]
    return sorted(found, key=lambda each: each.period.month)


def use_of(feed: UsageFeed, rate: str, months: Iterable[PricedMonth]) -> Iterator[Use]:
    """Yield the use of a rate in each month, and what it came to."""
    for priced in months:
        units: Mapping[str, Any] = next((each for each in priced.units if each["rate"] == rate), {})
        free = {reason: Decimal(quantity) for reason, quantity in units.get("free", {}).items()}
        listed, billed = _came_to(feed, rate, priced)
        yield Use(
            month=priced.period.month,
            delivered=Decimal(units.get("delivered", 0)),
            charged=Decimal(units.get("charged", 0)),
            free=sum(free.values(), ZERO),
            held=Decimal(units.get("held", 0)),
            worthless=sum((quantity for reason, quantity in free.items() if reason not in OF_VALUE), ZERO),
            listed=listed,
            billed=billed,
        )


def _of_rate(feed: UsageFeed, rate: str, priced: PricedMonth) -> Any:
    """Return the charges of a rate in a month, but those that somebody rejected: they are no use that counts."""
    charges = Charge.objects.filter(source=feed.source, period=priced.period, **{PATHS["sku_id"]: rate})
    return charges.standing().exclude(state=Charge.State.REJECTED).order_by()


def _came_to(feed: UsageFeed, rate: str, priced: PricedMonth) -> tuple[Decimal, Decimal]:
    """Return what the use of a month came to at list price, and as charged.

    What external users pay on top (surcharge, indirect cost) is above the list price, and recovers no cost of others.
    """
    # A part that a further fund pays is of the list price of its use.
    of_list = Q(**{PATHS["charge_category"]: Charge.Category.USAGE})
    for kind in ("minimum", PAID_BY):
        of_list |= Q(**{f"{PATHS['charge_description']}__endswith": f", {DESCRIBED[kind]}"})
    sums = (
        _of_rate(feed, rate, priced)
        .filter(of_list)
        .aggregate(listed=AmountSum("list_cost"), billed=AmountSum("billed_cost"))
    )
    return sums["listed"] or ZERO, sums["billed"] or ZERO


class _Bearer(NamedTuple):
    pi: str
    project: str
    fund_org: str
    split_id: int | None


def paid_by(feed: UsageFeed, rate: str, months: Iterable[PricedMonth]) -> tuple[Paid, Paid]:
    """Return what sponsored awards paid for a rate, and what other internal users did, after all reductions.

    Affiliates and external users are left out: they may pay more. So is what the center pays, and use without value.
    """
    sponsored = set(FundingSource.objects.filter(is_sponsored=True).values_list("fund_org", flat=True))
    shares: dict[int, dict[str, Decimal]] = defaultdict(dict)
    for share in PayerSplitShare.objects.order_by():
        shares[share.split_id][share.fund_org] = share.percent
    customers = {
        *Person.objects.filter(customer__isnull=False).values_list("email", flat=True),
        *Project.objects.filter(customer__isnull=False).values_list("code", flat=True),
    }
    sums = {True: [ZERO, ZERO], False: [ZERO, ZERO]}
    for priced in months:
        terms = PayerTerms(priced.period.month)
        kinds = {each.name: each.kind for each in rates_of(priced.schedule).classes}
        for bearer, units, charged in _borne(feed, rate, priced):
            rate_class = terms.payer(bearer.pi, bearer.project, {}).rate_class
            is_internal = kinds.get(rate_class, ClassKind.INTERNAL) is ClassKind.INTERNAL
            if not is_internal or customers & {bearer.pi, bearer.project}:
                continue
            parts = shares[bearer.split_id] if bearer.split_id else {bearer.fund_org: HUNDRED}
            for fund_org, percent in parts.items():
                of = sums[fund_org in sponsored]
                part = EXACT.divide(percent, HUNDRED)
                of[0] += EXACT.multiply(units, part)
                of[1] += EXACT.multiply(charged, part)
    return Paid(*sums[True]), Paid(*sums[False])


def _borne(feed: UsageFeed, rate: str, priced: PricedMonth) -> Iterator[tuple[_Bearer, Decimal, Decimal]]:
    """Yield the units of each payer in a month, and what was charged for them."""
    rows = (
        _of_rate(feed, rate, priced)
        .filter(state__in=Charge.CHARGED_TO_OWNER, shared_as="", list_cost__gt=0)
        .values_list("pi__email", "project__code", "fund_org", paying_split_in(priced.period))
        .annotate(units=QuantitySum(used_quantity()), charged=AmountSum("billed_cost"))
    )
    for pi, project, fund_org, split_id, units, charged in rows:
        yield _Bearer(pi or "", project or "", fund_org, split_id), Decimal(units or 0), charged or ZERO

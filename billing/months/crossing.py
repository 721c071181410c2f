"""Which month bears what is held, and why that needs a reason: a fiscal year-end, or an award's end, is crossed."""

import datetime
from collections.abc import Iterable, Iterator

from django.db.models import Q, QuerySet

from ..fiscal_years import label_of
from ..models import BillingPeriod, Charge, FundingSource, PayerSplitShare, Policy
from ..models.charges import ChargeQuerySet
from ..models.periods import last_day_of
from ..models.questions import held_for_questions_only
from ..texts import long_date, long_month


def month_after(period: BillingPeriod) -> datetime.date:
    """Return the month that held charges of a period are carried to: the next that is open, or is still to open."""
    later = BillingPeriod.objects.shown().filter(month__gt=period.month)
    if following := later.filter(status=BillingPeriod.Status.OPEN).order_by("month").first():
        return following.month
    last = later.order_by("-month").first() or period
    return last.next_month


def held_to_carry(period: BillingPeriod) -> ChargeQuerySet:
    """Keep the held charges of a month but those that only a question holds: they post when the month closes."""
    posts = held_for_questions_only(Charge.objects.in_month(period)).values("pk")
    return Charge.objects.in_month(period).held().exclude(pk__in=posts)


def reason_needed(period: BillingPeriod, month: datetime.date) -> list[str]:
    """Say for what a reason is needed to have a later month bear what is held; nothing for an ordinary month-end."""
    return [*_over_year_end(period, month), *_over_award_end(period, month)]


def _over_year_end(period: BillingPeriod, month: datetime.date) -> Iterator[str]:
    policy = Policy.objects.current()
    year, later = policy.fiscal_year_of(period.month), policy.fiscal_year_of(month)
    if year != later:
        yield (
            f"{long_month(period.month)} is in {label_of(year)}, and {long_month(month)}, which would charge it, is in "
            f"{label_of(later)}."
        )


def _over_award_end(period: BillingPeriod, month: datetime.date) -> Iterator[str]:
    """Yield the sponsored awards of held charges that end, or take no more postings, before the other month is over."""
    for fund in _awards_of(held_to_carry(period).order_by()):
        day = fund.last_posting_date or fund.valid_until
        if day is not None and period.month <= day < last_day_of(month):
            what = "takes postings until" if fund.last_posting_date else "is valid until"
            yield f"{fund} is a sponsored award that {what} {long_date(day)}."


def _awards_of(charges: "QuerySet[Charge]") -> Iterable[FundingSource]:
    shares = PayerSplitShare.objects.filter(split__in=charges.filter(payer_split__isnull=False).values("payer_split"))
    paying = Q(fund_org__in=charges.values("fund_org")) | Q(fund_org__in=shares.order_by().values("fund_org"))
    return FundingSource.objects.filter(paying, is_sponsored=True).order_by("fund_org")

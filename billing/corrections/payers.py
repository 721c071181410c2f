"""Who can be charged what is moved, or charged by hand."""

import datetime
from collections.abc import Iterable
from decimal import Decimal

from django.utils import timezone

from .. import review
from ..attribution import naming, reference_of
from ..attribution.checks import Attributed, check_attribution
from ..errors import BillingError
from ..models import FundingSource, Policy, Project
from ..texts import long_date, long_dates

HUNDRED = Decimal(100)
# What keeps a fund from paying; the other reasons of a review are questions to people.
ABOUT_FUNDS = frozenset({"invalid_fund_org", "unknown_fund_org", "fund_not_valid"})


class FundRefused(BillingError):
    """A fund/org cannot be charged the cost."""


class JustificationMissing(BillingError):
    """A sponsored award is to pay long after the service, and nobody says why."""


def shares_from(text: str) -> dict[str, Decimal]:
    """Return who a transfer goes to, written as one fund/org or as `A=60; B=40`; raise review.BadSplit."""
    if "=" in text:
        return review.parse_shares(text)
    fund_org = naming.typed_code(text)
    return {fund_org: HUNDRED} if fund_org else {}


def project_coded(code: str) -> Project | None:
    """Return the project of a code, None for no code; raise FundRefused where there is none of it."""
    if not naming.typed_code(code):
        return None
    if project := Project.objects.coded(code).first():
        return project
    raise FundRefused(" ".join(str(each) for each in naming.unknown(project=code)))


def require_fund(
    fund_org: str, *, days: tuple[datetime.date, datetime.date], posted: datetime.date, policy: Policy
) -> None:
    """Raise FundRefused for a fund/org that cannot pay for a service of these days, posted on that day."""
    first, last = days
    reasons = check_attribution(
        Attributed(pi_email="-", project_code="-", fund_org=fund_org),
        reference=reference_of(policy),
        service_start=first,
        service_end=last,
        posted=posted,
    )
    for code, detail in reasons:
        if code == "fund_not_valid":
            raise FundRefused(f"{detail}, and the dates of service are {long_dates(first, last)}.")
        if code == "fund_closed":
            raise FundRefused(f"{detail}: choose another fund/org, or have finance record an exception.")
        if code == "unknown_fund_org":
            raise FundRefused(f"{detail} is not on the list of funds. Choose one that is, or load the list anew.")
        if code in ABOUT_FUNDS:
            raise FundRefused(f"{detail} has none of the forms of a fund/org in the policy.")


def require_justification(
    funds: Iterable[str], *, last_day: datetime.date, now: datetime.datetime, policy: Policy
) -> None:
    """Raise JustificationMissing where a sponsored award among these pays so late that it has to be said why."""
    late = (timezone.localdate(now) - last_day).days
    if late <= policy.transfer_justification_days:
        return
    sponsored = FundingSource.objects.filter(fund_org__in=set(funds), is_sponsored=True)
    if names := sorted(sponsored.values_list("fund_org", flat=True)):
        raise JustificationMissing(
            f"{', '.join(names)} is a sponsored award, and the service ended on {long_date(last_day)}, "
            f"{late} days ago. After more than {policy.transfer_justification_days} days it needs a justification."
        )

"""What a question may say and propose: how long, to which funds, and what moves of sponsored awards need."""

import datetime
import re
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal

from ..attribution import reference_of
from ..attribution.checks import Attributed, check_attribution
from ..errors import BillingError
from ..models import FundingSource, PayerLine, Person, Policy, Project
from ..models.periods import last_day_of
from ..texts import cleaned_lines

HUNDRED = Decimal(100)
# Characters of a message.
LONGEST = 2_000
# What keeps a fund/org from being proposed.
ABOUT_FUNDS = frozenset({"invalid_fund_org", "unknown_fund_org", "fund_not_valid", "fund_closed"})

# Words that say no more than that a fund has no money left.
_MONEY = r"(?:money|funds?|funding|budget|balance)"
_SHORT_OF_MONEY = re.compile(
    rf"\b(?:no|out\s+of|without|lacks?|not\s+enough|insufficient)\s+(?:more\s+|any\s+|sufficient\s+)?{_MONEY}\b"
    rf"|\b(?:{_MONEY}|award|grant|account)\s+(?:is|are|was|were|has\s+been|have\s+been)\s+(?:now\s+|all\s+|nearly\s+)?"
    r"(?:gone|exhausted|spent|used\s+up|overspent|empty|depleted|short|overdrawn)\b"
    r"|\boverspen[dt]\b|\bover\s+budget\b|\boverdrawn\b",
    re.IGNORECASE,
)


class QuestionRefused(BillingError):
    """A question or message that cannot be taken as it is written."""


class ProposalRefused(QuestionRefused):
    """A proposal of another payer that cannot be taken."""


def message_text(text: str) -> str:
    """Return a message cleaned; raise QuestionRefused for one that says nothing or too much."""
    text = cleaned_lines(text).strip()
    if not text:
        raise QuestionRefused("Write what it is about.")
    if len(text) > LONGEST:
        raise QuestionRefused(f"A message has at most {LONGEST:,} characters; this one has {len(text):,}.")
    return text


def funds_for(
    *, pi: Person, project: Project | None, first: datetime.date, last: datetime.date, besides: Collection[str] = ()
) -> list[FundingSource]:
    """Return the funds of the list that a PI may propose for a project and these days, but for those `besides`.

    They are the project's own where the project is the PI's. Of a project of somebody else they are those that the
    PI pays it from already: a PI never chooses another PI's fund/org.
    """
    paid_with = PayerLine.objects.filter(pi=pi, project=project, kind__in=PayerLine.CHARGED).order_by()
    known = set(paid_with.values_list("fund_org", flat=True).distinct())
    found = FundingSource.objects.filter(fund_org__in=known)
    if project and project.pi_id in (None, pi.pk):
        own = FundingSource.objects.filter(projects=project)
        found = (found | own | FundingSource.objects.filter(fund_org=project.default_fund_org)).distinct()
    policy = Policy.objects.current()
    return [
        fund
        for fund in found.order_by("fund_org")
        if fund.fund_org not in besides and not _why_not(fund.fund_org, first, last, policy)
    ]


def _why_not(fund_org: str, first: datetime.date, last: datetime.date, policy: Policy) -> bool:
    reasons = check_attribution(
        Attributed(pi_email="-", project_code="-", fund_org=fund_org),
        reference=reference_of(policy),
        service_start=first,
        service_end=last,
        posted=last_day_of(last),
    )
    return any(reason.code in ABOUT_FUNDS for reason in reasons)


def proposed_shares(
    shares: Mapping[str, Decimal], *, allowed: Iterable[FundingSource], now_paid_by: Mapping[str, Decimal]
) -> dict[str, Decimal]:
    """Return a proposal checked: of the funds allowed, whole, and not what is there already. Raises ProposalRefused."""
    known = {fund.fund_org for fund in allowed}
    if other := sorted(set(shares) - known):
        raise ProposalRefused(f"{', '.join(other)} is not among the valid funds of this project.")
    if sum(shares.values()) != HUNDRED or any(percent <= 0 for percent in shares.values()):
        raise ProposalRefused("The percentages of a split are above 0 and make 100 together.")
    if dict(shares) == dict(now_paid_by):
        raise ProposalRefused("This is who pays already.")
    return dict(sorted(shares.items()))


def moves_sponsored(fund_orgs: Iterable[str]) -> bool:
    """Tell whether any of these is a sponsored award."""
    return FundingSource.objects.filter(fund_org__in=set(fund_orgs), is_sponsored=True).exists()


def require_grounds(*, text: str, basis: str, is_split: bool) -> None:
    """Refuse a move to or from a sponsored award for want of money, or a split without its basis.

    A cost goes where its benefit is: it may not be moved to another award to overcome a deficiency of funds
    (2 CFR 200.405(c)), and it is shared by the proportion of the benefit (2 CFR 200.405(d)). Raises ProposalRefused.
    """
    if _SHORT_OF_MONEY.search(f"{text}\n{basis}"):
        raise ProposalRefused(
            "That a fund has no money left is no reason to move a cost to or from a sponsored award (2 CFR 200.405). "
            "Say what the cost was used for, and which work it benefits."
        )
    if is_split and not basis:
        raise ProposalRefused("A split with a sponsored award needs its basis: say what the percentages follow from.")

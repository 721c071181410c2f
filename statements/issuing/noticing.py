"""What a statement tells its reader to mind: what ends soon, and what the institution has to say."""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from billing.models import Policy, Project
from billing.texts import long_date

# An end is told of from so many days before it, on each statement until it is there.
DAYS = 90
# What is this near is urgent.
URGENT_DAYS = 30


def notices(
    *,
    project: Project | None,
    fund_orgs: Sequence[str],
    fund_ends: Mapping[str, datetime.date],
    policy: Policy,
    on: datetime.date,
) -> list[dict[str, Any]]:
    """Return notices as a statement keeps them, those with an end first and the nearest end before the others."""
    found: list[tuple[datetime.date, str]] = []
    if project and (end := project.end_date) and is_near(end, on):
        found.append((end, f"This project {ends(end, on)}. Charges for service after that day are held for review."))
    if project and (end := project.reconciliation_end_date) and is_near(end, on):
        found.append((end, f"The reconciliation of this project {ends(end, on)}. Please ask before then."))
    for fund_org in fund_orgs:
        if (end := fund_ends.get(fund_org)) and is_near(end, on):
            found.append((end, f"Fund/org {fund_org} {ends(end, on)}. Tell us which fund/org pays after that day."))
    told = [
        {"text": text, "is_urgent": (end - on).days <= URGENT_DAYS} for end, text in sorted(found, key=lambda e: e[0])
    ]
    return told + [{"text": line} for line in standing(policy)]


def balances(texts: Iterable[str]) -> list[dict[str, Any]]:
    """Return what a statement says of prepaid balances, as it keeps notices."""
    return [{"text": text} for text in texts]


def standing(policy: Policy) -> list[str]:
    """Return what the institution has to say on every statement."""
    return [line.strip() for line in policy.statement_notices.splitlines() if line.strip()]


def is_near(end: datetime.date, on: datetime.date) -> bool:
    """Tell whether an end is spoken of: it is not past, and at most DAYS away."""
    return 0 <= (end - on).days <= DAYS


def ends(end: datetime.date, on: datetime.date) -> str:
    """Say when something ends: `ends in 60 days, on May 5, 2026`."""
    days = (end - on).days
    when = {0: "today", 1: "tomorrow"}.get(days, f"in {days} days")
    return f"ends {when}, on {long_date(end)}"

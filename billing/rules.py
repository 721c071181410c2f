"""The checks of who pays: an attribution and what is known, in; reasons for a human to look, out."""

import re
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import NamedTuple


class Attributed(NamedTuple):
    """Who pays for a charge, as far as it is known. An empty text is unknown, a missing date means no end."""

    pi_email: str = ""
    pi_active_until: date | None = None
    project_code: str = ""
    project_end_date: date | None = None
    fund_org: str = ""
    has_split: bool = False
    # Paid by everybody whom its source charged: there is nobody to look for.
    is_shared: bool = False


class Reference(NamedTuple):
    """What an attribution is held against.

    `fund_org_patterns` are regular expressions, one of which a fund/org has to match as a whole; none
    means that any form is accepted. `funds` maps each fund/org of the institution's list to the first
    and last day of service it may bear; None means that no list is kept, and nothing is unknown.
    """

    fund_org_patterns: tuple[str, ...] = ()
    funds: Mapping[str, tuple[date | None, date | None]] | None = None


class Reason(NamedTuple):
    """Why a human should look: a Flag's code, and the particulars."""

    code: str
    detail: str = ""


def check_attribution(
    attribution: Attributed, *, reference: Reference, service_start: date, service_end: date
) -> list[Reason]:
    """Return every reason to look at an attribution, in a fixed order; none for one that is in order.

    `service_start` and `service_end` are the first and the last day of service: funds, PIs and
    projects have to be valid on all of them, whatever day the check is run.
    """
    found: list[Reason] = []
    if attribution.is_shared:
        return found
    if not attribution.pi_email:
        found.append(Reason("missing_pi"))
    if not attribution.fund_org and not attribution.has_split:
        found.append(Reason("missing_fund_org"))
    if not attribution.project_code:
        found.append(Reason("missing_project"))
    if fund_org := attribution.fund_org:
        if reference.fund_org_patterns and not _has_known_form(reference.fund_org_patterns, fund_org):
            found.append(Reason("invalid_fund_org", fund_org))
        if reference.funds is not None:
            if fund_org not in reference.funds:
                found.append(Reason("unknown_fund_org", fund_org))
            else:
                first, last = reference.funds[fund_org]
                if (first and service_start < first) or (last and service_end > last):
                    found.append(Reason("fund_not_valid", f"{fund_org} is valid {_span(first, last)}"))
    if attribution.pi_active_until and service_end > attribution.pi_active_until:
        found.append(Reason("pi_inactive", f"{attribution.pi_email} until {attribution.pi_active_until}"))
    if attribution.project_end_date and service_end > attribution.project_end_date:
        found.append(Reason("project_ended", f"{attribution.project_code} on {attribution.project_end_date}"))
    return found


def _span(first: date | None, last: date | None) -> str:
    return " ".join(text for text in (f"from {first}" if first else "", f"until {last}" if last else "") if text)


# A delivery names the same few funds over and over: each is tried once.
@lru_cache(maxsize=65_536)
def _has_known_form(patterns: tuple[str, ...], fund_org: str) -> bool:
    return any(pattern.fullmatch(fund_org) for pattern in _compiled(patterns))


@lru_cache(maxsize=64)
def _compiled(patterns: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern) for pattern in patterns)

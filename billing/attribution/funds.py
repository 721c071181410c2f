"""What funds are held against: the policy's patterns, and the institution's list with its exceptions."""

import datetime

from ..models import FundException, FundingSource, Policy
from ..texts import code_of
from .checks import Reference


def reference_of(policy: Policy) -> Reference:
    """Return what funds are checked against: the policy's patterns, and the list of funds where there is one.

    The dates of a fund are those of the list, moved outward by the exceptions in force.
    """
    funds: dict[str, tuple[datetime.date | None, datetime.date | None]] = {}
    last_postings: dict[str, datetime.date] = {}
    exceptions = FundException.in_force_by_fund()
    listed = FundingSource.objects.values_list("pk", "fund_org", "valid_from", "valid_until", "last_posting_date")
    for pk, fund_org, first, last, last_posting in listed:
        for each in exceptions.get(pk, ()):
            first = min(first, each.valid_from) if first and each.valid_from else first
            last = max(last, each.valid_until) if last and each.valid_until else last
            if last_posting and each.last_posting_date:
                last_posting = max(last_posting, each.last_posting_date)
        # As charges name it; a list loaded before codes were cleaned may have it otherwise.
        fund_org = code_of(fund_org)
        funds[fund_org] = (first, last)
        if last_posting:
            last_postings[fund_org] = last_posting
    return Reference(
        fund_org_patterns=tuple(policy.fund_org_patterns), funds=funds or None, last_postings=last_postings
    )

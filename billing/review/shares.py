"""Splits: shares of fund/orgs in percent, as people write them and as they are stored."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation

from ..attribution import naming
from ..errors import BillingError
from ..models import PayerSplitShare
from .batches import batches

HUNDRED = Decimal(100)
# The longest fund/org, as Charge has it.
FUND_ORG_LENGTH = 64


class BadSplit(BillingError):
    """Shares that are not a split: they must be above 0, of different fund/orgs, and sum to 100 percent."""


def parse_shares(text: str) -> dict[str, Decimal]:
    """Return the shares written `A=60; B=40`, checked to sum to 100; raise BadSplit."""
    shares: list[tuple[str, Decimal]] = []
    for part in re.split(r"[;,\n]", text):
        if not part.strip():
            continue
        fund_org, _, percent = part.rpartition("=")
        try:
            shares.append((fund_org.strip(), Decimal(percent.strip().removesuffix("%").strip())))
        except InvalidOperation:
            raise BadSplit(f"“{part.strip()}” is no share. Write fund/orgs with their percent: A=60; B=40.") from None
    return checked_shares(shares)


def checked_shares(shares: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    """Return shares by fund/org; raise BadSplit unless they are a split."""
    found: dict[str, Decimal] = {}
    for fund_org, percent in shares:
        fund_org = naming.typed_code(fund_org)
        if not fund_org or len(fund_org) > FUND_ORG_LENGTH:
            raise BadSplit(f"A share names its fund/org, of at most {FUND_ORG_LENGTH} characters: A=60; B=40.")
        if fund_org in found:
            raise BadSplit(f"{fund_org} has two shares: add them up.")
        if not percent.is_finite() or not 0 < percent <= HUNDRED:
            raise BadSplit(f"The share of {fund_org} is {percent} percent: it must be above 0 and at most 100.")
        if -int(percent.normalize().as_tuple().exponent) > 6:
            raise BadSplit(f"The share of {fund_org} has more than 6 decimals.")
        found[fund_org] = percent
    if (whole := sum(found.values(), Decimal(0))) != HUNDRED:
        raise BadSplit(f"The shares sum to {whole.normalize():f} percent, not to 100.")
    return found


def shares_text(shares: Mapping[str, Decimal]) -> str:
    """Write shares as `A=60; B=40`, by fund/org in the order of code points."""
    return "; ".join(f"{fund_org}={shares[fund_org].normalize():f}" for fund_org in sorted(shares))


def shares_of(split_ids: Iterable[int]) -> dict[int, dict[str, Decimal]]:
    """Return the shares of splits by their ids."""
    found: dict[int, dict[str, Decimal]] = defaultdict(dict)
    for batch in batches(sorted(set(split_ids))):
        for share in PayerSplitShare.objects.filter(split__in=batch):
            found[share.split_id][share.fund_org] = share.percent
    return found

"""The shares of a split as people type them: a fund/org and its percent on each line."""

import re
from decimal import Decimal, InvalidOperation

from django.core.exceptions import ValidationError

from ..models import PayerSplitShare
from ..models.typed import require_said
from ..texts import code_of

HUNDRED = Decimal(100)
SHARE = re.compile(r"(?P<fund_org>\S.*?)[\s:=]+(?P<percent>[0-9]+(?:\.[0-9]+)?)\s*%?")


def shares_in(text: str) -> dict[str, Decimal]:
    """Return the percent of each fund/org; raise ValidationError with what is wrong."""
    shares: dict[str, Decimal] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        if not (match := SHARE.fullmatch(line.strip())):
            raise ValidationError(f"“{line.strip()}” is not a fund/org and a percent, such as BIO-001 60.")
        fund_org = code_of(match["fund_org"])
        require_said(fund_org)
        try:
            percent = Decimal(match["percent"])
        except InvalidOperation as error:
            raise ValidationError(f"“{match['percent']}” is not a percent.") from error
        if fund_org in shares:
            raise ValidationError(f"{fund_org} stands there twice.")
        PayerSplitShare(fund_org=fund_org, percent=percent).clean_fields(exclude={"split"})
        if not percent:
            raise ValidationError(f"The share of {fund_org} is 0: leave it out.")
        shares[fund_org] = percent
    if (total := sum(shares.values(), Decimal(0))) != HUNDRED:
        raise ValidationError(f"The shares sum to {total.normalize():f} percent, not to 100.")
    return shares

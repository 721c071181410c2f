"""Who pays the subsidy of a row: FOCUS has no column for it, and what prices usage puts it into one of its own."""

from .cells import free_id_of
from .values import BadValue

SUBSIDY_FUND_ORG = "x_SubsidyFundOrg"
# In that column: nobody pays it, whatever the source says.
FORGONE = "forgone"
# As long as fund/orgs are kept.
MAX_FUND_ORG = 64


def funder_of(text: str) -> str:
    """Return the fund/org that pays a row's subsidy, FORGONE, or "" where the source says who does.

    Raises BadValue for what is too long, or what a spreadsheet made of a code.
    """
    bare = free_id_of(text)
    if len(bare) > MAX_FUND_ORG:
        raise BadValue(f"The fund/org has {len(bare):,} characters; {MAX_FUND_ORG} is the limit.")
    return FORGONE if bare.casefold() == FORGONE else bare


def payer_of(named: str, *, by_source: str) -> str:
    """Return the fund/org that pays the subsidy of a row that names `named`; "" where it is forgone."""
    return "" if named == FORGONE else named or by_source

"""The checks of who pays: an attribution and what is known, in; reasons for a human to look, out."""

from collections.abc import Iterator, Mapping
from datetime import date
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from ..patterns import fits_one
from ..readers.subsidies import FORGONE
from ..texts import code_of, long_date, long_span, odd_characters, other_characters

NO_DATES: Mapping[str, date] = MappingProxyType({})


# After the day of an end that the tags of a charge name, and not its project.
BY_TAG = ", by its tag"


class Invoiced(NamedTuple):
    """A customer who pays by invoice, and the first and last day of service that it may be for."""

    name: str
    active_from: date | None = None
    active_until: date | None = None


class Attributed(NamedTuple):
    """Who pays for a charge, as far as it is known. An empty text is unknown, a missing date means no end."""

    pi_email: str = ""
    pi_active_until: date | None = None
    project_code: str = ""
    project_end_date: date | None = None
    # By the row's own tag; counts where the project has no end date of its own.
    tagged_end_date: date | None = None
    fund_org: str = ""
    has_split: bool = False
    # Paid by everybody whom its source charged: there is nobody to look for.
    is_shared: bool = False
    # Nobody knows the PI: not of an own domain, not on the list of people, not confirmed.
    is_unknown_pi: bool = False
    # Where charges of the source without a fund/org go. It says nothing about the PI.
    default_fund_org: str = ""
    # Pays by invoice: no fund/org is asked for, and none is looked at.
    customer: Invoiced | None = None


class Reference(NamedTuple):
    """What an attribution is held against.

    `fund_org_patterns` are regular expressions, one of which a fund/org has to match as a whole; none
    means that any form is accepted. `funds` maps each fund/org of the institution's list to the first
    and last day of service it may bear; None means that no list is kept, and nothing is unknown.
    `last_postings` has the last day on which something is posted to a fund/org, where there is one.
    """

    fund_org_patterns: tuple[str, ...] = ()
    funds: Mapping[str, tuple[date | None, date | None]] | None = None
    last_postings: Mapping[str, date] = NO_DATES


class Reason(NamedTuple):
    """Why a human should look: a Flag's code, and the particulars."""

    code: str
    detail: str = ""


def check_attribution(
    attribution: Attributed,
    *,
    reference: Reference,
    service_start: date,
    service_end: date,
    posted: date | None = None,
) -> list[Reason]:
    """Return every reason to look at an attribution, in a fixed order; none for one that is in order.

    `service_start` and `service_end` are the first and the last day of service: funds, PIs and
    projects have to be valid on all of them, whatever day the check is run. `posted` is the day on which the
    charge reaches the ledger; None leaves out what depends on it.
    """
    if attribution.is_shared:
        return []
    if attribution.customer:
        attribution = attribution._replace(fund_org="")
    of_fund = _check_list(attribution.fund_org, reference, service_start, service_end, posted)
    found = [*_missing(attribution), *_check_form(attribution.fund_org, reference), *of_fund]
    if attribution.is_unknown_pi and not _vouches(attribution, reference, of_fund):
        found.append(Reason("unknown_pi", attribution.pi_email))
    return [*found, *_ended(attribution, service_start, service_end)]


def check_subsidy(
    fund_org: str,
    *,
    reference: Reference,
    service_start: date,
    service_end: date,
    posted: date | None = None,
) -> list[Reason]:
    """Return every reason to look at the fund/org that a row names for its subsidy, as of one that pays a charge."""
    if not fund_org or fund_org == FORGONE:
        return []
    of_list = _check_list(fund_org, reference, service_start, service_end, posted)
    found = [*_check_form(fund_org, reference), *of_list]
    return [reason._replace(detail=f"Subsidy: {reason.detail}") for reason in found]


def _missing(attribution: Attributed) -> Iterator[Reason]:
    """Yield what nobody named."""
    if not attribution.pi_email:
        yield Reason("missing_pi")
    if not (attribution.fund_org or attribution.has_split or attribution.customer):
        yield Reason("missing_fund_org")
    if not attribution.project_code:
        yield Reason("missing_project")


def _ended(attribution: Attributed, service_start: date, service_end: date) -> Iterator[Reason]:
    """Yield whether the PI or the project had ended by the last day of service, or the customer is not active."""
    if attribution.pi_active_until and service_end > attribution.pi_active_until:
        yield Reason("pi_inactive", f"{attribution.pi_email} until {long_date(attribution.pi_active_until)}")
    ended = attribution.project_end_date or attribution.tagged_end_date
    if ended and service_end > ended:
        by_tag = "" if attribution.project_end_date else BY_TAG
        yield Reason("project_ended", f"{attribution.project_code} on {long_date(ended)}{by_tag}".strip())
    if customer := attribution.customer:
        first, last = customer.active_from, customer.active_until
        if (first and service_start < first) or (last and service_end > last):
            yield Reason("customer_inactive", f"{customer.name} is active {long_span(first, last)}")


def _check_form(fund_org: str, reference: Reference) -> Iterator[Reason]:
    """Yield whether a fund/org has a form that the policy does not know, or odd characters where it names no form."""
    if not fund_org:
        return
    if reference.fund_org_patterns:
        if not _has_known_form(reference.fund_org_patterns, fund_org):
            yield Reason("invalid_fund_org", _named(fund_org, other_characters(fund_org)))
    elif odd := odd_characters(fund_org):
        yield Reason("invalid_fund_org", _named(fund_org, odd))


def _check_list(
    fund_org: str, reference: Reference, service_start: date, service_end: date, posted: date | None
) -> list[Reason]:
    """Return what the list of funds has against a fund/org."""
    if not fund_org or reference.funds is None:
        return []
    code = code_of(fund_org)
    if code not in reference.funds:
        return [Reason("unknown_fund_org", _named(fund_org, odd_characters(fund_org)))]
    found = []
    first, last = reference.funds[code]
    if (first and service_start < first) or (last and service_end > last):
        found.append(Reason("fund_not_valid", f"{fund_org} is valid {long_span(first, last)}"))
    last_posting = reference.last_postings.get(code)
    if posted and last_posting and posted > last_posting:
        found.append(Reason("fund_closed", f"{fund_org} takes no postings after {long_date(last_posting)}"))
    return found


def _named(fund_org: str, odd: str) -> str:
    return f"{fund_org}: {odd}" if odd else fund_org


def _vouches(attribution: Attributed, reference: Reference, of_fund: list[Reason]) -> bool:
    """Tell whether the fund/org answers for a PI nobody knows: it is on the list, and valid for the dates."""
    return bool(
        reference.funds is not None
        and attribution.fund_org
        and not attribution.has_split
        and attribution.fund_org != attribution.default_fund_org
        and not of_fund
    )


# An import names the same few funds over and over: each is tried once.
@lru_cache(maxsize=65_536)
def _has_known_form(patterns: tuple[str, ...], fund_org: str) -> bool:
    return fits_one(patterns, fund_org)

"""Other patterns or segments of fund/orgs against a month: each fund/org is tried once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache

from django.db.models import Q

from ...attribution.checks import Attributed, Reference, check_attribution
from ...models import BillingPeriod, Charge, Flag, MonthTotal, Policy
from ...patterns import compiled, fits_one
from ...review.shares import shares_of
from .effects import SHOWN, Effect, Fitting, Line, Part, Segments, Tally, examples_of, held_only_for, parts_of

# Charges by split and fund/org, with all the fund/orgs that pay for them.
Paid = tuple[Part, tuple[str, ...]]


def paid_in(period: BillingPeriod) -> list[Paid]:
    """Return the charges of a month by who pays for them."""
    return list(_with_payers(_parts_of_month(period)))


def effect(*, present: Policy, changed: Policy, period: BillingPeriod, paid: Sequence[Paid]) -> Effect:
    """Return what other patterns of fund/orgs do to a month. A charge with several fund/orgs is held for any of them.

    The lines are the fund/orgs that are newly held.
    """
    was_odd, is_odd = (_oddness(policy, period) for policy in (present, changed))
    charges, found = Charge.objects.in_month(period), Effect()
    funds: dict[str, Line] = {}
    newly: list[Part] = []
    known: set[str] = set()
    for part, payers in paid:
        known.update(payers)
        odd = [fund_org for fund_org in payers if is_odd(fund_org)]
        if odd and not any(map(was_odd, payers)):
            lines = [funds.setdefault(fund_org, Line(fund_org)) for fund_org in odd]
            if found.hold(part, lines):
                newly.append(part)
    only = held_only_for(Flag.Code.INVALID_FUND_ORG, period)
    for part, payers in _with_payers(parts_of(only, "payer_split", "fund_org")):
        if any(map(was_odd, payers)) and not any(map(is_odd, payers)):
            found.free(part)
    found.fitting = [
        Fitting(pattern, sum(fits_one((pattern,), fund_org) for fund_org in known if fund_org))
        for pattern in changed.fund_org_patterns
    ]
    found.lines += sorted(
        (line for line in funds.values() if line.charges.charges), key=lambda line: (-line.charges.charges, line.name)
    )
    newly.sort(key=lambda part: -abs(part.billed))
    keys = [Q(payer_split=part.key[0], fund_org=part.key[1]) if part.key[0] else _alone(part) for part in newly[:SHOWN]]
    found.examples = examples_of(charges, keys) if keys else []
    return found


def segments(pattern: str, paid: Sequence[Paid]) -> Segments:
    """Return how many of the fund/orgs that a month charges the segments fit; `paid` as `paid_in` returns it."""
    charged = {fund_org for part, payers in paid if part.state in Charge.CHARGEABLE for fund_org in payers if fund_org}
    others = sorted(fund_org for fund_org in charged if not compiled(pattern).fullmatch(fund_org))
    return Segments(len(charged) - len(others), tuple(others))


def _alone(part: Part) -> Q:
    return Q(payer_split__isnull=True, fund_org=part.key[1])


def _oddness(policy: Policy, period: BillingPeriod) -> Callable[[str], bool]:
    """Return a function that tells whether a policy holds a fund/org for its form, as an import would."""
    reference = Reference(fund_org_patterns=tuple(policy.fund_org_patterns))

    @cache
    def is_odd(fund_org: str) -> bool:
        # The day does not matter for the form.
        reasons = check_attribution(
            Attributed(fund_org=fund_org), reference=reference, service_start=period.month, service_end=period.month
        )
        return any(reason.code == Flag.Code.INVALID_FUND_ORG for reason in reasons)

    return is_odd


def _parts_of_month(period: BillingPeriod) -> Iterator[Part]:
    """Return the charges of a month by split and fund/org: from its totals, which know no splits, and the splits."""
    split = list(parts_of(Charge.objects.in_month(period).filter(payer_split__isnull=False), "payer_split", "fund_org"))
    taken: dict[tuple[object, str, str], Tally] = {}
    for part in split:
        tally = taken.setdefault((part.key[1], part.state, part.currency), Tally())
        tally.add(part.charges, part.currency, part.billed)
    yield from split
    for row in MonthTotal.objects.of_month(period).summed("fund_org", "state", "currency"):
        fund_org, state, currency = row["fund_org"], row["state"], row["currency"]
        number, billed = row["number"], row["billed"]
        if of_splits := taken.get((fund_org, state, currency)):
            number, billed = number - of_splits.charges, billed - of_splits.billed[currency]
        if number:
            yield Part((None, fund_org), state, currency, number, billed)


def _with_payers(parts: Iterable[Part]) -> Iterator[Paid]:
    """Return parts by split and fund/org, each with all the fund/orgs that pay."""
    listed = list(parts)
    shares = shares_of({part.key[0] for part in listed if part.key[0]})
    for part in listed:
        split, fund_org = part.key
        yield part, tuple(sorted(shares[split])) if split else (fund_org,)

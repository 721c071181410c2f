"""The totals of a month that screens and reports add up, against the charges they are of: equal in every figure."""

from collections.abc import Iterator
from decimal import Decimal

from ..fields import from_units
from ..models import BillingPeriod, Charge, Person, Project, Source, totalling
from ..models.month_totals import AMOUNTS, KEY
from ..money import plain
from .findings import About, Finding
from .month import Month

KIND = "month totals"
# How many of the groups of charges that differ are named.
NAMED = 5
# By key: what is kept, and what the charges come to.
Differences = dict[totalling.Key, tuple[list[int], list[int]]]
LABELS = {"list": "list cost", "contracted": "contracted cost", "effective": "effective cost", "billed": "billed cost"}


def differences(month: Month) -> Differences:
    """Return the keys of a month under which other sums are kept than the charges come to: (kept, found)."""
    nothing = [0] * (len(AMOUNTS) + 1)
    kept = month.totals(month.period)
    found = {group.key: group.sums for group in month.groups}
    return {
        key: (kept.get(key, nothing), found.get(key, nothing))
        for key in {*kept, *found}
        if kept.get(key, nothing) != found.get(key, nothing)
    }


def findings(period: BillingPeriod, differing: Differences) -> list[Finding]:
    """Say where the totals of a month are not what its charges come to, the first few group by group."""
    if not differing:
        return []
    named = sorted(_named(differing))
    more = f" And {len(named) - NAMED:,} more." if len(named) > NAMED else ""
    how = "Count the month again" if period.takes_changes else "Reopen the month and count it again"
    told = f"they are not what the charges come to. {' '.join(named[:NAMED])}{more} {how}, unless a charge was altered."
    return [Finding(KIND, f"Totals of {period}", told, About("billing.billingperiod", period.pk))]


def _named(differing: Differences) -> Iterator[str]:
    """Yield what differs of each group of charges: aws, held for review, ada@u.edu, EC2: 2 charges instead of 3."""
    keys = [dict(zip(KEY, key, strict=True)) for key in differing]
    sources = Source.objects.in_bulk({key["source_id"] for key in keys})
    people = Person.objects.in_bulk({key["pi_id"] for key in keys if key["pi_id"]})
    projects = Project.objects.in_bulk({key["project_id"] for key in keys if key["project_id"]})
    states = dict(Charge.State.choices)
    for key, (kept, found) in zip(keys, differing.values(), strict=True):
        pi, project = people.get(key["pi_id"]), projects.get(key["project_id"])
        names = (
            str(sources.get(key["source_id"], "no source")),
            str(states.get(key["state"], key["state"])).lower(),
            pi.email if pi else "no PI",
            project.code if project else "",
            key["fund_org"],
            key["service_name"],
        )
        yield f"{', '.join(filter(None, names))}: {'; '.join(_figures(key['currency'], kept, found))}."


def _figures(currency: str, kept: list[int], found: list[int]) -> Iterator[str]:
    if kept[0] != found[0]:
        yield f"{kept[0]:,} {'charge' if kept[0] == 1 else 'charges'} instead of {found[0]:,}"
    for name, one, other in zip(AMOUNTS, kept[1:], found[1:], strict=True):
        if one != other:
            yield f"{LABELS[name]} {_exact(one, currency)} instead of {_exact(other, currency)} {currency}"


def _exact(units: int, currency: str) -> str:
    amount: Decimal = from_units(units)
    return plain(amount, currency)

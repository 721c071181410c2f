"""The PIs and projects that the rows of an import name: known ones, and those that it makes."""

import datetime
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal

from .. import audit
from ..attribution import NO_IDS, known_people, newcomers, owner_values, people_of, projects_of
from ..fields import from_units
from ..models import BillingPeriod, MonthTotal
from .reading import Read
from .staging import DirectLoad, Stage, figures


@dataclass(frozen=True)
class Owners:
    """The ids of PIs by address and of projects by code, and the addresses that nobody knew before."""

    people: Mapping[str, int]
    projects: Mapping[str, int]
    new_emails: frozenset[str]


def new_emails(read: Read) -> frozenset[str]:
    """Return the addresses of PIs who are not there yet."""
    emails = sorted({each.pi_email for each in read.attributions if each.pi_email})
    return frozenset(emails) - known_people(emails).keys()


def make(
    read: Read,
    gesture: audit.Gesture,
    person_ids: Mapping[str, int] = NO_IDS,
    project_ids: Mapping[str, int] = NO_IDS,
) -> Owners:
    """Make the PIs and projects that are new, with the ids they were given where there are any."""
    new = new_emails(read)
    people = people_of((each.pi_email for each in read.attributions), gesture, person_ids)
    codes: dict[str, str] = {}
    for each in read.attributions:
        codes.setdefault(each.project_code, each.pi_email)
    return Owners(people, projects_of(codes, people, gesture, project_ids), new)


def stage_attributions(stage: Stage, read: Read, owners: Owners) -> None:
    """Stage who pays, with the ids of PIs and projects."""
    stage.fill_rows(
        "stage_attribution",
        (
            (number, *owner_values(each, people=owners.people, projects=owners.projects))
            for number, each in enumerate(read.attributions)
        ),
    )


def new_pis(
    rows: Stage | DirectLoad, read: Read, emails: Collection[str], months: Collection[datetime.date]
) -> tuple[newcomers.NewPI, ...]:
    """Return the PIs with these new addresses, and what the import charges them: all they have is of it."""
    if not emails:
        return ()
    sums: list[tuple[str, str, int, Decimal]]
    if isinstance(rows, DirectLoad):
        sums = _charged(emails, months)
    else:
        sums = [
            (read.attributions[number].pi_email, currency, count, from_units(units))
            for number, currency, count, units in figures.sums_by_attribution(rows)
            if read.attributions[number].pi_email in emails
        ]
    return newcomers.new_pis(sums, read.known)


def _charged(new: Collection[str], months: Collection[datetime.date]) -> list[tuple[str, str, int, Decimal]]:
    ids = known_people(sorted(new))
    emails = {pk: email for email, pk in ids.items()}
    periods = list(BillingPeriod.objects.filter(month__in=months).values_list("pk", flat=True))
    totals = MonthTotal.objects.filter(charged_in__in=periods, pi__in=list(emails))
    rows = totals.summed("pi", "currency")
    return [(emails[row["pi"]], row["currency"], row["number"], row["billed"]) for row in rows]

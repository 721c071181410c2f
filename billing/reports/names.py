"""What the rows of a report are called, and what narrows a report to each."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from ..fiscal_years import label_of
from ..models import Customer, FundingSource, Person, Project, Source
from ..texts import long_month
from .departments import NONE
from .facts import CUSTOMER, FUND, Facts

NOBODY = {
    "pi": "No PI",
    "project": "No project",
    "department": "No department",
    "college": "No department",
    "source": "No source",
    "service": "No service named",
    "fund": "No fund/org",
    "giver": "No fund/org",
}


@dataclass(frozen=True)
class Name:
    """What people call a row, and what narrows a report to it."""

    label: str
    key: str = ""


def names_of(facts: Facts, by: str, keys: Iterable[Any]) -> dict[Any, Name]:
    """Return what each key of a table by something is called."""
    wanted = set(keys)
    if by == "month":
        return {key: Name(long_month(facts.periods[key].month), facts.periods[key].iso_month) for key in wanted}
    if by == "year":
        return {key: Name(label_of(key), str(key)) for key in wanted}
    if by == "service":
        return {key: Name(key, key) if key else Name(NOBODY[by]) for key in wanted}
    if by in ("fund", "giver"):
        return _funds(wanted)
    found = _rows(facts, by, wanted - {NONE})
    return found | {NONE: Name(NOBODY[by])}


def _rows(facts: Facts, by: str, keys: Collection[int]) -> dict[Any, Name]:
    if by == "pi":
        return {pk: Name(_person(each), each.email) for pk, each in Person.objects.in_bulk(keys).items()}
    if by == "project":
        return {
            pk: Name(f"{each.code} – {each.name}" if each.name else each.code, each.code)
            for pk, each in Project.objects.in_bulk(keys).items()
        }
    if by == "source":
        return {pk: Name(each.label, each.name) for pk, each in Source.objects.in_bulk(keys).items()}
    return {pk: Name(facts.homes.tree.by_id[pk].display_name, facts.homes.tree.by_id[pk].code) for pk in keys}


def _person(person: Person) -> str:
    return f"{person.name} ({person.email})" if person.name else person.email


def _funds(keys: Collection[str]) -> dict[Any, Name]:
    customers = Customer.objects.in_bulk([int(key[len(CUSTOMER) :]) for key in keys if key.startswith(CUSTOMER)])
    funds = {key: key[len(FUND) :] for key in keys if key.startswith(FUND)}
    called = dict(
        FundingSource.objects.filter(fund_org__in=list(funds.values())).exclude(name="").values_list("fund_org", "name")
    )
    found = {
        key: Name(f"{fund} – {called[fund]}" if fund in called else fund, fund) if fund else Name(NOBODY["fund"])
        for key, fund in funds.items()
    }
    return found | {f"{CUSTOMER}{pk}": Name(f"Invoice to {each}") for pk, each in customers.items()}


def parted(facts: Facts, by: str, keys: Iterable[Any]) -> dict[Any, tuple[str, str]]:
    """Return the code or address of each key, and its name: what a table for pivot tables has in cells of their own."""
    wanted = set(keys)
    if by == "pi":
        found = {pk: (each.email, each.name) for pk, each in Person.objects.in_bulk(wanted - {NONE}).items()}
    elif by in ("department", "college"):
        tree = facts.homes.tree
        found = {pk: (tree.by_id[pk].display_name, "") for pk in wanted - {NONE}}
    else:
        # A customer has no code of a fund/org: it is named instead.
        found = {key: (name.key or name.label, "") for key, name in names_of(facts, by, wanted).items()}
        return found | ({NONE: ("", "")} if NONE in wanted else {})
    return found | {NONE: ("", "")}

"""Who should be charged and is not: sources, projects and cloud accounts that a month before had charges."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Case, Count, F, When

from ..fields import AmountSum
from ..models import PATHS, BillingPeriod, Charge, MonthTotal, Project, Source
from ..readers.spelling import same_id
from .findings import About


@dataclass(frozen=True)
class Uncharged:
    """Something with charges in the month before and none in this; `billed` is by currency, never added across."""

    kind: str
    name: str
    source: str
    charges: int
    billed: dict[str, Decimal]
    about: About


def uncharged(period: BillingPeriod) -> list[Uncharged]:
    """Return the sources, projects and cloud accounts with live charges in the month before and none in this.

    While the month is open that may be none yet. Cloud accounts are the sub accounts of the files, else their
    billing accounts. Empty where there is no month before.
    """
    before = BillingPeriod.objects.shown().filter(month__lt=period.month).order_by("-month").first()
    if before is None or before.next_month != period.month:
        return []
    found: list[Uncharged] = []
    sources = dict(Source.objects.values_list("pk", "name"))
    now = {row["source"] for row in MonthTotal.objects.of_month(period).summed("source")}
    for source_id, sums in _totals(before, "source", skip=now).items():
        found.append(_told("source", sources[source_id], sources[source_id], sums, before, {"source": source_id}))

    projects = {project.pk: project for project in Project.objects.only("code", "name")}
    own = {row["project"] for row in MonthTotal.objects.of_month(period).summed("project")}
    for project_id, sums in _totals(before, "project", skip=own | {None}).items():
        project = projects[project_id]
        found.append(_told("project", project.code, "", sums, before, {"project": project_id}))

    # A source that is missing as a whole stands for its accounts.
    sub_account, billing_account = PATHS["sub_account_id"], PATHS["billing_account_id"]
    account = Case(When(**{sub_account: ""}, then=F(billing_account)), default=F(sub_account))
    accounts = Charge.objects.in_month(period).order_by().annotate(cloud_account=account)
    present = {
        (source_id, same_id(name)) for source_id, name in accounts.values_list("source_id", "cloud_account").distinct()
    }
    for (source_id, name), sums in _sums(before, "source_id", "cloud_account", cloud_account=account).items():
        if name and source_id in now and (source_id, same_id(name)) not in present:
            found.append(_told("cloud account", name, sources[source_id], sums, before, {"source": source_id}))
    return sorted(found, key=lambda each: (KINDS.index(each.kind), each.source, each.name))


KINDS = ("source", "project", "cloud account")

_Sums = tuple[int, dict[str, Decimal]]


def _totals(period: BillingPeriod, name: str, *, skip: set[Any]) -> dict[int, _Sums]:
    """Return the sums of a month by source or by project, without those to skip."""
    found: dict[int, _Sums] = {}
    for row in MonthTotal.objects.of_month(period).summed(name, "currency"):
        if row[name] not in skip:
            count, amounts = found.setdefault(row[name], (0, {}))
            found[row[name]] = (count + row["number"], amounts | {row["currency"]: row["billed"]})
    return found


def _sums(period: BillingPeriod, *by: str, **annotations: Any) -> dict[tuple[Any, ...], _Sums]:
    found: dict[tuple[Any, ...], _Sums] = {}
    rows = Charge.objects.in_month(period).order_by().annotate(**annotations).values_list(*by, "currency")
    for *key, currency, charges, billed in rows.annotate(charges=Count("*"), sum=AmountSum("billed_cost")):
        count, amounts = found.setdefault(tuple(key), (0, {}))
        found[tuple(key)] = (count + charges, amounts | {currency: billed})
    return found


def _told(kind: str, name: str, source: str, sums: _Sums, before: BillingPeriod, of: dict[str, int]) -> Uncharged:
    charges, billed = sums
    where: dict[str, int | str | tuple[str, ...]] = {"period": before.iso_month, "standing": "live", **of}
    if kind == "cloud account":
        where["q"] = name
    return Uncharged(kind, name, source, charges, dict(sorted(billed.items())), About("billing.charge", where=where))

"""Who should be charged and is not: sources, projects and cloud accounts that a month before had charges."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Case, Count, F, When

from ..fields import AmountSum, from_units
from ..models import PATHS, BillingPeriod, Charge, Project, totalling
from ..models.month_totals import AMOUNTS, KEY
from ..money import ZERO
from ..readers.spelling import same_id
from .findings import About
from .month import Month


@dataclass(frozen=True)
class Uncharged:
    """Something with charges in the month before and none in this; `billed` is by currency, never added across."""

    kind: str
    name: str
    source: str
    charges: int
    billed: dict[str, Decimal]
    about: About


def uncharged(month: Month) -> list[Uncharged]:
    """Return the sources, projects and cloud accounts with live charges in the month before and none in this.

    While the month is open that may be none yet. Cloud accounts are the sub accounts of the files, else their
    billing accounts. Empty where there is no month before.
    """
    before = month.before
    if before is None:
        return []
    found: list[Uncharged] = []
    now = _by(month.totals(month.period), "source_id")
    for source_id, sums in _by(month.totals(before), "source_id").items():
        if source_id not in now:
            name = month.sources[source_id].name
            found.append(_told("source", name, name, sums, before, {"source": source_id}))

    own = _by(month.totals(month.period), "project_id")
    gone = {pk: sums for pk, sums in _by(month.totals(before), "project_id").items() if pk and pk not in own}
    codes = dict(Project.objects.filter(pk__in=gone).values_list("pk", "code"))
    for project_id, sums in gone.items():
        found.append(_told("project", codes[project_id], "", sums, before, {"project": project_id}))

    # A source that is missing as a whole stands for its accounts.
    accounts = _accounts(month.period, before)
    present = {(source_id, same_id(name)) for source_id, name in accounts[month.period.pk]}
    for (source_id, name), sums in accounts[before.pk].items():
        if name and source_id in now and (source_id, same_id(name)) not in present:
            source = month.sources[source_id].name
            found.append(_told("cloud account", name, source, sums, before, {"source": source_id}))
    return sorted(found, key=lambda each: (KINDS.index(each.kind), each.source, each.name))


KINDS = ("source", "project", "cloud account")

# How many charges, and what is billed for them by currency.
_Sums = tuple[int, dict[str, Decimal]]


def _by(totals: totalling.Totals, name: str) -> dict[Any, _Sums]:
    """Return the sums of a month by one column of its totals."""
    found: dict[Any, _Sums] = {}
    for key, sums in totals.items():
        of = dict(zip(KEY, key, strict=True))
        count, *amounts = sums
        if count:
            billed = from_units(dict(zip(AMOUNTS, amounts, strict=True))["billed"])
            _add(found, of[name], of["currency"], count, billed)
    return found


def _accounts(*periods: BillingPeriod) -> dict[int, dict[tuple[int, str], _Sums]]:
    """Return the sums of the cloud accounts of each source, by month."""
    sub_account, billing_account = PATHS["sub_account_id"], PATHS["billing_account_id"]
    account = Case(When(**{sub_account: ""}, then=F(billing_account)), default=F(sub_account))
    rows = (
        Charge.objects.live()
        .filter(charged_in__in=periods)
        .order_by()
        .annotate(cloud_account=account)
        .values_list("charged_in", "source_id", "cloud_account", "currency")
        .annotate(charges=Count("*"), sum=AmountSum("billed_cost"))
    )
    found: dict[int, dict[tuple[int, str], _Sums]] = {period.pk: {} for period in periods}
    for charged_in, source_id, name, currency, charges, billed in rows:
        _add(found[charged_in], (source_id, name), currency, charges, billed)
    return found


def _add(found: dict[Any, _Sums], key: object, currency: str, charges: int, billed: Decimal) -> None:
    count, amounts = found.setdefault(key, (0, {}))
    amounts[currency] = amounts.get(currency, ZERO) + billed
    found[key] = (count + charges, amounts)


def _told(kind: str, name: str, source: str, sums: _Sums, before: BillingPeriod, of: dict[str, int]) -> Uncharged:
    charges, billed = sums
    where: dict[str, int | str | tuple[str, ...]] = {"period": before.iso_month, "standing": "live", **of}
    if kind == "cloud account":
        where["q"] = name
    return Uncharged(kind, name, source, charges, dict(sorted(billed.items())), About("billing.charge", where=where))

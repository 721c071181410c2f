"""What keeps detail from being disposed of: legal holds, and awards whose final report is not three years past."""

import datetime
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from billing.models import BillingPeriod, Charge, FundingSource, LegalHold, PayerLine
from billing.texts import folded_code, long_date, long_month

# 2 CFR 200.334: from the day on which the final financial report was submitted.
AWARD_YEARS = 3
# A file in which anybody may be. Free usage becomes no charge, and what was refused none either.
ANYBODY = "somebody is on legal hold, and it cannot be told whose usage or charges the file has"


@dataclass
class Owners:
    """Who has charges, by their ids; funds by their names as they are compared."""

    pis: set[int] = field(default_factory=set)
    projects: set[int] = field(default_factory=set)
    fund_orgs: set[str] = field(default_factory=set)

    def add(self, pi: int | None, project: int | None, fund_org: str) -> None:
        if pi:
            self.pis.add(pi)
        if project:
            self.projects.add(project)
        if fund_org:
            self.fund_orgs.add(folded_code(fund_org))


class Bars:
    """The holds and awards of one moment, held against months, their owners, and single statements."""

    def __init__(self, *, today: datetime.date, first_kept: datetime.date) -> None:
        in_force = LegalHold.objects.filter(lifted_at__isnull=True).order_by("pk")
        self._holds = list(in_force.select_related("pi", "project", "fund", "period"))
        self._awards = dict(_awards(today))
        self._periods = {each.month: each for each in BillingPeriod.objects.filter(month__lt=first_kept)}
        self._owners = _owners_of_months(self._periods.values())
        self._first_kept = first_kept

    def of_months(self, months: Collection[datetime.date]) -> list[str]:
        """Say why nothing of some months may go: one is kept, is not finalized, or is on hold."""
        if recent := [month for month in sorted(months) if month >= self._first_kept]:
            return [f"it is also of {long_month(recent[0])}, which is kept"]
        found = []
        for month in sorted(months):
            period = self._periods.get(month)
            if period and period.status != BillingPeriod.Status.FINALIZED:
                found.append(f"{long_month(month)} is not finalized")
        held = {each.period.month: each for each in self._holds if each.period}
        found += [_on_hold(held[month]) for month in sorted(months) if month in held]
        return found

    def of_owners(self, owners: Owners) -> list[str]:
        """Say why detail of these owners may not go."""
        on_hold = [
            _on_hold(each)
            for each in self._holds
            if each.pi_id in owners.pis
            or each.project_id in owners.projects
            or (each.fund and folded_code(each.fund.fund_org) in owners.fund_orgs)
        ]
        return on_hold + [why for fund_org, why in self._awards.items() if folded_code(fund_org) in owners.fund_orgs]

    def of_shared(self, months: Collection[datetime.date], *, may_have_anybody: bool) -> list[str]:
        """Say why a file of some months may not go, in which all their owners may be."""
        found = self.of_months(months)
        if may_have_anybody and any(not each.period for each in self._holds):
            found.append(ANYBODY)
        for month in sorted(months):
            found += [each for each in self.of_owners(self._owners.get(month, Owners())) if each not in found]
        return found


def _on_hold(hold: LegalHold) -> str:
    # Not its reason, which may be nobody else's business.
    return f"legal hold {hold.pk} on {hold.told}"


def _awards(today: datetime.date) -> Iterable[tuple[str, str]]:
    """Yield the fund/orgs whose detail is kept for their award, and why."""
    for fund in FundingSource.objects.order_by("fund_org"):
        if fund.final_report_date is None:
            if fund.is_sponsored:
                yield fund.fund_org, f"award {fund} has no final financial report on record"
            continue
        if (until := kept_until(fund.final_report_date)) >= today:
            yield fund.fund_org, f"award {fund} is kept until {long_date(until)} (2 CFR 200.334)"


def kept_until(report: datetime.date) -> datetime.date:
    """Return the last day on which the records of an award are kept, by the day of its final financial report."""
    year = report.year + AWARD_YEARS
    return datetime.date(year, 3, 1) if (report.month, report.day) == (2, 29) else report.replace(year=year)


def _owners_of_months(periods: Iterable[BillingPeriod]) -> dict[datetime.date, Owners]:
    months = {each.pk: each.month for each in periods}
    found: dict[datetime.date, Owners] = defaultdict(Owners)
    who = ("pi", "project", "fund_org")
    for path in ("charged_in", "period"):
        rows = Charge.objects.filter(**{f"{path}__in": months}).order_by().values_list(path, *who).distinct()
        for period, *owner in rows:
            found[months[period]].add(*owner)
    lines = PayerLine.objects.filter(period__in=months).order_by().values_list("period", *who).distinct()
    for period, *owner in lines:
        found[months[period]].add(*owner)
    return found

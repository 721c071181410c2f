"""How long the money of a fund/org lasts at the present rate, and what goes on after it."""

import datetime
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import QuerySet

from billing.fields import AmountSum
from billing.models import FundException, FundingSource, Policy, Project
from billing.money import ZERO

from ..models import Statement, StatementLine, StatementQuerySet

# Over how many months the rate is taken, and how far back a fund is listed that nothing was charged to since.
RATE_MONTHS, LISTED_MONTHS = 3, 12
# How close an end has to be for somebody to act.
SOON = datetime.timedelta(days=90)
SOON_MONTHS = 3
# Months beyond which nobody foresees anything.
FORESEEN = 120


@dataclass(frozen=True)
class FundLeft:
    """One fund/org, by what the reader's statements charge to it, in the institution's currency."""

    fund_org: str
    name: str
    currency: str
    # The newest month with statements: what is left is what is left after it.
    until: datetime.date
    today: datetime.date
    ends: datetime.date | None
    budget: Decimal | None
    spent: Decimal
    # Charged in the last months, and in how many of them: a fund that is younger has fewer.
    lately: Decimal
    months: int
    # Others charge to it too, so nobody reads here what is left of it.
    is_shared: bool = False
    # Projects that charge to it and do not end before it does.
    outlived_by: tuple[str, ...] = ()

    @property
    def rate(self) -> Decimal:
        """What is charged in a month, on average."""
        return self.lately / self.months

    @property
    def left(self) -> Decimal | None:
        """What is left of the budget; None where it is not known."""
        return None if self.budget is None or self.is_shared else self.budget - self.spent

    @property
    def months_left(self) -> Decimal | None:
        """How many months what is left lasts at the present rate; None where that cannot be said."""
        if self.left is None or self.rate <= 0:
            return None
        return (max(self.left, ZERO) / self.rate).quantize(Decimal("0.1"))

    @property
    def runs_out(self) -> datetime.date | None:
        """The month in which nothing is left, by its first day."""
        if self.left is None or self.months_left is None or self.is_long:
            return None
        return _months_after(self.until, math.ceil(max(self.left, ZERO) / self.rate))

    @property
    def is_long(self) -> bool:
        """Whether what is left lasts longer than anybody foresees."""
        return self.months_left is not None and self.months_left > FORESEEN

    @property
    def days_left(self) -> int | None:
        return (self.ends - self.today).days if self.ends else None

    @property
    def unspent(self) -> Decimal | None:
        """What would be left on the fund's last day at the present rate; None where the money ends first."""
        if self.left is None or self.ends is None:
            return None
        months = (self.ends.year - self.until.year) * 12 + self.ends.month - self.until.month
        rest = self.left - max(self.rate, ZERO) * max(months, 0)
        return rest if rest > 0 else None

    @property
    def is_urgent(self) -> bool:
        """Whether somebody has to act: it has ended or ends soon, is overspent, or what is left lasts a few months."""
        ends_soon = self.ends is not None and self.ends <= self.today + SOON
        runs_out = self.months_left is not None and self.months_left < SOON_MONTHS
        return ends_soon or runs_out or (self.left is not None and self.left < 0)


def funds(statements: StatementQuerySet, *, today: datetime.date) -> list[FundLeft]:
    """Return the fund/orgs with an end date or a budget that the reader's statements charge, the urgent first."""
    newest = statements.order_by("-period__month").select_related("period").first()
    if newest is None:
        return []
    until, currency = newest.period.month, Policy.objects.current().currency
    lines = StatementLine.objects.filter(statement__in=statements.filter(currency=currency).order_by().values("pk"))
    charged = _charged(lines.order_by())
    listed_from = _months_after(until, 1 - LISTED_MONTHS)
    known = FundingSource.objects.filter(
        fund_org__in=[fund for fund, months in charged.items() if max(months) >= listed_from]
    )
    wanted = [fund for fund in known if fund.valid_until or fund.budget is not None]
    exceptions = FundException.in_force_by_fund()
    shared = _shared([fund.fund_org for fund in wanted if fund.budget is not None], statements)
    rate_from = _months_after(until, 1 - RATE_MONTHS)
    users = _users([fund.fund_org for fund in wanted if fund.valid_until], lines, rate_from)
    found = []
    for fund in wanted:
        months = charged[fund.fund_org]
        first = fund.valid_from.replace(day=1) if fund.valid_from else datetime.date.min
        ends = fund.last_day(exceptions.get(fund.pk, ()))
        found.append(
            FundLeft(
                fund_org=fund.fund_org,
                name=fund.name,
                currency=currency,
                until=until,
                today=today,
                ends=ends,
                budget=fund.budget,
                spent=sum((amount for month, amount in months.items() if month >= first), ZERO),
                lately=sum((amount for month, amount in months.items() if rate_from <= month <= until), ZERO),
                months=min(RATE_MONTHS, _months_between(min(months), until) + 1),
                is_shared=fund.fund_org in shared,
                outlived_by=tuple(_outliving(users[fund.fund_org], ends)) if ends else (),
            )
        )
    return sorted(found, key=lambda each: (not each.is_urgent, each.ends or datetime.date.max, each.fund_org))


def _charged(lines: "QuerySet[StatementLine]") -> dict[str, dict[datetime.date, Decimal]]:
    """Return what was charged to each fund/org, by month."""
    found: dict[str, dict[datetime.date, Decimal]] = defaultdict(dict)
    rows = lines.exclude(fund_org="").values_list("fund_org", "statement__period__month")
    for fund, month, amount in rows.annotate(sum=AmountSum("charged")):
        found[fund][month] = amount
    return found


def _shared(fund_orgs: list[str], statements: StatementQuerySet) -> set[str]:
    """Return to which of these fund/orgs others charge, whose statements the reader does not see."""
    others = Statement.objects.live().exclude(pk__in=statements.order_by().values("pk"))
    lines = StatementLine.objects.filter(fund_org__in=fund_orgs, statement__in=others.order_by().values("pk"))
    return set(lines.order_by().values_list("fund_org", flat=True).distinct())


def _users(fund_orgs: list[str], lines: "QuerySet[StatementLine]", since: datetime.date) -> dict[str, list[Project]]:
    """Return the projects that charged to these fund/orgs lately."""
    rows = lines.filter(
        fund_org__in=fund_orgs, statement__period__month__gte=since, statement__project__isnull=False
    ).order_by()
    found: dict[str, list[int]] = defaultdict(list)
    for fund, project in rows.values_list("fund_org", "statement__project").distinct():
        found[fund].append(project)
    projects = Project.objects.in_bulk({pk for each in found.values() for pk in each})
    return defaultdict(list, {fund: [projects[pk] for pk in each] for fund, each in found.items()})


def _outliving(projects: Iterable[Project], ends: datetime.date) -> list[str]:
    return sorted(each.display_name for each in projects if each.end_date is None or each.end_date > ends)


def _months_after(month: datetime.date, number: int) -> datetime.date:
    index = month.year * 12 + month.month - 1 + number
    return datetime.date(index // 12, index % 12 + 1, 1)


def _months_between(first: datetime.date, last: datetime.date) -> int:
    return (last.year - first.year) * 12 + last.month - first.month

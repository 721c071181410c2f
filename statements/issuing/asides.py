"""What a statement has beside its charges, frozen when it is issued: the months before it, notices, its paper."""

import datetime
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from billing import attribution, prepayments
from billing.models import BillingPeriod, Policy
from billing.money import plain
from billing.setup import logos
from billing.texts import iso_month

from ..document import Figures, MonthOfHistory, Notice
from ..models import Statement
from . import noticing
from .planning import Owner, Planned

# With the statement's own.
MONTHS = 12


@dataclass(frozen=True)
class Asides:
    """What is looked up once for all statements of a month that are issued together."""

    period: BillingPeriod
    policy: Policy
    issued_on: datetime.date
    # By owner and month.
    earlier: Mapping[Owner, Mapping[datetime.date, MonthOfHistory]]
    # The last day of each fund/org, of those that have one.
    fund_ends: Mapping[str, datetime.date]
    # What to say of prepaid balances, by PI and project; those of a PI without a project are for all of the PI's.
    prepaid: Mapping[Owner, Sequence[str]]

    def of(self, planned: Planned) -> dict[str, Any]:
        """Return what a statement keeps of them."""
        owner = (planned.pi.pk, planned.project.pk if planned.project else None)
        owners = dict.fromkeys([owner, (planned.pi.pk, None)])
        return {
            "history": self._history(self.earlier.get(owner, {}), planned),
            "paper": self.policy.paper_size,
            "logo": self.policy.logo,
            "notices": noticing.balances(text for each in owners for text in self.prepaid.get(each, ()))
            + noticing.notices(
                project=planned.project,
                fund_orgs=list(dict.fromkeys(line.fund_org for line in planned.lines)),
                fund_ends=self.fund_ends,
                policy=self.policy,
                on=self.issued_on,
            ),
        }

    def _history(self, earlier: Mapping[datetime.date, MonthOfHistory], planned: Planned) -> list[list[str]]:
        """Return the months from the first that has a statement to this one; with it alone, nothing."""
        if not earlier:
            return []
        month, corrections = self.period.month, planned.corrections
        own = MonthOfHistory(month, planned.figures.less(corrections), corrections.charged)
        return [
            _stored(own if each == month else earlier.get(each, MonthOfHistory(each, None)))
            for each in _months(min(earlier), month)
        ]


def asides_of(period: BillingPeriod, planned: Sequence[Planned], policy: Policy, issued_on: datetime.date) -> Asides:
    """Look up what statements of a month say besides; nothing is looked up where none is issued."""
    if not planned:
        return Asides(period, policy, issued_on, {}, {}, {})
    funds = attribution.reference_of(policy).funds or {}
    return Asides(
        period=period,
        policy=policy,
        issued_on=issued_on,
        earlier=_earlier(period, policy.currency),
        fund_ends={fund_org: last for fund_org, (_, last) in funds.items() if last},
        prepaid=prepayments.noted_on(period),
    )


def _earlier(period: BillingPeriod, currency: str) -> dict[Owner, dict[datetime.date, MonthOfHistory]]:
    """Return what the statements in force of the months before say."""
    found: dict[Owner, dict[datetime.date, MonthOfHistory]] = defaultdict(dict)
    rows = Statement.objects.live().filter(
        period__month__gte=_before(period.month, MONTHS - 1), period__month__lt=period.month, currency=currency
    )
    for pi, project, month, *amounts in rows.values_list(
        *("pi", "project", "period__month", "list_cost", "contracted_cost", "charged"),
        *("corrections_list_cost", "corrections_contracted_cost", "corrections"),
    ):
        whole, corrections = Figures(*amounts[:3]), Figures(*amounts[3:])
        found[pi, project][month] = MonthOfHistory(month, whole.less(corrections), corrections.charged)
    return found


def _before(month: datetime.date, count: int) -> datetime.date:
    index = month.year * 12 + month.month - 1 - count
    return datetime.date(index // 12, index % 12 + 1, 1)


def _months(first: datetime.date, last: datetime.date) -> list[datetime.date]:
    count = (last.year - first.year) * 12 + last.month - first.month
    return [_before(last, back) for back in range(count, -1, -1)]


def _stored(month: MonthOfHistory) -> list[str]:
    """Write a month as JSON keeps it: with its amounts, or alone where it had no statement."""
    of = month.figures
    amounts = (of.list_cost, of.contracted_cost, of.charged, month.corrections) if of else ()
    return [iso_month(month.month), *map(plain, amounts)]


def read_back(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a statement keeps of them, as its document has it."""
    return {
        "paper": content.get("paper", "letter"),
        "logo": logos.kept_of(content.get("logo", "")),
        "history": tuple(_read(*each) for each in content.get("history", ())),
        "notices": tuple(Notice(each["text"], each.get("is_urgent")) for each in content.get("notices", ())),
    }


def _read(month: str, *stored: str) -> MonthOfHistory:
    day = datetime.date.fromisoformat(f"{month}-01")
    if not stored:
        return MonthOfHistory(day, None)
    *amounts, corrections = map(Decimal, stored)
    return MonthOfHistory(day, Figures(*amounts), corrections)

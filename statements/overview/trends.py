"""What statements came to month by month: by project, service, fund/org or PI, as they charge it."""

from collections import defaultdict
from decimal import Decimal
from typing import Any

from billing import trends
from billing.fields import AmountSum
from billing.models import BillingPeriod, Policy, Project
from billing.money import ZERO
from billing.trends import Series, Sums, Trend

from ..models import StatementLine, StatementQuerySet

# What months are told apart by, and the column of statement lines that says it.
BY = {"project": "statement__project", "service": "service_name", "fund": "fund_org", "pi": "statement__pi"}


def trend(statements: StatementQuerySet, by: str, *, number: int, measure: str, currency: str = "") -> Trend | None:
    """Return up to so many months of statements side by side, to the newest; None without a statement.

    Without a currency it is that of the institution, or the one there is. Corrections count in the month that
    charged them, and shares of shared costs are included: it adds up to the statements, to the cent.
    """
    newest = statements.order_by("-period__month").select_related("period").first()
    if newest is None:
        return None
    months = trends.months_until(newest.period, number, BillingPeriod.objects.shown())
    of_months = statements.filter(period__in=months).order_by()
    currencies = sorted(of_months.values_list("currency", flat=True).distinct())
    if currency not in currencies:
        home = Policy.objects.current().currency
        currency = home if home in currencies else currencies[0]
    lines = StatementLine.objects.filter(statement__in=of_months.filter(currency=currency).values("pk")).order_by()
    found: dict[Any, dict[int, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    amounts = (AmountSum("list_cost"), AmountSum("contracted_cost"), AmountSum("charged"))
    for key, period, *sums in lines.values_list(BY[by], "statement__period").annotate(*amounts):
        found[key or None][period] += getattr(Sums(0, *sums), measure)
    names = _names(by, found)
    series = [Series(key, names[key], tuple(of.get(each.pk, ZERO) for each in months)) for key, of in found.items()]
    series.sort(key=lambda each: (-each.total, each.label))
    totals = tuple(sum((each.amounts[place] for each in series), ZERO) for place in range(len(months)))
    return Trend(by, measure, currency, tuple(months), tuple(series), totals, currencies=tuple(currencies))


def _names(by: str, keys: Any) -> dict[Any, str]:
    names = trends.names_of(by, keys)
    if by == "project":
        projects = Project.objects.in_bulk([key for key in keys if key is not None])
        names |= {pk: f"{each.name} ({each.code})" if each.name else each.code for pk, each in projects.items()}
    return names

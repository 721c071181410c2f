"""Payer lines of many months as a table of whole minor units, added up by what a report asks for.

Amounts are Python integers in cents (or the currency's own smallest unit) from the database to the last sum: pandas
adds them exactly, of any size, and never makes a float of one.
"""

from collections.abc import Iterable
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce

from ..currencies import minor_units
from ..fields import WIDE, AmountSum
from ..models import BillingPeriod, PayerLine, Policy
from .asking import Asked
from .departments import NONE, Homes

if TYPE_CHECKING:
    import pandas as pd

AMOUNTS = ("listed", "contracted", "charged")
# What the database groups by for each thing that a report can be by.
COLUMNS: dict[str, tuple[str, ...]] = {
    "month": ("period_id",),
    "year": ("period_id",),
    "pi": ("pi_id",),
    "project": ("project_id",),
    "department": ("pi_id", "project_id"),
    "college": ("pi_id", "project_id"),
    "source": ("source_id",),
    "service": ("service_name",),
    "fund": ("fund_org", "customer_id"),
}
FUND, CUSTOMER = "fund:", "customer:"


class Facts:
    """What payer lines of the months asked for come to; what several tables need is looked up once."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.policy = Policy.objects.current()
        self.homes = Homes()

    @cached_property
    def periods(self) -> dict[int, BillingPeriod]:
        """The months asked for that exist, by id, the oldest first."""
        found = BillingPeriod.objects.shown().filter(month__gte=self.asked.first, month__lte=self.asked.last)
        return {each.pk: each for each in found.order_by("month")}

    def stated(self, *by: str) -> "pd.DataFrame":
        """Return what users were charged, as statements have it: a row for each combination of `by` and currency.

        Listed, contracted and charged are those of statement lines, whose payer lines these are.
        """
        return self._summed(Q(kind__in=PayerLine.CHARGED), by)

    def funded(self, *by: str) -> "pd.DataFrame":
        """Return what fund/orgs paid in users' place, and what was paid before, as `charged`; by `giver` too."""
        return self._summed(Q(kind__in=PayerLine.FUNDED), by)

    def _summed(self, kinds: Q, by: tuple[str, ...]) -> "pd.DataFrame":
        columns = list(dict.fromkeys(column for each in by for column in _columns(each)))
        rows = (
            self._lines(kinds)
            .values_list(*columns, "currency")
            .annotate(
                listed=AmountSum("list_cost"), contracted=AmountSum("contracted_cost"), charged_sum=AmountSum("charged")
            )
        )
        return self._framed(rows, columns, by)

    def _lines(self, kinds: Q) -> "models.QuerySet[PayerLine]":
        lines = narrowed(PayerLine.objects.filter(kinds, pi__isnull=False), self.asked, self.homes)
        return lines.filter(period__in=list(self.periods)).order_by()

    def has_more_lines_than(self, number: int) -> bool:
        """Tell whether what users were charged is of more payer lines than this."""
        return self._lines(Q(kind__in=PayerLine.CHARGED))[: number + 1].count() > number

    def _framed(self, rows: Iterable[tuple[Any, ...]], columns: list[str], by: tuple[str, ...]) -> "pd.DataFrame":
        # It takes half a second to load: whoever makes a report waits for it, and no other command or page.
        import pandas as pd

        place = {name: number for number, name in enumerate(columns)}
        made = []
        for row in rows:
            currency, *amounts = row[len(columns) :]
            keys = [self._key(each, row, place) for each in by]
            made.append([*keys, currency, *(_minor(amount, currency) for amount in amounts)])
        # Of type object: an integer stays the one it is, whatever its size.
        frame = pd.DataFrame(made, columns=[*by, "currency", *AMOUNTS], dtype=object)
        return frame.groupby([*by, "currency"], sort=False)[list(AMOUNTS)].sum().reset_index() if made else frame

    def _key(self, by: str, row: tuple[Any, ...], place: dict[str, int]) -> Any:
        """Return what a row is of; nothing is nowhere None, which pandas would take for a missing number."""
        if by == "month":
            return row[place["period_id"]]
        if by == "year":
            return self.policy.fiscal_year_of(self.periods[row[place["period_id"]]].month)
        if by in ("department", "college"):
            home = self.homes.of(row[place["pi_id"]] or NONE, row[place["project_id"]] or NONE)
            return home if by == "department" else self.homes.college(home)
        if by in ("fund", "giver"):
            fund_org, customer = row[place["fund_org"]], row[place["customer_id"]]
            return f"{CUSTOMER}{customer}" if customer else f"{FUND}{fund_org}"
        return row[place[COLUMNS[by][0]]] or ("" if by == "service" else NONE)


def narrowed(rows: "models.QuerySet[Any]", asked: Asked, homes: Homes) -> "models.QuerySet[Any]":
    """Keep the payer lines, or the totals of charges, that a report is narrowed to."""
    names = {"source": "source", "pi": "pi", "project": "project", "service": "service_name", "fund": "fund_org"}
    for name, found in asked.found.items():
        if name == "department":
            home = Coalesce("project__department", "project__pi__department", "pi__department")
            rows = rows.alias(home_id=home).filter(home_id__in=homes.tree.within(found))
        else:
            rows = rows.filter(**{names[name]: found})
    return rows


def _columns(by: str) -> tuple[str, ...]:
    return COLUMNS["fund" if by == "giver" else by]


def _minor(amount: Decimal | None, currency: str) -> int:
    """Return an amount in the smallest units of its currency. Payer lines are in whole ones."""
    return int((amount or Decimal(0)).scaleb(minor_units(currency), context=WIDE))


def major(units: int, currency: str) -> Decimal:
    """Return the amount that so many of the smallest units make."""
    return Decimal(int(units)).scaleb(-minor_units(currency), context=WIDE)

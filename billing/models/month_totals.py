"""What the charges of a month come to, so that a dashboard or a sum above a list reads no million charges."""

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models import Sum

from ..fields import HalvesSum, from_units, halves_of, of_halves
from .people import Person, Project
from .periods import BillingPeriod
from .sources import Source
from .standing import Standing, StandingQuerySet

# What tells rows apart. `prices` is what is known of the prices of its charges (see `KNOWN_PRICES`).
# Those that differ most come first: a database that sorts to group compares less.
KEY = (
    "project_id",
    "service_name",
    "pi_id",
    "fund_org",
    "state",
    "prices",
    "source_id",
    "period_id",
    "charged_in_id",
    "currency",
)
# The amounts that are added up, each in two halves. An amount that a charge lacks counts as 0.
AMOUNTS = ("list", "contracted", "effective", "billed")
HALVES = tuple(f"{name}_{half}" for name in AMOUNTS for half in ("high", "low"))

HAS_EFFECTIVE = 1
NO_LIST, NO_CONTRACTED = 2, 4
# The same where EffectiveCost is what is charged.
NO_LIST_EFFECTIVE, NO_CONTRACTED_EFFECTIVE = 8, 16


def _is_unknown(price: str, charged: str) -> str:
    return f"(c.{price} IS NULL OR (c.{price} = 0 AND {charged} <> 0))"


_EFFECTIVE = "coalesce(c.effective_cost, c.billed_cost)"
_BITS = " + ".join(
    f"CASE WHEN {condition} THEN {bit} ELSE 0 END"
    for condition, bit in (
        ("c.effective_cost IS NOT NULL", HAS_EFFECTIVE),
        (_is_unknown("list_cost", "c.billed_cost"), NO_LIST),
        (_is_unknown("contracted_cost", "c.billed_cost"), NO_CONTRACTED),
        (_is_unknown("list_cost", _EFFECTIVE), NO_LIST_EFFECTIVE),
        (_is_unknown("contracted_cost", _EFFECTIVE), NO_CONTRACTED_EFFECTIVE),
    )
)
# SQL for what is known of a charge's prices, as a sum of the bits above. The rule is that of
# `ChargeQuerySet.with_prices`: a price that is absent, or 0 while something is charged, is not known. Most charges have
# all of them, which is seen at a glance.
KNOWN_PRICES = (
    "CASE WHEN c.effective_cost IS NOT NULL AND c.list_cost <> 0 AND c.contracted_cost <> 0 "
    f"THEN {HAS_EFFECTIVE} ELSE {_BITS} END"
)


@dataclass
class Priced:
    """Exact sums of charges by the prices that statements count, in the currency delivered.

    A charge without the cost that its source is charged by counts with what it was billed; `lacking` says how many.
    """

    charges: int = 0
    lacking: int = 0
    listed: Decimal = Decimal(0)
    contracted: Decimal = Decimal(0)
    billed: Decimal = Decimal(0)
    charged: Decimal = Decimal(0)

    def add(
        self, number: int, amounts: Mapping[str, Decimal], prices: int, *, is_effective: bool, is_internal: bool
    ) -> None:
        """Add up charges of which the same `prices` are known, so that each amount counts for all of them or for none.

        `amounts` are their sums by the names of AMOUNTS.
        """
        is_lacking = is_effective and not prices & HAS_EFFECTIVE
        no_list, no_contracted = (
            (NO_LIST_EFFECTIVE, NO_CONTRACTED_EFFECTIVE) if is_effective else (NO_LIST, NO_CONTRACTED)
        )
        charged = amounts["effective"] if is_effective and not is_lacking else amounts["billed"]
        contracted, listed = amounts["contracted"], amounts["list"]
        if prices & no_contracted:
            contracted = listed if is_internal and not prices & no_list else charged
        if prices & no_list:
            listed = contracted
        self.charges += number
        self.lacking += number if is_lacking else 0
        self.listed += listed
        self.contracted += contracted
        self.billed += amounts["billed"]
        self.charged += charged


class MonthTotalQuerySet(StandingQuerySet["MonthTotal"]):
    def held(self) -> "MonthTotalQuerySet":
        return self.filter(state="held")

    def summed(self, *by: str) -> Any:
        """Return rows of these columns with `number` and `billed`: how many charges, and what is billed for them.

        Amounts of different currencies are never added: name the currency among the columns.
        """
        rows = self.order_by().values(*by).annotate(number=Sum("charges"), billed=HalvesSum("billed"))
        return rows.exclude(number=0)

    def billed_by_currency(self) -> dict[str, tuple[int, Decimal]]:
        """Return how many charges there are and what is billed for them, by currency: these are never added."""
        rows = self.summed("currency").order_by("currency")
        return {row["currency"]: (row["number"], row["billed"]) for row in rows}

    def priced(
        self,
        *by: str,
        sources: "Iterable[Source] | None" = None,
        months: "Mapping[int, datetime.date] | None" = None,
    ) -> dict[tuple[Any, ...], Priced]:
        """Return the sums by these columns as statements count prices: `ChargeQuerySet.with_prices`, with estimates.

        Name the currency among the columns. `sources` saves looking them up, with their changes of measure, and so
        does `months` with that of each period.
        """
        known = {
            source.pk: source
            for source in (Source.objects.prefetch_related("measure_changes") if sources is None else sources)
        }
        halves = {column: each for name in AMOUNTS for column, each in halves_of(name).items()}
        rows = self.order_by().values_list(*by, "source_id", "period_id", "prices")
        months = dict(BillingPeriod.objects.values_list("pk", "month")) if months is None else months
        found: dict[tuple[Any, ...], Priced] = {}
        for row in rows.annotate(number=Sum("charges"), **halves).exclude(number=0):
            key, (source_id, period_id, prices, number) = row[: len(by)], row[len(by) : len(by) + 4]
            units = row[len(by) + 4 :]
            amounts = {
                name: from_units(of_halves(*units[2 * place : 2 * place + 2])) for place, name in enumerate(AMOUNTS)
            }
            source = known[source_id]
            is_effective = source.measure_in(months[period_id]) == Source.Measure.EFFECTIVE
            found.setdefault(key, Priced()).add(
                number,
                amounts,
                prices,
                is_effective=is_effective,
                is_internal=source.kind == Source.Kind.INTERNAL,
            )
        return found


class MonthTotal(Standing):
    """A part of what the live charges of a month come to that are alike in everything in `KEY`.

    Charges keep it themselves (see `totalling`): what changes them adds a row of what left and one of what came, and
    never changes a row, so that nobody waits for another. Rows of the same key are added up now and then. Read it by
    the sums of its queryset, never row by row.

    An amount is two halves, `high` · 2³² + `low`, in units of 10⁻⁸: a sum of any size, which the database adds up.
    It depends on nothing but the charges, whatever a source is charged by.
    """

    # No constraint and nothing that protects: a PI whose charges all went to others leaves rows that come to nothing.
    charged_in = models.ForeignKey(
        BillingPeriod, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    source = models.ForeignKey(Source, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False)
    period = models.ForeignKey(
        BillingPeriod,
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_constraint=False,
        db_index=False,
        help_text="The month that the charges were delivered for.",
    )
    state = models.CharField(max_length=24)
    pi = models.ForeignKey(
        Person, null=True, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    project = models.ForeignKey(
        Project, null=True, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    fund_org = models.CharField("fund/org", max_length=64, blank=True)
    service_name = models.TextField(blank=True)
    currency = models.CharField(max_length=3)
    prices = models.PositiveSmallIntegerField(help_text="Which prices of its charges are known.")
    charges = models.BigIntegerField()
    list_high = models.BigIntegerField()
    list_low = models.BigIntegerField()
    contracted_high = models.BigIntegerField()
    contracted_low = models.BigIntegerField()
    effective_high = models.BigIntegerField()
    effective_low = models.BigIntegerField()
    billed_high = models.BigIntegerField()
    billed_low = models.BigIntegerField()

    STANDS_BY = "charged_in"

    objects = MonthTotalQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        verbose_name = "month total"
        indexes = [
            models.Index(fields=["charged_in", "state"], name="total_month"),
            models.Index(fields=["pi", "charged_in"], name="total_owner"),
        ]

    def __str__(self) -> str:
        return f"month total {self.pk}"

"""What charges came to month by month: by source, service, PI, project or fund/org, from totals that they keep.

What is held, rejected or charged to the center is in none of the sums. They are exact, in the currency delivered,
and by the prices that statements count; corrections and shares of shared costs are on statements alone.
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, NamedTuple

from django.core.cache import caches
from django.db.models import Max

from .fields import WIDE
from .models import BillingPeriod, Charge, MonthTotal, Person, Policy, Project, Source
from .money import ZERO, apportion, to_cents
from .months import checklist

# What months are told apart by, and the column of their totals that says it.
BY = {"source": "source_id", "service": "service_name", "pi": "pi_id", "project": "project_id", "fund": "fund_org"}
LABELS = {"source": "Source", "service": "Service", "pi": "PI", "project": "Project", "fund": "Fund/org"}
NOUNS = {"source": "source", "service": "service", "pi": "PI", "project": "project", "fund": "fund/org"}
MEASURES = {"charged": "Charged", "subsidy": "Subsidy", "listed": "List price"}
NOBODY = {
    "source": "No source",
    "service": "No service named",
    "pi": "No PI, or shared",
    "project": "No project",
    "fund": "No fund/org",
}
# What is read together, for pages show it together.
TOGETHER: dict[str, tuple[str, ...]] = {"what": ("source", "service"), "who": ("pi", "project"), "fund": ("fund",)}

NOT_CHARGED = (Charge.State.HELD, Charge.State.REJECTED, Charge.State.CHARGED_TO_CENTER)


class Sums(NamedTuple):
    """What charges come to, exactly."""

    charges: int = 0
    listed: Decimal = ZERO
    contracted: Decimal = ZERO
    charged: Decimal = ZERO

    @property
    def subsidy(self) -> Decimal:
        return WIDE.subtract(self.contracted, self.charged)

    @property
    def discount(self) -> Decimal:
        return WIDE.subtract(self.listed, self.contracted)

    def plus(self, other: "Sums") -> "Sums":
        return Sums(
            self.charges + other.charges,
            *(WIDE.add(mine, its) for mine, its in zip(self[1:], other[1:], strict=True)),
        )


@dataclass(frozen=True)
class MonthSums:
    """A month by one thing: `rows` by its key and the currency; what is held, and what lacks its price, by currency."""

    rows: dict[tuple[Any, str], Sums] = field(default_factory=dict)
    held: dict[str, Sums] = field(default_factory=dict)
    lacking: dict[str, int] = field(default_factory=dict)

    def total(self, currency: str) -> Sums:
        return added(sums for (_, each), sums in self.rows.items() if each == currency)


def added(sums: Iterable[Sums]) -> Sums:
    total = Sums()
    for each in sums:
        total = total.plus(each)
    return total


class Totals:
    """The sums of months, each read once; those of a month that takes no changes are kept from page to page."""

    def __init__(self) -> None:
        self.sources = list(Source.objects.prefetch_related("measure_changes"))
        self._newest = MonthTotal.objects.aggregate(newest=Max("pk"))["newest"]
        self._months: dict[int, datetime.date] = {}
        self._found: dict[tuple[str, int], MonthSums] = {}

    def read(self, *asked: tuple[str, Sequence[BillingPeriod]]) -> None:
        """Read months by what is asked for, such as `("source", months)`, all that is kept in one go."""
        wanted = {
            (group, period.pk): period
            for by, periods in asked
            for group, members in TOGETHER.items()
            if by in members
            for period in periods
            if (by, period.pk) not in self._found
        }
        names = {place: f"trend-{place[0]}-{place[1]}" for place in wanted}
        try:
            kept = caches["months"].get_many(names.values())
        except checklist.UNREADABLE:
            kept = {}
        for (group, pk), period in wanted.items():
            stamp, sums = kept.get(names[group, pk]) or (None, {})
            if stamp != (now := self.stamp(period)):
                self._months = self._months or dict(BillingPeriod.objects.values_list("pk", "month"))
                sums = {by: _summed(period, by, self.sources, self._months) for by in TOGETHER[group]}
                caches["months"].set(names[group, pk], (now, sums), None)
            self._found.update({(by, pk): each for by, each in sums.items()})

    def of(self, by: str, period: BillingPeriod) -> MonthSums:
        self.read((by, (period,)))
        return self._found[by, period.pk]

    def stamp(self, period: BillingPeriod) -> tuple[object, ...]:
        """Return what is equal as long as the sums of a month are: its lock or the newest total, and what counts."""
        measures = tuple((source.pk, source.kind, source.measure_in(period.month)) for source in self.sources)
        until = self._newest if period.takes_changes else period.closed_at
        return (period.takes_changes, until, measures)


def _summed(
    period: BillingPeriod, by: str, sources: Iterable[Source], months: Mapping[int, datetime.date]
) -> MonthSums:
    made = MonthSums()
    priced = MonthTotal.objects.of_month(period).priced(BY[by], "currency", "state", sources=sources, months=months)
    for (key, currency, state), sums in priced.items():
        of = Sums(sums.charges, sums.listed, sums.contracted, sums.charged)
        if state == Charge.State.HELD:
            made.held[currency] = made.held.get(currency, Sums()).plus(of)
        elif state not in NOT_CHARGED:
            # "" and None say the same: nobody.
            place = (key or None, currency)
            made.rows[place] = made.rows.get(place, Sums()).plus(of)
            made.lacking[currency] = made.lacking.get(currency, 0) + sums.lacking
    return made


def months_until(until: BillingPeriod, number: int, months: Iterable[BillingPeriod]) -> list[BillingPeriod]:
    """Return, of these, the months to a last one, at most so many by the calendar, the oldest first."""
    index = until.month.year * 12 + until.month.month - number
    first = datetime.date(index // 12, index % 12 + 1, 1)
    return sorted((each for each in months if first <= each.month <= until.month), key=lambda each: each.month)


@dataclass(frozen=True)
class Series:
    """One source, service, PI, project or fund/org over the months, in cents."""

    key: Any
    label: str
    amounts: tuple[Decimal, ...]
    # All that are not shown by themselves.
    is_rest: bool = False

    @property
    def total(self) -> Decimal:
        return sum(self.amounts, ZERO)

    @property
    def last(self) -> Decimal:
        return self.amounts[-1]


@dataclass(frozen=True)
class Trend:
    """Months side by side in one currency, the largest first. What is shown adds up to the totals, to the cent."""

    by: str
    measure: str
    currency: str
    months: tuple[BillingPeriod, ...]
    series: tuple[Series, ...]
    totals: tuple[Decimal, ...]
    # What waits for review in these months, in none of the sums.
    held: Sums = Sums()
    # Charges without the cost that their source is charged by, counted with what was billed.
    lacking: int = 0
    currencies: tuple[str, ...] = ()

    @property
    def total(self) -> Decimal:
        return sum(self.totals, ZERO)

    @property
    def rows(self) -> list[tuple[BillingPeriod, tuple[Decimal, ...], Decimal]]:
        """Month by month: the amounts in the order of the series, and their total."""
        return [
            (month, tuple(each.amounts[place] for each in self.series), self.totals[place])
            for place, month in enumerate(self.months)
        ]

    @property
    def columns(self) -> list[tuple[Decimal, ...]]:
        """Month by month, the amounts in the order of the series."""
        return [amounts for _, amounts, _ in self.rows]

    def top(self, number: int) -> "Trend":
        """Return it with the largest so many, and all others as one."""
        if len(self.series) <= number:
            return self
        first, rest = self.series[: number - 1], self.series[number - 1 :]
        others = tuple(sum(amounts, ZERO) for amounts in zip(*(each.amounts for each in rest), strict=True))
        other = Series(None, f"{len(rest):,} others", others, is_rest=True)
        return replace(self, series=(*first, other))

    def largest(self, number: int) -> "Trend":
        """Return it with those alone that have the most in its last month."""
        first = sorted(self.series, key=lambda each: (-each.last, each.label))[:number]
        return replace(self, series=tuple(each for each in first if each.last))


def trend(
    months: Sequence[BillingPeriod],
    by: str,
    *,
    measure: str = "charged",
    currency: str = "",
    totals: Totals | None = None,
    home: str = "",
) -> Trend:
    """Return months side by side; without a currency in that of the institution, or the one there is.

    `totals` are those of the page, where several things are made of them; `home` saves looking the currency up.
    """
    totals = totals or Totals()
    totals.read((by, months))
    of = [totals.of(by, month) for month in months]
    currencies = sorted(
        {each for month in of for _, each in month.rows} | {each for month in of for each in month.held}
    )
    home = home or Policy.objects.current().currency
    if currency not in currencies:
        currency = home if home in currencies or not currencies else currencies[0]
    columns = [
        in_cents({key: getattr(row, measure) for (key, each), row in month.rows.items() if each == currency}, currency)
        for month in of
    ]
    keys = {key for _, column in columns for key in column}
    labels = names_of(by, keys, totals.sources)
    series = [Series(key, labels[key], tuple(column.get(key, ZERO) for _, column in columns)) for key in keys]
    series.sort(key=lambda each: (-each.total, each.label))
    return Trend(
        by,
        measure,
        currency,
        tuple(months),
        tuple(series),
        tuple(total for total, _ in columns),
        added(month.held.get(currency, Sums()) for month in of),
        sum(month.lacking.get(currency, 0) for month in of),
        tuple(currencies),
    )


def in_cents(exact: Mapping[Any, Decimal], currency: str) -> tuple[Decimal, dict[Any, Decimal]]:
    """Round amounts so that they make their total."""
    total = ZERO
    for amount in exact.values():
        total = WIDE.add(total, amount)
    cents = to_cents(total, currency)
    return cents, apportion(cents, exact, currency) if exact else {}


def names_of(by: str, keys: Iterable[Any], sources: Iterable[Source] = ()) -> dict[Any, str]:
    """Return what people call these sources (of those given), services, PIs, projects or fund/orgs."""
    wanted = {key for key in keys if key is not None}
    names: dict[Any, str]
    if by == "source":
        names = {each.pk: each.label for each in sources}
    elif by == "pi":
        # By parts: a database takes so many values at once and no more.
        names = {each.pk: each.display_name for each in Person.objects.in_bulk(wanted).values()}
    elif by == "project":
        names = {each.pk: each.code for each in Project.objects.in_bulk(wanted).values()}
    else:
        names = {key: str(key) for key in wanted}
    return {key: names.get(key, f"{LABELS[by]} {key}") for key in wanted} | {None: NOBODY[by]}

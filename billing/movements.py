"""What moved most since the month before: PIs, the service and project that moved, and the resources behind it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from django.core.cache import caches

from .fields import WIDE, AmountSum
from .models import BillingPeriod, Charge, MonthTotal
from .money import ZERO
from .months import checklist
from .trends import NOT_CHARGED, Sums, Totals, in_cents, names_of

# Charges of a PI in a project beyond which a page does not look for the resources among them.
LOOKED_THROUGH = 5_000
# How many resources it names of each movement.
NAMED = 3


@dataclass
class Cell:
    """What a PI uses of a service in a project, last month and this month."""

    project_id: int | None
    project: str
    service: str
    before: Sums = Sums()
    now: Sums = Sums()

    @property
    def change(self) -> Decimal:
        return WIDE.subtract(self.now.charged, self.before.charged)


@dataclass(frozen=True)
class Movement:
    """One PI's charges last month and this month, in cents, and what moved most of it."""

    key: Any
    label: str
    before: Decimal
    now: Decimal
    cell: Cell | None = None
    resources: tuple["Moved", ...] = ()
    # All whose movement is not shown by itself.
    is_rest: bool = False

    @property
    def change(self) -> Decimal:
        return self.now - self.before


@dataclass(frozen=True)
class Moved:
    """A resource behind a movement, by its source and number: what it was charged last month and this, exactly."""

    name: str
    source: str
    number: int
    before: Decimal
    now: Decimal

    @property
    def change(self) -> Decimal:
        return WIDE.subtract(self.now, self.before)


@dataclass(frozen=True)
class Movements:
    """What changed most since the month before, of PIs, with all others as the last; it adds up to the totals."""

    before: BillingPeriod
    currency: str
    rows: tuple[Movement, ...]
    before_total: Decimal
    now_total: Decimal

    @property
    def change(self) -> Decimal:
        return self.now_total - self.before_total


def movements(
    now: BillingPeriod, before: BillingPeriod, *, currency: str, totals: Totals, number: int = 5
) -> Movements:
    """Return which PIs moved most between two months, and by what; kept until a charge of either changes."""
    name = f"moved-{before.pk}-{now.pk}-{currency}-{number}"
    stamp = (totals.stamp(before), totals.stamp(now))
    try:
        kept_stamp, kept = caches["months"].get(name) or (None, None)
    except checklist.UNREADABLE:
        kept_stamp, kept = None, None
    made: Movements
    if kept is not None and kept_stamp == stamp:
        made = kept
    else:
        made = _movements(now, before, currency, totals, number)
        caches["months"].set(name, (stamp, made), None)
    # A name may change while no charge does.
    labels = names_of("pi", (row.key for row in made.rows))
    return replace(made, rows=tuple(row if row.is_rest else replace(row, label=labels[row.key]) for row in made.rows))


def _movements(now: BillingPeriod, before: BillingPeriod, currency: str, totals: Totals, number: int) -> Movements:
    (total_now, of_now), (total_before, of_before) = (
        in_cents(
            {key: sums.charged for (key, each), sums in totals.of("pi", month).rows.items() if each == currency},
            currency,
        )
        for month in (now, before)
    )
    changes = {key: of_now.get(key, ZERO) - of_before.get(key, ZERO) for key in {*of_now, *of_before}}
    moved = (key for key in changes if changes[key])
    most = sorted(moved, key=lambda key: (-abs(changes[key]), str(key)))[:number]
    cells, charges = _cells(now, before, most, currency, totals)
    rows = []
    for key in most:
        cell = cells.get(key)
        is_few = cell is not None and charges[key, cell.project_id] <= LOOKED_THROUGH
        behind = _resources(now, before, key, cell, currency, totals) if cell and is_few else ()
        rows.append(Movement(key, "", of_before.get(key, ZERO), of_now.get(key, ZERO), cell, behind))
    if others := set(changes) - set(most):
        was, are = (sum((of.get(key, ZERO) for key in others), ZERO) for of in (of_before, of_now))
        named = f"{len(others):,} other PI{'' if len(others) == 1 else 's'}"
        rows.append(Movement(None, named, was, are, is_rest=True))
    return Movements(before, currency, tuple(rows), total_before, total_now)


def _cells(
    now: BillingPeriod, before: BillingPeriod, pis: Sequence[Any], currency: str, totals: Totals
) -> tuple[dict[Any, Cell], dict[tuple[Any, int | None], int]]:
    """Return what moved most of each of these PIs, and how many charges they have by PI and project.

    Those without a PI have no such cell: they are too many to look through.
    """
    rows = MonthTotal.objects.filter(
        pi__in=[key for key in pis if key is not None], charged_in__in=(now, before), currency=currency
    ).exclude(state__in=NOT_CHARGED)
    cells: dict[Any, dict[tuple[int | None, str], Cell]] = defaultdict(dict)
    charges: dict[tuple[Any, int | None], int] = defaultdict(int)
    by = ("pi_id", "project_id", "project__code", "service_name", "charged_in_id")
    for (pi, project_id, project, service, month), sums in rows.priced(*by, sources=totals.sources).items():
        cell = cells[pi].setdefault((project_id, service), Cell(project_id, project or "", service))
        of = Sums(sums.charges, sums.listed, sums.contracted, sums.charged)
        if month == now.pk:
            cell.now = cell.now.plus(of)
        else:
            cell.before = cell.before.plus(of)
        charges[pi, project_id] += sums.charges
    most = {pi: max(each.values(), key=lambda cell: (abs(cell.change), cell.service)) for pi, each in cells.items()}
    return most, charges


def _resources(
    now: BillingPeriod, before: BillingPeriod, pi: int, cell: Cell, currency: str, totals: Totals
) -> tuple[Moved, ...]:
    """Return the resources that moved most within a cell, from the charges of the PI and project in both months."""
    charges = (
        Charge.objects.live()
        .filter(charged_in__in=(now, before), pi=pi, project=cell.project_id, currency=currency)
        .filter(product__service_name=cell.service)
        .exclude(state__in=NOT_CHARGED)
        .with_prices(totals.sources, estimates=True)
    )
    found: dict[tuple[str, int], dict[int, Decimal]] = defaultdict(dict)
    names: dict[tuple[str, int], str] = {}
    for source, key, name, identity, month, charged in (
        charges.order_by()
        .values_list("source__name", "resource_key", "resource__resource_name", "resource__resource_id", "charged_in")
        .annotate(charged=AmountSum("exact_charged"))
    ):
        found[source, key][month] = charged
        names[source, key] = name or identity
    moved = [
        Moved(names[place], *place, by.get(before.pk, ZERO), by.get(now.pk, ZERO))
        for place, by in found.items()
        if names[place] and by.get(before.pk, ZERO) != by.get(now.pk, ZERO)
    ]
    return tuple(sorted(moved, key=lambda each: (-abs(each.change), each.name))[:NAMED])

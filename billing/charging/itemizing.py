"""Payer lines charge by charge, in cents that add up to each resource of a line, and so to the line."""

import datetime
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Q

from ..models import PATHS, BillingPeriod, PayerLine
from ..moments import at_one_moment
from ..quantity_sums import used_quantity, used_unit
from .breakdown import Resources, Spellings, apportioned, exact_parts
from .groups import REFERENCES, Groups
from .month import Month, Sums

# What a charge says of itself besides its group, in this order.
SAID = (
    *("pk", "charge_period_start", "charge_period_end"),
    *(PATHS[name] for name in ("provider_name", "resource_id", "resource_name", "sku_id")),
    *REFERENCES,
)


@dataclass(frozen=True)
class Whole:
    """What a payer line comes to, in whole cents of a currency."""

    list_cost: Decimal
    contracted_cost: Decimal
    charged: Decimal
    currency: str


@dataclass(slots=True)
class ChargePart:
    """A charge's part of a payer line, in whole cents of the line's currency.

    `quantity` (decimal text) is of the charge as a whole; `percent` of its cost is the payer's.
    """

    charge: int
    start: datetime.datetime
    end: datetime.datetime
    provider: str
    resource_id: str
    resource_name: str
    sku: str
    reference_1: str
    reference_2: str
    quantity: str | None
    unit: str
    percent: Decimal
    list_cost: Decimal
    contracted_cost: Decimal
    charged: Decimal


@at_one_moment
def itemized(
    period: BillingPeriod,
    lines: Mapping[str, Whole],
    *,
    owners: Collection[int],
    besides: Iterable[tuple[int, int | None]] = (),
) -> dict[str, list[ChargePart]]:
    """Return the charges of payer lines of a month, by payer key, in the order of their service.

    The lines are charges or late changes of these owners (PIs by id); what they have `besides`, as (PI, project), is
    not read. Cents go by the rule of `resources_of`: a line's among its resources, and each resource's among its
    charges, by largest remainder. Costs shared over what a source charged have no charge of one payer, and are left
    out. Raises the errors of `make_payer_lines`, and ValueError for a line that has no charges any more.
    """
    month = Month(period)
    spellings = Spellings()
    found = {key: Resources(spellings) for key in lines}
    asked = _of(month, owners, besides)
    charges = Groups(month).charges(*SAID, used_quantity(), used_unit(), asked=asked)
    for group, sums, said in charges:
        if group.kind == PayerLine.Kind.SHARED:
            continue
        resource_id, name = said[4:6]
        for payer, exact in exact_parts(month, group, sums):
            if payer.key in found:
                values: Any = (*said, payer.percent, exact.list_cost, exact.contracted_cost, exact.charged)
                part = ChargePart(*values)
                found[payer.key].add((name or resource_id, resource_id), exact).charges.append(part)
    for key, resources in found.items():
        _in_cents(lines[key], resources)
    return {key: _in_order(resources) for key, resources in found.items()}


def _of(month: Month, owners: Collection[int], besides: Iterable[tuple[int, int | None]]) -> Q:
    """Match the charges of these owners; those without a PI go to the default PI of their source."""
    asked = Q(pi__in=owners)
    for pi, project in besides:
        asked &= ~(Q(pi=pi) & (Q(project__isnull=True) if project is None else Q(project=project)))
    by_default = [source.pk for source in month.sources.values() if source.default_pi_id in owners]
    return asked | Q(pi__isnull=True, source__in=by_default) if by_default else asked


def _in_cents(whole: Whole, resources: Resources) -> None:
    """Put whole cents in place of the exact amounts of a line's charges."""
    cents_of = apportioned(Sums(whole.list_cost, whole.contracted_cost, whole.charged), resources.sums, whole.currency)
    for resource, parts in resources.charges.items():
        exact = {part.charge: Sums(part.list_cost, part.contracted_cost, part.charged) for part in parts}
        cents = apportioned(cents_of[resource], exact, whole.currency)
        for part in parts:
            own = cents[part.charge]
            part.list_cost, part.contracted_cost, part.charged = own.list_cost, own.contracted_cost, own.charged


def _in_order(resources: Resources) -> list[ChargePart]:
    parts = [part for of_resource in resources.charges.values() for part in of_resource]
    return sorted(parts, key=lambda part: (part.start, part.charge))

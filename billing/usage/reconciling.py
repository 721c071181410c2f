"""Units in and units out: what was delivered of a month's usage is charged, free, held or rejected, rate by rate.

What was delivered was counted from the records when the month was priced. What became of it is counted from the charges
as they stand, so that the two can disagree.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Case, CharField, F, Q, Value, When

from ..models import PATHS, BillingPeriod, Charge, Import, PricedMonth
from ..money import ZERO
from ..quantities import counted, for_people
from ..quantity_sums import QuantitySum
from .accounts import plain_quantity
from .terms import standing_months

# Quantities of charges have eight decimals, so that each may be half of the last one off.
LAST_PLACE = Decimal("0.00000001")
FREE = "free"


@dataclass(frozen=True)
class UnitsOfRate:
    """The units of one rate in a month. `free` is by reason, as it was priced; the rest by the state of the charges."""

    feed: str
    rate: str
    unit: str
    records: int
    delivered: Decimal
    charged: Decimal
    free: dict[str, Decimal]
    held: Decimal
    rejected: Decimal

    @property
    def difference(self) -> Decimal:
        """What was delivered and is nowhere, or is there and was not delivered; 0 within the rounding of charges."""
        off = self.delivered - self.charged - sum(self.free.values(), ZERO) - self.held - self.rejected
        return off if abs(off) > LAST_PLACE * max(self.records, 1) else ZERO

    def as_data(self) -> dict[str, Any]:
        """The units as JSON keeps them: decimal texts."""
        return {
            "feed": self.feed,
            "rate": self.rate,
            "unit": self.unit,
            "delivered": plain_quantity(self.delivered),
            "charged": plain_quantity(self.charged),
            "free": {reason: plain_quantity(quantity) for reason, quantity in sorted(self.free.items())},
            "held": plain_quantity(self.held),
            "rejected": plain_quantity(self.rejected),
            "difference": plain_quantity(self.difference),
        }

    @property
    def parts(self) -> list[tuple[str, Decimal]]:
        """Where the units went, in words, what comes to nothing left out."""
        named = [
            ("charged", self.charged),
            *((f"free: {reason.replace('_', ' ')}", quantity) for reason, quantity in sorted(self.free.items())),
            ("held", self.held),
            ("rejected", self.rejected),
        ]
        return [(name, quantity) for name, quantity in named if quantity]

    def __str__(self) -> str:
        parts = " + ".join(f"{for_people(quantity)} {name}" for name, quantity in self.parts) or "0"
        return f"{self.feed}, {self.rate}: {counted(self.delivered, self.unit)} = {parts}"

    @property
    def as_row(self) -> dict[str, str]:
        """The units as people read them, for a row of a table."""
        free = sum(self.free.values(), ZERO)
        reasons = ", ".join(reason.replace("_", " ") for reason in sorted(self.free))
        told = {
            "delivered": self.delivered,
            "charged": self.charged,
            "free": free,
            "held": self.held,
            "rejected": self.rejected,
            "difference": self.difference,
        }
        return {name: for_people(quantity) for name, quantity in told.items()} | {"reasons": reasons}

    @property
    def problem(self) -> str:
        """What is off, in a sentence; empty where nothing is."""
        if not self.difference:
            return ""
        if self.difference < 0:
            return f"The charges have {counted(-self.difference, self.unit)} of {self.rate} that were not delivered."
        return f"The charges lack {counted(self.difference, self.unit)} of {self.rate}."


def units_of(period: BillingPeriod) -> list[UnitsOfRate]:
    """Return the units of every feed and rate of a month."""
    priced = [each for each in standing_months() if each.period_id == period.pk and not _waits(each)]
    priced.sort(key=lambda each: each.feed.name)
    found = _of_charges(period, [each.feed.source_id for each in priced]) if priced else {}
    return [
        _of_rate(each.feed.name, units, found.get((each.feed.source_id, units["rate"]), {}))
        for each in priced
        for units in each.units
        if units["records"]
    ]


def _waits(priced: PricedMonth) -> bool:
    """Tell whether what a month was priced at waits, so that its charges are those of an earlier time."""
    return priced.imported is not None and priced.imported.state == Import.State.DEFERRED


def _of_charges(period: BillingPeriod, sources: list[int]) -> dict[tuple[int, str], dict[str, Decimal]]:
    """Return the quantities of a month's charges, by source and rate, and in that by state.

    What is billed at nothing is FREE, whatever its state.
    """
    usage = Q(**{PATHS["charge_category"]: Charge.Category.USAGE})
    state = Case(When(billed_cost=0, then=Value(FREE)), default=F("state"), output_field=CharField())
    rows = (
        Charge.objects.standing()
        .filter(usage, period=period, source__in=sources)
        .order_by()
        .values_list("source", PATHS["sku_id"], state)
        .annotate(quantity=QuantitySum("pricing_quantity"))
    )
    found: dict[tuple[int, str], dict[str, Decimal]] = {}
    for source, rate, state, quantity in rows:
        found.setdefault((source, rate), {})[state] = quantity or ZERO
    return found


def _of_rate(feed: str, units: dict[str, Any], by_state: dict[str, Decimal]) -> UnitsOfRate:
    free = {reason: Decimal(quantity) for reason, quantity in units["free"].items()}
    billed = sum((by_state.get(state, ZERO) for state in Charge.CHARGEABLE), ZERO)
    held, rejected = by_state.get(Charge.State.HELD, ZERO), by_state.get(Charge.State.REJECTED, ZERO)
    # Of a charge that is free in part, no row says which part: it is of those that are charged, and else of those held.
    partly = sum(free.values(), ZERO) - by_state.get(FREE, ZERO)
    charged = max(billed - partly, ZERO) if partly > 0 else billed - partly
    held -= max(partly - billed, ZERO)
    return UnitsOfRate(
        feed=feed,
        rate=units["rate"],
        unit=units["unit"],
        records=units["records"],
        delivered=Decimal(units["delivered"]),
        charged=charged,
        free=free,
        held=held,
        rejected=rejected,
    )

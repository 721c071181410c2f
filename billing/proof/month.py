"""A month that is being proved: what is looked up for it once."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import NamedTuple

from .. import charging
from ..models import BillingPeriod, ExchangeRate, PayerLine, Policy, Source
from ..money import EXACT, ZERO
from .findings import About

# A source and a currency that it delivers in.
Scope = tuple[int, str]


@dataclass
class Sums:
    """An exact amount, with the rows and charges it is of."""

    rows: int = 0
    charges: int = 0
    amount: Decimal = ZERO

    @property
    def is_something(self) -> bool:
        return bool(self.rows or self.amount)

    def add(self, rows: int, amount: Decimal, charges: int = 0) -> None:
        self.rows += rows
        self.charges += charges
        self.amount = EXACT.add(self.amount, amount)


class Line(NamedTuple):
    """A payer line, as the proof reads it."""

    key: str
    kind: str
    source_id: int
    pi_id: int | None
    project_id: int | None
    charged: Decimal
    list_cost: Decimal
    contracted: Decimal
    rounding: Decimal

    @property
    def of_currency(self) -> str:
        """The currency it was delivered in, the last part of its key."""
        return self.key.rsplit(charging.SEPARATOR, 1)[-1]

    @property
    def owner(self) -> tuple[int | None, int | None]:
        return self.pi_id, self.project_id


class Month:
    """A month that is being proved, with what its sources, months, rates and payer lines are, read once."""

    def __init__(self, period: BillingPeriod) -> None:
        self.period = period
        self.is_finalized = period.status == BillingPeriod.Status.FINALIZED
        self.home = Policy.objects.current().currency
        self.sources = Source.objects.prefetch_related("measure_changes").in_bulk()
        self.months = {each.pk: each for each in BillingPeriod.objects.all()}
        self._measures: dict[tuple[int, int], str] = {}

    def charges_effective(self, source_id: int, period_id: int) -> bool:
        """Tell whether a source charges EffectiveCost in a month, and not BilledCost."""
        key = (source_id, period_id)
        if key not in self._measures:
            self._measures[key] = str(self.sources[source_id].measure_in(self.months[period_id].month))
        return self._measures[key] == Source.Measure.EFFECTIVE

    @cached_property
    def rates(self) -> dict[tuple[int, str], Decimal]:
        return {(each.period_id, each.currency): each.rate for each in ExchangeRate.objects.order_by()}

    @cached_property
    def lines(self) -> list[Line]:
        """The month's payer lines, in the order of their keys."""
        lines = PayerLine.objects.filter(period=self.period).order_by("key")
        columns = ("key", "kind", "source", "pi", "project", "charged", "list_cost", "contracted_cost", "rounding")
        return [Line(*row) for row in lines.values_list(*columns)]

    def about_lines(self, source: Source | None, *kinds: str) -> About:
        """Return which payer lines of the month are those of a source, of some kinds or all."""
        where: dict[str, int | str | tuple[str, ...]] = {"period": self.period.iso_month}
        if source is not None:
            where["source"] = source.pk
        if kinds:
            where["kind"] = kinds
        return About("billing.payerline", where=where)

    def about_imports(self, source: Source, *, is_late: bool = False) -> About:
        """Return the applied imports of a source that told of the month, or those booked in it as late changes."""
        where: dict[str, int | str | tuple[str, ...]] = {"source": source.pk, "state": ("applied",)}
        scope: Mapping[str, int | str] = (
            {"booked_in": self.period.pk} if is_late else {"scope_totals__period": self.period.iso_month}
        )
        return About("billing.import", where=where | dict(scope))

    def about_charges(self, source: Source, states: tuple[str, ...], **where: int | str) -> About:
        """Return the charges of a source in some states that are not withdrawn."""
        return About("billing.charge", where=where | {"source": source.pk, "standing": "live", "state": states})

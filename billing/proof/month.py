"""A month that is being proved: what is looked up for it once."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple

from django.db.models import Case, CharField, Count, Exists, F, Subquery, Value, When
from django.db.models.functions import Coalesce

from .. import charging
from ..fields import AmountField, AmountSum
from ..models import (
    PATHS,
    AuditEvent,
    BillingPeriod,
    Charge,
    ExchangeRate,
    FrozenProof,
    PayerLine,
    Policy,
    Source,
    totalling,
)
from ..models.month_totals import KEY
from ..money import EXACT, ZERO
from .findings import About

# Where a key of month totals says the month that charges are charged in.
_CHARGED_IN = KEY.index("charged_in_id")

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
    customer_id: int | None

    @property
    def of_currency(self) -> str:
        """The currency it was delivered in, the last part of its key."""
        return self.key.rsplit(charging.SEPARATOR, 1)[-1]

    @property
    def owner(self) -> tuple[int | None, int | None]:
        return self.pi_id, self.project_id


# The columns of payer lines that `Line` has, in its order.
LINE = (
    *("key", "kind", "source", "pi", "project", "charged", "list_cost", "contracted_cost", "rounding"),
    "customer",
)


class Standing(NamedTuple):
    """What the imports in force bill in a month under an invoice, in an account, for one reason.

    `why` is what stands between BilledCost and EffectiveCost: a commitment bought, one used, or something other.
    """

    source_id: int
    invoice_id: str
    billing_account_id: str
    currency: str
    why: str
    billed: Decimal
    effective: Decimal
    charges: int


class Month:
    """A month that is being proved, with all that several parts of its proof need, each read once."""

    def __init__(self, period: BillingPeriod) -> None:
        self.period = period
        self.is_finalized = period.status == BillingPeriod.Status.FINALIZED
        self.home = Policy.objects.current().currency
        self._measures: dict[tuple[int, int], str] = {}

    @cached_property
    def sources(self) -> dict[int, Source]:
        return Source.objects.with_measures()

    @property
    def has_usage(self) -> bool:
        """Whether any source has usage that is priced here."""
        return any(vars(source)["has_usage"] for source in self.sources.values())

    @cached_property
    def months(self) -> dict[int, Any]:
        """Every month by its id, with what was recorded elsewhere of the one that is being proved."""
        events = AuditEvent.objects.filter(object_type="billingperiod", object_id=str(self.period.pk)).order_by("-pk")
        reversing = Charge.objects.live().filter(period=self.period, reverses__isnull=False)
        found = BillingPeriod.objects.annotate(
            run=Subquery(events.filter(action="payer_lines.made").values("after")[:1]),
            sealing=Subquery(events.filter(action="proof.frozen").values("after")[:1]),
            has_reversals=Exists(reversing),
            is_frozen=Exists(FrozenProof.objects.filter(period=self.period)),
        )
        return {each.pk: each for each in found}

    @cached_property
    def before(self) -> BillingPeriod | None:
        """The month before, where there is one."""
        shown = (each for each in self.months.values() if each.removed_at is None)
        return next((each for each in shown if each.next_month == self.period.month), None)

    @property
    def run(self) -> dict[str, Any] | None:
        """What the last run that made payer lines said of them; None where none did."""
        found: dict[str, Any] | None = self.months[self.period.pk].run
        return found

    @cached_property
    def frozen(self) -> FrozenProof | None:
        """The proof the month was finalized with."""
        is_frozen = self.months[self.period.pk].is_frozen
        return FrozenProof.objects.filter(period=self.period).first() if is_frozen else None

    @property
    def sealing(self) -> dict[str, Any] | None:
        """The hashes that the audit log has of that proof; None where it was never frozen."""
        found: dict[str, Any] | None = self.months[self.period.pk].sealing
        return found

    @cached_property
    def groups(self) -> list[totalling.Group]:
        """The live charges of the month, added up once by all that totals and the proof tell apart."""
        return totalling.groups_of(charging.in_storage_order(self.period), with_rows=True)

    def totals(self, period: BillingPeriod) -> totalling.Totals:
        """Return the totals that screens show of this month, or of the one before."""
        return {key: sums for key, sums in self._totals.items() if key[_CHARGED_IN] == period.pk}

    @cached_property
    def _totals(self) -> totalling.Totals:
        return totalling.kept([self.period.pk, *([self.before.pk] if self.before else [])])

    @cached_property
    def effective_sources(self) -> list[Source]:
        """The sources that charge EffectiveCost in the month, by name."""
        found = (each for each in self.sources.values() if self.charges_effective(each.pk, self.period.pk))
        return sorted(found, key=lambda source: source.name)

    @cached_property
    def standing(self) -> list[Standing]:
        """What the imports in force say of the month; what was reversed is looked for only where anything was."""
        charges = Charge.objects.live().filter(period=self.period, reverses__isnull=True)
        if self.months[self.period.pk].has_reversals:
            charges = charges & Charge.objects.standing()
        why: Case | Value = Value("", output_field=CharField())
        if self.effective_sources:
            why = Case(
                When(product__commitment_discount_id="", then=Value("other")),
                When(product__charge_category=Charge.Category.PURCHASE, then=Value("bought")),
                default=Value("used"),
                output_field=CharField(),
            )
        rows = (
            charges.order_by()
            .annotate(why=why)
            .values_list("source_id", PATHS["invoice_id"], PATHS["billing_account_id"], "currency", "why")
            .annotate(
                billed=AmountSum("billed_cost"),
                effective=AmountSum(Coalesce(F("effective_cost"), Value(ZERO, output_field=AmountField()))),
                charges=Count("*"),
            )
        )
        return [Standing(*row) for row in rows]

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
        return [Line(*row) for row in lines.values_list(*LINE)]

    def about_lines(self, source: Source | None, *kinds: str, is_receivable: bool | None = None) -> About:
        """Return which payer lines of the month are those of a source, of some kinds or all.

        Only what customers pay, or all but that, with `is_receivable`.
        """
        where: dict[str, int | str | tuple[str, ...]] = {"period": self.period.iso_month}
        if source is not None:
            where["source"] = source.pk
        if kinds:
            where["kind"] = kinds
        if is_receivable is not None and any(line.customer_id for line in self.lines):
            where["receivable"] = "yes" if is_receivable else "no"
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

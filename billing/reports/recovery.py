"""What a recovery fund/org paid providers and got back, month by month, and what became of the rest."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db.models import Q

from ..fields import WIDE, AmountSum
from ..models import BillingPeriod, Charge, ExchangeRate, Import, MonthTotal, PayerLine, Source
from ..money import EXACT, ZERO, to_cents
from ..texts import long_month
from . import invoiced, ledger, unposted
from .adding import trend_of
from .asking import LABELS
from .facts import Facts
from .tables import Column, Report, Row, total_of

State = Charge.State
# Why what was invoiced is not what was credited: each adds to what remains.
REASONS = {
    "beyond": "Invoice less files",
    "elsewhen": "Charged in other months",
    "of_others": "Of other months, charged here",
    "commitments": "Billed less amortized",
    "held": "Held for review",
    "rejected": "Rejected",
    "unlined": "Not on payer lines yet",
    "showback": "Shown, not charged back",
    "customers": "Invoiced to customers",
    "subsidies": "Funded subsidies",
    "corrections": "Corrections",
    "unjournaled": "Not journaled yet",
    "elsewhere": "Credited to another fund/org",
    "rounding": "Rounding",
}
COLUMNS = (
    Column("invoiced", "Invoiced"),
    Column("credited", "Credited"),
    Column("center", "Credited by the center"),
    Column("remainder", "Not credited"),
    *(Column(name, label) for name, label in REASONS.items()),
)
CENTER = (PayerLine.Kind.CHARGED_TO_CENTER, PayerLine.Kind.BORNE)
HOW = "Invoiced less credited is not credited, and the columns after it say why: they add up to it."
INTERNAL = "Internal services have no invoice: what their usage was priced at stands in its place."
REJECTED = "Rejected of a provider: the provider credits it. Of an internal service: nobody pays it."
NO_FUND = "No recovery fund/org"


@dataclass
class Cell:
    """A source in a month, exactly, in the report's currency; `credits` are by fund/org."""

    invoiced: Decimal = ZERO
    center: Decimal = ZERO
    credits: dict[str, Decimal] = field(default_factory=lambda: defaultdict(lambda: ZERO))
    reasons: dict[str, Decimal] = field(default_factory=lambda: dict.fromkeys(REASONS, ZERO))

    def add(self, reason: str, amount: Decimal) -> None:
        self.reasons[reason] = EXACT.add(self.reasons[reason], amount)

    def invoice(self, amount: Decimal) -> None:
        self.invoiced = EXACT.add(self.invoiced, amount)


class Recovery:
    """What was invoiced, charged and credited in months, by source and month."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.home = facts.policy.currency
        self.currency = facts.asked.currency or self.home
        sources = Source.objects.prefetch_related("measure_changes")
        if wanted := facts.asked.found.get("source"):
            sources = sources.filter(pk=wanted)
        self.sources = {source.pk: source for source in sources}
        self.months = dict(BillingPeriod.objects.values_list("pk", "month"))
        self.rates = {(each.period_id, each.currency): each.rate for each in ExchangeRate.objects.order_by()}
        self.cells: dict[tuple[int, int], Cell] = defaultdict(Cell)
        # What could not be converted, and invoices that count for nothing.
        self.lacking: set[tuple[str, int]] = set()
        self.overlapping: list[str] = []
        # Providers' months without an invoice, by source.
        self.without: dict[int, list[int]] = defaultdict(list)
        self._read_charges()
        self._read_lines()
        self._read_credits()

    def _read_charges(self) -> None:
        """Add up what files bill in these months, and what is charged in them, by what became of it."""
        periods = list(self.facts.periods)
        totals = MonthTotal.objects.filter(Q(charged_in__in=periods) | Q(period__in=periods), source__in=self.sources)
        priced = totals.priced(
            *("source_id", "currency", "charged_in_id", "period_id", "state"),
            sources=list(self.sources.values()),
            months=self.months,
        )
        billed: dict[invoiced.Scope, Decimal] = defaultdict(lambda: ZERO)
        for (source_id, currency, charged_in, period_id, state), sums in priced.items():
            own = self._converted(sums.billed, currency, period_id)
            charged = self._converted(sums.charged, currency, period_id)
            if own is None or charged is None:
                continue
            if period_id in self.facts.periods:
                scope = (source_id, period_id, currency)
                billed[scope] = EXACT.add(billed[scope], sums.billed)
                cell = self.cells[source_id, period_id]
                cell.invoice(own)
                if charged_in != period_id:
                    cell.add("elsewhen", own)
            if charged_in in self.facts.periods:
                cell = self.cells[source_id, charged_in]
                if charged_in != period_id:
                    cell.add("of_others", -own)
                cell.add("commitments", EXACT.subtract(own, charged))
                reason = {State.HELD: "held", State.REJECTED: "rejected"}.get(State(state), "unlined")
                cell.add(reason, charged)
        self._read_invoices(billed)

    def _read_invoices(self, billed: dict[invoiced.Scope, Decimal]) -> None:
        """Have invoices that were entered stand in the place of what files bill."""
        found = invoiced.entered(self.facts.periods.values(), billed)
        for (source_id, period_id, currency), beyond in found.beyond.items():
            amount = self._converted(beyond, currency, period_id) if source_id in self.sources else None
            if amount is not None:
                self.cells[source_id, period_id].invoice(amount)
                self.cells[source_id, period_id].add("beyond", amount)
        self.overlapping = [
            f"{each.invoice_id or 'account ' + each.billing_account_id} of {each.source.label} in {each.period}"
            for each in found.overlapping
            if each.source_id in self.sources
        ]
        told = {(source_id, period_id) for source_id, period_id, _ in found.beyond}
        for source_id, period_id in self.cells:
            is_outside = self.sources[source_id].kind == Source.Kind.PROVIDER
            if is_outside and self.cells[source_id, period_id].invoiced and (source_id, period_id) not in told:
                self.without[source_id].append(period_id)

    def _read_lines(self) -> None:
        """Take off what payer lines hold: what is left is on none yet."""
        lines = PayerLine.objects.filter(
            period__in=list(self.facts.periods), source__in=self.sources, currency=self.currency
        )
        columns = ("source_id", "period_id", "kind", "customer_id")
        sums = lines.order_by().values_list(*columns).annotate(total=AmountSum("charged"), left=AmountSum("rounding"))
        for source_id, period_id, kind, customer, total, left in sums:
            cell = self.cells[source_id, period_id]
            exact = EXACT.add(total, left)
            reason = (
                "subsidies"
                if kind == PayerLine.Kind.SUBSIDY
                else "corrections"
                if kind in PayerLine.ENTERED
                else "unlined"
            )
            cell.add(reason, -exact)
            if customer:
                cell.add("customers", total)
            elif self.sources[source_id].is_journaled:
                cell.add("unjournaled", total)
            else:
                cell.add("showback", total)

    def _read_credits(self) -> None:
        by_name = {source.name: source.pk for source in self.sources.values()}
        for each in ledger.credited(list(self.facts.periods), self.currency):
            if each.source_name not in by_name:
                continue
            cell = self.cells[by_name[each.source_name], each.period_id]
            cell.credits[each.fund_org] += each.amount
            cell.add("unjournaled", -each.amount)
            if each.kind in CENTER:
                cell.center += each.amount

    def _converted(self, amount: Decimal, currency: str, period_id: int) -> Decimal | None:
        """Return an amount in the report's currency; None, noted, where no rate says what it is."""
        if currency == self.currency:
            return amount
        if self.currency != self.home:
            return None
        rate = self.rates.get((period_id, currency))
        if rate is None:
            self.lacking.add((currency, period_id))
            return None
        return EXACT.multiply(amount, rate)

    def figures(self) -> Iterator[tuple[str, int, int, tuple[Decimal, ...]]]:
        """Yield fund/org, month, source and figures in whole cents: all of a source's where it was credited.

        Where its credits are on several, what it is now stands for all but what others were credited.
        """
        for (source_id, period_id), cell in self.cells.items():
            on = [fund_org for fund_org, amount in cell.credits.items() if amount]
            home = on[0] if len(on) == 1 else self.sources[source_id].recovery_fund_org
            others = {fund_org: cell.credits[fund_org] for fund_org in on if fund_org != home}
            elsewhere = sum(others.values(), ZERO)
            figures = self._in_cents(cell, cell.credits.get(home, ZERO), elsewhere)
            if any(figures):
                yield home, period_id, source_id, figures
            for fund_org, amount in others.items():
                yield fund_org, period_id, source_id, self._in_cents(Cell(), amount, -amount)

    def _in_cents(self, cell: Cell, credited: Decimal, elsewhere: Decimal) -> tuple[Decimal, ...]:
        """Round each figure once; what that leaves is rounding, too."""
        reasons = {name: to_cents(amount, self.currency) for name, amount in cell.reasons.items()}
        reasons["elsewhere"] = elsewhere
        told = to_cents(cell.invoiced, self.currency)
        remainder = told - credited
        reasons["rounding"] = ZERO
        reasons["rounding"] = remainder - sum(reasons.values(), ZERO)
        return (told, credited, cell.center, remainder, *reasons.values())


def reconciliation(facts: Facts) -> Report:
    """Return what each recovery fund/org was invoiced and credited, and the rest by reason, to the cent."""
    recovery = Recovery(facts)
    found: dict[tuple[Any, Any], tuple[Decimal, ...]] = {}
    monthly: dict[str, dict[int, Decimal]] = {"Credited": {}, "Not credited": {}}
    by = facts.asked.by
    for fund_org, period_id, source_id, figures in recovery.figures():
        key = {"recovery": (fund_org, period_id), "month": (period_id, None), "source": (source_id, period_id)}[by]
        found[key] = _plus(found.get(key), figures)
        for series, place in (("Credited", 1), ("Not credited", 3)):
            monthly[series][period_id] = monthly[series].get(period_id, ZERO) + figures[place]
    rows = _rows(facts, found, recovery)
    return Report(
        asked=facts.asked,
        currency=recovery.currency,
        columns=COLUMNS,
        rows=tuple(rows),
        total=total_of(COLUMNS, rows),
        heading=LABELS[by],
        currencies=(recovery.currency,),
        trend=trend_of(facts, monthly, recovery.currency, keeps=True),
        notes=tuple(_notes(recovery)),
        is_sparse=True,
    )


def _rows(facts: Facts, found: Mapping[tuple[Any, Any], tuple[Decimal, ...]], recovery: Recovery) -> list[Row]:
    """Return a row for each fund/org or source, and below it one for each of several months; or one for each month."""
    order = {pk: place for place, pk in enumerate(facts.periods)}
    if facts.asked.by == "month":
        return [
            Row(long_month(facts.periods[pk].month), found[pk, None], facts.periods[pk].iso_month)
            for pk in sorted({key for key, _ in found}, key=order.__getitem__)
        ]

    def label(key: Any) -> str:
        return recovery.sources[key].label if facts.asked.by == "source" else key or NO_FUND

    rows: list[Row] = []
    for key in sorted({key for key, _ in found}, key=label):
        months = sorted((month for of, month in found if of == key), key=order.__getitem__)
        place = len(rows)
        is_one = len(months) == 1
        parts = () if is_one else tuple(range(place + 1, place + 1 + len(months)))
        whole: tuple[Decimal, ...] | None = None
        for month in months:
            whole = _plus(whole, found[key, month])
        assert whole is not None
        named = recovery.sources[key].name if facts.asked.by == "source" else key
        rows.append(Row(label(key), whole, named, 0, parts))
        if not is_one:
            rows += [Row(long_month(facts.periods[month].month), found[key, month], depth=1) for month in months]
    return rows


def _plus(one: tuple[Decimal, ...] | None, other: tuple[Decimal, ...]) -> tuple[Decimal, ...]:
    return other if one is None else tuple(WIDE.add(mine, its) for mine, its in zip(one, other, strict=True))


def _notes(recovery: Recovery) -> Iterator[str]:
    """Yield what a reader has to know: what stands for what, and what is not counted."""
    yield HOW
    yield REJECTED
    kinds = {recovery.sources[source_id].kind for source_id, _ in recovery.cells}
    if Source.Kind.INTERNAL in kinds:
        yield INTERNAL
    for source_id, periods in sorted(recovery.without.items(), key=lambda each: recovery.sources[each[0]].label):
        label, names = recovery.sources[source_id].label, sorted(recovery.months[pk] for pk in periods)
        months = ", ".join(long_month(month) for month in names)
        yield f"No invoice of {label} is entered for {months}: what its files bill stands for it."
    for name in recovery.overlapping:
        yield f"Invoice {name} is not counted: another one speaks for the same charges."
    for currency, period_id in sorted(recovery.lacking):
        month = long_month(recovery.months[period_id])
        yield f"There is no exchange rate for {currency} in {month}: what is billed in it is not counted."
    yield from unposted.accruals(recovery.facts.periods)
    waiting = Import.objects.filter(state=Import.State.DEFERRED, source__in=recovery.sources)
    waiting = waiting.filter(scope_totals__period__in=list(recovery.facts.periods)).distinct().order_by("pk")
    for each in waiting.select_related("source"):
        assert each.source
        yield f"Import {each.pk} of {each.source.label} waits: what it changes is not counted as billed yet."

"""What is on no statement: held, rejected, charged to the center, and what no PI was named for."""

from collections import defaultdict
from decimal import Decimal
from typing import Any

from ..models import BillingPeriod, Charge, MonthTotal, Source
from ..money import ZERO
from ..trends import in_cents
from .adding import chosen, rows_of, trend_of
from .asking import LABELS
from .departments import NONE
from .facts import Facts, narrowed
from .tables import COUNT, Column, Report, total_of

State = Charge.State
# In this order: what waits, what nobody pays, what the center pays, and what has no PI of its own.
KINDS = {
    "held": "Held for review",
    "rejected": "Rejected",
    "center": "Charged to center",
    "unassigned": "Without a PI",
}
COLUMNS = tuple(
    column
    for name, label in KINDS.items()
    for column in (Column(f"{name}_charges", f"{label}, charges", COUNT), Column(name, label))
)
OF_STATE = {State.HELD: "held", State.REJECTED: "rejected", State.CHARGED_TO_CENTER: "center"}
WITHOUT_PI = (
    "Charges without a PI that are approved go to the default PI of their source, or are shared among all whom it "
    "charged; what of them is on statements is in the report of the value delivered as well."
)
AS_DELIVERED = "Amounts are what charges came to as delivered, in their own currency, each total rounded once."


def not_charged(facts: Facts) -> Report:
    """Return the charges and amounts of each kind, from the totals that charges keep of their month."""
    by = facts.asked.by
    found = _by_kind(facts)
    currencies = sorted({currency for _, _, currency, _ in found})
    currency = chosen(currencies, facts)
    exact: dict[str, dict[tuple[Any, int], Decimal]] = {name: defaultdict(lambda: ZERO) for name in KINDS}
    numbers: dict[str, dict[Any, int]] = {name: defaultdict(int) for name in KINDS}
    for (key, month, of, kind), (count, amount) in found.items():
        if of == currency:
            exact[kind][key, month] += amount
            numbers[kind][key] += count
    # Rounded once for the whole, so that rows and months both add up to it.
    cents = {kind: in_cents(amounts, currency)[1] for kind, amounts in exact.items()}
    keys = {key for each in numbers.values() for key in each}
    figures = {
        key: tuple(
            value
            for kind in KINDS
            for value in (numbers[kind].get(key, 0), _sum(cents[kind], lambda place, key=key: place[0] == key))
        )
        for key in keys
    }
    months = {month for amounts in cents.values() for _, month in amounts}
    series = {
        label: {month: _sum(cents[kind], lambda place, month=month: place[1] == month) for month in months}
        for kind, label in KINDS.items()
    }
    rows = rows_of(facts, by, figures, COLUMNS)
    return Report(
        asked=facts.asked,
        currency=currency,
        columns=COLUMNS,
        rows=tuple(rows),
        total=total_of(COLUMNS, rows),
        heading=LABELS[by],
        currencies=tuple(currencies),
        trend=trend_of(facts, series, currency),
        notes=(AS_DELIVERED, *([WITHOUT_PI] if any(numbers["unassigned"].values()) else [])),
    )


def _by_kind(facts: Facts) -> dict[tuple[Any, int, str, str], tuple[int, Decimal]]:
    """Return how many charges there are and what they come to, by key, month (an id), currency and kind."""
    column = {"month": "charged_in_id", "source": "source_id", "service": "service_name"}[facts.asked.by]
    totals: Any = narrowed(MonthTotal.objects.filter(charged_in__in=list(facts.periods)), facts.asked, facts.homes)
    priced = totals.priced(
        *(column, "charged_in_id", "currency", "state", "pi_id"),
        sources=Source.objects.prefetch_related("measure_changes"),
        months=dict(BillingPeriod.objects.values_list("pk", "month")),
    )
    found: dict[tuple[Any, int, str, str], tuple[int, Decimal]] = {}
    for (key, month, currency, state, pi_id), sums in priced.items():
        kind = OF_STATE.get(state) or ("" if pi_id else "unassigned")
        if kind:
            place = (key or ("" if column == "service_name" else NONE), month, currency, kind)
            count, amount = found.get(place, (0, ZERO))
            found[place] = (count + sums.charges, amount + sums.charged)
    return found


def _sum(amounts: Any, is_of: Any) -> Decimal:
    return sum((amount for place, amount in amounts.items() if is_of(place)), ZERO)

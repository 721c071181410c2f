"""What subsidies and free amounts of usage came to, program by program, as usage was priced."""

from collections import defaultdict
from decimal import Decimal

from ..models import UsageSubsidy
from ..money import ZERO
from ..trends import in_cents
from ..usage.terms import standing_months
from .adding import trend_of
from .asking import LABELS
from .facts import Facts
from .tables import PERCENT, Column, Report, Row, total_of, with_percents

COLUMNS = (
    Column("subsidy", "Subsidy"),
    Column("funded", "Funded"),
    Column("forgone", "Forgone"),
    Column("part", "Funded part", PERCENT, of=("funded", "subsidy")),
)
AS_PRICED = (
    "Programs are counted as usage was priced, before cents are rounded for payer lines. Subsidies of providers' files "
    "belong to no program."
)
NOT_NARROWED = "Programs are shown whole: what else the report is narrowed to does not count here."


def granted(facts: Facts) -> Report:
    """Return what each subsidy and free amount came to in the months that were priced."""
    currency = facts.asked.currency or facts.policy.currency
    exact: dict[tuple[str, int, bool], Decimal] = defaultdict(lambda: ZERO)
    for priced in standing_months():
        if priced.period_id not in facts.periods:
            continue
        for each in priced.drawn:
            kind = "subsidy" if "subsidy" in each else "free" if "free" in each else ""
            if kind:
                exact[f"{kind}:{each[kind]}", priced.period_id, bool(each["fund_org"])] += Decimal(each["amount"])
    cents = in_cents(exact, currency)[1]
    names = dict(UsageSubsidy.objects.values_list("code", "name"))
    rows = []
    for key in sorted({key for key, _, _ in cents}):
        funded = sum((amount for (of, _, is_funded), amount in cents.items() if of == key and is_funded), ZERO)
        forgone = sum((amount for (of, _, is_funded), amount in cents.items() if of == key and not is_funded), ZERO)
        kind, _, code = key.partition(":")
        label = f"Free amount: {code}" if kind == "free" else f"{names.get(code, code)} ({code})"
        rows.append(Row(label, with_percents(COLUMNS, (funded + forgone, funded, forgone, None))))
    rows.sort(key=lambda row: (-(row.values[0] or 0), row.label))
    series = {
        label: {
            month: sum((amount for (_, of, is_paid), amount in cents.items() if of == month and is_paid == kind), ZERO)
            for month in {month for _, month, _ in cents}
        }
        for label, kind in (("Funded", True), ("Forgone", False))
    }
    return Report(
        asked=facts.asked,
        currency=currency,
        columns=COLUMNS,
        rows=tuple(rows),
        total=total_of(COLUMNS, rows),
        heading=LABELS["program"],
        currencies=(currency,),
        trend=trend_of(facts, series, currency),
        notes=(AS_PRICED, *([NOT_NARROWED] if facts.asked.only else [])),
    )

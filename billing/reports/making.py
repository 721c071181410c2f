"""The reports, by their names; here value delivered, subsidies by who gave them, and year over year."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from ..money import ZERO
from . import notes, programs, recovery, transfers, uncharged, unposted
from .adding import chosen, currencies_of, rows_of, sums, trend_of
from .asking import LABELS, MEASURES, Asked
from .facts import AMOUNTS, Facts
from .names import names_of
from .tables import PERCENT, Column, Report, Row, Value, total_of, with_percents

VALUE = (
    Column("listed", "List price"),
    Column("discount", "Provider discount"),
    Column("contracted", "After discount"),
    Column("subsidy", "Subsidy"),
    Column("charged", "Charged"),
    Column("recovered", "Recovered", PERCENT, of=("charged", "contracted")),
)
SUBSIDY = (
    Column("subsidy", "Subsidy"),
    Column("funded", "Funded"),
    Column("forgone", "Forgone"),
    Column("part", "Funded part", PERCENT, of=("funded", "subsidy")),
)
FORGONE = "Forgone: paid by nobody"
# Funds of their own in the chart; those after are one.
SHOWN = 5
Monthly = Mapping[str, Mapping[int, Decimal]]


def make(asked: Asked) -> Report:
    """Return a report. Every figure is the sum of the statement lines, or of the funds' payer lines, that it is of."""
    makers: dict[str, Callable[[Facts], Report]] = {
        "value": value_delivered,
        "subsidy": programs.granted if asked.by == "program" else subsidies,
        "years": year_over_year,
        "uncharged": uncharged.not_charged,
        "reconciliation": recovery.reconciliation,
        "transfers": transfers.cost_transfers,
        "unposted": unposted.not_posted,
    }
    return makers[asked.name](Facts(asked))


def value_delivered(facts: Facts) -> Report:
    """Return what users got and what they were charged for it: list price − discount − subsidy = charged."""
    by = facts.asked.by
    frame = facts.stated(*dict.fromkeys(("month", by)))
    currencies = currencies_of(frame)
    currency = chosen(currencies, facts)
    figures = {key: _value(*each) for key, each in sums(frame, by, currency, AMOUNTS).items()}
    monthly = {key: _value(*each) for key, each in sums(frame, "month", currency, AMOUNTS).items()}
    series = {
        label: {month: each[place] for month, each in monthly.items()}
        for place, label in ((4, "Charged"), (3, "Subsidy"), (1, "Provider discount"))
    }
    return _report(facts, VALUE, rows_of(facts, by, figures, VALUE), currency, currencies, series)


def subsidies(facts: Facts) -> Report:
    """Return what users did not have to pay: what fund/orgs paid for them, and what nobody did."""
    by = facts.asked.by
    of_lines = [each for each in ("month", by) if each != "giver"]
    stated = facts.stated(*dict.fromkeys(of_lines))
    funded = facts.funded(*dict.fromkeys(("month", by, "giver")))
    currencies = currencies_of(stated, funded)
    currency = chosen(currencies, facts)
    whole = {month: each[1] - each[2] for month, each in sums(stated, "month", currency, AMOUNTS).items()}
    series = _by_giver(facts, whole, funded, currency)
    if by == "giver":
        paid = {key: each[0] for key, each in sums(funded, "giver", currency, ("charged",)).items()}
        rows = rows_of(facts, by, {key: _subsidy(amount, amount) for key, amount in paid.items()}, SUBSIDY)
        forgone = sum(whole.values(), ZERO) - sum(paid.values(), ZERO)
        if forgone:
            rows.append(Row(FORGONE, with_percents(SUBSIDY, _subsidy(forgone, ZERO))))
    else:
        given = {key: each[1] - each[2] for key, each in sums(stated, by, currency, AMOUNTS).items()}
        paid = {key: each[0] for key, each in sums(funded, by, currency, ("charged",)).items()}
        figures = {key: _subsidy(given.get(key, ZERO), paid.get(key, ZERO)) for key in {*given, *paid}}
        rows = rows_of(facts, by, {key: each for key, each in figures.items() if any(each)}, SUBSIDY)
    return _report(facts, SUBSIDY, rows, currency, currencies, series)


def year_over_year(facts: Facts) -> Report:
    """Return an amount of the months asked for beside that of the same months a year earlier."""
    asked = facts.asked
    before = Facts(asked.moved(-12))
    frames = [each.stated(*dict.fromkeys(("month", asked.by))) for each in (before, facts)]
    currencies = currencies_of(*frames)
    currency = chosen(currencies, facts)
    then, now = (
        {key: _measure(asked, each) for key, each in sums(frame, asked.by, currency, AMOUNTS).items()}
        for frame in frames
    )
    columns = (
        Column("now", asked.span),
        Column("before", before.asked.span),
        Column("change", "Change"),
        Column("percent", "Change in percent", PERCENT, of=("change", "before")),
    )
    figures: dict[Any, Sequence[Value]] = {
        key: (now.get(key, ZERO), then.get(key, ZERO), now.get(key, ZERO) - then.get(key, ZERO), None)
        for key in {*now, *then}
    }
    months = [sums(frame, "month", currency, AMOUNTS) for frame in frames]
    amounts = {month: _measure(asked, each) for found in months for month, each in found.items()}
    both = Facts(replace(asked, first=before.asked.first))
    rows = rows_of(facts, asked.by, figures, columns)
    return _report(facts, columns, rows, currency, currencies, {MEASURES[asked.show]: amounts}, shown=both)


def _report(
    facts: Facts,
    columns: tuple[Column, ...],
    rows: list[Row],
    currency: str,
    currencies: list[str],
    series: Monthly,
    *,
    shown: Facts | None = None,
) -> Report:
    asked = facts.asked
    return Report(
        asked=asked,
        currency=currency,
        columns=columns,
        rows=tuple(rows),
        total=total_of(columns, rows),
        heading=LABELS[asked.by],
        currencies=tuple(currencies),
        trend=trend_of(shown or facts, series, currency, keeps=asked.name == "value"),
        notes=tuple(notes.of_lines(facts, currency, currencies)),
    )


def _value(listed: Decimal, contracted: Decimal, charged: Decimal) -> tuple[Any, ...]:
    return (listed, listed - contracted, contracted, contracted - charged, charged, None)


def _subsidy(whole: Decimal, funded: Decimal) -> tuple[Any, ...]:
    return (whole, funded, whole - funded, None)


def _measure(asked: Asked, amounts: Sequence[Decimal]) -> Decimal:
    listed, contracted, charged = amounts
    return {"charged": charged, "subsidy": contracted - charged, "listed": listed}[asked.show]


def _by_giver(facts: Facts, whole: Mapping[int, Decimal], funded: Any, currency: str) -> Monthly:
    """Return what each fund/org paid by month, the largest first, and what nobody paid."""
    paid: dict[str, dict[int, Decimal]] = defaultdict(dict)
    for giver in funded["giver"].unique() if len(funded) else ():
        own = funded[funded["giver"] == giver]
        paid[giver] = {month: each[0] for month, each in sums(own, "month", currency, ("charged",)).items()}
    names = names_of(facts, "giver", paid)
    largest = sorted(paid, key=lambda giver: (-sum(paid[giver].values(), ZERO), giver))
    series: dict[str, dict[int, Decimal]] = {names[giver].label: paid[giver] for giver in largest[: SHOWN - 1]}
    others: dict[int, Decimal] = defaultdict(lambda: ZERO)
    for giver in largest[SHOWN - 1 :]:
        for month, amount in paid[giver].items():
            others[month] += amount
    if others:
        series[f"{len(largest) - SHOWN + 1:,} other fund/orgs"] = dict(others)
    forgone = dict(whole)
    for each in paid.values():
        for month, amount in each.items():
            forgone[month] = forgone.get(month, ZERO) - amount
    return series | {"Forgone": forgone}

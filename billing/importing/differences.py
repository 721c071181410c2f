"""What an import changes against what was there: rows and money, by period and currency, and what moved most."""

import datetime
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db import connection

from ..fields import AmountSum, from_units, sum_sql, units_of_sum
from ..models import BillingPeriod, Charge, Source
from ..money import ZERO, plain
from ..readers.facts import Scope, ScopeTotal, month_number
from ..texts import iso_month, month_name
from .staging.figures import DISPLACED

# How many of the largest movers are told.
MOVERS = 10

COLUMNS = {Source.Measure.BILLED.value: "billed_cost", Source.Measure.EFFECTIVE.value: "effective_cost"}
FOCUS_NAMES = {Source.Measure.BILLED.value: "BilledCost", Source.Measure.EFFECTIVE.value: "EffectiveCost"}

# Rows that become charges, and the charges that each of them replaces; and charges that are removed.
_KEPT = "stage_keep k JOIN stage_row s ON s.row = k.row"
_REPLACED = f"{_KEPT} JOIN billing_charge o ON o.id = k.replaces_id"
_GONE = "stage_gone g JOIN billing_charge o ON o.id = g.charge_id"
_NAMED = "JOIN billing_product p ON p.id = o.product_id JOIN billing_resourcetext r ON r.id = o.resource_id"


@dataclass
class _Sums:
    """Rows, and units of what is charged and of what is billed."""

    rows: int = 0
    amount: int = 0
    billed: int = 0


@dataclass
class _Scope:
    """What an import does to a period, in one currency."""

    delivered: _Sums = field(default_factory=_Sums)
    new: _Sums = field(default_factory=_Sums)
    before: _Sums = field(default_factory=_Sums)
    after: _Sums = field(default_factory=_Sums)
    gone: _Sums = field(default_factory=_Sums)
    movers: list[dict[str, str]] = field(default_factory=list)


def difference(
    *,
    totals: Mapping[Scope, ScopeTotal],
    periods: Mapping[datetime.date, BillingPeriod],
    measures: Mapping[datetime.date, str],
    is_matched: bool,
) -> dict[str, Any]:
    """Return what the staged import changes: month → currency → rows and exact amounts as text.

    `new`, `gone` and `unchanged` have rows, `amount` (by the cost that the source charges, named in
    `measure`) and `billed` (BilledCost). `changed` has old, new and delta of both; a row that changes
    its currency is gone in the one and new in the other. `delta` is what the month moves by, and
    `movers` are the resources whose changed, new and gone rows moved it most. Amounts of different
    currencies are never added.

    `totals` are those of the staged rows; `is_matched` says that `stage_keep` and `stage_gone` tell
    what changes (without, all rows are new).
    """
    scopes: dict[tuple[datetime.date, str], _Scope] = {}
    for (month, _, currency), total in totals.items():
        scope = scopes.setdefault((month, currency), _Scope())
        for sums in (scope.delivered,) if is_matched else (scope.delivered, scope.new):
            sums.rows += total.charges if is_matched else total.rows
            sums.amount += total.units[FOCUS_NAMES[measures[month]]]
            sums.billed += total.units["BilledCost"]
    if is_matched:
        _add_matched(scopes, periods, measures)
    found: dict[str, Any] = {}
    for (month, currency), scope in sorted(scopes.items()):
        found.setdefault(iso_month(month), {})[currency] = _told(scope, FOCUS_NAMES[measures[month]], currency)
    return found


def charged_and_booked(source: Source, period: BillingPeriod, currency: str, measure: str) -> dict[str, str]:
    """Return what a period has of a source so far: as it was charged, and what late changes booked since."""
    sums = {False: ZERO, True: ZERO}
    live = Charge.objects.live().filter(source=source, period=period, currency=currency)
    for is_late, amount in _summed(live, COLUMNS[measure]):
        sums[is_late] = amount
    return {"charged": plain(sums[False], currency), "booked": plain(sums[True], currency)}


def add_elsewhere(
    difference: dict[str, Any], periods: Mapping[datetime.date, BillingPeriod], measures: Mapping[datetime.date, str]
) -> None:
    """Note in a difference, as `elsewhere`, what of it other months bear: month → amount, as text.

    It is there where an amount other than 0 is, of the staged rows of these periods.
    """
    measured = {month: measures[month] for month in periods}
    of = {period.pk: month for month, period in periods.items()}
    numbers = {month_number(month): month for month in periods}
    staged = _measured("s", "s.month", {number: measured[month] for number, month in numbers.items()})
    before = _measured("o", "o.period_id", {pk: measured[month] for pk, month in of.items()})
    bearing = "coalesce(o.charged_in_id, e.period_id)"
    coming = (
        f"SELECT s.month, s.currency, {bearing}, {_sum(staged)} FROM {_KEPT} "  # noqa: S608 (our own names)
        "LEFT JOIN billing_charge o ON o.id = k.replaces_id LEFT JOIN stage_elsewhere e ON e.row = k.row "
        f"WHERE {bearing} IS NOT NULL GROUP BY s.month, s.currency, {bearing}"
    )
    leaving = (
        f"SELECT o.period_id, o.currency, o.charged_in_id, {_sum(before)} FROM billing_charge o "  # noqa: S608
        f"WHERE o.id IN ({DISPLACED}) GROUP BY o.period_id, o.currency, o.charged_in_id"
    )
    units: dict[tuple[datetime.date, str, int], int] = defaultdict(int)
    for sql, months, sign in ((coming, numbers, 1), (leaving, of, -1)):
        for key, currency, bears, amount in _rows(sql):
            if key in months and periods[months[key]].pk != bears:
                units[months[key], currency, bears] += sign * (units_of_sum(amount) or 0)
    named = BillingPeriod.objects.in_bulk({bears for _, _, bears in units})
    for (month, currency, bears), amount in sorted(units.items(), key=lambda each: named[each[0][2]].month):
        if amount:
            found = difference[iso_month(month)][currency]
            found.setdefault("elsewhere", {})[named[bears].iso_month] = _text(amount, currency)


def elsewhere_lines(difference: Mapping[str, Any]) -> Iterator[str]:
    """Yield what of a difference other months bear, a line for each."""
    for month, currencies in difference.items():
        for currency, found in currencies.items():
            for bears, amount in found.get("elsewhere", {}).items():
                yield (
                    f"  Of {month_name(month)}, {_signed(amount)} {currency} goes to {month_name(bears)}, "
                    "where it was booked or carried."
                )


def lines_of(difference: Mapping[str, Any]) -> Iterator[str]:
    """Yield a difference as people read it, a line per period, currency and kind of change."""
    for month, currencies in difference.items():
        for currency, found in currencies.items():
            yield f"  {month_name(month)}, {found['measure']} in {currency}: {_signed(found['delta'])}"
            if "charged" in found:
                yield f"    charged then {_amount(found['charged'])}, booked since {_signed(found['booked'])}"
            for kind in ("new", "changed", "gone", "unchanged"):
                part = found[kind]
                if not part["rows"] and kind != "unchanged":
                    continue
                if kind == "changed":
                    told = f"{_amount(part['old'])} → {_amount(part['new'])} ({_signed(part['delta'])})"
                else:
                    told = _amount(part["amount"])
                yield f"    {kind:<9} {part['rows']:>9,}  {told}"
            for mover in found["movers"]:
                named = " ".join(filter(None, (mover["service"], mover["resource"]))) or "(no name)"
                yield f"      {_signed(mover['delta'])}  {named}: {_amount(mover['old'])} → {_amount(mover['new'])}"
    yield from elsewhere_lines(difference)


def is_nothing(difference: Mapping[str, Any]) -> bool:
    """Whether an import says just what was there."""
    return not any(
        found[kind]["rows"]
        for currencies in difference.values()
        for found in currencies.values()
        for kind in ("new", "changed", "gone")
    )


def _add_matched(
    scopes: dict[tuple[datetime.date, str], _Scope],
    periods: Mapping[datetime.date, BillingPeriod],
    measures: Mapping[datetime.date, str],
) -> None:
    months = {month_number(month): month for month in measures}
    month_of = {period.pk: month for month, period in periods.items()}
    staged = _measured("s", "s.month", {number: measures[month] for number, month in months.items()})
    before = _measured("o", "o.period_id", {pk: measures[month] for pk, month in month_of.items()})
    same = "s.currency = o.currency"

    def add(kind: str, months_by: Mapping[int, datetime.date], sql: str) -> None:
        for key, currency, rows, amount, billed in _rows(sql):
            sums: _Sums = getattr(scopes.setdefault((months_by[key], currency), _Scope()), kind)
            sums.rows += rows
            sums.amount += units_of_sum(amount) or 0
            sums.billed += units_of_sum(billed) or 0

    of_rows = f"SELECT s.month, s.currency, count(*), {_sum(staged)}, {_sum('s.billed_cost')} FROM"
    of_charges = f"SELECT o.period_id, o.currency, count(*), {_sum(before)}, {_sum('o.billed_cost')} FROM"
    grouped_rows, grouped_charges = "GROUP BY s.month, s.currency", "GROUP BY o.period_id, o.currency"
    add("new", months, f"{of_rows} {_KEPT} WHERE k.replaces_id IS NULL {grouped_rows}")
    add("new", months, f"{of_rows} {_REPLACED} WHERE NOT {same} {grouped_rows}")
    add("after", months, f"{of_rows} {_REPLACED} WHERE {same} {grouped_rows}")
    add("before", month_of, f"{of_charges} {_REPLACED} WHERE {same} {grouped_charges}")
    add("gone", month_of, f"{of_charges} {_REPLACED} WHERE NOT {same} {grouped_charges}")
    add("gone", month_of, f"{of_charges} {_GONE} {grouped_charges}")

    _add_movers(scopes, periods, staged, before)


def _add_movers(
    scopes: dict[tuple[datetime.date, str], _Scope],
    periods: Mapping[datetime.date, BillingPeriod],
    staged: str,
    before: str,
) -> None:
    """Name the resources that moved each month most; `staged` and `before` are SQL for what a row is charged."""
    for (month, currency), scope in scopes.items():
        if month not in periods or not (scope.new.rows or scope.after.rows or scope.gone.rows):
            continue
        if scope.new.rows == scope.delivered.rows and not scope.gone.rows:
            # Nothing was there before: everything moved, and nothing of it is news.
            continue
        number = month_number(month)
        moved = f"""
            SELECT p.service_name AS service, coalesce(nullif(r.resource_name, ''), r.resource_id) AS resource,
                0 AS before, {staged} AS after
            FROM {_KEPT} JOIN stage_product p ON p.number = s.product JOIN stage_resource r ON r.number = s.resource
            WHERE s.month = {number} AND s.currency = %(currency)s
            UNION ALL
            SELECT p.service_name, coalesce(nullif(r.resource_name, ''), r.resource_id), {before}, 0
            FROM {_REPLACED} {_NAMED} WHERE o.period_id = {periods[month].pk} AND o.currency = %(currency)s
            UNION ALL
            SELECT p.service_name, coalesce(nullif(r.resource_name, ''), r.resource_id), {before}, 0
            FROM {_GONE} {_NAMED} WHERE o.period_id = {periods[month].pk} AND o.currency = %(currency)s
        """  # noqa: S608 (integers and our own names)
        # How far a resource moved decides only who is told, and in which order.
        sql = f"""
            SELECT service, resource, {_sum("before")}, {_sum("after")} FROM ({moved}) m GROUP BY service, resource
            HAVING {_sum("after")} <> {_sum("before")}
            ORDER BY abs({_about("after - before")}) DESC, service, resource LIMIT {MOVERS}
        """  # noqa: S608
        scope.movers = [
            {
                "service": service,
                "resource": resource,
                "old": _text(old, currency),
                "new": _text(new, currency),
                "delta": _text(new - old, currency),
            }
            for service, resource, old, new in (
                (service, resource, units_of_sum(old) or 0, units_of_sum(new) or 0)
                for service, resource, old, new in _rows(sql, {"currency": currency})
            )
        ]


def _told(scope: _Scope, measure: str, currency: str) -> dict[str, Any]:
    unchanged = _Sums(
        scope.delivered.rows - scope.new.rows - scope.after.rows,
        scope.delivered.amount - scope.new.amount - scope.after.amount,
        scope.delivered.billed - scope.new.billed - scope.after.billed,
    )
    changed = scope.after.amount - scope.before.amount
    changed_billed = scope.after.billed - scope.before.billed
    return {
        "measure": measure,
        "delta": _text(scope.new.amount + changed - scope.gone.amount, currency),
        "billed_delta": _text(scope.new.billed + changed_billed - scope.gone.billed, currency),
        "new": _plain(scope.new, currency),
        "changed": {
            "rows": scope.after.rows,
            "old": _text(scope.before.amount, currency),
            "new": _text(scope.after.amount, currency),
            "delta": _text(changed, currency),
            "billed_old": _text(scope.before.billed, currency),
            "billed_new": _text(scope.after.billed, currency),
            "billed_delta": _text(changed_billed, currency),
        },
        "gone": _plain(scope.gone, currency),
        "unchanged": _plain(unchanged, currency),
        "movers": scope.movers,
    }


def _plain(sums: _Sums, currency: str) -> dict[str, Any]:
    return {"rows": sums.rows, "amount": _text(sums.amount, currency), "billed": _text(sums.billed, currency)}


def _text(units: int, currency: str) -> str:
    return plain(from_units(units), currency)


def _amount(text: str) -> str:
    return f"{Decimal(text):,f}"


def _signed(amount: str) -> str:
    return _amount(amount) if amount.startswith("-") or not amount.strip("0.") else f"+{_amount(amount)}"


def _measured(table: str, key: str, measures: Mapping[int, str]) -> str:
    """SQL for the cost that a row is charged by, in units."""
    effective = [number for number, measure in measures.items() if measure == Source.Measure.EFFECTIVE]
    if not effective:
        return f"{table}.billed_cost"
    if len(effective) == len(measures):
        return f"coalesce({table}.effective_cost, 0)"
    chosen = ", ".join(str(int(number)) for number in effective)
    return f"CASE WHEN {key} IN ({chosen}) THEN coalesce({table}.effective_cost, 0) ELSE {table}.billed_cost END"


def _summed(charges: Any, column: str) -> list[tuple[bool, Any]]:
    rows = charges.order_by().values_list("is_late").annotate(amount=AmountSum(column))
    return [(is_late, amount if amount is not None else ZERO) for is_late, amount in rows]


def _sum(expression: str) -> str:
    return sum_sql(expression, connection.vendor)


def _about(expression: str) -> str:
    """SQL for a sum to be ordered by in size: exact on PostgreSQL, to 15 digits on SQLite, whose sums are texts."""
    return f"sum({expression})" if connection.vendor == "postgresql" else f"total({expression})"


def _rows(sql: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())

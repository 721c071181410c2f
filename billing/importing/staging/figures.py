"""What is staged, in figures: rows and money by month, currency, account and day, and the months that bear it."""

import datetime
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from django.db import connection

from ...fields import EPOCH, sum_sql, units_of_sum
from ...models import BillingPeriod
from ...readers.coded import combined
from .spool import numbers_of
from .tables import Stage

# Seconds.
DAY = 86_400

# What the import changes or no longer has.
DISPLACED = (
    "SELECT charge_id FROM stage_gone UNION ALL SELECT replaces_id FROM stage_keep WHERE replaces_id IS NOT NULL"
)


def delivered(stage: Stage, months: Iterable[int]) -> Iterator[tuple[int, int, int, bool]]:
    """Yield (row, file number, month, whether it is a cost of a resource) of months, as `contents` orders them."""
    wanted = ", ".join(str(int(month)) for month in months)
    stage.lay_out()
    yield from stage.select(
        "SELECT s.row, s.file_number, s.month, "
        "r.resource_id <> '' AND (s.billed_cost <> 0 OR coalesce(s.effective_cost, 0) <> 0) "
        "FROM stage_row s JOIN stage_resource r ON r.number = s.resource "
        f"WHERE s.month IN ({wanted}) ORDER BY s.row"
    )


def flagged(stage: Stage, rows: Sequence[int]) -> int:
    """Return how many of these rows have a flag."""
    stage.list_numbers([np.array(rows, dtype=np.int64)])
    ((count,),) = stage.select(
        "SELECT count(DISTINCT row) FROM stage_flag WHERE row IN (SELECT number FROM stage_left)"
    )
    return int(count)


def kept_months(stage: Stage) -> list[int]:
    """Return the months of the rows that are to be inserted."""
    rows = stage.select("SELECT DISTINCT s.month FROM stage_row s JOIN stage_keep k ON k.row = s.row")
    return [month for (month,) in rows]


def kept_rows(stage: Stage) -> int:
    """Return how many rows are to be inserted."""
    ((count,),) = stage.select("SELECT count(*) FROM stage_keep")
    return int(count)


def bearing(stage: Stage, periods: Iterable[int]) -> list[int]:
    """Return the ids of the periods that bear what the import changes or no longer has of these (ids), or will."""
    of = ", ".join(str(int(each)) for each in periods) or "NULL"
    rows = stage.select(
        f"SELECT charged_in_id FROM billing_charge WHERE id IN ({DISPLACED}) AND period_id IN ({of}) "
        "UNION SELECT period_id FROM stage_elsewhere"
    )
    return [int(period_id) for (period_id,) in rows]


def new_rows(stage: Stage) -> Iterator[tuple[int, int, bytes]]:
    """Yield (row, month, identity hash) of the rows that take no charge's place."""
    for row, month, identity in stage.select(
        "SELECT k.row, s.month, s.identity_hash FROM stage_keep k JOIN stage_row s ON s.row = k.row "
        "WHERE k.replaces_id IS NULL ORDER BY k.row"
    ):
        yield int(row), int(month), bytes(identity)


def held_elsewhere(stage: Stage, target: BillingPeriod) -> list[tuple[int, int]]:
    """Return (period id, number) of the staged charges that another month than `target` holds for review."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT charged_in_id, count(*) FROM billing_charge WHERE id IN ({DISPLACED}) "
            "AND state = 'held' AND charged_in_id <> %s GROUP BY charged_in_id",
            [target.pk],
        )
        return [(int(period_id), int(number)) for period_id, number in cursor.fetchall()]


def flags_beside(stage: Stage, months: Iterable[int]) -> tuple[dict[str, int], int]:
    """Return the number of staged flags by code, and of rows that have any, outside of some months."""
    numbers = ", ".join(str(int(month)) for month in months)
    flags = f"FROM stage_flag f JOIN stage_row s ON s.row = f.row WHERE s.month NOT IN ({numbers})"
    stage.lay_out()
    counts = dict(stage.select(f"SELECT f.code, count(*) {flags} GROUP BY f.code ORDER BY f.code"))
    return counts, sum(rows for (rows,) in stage.select(f"SELECT count(DISTINCT f.row) {flags}"))


def gone_by_period(stage: Stage) -> dict[int, int]:
    """Return how many charges are to be withdrawn, by the id of their period."""
    return dict(
        stage.select(
            "SELECT c.period_id, count(*) FROM billing_charge c JOIN stage_gone g ON g.charge_id = c.id "
            "GROUP BY c.period_id"
        )
    )


def gone(stage: Stage) -> Iterator[tuple[int, str, str, str, str, int, int]]:
    """Yield (period id, billing account, sub account, day, currency, charges, units billed) of what leaves."""
    for period, account, sub_account, day, currency, charges, billed in stage.select(
        f"SELECT c.period_id, t.billing_account_id, t.sub_account_id, {_day('c.charge_period_start')}, c.currency, "
        f"count(*), {_sum('c.billed_cost')} FROM billing_charge c JOIN stage_gone g ON g.charge_id = c.id "
        "JOIN billing_accounttext t ON t.id = c.account_id GROUP BY 1, 2, 3, 4, 5"
    ):
        yield period, account, sub_account, _iso(day), currency, int(charges), units_of_sum(billed) or 0


def new(stage: Stage) -> Iterator[tuple[int, str, str, str, int, int]]:
    """Yield (month, billing account, day, currency, rows, units billed) of the rows that take no charge's place."""
    for month, account, day, currency, rows, billed in stage.select(
        f"SELECT s.month, t.billing_account_id, {_day('s.charge_period_start')}, s.currency, count(*), "
        f"{_sum('s.billed_cost')} FROM stage_keep k JOIN stage_row s ON s.row = k.row "
        "JOIN stage_account t ON t.number = s.account WHERE k.replaces_id IS NULL GROUP BY 1, 2, 3, 4"
    ):
        yield month, account, _iso(day), currency, int(rows), units_of_sum(billed) or 0


def present(stage: Stage, months: Iterable[int]) -> Iterator[tuple[int, str, str, str]]:
    """Yield each (month, billing account, sub account, day) of months that there is a row of."""
    found: set[tuple[int, int, int]] = set()
    for batch in stage.spool.batches():
        days = numbers_of(batch, "charge_period_start") // DAY
        columns = [numbers_of(batch, "month"), numbers_of(batch, "account"), days]
        _, firsts = combined(columns)
        found.update(zip(*(column[firsts].tolist() for column in columns), strict=True))
    accounts = {
        number: texts
        for number, *texts in stage.select("SELECT number, billing_account_id, sub_account_id FROM stage_account")
    }
    wanted = set(months)
    told = {(month, *accounts[account], day) for month, account, day in found if month in wanted}
    for month, account, sub_account, day in sorted(told):
        yield month, account, sub_account, _iso(day)


def kept_sums(stage: Stage) -> list[tuple[int, str, int, int, int]]:
    """Return (month, currency, rows of the files, units billed, units effective) of what is to be inserted."""
    return _sums(
        stage,
        "SELECT s.month, s.currency, sum(s.row_count), "
        f"{_sum('s.billed_cost')}, {_sum('coalesce(s.effective_cost, 0)')} "
        "FROM stage_keep k JOIN stage_row s ON s.row = k.row GROUP BY s.month, s.currency",
    )


def displaced_sums(stage: Stage) -> list[tuple[int, int, str, int, int, int]]:
    """Return (period id, id of the month that bears it, currency, rows, units billed, effective) of what leaves."""
    return _sums(
        stage,
        f"SELECT period_id, charged_in_id, currency, sum(row_count), {_sum('billed_cost')}, "
        f"{_sum('coalesce(effective_cost, 0)')} FROM billing_charge WHERE id IN ({DISPLACED}) "
        "GROUP BY period_id, charged_in_id, currency",
    )


def sums_by_attribution(stage: Stage) -> list[tuple[int, str, int, int]]:
    """Return (attribution's number, currency, rows, units billed) of the rows that become charges."""
    if not stage.is_chosen:
        return stage.tallies.by_attribution()
    rows = stage.select(
        f"SELECT s.attribution, s.currency, count(*), {_sum('s.billed_cost')} FROM stage_row s "
        "JOIN stage_keep k ON k.row = s.row GROUP BY s.attribution, s.currency"
    )
    return [(int(number), str(currency), int(count), units_of_sum(sum) or 0) for number, currency, count, sum in rows]


def _sums(stage: Stage, sql: str) -> list[Any]:
    return [
        (*key, str(currency), int(rows), units_of_sum(billed) or 0, units_of_sum(effective) or 0)
        for *key, currency, rows, billed, effective in stage.select(sql)
    ]


def _day(column: str) -> str:
    """SQL for the day of a time, in UTC, as the number of days since 1970; also of a time before."""
    return f"({column} - ({column} % {DAY} + {DAY}) % {DAY}) / {DAY}"


def _iso(day: int) -> str:
    return (EPOCH + datetime.timedelta(days=day)).date().isoformat()


def _sum(expression: str) -> str:
    return sum_sql(expression, connection.vendor)

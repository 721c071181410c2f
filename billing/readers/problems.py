"""What is wrong with the values of a piece, by line and column, in the words of each value's own conversion."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .amounts import plain_decimal, units_of
from .arrow_texts import coded_column
from .batches import MAX_PROBLEMS, Batch, Problem
from .coded import Coded, Numbers, combined, constant
from .columns import AMOUNTS, DECIMALS, TEXTS
from .dates import end_and_rule, month_of, service_time_of, time_of
from .projects import PROJECT, project_of
from .tags import tags_of
from .understanding import CONVERT
from .values import BadValue, currency_of

NO_CURRENCY = (
    "BillingCurrency is empty. Write the three letters of the currency, such as USD, or remove the column if all rows "
    "are in the institution's own."
)
NO_PERIOD = "BillingPeriodStart is empty. Fill it in, or name the expected period."

# Converts the texts of one value; what is said where it is none, "" where it may be none.
Check = tuple[Callable[..., Any], str]


def problems_of(batch: Batch, *, has_period: bool, otherwise: str = "") -> list[Problem]:
    """Name the values of a piece that cannot be understood (the first hundred), by line and column.

    `has_period` says that rows need not say their month. `otherwise` is said where each value by itself is in order.
    """
    given = {name: coded_column(name, values) for name, values in batch.columns.items()}
    lines = np.asarray(batch.lines, dtype=np.int64)
    found: list[tuple[int, int, Problem]] = []
    for order, (name, columns, (convert, if_none)) in enumerate(_checks(given, len(lines), has_period=has_period)):
        numbers, firsts = combined([column.codes for column in columns])
        told = [_told(convert, if_none, texts) for texts in zip(*(each.at(firsts) for each in columns), strict=True)]
        for row in _first_rows(numbers, lines, told):
            message = told[numbers[row]]
            found.append((int(lines[row]), order, Problem(message, int(lines[row]), name)))
    if not found:
        return [Problem(otherwise or "A value of the rows from here on cannot be read.", int(lines[0]))]
    return [problem for _, _, problem in sorted(found, key=lambda each: each[:2])[:MAX_PROBLEMS]]


def _first_rows(numbers: Numbers, lines: Numbers, told: Sequence[str]) -> list[int]:
    """Return the rows about whose value something is told, those of the first lines."""
    rows = np.flatnonzero(np.array([bool(each) for each in told])[numbers])
    first: list[int] = rows[np.argsort(lines[rows], kind="stable")][:MAX_PROBLEMS].tolist()
    return first


def _told(convert: Callable[..., Any], if_none: str, texts: tuple[str, ...]) -> str:
    try:
        value = convert(*texts)
    except BadValue as error:
        return str(error)
    return if_none if value is None else ""


def _checks(given: dict[str, Coded], size: int, *, has_period: bool) -> Iterator[tuple[str, tuple[Coded, ...], Check]]:
    """Yield what each value is converted by, with its column and the columns whose texts it is converted from."""
    nothing = constant("", size)
    by_column: dict[str, Check] = {
        **{name: (CONVERT[name], "") for name in TEXTS},
        **dict.fromkeys(DECIMALS, (plain_decimal, "")),
        **{name: (units_of, "BilledCost is empty." if name == "BilledCost" else "") for name in AMOUNTS},
    }
    for name, check in by_column.items():
        if name in given:
            yield name, (given[name],), check
    months = given.get("BillingPeriodStart", nothing)
    yield "BillingPeriodStart", (months,), (month_of, "" if has_period else NO_PERIOD)
    starts = given["ChargePeriodStart"]
    yield "ChargePeriodStart", (starts,), (service_time_of, "ChargePeriodStart is empty.")
    billing_ends = given.get("BillingPeriodEnd", nothing)
    yield "BillingPeriodEnd", (billing_ends,), (time_of, "")
    if "ChargePeriodEnd" in given:
        times = (starts, given["ChargePeriodEnd"], billing_ends)
        yield "ChargePeriodEnd", times, (lambda *texts: end_and_rule(texts), "")
    others: dict[str, Check] = {
        "BillingCurrency": (lambda text: currency_of(text) or None, NO_CURRENCY),
        "Tags": (tags_of, ""),
        PROJECT: (project_of, ""),
    }
    for name, check in others.items():
        if name in given:
            yield name, (given[name],), check

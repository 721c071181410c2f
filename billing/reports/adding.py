"""From facts to the rows of a report: added up by what it is by, named, in order, with totals up the tree."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ..models import Policy
from ..money import ZERO
from ..trends import Series, Trend
from .departments import NONE, branches, parts_of
from .facts import Facts, major
from .names import names_of
from .tables import Column, Row, Value, added, with_percents

if TYPE_CHECKING:
    import pandas as pd

# Figures of the rows, by what each is of, in the order of the columns.
Figures = Mapping[Any, Sequence[Value]]


def sums(frame: "pd.DataFrame", by: str, currency: str, amounts: Sequence[str]) -> dict[Any, tuple[Decimal, ...]]:
    """Add up amounts of one currency by what a column says."""
    of = frame[frame["currency"] == currency]
    if of.empty:
        return {}
    grouped = of.groupby(by, sort=False)[list(amounts)].sum()
    rows = zip(grouped.index, grouped.itertuples(index=False, name=None), strict=True)
    return {key: tuple(major(units, currency) for units in row) for key, row in rows}


def currencies_of(*frames: "pd.DataFrame") -> list[str]:
    return sorted({currency for frame in frames for currency in frame["currency"].unique()})


def chosen(currencies: Sequence[str], facts: Facts) -> str:
    """Return the currency asked for; else the institution's, or the one there is."""
    if facts.asked.currency:
        return facts.asked.currency
    home = Policy.objects.current().currency
    return home if home in currencies or not currencies else currencies[0]


def rows_of(facts: Facts, by: str, figures: Figures, columns: Sequence[Column]) -> list[Row]:
    """Return a row for each of what a report is by, the largest first by the first column; months by the calendar."""
    names = names_of(facts, by, figures)
    if by == "department":
        return _tree(facts, figures, columns)

    def order(key: Any) -> Any:
        if by == "month":
            return facts.periods[key].month
        return key if by == "year" else (-abs(Decimal(figures[key][0] or 0)), names[key].label)

    return [
        Row(names[key].label, with_percents(columns, figures[key]), names[key].key)
        for key in sorted(figures, key=order)
    ]


def _tree(facts: Facts, figures: Figures, columns: Sequence[Column]) -> list[Row]:
    """Return departments as a tree: what each comes to with all within it."""
    tree = facts.homes.tree
    listed = branches(tree, figures)
    rows = []
    for branch, parts in zip(listed, parts_of(listed), strict=True):
        department = branch.department
        inside = [department.pk] if branch.is_itself else tree.within(department.pk) & set(figures)
        values: Sequence[Value] = [None if column.kind == "percent" else 0 for column in columns]
        for pk in inside:
            values = added(values, figures[pk])
        label = f"{department.display_name} itself" if branch.is_itself else department.display_name
        key = "" if branch.is_itself else department.code
        rows.append(Row(label, with_percents(columns, values), key, branch.depth, parts))
    if NONE in figures:
        rows.append(Row("No department", with_percents(columns, figures[NONE])))
    return rows


def trend_of(
    facts: Facts, series: Mapping[str, Mapping[int, Decimal]], currency: str, *, keeps: bool = False
) -> Trend | None:
    """Return amounts by month (ids) as series, for a chart and the table below it; None where there are none.

    A series of nothing is left out, unless each `keeps` its place and color.
    """
    months = tuple(period for pk, period in facts.periods.items() if any(pk in amounts for amounts in series.values()))
    if not months:
        return None
    listed = tuple(
        Series(label, label, tuple(amounts.get(month.pk, ZERO) for month in months))
        for label, amounts in series.items()
        if keeps or any(amounts.values())
    )
    totals = tuple(sum((each.amounts[place] for each in listed), ZERO) for place in range(len(months)))
    return Trend("report", "charged", currency, months, listed, totals)

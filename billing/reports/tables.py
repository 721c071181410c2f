"""A report as a table: columns of amounts, rows that add up to their total, and what belongs beside them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_UP, Decimal

from ..fields import WIDE
from ..money import ZERO, plain
from ..texts import iso_month
from ..trends import Trend
from .asking import Asked

AMOUNT, COUNT, PERCENT = "amount", "count", "percent"
Value = Decimal | int | None


@dataclass(frozen=True)
class Column:
    """A column of figures. A percentage says which column it is a part `of` which, by their names."""

    name: str
    label: str
    kind: str = AMOUNT
    of: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class Row:
    """A row: what it is of, and its figures. `parts` are the places of the rows that it is the sum of."""

    label: str
    values: tuple[Value, ...]
    # What narrows a report to it; empty where nothing does.
    key: str = ""
    depth: int = 0
    parts: tuple[int, ...] = ()
    # What is told of it in words, as the report's `texts` head it.
    texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """A report in one currency. Its rows of the outermost depth add up to the total, column by column."""

    asked: Asked
    currency: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    total: tuple[Value, ...]
    heading: str
    currencies: tuple[str, ...] = ()
    # Month by month, for the chart and the table below it.
    trend: Trend | None = None
    notes: tuple[str, ...] = field(default_factory=tuple)
    # Of its amounts few are not 0: who reads it sees those alone, and its files have all.
    is_sparse: bool = False
    # What heads the texts of its rows, and the places of those that paper has.
    texts: tuple[str, ...] = ()
    on_paper: tuple[int, ...] = ()

    def brief(self) -> "Report":
        """Return it as people read it: of a sparse one, without columns of amounts that are 0 in every row."""
        if not self.is_sparse or not self.rows:
            return self
        every = [row.values for row in self.rows]
        kept = [
            place
            for place, column in enumerate(self.columns)
            if column.kind != AMOUNT or any(values[place] for values in every)
        ]

        def chosen(values: Sequence[Value]) -> tuple[Value, ...]:
            return tuple(values[place] for place in kept)

        return replace(
            self,
            columns=tuple(self.columns[place] for place in kept),
            rows=tuple(replace(row, values=chosen(row.values)) for row in self.rows),
            total=chosen(self.total),
        )

    def value(self, name: str, row: Row | None = None) -> Value:
        """Return a figure of a row, or of the total, by the name of its column."""
        place = [column.name for column in self.columns].index(name)
        return (row.values if row else self.total)[place]

    @property
    def is_empty(self) -> bool:
        return not self.rows

    def as_data(self) -> dict[str, object]:
        """Return it as commands print it with --json: amounts in the report's currency."""

        def figures(values: Sequence[Value]) -> dict[str, object]:
            return {
                column.name: _plain(value, column, self.currency)
                for column, value in zip(self.columns, values, strict=True)
            }

        return {
            "report": self.asked.name,
            "from": iso_month(self.asked.first),
            "to": iso_month(self.asked.last),
            "by": self.asked.by,
            "only": dict(self.asked.only),
            "currency": self.currency,
            "rows": [
                {"label": row.label, "key": row.key, "depth": row.depth, **self._told(row), **figures(row.values)}
                for row in self.rows
            ],
            "total": figures(self.total),
            "notes": list(self.notes),
        }

    def _told(self, row: Row) -> dict[str, str]:
        return {name.lower().replace(" ", "_"): text for name, text in zip(self.texts, row.texts, strict=True)}


def percent(part: Value, whole: Value) -> Decimal | None:
    """Return what percent a part is of a whole, to a tenth; None of nothing."""
    if not whole or part is None:
        return None
    exact = WIDE.divide(WIDE.multiply(Decimal(part), Decimal(100)), Decimal(whole))
    rounded = exact.quantize(Decimal("0.1"), rounding=ROUND_HALF_UP, context=WIDE)
    return rounded if rounded else ZERO


def percent_text(value: Value) -> str:
    """Write a percentage as people do: `12.5%`, and a dash for none."""
    return "–" if value is None else f"{Decimal(value):,.1f}%".replace(".0%", "%")


def total_of(columns: Sequence[Column], rows: Sequence[Row]) -> tuple[Value, ...]:
    """Add up the rows of the outermost depth; percentages are of what the columns they are of come to."""
    return summed(columns, [row for row in rows if not row.depth])


def summed(columns: Sequence[Column], rows: Sequence[Row]) -> tuple[Value, ...]:
    """Add rows up, column by column."""
    sums = [
        None if column.kind == PERCENT else _sum(row.values[place] for row in rows)
        for place, column in enumerate(columns)
    ]
    return with_percents(columns, sums)


def with_percents(columns: Sequence[Column], values: Sequence[Value]) -> tuple[Value, ...]:
    """Return figures with each percentage worked out."""
    by_name = {column.name: value for column, value in zip(columns, values, strict=True)}
    return tuple(
        percent(by_name[column.of[0]], by_name[column.of[1]]) if column.kind == PERCENT else value
        for column, value in zip(columns, values, strict=True)
    )


def added(first: Sequence[Value], second: Sequence[Value]) -> list[Value]:
    """Add figures up, column by column; percentages have to be worked out anew."""
    return [_sum(pair) for pair in zip(first, second, strict=True)]


def _sum(values: Iterable[Value]) -> Value:
    total: Decimal | int = 0
    for value in values:
        if value is not None:
            total = WIDE.add(Decimal(total), value) if isinstance(value, Decimal) else total + value
    return total


def _plain(value: Value, column: Column, currency: str) -> object:
    if value is None or column.kind == COUNT:
        return value
    return plain(Decimal(value), currency) if column.kind == AMOUNT else f"{value:f}"

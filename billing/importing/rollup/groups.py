"""What rows are grouped by, and what those of one group come to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...readers.columns import AMOUNTS, DECIMALS, TEXTS

# What is added up; all other columns that charges keep have to be equal.
QUANTITIES = ("PricingQuantity", "ConsumedQuantity")
SUMMED = (*AMOUNTS, *QUANTITIES)
PRICES = tuple(name for name in DECIMALS if name not in QUANTITIES)
KEYS = ("BillingPeriodStart", "BillingCurrency", "Tags", *TEXTS, *PRICES)
TIMES = ("ChargePeriodStart", "ChargePeriodEnd", "BillingPeriodEnd")


@dataclass
class Group:
    """What rows of one key come to: the first of them, how many there are, and the sums (None: no value in any)."""

    first: int
    count: int
    sums: list[int | None]

    def add(self, first: int, count: int, sums: Sequence[int | None]) -> None:
        self.first = min(self.first, first)
        self.count += count
        mine = self.sums
        for place, value in enumerate(sums):
            if value is not None:
                known = mine[place]
                mine[place] = value if known is None else known + value


@dataclass
class Numbered:
    """The distinct values of one column, by number: of what is the `same`, the first."""

    numbers: dict[Any, int] = field(default_factory=dict)
    values: list[Any] = field(default_factory=list)
    same: Callable[[Any], Any] | None = None

    def number(self, value: object) -> int:
        number = self.numbers.setdefault(self.same(value) if self.same else value, len(self.values))
        if number == len(self.values):
            self.values.append(value)
        return number

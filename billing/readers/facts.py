"""What the rows of a piece say, as it is handed on, and what they sum to."""

import datetime
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from ..fields import WIDE, from_units
from .columns import AMOUNTS, QUANTITIES
from .dimensions import DIMENSIONS

# What a row says, by the columns of Charge that hold it; dimensions by their numbers. Its month and who pays stand
# beside it.
FACTS = (
    "line_number",
    "content_hash",
    "identity_hash",
    "charge_period_start",
    "charge_period_end",
    "currency",
    *AMOUNTS.values(),
    *DIMENSIONS,
    *QUANTITIES.values(),
    "row_count",
)


class NewRow(NamedTuple):
    """A row of a dimension that comes for the first time: its number, the hash of its texts, and these."""

    number: int
    text_hash: bytes
    texts: tuple[str, ...]


# A month, a billing account and a currency.
Scope = tuple[datetime.date, str, str]


@dataclass
class ScopeTotal:
    """What one scope of an import, or of a piece, sums to: stored units of 10⁻⁸, and exactly.

    `rows` are those of the files; of those that were added up, `charges` come.
    """

    rows: int = 0
    charges: int = 0
    units: dict[str, int] = field(default_factory=lambda: dict.fromkeys(AMOUNTS, 0))
    exact: dict[str, Decimal] = field(default_factory=lambda: dict.fromkeys(AMOUNTS, Decimal(0)))

    def stored(self, column: str) -> Decimal:
        return from_units(self.units[column])

    def add(self, other: "ScopeTotal") -> None:
        self.rows += other.rows
        self.charges += other.charges
        for column in AMOUNTS:
            self.units[column] += other.units[column]
            self.exact[column] = WIDE.add(self.exact[column], other.exact[column])


def month_number(month: datetime.date) -> int:
    """Return a month as the number it is staged by: 202501."""
    return month.year * 100 + month.month

"""What the rows of a batch say, column by column: hashed, summed, and as they are handed on."""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from ..fields import WIDE, from_units, seconds_of
from .amounts import Amounts, kept_amounts
from .columns import AMOUNTS, QUANTITIES
from .dimensions import DIMENSIONS, IDENTITY, content_hash, hash_of, identity_hash, row_identity, said_hash

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

# A month, a billing account and a currency.
Scope = tuple[datetime.date, str, str]


@dataclass
class ScopeTotal:
    """What one scope of a delivery, or of a batch, sums to: stored units of 10⁻⁸, and exactly.

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


class NewRow(NamedTuple):
    """A row of a dimension that comes for the first time: its number, the hash of its texts, and these."""

    number: int
    text_hash: bytes
    texts: tuple[str, ...]


class Numbering:
    """The rows of one dimension by number; remembers so many, and numbers what comes again after that anew."""

    def __init__(self, name: str, size: int = 200_000) -> None:
        self.name = name
        self.size = size
        self.count = 0
        self.numbers: dict[tuple[str, ...], int] = {}
        # What hashes of rows hold, by number.
        self.said: dict[int, bytes] = {}
        self.identities: dict[int, bytes] = {}
        self.new: list[NewRow] = []

    def of(self, rows: Iterable[tuple[str, ...]]) -> list[int]:
        """Return the number of each of these rows; `new` is what came for the first time."""
        if len(self.numbers) >= self.size:
            self.numbers, self.said, self.identities = {}, {}, {}
        self.new = []
        numbers = self.numbers
        return [numbers.get(row) or self._number(row) for row in rows]

    def _number(self, row: tuple[str, ...]) -> int:
        self.count += 1
        self.numbers[row] = self.count
        self.said[self.count] = said_hash(self.name, row)
        if self.name in (*IDENTITY, "resource"):
            self.identities[self.count] = identity_hash(self.name, row)
        self.new.append(NewRow(self.count, hash_of(row), row))
        return self.count


class Facts:
    """What the rows of a batch say, column by column: hashed, summed, and as they are handed on."""

    def __init__(
        self,
        *,
        numberings: Mapping[str, Numbering],
        lines: Sequence[int],
        months: list[datetime.date],
        starts: list[datetime.datetime],
        ends: list[datetime.datetime],
        currencies: list[str],
        amounts: dict[str, Amounts],
        texts: Mapping[str, list[str]],
        quantities: Sequence[list[str]],
        counts: Sequence[int],
    ) -> None:
        """`texts` has the columns of all dimensions."""
        self.lines = lines
        self.months = months
        self.starts = list(map(seconds_of, starts))
        self.ends = list(map(seconds_of, ends))
        self.currencies = currencies
        self.amounts = amounts
        self.accounts = texts["BillingAccountId"]
        self.quantities = quantities
        self.counts = counts
        self.numberings = numberings
        self.dimensions = {
            name: numberings[name].of(zip(*(texts[column] for column in columns), strict=True))
            for name, columns in DIMENSIONS.items()
        }

    def content_hashes(self) -> list[bytes]:
        """Return the hash of all that each row says; amounts with every digit."""
        said = {name: list(map(self.numberings[name].said.__getitem__, numbers)) for name, numbers in self._numbered()}
        nothing = [""] * len(self.lines)
        units = self._units()
        exact = [self.amounts[name].canonical if name in self.amounts else nothing for name in AMOUNTS]
        return [
            content_hash(
                month=month_number(self.months[row]),
                start=self.starts[row],
                end=self.ends[row],
                currency=self.currencies[row],
                amounts=[column[row] for column in units],
                said={name: column[row] for name, column in said.items()},
                quantities=[column[row] for column in self.quantities],
                beyond=[column[row] if "e" in column[row] else "" for column in exact],
            )
            for row in range(len(self.lines))
        ]

    def identity_hashes(self) -> list[bytes]:
        """Return the hash of what each row speaks of."""
        known = {
            name: [self.numberings[name].identities[number] for number in self.dimensions[name]]
            for name in (*IDENTITY, "resource")
        }
        columns = zip(known["product"], known["account"], known["resource"], self.starts, self.ends, strict=True)
        return [
            row_identity(product=product, account=account, resource=resource, start=start, end=end)
            for product, account, resource, start, end in columns
        ]

    def _numbered(self) -> Iterable[tuple[str, list[int]]]:
        return self.dimensions.items()

    def _units(self) -> list[list[int | None]]:
        none: list[int | None] = [None] * len(self.lines)
        return [self.amounts[name].units if name in self.amounts else none for name in AMOUNTS]

    def columns(self, contents: list[bytes], identities: list[bytes]) -> list[Sequence[Any]]:
        """Return the columns of FACTS."""
        times = (self.starts, self.ends, self.currencies)
        dimensions = self.dimensions.values()
        return [self.lines, contents, identities, *times, *self._units(), *dimensions, *self.quantities, self.counts]

    def totals(self) -> dict[Scope, ScopeTotal]:
        """Return the control totals of the rows' scopes."""
        columns: tuple[Sequence[Any], ...] = (self.months, self.accounts, self.currencies)
        scopes: list[Scope] = []
        if all(column.count(column[0]) == len(column) for column in columns):
            distinct = dict.fromkeys([(columns[0][0], columns[1][0], columns[2][0])])
        else:
            scopes = list(zip(*columns, strict=True))
            distinct = dict.fromkeys(scopes)
        totals = {}
        for scope in distinct:
            total = totals[scope] = ScopeTotal()
            chosen = None if len(distinct) == 1 else [each == scope for each in scopes]
            counts = self.counts
            if chosen is not None:
                counts = [count for count, keep in zip(counts, chosen, strict=True) if keep]
            total.rows, total.charges = sum(counts), len(counts)
            for name, column in self.amounts.items():
                # Several scopes in one batch are rare; each then has its own part of the column.
                part = column if chosen is None else kept_amounts(column, chosen)
                total.units[name] = sum(filter(None, part.units))
                total.exact[name] = part.exact
        return totals


def month_number(month: datetime.date) -> int:
    """Return a month as the number it is staged by: 202501."""
    return month.year * 100 + month.month

"""What the rows of a batch say, column by column: hashed, summed, and as they are handed on."""

import datetime
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ..copy_text import DELIMITER, fields_of, hex_fields_of, joined, text_lines_of
from ..fields import WIDE, from_units
from .amounts import Amounts, kept_amounts
from .columns import AMOUNTS, DECIMALS, TEXTS

HASH_BYTES = 16

# What a row says, by the columns of Charge that hold it. Its month and who pays stand beside it.
FACTS = (
    "line_number",
    "content_hash",
    "identity_hash",
    "charge_period_start",
    "charge_period_end",
    "currency",
    *AMOUNTS.values(),
    *TEXTS.values(),
    *DECIMALS.values(),
    "tags",
    "row_count",
)

# What says that a row speaks of the same thing as one before it: no amounts, no tags.
IDENTITY = (
    "BillingAccountId",
    "SubAccountId",
    "ServiceName",
    "SkuId",
    "SkuPriceId",
    "ChargeCategory",
    "ChargeClass",
    "InvoiceId",
)

# A month, a billing account and a currency.
Scope = tuple[datetime.date, str, str]


@dataclass
class ScopeTotal:
    """What one scope of an import, or of a batch, sums to: stored units of 10⁻⁸, and exactly.

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


class Facts:
    """What the rows of a batch say, column by column: hashed, summed, and as they are handed on."""

    def __init__(
        self,
        *,
        lines: Sequence[int],
        months: list[datetime.date],
        month_texts: list[str],
        starts: list[str],
        ends: list[str],
        currencies: list[str],
        amounts: dict[str, Amounts],
        texts: dict[str, list[str]],
        compared: dict[str, list[str]],
        decimals: dict[str, list[str]],
        tags: list[str],
        canonical_tags: list[str],
        counts: Sequence[int],
    ) -> None:
        self.lines = lines
        self.months = months
        self.month_texts = month_texts
        self.starts = starts
        self.ends = ends
        self.currencies = currencies
        self.amounts = amounts
        self.texts = texts
        self.tags = tags
        self.canonical_tags = canonical_tags
        self.counts = counts
        self.named = [*texts.values(), *decimals.values()]
        # Hashed and written alike: most of what a row says is joined once.
        self.joined = joined(self.named)
        # But where an id of Azure's is spelled in its own way.
        self.as_compared = texts | compared
        self.joined_to_compare = joined([*self.as_compared.values(), *decimals.values()]) if compared else self.joined

    def content_hashes(self) -> list[bytes]:
        """Return the hash of all that each row says; amounts with every digit."""
        nothing = [""] * len(self.lines)
        amounts = [self.amounts[name].canonical if name in self.amounts else nothing for name in AMOUNTS]
        return _hashes(
            joined(
                [
                    self.month_texts,
                    self.starts,
                    self.ends,
                    self.currencies,
                    *amounts,
                    self.joined_to_compare,
                    self.canonical_tags,
                ]
            )
        )

    def identity_hashes(self) -> list[bytes]:
        """Return the hash of what each row speaks of."""
        texts = self.as_compared
        resources = [one or other for one, other in zip(texts["ResourceId"], texts["ResourceName"], strict=True)]
        return _hashes(joined([*(texts[name] for name in IDENTITY), resources, self.starts, self.ends]))

    def _units(self) -> list[list[int | None]]:
        none: list[int | None] = [None] * len(self.lines)
        return [self.amounts[name].units if name in self.amounts else none for name in AMOUNTS]

    def columns(self, contents: list[bytes], identities: list[bytes]) -> list[Sequence[Any]]:
        """Return the columns of FACTS."""
        times = (self.starts, self.ends, self.currencies)
        return [self.lines, contents, identities, *times, *self._units(), *self.named, self.tags, self.counts]

    def written(self, contents: list[bytes], identities: list[bytes]) -> list[str]:
        """Return the rows, as lines of COPY with the columns of FACTS."""
        amounts = self._units()
        # Mostly some of the four are one and the same.
        units = {id(column): fields_of(column) for column in {id(column): column for column in amounts}.values()}
        return joined(
            [
                fields_of(self.lines),
                hex_fields_of(contents),
                hex_fields_of(identities),
                self.starts,
                self.ends,
                self.currencies,
                *(units[id(column)] for column in amounts),
                text_lines_of(self.named, self.joined),
                fields_of(self.tags),
                fields_of(self.counts),
            ]
        )

    def totals(self) -> dict[Scope, ScopeTotal]:
        """Return the control totals of the rows' scopes."""
        columns: tuple[Sequence[Any], ...] = (self.months, self.texts["BillingAccountId"], self.currencies)
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


def content_hash(row: Iterable[str]) -> bytes:
    """Return the hash of the texts of a row."""
    return _hashes([DELIMITER.join(row)])[0]


def _hashes(rows: Iterable[str]) -> list[bytes]:
    blake = hashlib.blake2b
    return [blake(row.encode(), digest_size=HASH_BYTES).digest() for row in rows]


def stamp_of(moment: datetime.datetime) -> str:
    """Write a UTC time as both databases read it."""
    return moment.replace(tzinfo=None).isoformat(" ")

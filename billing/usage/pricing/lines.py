"""What pricing makes: a line for each record and rate, what reduced it, and the balance of units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import IntEnum, StrEnum
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ...errors import BillingError
from .exact import Ints, narrowed
from .terms import Rate

TEXT = pa.dictionary(pa.int32(), pa.string())

# Why nobody pays for use, beside the reasons that records come with.
FREE_AMOUNT = "free_amount"
NO_CHARGE = "no_charge"


class Kind(IntEnum):
    """What a line is for. `SURCHARGE` and `INDIRECT` go with the usage line of their record, `MINIMUM` with none."""

    USAGE = 0
    SURCHARGE = 1
    MINIMUM = 2
    INDIRECT = 3


class By(StrEnum):
    """What a line is reduced by."""

    FREE = "free"
    DRAWDOWN = "drawdown"
    SUBSIDY = "subsidy"


# Amounts and quantities are whole numbers of 10^-8. list ≥ contracted ≥ billed ≥ 0, and the reductions of a line are
# what it was contracted for and is not billed.
LINES = pa.schema(
    [
        # The place of the record in its block; none for a minimum.
        pa.field("record", pa.int64()),
        pa.field("payer", pa.int32(), nullable=False),
        pa.field("rate", TEXT, nullable=False),
        pa.field("service", TEXT, nullable=False),
        pa.field("kind", TEXT, nullable=False),
        pa.field("rate_class", TEXT, nullable=False),
        pa.field("quantity", pa.int64(), nullable=False),
        pa.field("unit", TEXT, nullable=False),
        pa.field("list", pa.int64(), nullable=False),
        pa.field("contracted", pa.int64(), nullable=False),
        pa.field("billed", pa.int64(), nullable=False),
        # Why nobody is charged for any of it: failed, internal, free_amount, no_charge; empty where somebody may be.
        pa.field("free", TEXT, nullable=False),
        # Which tiers of the rate it begins and ends in, from 0.
        pa.field("first_tier", pa.int16(), nullable=False),
        pa.field("last_tier", pa.int16(), nullable=False),
    ]
)
REDUCTIONS = pa.schema(
    [
        # The place of the line that is reduced.
        pa.field("line", pa.int64(), nullable=False),
        pa.field("by", TEXT, nullable=False),
        # Of the rate whose amount is free or the reason why it is free, of the balance, or of the subsidy.
        pa.field("code", TEXT, nullable=False),
        pa.field("fund_org", TEXT, nullable=False),
        pa.field("quantity", pa.int64(), nullable=False),
        pa.field("amount", pa.int64(), nullable=False),
        # What was used so far, with this, of the free amount, the balance or the cap: in its unit, or in money.
        pa.field("used", pa.int64(), nullable=False),
    ]
)


class TooLarge(BillingError):
    """An amount or quantity has more than 64 bits: a record that no system has, so that its file is wrong."""


@dataclass(frozen=True)
class Units:
    """What of a rate's units became of them, exactly. `free` is by reason; `held` is of payers without a PI."""

    rate: str
    unit: str
    records: int
    counted: Fraction
    charged: Fraction
    free: Mapping[str, Fraction]
    held: Fraction

    @property
    def difference(self) -> Fraction:
        """How much came in and is neither charged nor free nor held: nothing, or something is wrong."""
        return self.counted - self.charged - sum(self.free.values()) - self.held


@dataclass(frozen=True)
class Drawn:
    """What was drawn from a balance, and what is left, in its unit."""

    code: str
    drawn: Decimal
    left: Decimal


@dataclass(frozen=True)
class Granted:
    """What of a subsidy somebody had in this month and in its span so far; `left` of its cap, None without one."""

    code: str
    owner: str
    amount: Decimal
    in_span: Decimal
    left: Decimal | None


@dataclass(frozen=True)
class Notice:
    """A balance or the cap of a subsidy reached `percent` in this month: 80 or 100. `owner` is the scope's value."""

    by: By
    code: str
    owner: str
    percent: int
    used: Decimal
    of: Decimal
    unit: str


@dataclass(frozen=True)
class Columns:
    """Lines in arrays while they are made. `record` is -1 where there is none, `rate` a place in the schedule.

    `record` is a place in the part of the month that is priced, and once lines are put aside in the whole of it.
    `parts` is what a balance of units is drawn down by, in parts of the rate's unit.

    The last five say how a line came about: what its record used, what had been used before it, and in all where
    prices go by volume, in these parts; the place from 1 of the group that was counted with it, 0 of none; and the
    money that a minimum or an indirect cost is worked out from.
    """

    record: Ints
    payer: Ints
    rate: Ints
    kind: Ints
    quantity: Ints
    listed: Ints
    contracted: Ints
    free: Ints
    first_tier: Ints
    last_tier: Ints
    parts: Ints
    use: Ints
    before: Ints
    in_all: Ints
    group: Ints
    base: Ints

    def __len__(self) -> int:
        return len(self.record)

    def in_month(self, number: Ints) -> "Columns":
        """Return the same with the places that records have in the month."""
        found = np.full(len(self), -1, dtype=np.int64)
        has_record = self.record >= 0
        found[has_record] = number[self.record[has_record]]
        return replace(self, record=found)

    def with_reasons(self, free: Ints) -> "Columns":
        return replace(self, free=free)


def joined(some: Sequence[Columns]) -> Columns:
    full = [each for each in some if len(each)] or some[:1]
    if len(full) == 1:
        return full[0]
    names = Columns.__dataclass_fields__
    return Columns(**{name: np.concatenate([getattr(each, name) for each in full]) for name in names})


class Working(NamedTuple):
    """How lines came about, as `Columns` has it."""

    use: Ints
    before: Ints
    in_all: Ints
    group: Ints
    base: Ints


def working(count: int, **known: Ints) -> Working:
    """Return how lines came about, with nothing where it is not known."""
    nothing = np.zeros(count, dtype=np.int8)
    return Working(**{name: known.get(name, nothing) for name in Working._fields})


def at_list_price(
    kind: Kind, record: Ints, payer: Ints, rate: Ints, amount: Ints, how: Working | None = None
) -> Columns:
    """Return lines that cost what they are listed at: surcharges, minimums and indirect costs."""
    nothing = np.zeros(len(record), dtype=np.int8)
    return Columns(
        record=record.astype(np.int32),
        payer=payer.astype(np.int32),
        rate=rate.astype(np.int16),
        kind=nothing + np.int8(kind),
        quantity=nothing,
        listed=amount,
        contracted=amount,
        free=nothing,
        first_tier=nothing,
        last_tier=nothing,
        parts=nothing,
        **(how or working(len(record)))._asdict(),
    )


@dataclass(frozen=True)
class Reduction:
    """What reduced lines: `line` are their places, `amount`, `quantity` and `used` in 10^-8."""

    by: By
    code: str
    line: Ints
    amount: Ints
    quantity: Ints
    used: Ints
    fund_org: str = ""


def texts(codes: Ints, of: list[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32, copy=False)), pa.array(of, type=pa.string()))


def short(values: Ints) -> Ints:
    """Return amounts or quantities with 64 bits each. Raises TooLarge."""
    known = narrowed(values)
    if known.dtype == object:
        raise TooLarge("An amount or a quantity has more than ten digits before its decimal point.")
    return known


def is_free(rate: Rate) -> bool:
    """Tell whether a rate says that its use is free: all its prices are 0."""
    return not any(tier.price for tiers in (rate.tiers, *rate.prices.values()) for tier in tiers)

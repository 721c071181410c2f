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
from .month import Month
from .terms import Rate
from .uses import Before

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
        # The place of the record; none for a minimum.
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
class Priced:
    """What a month costs: tables by LINES and REDUCTIONS, and what the next month goes on from.

    `workings` has how each line came about, in the order of the lines: see `workings`.
    """

    lines: pa.Table
    reductions: pa.Table
    workings: pa.Table
    units: tuple[Units, ...]
    balances: tuple[Drawn, ...]
    subsidies: tuple[Granted, ...]
    notices: tuple[Notice, ...]
    used: Before


@dataclass(frozen=True)
class Columns:
    """Lines in arrays while they are made. `record` is -1 where there is none, `rate` a place in the schedule.

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


def as_tables(
    columns: Columns, billed: Ints, reasons: list[str], reductions: list[Reduction], month: Month, order: Ints
) -> tuple[pa.Table, pa.Table]:
    """Return lines and reductions, the lines in an order."""
    rates, classes = month.schedule.rates, month.payers.classes
    rate, payer, record = (each[order] for each in (columns.rate, columns.payer, columns.record))
    values = {
        "record": pa.array(record.astype(np.int64), mask=record < 0),
        "payer": payer,
        "rate": texts(rate, [each.code for each in rates]),
        "service": texts(rate, [each.service for each in rates]),
        "kind": texts(columns.kind[order], [each.name.lower() for each in Kind]),
        "rate_class": texts(month.payers.class_of[payer], [each.name for each in classes]),
        "quantity": _short(columns.quantity[order]),
        "unit": texts(rate, [each.unit for each in rates]),
        "list": _short(columns.listed[order]),
        "contracted": _short(columns.contracted[order]),
        "billed": _short(billed[order]),
        "free": texts(columns.free[order], reasons),
        "first_tier": columns.first_tier[order],
        "last_tier": columns.last_tier[order],
    }
    lines = pa.table([pa.array(values[field.name], type=field.type) for field in LINES], schema=LINES)
    return lines, _reductions(reductions, order)


def in_order(columns: Columns, month: Month) -> Ints:
    """Return lines by record, rate and kind, those of no record last."""
    last = np.where(columns.record < 0, month.records.num_rows, columns.record).astype(np.int64)
    keys = (last * len(month.schedule.rates) + columns.rate) * len(Kind) + columns.kind
    return np.argsort(keys, kind="stable").astype(np.int32)


def _reductions(reductions: list[Reduction], order: Ints) -> pa.Table:
    if not reductions:
        return REDUCTIONS.empty_table()
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    tables = []
    for each in reductions:
        at = places[each.line]
        in_turn = np.argsort(at, kind="stable")
        same = np.zeros(len(at), dtype=np.int64)
        values = {
            "line": at[in_turn],
            "by": texts(same, [each.by]),
            "code": texts(same, [each.code]),
            "fund_org": texts(same, [each.fund_org]),
            "quantity": _short(each.quantity[in_turn]),
            "amount": _short(each.amount[in_turn]),
            "used": _short(each.used[in_turn]),
        }
        tables.append(pa.table([pa.array(values[name]) for name in REDUCTIONS.names], schema=REDUCTIONS))
    return pa.concat_tables(tables).unify_dictionaries()


def texts(codes: Ints, of: list[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32, copy=False)), pa.array(of, type=pa.string()))


def _short(values: Ints) -> Ints:
    known = narrowed(values)
    if known.dtype == object:
        raise TooLarge("An amount or a quantity has more than ten digits before its decimal point.")
    return known


def is_free(rate: Rate) -> bool:
    """Tell whether a rate says that its use is free: all its prices are 0."""
    return not any(tier.price for tiers in (rate.tiers, *rate.prices.values()) for tier in tiers)

"""The lines of a month put aside as they are priced, in the order of use, and given back in that of their records."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ..aside import Aside
from .exact import LIMIT, Ints, largest, total
from .groups import Counted
from .lines import LINES, REDUCTIONS, By, Columns, Kind, Reduction, joined, short, texts
from .payers import Payers
from .terms import Schedule
from .workings import NUMBERS, REDUCED, Workings

# What reduces a line, while it is put aside: `cause` is a place in the month's causes.
_REDUCED = pa.struct(
    [pa.field("cause", pa.int32()), *(pa.field(name, pa.int64()) for name in ("quantity", "amount", "used"))]
)
_NAMES = tuple(each.name for each in fields(Columns))
_AMOUNTS = ("quantity", "listed", "contracted")


class Cause(NamedTuple):
    """What lines may be reduced by."""

    by: By
    code: str
    fund_org: str


class Lines(NamedTuple):
    """Lines and what reduced them, by LINES and REDUCTIONS, and how each came about (`Workings`)."""

    lines: pa.Table
    reductions: pa.Table
    workings: pa.Table


class Gathering:
    """The lines of a month by the block of their record. `causes` are what may reduce them, in the order applied."""

    def __init__(self, causes: Sequence[Cause], scratch: Path, *, size: int, blocks: int) -> None:
        # Of what is free for several rates, the first counts.
        self.causes = list(dict.fromkeys(causes))
        self._places = {cause: place for place, cause in enumerate(self.causes)}
        self._has_any: set[int] = set()
        self._wide: set[str] = set()
        # What each came to, of those that reduced anything.
        self.sums: dict[Cause, int] = {}
        self._aside = Aside(scratch)
        self.size, self.blocks = size, blocks

    def add(self, columns: Columns, billed: Ints, reductions: Sequence[Reduction]) -> None:
        """Put lines aside; those of no record with the last block. Raises TooLarge."""
        self._wide |= {name for name in NUMBERS if largest(getattr(columns, name, columns.base)) >= LIMIT}
        block = np.where(columns.record < 0, self.blocks - 1, columns.record // self.size)
        kept = {name: getattr(columns, name) for name in _NAMES if name != "parts"}
        kept |= {name: short(kept[name]) for name in _AMOUNTS}
        arrays = {name: _as_array(values) for name, values in kept.items()}
        arrays["billed"] = pa.array(short(billed))
        arrays["reductions"] = self._reductions(reductions, len(columns))
        self._aside.spread(block, pa.table(arrays))

    def _reductions(self, reductions: Sequence[Reduction], count: int) -> pa.ListArray:
        """Return what reduced each line, in the order applied."""
        causes = [self._places[Cause(each.by, each.code, each.fund_org)] for each in reductions]
        self._has_any.update(causes)
        for each, cause in zip(reductions, causes, strict=True):
            if len(each.line):
                self.sums[self.causes[cause]] = self.sums.get(self.causes[cause], 0) + total(each.amount)
        line = _together([each.line for each in reductions])
        in_turn = np.argsort(line, kind="stable")
        offsets = np.searchsorted(line[in_turn], np.arange(count + 1)).astype(np.int32)
        values = [
            np.repeat(np.array(causes, dtype=np.int32), [len(each.line) for each in reductions]),
            *(
                _together([short(getattr(each, name)) for each in reductions])
                for name in ("quantity", "amount", "used")
            ),
        ]
        arrays = [pa.array(each[in_turn], field.type) for each, field in zip(values, _REDUCED, strict=True)]
        return pa.ListArray.from_arrays(pa.array(offsets), pa.StructArray.from_arrays(arrays, fields=list(_REDUCED)))

    def gathered(
        self, schedule: Schedule, payers: Payers, reasons: Sequence[str], counted: Sequence[Counted]
    ) -> "Gathered":
        """Return what the lines are put together with, once all are here."""
        causes = [cause for place, cause in enumerate(self.causes) if place in self._has_any]
        return Gathered(self, schedule, payers, reasons, Workings(counted, self._wide), causes)

    def block(self, number: int) -> tuple[Columns, Ints, pa.ListArray]:
        """Return the lines of a block, what each is billed and what reduced it, by record, rate and kind."""
        pieces = list(self._aside.pieces(number))
        if not pieces:
            nothing = np.zeros(0, dtype=np.int64)
            return Columns(**dict.fromkeys(_NAMES, nothing)), nothing, pa.array([], pa.list_(_REDUCED))
        columns = joined([_as_columns(piece) for piece in pieces])
        billed = np.concatenate([piece.column("billed").to_numpy() for piece in pieces])
        reductions = pa.chunked_array([chunk for piece in pieces for chunk in piece.column("reductions").chunks])
        # Those of no record come last.
        last = np.where(columns.record < 0, self.size, columns.record - number * self.size)
        order = np.lexsort((columns.kind, columns.rate, last))
        in_order = {name: getattr(columns, name)[order] for name in _NAMES}
        columns = Columns(**in_order | {"record": np.where(columns.record < 0, -1, last)[order]})
        return columns, billed[order], reductions.combine_chunks().take(pa.array(order))


class Gathered:
    """Puts the lines of blocks together."""

    def __init__(
        self,
        gathering: Gathering,
        schedule: Schedule,
        payers: Payers,
        reasons: Sequence[str],
        workings: Workings,
        causes: Sequence[Cause],
    ) -> None:
        self.gathering, self.schedule, self.payers = gathering, schedule, payers
        self.reasons, self.workings, self.causes = list(reasons), workings, causes
        places = {cause: place for place, cause in enumerate(causes)}
        self._cause_of = np.array([places.get(cause, 0) for cause in gathering.causes], dtype=np.int32)

    def of_block(self, number: int) -> Iterator[Lines]:
        """Yield the lines of a block by record, rate and kind, some at a time; `record` is a place in the block.

        Of a block without lines, there are none of them once.
        """
        columns, billed, reductions = self.gathering.block(number)
        size = self.gathering.size
        for start in range(0, max(len(columns), 1), size):
            some = slice(start, start + size)
            part = Columns(**{name: getattr(columns, name)[some] for name in _NAMES})
            yield self._lines(part, billed[some], reductions[some])

    def _lines(self, columns: Columns, billed: Ints, reductions: pa.ListArray) -> Lines:
        rates, rate, payer = self.schedule.rates, columns.rate, columns.payer
        values = {
            "record": pa.array(columns.record.astype(np.int64), mask=columns.record < 0),
            "payer": payer,
            "rate": texts(rate, [each.code for each in rates]),
            "service": texts(rate, [each.service for each in rates]),
            "kind": texts(columns.kind, [each.name.lower() for each in Kind]),
            "rate_class": texts(self.payers.class_of[payer], [each.name for each in self.payers.classes]),
            "quantity": columns.quantity,
            "unit": texts(rate, [each.unit for each in rates]),
            "list": columns.listed,
            "contracted": columns.contracted,
            "billed": billed,
            "free": texts(columns.free, self.reasons),
            "first_tier": columns.first_tier,
            "last_tier": columns.last_tier,
        }
        lines = pa.table([pa.array(values[field.name], type=field.type) for field in LINES], schema=LINES)
        offsets = np.concatenate([[0], np.cumsum(reductions.value_lengths().to_numpy())]).astype(np.int32)
        flat = reductions.flatten()
        cause = self._cause_of[flat.field("cause").to_numpy()]
        said = {name: [getattr(each, name) for each in self.causes] for name in ("by", "code", "fund_org")}
        numbers = {name: flat.field(name) for name in ("quantity", "amount", "used")}
        coded = {name: _coded(cause, each) for name, each in said.items()}
        line = pa.array(np.repeat(np.arange(len(columns)), np.diff(offsets)))
        reduced = pa.table({"line": line, **coded, **numbers}).select(REDUCTIONS.names).cast(REDUCTIONS)
        plain = [coded[name].cast(pa.string()) if name in coded else numbers[name] for name in REDUCED.names]
        lists = pa.ListArray.from_arrays(pa.array(offsets), pa.StructArray.from_arrays(plain, fields=list(REDUCED)))
        return Lines(lines, reduced, self.workings.of(columns, lists))


def _coded(cause: Ints, said: Sequence[str]) -> pa.Array:
    """Return a text of each cause, each text once and in the order of the causes."""
    places = {name: place for place, name in enumerate(dict.fromkeys(map(str, said)))}
    return texts(np.array([places[str(each)] for each in said], dtype=np.int32)[cause], list(places))


def _together(arrays: Sequence[Ints]) -> Ints:
    return np.concatenate([np.zeros(0, dtype=np.int64), *arrays])


def _as_array(values: Ints) -> pa.Array:
    """Return numbers as Arrow keeps them: as texts where 64 bits do not hold them."""
    return pa.array(list(map(str, values.tolist()))) if values.dtype == object else pa.array(values)


def _as_columns(piece: pa.Table) -> Columns:
    known = {name: piece.column(name) for name in _NAMES if name != "parts"}
    arrays = {
        name: np.array(list(map(int, column.to_pylist())), dtype=object)
        if pa.types.is_string(column.type)
        else column.to_numpy()
        for name, column in known.items()
    }
    return Columns(**arrays, parts=np.zeros(piece.num_rows, dtype=np.int8))

"""Records cut to a month, and the version of each that stands: no second lost, and none counted twice."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..readers.coded import combined
from .aside import Aside
from .records import Shape

Numbers = Any

# Up to here (136 years), the square of a record's seconds fits the 64 bits of a whole number without a sign.
LONGEST = 2**32 - 1
# Rows that are looked through at once for records that come again.
LOOKED_THROUGH = 262_144
# Spreads what has much in common over all numbers: 2^64 divided by the golden ratio.
SPREAD = np.uint64(0x9E3779B97F4A7C15)


def standing(tables: Sequence[pa.Table]) -> pa.Table:
    """Return the records of tables of one schema, each once: of those of equal `id` and `start`, the last to end.

    A file that was made while a job was running is superseded by one that was made later. Where both end at the same
    time, the record of the later table stands, and in a table the later one. Records keep their order.
    """
    table = pa.concat_tables(tables).unify_dictionaries()
    rows = _standing(table)
    return table if len(rows) == table.num_rows else table.take(pa.array(rows))


def standing_rows(tables: Iterable[pa.Table], count: int, scratch: Path) -> Numbers:
    """Return for each of `count` rows of tables of `id`, `start` and `end` whether it stands, as `standing` has it.

    What is of one record has one start. So rows are looked through in parts by it, which lie in the folder `scratch`.
    """
    stands, row = np.zeros(count, dtype=bool), 0
    parts, aside = max(-(-count // LOOKED_THROUGH), 1), Aside(scratch)
    for table in tables:
        numbered = table.append_column("row", pa.array(np.arange(row, row + table.num_rows)))
        row += table.num_rows
        aside.spread((table["start"].to_numpy().astype(np.uint64) * SPREAD >> 32).astype(np.int64) % parts, numbered)
    for part in range(parts):
        if pieces := list(aside.pieces(part)):
            table = pa.concat_tables(pieces)
            stands[table["row"].to_numpy()[_standing(table)]] = True
    return stands


def _standing(table: pa.Table) -> Numbers:
    """Return which rows of a table stand, in their order."""
    if not table.num_rows:
        return np.arange(0)
    ids = table["id"].dictionary_encode().combine_chunks().indices.to_numpy()
    records, firsts = combined([ids.astype(np.int64), table["start"].to_numpy()])
    if len(firsts) == table.num_rows:
        return np.arange(table.num_rows)
    by_end = np.argsort(table["end"].to_numpy(), kind="stable")
    last = np.empty(len(firsts), dtype=np.int64)
    # Of several rows of a record, what is written last stays.
    last[records[by_end]] = by_end
    return np.sort(last)


def within(table: pa.Table, shape: Shape, begin: int, end: int) -> pa.Table:
    """Return what records have from `begin` until `end`, in seconds since 1970 in UTC.

    Levels belong where their moment is, and so do amounts that take no time. Other amounts are spread evenly over
    their time: up to a moment t, a measure has come to floor(total × (t - start) / (end - start)). A record is cut to
    the difference of two of these, so that the pieces of any cuts add up to it exactly.
    """
    starts, ends = table["start"].to_numpy(), table["end"].to_numpy()
    is_inside = (starts >= begin) & (starts < end)
    if not shape.are_levels:
        is_inside |= (starts < end) & (ends > begin)
    if not is_inside.all():
        table = table.filter(pa.array(is_inside))
        starts, ends = starts[is_inside], ends[is_inside]
    if shape.are_levels or not table.num_rows:
        return table
    is_cut = (starts < begin) | (ends > end)
    if not is_cut.any():
        return table
    rows = np.flatnonzero(is_cut)
    lengths = ends[rows] - starts[rows]
    came, went = np.maximum(starts[rows], begin) - starts[rows], np.minimum(ends[rows], end) - starts[rows]
    for measure in shape.measures:
        if measure.name not in table.column_names:
            continue
        totals = table[measure.name].to_numpy().copy()
        totals[rows] = shares(totals[rows], went, lengths) - shares(totals[rows], came, lengths)
        table = _with(table, measure.name, totals)
    table = _with(table, "start", np.maximum(starts, begin))
    return _with(table, "end", np.minimum(ends, end))


def shares(totals: Numbers, times: Numbers, lengths: Numbers) -> Numbers:
    """Return floor(total × time / length) for 0 ≤ time ≤ length, exactly, though the product may not fit 64 bits."""
    whole, rest = np.divmod(totals, lengths)
    if int(lengths.max(initial=0)) <= LONGEST:
        parts = (rest.astype(np.uint64) * times.astype(np.uint64) // lengths.astype(np.uint64)).astype(np.int64)
    else:
        parts = (rest.astype(object) * times.astype(object) // lengths.astype(object)).astype(np.int64)
    return whole * times + parts


def _with(table: pa.Table, name: str, values: Numbers) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(place), pa.array(values, pa.int64()))

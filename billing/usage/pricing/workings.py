"""How each line of a priced month came about, small enough to keep beside its rows.

A line is priced by where its record stands in the use of somebody: what was used before it, and by it. With the
schedule, that is all that its price depends on. What it was reduced by stands beside it, in the order applied.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from .exact import Ints, narrowed
from .lines import Columns, texts
from .opening import Counted

REDUCED = pa.struct(
    [
        pa.field("by", pa.string()),
        pa.field("code", pa.string()),
        pa.field("fund_org", pa.string()),
        pa.field("quantity", pa.int64()),
        pa.field("amount", pa.int64()),
        pa.field("used", pa.int64()),
    ]
)
_NOTHING = Counted("", "", 1, 0)


def workings_of(columns: Columns, order: Ints, groups: Sequence[Counted], reductions: pa.Table) -> pa.Table:
    """Return how lines came about, in their order.

    `scope` and `apart` say whose use was added up. `use`, `before`, `in_all` and `free` are parts of the rate's unit,
    which has `scale` of them: what the record used, what had been used before it, in all where prices go by volume, and
    how many are free. `base` is money (10^-8) that a minimum or an indirect cost is worked out from; of the latter,
    `before` is what such money had come to before it. `reductions` are as in REDUCTIONS.
    """
    counted, group = [_NOTHING, *groups], columns.group[order]
    return pa.table(
        {
            "payer": pa.array(columns.payer[order].astype(np.int32)),
            "scope": _said(group, [each.scope for each in counted]),
            "apart": _said(group, [each.apart for each in counted]),
            "scale": _numbers(_of(group, [each.scale for each in counted])),
            "free": _numbers(_of(group, [each.free for each in counted])),
            "use": _numbers(columns.use[order]),
            "before": _numbers(columns.before[order]),
            "in_all": _numbers(columns.in_all[order]),
            "base": _numbers(columns.base[order]),
            "reductions": _reductions(reductions, len(columns)),
        }
    )


def _said(group: Ints, names: list[str]) -> pa.Array:
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return texts(np.array([places[name] for name in names], dtype=np.int32)[group], list(places))


def _of(group: Ints, numbers: list[int]) -> Ints:
    """Return a number of each group for each of its lines."""
    known = np.array(numbers, dtype=object)
    return narrowed(known)[group]


def _numbers(values: Ints) -> pa.Array:
    """Return whole numbers as a column: as texts where 64 bits do not hold them."""
    known = narrowed(values)
    return pa.array(list(map(str, known.tolist()))) if known.dtype == object else pa.array(known.astype(np.int64))


def _reductions(reductions: pa.Table, count: int) -> pa.Array:
    line = reductions.column("line").to_numpy()
    in_turn = np.argsort(line, kind="stable")
    offsets = np.searchsorted(line[in_turn], np.arange(count + 1)).astype(np.int32)
    rows = reductions.take(pa.array(in_turn))
    columns = [rows.column(field.name).cast(field.type).combine_chunks() for field in REDUCED]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.StructArray.from_arrays(columns, fields=list(REDUCED)))

"""How each line of a priced month came about, small enough to keep beside its rows.

A line is priced by where its record stands in the use of somebody: what was used before it, and by it. With the
schedule, that is all that its price depends on. What it was reduced by stands beside it, in the order applied.
"""

from collections.abc import Collection, Sequence

import numpy as np
import pyarrow as pa

from .exact import Ints, narrowed
from .groups import Counted
from .lines import Columns, texts

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
# Columns of numbers that 64 bits may not hold.
NUMBERS = ("scale", "free", "use", "before", "in_all", "base")
_NOTHING = Counted("", "", 1, 0)


class Workings:
    """Makes the workings of a month, of which `counted` are the groups.

    A column of NUMBERS that 64 bits do not hold somewhere in the month is one of texts: those of `wide` are, and of
    others it follows from the groups.
    """

    def __init__(self, counted: Sequence[Counted], wide: Collection[str]) -> None:
        known = [_NOTHING, *counted]
        self._of_groups = {
            name: narrowed(np.array([getattr(each, name) for each in known], dtype=object))
            for name in ("scale", "free")
        }
        self._texts = {name: _Texts([getattr(each, name) for each in known]) for name in ("scope", "apart")}
        self.wide = {*wide, *(name for name, numbers in self._of_groups.items() if numbers.dtype == object)}

    def of(self, columns: Columns, reductions: pa.ListArray) -> pa.Table:
        """Return how lines came about, in their order.

        `scope` and `apart` say whose use was added up. `use`, `before`, `in_all` and `free` are parts of the rate's
        unit, which has `scale` of them: what the record used, what had been used before it, in all where prices go by
        volume, and how many are free. `base` is money (10^-8) that a minimum or an indirect cost is worked out from;
        of the latter, `before` is what such money had come to before it. `reductions` are as REDUCED says.
        """
        group = columns.group
        numbers = {name: of_groups[group] for name, of_groups in self._of_groups.items()}
        numbers |= {name: getattr(columns, name) for name in NUMBERS if name not in numbers}
        return pa.table(
            {
                "payer": pa.array(columns.payer.astype(np.int32)),
                **{name: known.of(group) for name, known in self._texts.items()},
                **{name: self._numbers(name, numbers[name]) for name in NUMBERS},
                "reductions": reductions,
            }
        )

    def _numbers(self, name: str, values: Ints) -> pa.Array:
        return pa.array(list(map(str, values.tolist()))) if name in self.wide else pa.array(values.astype(np.int64))


class _Texts:
    """A text of each group, each text once."""

    def __init__(self, names: Sequence[str]) -> None:
        places = {name: place for place, name in enumerate(dict.fromkeys(names))}
        self._names, self._places = list(places), np.array([places[name] for name in names], dtype=np.int32)

    def of(self, group: Ints) -> pa.Array:
        return texts(self._places[group], self._names)

"""What staged rows come to by who pays, added up before they are charges: totals of months need no look at those."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...models.month_totals import (
    AMOUNTS,
    HAS_EFFECTIVE,
    NO_CONTRACTED,
    NO_CONTRACTED_EFFECTIVE,
    NO_LIST,
    NO_LIST_EFFECTIVE,
)
from ...models.totalling import Totals
from ...readers.coded import Numbers, coded, combined
from .spool import numbers_of

if TYPE_CHECKING:
    import pyarrow as pa

_LOW = np.int64(0xFFFFFFFF)

# Month (202501), state, number of the attribution, service, currency, and what is known of the prices.
Key = tuple[int, str, int, str, str, int]


class Tallies:
    """Exact sums of rows by what months are totalled by, as far as an import can tell."""

    def __init__(self, batches: Iterable["pa.RecordBatch"], services: Mapping[int, str]) -> None:
        """`services` has the service of each product by its number."""
        self.sums: dict[Key, list[int]] = {}
        for batch in batches:
            self._add(batch, services)

    def _add(self, batch: "pa.RecordBatch", services: Mapping[int, str]) -> None:
        states, currencies = coded(batch.column("state")), coded(batch.column("currency"))
        months, owners, products = (numbers_of(batch, name) for name in ("month", "attribution", "product"))
        amounts = {name: _Amount.of(batch, f"{name}_cost") for name in AMOUNTS}
        prices = _prices(amounts)
        numbers, firsts = combined([months, states.codes, owners, products, currencies.codes, prices])
        counts = np.bincount(numbers).tolist()
        sums = [list(_exact(amount.units, numbers, len(firsts))) for amount in amounts.values()]
        of_groups = zip(
            months[firsts].tolist(),
            states.at(firsts),
            owners[firsts].tolist(),
            map(services.__getitem__, products[firsts].tolist()),
            currencies.at(firsts),
            prices[firsts].tolist(),
            strict=True,
        )
        for key, *values in zip(of_groups, counts, *sums, strict=True):
            known = self.sums.setdefault(key, [0] * len(values))
            for place, value in enumerate(values):
                known[place] += value

    def totals(self, *, source: int, periods: Mapping[int, int], owners: Mapping[int, Sequence[Any]]) -> Totals:
        """Return the sums by the key of month totals.

        `periods` has the ids of months by their numbers, `owners` a PI, project and fund/org for each attribution.
        """
        found: Totals = {}
        for (month, state, attribution, service, currency, prices), sums in self.sums.items():
            pi, project, fund_org = owners[attribution]
            period = periods[month]
            # In the order of month_totals.KEY.
            key = (project, service, pi, fund_org, state, prices, source, period, period, currency)
            known = found.setdefault(key, [0] * len(sums))
            for place, value in enumerate(sums):
                known[place] += value
        return found

    def by_attribution(self) -> list[tuple[int, str, int, int]]:
        """Return (number of the attribution, currency, rows, units billed)."""
        billed = 1 + AMOUNTS.index("billed")
        found: dict[tuple[int, str], list[int]] = {}
        for (_, _, attribution, _, currency, _), sums in self.sums.items():
            known = found.setdefault((attribution, currency), [0, 0])
            known[0] += sums[0]
            known[1] += sums[billed]
        return [(attribution, currency, rows, units) for (attribution, currency), (rows, units) in found.items()]


class _Amount(NamedTuple):
    """A column of units, 0 where there is no amount, and where there is none."""

    units: Numbers
    is_missing: Numbers

    @classmethod
    def of(cls, batch: "pa.RecordBatch", name: str) -> "_Amount":
        column = batch.column(name)
        is_missing = column.is_null().to_numpy(zero_copy_only=False)
        return cls(column.fill_null(0).to_numpy(zero_copy_only=False), is_missing)


def _prices(amounts: Mapping[str, _Amount]) -> Numbers:
    """Return for each row what is known of its prices, as `month_totals.KNOWN_PRICES` says it in SQL."""
    billed, (effective, has_none) = amounts["billed"].units, amounts["effective"]
    charged = np.where(has_none, billed, effective)
    code = np.where(has_none, 0, HAS_EFFECTIVE)
    for name, bit, bit_effective in (
        ("list", NO_LIST, NO_LIST_EFFECTIVE),
        ("contracted", NO_CONTRACTED, NO_CONTRACTED_EFFECTIVE),
    ):
        price, is_missing = amounts[name]
        for of, own in ((billed, bit), (charged, bit_effective)):
            code = code + own * (is_missing | ((price == 0) & (of != 0)))
    return code


def _exact(units: Numbers, groups: Numbers, count: int) -> Iterator[int]:
    # Whole numbers: halves of a piece's rows add up to less than the 2^53 that a double holds exactly.
    high: Any = np.bincount(groups, weights=(units >> 32).astype(np.float64), minlength=count)
    low: Any = np.bincount(groups, weights=(units & _LOW).astype(np.float64), minlength=count)
    for upper, lower in zip(high.tolist(), low.tolist(), strict=True):
        yield (int(upper) << 32) + int(lower)

"""What staged rows come to by who pays, added up as they are staged: the totals of months need no second look."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

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
from ...readers.coded import Numbers, combined
from ...readers.dimensions import FIELDS

if TYPE_CHECKING:
    from ...readers.understanding import Understood
    from ..converting import Converted

# The names of AMOUNTS as FOCUS has them.
_FOCUS = {"list": "ListCost", "contracted": "ContractedCost", "effective": "EffectiveCost", "billed": "BilledCost"}
_SERVICE = FIELDS["product"].index("service_name")
_LOW = np.int64(0xFFFFFFFF)

# Month (202501), state, number of the attribution, service, currency, and what is known of the prices.
Key = tuple[int, str, int, str, str, int]


class Tallies:
    """Exact sums of rows by what months are totalled by, as far as an import can tell."""

    def __init__(self) -> None:
        self.sums: dict[Key, list[int]] = {}
        self._services: dict[int, str] = {}

    def add(self, converted: "Converted") -> None:
        """Count a piece."""
        said = converted.said
        self._services |= {each.number: each.texts[_SERVICE] for each in said.dimensions["product"]}
        held = np.array([state != "clear" for state in converted.states], dtype=np.int64)
        months, products = np.asarray(converted.months), np.asarray(said.numbers["product"])
        prices = _prices(said)
        numbers, firsts = combined([months, held, converted.attributed, products, said.currencies.codes, prices])
        counts = np.bincount(numbers).tolist()
        sums = [_sums(said, _FOCUS[name], numbers, len(firsts)) for name in AMOUNTS]
        currencies = said.currencies.at(firsts)
        for group, row in enumerate(firsts.tolist()):
            key = (
                int(months[row]),
                converted.states[row],
                int(converted.attributed[row]),
                self._services[int(products[row])],
                currencies[group],
                int(prices[row]),
            )
            known = self.sums.setdefault(key, [0] * (1 + len(AMOUNTS)))
            for place, value in enumerate((counts[group], *(column[group] for column in sums))):
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


def _prices(said: "Understood") -> Numbers:
    """Return for each row what is known of its prices, as `month_totals.KNOWN_PRICES` says it in SQL."""
    size = len(said.lines)
    billed, _ = _units(said, "BilledCost", size)
    effective, has_none = _units(said, "EffectiveCost", size)
    charged = np.where(has_none, billed, effective)
    code = np.where(has_none, 0, HAS_EFFECTIVE)
    for column, bit, bit_effective in (
        ("ListCost", NO_LIST, NO_LIST_EFFECTIVE),
        ("ContractedCost", NO_CONTRACTED, NO_CONTRACTED_EFFECTIVE),
    ):
        price, missing = _units(said, column, size)
        for of, own in ((billed, bit), (charged, bit_effective)):
            code = code + own * (missing | ((price == 0) & (of != 0)))
    return code


def _units(said: "Understood", column: str, size: int) -> tuple[Numbers, Numbers]:
    """Return the units of a column, 0 where there is no amount, and where there is none."""
    amount = said.amounts.get(column)
    if amount is None:
        return np.zeros(size, dtype=np.int64), np.ones(size, dtype=np.bool_)
    missing = np.zeros(size, dtype=np.bool_) if amount.missing is None else amount.missing
    return amount.units, missing


def _sums(said: "Understood", column: str, groups: Numbers, count: int) -> list[int]:
    """Return the exact sum of a column for each group."""
    amount = said.amounts.get(column)
    if amount is None:
        return [0] * count
    return list(_exact(amount.units, groups, count))


def _exact(units: Numbers, groups: Numbers, count: int) -> Iterator[int]:
    # Whole numbers: halves of a piece's rows add up to less than the 2^53 that a double holds exactly.
    high: Any = np.bincount(groups, weights=(units >> 32).astype(np.float64), minlength=count)
    low: Any = np.bincount(groups, weights=(units & _LOW).astype(np.float64), minlength=count)
    for upper, lower in zip(high.tolist(), low.tolist(), strict=True):
        yield (int(upper) << 32) + int(lower)

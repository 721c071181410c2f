"""The balance of units: what came in is charged, free for a reason, or held, and nothing else."""

from collections import defaultdict
from fractions import Fraction

import numpy as np

from .exact import total
from .lines import FREE_AMOUNT, NO_CHARGE, Units, is_free
from .month import Month
from .rating import Rated
from .terms import Rate


class UnitsInMonth:
    """What became of a rate's units, added up over the parts of a month.

    What came in is counted from the records as they were read, not from what was priced.
    """

    def __init__(self, rate: Rate, scale: int) -> None:
        self.rate, self.scale = rate, scale
        self._records = self._counted = self._open = self._held = 0
        self._free: dict[str, int] = defaultdict(int)

    def count(self, records: int, parts: int) -> None:
        """Note that records came in, and how many parts of a unit they used."""
        self._records += records
        self._counted += parts

    def add(self, rate: Rated, month: Month) -> None:
        """Note what became of the units of a part."""
        use = rate.use
        reason = month.reason[use.record]
        is_open = np.ones(len(use.record), dtype=bool)
        for place in np.unique(reason).tolist():
            if name := month.reasons[place]:
                self._free[name] += total(use.parts[reason == place])
                is_open &= reason != place
        if is_free(use.rate):
            self._free[NO_CHARGE] += total(use.parts[is_open])
            is_open &= False
        is_held = is_open & month.payers.is_held[month.payer[use.record]]
        is_open &= ~is_held
        self._free[FREE_AMOUNT] += total(rate.free_parts[is_open])
        self._open += total(use.parts[is_open])
        self._held += total(use.parts[is_held])

    def units(self) -> Units:
        """Return what became of them."""

        def units(parts: int) -> Fraction:
            return Fraction(parts, self.scale)

        return Units(
            rate=self.rate.code,
            unit=self.rate.unit,
            records=self._records,
            counted=units(self._counted),
            charged=units(self._open - self._free[FREE_AMOUNT]),
            free={name: units(parts) for name, parts in sorted(self._free.items()) if parts},
            held=units(self._held),
        )

"""The balance of units: what came in is charged, free for a reason, or held, and nothing else."""

from collections import defaultdict
from fractions import Fraction

import numpy as np

from .counting import parts_of
from .exact import total
from .fitting import Mask
from .lines import FREE_AMOUNT, NO_CHARGE, Units, is_free
from .month import Month
from .rating import Rated


def units_of(rate: Rated, mask: Mask, month: Month) -> Units:
    """Return what became of a rate's units. What came in is counted anew from the records, not from what was priced."""
    use = rate.use
    counted = parts_of(month.records, use.rate, month.shape, use.scale)[mask]
    free: dict[str, int] = defaultdict(int)
    reason = month.reason[use.record]
    is_open = np.ones(len(use.record), dtype=bool)
    for place in np.unique(reason).tolist():
        if name := month.reasons[place]:
            free[name] += total(use.parts[reason == place])
            is_open &= reason != place
    if is_free(use.rate):
        free[NO_CHARGE] += total(use.parts[is_open])
        is_open &= False
    is_held = is_open & month.payers.is_held[month.payer[use.record]]
    is_open &= ~is_held
    free[FREE_AMOUNT] += total(rate.free_parts[is_open])

    def units(parts: int) -> Fraction:
        return Fraction(parts, use.scale)

    return Units(
        rate=use.rate.code,
        unit=use.rate.unit,
        records=int(mask.sum()),
        counted=units(total(counted)),
        charged=units(total(use.parts[is_open]) - free[FREE_AMOUNT]),
        free={name: units(parts) for name, parts in sorted(free.items()) if parts},
        held=units(total(use.parts[is_held])),
    )

"""The records of a month in the order in which they were used, in parts that fit the memory."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..aside import Aside
from ..records import Records, Shape
from .checks import ELAPSED
from .counting import parts_of
from .exact import Ints, total
from .fitting import Texts, has_rate, masks_of, require_rates
from .terms import Schedule

# Of the ends of so many records one is looked at, to find parts of about one size.
SAMPLED = 256


class InTurn:
    """Records put aside by when they ended, so that they are given back in the order of use.

    `reasons` are all texts why a record is free. The records come in `blocks` of `size`, the last of which has less.
    """

    def __init__(self, records: Records, schedule: Schedule, shape: Shape, scratch: Path) -> None:
        self.records, self.schedule, self.shape = records, schedule, shape
        self._aside = Aside(scratch)
        reasons: dict[str, int] = {}
        sizes, ends = [], []
        for block in records.blocks(["end", "free"]):
            for text in block.column("free").unique().to_pylist():
                reasons.setdefault(text, len(reasons))
            sizes.append(block.num_rows)
            ends.append(np.sort(block.column("end").to_numpy())[::SAMPLED])
        self._places, self.reasons = reasons, list(reasons)
        self.size, self.blocks = max(sizes[0], 1), len(sizes)
        sampled = np.sort(np.concatenate(ends))
        # Records that end at the same time are of one part.
        self._bounds = np.unique(sampled[len(sampled) * np.arange(1, self.blocks) // self.blocks])

    def _names(self) -> list[str]:
        """Return the columns that prices depend on."""
        rates, counts = self.schedule.rates, [count for rate in self.schedule.rates for count in rate.counts]
        texts = [name for rate in rates for name in rate.when] + [name for count in counts for name in count.when]
        measures = [each.measure for each in counts]
        measures += [ELAPSED for each in counts if each.step is not None or each.at_least is not None]
        return list(dict.fromkeys(["id", "start", "end", "free", "payer", *texts, *measures]))

    def spread(self, scales: Sequence[int]) -> list[tuple[int, int]]:
        """Put the records aside. Return how many each rate fits, and what they used in parts of its unit, by `scales`.

        Raises NoRate and NegativeUse.
        """
        rates, first = self.schedule.rates, 0
        counts, parts = [0] * len(rates), [0] * len(rates)
        for block in self.records.blocks(self._names()):
            masks = masks_of(block, self.schedule)
            if not has_rate(masks, block).all():
                require_rates(self.records, self.schedule, self.shape.attributes)
            for place, (rate, scale) in enumerate(zip(rates, scales, strict=True)):
                mask = masks[rate.code]
                counts[place] += int(mask.sum())
                parts[place] += total(parts_of(block, rate, self.shape, scale)[mask])
            part = np.searchsorted(self._bounds, block.column("end").to_numpy(), side="right")
            self._aside.spread(part, self._numbered(block, first))
            first += block.num_rows
        return list(zip(counts, parts, strict=True))

    def _numbered(self, block: pa.Table, first: int) -> pa.Table:
        texts, codes = Texts(block).column("free")
        reason: Ints = np.array([self._places[text] for text in texts], dtype=np.int32)[codes]
        numbers = np.arange(first, first + block.num_rows)
        numbered = block.select(self._names()).append_column("number", pa.array(numbers))
        return numbered.append_column("reason", pa.array(reason, pa.int32()))

    def parts(self) -> Iterator[pa.Table]:
        """Yield the records, part after part, with the place of each in the month and of its reason, if it is free."""
        for part in range(len(self._bounds) + 1):
            if pieces := list(self._aside.pieces(part)):
                yield pa.concat_tables(pieces).unify_dictionaries().combine_chunks()

    def nothing(self) -> pa.Table:
        """Return the same of no record."""
        return self._numbered(next(self.records.blocks(self._names()))[:0], 0)

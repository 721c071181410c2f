"""Which rates of a schedule price which records."""

from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...errors import BillingError
from ..records import Records
from .terms import Schedule

Mask = npt.NDArray[np.bool_]
# So many kinds of records without a rate are named.
NAMED = 5


class NoRate(BillingError):
    """No rate of the schedule fits some records. `count` says how many."""

    def __init__(self, message: str, count: int) -> None:
        super().__init__(message)
        self.count = count


def masks_of(records: pa.Table, schedule: Schedule) -> dict[str, Mask]:
    """Return which records each rate prices, by its code.

    Every rate that fits a record prices it, but of a group only the first in its order.
    """
    texts = Texts(records)
    found: dict[str, Mask] = {}
    taken: dict[str, Mask] = {}
    for rate in sorted(schedule.rates, key=lambda each: each.order):
        # Where every count is of some records alone, the others would be priced at nothing.
        counted = np.logical_or.reduce([texts.fit(count.when) for count in rate.counts])
        mask = texts.fit(rate.when) & counted
        if rate.group:
            before = taken.get(rate.group, np.zeros(records.num_rows, dtype=bool))
            mask = mask & ~before
            taken[rate.group] = before | mask
        found[rate.code] = mask
    return {rate.code: found[rate.code] for rate in schedule.rates}


def has_rate(masks: Mapping[str, Mask], records: pa.Table) -> Mask:
    """Return which records any rate prices."""
    return np.logical_or.reduce([np.zeros(records.num_rows, dtype=bool), *masks.values()])


def require_rates(records: Records, schedule: Schedule, attributes: Sequence[str]) -> None:
    """Raise NoRate for records that no rate fits: nothing that was used is left out without a word.

    A rate with the price 0 says what is free.
    """
    names = ("resource", *attributes)
    kinds: Counter[tuple[str, ...]] = Counter()
    for block in records.blocks():
        without = block.filter(pa.array(~has_rate(masks_of(block, schedule), block)))
        columns = [coded(without.column(name)) for name in names]
        kinds.update(zip(*([texts[code] for code in codes.tolist()] for texts, codes in columns), strict=True))
    if kinds:
        raise _no_rate(kinds, names, schedule)


class Texts:
    """Columns of texts that are matched once for each text, however many records have it."""

    def __init__(self, records: pa.Table) -> None:
        self._records = records
        self._known: dict[str, tuple[list[str], npt.NDArray[np.int32]]] = {}

    def fit(self, when: Mapping[str, tuple[str, ...]]) -> Mask:
        """Return the records of which each named text fits one of its patterns."""
        mask = np.ones(self._records.num_rows, dtype=bool)
        for name, patterns in when.items():
            texts, codes = self.column(name)
            fits = np.array([any(fnmatchcase(text, each) for each in patterns) for text in texts], dtype=bool)
            if len(texts):
                mask &= fits[codes]
        return mask

    def column(self, name: str) -> tuple[list[str], npt.NDArray[np.int32]]:
        """Return the texts of a column, and which of them each record has."""
        if name not in self._known:
            self._known[name] = coded(self._records.column(name))
        return self._known[name]


def coded(column: pa.ChunkedArray) -> tuple[list[str], npt.NDArray[np.int32]]:
    """Return the texts of a column, and which of them each row has."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    # Each chunk has a dictionary of its own.
    whole = column.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        return [], np.zeros(0, dtype=np.int32)
    return whole.dictionary.to_pylist(), whole.indices.to_numpy(zero_copy_only=False)


def _no_rate(kinds: Counter[tuple[str, ...]], names: Sequence[str], schedule: Schedule) -> NoRate:
    told = []
    for kind, count in kinds.most_common(NAMED):
        values = [f"{name} {text or '(empty)'}" for name, text in zip(names, kind, strict=True)]
        told.append(f"{', '.join(values)} ({count:,})")
    more = f", and {len(kinds) - NAMED:,} other kinds" if len(kinds) > NAMED else ""
    count = kinds.total()
    have = "1 record has" if count == 1 else f"{count:,} records have"
    return NoRate(
        f"{have} no rate in {schedule.name}, version {schedule.version}: {'; '.join(told)}{more}. "
        "Add a rate for them. Where they are free, give it the price 0.",
        count,
    )

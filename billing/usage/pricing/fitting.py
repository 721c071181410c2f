"""Which rates of a schedule price which records."""

from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...errors import BillingError
from .terms import Schedule

Mask = npt.NDArray[np.bool_]
# So many kinds of records without a rate are named.
NAMED = 5


class NoRate(BillingError):
    """No rate of the schedule fits some records. `count` says how many."""

    def __init__(self, message: str, count: int) -> None:
        super().__init__(message)
        self.count = count


def fitting(records: pa.Table, schedule: Schedule, attributes: Sequence[str]) -> dict[str, Mask]:
    """Return which records each rate prices, by its code.

    Every rate that fits a record prices it, but of a group only the first in its order. Raises NoRate for records
    that no rate fits: nothing that was used is left out without a word. A rate with the price 0 says what is free.
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
    priced = np.logical_or.reduce(list(found.values())) if found else np.zeros(records.num_rows, dtype=bool)
    if not priced.all():
        raise _no_rate(records.filter(pa.array(~priced)), schedule, attributes)
    return {rate.code: found[rate.code] for rate in schedule.rates}


class Texts:
    """Columns of texts that are matched once for each text, however many records have it."""

    def __init__(self, records: pa.Table) -> None:
        self._records = records
        self._known: dict[str, tuple[list[str], npt.NDArray[np.int32]]] = {}

    def fit(self, when: Mapping[str, tuple[str, ...]]) -> Mask:
        """Return the records of which each named text fits one of its patterns."""
        mask = np.ones(self._records.num_rows, dtype=bool)
        for name, patterns in when.items():
            texts, codes = self._column(name)
            fits = np.array([any(fnmatchcase(text, each) for each in patterns) for text in texts], dtype=bool)
            if len(texts):
                mask &= fits[codes]
        return mask

    def _column(self, name: str) -> tuple[list[str], npt.NDArray[np.int32]]:
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


def _no_rate(records: pa.Table, schedule: Schedule, attributes: Sequence[str]) -> NoRate:
    names = ("resource", *attributes)
    columns = [coded(records.column(name)) for name in names]
    kinds = Counter(zip(*(codes.tolist() for _, codes in columns), strict=True))
    told = []
    for kind, count in kinds.most_common(NAMED):
        values = [
            f"{name} {texts[code] or '(empty)'}" for name, (texts, _), code in zip(names, columns, kind, strict=True)
        ]
        told.append(f"{', '.join(values)} ({count:,})")
    more = f", and {len(kinds) - NAMED:,} other kinds" if len(kinds) > NAMED else ""
    count = records.num_rows
    have = "1 record has" if count == 1 else f"{count:,} records have"
    return NoRate(
        f"{have} no rate in {schedule.name}, version {schedule.version}: {'; '.join(told)}{more}. "
        "Add a rate for them. Where they are free, give it the price 0.",
        count,
    )

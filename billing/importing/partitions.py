"""Records of many rows in a file without a name, found again part by part: what is equal lies in one part.

So memory holds a part of a few hundred thousand of them, however many there are. A few stay in memory altogether.
"""

import tempfile
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..readers.streams import MIB

# Bytes that partitions keep in memory before they take a file.
IN_MEMORY = 4 * MIB
# So finely records can be divided into parts.
BUCKETS = 1024
# Records of a part, all sides together, unless a bucket has more.
PART = 200_000

Numbers = npt.NDArray[np.int64]
# A structured array with a field `number`, by which the records of a part are ordered.
Records = npt.NDArray[Any]
# For each record its bucket, from 0 to BUCKETS - 1.
Buckets = Callable[[Records], npt.NDArray[Any]]

# Hashes of 16 bytes are two numbers each.
HASHED = np.dtype(
    [("number", "<i8"), ("content", "<u8", 2), ("identity", "<u8", 2), ("month", "<i4"), ("has_resource", "?")]
)
# A row, and the charge it replaces, or 0.
NUMBERED = np.dtype([("number", "<i8"), ("other", "<i8")])


class Partitions:
    """Records of one kind, in runs as they were added; each run is ordered by buckets.

    The file ends with the partitions, and with the process, however that ends.
    """

    def __init__(self, kind: np.dtype[Any], buckets: Buckets) -> None:
        self.kind = kind
        self.sizes = np.zeros(BUCKETS, dtype=np.int64)
        # The smallest and the largest number.
        self.least = self.most = 0
        self.buckets = buckets
        # Where each run begins, in records, and where in it each bucket does; after the last bucket its end.
        self._runs: list[tuple[int, npt.NDArray[np.int32]]] = []
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 (closed with the partitions)
        weakref.finalize(self, self._file.close)

    def __len__(self) -> int:
        return int(self.sizes.sum())

    def add(self, records: Records) -> None:
        """Append records. Those of earlier runs come first where numbers are equal."""
        if not len(records):
            return
        buckets = self.buckets(records).astype(np.uint16)
        sizes = np.bincount(buckets, minlength=BUCKETS)
        begins = np.zeros(BUCKETS + 1, dtype=np.int32)
        np.cumsum(sizes, out=begins[1:])
        least, most = int(records["number"].min()), int(records["number"].max())
        self.least, self.most = (min(self.least, least), max(self.most, most)) if self._runs else (least, most)
        self._file.seek(len(self) * self.kind.itemsize)
        self._file.write(records[np.argsort(buckets, kind="stable")].tobytes())
        self._runs.append((len(self), begins))
        self.sizes += sizes

    def part(self, first: int, last: int) -> Records:
        """Return the records of some buckets, from `first` to before `last`, by their numbers."""
        found = []
        for before, begins in self._runs:
            if size := int(begins[last] - begins[first]):
                self._file.seek((before + int(begins[first])) * self.kind.itemsize)
                found.append(self._file.read(size * self.kind.itemsize))
        records: Records = np.frombuffer(b"".join(found), dtype=self.kind)
        return records[np.argsort(records["number"], kind="stable")]


def together(*sides: Partitions) -> Iterator[tuple[Records, ...]]:
    """Yield records part by part, those of the same buckets of each side, in the order of buckets."""
    ends = np.cumsum(np.sum([side.sizes for side in sides], axis=0))
    first = before = 0
    while before < ends[-1]:
        last = max(first + 1, int(np.searchsorted(ends, before + PART, side="right")))
        if ends[last - 1] > before:
            yield tuple(side.part(first, last) for side in sides)
        first, before = last, int(ends[last - 1])


def by_content(records: Records) -> npt.NDArray[Any]:
    """Bring equal contents together."""
    return _of_hashes(records["content"])


def by_identity(records: Records) -> npt.NDArray[Any]:
    """Bring equal identities together."""
    return _of_hashes(records["identity"])


def by_number(of: Partitions) -> Buckets:
    """Put numbers in their order, among those of partitions that are complete."""
    least, width = of.least, of.most - of.least + 1
    return lambda records: (records["number"] - least) * BUCKETS // width


def hashed(
    numbers: npt.ArrayLike,
    contents: bytes | bytearray,
    identities: bytes | bytearray,
    months: npt.ArrayLike = 0,
    has_resource: Any = True,
) -> Records:
    """Return rows or charges as records; the hashes lie one after the other."""
    records = np.empty(len(contents) // 16, dtype=HASHED)
    records["number"], records["month"], records["has_resource"] = numbers, months, has_resource
    for name, hashes in (("content", contents), ("identity", identities)):
        records[name] = np.frombuffer(hashes, dtype="<u8").reshape(-1, 2)
    return records


def numbered(numbers: Numbers, others: npt.ArrayLike = 0) -> Records:
    """Return numbers as records, each with another, or with 0."""
    records = np.empty(len(numbers), dtype=NUMBERED)
    records["number"], records["other"] = numbers, others
    return records


def numbers_of(partitions: Partitions) -> Iterator[Numbers]:
    """Yield the numbers of partitions that are ordered by them."""
    for (records,) in together(partitions):
        yield records["number"]


def _of_hashes(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[Any]:
    return hashes[:, 0] >> np.uint64(64 - BUCKETS.bit_length() + 1)

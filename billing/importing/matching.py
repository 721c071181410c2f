"""An import against what is there: equal rows pair off one to one, then what changed, then new and gone."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .partitions import HASHED, NUMBERED, Partitions, Records, by_identity, by_number, numbered, together

# How many hashes of both sides are paired at once.
PART = 200_000

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Matched:
    """What became of rows of an import, by their numbers, and of live charges, by their ids, all in order.

    `changed` are rows with the charge each takes the place of. Every row is in exactly one of unchanged, changed, new
    and apart; every live charge in exactly one of unchanged, changed and gone.
    """

    unchanged: int
    changed: Partitions
    new: Partitions
    gone: Partitions
    # Rows of months that were not matched.
    apart: Partitions


class Kind(Enum):
    """What was found of rows and charges: pairs of equal content, pairs of one identity, or no pairs."""

    EQUAL = "equal"
    CHANGED = "changed"
    LEFT = "left"


class Found(NamedTuple):
    """Some rows and charges; of pairs, each row with the charge at the same place."""

    kind: Kind
    rows: Records
    charges: Records


def match(rows: Partitions, live: Partitions, *, months: Collection[int], only_with_resource: bool = False) -> Matched:
    """Match the rows of an import in some months with live charges, as multisets, in two passes.

    Both are `HASHED` by content. First equal contents pair off one to one, so equal rows stay as many as they are and
    order does not matter. Then what is left pairs off by identity (which has no amounts and no tags), in order: those
    are changes. With `only_with_resource`, rows without a ResourceId are no change of another.
    """
    of_rows, of_live = by_number(rows), by_number(live)
    changed, new, apart = (Partitions(NUMBERED, of_rows) for _ in range(3))
    gone = Partitions(NUMBERED, of_live)
    unchanged = 0
    for kind, some, charges in _paired_off(rows, live, only_with_resource, months=months, apart=apart):
        if kind is Kind.EQUAL:
            unchanged += len(some)
        elif kind is Kind.CHANGED:
            changed.add(numbered(some["number"], charges["number"]))
        else:
            new.add(numbered(some["number"]))
            gone.add(numbered(charges["number"]))
    return Matched(unchanged, changed, new, gone, apart)


def further(found: Matched, rows: Partitions, live: Partitions, *, only_with_resource: bool = False) -> Matched:
    """Take some of what was found new and gone for changes, too: by other contents and identities of theirs.

    What is equal by these is a change whatever it lacks.
    """
    known, taken = Partitions(NUMBERED, found.new.buckets), Partitions(NUMBERED, found.gone.buckets)
    for kind, some, charges in _paired_off(rows, live, only_with_resource):
        if kind is not Kind.LEFT:
            found.changed.add(numbered(some["number"], charges["number"]))
            known.add(numbered(some["number"]))
            taken.add(numbered(charges["number"]))
    return replace(found, new=_without(found.new, known), gone=_without(found.gone, taken))


def _paired_off(
    rows: Partitions,
    live: Partitions,
    only_with_resource: bool,
    *,
    months: Collection[int] | None = None,
    apart: Partitions | None = None,
) -> Iterator[Found]:
    """Yield pairs of equal content, then of equal identity, then what is left. Rows of other `months` go `apart`."""
    rows_left, live_left = Partitions(HASHED, by_identity), Partitions(HASHED, by_identity)
    for some, charges in together(rows, live):
        if months is not None and apart is not None:
            is_matched = np.isin(some["month"], list(months))
            apart.add(numbered(some["number"][~is_matched]))
            some = some[is_matched]
        of_rows, of_live = paired(some["content"], charges["content"])
        yield Found(Kind.EQUAL, some[of_rows], charges[of_live])
        rows_left.add(np.delete(some, of_rows))
        live_left.add(np.delete(charges, of_live))
    for some, charges in together(rows_left, live_left):
        candidates = np.flatnonzero(some["has_resource"] | (not only_with_resource))
        of_candidates, of_live = paired(some["identity"][candidates], charges["identity"])
        of_rows = candidates[of_candidates]
        yield Found(Kind.CHANGED, some[of_rows], charges[of_live])
        yield Found(Kind.LEFT, np.delete(some, of_rows), np.delete(charges, of_live))


def _without(partitions: Partitions, out: Partitions) -> Partitions:
    """Return partitions without the numbers that are in others of the same buckets."""
    left = Partitions(NUMBERED, partitions.buckets)
    for records, others in together(partitions, out):
        left.add(records[~np.isin(records["number"], others["number"])])
    return left


def digest_of(hashes: bytes, known: int = 0) -> int:
    """Return what hashes of 16 bytes come to in any order, together with others that came to `known`."""
    low, high = hashes_of(hashes).sum(axis=0, dtype=np.uint64).tolist()
    mask = 2**64 - 1
    return ((known + low) & mask) | ((((known >> 64) + high) & mask) << 64)


def hashes_of(hashes: bytes | bytearray | npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return hashes of 16 bytes each as an array, of which some can be taken."""
    if isinstance(hashes, np.ndarray):
        return hashes
    return np.frombuffer(hashes, dtype=np.uint64).reshape(-1, 2)


def paired(
    first: bytes | bytearray | npt.NDArray[np.uint64], second: bytes | bytearray | npt.NDArray[np.uint64]
) -> tuple[Positions, Positions]:
    """Pair equal hashes one to one: the first with the first of the other side, the second with the second.

    Large sides are paired in parts, by hash, so that the working memory stays small beside the hashes.
    """
    a, b = hashes_of(first), hashes_of(second)
    parts = np.uint64((len(a) + len(b)) // PART + 1)
    if parts == 1:
        return _paired_part(a, b)
    part_of_a, part_of_b = (a[:, 0] % parts).astype(np.uint32), (b[:, 0] % parts).astype(np.uint32)
    pairs = []
    for part in range(int(parts)):
        in_a, in_b = np.flatnonzero(part_of_a == part), np.flatnonzero(part_of_b == part)
        of_a, of_b = _paired_part(a[in_a], b[in_b])
        pairs.append((in_a[of_a], in_b[of_b]))
    return np.concatenate([of_a for of_a, _ in pairs]), np.concatenate([of_b for _, of_b in pairs])


def _paired_part(a: npt.NDArray[np.uint64], b: npt.NDArray[np.uint64]) -> tuple[Positions, Positions]:
    if not len(a) or not len(b):
        none = np.empty(0, dtype=np.int64)
        return none, none
    together = np.concatenate([a, b])
    # Stable: among equal hashes, the first side's come first and each side stays in order.
    order = np.lexsort((together[:, 1], together[:, 0]))
    ordered = together[order]
    starts = np.empty(len(order), dtype=np.bool_)
    starts[0] = True
    np.any(ordered[1:] != ordered[:-1], axis=1, out=starts[1:])
    del together, ordered
    group = np.cumsum(starts) - 1
    is_second = order >= len(a)
    seconds = np.cumsum(is_second)
    group_start = np.flatnonzero(starts)
    seconds_before: Positions = seconds[group_start] - is_second[group_start]
    sizes = np.diff(np.append(group_start, len(order)))
    seconds_in = np.add.reduceat(is_second.astype(np.int64), group_start)
    pairs = np.minimum(sizes - seconds_in, seconds_in)
    # Rank of each entry within its side of its group: firsts stand before seconds.
    within = np.arange(len(order)) - group_start[group]
    rank = np.where(is_second, seconds - 1 - seconds_before[group], within)
    chosen = rank < pairs[group]
    return order[chosen & ~is_second], order[chosen & is_second] - len(a)

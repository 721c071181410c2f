"""An import against what is there: equal rows pair off one to one, then what changed, then new and gone."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..readers.dimensions import HASH_BYTES

# How many hashes of both sides are paired at once.
PART = 200_000

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Matched:
    """Positions in the import (`*_rows`) and among the live charges (`*_live`).

    `changed_rows[i]` takes the place of `changed_live[i]`. Every row of the import is in exactly one
    of unchanged, changed and new; every live charge in exactly one of unchanged, changed and gone.
    """

    unchanged: int
    changed_rows: Positions
    changed_live: Positions
    new_rows: Positions
    gone_live: Positions


def match(
    rows_content: bytes | bytearray,
    rows_identity: bytes | bytearray,
    live_content: bytes | bytearray,
    live_identity: bytes | bytearray,
    *,
    rows_changeable: npt.NDArray[np.bool_] | None = None,
) -> Matched:
    """Match the rows of an import with live charges, as multisets, in two passes.

    The arguments are hashes of 16 bytes each, one after the other: of the full content, and of the
    identity (which has no amounts and no tags). First equal contents pair off one to one, so equal
    rows stay as many as they are and order does not matter. Then what is left pairs off by identity,
    in order: those are changes. `rows_changeable` marks the rows that may be taken for a change of
    another; None means all.

    Takes about 40 bytes a row beside the hashes, and no Python object per row.
    """
    rows, live = paired(rows_content, live_content)
    rows_left = _complement(rows, len(rows_content) // HASH_BYTES)
    live_left = _complement(live, len(live_content) // HASH_BYTES)

    candidates = rows_left if rows_changeable is None else rows_left[rows_changeable[rows_left]]
    by_identity_rows, by_identity_live = paired(_taken(rows_identity, candidates), _taken(live_identity, live_left))
    changed_rows, changed_live = candidates[by_identity_rows], live_left[by_identity_live]
    in_order = np.argsort(changed_rows, kind="stable")
    return Matched(
        unchanged=len(rows),
        changed_rows=changed_rows[in_order],
        changed_live=changed_live[in_order],
        new_rows=np.setdiff1d(rows_left, changed_rows, assume_unique=True),
        gone_live=np.setdiff1d(live_left, changed_live, assume_unique=True),
    )


def digest_of(hashes: bytes, known: int = 0) -> int:
    """Return what hashes of 16 bytes come to in any order, together with others that came to `known`."""
    low, high = hashes_of(hashes).sum(axis=0, dtype=np.uint64).tolist()
    mask = 2**64 - 1
    return ((known + low) & mask) | ((((known >> 64) + high) & mask) << 64)


def further(
    found: Matched,
    rows: Positions,
    live: Positions,
    rows_keys: bytes | bytearray,
    live_keys: bytes | bytearray,
) -> Matched:
    """Take some of what was left for changes, too: those whose keys of 16 bytes are equal, one to one and in order.

    `rows` and `live` are positions among those found new and gone, in order, and the keys are theirs.
    """
    of_rows, of_live = paired(rows_keys, live_keys)
    changed_rows = np.concatenate([found.changed_rows, rows[of_rows]])
    changed_live = np.concatenate([found.changed_live, live[of_live]])
    in_order = np.argsort(changed_rows, kind="stable")
    return Matched(
        unchanged=found.unchanged,
        changed_rows=changed_rows[in_order],
        changed_live=changed_live[in_order],
        new_rows=np.setdiff1d(found.new_rows, rows[of_rows], assume_unique=True),
        gone_live=np.setdiff1d(found.gone_live, live[of_live], assume_unique=True),
    )


def hashes_of(hashes: bytes | bytearray | npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return hashes of 16 bytes each as an array, of which some can be taken."""
    if isinstance(hashes, np.ndarray):
        return hashes
    return np.frombuffer(hashes, dtype=np.uint64).reshape(-1, 2)


def hashes_at(
    hashes: bytearray, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.int64], size: int = HASH_BYTES
) -> bytearray:
    """Return the hashes (or marks) of `size` bytes each that were chosen, by a mark for each or by their places."""
    return bytearray(np.frombuffer(hashes, dtype=f"V{size}")[chosen].tobytes())


def _taken(hashes: bytes | bytearray, positions: Positions) -> npt.NDArray[np.uint64]:
    return np.asarray(hashes_of(hashes)[positions], dtype=np.uint64)


def _complement(positions: Positions, size: int) -> Positions:
    left = np.ones(size, dtype=np.bool_)
    left[positions] = False
    return np.flatnonzero(left)


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

"""How rows were matched in memory before: what matching by parts is compared with."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from billing.importing.matching import paired
from billing.readers.dimensions import HASH_BYTES

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


def _taken(hashes: bytes | bytearray, positions: Positions) -> npt.NDArray[np.uint64]:
    return np.asarray(hashes_of(hashes)[positions], dtype=np.uint64)


def _complement(positions: Positions, size: int) -> Positions:
    left = np.ones(size, dtype=np.bool_)
    left[positions] = False
    return np.flatnonzero(left)

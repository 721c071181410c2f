"""Quotas within quotas: each byte counted once."""

from collections.abc import Iterable, Iterator

from ....readers.batches import FileError, Problem
from ....texts import quoted
from ..fields import BadField
from ..kinds import Tally
from .readings import Nested, Reading

# To know what lies in what, all readings of a file are held: some 400 MiB at the most.
MAX_OBJECTS = 1_000_000

Tree = dict[tuple[str, ...], Reading]


def counted_once(readings: Iterable[Reading], nested: Nested, tally: Tally) -> Iterator[Reading]:
    """Yield readings whose amounts have nothing in common.

    With OWN, each outer reading loses what its direct inner ones have: bytes, files, and their quotas. With OUTER,
    inner ones are left out. Raises FileError for a path that is there twice, and for more than a million readings.
    """
    trees: dict[tuple[object, ...], Tree] = {}
    for number, reading in enumerate(readings):
        if number == MAX_OBJECTS:
            message = f"The file has more than {MAX_OBJECTS:,} objects. Set nested to all, or write several files."
            raise FileError([Problem(message, reading.line)])
        key = (reading.system, reading.file_system, reading.quota_type, reading.holder, reading.at)
        other = trees.setdefault(key, {}).setdefault(reading.parts, reading)
        if other is not reading:
            raise BadField(f"{quoted(reading.path)} is on line {other.line} already.", "path").at(reading.line)
    for tree in trees.values():
        yield from _own(tree, tally) if nested is Nested.OWN else _outer(tree, tally)


def _outer(tree: Tree, tally: Tally) -> Iterator[Reading]:
    for parts, reading in tree.items():
        if _around(parts, tree) is None:
            yield reading
        else:
            tally.left_out["within another quota"] += 1


def _own(tree: Tree, tally: Tally) -> Iterator[Reading]:
    inner: dict[tuple[str, ...], list[int]] = {}
    for parts, reading in tree.items():
        around = _around(parts, tree)
        if around is not None:
            sums = inner.setdefault(around, [0, 0, 0])
            for place, amount in enumerate((reading.used, reading.quota, reading.files)):
                sums[place] += amount
    for parts, reading in tree.items():
        used, quota, files = inner.get(parts, (0, 0, 0))
        # The system measures one after the other, so that an inner amount may be the newer one.
        if used > reading.used:
            tally.notes.append(
                f"{quoted(reading.path)} (line {reading.line}) uses less than the quotas within it together. "
                "It is counted as empty."
            )
        if 0 < reading.quota < quota:
            tally.notes.append(
                f"The quotas within {quoted(reading.path)} (line {reading.line}) are larger than its own together. "
                "Where quotas are charged, set nested to outer."
            )
        reading.used = max(reading.used - used, 0)
        reading.quota = max(reading.quota - quota, 0)
        reading.files = max(reading.files - files, 0)
        yield reading


def _around(parts: tuple[str, ...], tree: Tree) -> tuple[str, ...] | None:
    """Return the nearest path of a tree that a path lies in."""
    return next((parts[:end] for end in range(len(parts) - 1, -1, -1) if parts[:end] in tree), None)

"""Lists too long for one statement, in parts."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

# Ids in one statement: below what any build of SQLite takes.
BATCH = 900

Item = TypeVar("Item")


def batches(items: Sequence[Item], size: int = BATCH) -> Iterator[Sequence[Item]]:
    """Yield the items in parts that fit one statement."""
    for start in range(0, len(items), size):
        yield items[start : start + size]

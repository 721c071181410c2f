"""The rows of a dimension by number, import-wide: what comes again has its number, as long as it is remembered."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from .coded import Coded, Numbers
from .dimensions import DIMENSIONS, HASH_BYTES, IDENTITY, hash_of, identity_hash, said_hash
from .facts import NewRow
from .recalling import Recalled, keys_of, kind_of_keys

# What one dimension remembers: so many rows, and so many bytes of theirs.
REMEMBERED = 200_000
REMEMBERED_BYTES = 40 * 1024 * 1024
# Rows that are found again by numbers.
RECALLED = 50_000
# What a row and a text of it take beside its characters.
ROW_BYTES, TEXT_BYTES = 150, 60
# A dimension with a part in what a row speaks of.
WITH_IDENTITY = (*IDENTITY, "resource")


class Found(NamedTuple):
    """Rows of a dimension: their numbers, what hashes of rows hold of them (16 bytes each), and which are new."""

    numbers: Numbers
    said: Numbers
    identities: Numbers | None
    new: list[NewRow]


class Numbering:
    """Numbers the rows of one dimension from 1, in the order they come, and remembers their hashes.

    It forgets everything when it is full: what comes again after that gets another number, and the same hash.
    """

    def __init__(
        self, name: str, size: int = REMEMBERED, said_of: Callable[[tuple[str, ...]], bytes] | None = None
    ) -> None:
        """`said_of` gives the `said_hash` of texts, where somebody knows it already."""
        self.name = name
        self.size = size
        self._said_of = said_of or partial(said_hash, name)
        # How many were numbered before the ones that are remembered.
        self._before = 0
        # By their texts, most of which are known to who converted them: their hashes need not be made again.
        self._places: dict[tuple[str, ...], int] = {}
        self._bytes = 0
        self._said, self._identities = bytearray(), bytearray()
        # The same by the numbers of their texts, for most of them: see `recalling`.
        self._recalled = Recalled(kind_of_keys(len(DIMENSIONS[name])), RECALLED)
        self._identity_of: Callable[..., bytes] | None = identity_hash if name in WITH_IDENTITY else None

    def of(self, rows: Iterable[tuple[str, ...]]) -> Found:
        """Number some distinct rows."""
        self._make_room()
        new: list[NewRow] = []
        return self._found(np.array(self._places_of(rows, new), dtype=np.int64), new)

    def of_columns(self, columns: Sequence[Coded], rows: Numbers) -> Found:
        """Number some rows of columns whose texts are numbered, import-wide; no two of the rows say the same."""
        self._make_room()
        new: list[NewRow] = []
        keys = keys_of([column.numbers_at(rows) for column in columns])

        def find(which: Numbers) -> list[int]:
            return self._places_of(zip(*(column.at(rows[which]) for column in columns), strict=True), new)

        return self._found(self._recalled.of(keys, find), new)

    def _make_room(self) -> None:
        """Forget everything that is remembered, where that is too much."""
        if len(self._places) >= self.size or self._bytes >= REMEMBERED_BYTES:
            self._before += len(self._places)
            self._places.clear()
            self._bytes = 0
            self._said, self._identities = bytearray(), bytearray()
            self._recalled.forget()

    def _places_of(self, rows: Iterable[tuple[str, ...]], new: list[NewRow]) -> list[int]:
        known = self._places
        places = []
        for texts in rows:
            place = known.get(texts)
            if place is None:
                place = self._remember(texts, new)
            places.append(place)
        return places

    def _found(self, places: Numbers, new: list[NewRow]) -> Found:
        return Found(
            numbers=places + (self._before + 1),
            said=_taken(self._said, places),
            identities=_taken(self._identities, places) if self._identity_of else None,
            new=new,
        )

    def _remember(self, texts: tuple[str, ...], new: list[NewRow]) -> int:
        place = self._places[texts] = len(self._places)
        self._bytes += ROW_BYTES + sum(TEXT_BYTES + len(text) for text in texts)
        self._said += self._said_of(texts)
        if self._identity_of:
            self._identities += self._identity_of(self.name, texts)
        new.append(NewRow(self._before + place + 1, hash_of(texts), texts))
        return place


def _taken(hashes: bytearray, places: Numbers) -> Numbers:
    return np.frombuffer(hashes, dtype=f"V{HASH_BYTES}")[places]

"""What was found for values that came before: Arrow looks them up, and Python is only asked about new ones.

A text that repeats from piece to piece becomes one of Python's once.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .coded import Coded, Encoded, Numbers, numbered
from .streams import MIB

# So many bytes of values are remembered, and those of the piece that goes beyond it.
REMEMBERED_BYTES = 16 * MIB


class Recalled:
    """The whole number that was found for each value of one type, import-wide.

    It forgets everything when it is full: what comes again after that is asked for again.
    """

    def __init__(self, kind: Any, size: int) -> None:
        self._none = pa.array([], kind)
        self._size = size
        self.forget()

    @property
    def is_full(self) -> bool:
        return len(self._values) >= self._size or self._values.nbytes >= REMEMBERED_BYTES

    def forget(self) -> None:
        self._values = self._none
        self._found: Numbers = np.empty(0, dtype=np.int64)

    def of(self, values: Any, find: Callable[[Numbers], Sequence[int]]) -> Numbers:
        """Return the numbers of distinct values; `find` gives those of new ones, for their places among the values."""
        if self.is_full:
            self.forget()
        places = pc.fill_null(pc.index_in(values, value_set=self._values), -1).to_numpy()
        new = np.flatnonzero(places < 0)
        if not len(new):
            return self._found[places]
        found = np.array(find(new), dtype=np.int64)
        # Those that are not known have the place -1, the last.
        numbers = np.append(self._found, 0)[places]
        numbers[new] = found
        self._values = pa.concat_arrays([self._values, values.take(pa.array(new))])
        self._found = np.concatenate([self._found, found])
        return numbers


def keys_of(columns: Sequence[Numbers]) -> Any:
    """Return the combinations of columns of whole numbers as values that can be recalled, one a row."""
    keys = np.stack(columns, axis=1).astype(np.int64)
    return pa.Array.from_buffers(kind_of_keys(len(columns)), len(keys), [None, pa.py_buffer(keys)])


def kind_of_keys(columns: int) -> Any:
    """Return the type of such values, of so many columns."""
    return pa.binary(8 * columns)


class Texts:
    """Converts the texts of one column, each once, and numbers what they become, import-wide.

    It forgets the texts when it is full. Their numbers are not given out again.
    """

    def __init__(self, convert: Callable[[str], str], size: int) -> None:
        self._convert = convert
        self._recalled = Recalled(pa.string(), size)
        self._numbers: dict[str, int] = {}
        self._texts: list[str] = []
        # How many were numbered before those that are remembered.
        self._before = 0

    def of(self, given: Encoded) -> Coded:
        """Convert a column of a piece; raise BadValue for a text that is refused."""
        if self._recalled.is_full:
            self._recalled.forget()
            self._before += len(self._texts)
            self._numbers, self._texts = {}, []
        found = self._recalled.of(given.texts, lambda new: self._converted(given.texts.take(pa.array(new)).to_pylist()))
        places, firsts = numbered(found)
        numbers = found[firsts]
        texts = list(map(self._texts.__getitem__, (numbers - self._before).tolist()))
        return Coded(given.codes if len(texts) == len(found) else places[given.codes], texts, numbers)

    def _converted(self, texts: list[str]) -> list[int]:
        numbers = []
        for text in map(self._convert, texts):
            following = self._before + len(self._texts)
            number = self._numbers.setdefault(text, following)
            if number == following:
                self._texts.append(text)
            numbers.append(number)
        return numbers

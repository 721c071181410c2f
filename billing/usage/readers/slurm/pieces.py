"""A piece of a file of jobs: some of its lines by columns, and the errors that name a line."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from ....readers.batches import MAX_PROBLEMS, FileError, Problem
from ....readers.coded import Coded, coded, constant
from ....readers.values import BadValue

Mask = Any
Value = TypeVar("Value")


@dataclass(frozen=True)
class Piece:
    """Some rows of a file. `columns` has Arrow arrays of texts, or dictionaries of them, by sacct's names of fields.

    `places` are the rows' places in what was read at once, and `line_of` returns the line of a place.
    """

    columns: Mapping[str, Any]
    places: Any
    line_of: Callable[[int], int]

    def __len__(self) -> int:
        return len(self.places)

    def kept(self, mask: Mask) -> "Piece":
        """Return the rows that a mask keeps."""
        if mask.all():
            return self
        keep = pa.array(mask)
        return Piece({name: each.filter(keep) for name, each in self.columns.items()}, self.places[mask], self.line_of)

    def coded(self, name: str) -> Coded:
        """Return a column by its distinct texts; one of empty texts where the file has no such column."""
        return coded(self.columns[name]) if name in self.columns else constant("", len(self))

    def converted(self, name: str, convert: Callable[[str], Value]) -> tuple[Coded, list[Value]]:
        """Convert each distinct text of a column; raises FileError with every line whose text is refused."""
        texts = self.coded(name)
        try:
            return texts, [convert(text) for text in texts.texts]
        except BadValue:
            raise FileError(self._problems(name, texts, convert)) from None

    def numbers(self, name: str, convert: Callable[[str], int]) -> Any:
        """Convert a column to whole numbers, row by row; raises FileError."""
        texts, values = self.converted(name, convert)
        return texts.values(values, np.int64)

    def refuse(self, name: str, wrong: Mask, says: Callable[[int], str]) -> None:
        """Raise FileError if a mask has rows, with each of their lines and what is said of it."""
        if wrong.any():
            rows = np.flatnonzero(wrong)[:MAX_PROBLEMS].tolist()
            raise FileError([Problem(says(row), self.line_of(int(self.places[row])), name) for row in rows])

    def text(self, name: str, row: int) -> str:
        """Return a text of a row, for a message."""
        return str(self.columns[name][row].as_py()) if name in self.columns else ""

    def _problems(self, name: str, texts: Coded, convert: Callable[[str], Any]) -> Sequence[Problem]:
        says = {}
        for code, text in enumerate(texts.texts):
            try:
                convert(text)
            except BadValue as error:
                says[code] = str(error)
        rows = np.flatnonzero(np.isin(texts.codes, list(says)))[:MAX_PROBLEMS].tolist()
        return [Problem(says[int(texts.codes[row])], self.line_of(int(self.places[row])), name) for row in rows]

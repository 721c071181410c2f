"""Rows as texts, in the format of PostgreSQL's COPY with a delimiter that no name or description has."""

from collections.abc import Sequence
from typing import Any

DELIMITER = "\x1f"
NULL = "\\N"

# These are written with a backslash.
_SPECIAL = ("\\", "\n", "\r")
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", DELIMITER: f"\\{DELIMITER}"})


def lines_of(columns: Sequence[Sequence[object]]) -> list[str]:
    """Write rows, given column by column, each as one line without its end."""
    return joined(list(map(fields_of, columns)))


def joined(columns: Sequence[Sequence[str]]) -> list[str]:
    """Join fields that are written already, row by row."""
    return list(map(DELIMITER.join, zip(*columns, strict=True)))


def fields_of(column: Sequence[object]) -> list[str]:
    """Write a column of values of one type, and None."""
    first = column[0]
    # Most columns hold one value all along.
    if column.count(first) == len(column):
        return _different([first]) * len(column)
    return _different(column)


def _different(column: Sequence[Any]) -> list[str]:
    sample = next((value for value in column if value is not None), None)
    if isinstance(sample, str):
        texts = ["" if value is None else value for value in column]
        together = "".join(texts)
        if DELIMITER in together or any(special in together for special in _SPECIAL):
            texts = [text.translate(_ESCAPES) for text in texts]
        if None in column:
            texts = [NULL if value is None else text for value, text in zip(column, texts, strict=True)]
        return texts
    if isinstance(sample, bytes):
        return [f"\\\\x{value.hex()}" for value in column]
    if None in column:
        return [NULL if value is None else str(value) for value in column]
    return list(map(str, column))

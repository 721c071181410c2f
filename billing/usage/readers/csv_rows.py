"""Rows of a text table, with a header or without one: CSV, tabs, semicolons or bars."""

import csv
from collections.abc import Iterator
from pathlib import Path

from ...readers.batches import UnreadableFile
from .kinds import Tally
from .opened import lines_of

DELIMITERS = (",", ";", "\t", "|")


def rows_of(path: Path, tally: Tally) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a text table with the line each begins on; blank lines are passed over.

    Fields may stand in quotes and have line ends in them, but for tables with tabs, where a quote is a character.
    """
    lines = lines_of(path)
    _, first = next(lines, (0, ""))
    delimiter = max(DELIMITERS, key=lambda each: (first.count(each), each == ","))

    def texts() -> Iterator[str]:
        yield first + "\n"
        for _, line in lines:
            yield line + "\n"

    has_quotes = delimiter != "\t"
    reader = csv.reader(
        texts(), delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if has_quotes else csv.QUOTE_NONE, strict=True
    )
    before = 0
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            message = f"The line cannot be read as CSV: {error}. A quote that is never closed is the usual cause."
            raise UnreadableFile(message, before + 1) from error
        if fields is None:
            return
        tally.lines += reader.line_num - before
        if any(fields):
            yield before + 1, fields
        before = reader.line_num

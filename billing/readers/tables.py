"""Small tables that people keep and send back, as CSV or Excel: each line with its cells as texts."""

import contextlib
import csv
import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import IO, Any

from ..sheets import unguarded
from .batches import Problem, UnreadableFile
from .cells import Kind, text_of_cell
from .csv_file import DELIMITERS, MAX_FIELD
from .kinds import EMPTY_ZIP, ZIP, refuse_other
from .streams import MIB
from .values import BadValue

# Beyond this a list is no list: a hundred thousand lines of it have a tenth of that.
MAX_BYTES = 64 * MIB
MAX_LINES = 1_048_576
MAX_COLUMNS = 200


@dataclass
class Table:
    """A table by its headings, as they are compared; its lines by number, each with its cells from the left.

    `problems` are the cells that cannot be what their column holds: nothing of such a table is to be applied.
    """

    headings: list[str] = field(default_factory=list)
    lines: list[tuple[int, list[str]]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_table(
    file: IO[bytes],
    *,
    kinds: Mapping[str, Kind],
    heading: Callable[[str], str],
    sheet: str = "",
    stored: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> Table:
    """Read a table whose first line that says anything is its header.

    `heading` writes a heading as `kinds` has it; a column without a kind is taken as it is. A text that is `stored` of
    its column is right, whatever a spreadsheet might have made of it. Of a workbook the named sheet is read, or else
    the first. Raises UnreadableFile for what is no table or is larger than any list.
    """
    start = file.read(4096)
    file.seek(0)
    if not start.startswith((ZIP, EMPTY_ZIP)):
        refuse_other(start)
        return _taken(_of_csv(file), kinds, heading, stored, bare=unguarded if stored else str)
    # It takes a while to load, and most lists are CSV.
    from .workbooks import LISTS, open_workbook, rows_of_sheet

    with contextlib.ExitStack() as stack:
        _, book = open_workbook(file, stack, LISTS)
        if not book.worksheets:
            raise UnreadableFile("The workbook has no sheet.")
        chosen = book[sheet] if sheet in book.sheetnames else book.worksheets[0]
        return _taken(rows_of_sheet(chosen, MAX_LINES, MAX_COLUMNS), kinds, heading, stored)


def _taken(
    rows: Iterator[tuple[int, Sequence[Any]]],
    kinds: Mapping[str, Kind],
    heading: Callable[[str], str],
    stored: Mapping[str, Collection[str]],
    bare: Callable[[str], str] = str,
) -> Table:
    table = Table()
    for number, cells in rows:
        if not table.headings:
            # A row of empty cells is none yet.
            table.headings = _without_empty_end([heading(text_of_cell(cell, None)) for cell in cells])
            continue
        texts: list[str] = []
        known = len(table.problems)
        for place, cell in enumerate(cells):
            column = table.headings[place] if place < len(table.headings) else ""
            said = cell if isinstance(cell, str) else getattr(cell, "value", None)
            if isinstance(said, str) and said and bare(said) in stored.get(column, ()):
                texts.append(bare(said))
                continue
            try:
                text = text_of_cell(cell, kinds.get(column))
                texts.append(bare(text) if kinds.get(column) is Kind.TEXT else text)
            except BadValue as error:
                table.problems.append(Problem(str(error), number, column))
                texts.append("")
        if any(texts) or len(table.problems) > known:
            table.lines.append((number, _without_empty_end(texts)))
    return table


def _of_csv(file: IO[bytes]) -> Iterator[tuple[int, list[str]]]:
    content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise UnreadableFile(f"The file is larger than {MAX_BYTES // MIB} MiB. Split it into several files.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFile("The file is not UTF-8 text. Save it as “CSV UTF-8”.") from error
    csv.field_size_limit(MAX_FIELD)
    first = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    before = 0
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise UnreadableFile(f"The line cannot be read as CSV: {error}.", line=reader.line_num) from error
        if cells is None:
            return
        if any(cells):
            yield before + 1, cells
        before = reader.line_num


def _without_empty_end(cells: list[str]) -> list[str]:
    while cells and not cells[-1]:
        cells.pop()
    return cells

"""Rows of tables of any columns: CSV, packed or not, and Excel workbooks. Who reads them says which they need."""

import contextlib
import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, cast

from ...readers import Part, UnreadableFile
from ...readers.csv_file import DELIMITERS, MAX_FIELD, MAX_HEADER_BYTES, undecodable
from ...readers.kinds import Kind
from ...readers.parts import parts_of
from ...readers.reading import table_source, text_opener
from ...readers.streams import Watched
from ...texts import cleaned, quoted

# Titles may stand above the header.
HEADER_WITHIN = 20
MAX_COLUMNS = 1_000
# Of what a table has, and of what it lacks, so many are named.
NAMED = 30

# A cell as its file has it: a text of CSV, or a cell of openpyxl; None is no cell.
Cell = Any
# Which columns a row of headings lacks: none, if it is the header.
Lacks = Callable[[Sequence[str]], Sequence[str]]


@dataclass(frozen=True)
class TableRow:
    """A row: the line it begins on, as a text editor or a spreadsheet counts them, and its cells from the left.

    There are as many as headings.
    """

    line: int
    cells: Sequence[Cell]
    place: str = ""


@dataclass(frozen=True)
class Table:
    """A table: its headings as they stand, the line of them, the rows below, and the sheets of its workbook if any."""

    headings: tuple[str, ...]
    line: int
    rows: Iterator[TableRow]
    sheet: str = ""
    sheets: tuple[str, ...] = ()

    def positions(self) -> Mapping[str, int]:
        """Return where each heading is, as headings are compared; raises UnreadableFile for one that is there twice."""
        found: dict[str, int] = {}
        for position, heading in enumerate(map(folded, self.headings)):
            if heading and found.setdefault(heading, position) != position:
                raise UnreadableFile(
                    f"Two columns have the heading {quoted(self.headings[position])}. Rename one.", line=self.line
                )
        return found


def folded(heading: str) -> str:
    """Return a heading as headings are compared: whatever its case and blanks."""
    return " ".join(cleaned(heading).split()).casefold()


def open_table(
    path: Path, name: str, stack: contextlib.ExitStack, *, lacks: Lacks, sheet: str = "", takes_best: bool = False
) -> Table:
    """Open a table whose header is the first row, within the first 20, that lacks nothing.

    `stack` closes it. Of a workbook it is looked for in the sheet of that name, or in all of them. With `takes_best`
    the header may lack something, and is the first row that lacks least. Raises UnreadableFile: for what is no table,
    where no row is the header, or where rows of several sheets are.
    """
    parts = parts_of(path, name)
    if len(parts) > 1:
        raise UnreadableFile("The zip archive has more than one file. Unpack it and import the files.")
    part = parts[0]
    if part.kind is Kind.PARQUET:
        raise UnreadableFile("This is a parquet file. Export it as CSV or as an Excel workbook.")
    if part.kind is Kind.XLSX:
        return _open_workbook(part, stack, lacks, sheet, takes_best)
    if sheet:
        raise UnreadableFile(f"This is a text, which has no sheet {quoted(sheet)}. Import the workbook, or name none.")
    return _open_text(text_opener(part), stack, lacks, takes_best)


def _open_text(reopen: Callable[[], Watched], stack: contextlib.ExitStack, lacks: Lacks, takes_best: bool) -> Table:
    csv.field_size_limit(MAX_FIELD)
    binary = stack.enter_context(contextlib.closing(reopen()))
    text = io.TextIOWrapper(cast(BinaryIO, binary), encoding="utf-8-sig", newline="")
    try:
        first = list(islice(iter(lambda: text.readline(MAX_HEADER_BYTES), ""), HEADER_WITHIN))
    except UnicodeDecodeError as error:
        raise undecodable(reopen) from error
    if not any(line.strip() for line in first):
        raise UnreadableFile("The file is empty.")
    if "\0" in first[0] or any(len(line) >= MAX_HEADER_BYTES for line in first):
        raise UnreadableFile("This is not a CSV file. Export it as CSV (UTF-8).", line=1)
    found = [(_header_of(_split(first, each), lacks), each) for each in DELIMITERS]
    header, delimiter = min(found, key=lambda each: (len(each[0].lacking), -len(each[0].headings)))
    header.require(takes_best)
    rows = _rows_of_text(chain(first, text), delimiter, binary, reopen)
    return Table(header.headings, header.line, _below(header, rows))


def _split(lines: Sequence[str], delimiter: str) -> Iterator[tuple[int, Sequence[str]]]:
    reader = csv.reader(lines, delimiter=delimiter)
    with contextlib.suppress(csv.Error):
        before = 0
        for row in reader:
            yield before + 1, row
            before = reader.line_num


def _rows_of_text(
    lines: Iterator[str], delimiter: str, binary: Watched, reopen: Callable[[], Watched]
) -> Iterator[tuple[int, Sequence[str]]]:
    """Yield the rows of a text, each with the line it begins on."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        before = reader.line_num
        binary.begin_batch()
        try:
            row = next(reader, None)
        except UnicodeDecodeError as error:
            raise undecodable(reopen) from error
        except csv.Error as error:
            raise UnreadableFile(
                f"The line cannot be read as CSV: {error}. A quote that is never closed is the usual cause.",
                line=before + 1,
            ) from error
        if row is None:
            return
        yield before + 1, row


def _open_workbook(part: Part, stack: contextlib.ExitStack, lacks: Lacks, sheet: str, takes_best: bool) -> Table:
    # It takes a while to load, and most files are text.
    from ...readers.workbooks import COSTS, MAX_ROWS, open_workbook, rows_of_sheet

    _, book = open_workbook(table_source(part, stack), stack, COSTS)
    names = tuple(each.title for each in book.worksheets)
    if sheet and sheet not in names:
        raise UnreadableFile(f"The workbook has no sheet {quoted(sheet)}. It has {_named(names)}.")
    found = [
        (_header_of(rows_of_sheet(each, HEADER_WITHIN, MAX_COLUMNS), lacks), each)
        for each in book.worksheets
        if sheet in ("", each.title)
    ]
    if not found:
        raise UnreadableFile("The workbook has no sheet.")
    complete = [(header, each) for header, each in found if header.headings and not header.lacking]
    if len(complete) > 1:
        raise UnreadableFile(
            f"More than one sheet has these columns: {_named([each.title for _, each in complete])}. Name the one."
        )
    header, chosen = complete[0] if complete else min(found, key=lambda each: len(each[0].lacking))
    header.require(takes_best)
    rows = rows_of_sheet(chosen, MAX_ROWS, len(header.headings))
    return Table(header.headings, header.line, _below(header, rows), sheet=chosen.title, sheets=names)


@dataclass(frozen=True)
class _Header:
    """The row that is the header, or of those that are not the one that lacks least."""

    headings: tuple[str, ...]
    line: int
    lacking: Sequence[str]

    def require(self, takes_best: bool) -> None:
        if not self.headings:
            raise UnreadableFile(f"None of the first {HEADER_WITHIN} rows has headings.")
        if self.lacking and not takes_best:
            several = "columns" if len(self.lacking) > 1 else "column"
            raise UnreadableFile(
                f"The table lacks the {several} {_named(self.lacking)}. It has {_named(self.headings)}.", line=self.line
            )


def _header_of(rows: Iterator[tuple[int, Sequence[Cell]]], lacks: Lacks) -> _Header:
    best = _Header((), 1, ("",) * MAX_COLUMNS)
    for number, (line, cells) in enumerate(rows):
        headings = [cleaned(str(_value_of(cell))) if _is_filled(cell) else "" for cell in cells]
        while headings and not headings[-1]:
            headings.pop()
        if number >= HEADER_WITHIN:
            break
        if headings and len(lacking := lacks(headings)) < len(best.lacking):
            best = _Header(tuple(headings), line, lacking)
            if not lacking:
                break
    return best


def _below(header: _Header, rows: Iterator[tuple[int, Sequence[Cell]]]) -> Iterator[TableRow]:
    """Yield the rows below the header that are not blank."""
    width = len(header.headings)
    for line, cells in rows:
        if line <= header.line or not any(map(_is_filled, cells)):
            continue
        if any(map(_is_filled, cells[width:])):
            raise UnreadableFile(
                f"The row has {len(cells)} fields where the header has {width}. A text with a delimiter in it has to "
                "stand in quotes.",
                line=line,
            )
        yield TableRow(line, [*cells[:width], *[None] * (width - len(cells))])


def _value_of(cell: Cell) -> Any:
    return cell if cell is None or isinstance(cell, str) else cell.value


def _is_filled(cell: Cell) -> bool:
    value = _value_of(cell)
    return value is not None and (not isinstance(value, str) or bool(value.strip()))


def _named(names: Sequence[str]) -> str:
    shown = [quoted(name) for name in names if name][:NAMED]
    return ", ".join(shown) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")

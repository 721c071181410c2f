"""FOCUS as an Excel workbook: the one sheet that has its columns, cell by cell as text."""

import contextlib
import datetime
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from openpyxl.utils import get_column_letter

from .batches import BATCH_ROWS, Batch, UnreadableFile
from .cells import UNCALCULATED, Kind, check_error, code_of_number, shows_hours, text_of_cell
from .columns import (
    AMOUNTS,
    DECIMALS,
    FREE_IDS,
    STRICT_IDS,
    TIMES,
    Positions,
    base_of,
    recognized,
    require_focus,
)
from .gathering import gathered
from .values import BadValue
from .workbooks import COSTS, MAX_ROWS, open_workbook, rows_of_sheet

MAX_COLUMNS = 1_000
# Rows taken at once, before they are gathered.
ROWS = 250
HEADER_WITHIN = 20


def read_xlsx(
    source: Path | BinaryIO,
    *,
    size: int,
    has_period: bool = False,
    batch_rows: int = BATCH_ROWS,
    may_be_empty: bool = False,
) -> Iterator[Batch]:
    """Yield the rows of the sheet that has FOCUS columns, in pieces; formulas by their last value.

    Numbers come out by their shortest form, dates as dates. Empty rows are passed over. Raises
    UnreadableFile as read_csv does, naming the cell: for ids that Excel has rounded, for dates that are
    numbers, for errors in cells, and where more than one sheet has FOCUS columns.
    """
    with contextlib.ExitStack() as stack:
        binary, workbook = open_workbook(source, stack, COSTS)
        whole = max(1, binary.seek(0, io.SEEK_END))
        sheet, header_row, headings = _sheet_of(workbook, has_period=has_period)
        rows = _batches(
            sheet,
            header_row,
            recognized(headings),
            read_so_far=lambda: min(size, size * binary.tell() // whole),
            may_be_empty=may_be_empty,
        )
        yield from gathered(rows, batch_rows)


def row_of_xlsx(source: Path | BinaryIO, *, row: int) -> list[tuple[str, str]]:
    """Return a row of the sheet with FOCUS columns, by the number that a spreadsheet shows, with all its headings.

    Raises UnreadableFile where there is none.
    """
    with contextlib.ExitStack() as stack:
        _, workbook = open_workbook(source, stack, COSTS)
        sheet, header_row, headings = _sheet_of(workbook, has_period=True)
        known = {position: name for name, position in recognized(headings).items()}
        rows = rows_of_sheet(sheet, MAX_ROWS, len(headings)) if row > header_row else iter(())
        cells = next((cells for number, cells in rows if number == row), ())
        if all(cell.value is None for cell in cells):
            raise UnreadableFile("The sheet has no row of this number.", line=row)
        return [
            (heading, _text(base_of(known[position]), cell) if position in known else str(cell.value))
            if cell.value is not None
            else (heading, "")
            for position, (heading, cell) in enumerate(zip(headings, cells, strict=False))
        ]


def _sheet_of(workbook: Any, *, has_period: bool) -> tuple[Any, int, list[str]]:
    """Return the sheet whose header is one of FOCUS, the row of the header, and its headings."""
    found: list[tuple[Any, int, list[str]]] = []
    first: list[str] | None = None
    for sheet in workbook.worksheets:
        for number, row in rows_of_sheet(sheet, HEADER_WITHIN, MAX_COLUMNS):
            headings = ["" if cell.value is None else str(cell.value) for cell in row]
            while headings and not headings[-1].strip():
                headings.pop()
            if len(headings) < 2:
                continue
            first = first or headings
            positions = _positions(headings)
            if "BilledCost" in positions and "ChargePeriodStart" in positions:
                found.append((sheet, number, headings))
                break
    if len(found) > 1:
        raise UnreadableFile(
            "More than one sheet has FOCUS columns: "
            f"{', '.join(f'“{sheet.title}”' for sheet, _, _ in found)}. Save each as a file of its own."
        )
    if not found:
        if first is None:
            raise UnreadableFile("The workbook is empty.")
        require_focus(first, _positions(first), has_period=has_period)
        raise UnreadableFile("No sheet has FOCUS columns.")
    sheet, number, headings = found[0]
    require_focus(headings, recognized(headings), has_period=has_period)
    return sheet, number, headings


def _positions(headings: Sequence[str]) -> Positions:
    try:
        return recognized(headings)
    except UnreadableFile:
        # A heading that stands there twice is reported for the sheet that is chosen.
        return Positions(dict.fromkeys(("BilledCost", "ChargePeriodStart"), 0))


def _batches(
    sheet: Any,
    header_row: int,
    positions: Positions,
    *,
    read_so_far: Callable[[], int],
    may_be_empty: bool,
) -> Iterator[Batch]:
    lines: list[int] = []
    columns: dict[str, list[str]] = {name: [] for name in positions}
    found = False
    width = max(positions.values()) + 1
    for number, row in rows_of_sheet(sheet, MAX_ROWS, width):
        if number <= header_row or all(cell.value is None or cell.value == "" for cell in row):
            continue
        lines.append(number)
        for name, position in positions.items():
            cell = row[position] if position < len(row) else None
            if cell is None or cell.value is None:
                columns[name].append("")
                continue
            try:
                columns[name].append(_text(base_of(name), cell))
            except (UnreadableFile, ValueError, IndexError, OverflowError) as error:
                message = "The cell cannot be read."
                if isinstance(error, UnreadableFile | BadValue):
                    message = error.problems[0].message if isinstance(error, UnreadableFile) else str(error)
                raise UnreadableFile(
                    f"Cell {get_column_letter(position + 1)}{number}: {message}", line=number, column=base_of(name)
                ) from error
        if len(lines) == ROWS:
            found = True
            yield Batch(lines=lines, columns=dict(columns), bytes_read=read_so_far(), unread=positions.unread)
            lines, columns = [], {name: [] for name in positions}
    if lines:
        found = True
        yield Batch(lines=lines, columns=dict(columns), bytes_read=read_so_far(), unread=positions.unread)
    if not found and not may_be_empty:
        raise UnreadableFile("The sheet has a header and no rows.", line=header_row)


def _text(name: str, cell: Any) -> str:
    value = cell.value
    if isinstance(value, str):
        if value == UNCALCULATED:
            check_error(value)
        if cell.data_type == "e":
            raise UnreadableFile(f"{value} is an error, not a value.")
        return value
    if name in STRICT_IDS or (name in FREE_IDS and isinstance(value, bool | datetime.date)):
        return text_of_cell(cell, Kind.CODE)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.datetime):
        return _moment(value, cell)
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, int | float):
        if name in AMOUNTS or name in DECIMALS:
            return repr(value)
        return _number(name, value, cell)
    raise UnreadableFile(f"{str(value)[:60]} is a duration or a time of day where a value is expected.")


def _moment(value: datetime.datetime, cell: Any) -> str:
    """Write a date as a date, and a time as a time: the cell's format says which of them it is meant to be."""
    if value.time() == datetime.time(0) and not shows_hours(cell):
        return value.date().isoformat()
    return value.isoformat() + "Z"


def _number(name: str, value: float, cell: Any) -> str:
    """Write the number of a cell of text or of an id that may be anything; a name may have decimals."""
    if name in TIMES:
        raise UnreadableFile(
            f"{value!r} is a number where a date is expected. Format the column as a date, or write 2025-01-31 as text."
        )
    if isinstance(value, float) and not value.is_integer():
        return repr(value)
    return code_of_number(value, cell)

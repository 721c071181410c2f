"""FOCUS as an Excel workbook: the one sheet that has its columns, cell by cell as text."""

import contextlib
import datetime
import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import openpyxl
from openpyxl.utils import get_column_letter
from openpyxl.worksheet._reader import WorkSheetParser

from .batches import BATCH_ROWS, Batch, UnreadableFile
from .columns import AMOUNTS, DECIMALS, TIMES, recognized, require_focus
from .kinds import Kind, kind_of_zip, open_zip
from .streams import BROKEN, GIB, MAX_RATIO, MIB, broken

# Excel's own limits; a cell beyond them is not from Excel, and rows up to it would be made up.
MAX_ROWS = 1_048_576
MAX_COLUMNS = 1_000
HEADER_WITHIN = 20
# What openpyxl takes into memory as a whole, and what it streams.
MAX_WHOLE = 256 * MIB
MAX_SHEET = 4 * GIB
SMALL_ENOUGH = 32 * MIB
# Excel keeps 15 digits of a number and makes the others zeros.
EXACT = 10**15

DAMAGED = (
    "The workbook is damaged or not from a spreadsheet program. Open it, save it again as .xlsx, or save it as CSV."
)


def read_xlsx(
    source: Path | BinaryIO,
    *,
    size: int,
    has_period: bool = False,
    batch_rows: int = BATCH_ROWS,
    may_be_empty: bool = False,
) -> Iterator[Batch]:
    """Yield the rows of the sheet that has FOCUS columns, in batches; formulas by their last value.

    Numbers come out by their shortest form, dates as dates. Empty rows are passed over. Raises
    UnreadableFile as read_csv does, naming the cell: for ids that Excel has rounded, for dates that are
    numbers, for errors in cells, and where more than one sheet has FOCUS columns.
    """
    with contextlib.ExitStack() as stack:
        binary, workbook = _opened(source, stack)
        whole = max(1, binary.seek(0, io.SEEK_END))
        sheet, header_row, headings = _sheet_of(workbook, has_period=has_period)
        yield from _batches(
            sheet,
            header_row,
            recognized(headings),
            read_so_far=lambda: min(size, size * binary.tell() // whole),
            batch_rows=batch_rows,
            may_be_empty=may_be_empty,
        )


def row_of_xlsx(source: Path | BinaryIO, *, row: int) -> list[tuple[str, str]]:
    """Return a row of the sheet with FOCUS columns, by the number that a spreadsheet shows, with all its headings.

    Raises UnreadableFile where there is none.
    """
    with contextlib.ExitStack() as stack:
        _, workbook = _opened(source, stack)
        sheet, header_row, headings = _sheet_of(workbook, has_period=True)
        known = {position: name for name, position in recognized(headings).items()}
        rows = _rows(sheet, MAX_ROWS, len(headings)) if row > header_row else iter(())
        cells = next((cells for number, cells in rows if number == row), ())
        if all(cell.value is None for cell in cells):
            raise UnreadableFile("The sheet has no row of this number.", line=row)
        return [
            (heading, _text(known[position], cell) if position in known else str(cell.value))
            if cell.value is not None
            else (heading, "")
            for position, (heading, cell) in enumerate(zip(headings, cells, strict=False))
        ]


def _opened(source: Path | BinaryIO, stack: contextlib.ExitStack) -> tuple[Any, Any]:
    """Open a workbook that fits the memory; `stack` closes it."""
    try:
        # By path, openpyxl would go by the name's ending, which a stored file has none of.
        binary: Any = stack.enter_context(source.open("rb")) if isinstance(source, Path) else source
        binary.seek(0)
    except OSError as error:
        raise broken(error) from error
    _check_parts(binary)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            workbook: Any = openpyxl.load_workbook(binary, read_only=True, data_only=True, keep_links=False)
        except Exception as error:  # openpyxl lets through whatever its parts raise.
            raise UnreadableFile(DAMAGED) from error
    stack.callback(workbook.close)
    return binary, workbook


def _check_parts(binary: Any) -> None:
    """Refuse what would not fit the memory, entities and other documents before a parser sees them."""
    try:
        with open_zip(binary) as archive:
            if kind_of_zip(archive) is not Kind.XLSX:
                raise UnreadableFile("This is a zip archive, not an Excel workbook.")
            for part in archive.infolist():
                if part.flag_bits & 1:
                    raise UnreadableFile("The workbook is protected by a password. Save it without one.")
                is_sheet = part.filename.startswith("xl/worksheets/")
                if not (is_sheet or part.filename.endswith((".xml", ".rels"))):
                    continue
                if part.file_size > (MAX_SHEET if is_sheet else MAX_WHOLE) or (
                    part.file_size > SMALL_ENOUGH and part.file_size > MAX_RATIO * max(part.compress_size, 1)
                ):
                    raise UnreadableFile(
                        f"The part {part.filename[:60]} of the workbook unpacks to {part.file_size:,} bytes. "
                        "Save it as CSV."
                    )
                with archive.open(part) as content:
                    start = content.read(4096)
                if b"<!DOCTYPE" in start or b"<!ENTITY" in start or b"<\0!\0" in start or b"\0<\0!" in start:
                    raise UnreadableFile(DAMAGED)
    except BROKEN as error:
        raise broken(error) from error
    binary.seek(0)


def _sheet_of(workbook: Any, *, has_period: bool) -> tuple[Any, int, list[str]]:
    """Return the sheet whose header is one of FOCUS, the row of the header, and its headings."""
    found: list[tuple[Any, int, list[str]]] = []
    first: list[str] | None = None
    for sheet in workbook.worksheets:
        for number, row in _rows(sheet, HEADER_WITHIN, MAX_COLUMNS):
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


def _positions(headings: Sequence[str]) -> dict[str, int]:
    try:
        return recognized(headings)
    except UnreadableFile:
        # A heading that stands there twice is reported for the sheet that is chosen.
        return dict.fromkeys(("BilledCost", "ChargePeriodStart"), 0)


class _InOrder(WorkSheetParser):
    """Refuses a row whose number is not above that of the row before: openpyxl would pass over it without a word."""

    def parse_row(self, row: Any) -> Any:
        before = self.row_counter
        number, cells = super().parse_row(row)
        if number <= before:
            raise UnreadableFile(
                f"Row {number} of the sheet is stored after row {before}, so that one of them could be lost. "
                "Open the workbook and save it again.",
                line=number,
            )
        return number, cells


def _numbered(sheet: Any, max_row: int, max_col: int) -> Iterator[tuple[int, Any]]:
    """Yield the rows that are there with their numbers, without the empty ones that openpyxl makes up between."""
    book = sheet.parent
    with sheet._get_source() as source:
        parser = _InOrder(
            source,
            sheet._shared_strings,
            data_only=True,
            epoch=book.epoch,
            date_formats=book._date_formats,
            timedelta_formats=book._timedelta_formats,
        )
        for number, cells in parser.parse():
            if number > max_row:
                return
            yield number, sheet._get_row(cells, 1, max_col)


def _rows(sheet: Any, max_row: int, max_col: int) -> Iterator[tuple[int, Any]]:
    """Yield the rows of a sheet by number; whatever openpyxl raises on the way becomes UnreadableFile."""
    rows = _numbered(sheet, max_row, max_col)
    while True:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                taken = list(islice(rows, BATCH_ROWS))
            except UnreadableFile:
                raise
            except Exception as error:
                raise UnreadableFile(DAMAGED) from error
        yield from taken
        if len(taken) < BATCH_ROWS:
            return


def _batches(
    sheet: Any,
    header_row: int,
    positions: dict[str, int],
    *,
    read_so_far: Callable[[], int],
    batch_rows: int,
    may_be_empty: bool,
) -> Iterator[Batch]:
    lines: list[int] = []
    columns: dict[str, list[str]] = {name: [] for name in positions}
    found = False
    width = max(positions.values()) + 1
    for number, row in _rows(sheet, MAX_ROWS, width):
        if number <= header_row or all(cell.value is None or cell.value == "" for cell in row):
            continue
        lines.append(number)
        for name, position in positions.items():
            cell = row[position] if position < len(row) else None
            if cell is None or cell.value is None:
                columns[name].append("")
                continue
            try:
                columns[name].append(_text(name, cell))
            except (UnreadableFile, ValueError, IndexError, OverflowError) as error:
                message = error.problems[0].message if isinstance(error, UnreadableFile) else "The cell cannot be read."
                raise UnreadableFile(
                    f"Cell {get_column_letter(position + 1)}{number}: {message}", line=number, column=name
                ) from error
        if len(lines) == batch_rows:
            found = True
            yield Batch(lines=lines, columns=dict(columns), bytes_read=read_so_far())
            lines, columns = [], {name: [] for name in positions}
    if lines:
        found = True
        yield Batch(lines=lines, columns=dict(columns), bytes_read=read_so_far())
    if not found and not may_be_empty:
        raise UnreadableFile("The sheet has a header and no rows.", line=header_row)


def _text(name: str, cell: Any) -> str:
    value = cell.value
    if isinstance(value, str):
        if cell.data_type == "e":
            raise UnreadableFile(f"{value} is an error, not a value.")
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.datetime):
        return _moment(value, cell)
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, int | float):
        if name in AMOUNTS or name in DECIMALS:
            return repr(value)
        if name in TIMES:
            raise UnreadableFile(
                f"{value!r} is a number where a date is expected. Format the column as a date, "
                "or write 2025-01-31 as text."
            )
        return _id(value, cell)
    raise UnreadableFile(f"{str(value)[:60]} is a duration or a time of day where a value is expected.")


def _moment(value: datetime.datetime, cell: Any) -> str:
    """Write a date as a date, and a time as a time: the cell's format says which of them it is meant to be."""
    shows_hours = "h" in re.sub(r'"[^"]*"|\[\$[^]]*]|\\.', "", str(cell.number_format)).lower()
    if value.time() == datetime.time(0) and not shows_hours:
        return value.date().isoformat()
    return value.isoformat() + "Z"


def _id(value: float, cell: Any) -> str:
    if isinstance(value, float) and not value.is_integer():
        return repr(value)
    if abs(value) >= EXACT:
        raise UnreadableFile(
            f"{value!r} is an id of more than 15 digits kept as a number, of which Excel has rounded the last. "
            "Format the column as text before the ids are entered, or import the original file."
        )
    text = str(int(value))
    # A format of zeros only (00000) is how Excel shows ids with leading zeros.
    shown = str(cell.number_format)
    return text.zfill(len(shown)) if re.fullmatch("0{2,30}", shown) else text

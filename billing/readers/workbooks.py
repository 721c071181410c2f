"""Opening Excel workbooks: within limits that are checked before they are parsed, row by row, none lost."""

import contextlib
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import openpyxl
from openpyxl.worksheet._reader import WorkSheetParser

from .batches import UnreadableFile
from .cells import UNCALCULATED
from .kinds import Kind, kind_of_zip, open_zip
from .streams import BROKEN, GIB, MAX_RATIO, MIB, broken

# Excel's own limits; what lies beyond them is not from Excel, and reading it would never end.
MAX_ROWS = 1_048_576
# What openpyxl takes into memory as a whole.
MAX_WHOLE = 256 * MIB
SMALL_ENOUGH = 32 * MIB
BLOCK = MIB
# Rows parsed at once.
ROWS = 250

DAMAGED = (
    "The workbook is damaged or not from a spreadsheet program. Open it, save it again as .xlsx, or save it as CSV."
)
FORMULA = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}f"
LITERAL = re.compile(r'"((?:[^"]|"")*)"', re.DOTALL)
NEVER_CALCULATED = {"value": UNCALCULATED, "data_type": "e"}
TOO_MANY_ROWS = f"The sheet has more than {MAX_ROWS:,} rows, which is more than a spreadsheet can hold."


@dataclass(frozen=True)
class Limits:
    """How large a workbook may be: bytes of a sheet, unpacked, and cells of it, which are counted before it is parsed.

    Without `cells` nothing is counted: who reads it, reads as it comes.
    """

    sheet: int
    cells: int = 0


# Costs, which are read in the background, and lists, which people wait for.
COSTS = Limits(sheet=4 * GIB)
LISTS = Limits(sheet=256 * MIB, cells=2_000_000)


def open_workbook(source: Any, stack: contextlib.ExitStack, limits: Limits) -> tuple[Any, Any]:
    """Open a workbook, given by path or as an open file, that is within limits; `stack` closes it.

    Returns the open file and the workbook: formulas with their last value. Raises UnreadableFile.
    """
    try:
        # By path, openpyxl would go by the name's ending, which a stored file has none of.
        binary: Any = stack.enter_context(source.open("rb")) if isinstance(source, Path) else source
        binary.seek(0)
    except OSError as error:
        raise broken(error) from error
    _check_parts(binary, limits)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            workbook: Any = openpyxl.load_workbook(binary, read_only=True, data_only=True, keep_links=False)
        except Exception as error:  # openpyxl lets through whatever its parts raise.
            raise UnreadableFile(DAMAGED) from error
    stack.callback(workbook.close)
    return binary, workbook


def _check_parts(binary: Any, limits: Limits) -> None:
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
                if part.file_size > (limits.sheet if is_sheet else MAX_WHOLE) or (
                    part.file_size > SMALL_ENOUGH and part.file_size > MAX_RATIO * max(part.compress_size, 1)
                ):
                    raise UnreadableFile(
                        f"The part {part.filename[:60]} of the workbook unpacks to {part.file_size:,} bytes. "
                        f"{'Split it into several files.' if limits.cells else 'Save it as CSV.'}"
                    )
                with archive.open(part) as content:
                    start = content.read(4096)
                    if b"<!DOCTYPE" in start or b"<!ENTITY" in start or b"<\0!\0" in start or b"\0<\0!" in start:
                        raise UnreadableFile(DAMAGED)
                    if is_sheet and limits.cells:
                        _check_cells(start, content, limits)
    except BROKEN as error:
        raise broken(error) from error
    binary.seek(0)


def _check_cells(start: bytes, content: Any, limits: Limits) -> None:
    """Count the rows and cells of a sheet by their tags, a hundred times quicker than they are parsed."""
    rows = cells = expanded = 0
    block, tail = start, b""
    while block:
        # A tag may begin in one block and end in the next; it is counted once.
        joined = tail + block
        rows += sum(joined.count(tag) - tail.count(tag) for tag in (b"<row", b":row "))
        cells += sum(joined.count(tag) - tail.count(tag) for tag in (b"<c ", b"<c>", b":c "))
        tail = block[-4:]
        expanded += len(block)
        if rows > MAX_ROWS:
            raise UnreadableFile(TOO_MANY_ROWS)
        # Its own word for its size need not be true.
        if cells > limits.cells or expanded > limits.sheet:
            raise UnreadableFile(f"The sheet has more than {limits.cells:,} cells. Split it into several files.")
        block = content.read(BLOCK)


class _Whole(WorkSheetParser):
    """Refuses what openpyxl would pass over: a formula without a value, a row stored after one of a higher number."""

    def parse_cell(self, element: Any) -> dict[str, Any]:
        cell: dict[str, Any] = super().parse_cell(element)
        formula = element.find(FORMULA)
        if formula is not None and cell["value"] is None and element.get("t") != "str":
            # Written by a program that does not calculate: its value is lost, unless it is a text as it stands.
            literal = LITERAL.fullmatch(formula.text or "")
            cell |= {"value": literal[1].replace('""', '"'), "data_type": "s"} if literal else NEVER_CALCULATED
        return cell

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
    # openpyxl's own reading loop, with a parser of ours: it has no public name for what it hands to its own.
    book = sheet.parent
    with sheet._get_source() as source:  # noqa: SLF001 (see above)
        parser = _Whole(
            source,
            sheet._shared_strings,  # noqa: SLF001 (see above)
            data_only=True,
            epoch=book.epoch,
            date_formats=book._date_formats,  # noqa: SLF001 (see above)
            timedelta_formats=book._timedelta_formats,  # noqa: SLF001 (see above)
        )
        for number, cells in parser.parse():
            if number > max_row:
                if number > MAX_ROWS:
                    raise UnreadableFile(TOO_MANY_ROWS, line=number)
                return
            yield number, sheet._get_row(cells, 1, max_col)  # noqa: SLF001 (see above)


def rows_of_sheet(sheet: Any, max_row: int, max_col: int) -> Iterator[tuple[int, Any]]:
    """Yield the rows of a sheet by number, up to `max_row`; whatever openpyxl raises becomes UnreadableFile."""
    rows = _numbered(sheet, max_row, max_col)
    while True:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                taken = list(islice(rows, ROWS))
            except UnreadableFile:
                raise
            except Exception as error:
                raise UnreadableFile(DAMAGED) from error
        yield from taken
        if len(taken) < ROWS:
            return

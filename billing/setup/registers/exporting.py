"""A register as a file: what it holds, in the columns in which it is loaded again."""

import csv
import datetime
import io
from collections.abc import Iterator
from typing import IO, Any

from django.db.models import QuerySet
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter

from ... import audit
from ...audit import Actor
from ...progress import Progress
from ...readers.cells import Kind
from ...sheets import guarded, text_cell
from .columns import Cell, as_text
from .kinds import Register

CHUNK = 2_000
# Excel counts days from here; older ones are texts.
FIRST_DAY = datetime.date(1900, 3, 1)
AS_TEXT, AS_DATE = "@", "yyyy-mm-dd"
WIDTH = 18
ABOUT_WIDTH = 100


def write(
    register: Register,
    *,
    objects: "QuerySet[Any] | None" = None,
    file: IO[bytes],
    form: str,
    asked: str = "",
    tell: Progress | None = None,
    actor: Actor,
    now: datetime.datetime,
) -> int:
    """Write what a register holds, or the `objects` chosen of it, to a file of a format; return how many.

    `form` is one of `sheets.FORMATS`, and `asked` says how they were chosen. Loaded again unchanged, the file changes
    nothing. That it was taken out is an event of the audit log.
    """
    rows = _rows(register, objects, tell)
    count = _write_csv(register, rows, file) if form == "csv" else _write_xlsx(register, rows, file)
    with audit.gesture(actor=actor, now=now) as gesture:
        gesture.record(f"{register.name}.exported", after={"rows": count, "format": form, "filters": asked})
    return count


def _rows(register: Register, objects: "QuerySet[Any] | None", tell: Progress | None) -> Iterator[list[Cell]]:
    chosen = register.objects(objects)
    total = chosen.count() if tell else 0
    for done, subject in enumerate(chosen.iterator(chunk_size=CHUNK), start=1):
        if tell and done % CHUNK == 0:
            tell(done, total, f"Writing {register.nouns[1]}")
        yield [column.write(subject) for column in register.columns]


def _write_csv(register: Register, rows: Iterator[list[Cell]], file: IO[bytes]) -> int:
    """Write UTF-8, with the mark by which Excel knows it."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow([column.name for column in register.columns])
    count = 0
    for row in rows:
        writer.writerow([guarded(as_text(cell)) for cell in row])
        count += 1
    text.detach()
    return count


def _write_xlsx(register: Register, rows: Iterator[list[Cell]], file: IO[bytes]) -> int:
    """Write the list, and a sheet that says what each column holds; what people add stays text where it is a code."""
    book = Workbook(write_only=True)
    book.properties.creator = "OpenChargeback"
    sheet: Any = book.create_sheet(register.name.replace("_", " ").capitalize())
    sheet.freeze_panes = "B2"
    for place, column in enumerate(register.columns, start=1):
        dimension = sheet.column_dimensions[get_column_letter(place)]
        dimension.width = WIDTH
        dimension.number_format = AS_DATE if column.kind is Kind.DATE else AS_TEXT
    sheet.append([_head(sheet, column.name) for column in register.columns])
    count = 0
    for row in rows:
        sheet.append([_cell(sheet, cell) for cell in row])
        count += 1
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(register.columns))}{count + 1}"
    _about(book, register)
    book.save(file)
    return count


def _cell(sheet: Any, value: Cell) -> Any:
    if isinstance(value, datetime.date) and value >= FIRST_DAY:
        cell = WriteOnlyCell(sheet, value)
        cell.number_format = AS_DATE
        return cell
    text = as_text(value)
    if not text:
        return None
    cell = text_cell(sheet, text)
    cell.number_format = AS_TEXT
    return cell


def _about(book: Workbook, register: Register) -> None:
    sheet: Any = book.create_sheet("Columns")
    sheet.column_dimensions["A"].width, sheet.column_dimensions["B"].width = WIDTH, WIDTH
    sheet.column_dimensions["C"].width = ABOUT_WIDTH
    sheet.append([_head(sheet, text) for text in ("column", "holds", "what it means")])
    for column in register.columns:
        sheet.append([text_cell(sheet, text) for text in (column.name, str(column.kind), column.about)])


def _head(sheet: Any, text: str) -> Any:
    cell = text_cell(sheet, text)
    cell.font = Font(bold=True)
    return cell

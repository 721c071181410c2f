"""Reports as files: CSV, and a workbook whose totals are formulas, with a sheet for pivot tables."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import IO, Any

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Alignment, Border, Font, PatternFill, Side
from openpyxl.utils import get_column_letter

from ..currencies import minor_units
from ..fiscal_years import label_of
from ..money import in_decimals_of, plain
from ..sheets import SHEET_ROWS, amount_cell, amount_format, guarded, text_cell
from ..texts import iso_month
from .facts import AMOUNTS, Facts, major
from .names import parted
from .tables import AMOUNT, COUNT, PERCENT, Column, Report, Value

HEAD_FILL = PatternFill("solid", fgColor="FF0B6E69")
HEAD_FONT = Font(bold=True, color="FFFFFFFF")
TOTAL_FONT = Font(bold=True)
TOTAL_LINE = Border(top=Side(style="thin"))
# The rows of a report begin here: title, months, an empty row and the headings come first.
FIRST_ROW = 5
PIVOT = (
    *("Month", "Fiscal year", "PI", "PI name", "Project", "Department", "College", "Source", "Service", "Fund/org"),
    *("Currency", "List price", "Provider discount", "After discount", "Subsidy", "Charged"),
)
PIVOT_WIDTH = 16
# The reports that add up payer lines of users.
OF_LINES = ("value", "subsidy", "years")
PIVOT_SHEET = "For pivot tables"
# Payer lines beyond which a workbook takes longer than anybody waits for a page.
LARGE = 20_000
# Rows between two words of how far it has come.
CHUNK = 2_000

Tell = Callable[[int, int, str], None]


def file_name(report: Report, form: str) -> str:
    """Return what a file of a report is called: `value-by-college-2025-07-to-2026-06.xlsx`."""
    asked = report.asked
    return f"{asked.name}-by-{asked.by}-{iso_month(asked.first)}-to-{iso_month(asked.last)}.{form}"


def as_csv(report: Report) -> bytes:
    """Return the rows and the total as CSV (UTF-8, with the mark by which Excel knows it)."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(
        [guarded(text) for text in (report.heading, "Key", "Level", *report.texts, *_labels(report), "Currency")]
    )
    for line in _lines(report):
        figures = [_text(value, column, report) for value, column in zip(line.values, report.columns, strict=True)]
        named = [guarded(text) for text in (line.label, line.key, str(line.depth), *_texts(report, line))]
        writer.writerow([*named, *figures, report.currency])
    return out.getvalue().encode("utf-8-sig")


def has_pivot(report: Report) -> bool:
    """Tell whether a report is made of payer lines that its workbook has one by one."""
    return report.asked.name in OF_LINES and report.asked.by != "program"


def is_large(report: Report) -> bool:
    """Tell whether the workbook of a report is for the worker to write."""
    return has_pivot(report) and Facts(report.asked).has_more_lines_than(LARGE)


def as_xlsx(report: Report) -> bytes:
    """Return the workbook of a report; see `write_xlsx`."""
    out = io.BytesIO()
    write_xlsx(report, out)
    return out.getvalue()


def write_xlsx(report: Report, file: IO[bytes], tell: Tell | None = None) -> int:
    """Write a workbook: the report with totals as formulas, its months, and its payer lines for pivot tables.

    Returns how many rows the last has. Rows go to a file as they are made.
    """
    book = Workbook(write_only=True)
    book.properties.creator = "OpenChargeback"
    book.properties.title = report.asked.title
    _report_sheet(book, report)
    if report.trend:
        _months_sheet(book, report)
    rows = _pivot_sheets(book, report, tell) if has_pivot(report) else 0
    book.save(file)
    return rows


@dataclass(frozen=True)
class _Line:
    """A row of a sheet, by its number there; `parts` are the numbers of the rows that it adds up."""

    number: int
    label: str
    key: str
    depth: int
    values: Sequence[Value]
    parts: tuple[int, ...]
    texts: tuple[str, ...] = ()
    is_total: bool = False


def _lines(report: Report) -> Iterator[_Line]:
    """Yield the rows of a report, and its total."""
    for place, row in enumerate(report.rows):
        parts = tuple(FIRST_ROW + each for each in row.parts)
        yield _Line(FIRST_ROW + place, row.label, row.key, row.depth, row.values, parts, row.texts)
    outermost = tuple(FIRST_ROW + place for place, row in enumerate(report.rows) if not row.depth)
    yield _Line(FIRST_ROW + len(report.rows), "Total", "", 0, report.total, outermost, is_total=True)


def _report_sheet(book: Workbook, report: Report) -> None:
    sheet = book.create_sheet("Report")
    sheet.freeze_panes = f"B{FIRST_ROW}"
    _widths(sheet, (44, *(18 for _ in (*report.texts, *report.columns))))
    title = text_cell(sheet, report.asked.title)
    title.font = Font(bold=True, size=14)
    sheet.append([title])
    narrowed = "".join(f"; {label}: {text}" for label, text in report.asked.narrowed)
    sheet.append([text_cell(sheet, f"{report.asked.span}, {report.currency}{narrowed}")])
    sheet.append([])
    sheet.append([_head(sheet, text) for text in (report.heading, *report.texts, *_labels(report))])
    for line in _lines(report):
        sheet.append(_cells(sheet, report, line))
    sheet.append([])
    for note in report.notes:
        sheet.append([text_cell(sheet, note)])


def _cells(sheet: Any, report: Report, line: _Line) -> list[Any]:
    """Return the cells of a row: what adds others up, and a percentage, is a formula."""
    name = text_cell(sheet, line.label)
    name.alignment = Alignment(indent=2 * line.depth)
    cells = [name, *(text_cell(sheet, text) if text else WriteOnlyCell(sheet) for text in _texts(report, line))]
    letters = {
        column.name: get_column_letter(place)
        for place, column in enumerate(report.columns, start=2 + len(report.texts))
    }
    for column, value in zip(report.columns, line.values, strict=True):
        if column.kind == PERCENT:
            part, whole = (f"{letters[each]}{line.number}" for each in column.of)
            cell = WriteOnlyCell(sheet, f'=IF({whole}=0,"",{part}/{whole})')
            cell.number_format = "0.0%"
        elif line.parts:
            cell = WriteOnlyCell(sheet, sum_of(letters[column.name], line.parts))
            cell.number_format = _format(column, report.currency)
        else:
            cell = _figure(sheet, value, column, report.currency)
        cells.append(cell)
    if line.is_total:
        for cell in cells:
            cell.font, cell.border = TOTAL_FONT, TOTAL_LINE
    return cells


def sum_of(letter: str, numbers: Sequence[int]) -> str:
    """Return the formula that adds up cells of a column: `=SUM(B5:B9,B12)`."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return f"=SUM({','.join(f'{letter}{first}:{letter}{last}' for first, last in spans)})"


def _months_sheet(book: Workbook, report: Report) -> None:
    """Write the chart's figures: a month a row, with totals as formulas both ways."""
    trend = report.trend
    assert trend is not None
    sheet = book.create_sheet("By month")
    sheet.freeze_panes = "B2"
    _widths(sheet, (12, *(18 for _ in trend.series), 18))
    sheet.append([_head(sheet, text) for text in ("Month", *(each.label for each in trend.series), "Total")])
    last = get_column_letter(len(trend.series) + 1)
    places = minor_units(report.currency)
    for number, (month, amounts, _) in enumerate(trend.rows, start=2):
        total = WriteOnlyCell(sheet, f"=SUM(B{number}:{last}{number})" if trend.series else 0)
        total.number_format = amount_format(places)
        cells = [amount_cell(sheet, in_decimals_of(amount, report.currency), places) for amount in amounts]
        sheet.append([text_cell(sheet, month.iso_month), *cells, total])
    sums = [text_cell(sheet, "Total")]
    for place in range(len(trend.series) + 1):
        letter = get_column_letter(place + 2)
        cell = WriteOnlyCell(sheet, sum_of(letter, range(2, len(trend.months) + 2)))
        cell.number_format = amount_format(places)
        sums.append(cell)
    for cell in sums:
        cell.font, cell.border = TOTAL_FONT, TOTAL_LINE
    sheet.append(sums)


def _pivot_sheets(book: Workbook, report: Report, tell: Tell | None) -> int:
    """Write what the report is made of, a plain table: a row for each month, owner, source, service and fund/org.

    Rows beyond what a sheet holds go to further sheets. Returns how many there are.
    """
    facts = Facts(report.asked)
    by = ("month", "pi", "project", "department", "college", "source", "service", "fund")
    frame = facts.stated(*by)
    named = {each: parted(facts, each, frame[each].unique()) for each in by if each != "month"}
    sheet, written = _new_pivot(book, 0), 0
    for written, row in enumerate(frame.sort_values(list(by)).itertuples(index=False, name=None), start=1):
        if written > 1 and written % SHEET_ROWS == 1:
            _end_pivot(sheet, SHEET_ROWS)
            sheet = _new_pivot(book, written // SHEET_ROWS)
        keys, currency, units = row[: len(by)], row[len(by)], row[len(by) + 1 :]
        listed, contracted, charged = (major(each, currency) for each in units[: len(AMOUNTS)])
        period = facts.periods[keys[0]]
        (email, name), *others = (named[each][key] for each, key in zip(by[1:], keys[1:], strict=True))
        year = label_of(facts.policy.fiscal_year_of(period.month))
        texts = [period.iso_month, year, email, name, *(code for code, _ in others), currency]
        amounts = (listed, listed - contracted, contracted, contracted - charged, charged)
        cells = [amount_cell(sheet, in_decimals_of(each, currency), minor_units(currency)) for each in amounts]
        sheet.append([*(text_cell(sheet, text) if text else None for text in texts), *cells])
        if tell and written % CHUNK == 0:
            tell(written, len(frame), "Writing rows")
    _end_pivot(sheet, (written - 1) % SHEET_ROWS + 1 if written else 0)
    return written


def _new_pivot(book: Workbook, number: int) -> Any:
    sheet = book.create_sheet(f"{PIVOT_SHEET} {number + 1}" if number else PIVOT_SHEET)
    sheet.freeze_panes = "A2"
    _widths(sheet, (PIVOT_WIDTH for _ in PIVOT))
    sheet.append([_head(sheet, text) for text in PIVOT])
    return sheet


def _end_pivot(sheet: Any, rows: int) -> None:
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(PIVOT))}{rows + 1}"


def _texts(report: Report, line: _Line) -> tuple[str, ...]:
    """Return what is told of a row in words; of the total, nothing."""
    return line.texts or ("",) * len(report.texts)


def _labels(report: Report) -> list[str]:
    return [column.label for column in report.columns]


def _text(value: Value, column: Column, report: Report) -> str:
    if value is None:
        return ""
    return (
        plain(Decimal(value), report.currency)
        if column.kind == AMOUNT
        else f"{value:f}"
        if column.kind == PERCENT
        else str(value)
    )


def _figure(sheet: Any, value: Value, column: Column, currency: str) -> Any:
    if value is None:
        return WriteOnlyCell(sheet)
    if column.kind == COUNT:
        cell = WriteOnlyCell(sheet, value)
        cell.number_format = _format(column, currency)
        return cell
    return amount_cell(sheet, in_decimals_of(Decimal(value), currency), minor_units(currency))


def _format(column: Column, currency: str) -> str:
    return "#,##0" if column.kind == COUNT else amount_format(minor_units(currency))


def _head(sheet: Any, text: str) -> Any:
    cell = text_cell(sheet, text)
    cell.font, cell.fill = HEAD_FONT, HEAD_FILL
    cell.alignment = Alignment(wrap_text=True, vertical="center")
    return cell


def _widths(sheet: Any, widths: Any) -> None:
    for number, width in enumerate(widths, start=1):
        sheet.column_dimensions[get_column_letter(number)].width = width

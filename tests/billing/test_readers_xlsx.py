"""FOCUS as an Excel workbook, with what Excel does to dates and ids."""

import datetime
import zipfile

import openpyxl
import pytest

from billing.readers import FileError, open_delivery, read
from billing.readers.xlsx_file import row_of_xlsx

HEADER = ["BillingPeriodStart", "ChargePeriodStart", "BilledCost", "SubAccountId", "ServiceName"]
# Excel knows no time zones.
DATE = datetime.datetime(2025, 1, 31, tzinfo=datetime.UTC).replace(tzinfo=None)
ROW = [DATE, DATE, 1.5, "0042", "Compute"]


def a_book(*sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets, start=1):
        sheet = book.create_sheet(f"Sheet {number}")
        for row in rows:
            sheet.append(row)
    return book


def rows_of(tmp_path, book, **options):
    path = tmp_path / "some.xlsx"
    book.save(path)
    rows = []
    for batch in read(open_delivery([path], ["some.xlsx"])[0], **options):
        for line, *values in zip(batch.lines, *map(batch.texts, batch.columns), strict=True):
            rows.append((line, dict(zip(batch.columns, values, strict=True))))
    return rows


def refusal(tmp_path, book):
    with pytest.raises(FileError) as caught:
        rows_of(tmp_path, book)
    return caught.value.problems[0]


def with_cell(value, column, number_format=""):
    """Make a workbook with one value (and format) in one column of its only row."""
    row = list(ROW)
    row[HEADER.index(column)] = value
    book = a_book([HEADER, row])
    if number_format:
        book.active.cell(2, HEADER.index(column) + 1).number_format = number_format
    return book


@pytest.mark.parametrize(
    ("value", "column", "number_format", "text"),
    [
        (DATE, "BillingPeriodStart", "m/d/yyyy", "2025-01-31"),
        (DATE, "BillingPeriodStart", '[$-409]d" the h"mmm yy', "2025-01-31"),
        (DATE, "BillingPeriodStart", "yyyy-mm-dd hh:mm", "2025-01-31T00:00:00Z"),
        (DATE.replace(hour=10), "ChargePeriodStart", "m/d/yyyy", "2025-01-31T10:00:00Z"),
        ("2025-01-31T00:00:00Z", "ChargePeriodStart", "", "2025-01-31T00:00:00Z"),
        (0.1, "BilledCost", "", "0.1"),
        (8e-7, "BilledCost", "", "8e-07"),
        (-3, "BilledCost", "", "-3"),
        ("12.50", "BilledCost", "", "12.50"),
        (123456789012, "SubAccountId", "", "123456789012"),
        (42, "SubAccountId", "000000", "000042"),
        (42.0, "SubAccountId", "", "42"),
        ("00420000000000000001", "SubAccountId", "", "00420000000000000001"),
        (True, "ServiceName", "", "true"),
    ],
)
def test_cells_become_the_texts_a_csv_would_hold(tmp_path, value, column, number_format, text):
    ((line, row),) = rows_of(tmp_path, with_cell(value, column, number_format))
    assert (line, row[column]) == (2, text)


@pytest.mark.parametrize(
    ("value", "column", "cell", "says"),
    [
        (123456789012345678, "SubAccountId", "D2", "rounded"),
        (1.23456789012345e17, "SubAccountId", "D2", "rounded"),
        (45688, "ChargePeriodStart", "B2", "Format the column as a date"),
        ("#REF!", "BilledCost", "C2", "is an error"),
        (datetime.time(10), "ServiceName", "E2", "time of day"),
    ],
)
def test_what_excel_has_lost_is_refused_by_cell(tmp_path, value, column, cell, says):
    problem = refusal(tmp_path, with_cell(value, column))
    assert (problem.line, problem.column) == (2, column)
    assert problem.message.startswith(f"Cell {cell}: ")
    assert says in problem.message


def test_the_sheet_with_focus_columns_is_found_below_a_title(tmp_path):
    notes = [["Costs of January"], ["made by", "Ada"]]
    rows = rows_of(tmp_path, a_book(notes, [["Report"], [], HEADER, ROW, [], [None, ""], ROW], [["more"]]))
    assert [line for line, _ in rows] == [4, 7]


def test_two_sheets_of_costs_are_refused_so_that_none_is_lost(tmp_path):
    assert "“Sheet 1”, “Sheet 2”" in refusal(tmp_path, a_book([HEADER, ROW], [HEADER, ROW])).message


def test_batches_follow_each_other(tmp_path):
    rows = rows_of(tmp_path, a_book([HEADER, *[ROW] * 7]), batch_rows=3)
    assert [line for line, _ in rows] == list(range(2, 9))


@pytest.mark.parametrize(
    ("sheets", "says"),
    [
        ([[]], "empty"),
        ([[HEADER]], "no rows"),
        ([[["MeterId", "PreTaxCost"], [1, 2]]], "Azure cost details"),
        ([[["some", "thing"], [1, 2]]], "not a FOCUS file"),
        ([[[*HEADER, "billedcost"], [*ROW, 1]]], "twice"),
        ([[HEADER[1:], ROW[1:]]], "lacks the column BillingPeriodStart"),
    ],
)
def test_a_workbook_without_focus_is_refused_as_a_csv_is(tmp_path, sheets, says):
    assert says in refusal(tmp_path, a_book(*sheets)).message


def test_a_formula_that_was_never_calculated_is_refused_by_cell(tmp_path):
    problem = refusal(tmp_path, with_cell("=1+1", "BilledCost"))
    assert (problem.line, problem.column) == (2, "BilledCost")
    assert problem.message.startswith("Cell C2: The cell has a formula that was never calculated.")


@pytest.mark.parametrize(("numbers", "says"), [((5, 3), "Row 3 of the sheet is stored after row 5"), ((4, 4), "Row 4")])
def test_rows_that_openpyxl_would_pass_over_are_refused(tmp_path, numbers, says):
    whole = tmp_path / "whole.xlsx"
    a_book([HEADER, [*ROW[:2], 1, "a", "b"], [*ROW[:2], 2, "a", "b"]]).save(whole)
    path = tmp_path / "some.xlsx"
    with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(path, "w") as changed:
        for name in archive.namelist():
            content = archive.read(name)
            if name.endswith("sheet1.xml"):
                for before, after in zip((2, 3), numbers, strict=True):
                    changes = (f'<row r="{before}"', f'<row r="{after}" was="{before}"')
                    content = content.replace(*(change.encode() for change in changes))
            changed.writestr(name, content)
    with pytest.raises(FileError, match=says):
        list(read(open_delivery([path], ["some.xlsx"])[0]))


def test_rows_keep_their_numbers_where_some_are_missing(tmp_path):
    book = a_book([HEADER, ROW])
    for column, value in enumerate(ROW, start=1):
        book.active.cell(9, column).value = value
    assert [line for line, _ in rows_of(tmp_path, book)] == [2, 9]
    assert dict(row_of_xlsx(tmp_path / "some.xlsx", row=9))["SubAccountId"] == "0042"
    with pytest.raises(FileError, match="no row of this number"):
        row_of_xlsx(tmp_path / "some.xlsx", row=5)

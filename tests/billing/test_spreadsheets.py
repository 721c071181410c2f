"""What Excel makes of codes, in every door that takes a spreadsheet: refused by line and column, or put right."""

import csv
import datetime
import io
import zipfile

import openpyxl
import pytest

from billing.importing.outcomes import ImportRefused
from billing.models import Charge, FundingSource, Person
from billing.readers import UnreadableFile
from billing.readers.cells import Kind, check_code, free_id_of, shown_by, strict_id_of
from billing.readers.columns import TEXTS
from billing.readers.tables import read_table
from billing.readers.values import BadValue
from billing.readers.workbooks import LISTS, MAX_ROWS, Limits, open_workbook
from billing.review import review_sheets
from billing.setup import registers
from tests import build
from tests.billing.deliveries import a_row, delivered
from tests.billing.test_columns import bring_in

pytestmark = [pytest.mark.django_db, pytest.mark.same_on_either]

BY = {"actor": build.SOMEBODY, "now": build.NOW}
NOON = datetime.datetime(2025, 12, 1, 12, tzinfo=datetime.UTC).replace(tzinfo=None)
# What a cell holds, and as what it comes from a CSV file that a spreadsheet has saved.
SPOILED = [
    (datetime.datetime(2025, 12, 1), "2025-12-01 00:00:00"),  # noqa: DTZ001 (Excel knows no time zones)
    (datetime.time(4, 30), "04:30:00"),
    (True, "TRUE"),
    ("#N/A", "#N/A"),
    (0.00042, "0.00042"),
    (1e16, "1.00E+16"),
    (datetime.date(2026, 3, 12), "12-Mar"),
]


def a_cell_of(sheet, row, column, value):
    cell = sheet.cell(row, column)
    cell.value = value
    if value == "#N/A":
        cell.data_type = "e"
    return cell


def as_xlsx(rows, formats=()):
    """Write rows as a workbook; `formats` are of the cells of its second row."""
    book = openpyxl.Workbook()
    for number, row in enumerate(rows, start=1):
        for column, value in enumerate(row, start=1):
            a_cell_of(book.active, number, column, value)
    for column, number_format in enumerate(formats, start=1):
        book.active.cell(2, column).number_format = number_format or "General"
    file = io.BytesIO()
    book.save(file)
    file.seek(0)
    return file


def as_csv(rows):
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    return io.BytesIO(out.getvalue().encode())


# Codes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *(
            "1.00E+11",
            "1E+11",
            "1,00E+11",
            "1.2345E11",
            "-3E-05",
            "#N/A",
            "#REF!",
            "#DIV/0!",
            "#NAME?",
            "######",
            "#NV",
        ),
        *("TRUE", "false", "12/1/2025", "2025/12/01 0:00", "1.12.2025", "2025-12-01", "2025-12-01 00:00:00", "12-Mar"),
        *("Mar-12", "1-Dec-25", "3. Dez", "04:30:00", "4:30", "4:30 PM", "0.00042", ".5", "Err:502"),
    ],
)
def test_what_a_spreadsheet_made_of_a_code_is_no_code(text):
    with pytest.raises(BadValue):
        check_code(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "0042",
            "100200300400",
            "410211-7105",
            "12E10",
            "1E5",
            "BIO-001",
            "i-0abc",
            "ocid1.tenancy.oc1..aaaa",
            "4102.71",
        ),
        *(
            "truelab",
            "#7",
            "2025-12",
            "12:34:56:78",
            "12-3456",
            "10/20/4567/1",
            "Mary-7105",
            "marine-12",
            "12345678901234567890",
        ),
    ],
)
def test_what_people_use_for_codes_is_left_alone(text):
    assert strict_id_of(text) == text


@pytest.mark.parametrize("text", ["2025-12-01", "0.25", "12.5", "Mar-2025", "dec-12", "MAR 2025", "Dec-25"])
def test_an_id_that_may_be_anything_may_look_like_a_day_a_month_or_a_number(text):
    assert free_id_of(text) == text


@pytest.mark.parametrize("text", ["12-Mar", "1-Dec-25", "12/1/2025", "##", "######", "Err:502", "#N/A"])
def test_an_id_that_may_be_anything_is_no_date_and_no_error(text):
    with pytest.raises(BadValue):
        free_id_of(text)


def test_a_month_in_small_letters_is_no_spreadsheets():
    assert strict_id_of("dec-12") == "dec-12"
    for text in ("Dec-12", "DEC-12", "12-dec"):
        with pytest.raises(BadValue, match="is a date, where a code is expected"):
            strict_id_of(text)


@pytest.mark.parametrize("form", ["csv", "xlsx", "parquet"])
@pytest.mark.parametrize("grain", ["line", "month"])
def test_what_people_write_stops_no_import(tmp_path, form, grain):
    written = {
        "ResourceName": "##",
        "ChargeDescription": "Err:502",
        "InvoiceId": "Mar-2025",
        "SubAccountId": "dec-12",
        "RegionId": "Jun-25",
    }
    bring_in(tmp_path, [a_row() | written], form=form, source=build.a_source("aws", grain=grain))
    charge = Charge.objects.get()
    assert {column: getattr(charge, TEXTS[column]) for column in written} == written


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("'0042", "0042"),
        ('="0042"', "0042"),
        ('="say ""x"""', 'say "x"'),
        (" '100200300400 ", "100200300400"),
        ("'-5", "-5"),
        ("O'Hara", "O'Hara"),
        ("'quoted'", "'quoted'"),
        ("=1+1", "=1+1"),
    ],
)
def test_what_was_written_around_a_code_is_taken_off(text, code):
    assert strict_id_of(text) == code


@pytest.mark.parametrize(
    ("digits", "number_format", "shown"),
    [
        ("42", "0000", "0042"),
        ("4102117105", "000000-0000", "410211-7105"),
        ("117105", r"000000\-0000", "000011-7105"),
        ("42", '"F"0000', "F0042"),
        ("12345", "0000", "12345"),
        ("42", "General", "42"),
        ("42", "0", "42"),
        ("42", "#,##0.00", "42"),
        ("42", "@", "42"),
    ],
)
def test_a_format_of_zeros_keeps_the_zeros_that_it_shows(digits, number_format, shown):
    assert shown_by(digits, number_format) == shown


# Lists -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cell", "text"), SPOILED)
@pytest.mark.parametrize("column", ["fund_org", "projects"])
@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_list_of_funds_with_a_spoiled_code_is_refused_by_line_and_column(form, column, cell, text):
    rows = [["name", "fund_org", "projects"], ["good", "BIO-1", ""], ["bad", "BIO-2", ""]]
    rows[2][rows[0].index(column)] = cell if form == "xlsx" else text
    with pytest.raises(registers.FundsRefused) as refused:
        registers.load(registers.FUNDS, file=as_xlsx(rows) if form == "xlsx" else as_csv(rows), **BY)
    assert (3, column) in [(error.line, error.column) for error in refused.value.errors]
    assert not FundingSource.objects.exists()


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_list_of_people_with_a_spoiled_cell_is_refused_by_line_and_column(form):
    rows = [["email", "name", "department"], ["ada@u.edu", "#N/A", "1.00E+11"]]
    with pytest.raises(registers.PeopleRefused) as refused:
        registers.load(registers.PEOPLE, file=as_xlsx(rows) if form == "xlsx" else as_csv(rows), **BY)
    assert [(error.line, error.column) for error in refused.value.errors] == [(2, "name"), (2, "department")]
    assert not Person.objects.exists()


def test_a_list_of_funds_keeps_zeros_and_takes_dates_and_booleans_where_they_belong():
    day = datetime.datetime(2025, 6, 30)  # noqa: DTZ001 (Excel knows no time zones)
    rows = [["fund_org", "sponsored", "valid_until"], [42, True, day], ["'0043", "no", "2025-07-31"]]
    registers.load(registers.FUNDS, file=as_xlsx(rows, formats=["0000"]), **BY)
    assert list(FundingSource.objects.order_by("fund_org").values_list("fund_org", "is_sponsored", "valid_until")) == [
        ("0042", True, datetime.date(2025, 6, 30)),
        ("0043", False, datetime.date(2025, 7, 31)),
    ]


def test_a_list_saved_with_semicolons_is_read():
    registers.load(
        registers.FUNDS,
        file=io.BytesIO('\ufefffund_org;name\r\n="0042";Biology; and more\r\n'[:-12].encode() + b"\r\n"),
        **BY,
    )
    assert FundingSource.objects.get().fund_org == "0042"


# The review --------------------------------------------------------------------------------------


def exported():
    file = io.BytesIO()
    review_sheets.export(charges=Charge.objects.held(), file=file, **BY)
    file.seek(0)
    return openpyxl.load_workbook(file)


def filled_in(form, cells, number_format=""):
    """Write cells, by line and column, into an export; return it as a workbook or as CSV."""
    book = exported()
    sheet = book["Charges"]
    columns = {cell.value: cell.column for cell in sheet[1]}
    for (line, name), value in cells.items():
        cell = a_cell_of(sheet, line, columns[name], value)
        if number_format:
            cell.number_format = number_format
    if form == "csv":
        return as_csv([["" if value is None else value for value in row] for row in sheet.values])
    file = io.BytesIO()
    book.save(file)
    file.seek(0)
    return file


@pytest.mark.parametrize(("cell", "text"), SPOILED)
@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_review_with_a_spoiled_code_applies_nothing_and_says_where(form, cell, text):
    for _ in range(2):
        build.a_charge(flags=("missing_fund_org",), fund_org="")
    value = cell if form == "xlsx" else text
    file = filled_in(form, {(2, "decision"): "charge to center", (3, "fund_org"): value, (3, "decision"): "approve"})
    with pytest.raises(review_sheets.SheetRefused) as refused:
        review_sheets.apply(file=file, **BY)
    assert [(error.line, error.column) for error in refused.value.errors] == [(3, "fund_org")]
    assert set(Charge.objects.values_list("state", "fund_org")) == {("held", "")}


def test_a_share_of_a_spoiled_code_is_refused():
    build.a_charge(flags=("missing_fund_org",), fund_org="")
    file = filled_in("xlsx", {(2, "split"): "1.00E+11=60; B=40", (2, "create"): "yes"})
    with pytest.raises(review_sheets.SheetRefused, match="line 2, split: “1.00E[+]11”"):
        review_sheets.apply(file=file, **BY)


def test_a_review_keeps_the_zeros_that_its_format_shows():
    build.a_charge(flags=("missing_fund_org",), fund_org="")
    cells = {(2, "fund_org"): 42}
    review_sheets.apply(file=filled_in("xlsx", cells, number_format="0000"), **BY)
    assert Charge.objects.get().fund_org == "0042"


def test_a_review_comes_back_as_csv_too():
    build.a_charge(flags=("missing_fund_org",), fund_org="")
    applied = review_sheets.apply(file=filled_in("csv", {(2, "fund_org"): "'BIO-7", (2, "decision"): "approve"}), **BY)
    assert applied.counts["approved"] == 1
    assert Charge.objects.get().fund_org == "BIO-7"


# Imports -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cell", "text"), SPOILED)
@pytest.mark.parametrize("column", ["SubAccountId", "BillingAccountId"])
def test_an_import_with_a_spoiled_account_is_refused_by_line_and_column(tmp_path, column, cell, text):
    with pytest.raises(ImportRefused) as refused:
        delivered(tmp_path, [a_row(SubAccountId="7"), a_row(ResourceId="i-2", **{"SubAccountId": "7", column: text})])
    assert [(each["line"], each["column"]) for each in refused.value.errors] == [(3, column)]
    assert not Charge.objects.exists()


@pytest.mark.parametrize("grain", ["line", "month"])
@pytest.mark.parametrize("form", ["csv", "tsv", "xlsx", "parquet"])
@pytest.mark.parametrize("column", ["SubAccountId", "InvoiceId", "ResourceId", "SkuId"])
def test_every_format_of_an_import_is_looked_at(tmp_path, form, column, grain):
    row = a_row() | {column: "1.00E+11"}
    with pytest.raises(ImportRefused, match=f"column {column}: “1.00E.11” is a number as spreadsheets shorten it"):
        bring_in(tmp_path, [row], form=form, source=build.a_source("aws", grain=grain))


@pytest.mark.parametrize("form", ["csv", "xlsx", "parquet"])
def test_an_import_takes_off_apostrophes_and_formulas_of_text(tmp_path, form):
    row = a_row(BillingAccountId="'0042", SubAccountId='="100200300400"', ResourceName='="node 1"')
    bring_in(tmp_path, [row], form=form)
    charge = Charge.objects.get()
    assert (charge.billing_account_id, charge.sub_account_id) == ("0042", "100200300400")
    assert charge.resource_name == "node 1"


def test_a_formula_that_was_never_calculated_is_no_empty_cell(tmp_path):
    with pytest.raises(ImportRefused, match="column ResourceName: Cell [A-Z]+2: The cell has a formula that was never"):
        bring_in(tmp_path, [a_row(ResourceName="=A1")], form="xlsx")
    # What is not read does not matter.
    bring_in(tmp_path, [a_row(Notes="=A1")], form="xlsx")


def test_an_error_in_any_text_of_an_import_is_refused(tmp_path):
    with pytest.raises(ImportRefused, match="column ResourceName: “#N/A” is an error of a spreadsheet"):
        delivered(tmp_path, [a_row(ResourceName="#N/A")])


def test_the_project_of_google_is_an_id_like_others(tmp_path):
    with pytest.raises(ImportRefused, match="column x_Project: “1.00E.11”"):
        delivered(tmp_path, [a_row(x_Project="1.00E+11")])


@pytest.mark.parametrize("value", [datetime.date(2026, 3, 12), True, datetime.time(4, 30)])
@pytest.mark.parametrize("column", ["SubAccountId", "ResourceId", "InvoiceId"])
def test_a_cell_of_an_import_that_is_no_id_any_more_is_refused(tmp_path, column, value):
    row = a_row() | {column: value}
    with pytest.raises(ImportRefused, match=f"column {column}: Cell [A-Z]+2"):
        bring_in(tmp_path, [row], form="xlsx")


# Limits ------------------------------------------------------------------------------------------


def a_large_workbook(path, rows, cells=1, first_row=1):
    """Write a workbook of many small rows, as quickly as they are packed."""
    small = io.BytesIO()
    openpyxl.Workbook().save(small)
    with zipfile.ZipFile(small) as template, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in template.namelist():
            if name == "xl/worksheets/sheet1.xml":
                with archive.open(name, "w", force_zip64=True) as sheet:
                    sheet.write(
                        b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
                    )
                    for start in range(first_row, first_row + rows, 10_000):
                        numbers = range(start, min(start + 10_000, first_row + rows))
                        sheet.write(
                            b"".join(b'<row r="%d">%s</row>' % (n, b"<c><v>1</v></c>" * cells) for n in numbers)
                        )
                    sheet.write(b"</sheetData></worksheet>")
            else:
                archive.writestr(name, template.read(name))
    return path


@pytest.mark.parametrize(
    ("rows", "cells", "says"),
    [(MAX_ROWS + 1, 0, "more than 1,048,576 rows"), (120_000, 17, "more than 2,000,000 cells. Split it")],
)
def test_a_workbook_larger_than_any_list_is_refused_before_it_is_parsed(tmp_path, monkeypatch, rows, cells, says):
    path = a_large_workbook(tmp_path / "large.xlsx", rows, cells)
    monkeypatch.setattr("openpyxl.load_workbook", None)
    for load in (
        lambda file: review_sheets.apply(file=file, **BY),
        lambda file: registers.load(registers.FUNDS, file=file, **BY),
        lambda file: registers.load(registers.PEOPLE, file=file, **BY),
    ):
        with path.open("rb") as file, pytest.raises(Exception, match=says):
            load(file)


def test_a_row_beyond_the_last_that_a_spreadsheet_has_is_refused_in_an_import(tmp_path):
    path = a_large_workbook(tmp_path / "x.xlsx", 2, first_row=MAX_ROWS)
    with path.open("rb") as file, pytest.raises(UnreadableFile, match="more than 1,048,576 rows"):
        read_table(file, kinds={}, heading=str)


def test_a_sheet_that_says_it_is_small_is_counted_as_it_is(tmp_path):
    path = a_large_workbook(tmp_path / "x.xlsx", 50_000)
    import contextlib

    with path.open("rb") as file, contextlib.ExitStack() as stack, pytest.raises(UnreadableFile, match="unpacks to"):
        open_workbook(file, stack, Limits(sheet=LISTS.sheet // 1000, cells=10))


def test_a_csv_larger_than_any_list_is_refused(monkeypatch):
    monkeypatch.setattr("billing.readers.tables.MAX_BYTES", 10)
    with pytest.raises(UnreadableFile, match="larger than"):
        read_table(io.BytesIO(b"fund_org\nBIO-1\n"), kinds={"fund_org": Kind.CODE}, heading=str)

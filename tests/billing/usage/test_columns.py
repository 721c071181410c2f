"""Any table by a mapping of its columns: what records say, from CSV and from Excel, and what is wrong by line."""

import csv
import datetime
import io
import json
import zipfile
from decimal import Decimal

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from billing.usage.level_policies import ByDay, Gaps, Method
from billing.usage.readers import KINDS, BadSettings, Tally

from .reading import problems_of, records_of, totals_of, written

HEADINGS = ("Booking", "Date", "Start", "End", "PI", "User", "Instrument", "Hours", "Status")
ROWS = (
    ("B-1", "1/5/2026", "9:00 AM", "11:30 AM", "chen@example.edu", "Ada", "Confocal 2", "2.5", ""),
    ("B-2", "1/6/2026", "23:30", "", "ortiz@example.edu", "Bo", "Confocal 2", "1.25", "Training"),
)
MAPPING = {
    "id": "Booking",
    "start": ["Date", "Start"],
    "duration": {"column": "Hours", "in": "hours"},
    "dates": "month/day/year",
    "time_zone": "America/Chicago",
    "account": "PI",
    "user": "User",
    "resource": "Instrument",
    "attributes": {"status": "Status"},
    "measures": {"hours": {"column": "Hours", "unit": "hour", "decimals": 2, "units": {"day": 8}}},
    "free": [{"column": "Status", "is": ["Training"], "reason": "training"}],
}
SIMPLE = {"start": "Date", "account": "PI", "measures": {"hours": {"column": "Hours", "decimals": 2}}}


def a_table(*rows, headings=HEADINGS, delimiter=","):
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([headings, *rows])
    return text.getvalue()


def simple(folder, *rows, **changes):
    """Read rows of a date, a PI and hours."""
    path = written(folder, a_table(*rows, headings=("Date", "PI", "Hours")))
    return records_of(path, "columns", SIMPLE | changes)


def wrong(folder, *rows, **changes):
    path = written(folder, a_table(*rows, headings=("Date", "PI", "Hours")))
    return problems_of(path, "columns", SIMPLE | changes)


def a_workbook(folder, *rows, title="Log", epoch=None):
    book = openpyxl.Workbook()
    if epoch:
        book.epoch = epoch
    book.active.title = title
    for row in rows:
        book.active.append(row)
    path = folder / "log.xlsx"
    book.save(path)
    return path


def seconds(*moment):
    return int(datetime.datetime(*moment, tzinfo=datetime.UTC).timestamp())


def test_a_row_is_a_record_as_the_mapping_says(tmp_path):
    path = written(tmp_path, a_table(*ROWS))
    shape = KINDS["columns"].shape(KINDS["columns"].settings(MAPPING))
    assert {each.name: each.units for each in shape.measures} == {"hours": {"hour": 100, "day": 800}}
    assert records_of(path, "columns", MAPPING) == [
        {
            "id": "B-1",
            "start": seconds(2026, 1, 5, 15),
            "end": seconds(2026, 1, 5, 17, 30),
            "account": "chen@example.edu",
            "user": "Ada",
            "resource": "Confocal 2",
            "free": "",
            "status": "",
            "hours": 250,
        },
        {
            "id": "B-2",
            "start": seconds(2026, 1, 7, 5, 30),
            "end": seconds(2026, 1, 7, 6, 45),
            "account": "ortiz@example.edu",
            "user": "Bo",
            "resource": "Confocal 2",
            "free": "training",
            "status": "Training",
            "hours": 125,
        },
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("above", ["", "\ufeff", "sep={}\n", "Use of January\n\nprinted on 2/1/2026\n"])
def test_the_header_is_found_below_titles_and_whatever_the_delimiter(tmp_path, delimiter, above):
    if above.startswith("sep") and delimiter in "\t|":
        above = ""
    content = above.format(delimiter) + a_table(*ROWS, delimiter=delimiter)
    assert records_of(written(tmp_path, content), "columns", MAPPING) == records_of(
        written(tmp_path, a_table(*ROWS)), "columns", MAPPING
    )


def test_headings_are_found_in_any_case_and_order_and_others_are_passed_over(tmp_path):
    path = written(tmp_path, "note,HOURS, pi ,Date\nx,1.5,ada,2026-01-05\n")
    (record,) = records_of(path, "columns", SIMPLE)
    assert (record["account"], record["hours"]) == ("ada", 150)


def test_a_zip_or_gzip_of_a_table_is_read_too(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("log.csv", a_table(*ROWS))
    expected = records_of(written(tmp_path, a_table(*ROWS)), "columns", MAPPING)
    assert records_of(written(tmp_path, packed.getvalue()), "columns", MAPPING) == expected


# Times --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("year-month-day", "2026-03-04", (2026, 3, 4)),
        ("year-month-day", "2026-03-04 13:05", (2026, 3, 4, 13, 5)),
        ("year-month-day", "2026-03-04T13:05:06Z", (2026, 3, 4, 13, 5, 6)),
        ("year-month-day", "2026-03-04T13:05:06-05:00", (2026, 3, 4, 18, 5, 6)),
        ("year-month-day", "2026-03", (2026, 3, 1)),
        ("month/day/year", "3/4/2026", (2026, 3, 4)),
        ("month/day/year", "03/04/26", (2026, 3, 4)),
        ("month/day/year", "3/4/2026 1:05 PM", (2026, 3, 4, 13, 5)),
        ("month/day/year", "3/4/2026, 12:00:30 AM", (2026, 3, 4, 0, 0, 30)),
        ("month/day/year", "2026-03-04", (2026, 3, 4)),
        ("day/month/year", "4.3.2026", (2026, 3, 4)),
        ("day/month/year", "04/03/2026 13:05", (2026, 3, 4, 13, 5)),
        ("%d-%b-%Y", "04-Mar-2026", (2026, 3, 4)),
        ("%b %d, %Y %I:%M %p", "Mar 4, 2026 01:05 PM", (2026, 3, 4, 13, 5)),
        ("%b %Y", "Mar 2026", (2026, 3, 1)),
        ("excel days", "46085", (2026, 3, 4)),
        ("excel days", "46085.5", (2026, 3, 4, 12)),
        ("excel days from 1904", "44623", (2026, 3, 4)),
        ("seconds since 1970", "1772582400", (2026, 3, 4)),
    ],
)
def test_dates_are_understood_in_the_form_that_the_settings_say(tmp_path, form, text, expected):
    (record,) = simple(tmp_path, (text, "ada", "1"), dates=form, lasts="moment")
    assert record["start"] == record["end"] == seconds(*expected)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("year-month-day", "3/4/2026"),
        ("year-month-day", "2026-02-30"),
        ("month/day/year", "13/1/2026"),
        ("month/day/year", "3/4"),
        ("month/day/year", "3/4/2026 25:00"),
        ("month/day/year", "soon"),
        ("%d-%b-%Y", "04-Mär-2026"),
        ("excel days", "3/4/2026"),
        ("excel days", "1e12"),
        ("year-month-day", "46085"),
        ("year-month-day", "1970-01-01"),
        ("year-month-day", "#VALUE!"),
        ("year-month-day", "="),
    ],
)
def test_what_is_no_date_in_that_form_is_said_by_line_and_column(tmp_path, form, text):
    (problem,) = wrong(tmp_path, (text, "ada", "1"), dates=form)
    assert problem.startswith("line 2, column Date: ")


@pytest.mark.parametrize(
    ("changes", "start", "end"),
    [
        ({}, (2026, 1, 31), (2026, 2, 1)),
        ({"lasts": "day"}, (2026, 1, 31), (2026, 2, 1)),
        ({"lasts": "month"}, (2026, 1, 31), (2026, 2, 1)),
        ({"lasts": "moment"}, (2026, 1, 31), (2026, 1, 31)),
        ({"levels": True}, (2026, 1, 31), (2026, 1, 31)),
        ({"time_zone": "America/New_York"}, (2026, 1, 31, 5), (2026, 2, 1, 5)),
        ({"duration": {"column": "Hours", "in": "minutes"}}, (2026, 1, 31), (2026, 1, 31, 0, 2)),
        ({"end": "Date"}, (2026, 1, 31), (2026, 2, 1)),
    ],
)
def test_a_date_is_a_day_unless_the_settings_say_otherwise(tmp_path, changes, start, end):
    (record,) = simple(tmp_path, ("2026-01-31", "ada", "2"), **changes)
    assert (record["start"], record["end"]) == (seconds(*start), seconds(*end))


def test_readings_of_a_table_become_a_month_by_the_settings_of_all_readings():
    found = KINDS["columns"].settings(SIMPLE | {"levels": True, "method": "maximum", "gaps": "never"})
    assert found.policy == ByDay(method=Method.MAXIMUM, gaps=Gaps.NEVER)
    with pytest.raises(BadSettings):
        KINDS["columns"].settings(SIMPLE | {"method": "maximum"})
    with pytest.raises(BadSettings):
        KINDS["columns"].settings(SIMPLE | {"levels": True, "longest_gap": 32})


def test_a_day_on_which_clocks_change_has_its_own_length(tmp_path):
    (record,) = simple(tmp_path, ("2026-03-08", "ada", "2"), time_zone="America/Chicago")
    assert record["end"] - record["start"] == 23 * 3600


def test_an_end_before_its_start_is_refused(tmp_path):
    path = written(tmp_path, "Date,To,PI,Hours\n2026-01-31,2026-01-29,ada,1\n")
    assert problems_of(path, "columns", SIMPLE | {"end": "To"}) == ["line 2, column To: The end is before the start."]


def test_instrument_time_is_from_start_to_end(tmp_path):
    given = MAPPING | {"end": ["Date", "End"], "measures": {"used": {"elapsed": True}}}
    del given["duration"]
    (record,) = records_of(written(tmp_path, a_table(ROWS[0])), "columns", given)
    assert record["used"] == 2.5 * 3600
    shape = KINDS["columns"].shape(KINDS["columns"].settings(given))
    assert shape.measure("used").units == {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


# Quantities ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "measure", "expected"),
    [
        ("1.5", {"decimals": 2}, 150),
        ("1.50", {"decimals": 1}, 15),
        (" 1,234.5 ", {"decimals": 1}, 12345),
        ("1,234,567", {}, 1_234_567),
        ("1.234,5", {"decimals": 1}, 12345),
        ("0,25", {"decimals": 2}, 25),
        ('="2.5"', {"decimals": 1}, 25),
        ("+3", {}, 3),
        ("0.5", {"factor": 60}, 30),
        ("0.1", {"factor": "2.5", "decimals": 2}, 25),
        ("1.005", {"decimals": 2, "round": True}, 100),
        ("0.3333333333", {"decimals": 3, "round": True}, 333),
        ("1e3", {}, 1000),
    ],
)
def test_a_number_is_whole_units_of_its_last_decimal(tmp_path, text, measure, expected):
    decimal = "," if text in ("1.234,5", "0,25") else "."
    (record,) = simple(
        tmp_path, ("2026-01-05", "ada", text), measures={"hours": {"column": "Hours"} | measure}, decimal=decimal
    )
    assert record["hours"] == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1.505", "1.505 has more decimals than the 2 of hours that the settings say."),
        ("-1", "-1 is below zero."),
        ("1,5", "“1,5” is formatted for people."),
        ("$1.50", "“$1.50” has a currency in it. Write the plain number, such as 1234.56."),
        ("two", "“two” is not a number."),
        ("#N/A", "“#N/A” is an error of a spreadsheet"),
        ("1:30", "“1:30” is not a number."),
        ("9" * 30, "is larger than can be kept."),
        ("NaN", "No quantity is filled in (Hours)."),
        ("Infinity", "“Infinity” is not a number."),
        ("", "No quantity is filled in (Hours). Fill one in, or skip such rows."),
        ("=1+1", "“=1+1” is not a number."),
    ],
)
def test_what_is_no_quantity_is_said_by_line(tmp_path, text, says):
    (problem,) = wrong(tmp_path, ("2026-01-05", "ada", text))
    assert problem.startswith("line 2")
    assert says in problem


def test_a_decimal_comma_and_a_point_are_not_mixed_up(tmp_path):
    (problem,) = wrong(tmp_path, ("2026-01-05", "ada", "1.5"), decimal=",")
    assert "“1.5” has a point, where the settings say that decimals have a comma." in problem


def test_rounding_is_said(tmp_path):
    tally = Tally()
    path = written(tmp_path, "Date,PI,Hours\n2026-01-05,ada,0.333\n2026-01-06,,0.5\n")
    given = SIMPLE | {"measures": {"hours": {"column": "Hours", "decimals": 2, "round": True}}}
    records_of(path, "columns", given, tally)
    assert tally.notes == [
        "Quantities with more decimals than the settings say, which are rounded to them: 1.",
        "Records that name no account: 1.",
    ]


def test_several_quantities_may_be_empty_but_not_all(tmp_path):
    given = SIMPLE | {"measures": {"hours": "Hours", "samples": "Samples", "visits": {"value": 1}}}
    path = written(tmp_path, "Date,PI,Hours,Samples\n2026-01-05,ada,,3\n2026-01-05,ada,2,\n2026-01-05,ada,,\n")
    records = records_of(path, "columns", given)
    assert [(each["hours"], each["samples"], each["visits"]) for each in records] == [(0, 3, 1), (2, 0, 1), (0, 0, 1)]


def test_clocks_are_seconds(tmp_path):
    given = {"measures": {"used": {"clock": "Hours"}}}
    assert [each["used"] for each in simple(tmp_path, ("2026-01-05", "ada", "1:30"), **given)] == [5400]
    assert [each["used"] for each in simple(tmp_path, ("2026-01-05", "ada", "100:00:01"), **given)] == [360_001]
    assert "Write hours and minutes, such as 1:30." in wrong(tmp_path, ("2026-01-05", "ada", "1:75"), **given)[0]


# Rows ----------------------------------------------------------------------------------------------------


def test_totals_are_skipped_and_counted(tmp_path):
    tally = Tally()
    path = written(tmp_path, "PI,Date,Hours\nada,2026-01-05,1\nTotal ada,,1\n\n,,,\nbo,2026-01-05,2\ngrand total,,3\n")
    given = SIMPLE | {"skip": [{"column": "PI", "begins": ["total", "Grand"], "reason": "totals"}]}
    records = records_of(path, "columns", given, tally)
    assert [each["account"] for each in records] == ["ada", "bo"]
    assert (dict(tally.left_out), tally.lines, tally.records) == ({"totals": 2}, 4, 2)


@pytest.mark.parametrize(
    ("condition", "skipped"),
    [
        ({"is": ["done", "Open"]}, ["Done", "open"]),
        ({"is_not": ["DONE"]}, ["open", "canceled", ""]),
        ({"begins": ["c", "o"]}, ["open", "canceled"]),
        ({"is": [""]}, [""]),
        ({}, ["Done", "open", "canceled"]),
    ],
)
def test_rows_are_skipped_by_what_a_cell_says(tmp_path, condition, skipped):
    states = ["Done", "open", "canceled", ""]
    rows = [f"2026-01-05,ada,1,{state}" for state in states]
    path = written(tmp_path, "\n".join(["Date,PI,Hours,State", *rows]) + "\n")
    given = SIMPLE | {"skip": [{"column": "State"} | condition], "attributes": {"state": "State"}}
    left = [each["state"] for each in records_of(path, "columns", given)]
    assert left == [state for state in states if state not in skipped]


def test_a_row_is_free_by_its_reason_or_by_what_its_cell_says(tmp_path):
    path = written(tmp_path, "Date,PI,Hours,Waived\n2026-01-05,ada,1,\n2026-01-05,ada,1,demo\n2026-01-05,ada,1,x\n")
    free = [{"column": "Waived", "is": ["x"], "reason": "internal"}, {"column": "Waived"}]
    assert [each["free"] for each in records_of(path, "columns", SIMPLE | {"free": free})] == ["", "demo", "internal"]


def test_cells_that_are_merged_are_filled_from_above_where_the_settings_say_so(tmp_path):
    content = "PI,Date,Hours\nada,2026-01-05,1\n,2026-01-06,2\nTotal,,3\nbo,2026-01-05,4\n,2026-01-06,5\n"
    skip = [{"column": "PI", "begins": ["Total"]}]
    given = SIMPLE | {"fill": ["PI"], "skip": skip}
    assert [each["account"] for each in records_of(written(tmp_path, content), "columns", given)] == [
        *("ada", "ada", "bo", "bo")
    ]
    given = SIMPLE | {"skip": skip}
    assert [each["account"] for each in records_of(written(tmp_path, content), "columns", given)] == [
        *("ada", "", "bo", "")
    ]


def test_texts_are_from_one_column_from_several_or_the_same_for_all(tmp_path):
    path = written(tmp_path, "Date,First,Last,Hours\n2026-01-05,Ada,Lovelace,1\n2026-01-05,Bo,,1\n")
    given = SIMPLE | {
        "account": {"value": "Core facility"},
        "user": ["First", "Last"],
        "resource": {"value": "Consulting"},
        "attributes": {"kind": {"value": "lab"}},
    }
    records = records_of(path, "columns", given)
    assert [each["user"] for each in records] == ["Ada Lovelace", "Bo"]
    assert {(each["account"], each["resource"], each["kind"]) for each in records} == {
        ("Core facility", "Consulting", "lab")
    }


def test_rows_without_an_id_are_told_apart_by_what_they_say(tmp_path):
    one, other = ("2026-01-05", "ada", "1"), ("2026-01-05", "ada", "2")
    ids = [each["id"] for each in simple(tmp_path, one, other, one)]
    assert len(set(ids)) == 3
    assert ids[2] == f"{ids[0]}-2"
    # A row that comes between changes nothing about the others.
    assert [each["id"] for each in simple(tmp_path, other, ("2026-01-06", "bo", "9"), one)][::2] == [ids[1], ids[0]]


def test_a_row_longer_than_its_header_is_refused_and_a_shorter_one_is_not(tmp_path):
    (problem,) = wrong(tmp_path, ("2026-01-05", "ada", "1", ""), ("2026-01-05", "Lovelace", "Ada", "1"))
    assert problem.startswith("line 3: The row has 4 fields where the header has 3.")
    path = written(tmp_path, "Date,Hours,PI,Note\n2026-01-05,1,ada\n")
    assert [each["account"] for each in records_of(path, "columns", SIMPLE)] == ["ada"]


@pytest.mark.parametrize(
    ("account", "says"),
    [
        ("1.23E+11", "is a number as spreadsheets shorten it"),
        ("TRUE", "is true or false, where a code is expected"),
        ("#REF!", "is an error of a spreadsheet"),
        ("a\0b", "The text has a NUL byte in it."),
        ("x" * 201, "The name has 201 characters; 200 is the limit."),
    ],
)
def test_what_a_spreadsheet_made_of_an_account_is_refused(tmp_path, account, says):
    (problem,) = wrong(tmp_path, ("2026-01-05", "ada", "1"), ("2026-01-05", account, "1"))
    assert problem.startswith("line 3, column PI: ")
    assert says in problem


def test_all_that_is_wrong_with_a_row_and_with_others_is_said_at_once(tmp_path):
    problems = wrong(tmp_path, ("soon", "TRUE", "much"), ("2026-01-05", "ada", "1"), ("2026-01-05", "ada", "-1"))
    assert [problem.partition(": ")[0] for problem in problems] == [
        *("line 2, column Date", "line 2, column PI", "line 2, column Hours", "line 4, column Hours"),
    ]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "The file is empty."),
        ("\n\n", "The file is empty."),
        ("Date,PI\n2026-01-05,ada\n", "line 1: The table lacks the column “Hours”. It has “Date”, “PI”."),
        ("Date,PI,Hours,pi\n2026-01-05,ada,1,bo\n", "line 1: Two columns have the heading “pi”. Rename one."),
        ('Date,PI,Hours\n2026-01-05,"ada,1\n', "line 2: The line cannot be read as CSV"),
        (b"Date,PI,Hours\n2026-01-05,\xe9ric,1\n", "line 2: The line is not UTF-8"),
        (b"\xff\xfeD\x00", "The file is UTF-16, not UTF-8."),
        (b"PAR1....PAR1", "This is a parquet file. Export it as CSV or as an Excel workbook."),
        (b"%PDF-1.7", "This is a PDF"),
        ('[{"Date": 1}]', "This is JSON, not CSV."),
        ("Date,PI,Hours\n" + "x" * 9_000_000, "line 2: The line is longer than 8 MiB."),
        (b"Date,PI,\0Hours\n", "line 1: This is not a CSV file."),
    ],
)
def test_what_is_no_table_is_refused_by_what_it_is(tmp_path, content, says):
    assert problems_of(written(tmp_path, content), "columns", SIMPLE)[0].startswith(says)


# Workbooks -----------------------------------------------------------------------------------------------


def test_a_workbook_is_the_same_as_its_csv(tmp_path):
    day = datetime.date(2026, 1, 5)
    path = a_workbook(
        tmp_path,
        ("Confocal log",),
        HEADINGS,
        ("B-1", day, datetime.time(9), datetime.time(11, 30), "chen@example.edu", "Ada", "Confocal 2", 2.5, None),
        ("B-2", day.replace(day=6), "23:30", None, "ortiz@example.edu", "Bo", "Confocal 2", 1.25, "Training"),
    )
    assert records_of(path, "columns", MAPPING) == records_of(written(tmp_path, a_table(*ROWS)), "columns", MAPPING)


@pytest.mark.parametrize("epoch", [None, CALENDAR_MAC_1904])
def test_dates_of_a_workbook_are_of_its_own_calendar(tmp_path, epoch):
    path = a_workbook(tmp_path, ("Date", "PI", "Hours"), (datetime.date(2026, 3, 4), "ada", 1), epoch=epoch)
    (record,) = records_of(path, "columns", SIMPLE)
    assert (record["start"], record["end"]) == (seconds(2026, 3, 4), seconds(2026, 3, 5))


def test_a_number_is_a_date_only_where_the_settings_say_so(tmp_path):
    path = a_workbook(tmp_path, ("Date", "PI", "Hours"), (46085, "ada", 1))
    assert "“46085” is no date as the settings say" in problems_of(path, "columns", SIMPLE)[0]
    (record,) = records_of(path, "columns", SIMPLE | {"dates": "excel days"})
    assert record["start"] == seconds(2026, 3, 4)


def test_midnight_is_a_time_where_the_cell_shows_hours(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(("Date", "PI", "Hours"))
    book.active.append((datetime.date(2026, 3, 4), "ada", 1))
    book.active["A2"].number_format = "yyyy-mm-dd hh:mm"
    book.save(tmp_path / "log.xlsx")
    (record,) = records_of(tmp_path / "log.xlsx", "columns", SIMPLE)
    assert record["start"] == record["end"] == seconds(2026, 3, 4)


def test_numbers_are_those_that_a_spreadsheet_shows(tmp_path):
    path = a_workbook(
        tmp_path, ("Date", "PI", "Hours"), ("2026-03-04", 410211, 0.1 + 0.2), ("2026-03-04", "a", 1.1 * 3)
    )
    records = records_of(path, "columns", SIMPLE)
    assert [(each["account"], each["hours"]) for each in records] == [("410211", 30), ("a", 330)]


def test_clocks_of_a_workbook_are_seconds(tmp_path):
    path = a_workbook(
        tmp_path,
        ("Date", "PI", "Hours"),
        ("2026-03-04", "a", datetime.timedelta(hours=30, minutes=15)),
        ("2026-03-04", "a", datetime.time(1, 30)),
    )
    assert [
        each["used"] for each in records_of(path, "columns", SIMPLE | {"measures": {"used": {"clock": "Hours"}}})
    ] == [*(30 * 3600 + 15 * 60, 5400)]
    assert "is a date or a time, where a number is expected." in problems_of(path, "columns", SIMPLE)[0]


def test_merged_cells_say_what_they_say_once(tmp_path):
    book = openpyxl.Workbook()
    for row in (("PI", "Date", "Hours"), ("ada", "2026-01-05", 1), (None, "2026-01-06", 2)):
        book.active.append(row)
    book.active.merge_cells("A2:A3")
    book.save(tmp_path / "log.xlsx")
    records = records_of(tmp_path / "log.xlsx", "columns", SIMPLE | {"fill": ["PI"]})
    assert [each["account"] for each in records] == ["ada", "ada"]


def test_a_formula_that_was_never_calculated_is_refused(tmp_path):
    path = a_workbook(tmp_path, ("Date", "PI", "Hours"), ("2026-01-05", "ada", "=1+1"))
    assert problems_of(path, "columns", SIMPLE) == [
        "line 2, column Hours: The cell has a formula that was never calculated. Open the workbook in a spreadsheet "
        "program and save it again."
    ]


@pytest.mark.parametrize(
    ("row", "column", "says"),
    [
        ((True, "ada", 1), "Date", "“True” is no date."),
        ((datetime.time(3), "ada", 1), "Date", "“03:00:00” is no date."),
        (("2026-01-05", datetime.date(2026, 1, 5), 1), "PI", "The cell is a date (2026-01-05), where an account"),
        (("2026-01-05", 1234567890123456789, 1), "PI", "of more than 15 digits kept as a number"),
        (("2026-01-05", "ada", True), "Hours", "TRUE is no number."),
    ],
)
def test_cells_of_another_kind_are_refused_by_line(tmp_path, row, column, says):
    (problem,) = problems_of(a_workbook(tmp_path, ("Date", "PI", "Hours"), row), "columns", SIMPLE)
    assert problem.startswith(f"line 2, column {column}: ")
    assert says in problem


def test_the_sheet_is_the_one_that_has_the_columns_or_is_named(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(("Notes", "Nothing"))
    for title, hours in (("Jan", 1), ("Feb", 2)):
        sheet = book.create_sheet(title)
        sheet.append(("Date", "PI", "Hours"))
        sheet.append(("2026-01-05", "ada", hours))
    path = tmp_path / "log.xlsx"
    book.save(path)
    assert problems_of(path, "columns", SIMPLE) == [
        "More than one sheet has these columns: “Jan”, “Feb”. Name the one."
    ]
    assert [each["hours"] for each in records_of(path, "columns", SIMPLE | {"sheet": "Feb"})] == [200]
    assert "The workbook has no sheet “Mar”." in problems_of(path, "columns", SIMPLE | {"sheet": "Mar"})[0]
    del book["Feb"]
    book.save(path)
    assert [each["hours"] for each in records_of(path, "columns", SIMPLE)] == [100]
    text = written(tmp_path, a_table(*ROWS))
    assert "This is a text, which has no sheet “Jan”." in problems_of(text, "columns", MAPPING | {"sheet": "Jan"})[0]


# Properties ----------------------------------------------------------------------------------------------

some_rows = st.lists(
    st.tuples(
        st.dates(datetime.date(2020, 1, 1), datetime.date(2030, 1, 1)).map(str),
        st.sampled_from(["ada", "bo", "", "Zoë Ångström"]),
        st.decimals(0, 10**6, places=2).map(str),
    ),
    min_size=1,
    max_size=12,
)


@given(some_rows, st.data())
def test_any_order_and_any_cut_into_files_comes_to_the_same(tmp_path_factory, rows, data):
    folder = tmp_path_factory.mktemp("columns")
    shape = KINDS["columns"].shape(KINDS["columns"].settings(SIMPLE))
    expected = totals_of(simple(folder, *rows), shape)
    assert expected["hours"] == sum(Decimal(row[2]) for row in rows) * 100
    shuffled = data.draw(st.permutations(rows))
    cut = data.draw(st.integers(0, len(rows)))
    found = [record for part in (shuffled[:cut], shuffled[cut:]) for record in simple(folder, *part)]
    assert totals_of(found, shape) == expected


@given(some_rows)
def test_a_workbook_comes_to_the_same_as_a_text(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("books")
    cells = [(datetime.date.fromisoformat(day), who, float(hours)) for day, who, hours in rows]
    path = a_workbook(folder, ("Date", "PI", "Hours"), *cells)
    assert records_of(path, "columns", SIMPLE) == simple(folder, *rows)


@given(st.lists(st.text(max_size=15), min_size=3, max_size=3))
def test_any_cells_are_taken_or_refused_by_name(tmp_path_factory, cells):
    folder = tmp_path_factory.mktemp("noise")
    path = written(
        folder, a_table(("2026-01-05", "ada", "1"), cells, headings=("Date", "PI", "Hours")).encode("utf-8", "replace")
    )
    tally = Tally()
    try:
        records = records_of(path, "columns", SIMPLE, tally)
    except Exception as error:  # noqa: BLE001 (which ones there are is what is tested)
        assert type(error).__name__ in ("FileError", "UnreadableFile"), repr(error)  # noqa: PT017 (as above)
    else:
        assert json.dumps(records)

"""The settings of a mapping: what is wrong is named, with what there is; and what a page shows before it is saved."""

import datetime
import json
from decimal import Decimal
from zoneinfo import ZoneInfo

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.readers import FileError
from billing.usage.readers import KINDS
from billing.usage.readers.previewing import look, preview
from billing.usage.readers.suggesting import suggest

from .reading import records_of, written, wrong_settings
from .test_columns import MAPPING, ROWS, SIMPLE, a_table


def wrong(**changes):
    return wrong_settings("columns", SIMPLE | changes)


# What is wrong with settings ------------------------------------------------------------------------------


def test_the_least_is_a_date_and_a_measure():
    assert wrong_settings("columns", {}) == {
        "start": "Name the column that has the date, or those that have the date and the time of day.",
        "measures": 'Say what is counted: {"hours": {"column": "Hours", "decimals": 2}}.',
    }


@pytest.mark.parametrize(
    ("changes", "name", "says"),
    [
        ({"acount": "PI"}, "acount", "There is no such setting. Did you mean account?"),
        ({"start": ["a", "b", "c"]}, "start", "One column is expected, or two"),
        ({"start": 3}, "start", "“3” is not a list of texts."),
        ({"start": []}, "start", "Name the column that has the date"),
        ({"start": ["Date", " "]}, "start", "One column is expected, or two"),
        ({"end": "E", "duration": {"column": "D"}}, "duration", "A row has an end or a duration, not both."),
        ({"end": "E", "levels": True}, "levels", "A level holds at a moment"),
        ({"duration": {"column": "D", "in": "weeks"}}, "duration.in", "“weeks” is not one of seconds, minutes"),
        ({"duration": {}}, "duration.column", "Name the column that says how long it took."),
        ({"duration": "D"}, "duration", "“D” is not an object with settings by their names."),
        ({"lasts": "year"}, "lasts", "“year” is not one of as written, day, month, moment."),
        ({"dates": "d/m/y"}, "dates", "“d/m/y” is no form of dates. There are year-month-day, month/day/year"),
        ({"zone": "Chicago"}, "zone", "“Chicago” is not a time zone such as America/Chicago."),
        ({"decimal": ";"}, "decimal", "“;” is not one of ., ,."),
        ({"account": {"val": "x"}}, "account.val", "There is no such setting. Did you mean value?"),
        ({"account": []}, "account", "A column is expected, a list of columns, or the same text for all"),
        ({"attributes": {"Rate Group": "R"}}, "attributes.Rate Group", "A name has small letters, digits and _"),
        ({"attributes": {"user": "U"}}, "attributes.user", "Every record has a column of this name already."),
        ({"attributes": {"hours": "U"}}, "measures.hours", "Every record has a column of this name already."),
        ({"attributes": ["U"]}, "attributes", "is not an object with settings by their names."),
        ({"measures": {"h": {}}}, "measures.h.column", "One of column, value, clock, elapsed is expected."),
        ({"measures": {"h": {"column": "H", "value": 1}}}, "measures.h.column", "One of column, value, clock, elapsed"),
        ({"measures": {"h": 3}}, "measures.h", "“3” is not an object with settings by their names."),
        ({"measures": {"h": {"column": "H", "decimals": 99}}}, "measures.h.decimals", "“99” is not a whole number fr"),
        ({"measures": {"h": {"column": "H", "factor": "-1"}}}, "measures.h.factor", "A number from 0 is expected."),
        ({"measures": {"h": {"column": "H", "factor": True}}}, "measures.h.factor", "A number from 0 is expected."),
        ({"measures": {"h": {"column": "H", "units": {"d": 0.5}}}}, "measures.h.units.d", "Say how many of the meas"),
        ({"measures": {"h": {"column": "H", "units": {"d": True}}}}, "measures.h.units.d", "Say how many of the meas"),
        ({"measures": {"h": {"elapsed": False}}}, "measures.h.elapsed", "Only true says anything."),
        ({"measures": {"h": {"elapsed": True, "unit": "x"}}}, "measures.h.unit", "There is no such setting."),
        ({"skip": {"column": "PI"}}, "skip", "is not a list."),
        ({"skip": ["PI"]}, "skip[1]", "“PI” is not an object with settings by their names."),
        ({"skip": [{"is": ["x"]}]}, "skip[1].column", "Name the column that the condition looks at."),
        ({"skip": [{"column": "PI", "begins": [""]}]}, "skip[1].begins", "Every text begins with nothing."),
        ({"free": [{"column": "A"}, {"column": "A", "iss": "x"}]}, "free[2].iss", "There is no such setting. Did you"),
    ],
)
def test_each_setting_that_is_wrong_is_named_with_what_there_is(changes, name, says):
    found = wrong(**changes)
    assert list(found) == [name]
    assert says in found[name]


def test_all_that_is_wrong_is_said_at_once():
    assert set(wrong(zone="Mars", decimal=3, colour="red", measures={"Hours": "Hours"})) == {
        *("zone", "decimal", "colour", "measures.Hours"),
    }


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_every_feed_may_say_is_no_mistake_of_a_reader(kind):
    of_feed = {"tags": {"pi": "account"}, "provider": "RCC", "service_category": "AI", "time_zone": "America/Chicago"}
    assert KINDS[kind].settings(of_feed | (SIMPLE if kind == "columns" else {}))


def test_settings_are_what_json_keeps():
    """A feed keeps them as JSON, in which a number with a point is a float."""
    given = SIMPLE | {"measures": {"hours": {"column": "Hours", "decimals": 2, "factor": 0.1, "units": {"day": 0.8}}}}
    (measure,) = KINDS["columns"].shape(KINDS["columns"].settings(json.loads(json.dumps(given)))).measures
    assert measure.units == {"hours": 100, "day": 80}


NAMES = (
    *("start", "end", "duration", "lasts", "levels", "dates", "zone", "id", "account", "user", "resource", "sheet"),
    *("attributes", "measures", "free", "skip", "fill", "decimal"),
)
WORDS = (
    "Date",
    "PI",
    "Hours",
    "",
    "x",
    "column",
    "value",
    "is",
    "begins",
    "unit",
    "units",
    "decimals",
    "factor",
    "clock",
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**20) | st.floats() | st.sampled_from(WORDS) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(NAMES), json_values, max_size=3))
def test_any_settings_are_refused_by_name_or_read_by(tmp_path_factory, changes):
    path = written(tmp_path_factory.mktemp("any"), "Date,PI,Hours\n2026-01-05,ada,1.5\n2026-01-06,,2\n")
    found = preview(path, SIMPLE | changes)
    assert found.records or found.problems or found.left_out


# What a page shows ----------------------------------------------------------------------------------------


def test_a_look_has_the_headings_and_the_first_rows_as_they_are(tmp_path):
    path = written(tmp_path, "Log of January\n\n" + a_table(*ROWS))
    found = look(path, rows=1)
    assert (found.headings[:2], found.line, found.rows) == (("Booking", "Date"), 3, (ROWS[0],))


def test_a_preview_has_records_beside_their_rows(tmp_path):
    found = preview(written(tmp_path, a_table(*ROWS)), MAPPING, rows=1)
    assert (found.problems, found.rows, found.is_whole, found.units) == ([], 2, True, {"hours": "hour"})
    (record,) = found.records
    assert (record.line, record.cells) == (2, ROWS[0])
    assert record.values["start"] == datetime.datetime(2026, 1, 5, 9, tzinfo=ZoneInfo("America/Chicago"))
    assert (record.values["hours"], record.values["account"]) == (Decimal("2.5"), "chen@example.edu")


def test_a_preview_says_what_is_wrong_with_the_file_and_goes_on(tmp_path):
    bad = ("B-3", "1/7/2026", "9:00", "", "TRUE", "", "", "x", "")
    found = preview(written(tmp_path, a_table(bad, *ROWS)), MAPPING)
    assert [str(each).partition(": ")[0] for each in found.problems] == ["line 2, column Hours", "line 2, column PI"]
    assert [each.line for each in found.records] == [3, 4]


def test_a_preview_says_what_is_wrong_with_the_mapping_or_the_table(tmp_path):
    path = written(tmp_path, a_table(*ROWS))
    assert [each.column for each in preview(path, {"begin": "Date"}).problems] == ["start", "measures", "begin"]
    (problem,) = preview(path, SIMPLE | {"account": "Lab"}).problems
    assert problem.message.startswith("The table lacks the column “Lab”. It has “Booking”")
    (problem,) = preview(tmp_path / "none", SIMPLE).problems
    assert problem.message == "There is no such file."


def test_a_preview_of_a_long_file_ends_early_and_says_so(tmp_path):
    path = written(tmp_path, a_table(*[("2026-01-05", "ada", "1")] * 1_200, headings=("Date", "PI", "Hours")))
    found = preview(path, SIMPLE)
    assert (found.rows, found.is_whole, len(found.records)) == (1_000, False, 20)
    path = written(tmp_path, a_table(*[("2026-01-05", "ada", "x")] * 1_200, headings=("Date", "PI", "Hours")))
    found = preview(path, SIMPLE)
    assert (len(found.problems), found.is_whole) == (100, False)


def test_a_preview_says_what_is_left_out(tmp_path):
    given = MAPPING | {"skip": [{"column": "Status", "is": ["training"]}]}
    assert dict(preview(written(tmp_path, a_table(*ROWS)), given).left_out) == {"skipped by Status": 1}


def test_rows_of_one_id_that_say_different_things_are_told(tmp_path):
    same, other = ROWS[0], (*ROWS[0][:7], "4", *ROWS[0][8:])
    assert ROWS[0][7] != "4"
    notes = preview(written(tmp_path, a_table(*ROWS, same)), MAPPING).notes
    assert not [each for each in notes if "the id and start" in each]
    (note,) = (each for each in preview(written(tmp_path, a_table(*ROWS, other)), MAPPING).notes if "the id" in each)
    assert note == (
        f"Rows with the id and start of a row above them that say something else: 1, such as “{ROWS[0][0]}”. Of each "
        "id, the row that ends last counts, and no other."
    )


# Guesses --------------------------------------------------------------------------------------------------


def test_a_guess_reads_a_log_as_it_is(tmp_path):
    path = written(tmp_path, a_table(*ROWS, ("Total", "", "", "", "", "", "", "3.75", "")))
    guess = suggest(path)
    assert guess == {
        "start": ["Date", "Start"],
        "dates": "month/day/year",
        "end": ["Date", "End"],
        "id": "Booking",
        "account": "PI",
        "user": "User",
        "resource": "Instrument",
        "attributes": {"status": "Status"},
        "measures": {"hours": {"column": "Hours", "unit": "hour", "decimals": 2}},
        "skip": [{"column": "Booking", "begins": ["Total", "Grand total", "Subtotal"], "reason": "totals"}],
    }
    assert [each["hours"] for each in records_of(path, "columns", guess)] == [250, 125]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "Service date,Lab,Service,Qty,Unit price,Total\n2026-01-05,Chen,Sequencing,3,$12.00,$36.00\n",
            {
                "start": "Service date",
                "dates": "year-month-day",
                "account": "Lab",
                "resource": "Service",
                "measures": {"qty": {"column": "Qty", "unit": "qty", "decimals": 0}},
            },
        ),
        (
            "consultant;kunde;datum;date;client;minutes\nx;y;z;31.1.2026;Chen;90\n",
            {"start": "date", "dates": "day/month/year", "user": "client"},
        ),
        (
            "PI Email,Began on,Elapsed,Machine\na@x.edu,2026-01-05 10:00,1:30,Laser\n",
            {
                "account": "PI Email",
                "resource": "Machine",
                "duration": {"column": "Elapsed", "in": "h:mm"},
                "measures": {"elapsed": {"clock": "Elapsed"}},
            },
        ),
        (
            "model,date,user id,input_tokens,output_tokens,cost\ngpt,2026-01-05,u1,100,20,0.001\n",
            {
                "start": "date",
                "dates": "year-month-day",
                "resource": "model",
                "measures": {
                    name: {"column": name, "unit": name, "decimals": 0} for name in ("input_tokens", "output_tokens")
                },
            },
        ),
        ("a,b\nx,y\n", {"measures": {"elapsed_seconds": {"elapsed": True}}}),
    ],
)
def test_a_guess_goes_by_headings_and_what_is_below_them(tmp_path, content, expected):
    guess = suggest(written(tmp_path, content))
    assert {name: guess.get(name) for name in expected} == expected


def test_a_guess_of_a_workbook_names_its_sheet(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(("Read me",))
    sheet = book.create_sheet("Log")
    sheet.append(("Date", "PI", "Hours"))
    sheet.append((datetime.date(2026, 1, 5), "ada", 1.5))
    book.save(tmp_path / "log.xlsx")
    guess = suggest(tmp_path / "log.xlsx")
    assert guess["sheet"] == "Log"
    assert preview(tmp_path / "log.xlsx", guess).problems == []


@pytest.mark.parametrize("content", ["", "%PDF-1.7", "\n"])
def test_what_is_no_table_is_not_guessed_at(tmp_path, content):
    with pytest.raises(FileError):
        suggest(written(tmp_path, content))

"""Rate schedules as tables: any one comes back from CSV, Excel and JSON as it was, and mistakes are told by line."""

import csv
import io
from dataclasses import fields, replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from openpyxl import Workbook, load_workbook

from billing.admin.rates.forms import ClassForm, RateForm
from billing.usage import rate_schedules
from billing.usage.pricing.terms import Count, Rate, RateClass, Tier
from billing.usage.rate_schedules import TableRefused

from .schedules import a_schedule, schedules

HEADINGS = [column.heading for column in rate_schedules.COLUMNS.values()]


def written(schedule, form):
    file = io.BytesIO()
    rate_schedules.write(schedule, file, form)
    return file.getvalue()


def read(content):
    return rate_schedules.read(io.BytesIO(content), name="hpc", version=1)


def table(*rows):
    """Return a CSV file of rows, each with its cells by heading."""
    text = io.StringIO()
    writer = csv.DictWriter(text, HEADINGS)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def errors(content):
    with pytest.raises(TableRefused) as refused:
        read(content)
    return [str(each) for each in refused.value.errors]


CPU = {"Rate": "cpu", "Service": "HPC", "Counts": "core-hour of core_seconds", "Unit": "core-hour", "Price": "0.02"}


@pytest.mark.parametrize("form", rate_schedules.FORMATS)
def test_a_schedule_comes_back_as_it_was(form):
    assert read(written(a_schedule(), form)) == a_schedule()


@pytest.mark.parametrize("form", rate_schedules.FORMATS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(schedule=schedules())
def test_any_schedule_comes_back_as_it_was(form, schedule):
    assert read(written(schedule, form)) == schedule


def test_a_table_has_a_line_for_each_tier_and_class_and_only_what_matters():
    rows = list(csv.DictReader(io.StringIO(written(a_schedule(), "csv").decode("utf-8-sig"))))
    said = [{heading: cell for heading, cell in row.items() if cell} for row in rows]
    assert said[0] == {
        "Rate": "cpu",
        "Service": "HPC compute",
        "Where": "partition: cpu*, long",
        "Counts": "core-hour of core_seconds; 10 for every gpu-hour of gpu_seconds",
        "Unit": "core-hour",
        "Up to": "50000",
        "Price": "0.014",
        "Free": "1000",
        "Over": "fiscal year",
    }
    assert said[1:] == [
        {"Rate": "cpu", "Price": "0.008"},
        {"Rate": "cpu", "Class": "external", "Price": "0.05"},
        {
            "Rate": "home",
            "Service": "Storage",
            "Counts": "TB-month of bytes",
            "Unit": "TB-month",
            "Price": "5",
            "Steps of": "5",
        },
        {"Class": "external", "Class kind": "external", "Percent": "150", "Indirect percent": "26.5"},
    ]


def test_every_field_of_a_rate_and_class_is_in_the_table():
    """A field that is added to a rate needs a column, a line of what differs, and a field in the form."""
    of_rates = {column.field for column in rate_schedules.COLUMNS.values() if column.field} | {
        "code",
        "tiers",
        "prices",
    }
    assert (
        {each.name for each in fields(Rate)}
        == of_rates
        == set(RateForm.base_fields) - {"where", "remove"} | {*("when",)}
    )
    assert {each.name for each in fields(RateClass)} == set(ClassForm.base_fields) - {"remove"}
    assert {each.name for each in fields(Tier)} == {"price", "up_to"}
    # Those of a count are in one text.
    written_out = {"measure", "unit", "factor", "per", "at_least", "step", "when"}
    assert {each.name for each in fields(Count)} == written_out


def test_prices_are_numbers_in_excel_and_long_ones_keep_their_digits():
    sheet = load_workbook(io.BytesIO(written(a_schedule(), "xlsx"))).active
    assert sheet["H2"].value == 0.014
    exact = Decimal("123456789012345.123456789012")
    schedule = a_schedule()
    long = replace(schedule, rates=(replace(schedule.rates[1], step=exact),))
    assert read(written(long, "xlsx")).rates[0].step == exact


def test_a_table_that_somebody_typed_is_read():
    """In another order, with other spellings, prices as a spreadsheet has them, and without most columns."""
    book = Workbook()
    sheet = book.active
    sheet.append(["PRICE", "rate", "up to", "Unit", "counts", "service", "over", "carries over", "free"])
    sheet.append([0.1 + 0.2, "cpu", 1500, "core-hour", "core-hour of core_seconds", "HPC", "Month", "x", "1,000"])
    sheet.append([1e-7, "cpu"])
    file = io.BytesIO()
    book.save(file)
    (rate,) = read(file.getvalue()).rates
    assert [(tier.price, tier.up_to) for tier in rate.tiers] == [
        (Decimal("0.3"), Decimal(1500)),
        (Decimal("0.0000001"), None),
    ]
    assert (rate.free, rate.carries_over) == (1000, True)


def test_mistakes_are_told_by_line_and_column():
    found = errors(
        table(
            CPU | {"Price": "cheap", "Over": "week"},
            {"Rate": "gpu", "Price": "1"},
            CPU | {"Rate": "home", "Where": "partition"},
            {"Rate": "home", "Service": "Storage"},
            {"Class": "external", "Class kind": "foreign", "Percent": "150%", "Price": "3"},
            {"Price": "3"},
            {"Class": "external"},
        )
    )
    assert found == [
        "line 2, Over: “week” is not one of: day, month, quarter of the fiscal year, fiscal year.",
        "line 2, Price: “cheap” is not a number such as 0.014 or 50,000.",
        "line 3, Service: is empty",
        "line 3, Counts: is empty",
        "line 3, Unit: is empty",
        "line 4, Where: “partition” does not say what is priced. Write “partition: gpu*, a100”: what is looked at, a "
        "colon, and patterns with commas between.",
        "line 5, Service: “Storage” is not what line 4 says of the rate: “HPC”",
        "line 5, Price: is empty",
        "line 6, Price: needs a rate: a line without one says what a class pays",
        "line 6, Class kind: “foreign” is not one of: internal, affiliate, external.",
        "line 7, Rate: is empty, and so is Class: a line is of a rate, or says what a class pays",
        "line 8, Class: external is on line 6 already",
    ]


def test_what_the_rules_of_schedules_refuse_is_told_beside_the_rate():
    found = errors(table(CPU, CPU | {"Rate": "gpu", "Up to": "5"}, {"Class": "x", "Percent": "120"}))
    assert found == [
        "line 3: Rate gpu: tier 1: up_to is 5. The last tier has none, so that every use has a price.",
        "line 4: Class x: percent is 120. Internal users pay at most 100, for the list price is their full cost.",
    ]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no column rate"),
        (b"Rate,Price\n", "The file has no rates."),
        (b"Price\n1\n", "no column rate"),
        (b"Rate,Cost\ncpu,1\n", "Unknown columns: cost."),
        (b"Rate,Price\n1E-07,1\n", "line 2, rate: “1E-07” is a number as spreadsheets shorten it"),
        (b"{", "line 1: is not JSON"),
        (b'{"rates": [}', "line 1: is not JSON"),
        (b"{" + b'"a":{' * 100_000, "not JSON that a rate schedule could be"),
        (b'{"rates": []}', "The schedule has no rates. Add one."),
        (b'{"prices": 1}', "The schedule has a field “prices” that is not known."),
        (b"\xff\xfe{", "UTF-16"),
        (b'{"a": "\xff"}', "not UTF-8"),
    ],
)
def test_what_is_no_schedule_is_refused(content, says):
    with pytest.raises(TableRefused) as refused:
        read(content)
    assert says in str(refused.value)


def test_a_copy_of_another_schedule_gets_the_name_it_is_given():
    other = replace(a_schedule(), name="storage", version=7)
    assert read(written(other, "json")) == a_schedule()

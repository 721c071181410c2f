"""Usage beside money: exact, in each unit, kept with a statement, and shown wherever its lines are."""

import csv
import io
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import load_workbook

from billing import charge_sheets
from billing.models import Charge
from billing.quantities import Usage, added, counted, for_people, on_a_line, plain
from statements import issuing, sheets
from statements.models import Statement
from tests import build
from tests.build import NOW, SOMEBODY
from tests.statements.test_drawing import text_of

pytestmark = pytest.mark.django_db


def generate(month="2025-01"):
    return issuing.generate(period=build.a_period(month), actor=SOMEBODY, now=NOW)


def the_lines(**of):
    generate()
    return issuing.document_of(Statement.objects.live().get(**of)).lines


def used(quantity, unit="core-hours", billed="1.00", **fields):
    return build.a_charge(billed, consumed_quantity=quantity, consumed_unit=unit, **fields)


@pytest.mark.parametrize(
    ("quantity", "unit", "told"),
    [
        ("240", "core-hour", "240 core-hours"),
        ("1", "core-hour", "1 core-hour"),
        ("1", "core-hours", "1 core-hour"),
        ("-1", "Hours", "-1 Hour"),
        ("0.5", "TB-month", "0.5 TB-months"),
        ("0", "job", "0 jobs"),
        # As it is read: 1.
        ("1.00001", "GPU-hour", "1 GPU-hour"),
        ("3", "library", "3 libraries"),
        ("2", "1 Hour", "2 × 1 Hour"),
        ("5.1", "1M tokens", "5.1 × 1M tokens"),
        *(("2", unit, f"2 {unit}") for unit in ("TiB", "GB-Mo", "GB/month", "h", "min", "status")),
        ("1", "bus", "1 bus"),
        ("1", "million tokens", "1 million tokens"),
    ],
)
def test_units_are_singular_behind_one_and_plural_behind_others(quantity, unit, told):
    assert counted(Decimal(quantity), unit) == told
    assert str(Usage(Decimal(quantity), unit)) == told


# What is added up


def test_a_line_and_its_resources_say_how_much_was_used():
    used("250.30", resource_id="a")
    used("7.03", resource_id="b")
    (line,) = the_lines()
    assert line.used == "257.33 core-hours"
    assert {each.resource_id: each.used for each in line.resources} == {"a": "250.3 core-hours", "b": "7.03 core-hours"}


def test_quantities_add_up_exactly():
    for quantity in ("0.1", "0.2", "100000000000000000000.0000000000000000000000000000000003"):
        used(quantity, resource_id="a")
    (line,) = the_lines()
    assert plain(line.usage[0].quantity) == "100000000000000000000.3000000000000000000000000000000003"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"consumed_quantity": "3", "consumed_unit": "Hours", "pricing_quantity": "9", "pricing_unit": "h"}, "3 Hours"),
        ({"pricing_quantity": "9", "pricing_unit": "Hours"}, "9 Hours"),
        ({"consumed_quantity": "3", "pricing_quantity": "9", "pricing_unit": "Hours"}, "9 Hours"),
        ({"consumed_quantity": "3"}, ""),
        ({"consumed_unit": "Hours"}, ""),
        ({"consumed_quantity": "0", "consumed_unit": "Hours"}, ""),
        ({"charge_category": "", "consumed_quantity": "3", "consumed_unit": "Hours"}, "3 Hours"),
        ({"charge_category": "Purchase", "pricing_quantity": "2", "pricing_unit": "Licenses"}, "2 Licenses"),
        ({"charge_category": "Purchase", "consumed_quantity": "2", "consumed_unit": "Hours"}, ""),
        (
            {
                "charge_category": "Purchase",
                "pricing_quantity": "744",
                "pricing_unit": "Hours",
                "commitment_discount_id": "plan-1",
            },
            "",
        ),
        *(
            ({"charge_category": category, "pricing_quantity": "2", "pricing_unit": "Hours"}, "")
            for category in ("Tax", "Credit", "Adjustment")
        ),
    ],
)
def test_what_counts_as_usage(said, expected):
    build.a_charge(**said)
    (line,) = the_lines()
    assert line.used == expected


def test_each_unit_has_its_figure_and_more_than_two_are_told_by_resource():
    used("3", "Hours", resource_id="a")
    used("2", "GB", resource_id="a")
    (line,) = the_lines()
    assert line.used == "2 GB, 3 Hours"
    used("7", "Requests", resource_id="b")
    # Usage alone revises nothing; this charge costs something.
    (line,) = the_lines()
    assert line.used == ""
    assert [each.used for each in line.resources] == ["2 GB, 3 Hours", "7 Requests"]


def test_a_split_says_the_whole_usage_and_the_share():
    build.a_split({"A": "60", "B": "40"}, project=build.a_project())
    used("257.33", billed="10.00")
    assert [line.used for line in the_lines()] == ["60% of 257.33 core-hours", "40% of 257.33 core-hours"]


def test_a_fund_that_pays_in_two_ways_says_both():
    split = build.a_split({"A": "60", "B": "40"})
    used("100", resource_id="a", payer_split=split, fund_org="")
    used("5", resource_id="b", fund_org="A")
    assert the_lines()[0].used == "5 core-hours, 60% of 100 core-hours"


def test_corrections_late_changes_and_shared_costs_have_none():
    charge = used("10", billed="10.00", pi="bob@u.edu")
    used("4", billed="3.00", pi=None, project=None, fund_org="", shared_as="Support", source="azure")
    used("1", source="azure")
    assert [line.used for line in the_lines(pi__email="ada@u.edu")] == ["1 core-hour", ""]
    build.shut()
    february = build.a_period("2025-02")
    build.a_correction(charge, charged_in=february)
    used("12", billed="2.00", pi="bob@u.edu", is_late=True, charged_in=february)
    generate("2025-02")
    lines = issuing.document_of(Statement.objects.get(period=february)).lines
    assert len(lines) == 2
    assert [line.used for line in lines] == ["", ""]


def test_a_resource_spelled_in_two_ways_has_one_figure():
    used("1", resource_id="/subscriptions/7/vms/LOGIN")
    used("2", resource_id="/subscriptions/7/vms/login")
    (line,) = the_lines()
    assert [each.used for each in line.resources] == ["3 core-hours"]


def test_usage_of_the_small_rest_is_added_up(monkeypatch):
    monkeypatch.setattr("statements.issuing.snapshots.MOST_RESOURCES", 1)
    for number in range(3):
        used("1.5", resource_id=f"i-{number}", billed=f"{number + 1}.00")
    (line,) = the_lines()
    assert [each.used for each in line.resources] == ["1.5 core-hours", "3 core-hours"]


def test_usage_alone_revises_no_statement_and_is_kept_as_issued():
    charge = used("1")
    generate()
    Charge.objects.filter(pk=charge.pk).update(consumed_quantity="2")
    assert generate().issued == 0
    (line,) = the_lines()
    assert line.used == "1 core-hour"
    Charge.objects.filter(pk=charge.pk).update(billed_cost="9.00")
    (line,) = the_lines()
    assert line.used == "2 core-hours"


def test_one_query_serves_all_lines():
    def queries():
        with CaptureQueriesContext(connection) as found:
            issuing.generate(period=build.a_period(), dry_run=True, actor=SOMEBODY, now=NOW)
        return len(found)

    used("1")
    few = queries()
    for number in range(5):
        used("1", service_name=f"s{number}", pi=f"pi{number}@u.edu")
    assert queries() == few


# How it is written

numbers = st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-(10**12), max_value=10**12)


@given(st.lists(st.tuples(numbers, st.sampled_from(["h", "GB"]))))
def test_adding_up_loses_nothing(pairs):
    found = {each.unit: each.quantity for each in added(Usage(*pair) for pair in pairs)}
    for unit in ("h", "GB"):
        assert found.get(unit, 0) == sum((quantity for quantity, of in pairs if of == unit), Decimal(0))


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("412600", "412,600"),
        ("86.50", "86.5"),
        ("1184.0004", "1,184"),
        ("0.00027777777", "0.000278"),
        ("-1234.5678", "-1,234.568"),
        ("0", "0"),
        ("1E+3", "1,000"),
        ("0.9999", "1"),
    ],
)
def test_people_read_few_digits(quantity, expected):
    assert for_people(Decimal(quantity)) == expected


def test_a_line_tells_two_units_at_most():
    usage = [Usage(Decimal(1), unit) for unit in ("a", "b", "c")]
    assert (on_a_line(usage[:2]), on_a_line(usage)) == ("1 a, 1 b", "")


# Where it is shown


@pytest.fixture
def shown():
    build.a_split({"A": "60", "B": "40"}, project=build.a_project())
    used("257.3300001", resource_id="i-0123456789", resource_name="a name that is rather long for its column")
    generate()
    return Statement.objects.get()


def test_the_pdf_tells_it_on_lines_and_resources(shown):
    text = text_of(issuing.document_of(shown))
    assert text.count("60% of 257.33 core-hours") == 2


def test_the_portal_and_staff_read_it(client, cast, shown):
    client.force_login(cast.pi)
    assert (
        client.get(reverse("portal:statement", args=[shown.number])).content.decode().count("60% of 257.33 core-") == 2
    )
    client.force_login(cast.viewer)
    page = client.get(reverse("admin:statements_statement_change", args=[shown.pk]) + "?tab=lines").content.decode()
    assert "60% of 257.33 core-hours" in page


def test_files_have_every_digit_with_the_unit_and_the_share(shown):
    document = issuing.document_of(shown)
    row, _ = csv.DictReader(io.StringIO(sheets.as_csv(document).decode("utf-8-sig")))
    assert (row["Usage"], row["Unit"], row["Share"]) == ("257.3300001", "core-hours", "60%")
    sheet = load_workbook(io.BytesIO(sheets.as_xlsx(document))).worksheets[0]
    headings, first, _ = sheet.iter_rows(values_only=True)
    found = dict(zip(headings, first, strict=True))
    assert (found["Usage"], found["Unit"], found["Share"]) == (257.3300001, "core-hours", "60%")


def test_several_units_are_two_lists_in_one_order():
    used("3", "Hours", resource_id="a")
    used("0.0000001", "GB", resource_id="a")
    generate()
    document = issuing.document_of(Statement.objects.get())
    (row,) = csv.DictReader(io.StringIO(sheets.as_csv(document).decode("utf-8-sig")))
    assert (row["Usage"], row["Unit"]) == ("0.0000001; 3", "GB; Hours")


def test_the_export_of_charges_says_usage_and_unit():
    used("3.25", "Hours")
    build.a_charge(charge_category="Tax", pricing_quantity="1", pricing_unit="x")
    file = io.BytesIO()
    charge_sheets.write(charges=Charge.objects.all(), file=file, form="csv", actor=SOMEBODY, now=NOW)
    found = [(row["usage"], row["unit"]) for row in csv.DictReader(io.StringIO(file.getvalue().decode("utf-8-sig")))]
    assert found == [("", ""), ("3.25", "Hours")]


def test_a_unit_that_begins_with_a_number_is_told_from_the_quantity():
    assert str(Usage(Decimal("79487"), "1000 tokens")) == "79,487 × 1000 tokens"
    assert str(Usage(Decimal("79487"), "1000 tokens", Decimal(60))) == "60% of 79,487 × 1000 tokens"

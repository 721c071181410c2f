"""The first page of the portal: what is charged, why it changed and what comes, of what the reader may see alone."""

import datetime
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from billing.models import Import, Membership, Person, Project, Question
from billing.months import closing
from statements import issuing
from statements.models import Statement
from tests import build
from tests.build import NOW, SOMEBODY

pytestmark = pytest.mark.django_db


def issue(*months):
    for month in months:
        issuing.generate(period=build.a_period(month), actor=SOMEBODY, now=NOW)


def used(amount, hours, **fields):
    return build.a_charge(amount, consumed_quantity=Decimal(hours), consumed_unit="core-hours", **fields)


@pytest.fixture
def two_months(cast):
    """Ada's cluster grew and her disk shrank from January to February; Mallory has a project too."""
    used("40.00", "400", period="2025-01", resource_id="n1", resource_name="node-1")
    build.a_charge("30.00", period="2025-01", service_name="Disk", resource_id="d1", resource_name="scratch")
    build.a_charge("500.00", pi="mallory@u.edu", project="mischief", period="2025-01")
    used("55.00", "550", period="2025-02", resource_id="n1", resource_name="node-1")
    used("10.00", "100", period="2025-02", resource_id="n2", resource_name="node-2")
    build.a_charge("25.00", period="2025-02", service_name="Disk", resource_id="d1", resource_name="scratch")
    build.a_charge("12.00", period="2025-02", project="proteins", service_name="Tape")
    build.a_charge("900.00", pi="mallory@u.edu", project="mischief", period="2025-02")
    issue("2025-01", "2025-02")
    return cast


def home(client, user):
    client.force_login(user)
    response = client.get(reverse("portal:home"))
    assert response.status_code == 200
    return response.context["home"], " ".join(response.content.decode().split())


def test_the_front_door_leads_a_pi_to_it(client, cast):
    client.force_login(cast.pi)
    assert client.get("/").url == reverse("portal:home")


def test_it_sums_the_newest_month_and_says_why_it_changed(client, two_months):
    shown, page = home(client, two_months.pi)
    (due,) = shown.due
    assert (shown.period.iso_month, due.charged, due.before, due.change) == ("2025-02", 102, 70, 32)
    assert "102.00 USD" in page
    assert "(45.7%)" in page
    (why,) = shown.changes
    assert [(row.what, row.project, row.change) for row in why.rows] == [
        ("Compute", "genomics", 25),
        ("Tape", "proteins", 12),
        ("Disk", "genomics", -5),
    ]
    # What is named adds up to the change of the total.
    assert why.total == due.change
    compute = why.rows[0]
    assert compute.used == "400 → 650 core-hours"
    assert [(each.name, each.change) for each in compute.resources] == [("node-1", 15), ("node-2", 10)]
    assert {row.statement for row in why.rows} == {each.statement.number for each in shown.statements}
    for other in ("500.00", "900.00", "mischief", "Mallory"):
        assert other not in page


def test_the_rest_of_many_changes_is_one_sum(client, cast):
    for number in range(1, 9):
        build.a_charge(f"{number}.00", period="2025-01", service_name=f"Service {number}")
        build.a_charge(f"{number * 3}.00", period="2025-02", service_name=f"Service {number}")
    issue("2025-01", "2025-02")
    shown, page = home(client, cast.pi)
    (why,) = shown.changes
    assert [row.change for row in why.rows] == [16, 14, 12, 10, 8]
    assert (why.others, why.rest, why.total) == (3, 12, 72)
    assert "3 other lines" in page


def test_corrections_are_one_change_of_a_project(client, cast):
    charge = build.a_charge("50.00", period="2025-01")
    issue("2025-01")
    closing.close(period=build.a_period("2025-01"), actor=SOMEBODY, now=NOW)
    build.a_correction(charge)
    build.a_charge("50.00", period="2025-02")
    issue("2025-02")
    shown, page = home(client, cast.pi)
    (due,) = shown.due
    assert (due.figures.charged, due.corrections, due.charged, due.change) == (50, -50, 0, -50)
    (why,) = shown.changes
    assert [(row.what, row.change) for row in why.rows] == [("Corrections and late changes", -50)]
    assert "Corrections and late changes" in page


def test_a_delegate_of_one_project_sees_the_home_of_that_project(client, two_months):
    Membership.objects.update(project=Project.objects.get(code="proteins"))
    shown, page = home(client, two_months.delegate)
    assert [each.charged for each in shown.due] == [12]
    assert "genomics" not in page
    assert (shown.due[0].before, shown.changes) == (None, [])
    assert "There is no statement of the month before." in page


def test_a_revoked_delegate_sees_nothing_in_a_session_that_is_open(client, two_months):
    assert "102.00 USD" in home(client, two_months.delegate)[1]
    Membership.objects.update(valid_until=timezone.localdate() - datetime.timedelta(days=1))
    page = client.get(reverse("portal:home")).content.decode()
    assert "102.00" not in page
    assert "There is no statement for you yet." in page


def test_the_open_month_is_summed_from_totals_as_of_its_imports(client, two_months):
    build.a_charge("7.50", period="2025-03")
    build.a_charge("1.25", period="2025-03", source="hpc")
    build.a_charge("4.00", period="2025-03", flags=("pattern_match",))
    build.a_charge("99.00", period="2025-03", pi="mallory@u.edu", project="mischief", source="tape")
    Import.objects.filter(source__name="aws").update(applied_at=datetime.datetime(2025, 3, 5, 12, tzinfo=datetime.UTC))
    client.force_login(two_months.pi)
    with CaptureQueriesContext(connection) as captured:
        response = client.get(reverse("portal:home"))
    found = response.context["home"].so_far
    assert (found.period.iso_month, found.charged, found.held, found.held_amounts) == (
        "2025-03",
        {"USD": Decimal("8.75")},
        1,
        {"USD": Decimal(4)},
    )
    assert [(each.source, each.on.isoformat()) for each in found.delivered] == [
        ("AWS", "2025-03-05"),
        ("HPC", "2025-02-03"),
    ]
    page = " ".join(response.content.decode().split())
    assert "<bdi>AWS</bdi> on Mar 5, 2025, <bdi>HPC</bdi> on Feb 3, 2025" in page
    assert "1 charge, " in page
    assert "99.00" not in page
    # However many charges there are, none of them is read.
    assert not [each["sql"] for each in captured if '"billing_charge"' in each["sql"]]


def test_before_the_first_statement_the_open_month_is_there(client, cast):
    build.a_charge("7.50", period="2025-03")
    shown, page = home(client, cast.pi)
    assert (shown.period, shown.so_far.charged) == (None, {"USD": Decimal("7.5")})
    assert "March 2025 so far" in page
    assert "There is no statement for you yet." in page
    assert home(client, cast.stranger)[0].so_far is None


def test_charges_in_review_of_the_month_are_told(client, two_months):
    build.a_charge("4.00", period="2025-02", flags=("pattern_match",))
    shown, page = home(client, two_months.pi)
    assert (shown.held.held, shown.held.held_amounts) == (1, {"USD": Decimal(4)})
    assert "1 charge of this month" in page
    assert home(client, two_months.stranger)[0].held is None


def test_a_project_that_ends_soon_is_named(client, two_months):
    today = timezone.localdate()
    Project.objects.filter(code="genomics").update(end_date=today + datetime.timedelta(days=60))
    Project.objects.filter(code="proteins").update(end_date=today + datetime.timedelta(days=400))
    shown, page = home(client, two_months.pi)
    assert [each.is_urgent for each in shown.notices] == [False]
    assert "genomics ends in 60 days, on " in page


def test_what_ends_and_what_the_institution_says_are_told_above_everything(client, two_months):
    today = timezone.localdate()
    build.a_policy(statement_notices="Scratch is emptied in June.\nSee <https://u.edu/rc>.")
    Project.objects.filter(code="genomics").update(end_date=today - datetime.timedelta(days=1))
    Project.objects.filter(code="proteins").update(reconciliation_end_date=today + datetime.timedelta(days=10))
    Project.objects.filter(code="mischief").update(end_date=today)
    shown, page = home(client, two_months.pi)
    told = [(each.text.split(" on ")[0], each.is_urgent) for each in shown.notices]
    assert told == [
        ("genomics ended", True),
        ("The reconciliation of proteins ends in 10 days,", True),
        ("Scratch is emptied in June.", None),
        ("See <https://u.edu/rc>.", None),
    ]
    assert "&lt;" in page
    assert "mischief" not in page


def test_open_questions_are_listed_those_that_wait_for_the_reader_first(client, two_months):
    assert "Open questions" not in home(client, two_months.pi)[1]
    numbers = Statement.objects.live().filter(pi__email="ada@u.edu", period__month="2025-02-01").order_by("number")
    for statement in numbers:
        address = reverse("portal:ask", args=[statement.number, 1])
        assert client.post(address, {"reason": "usage", "text": "Is this ours?"}).status_code == 302
    first = Question.objects.earliest("pk")
    Question.objects.filter(pk=first.pk).update(state=Question.State.REPLIED)
    client.force_login(two_months.delegate)
    response = client.get(reverse("portal:home"))
    assert [each.pk for each in response.context["questions"]] == [first.pk, Question.objects.latest("pk").pk]
    page = " ".join(response.content.decode().split())
    assert "Your answer is asked for" in page
    assert reverse("portal:question", args=[first.pk]) in page
    # Another PI reads nothing of it.
    assert "Open questions" not in home(client, two_months.stranger)[1]


def test_a_delegate_of_ten_pis_sees_all_of_them_in_as_many_queries_as_of_one(client, cast):
    counts = []
    for number in range(10):
        pi = build.a_pi(f"pi{number}@u.edu", name=f"PI {number}")
        Membership.objects.create(person=pi, user=cast.delegate, valid_from=datetime.date(2024, 1, 1))
        for month, amount in (("2025-01", "10.00"), ("2025-02", "12.50")):
            build.a_charge(amount, pi=pi.email, project=f"project-{number}", period=month)
        if number in (0, 9):
            issue("2025-01", "2025-02")
            client.force_login(cast.delegate)
            with CaptureQueriesContext(connection) as captured:
                shown, page = home(client, cast.delegate)
            counts.append(len(captured))
    assert shown.counts == {"statements": 10, "pis": 10, "projects": 10}
    assert (shown.due[0].charged, shown.due[0].change) == (125, 25)
    assert "<bdi>PI 7</bdi>" in page
    assert counts[0] == counts[1]


def test_names_turn_nothing_beside_them_and_are_escaped(client, two_months):
    Person.objects.filter(email="ada@u.edu").update(name="<i>נועה</i>")
    Project.objects.filter(code="genomics").update(name="<b>g</b>")
    Membership.objects.create(
        person=Person.objects.get(email="mallory@u.edu"), user=two_months.delegate, valid_from=datetime.date(2024, 1, 1)
    )
    page = home(client, two_months.delegate)[1]
    assert "<bdi>&lt;i&gt;נועה&lt;/i&gt;</bdi>" in page
    assert "<bdi>&lt;b&gt;g&lt;/b&gt;</bdi>" in page
    assert " style=" not in page
    assert Statement.objects.live().count() == 5

"""The portal's trends: statements of many months side by side, to the cent, and of the reader alone."""

import csv
import datetime
import io
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.models import Membership, Project
from statements import issuing
from statements.models import Statement
from tests import build
from tests.build import NOW, SOMEBODY

pytestmark = pytest.mark.django_db

MONTHS = ("2024-11", "2024-12", "2025-01")
PRICES = {"list_cost": Decimal(100), "contracted_cost": Decimal(80)}


@pytest.fixture
def year(cast):
    """Ada's genomics grows from month to month, her proteins are there once; Mallory has her own."""
    for number, month in enumerate(MONTHS, 1):
        build.a_charge(f"{number}0.00", period=month, **PRICES)
        build.a_charge("500.00", pi="mallory@u.edu", project="mischief", period=month)
    build.a_charge("7.00", project="proteins", service_name="Tape", fund_org="BIO-2", period="2024-12")
    for month in MONTHS:
        issuing.generate(period=build.a_period(month), actor=SOMEBODY, now=NOW)
    return cast


def asked(client, **query):
    response = client.get(reverse("portal:trends"), query)
    assert response.status_code == 200
    return response.context["asked"], response.content.decode()


def test_months_stand_side_by_side_and_add_up_to_the_statements(client, year):
    client.force_login(year.pi)
    for by, expected in (
        ("project", {"genomics": (10, 20, 30), "proteins": (0, 7, 0)}),
        ("service", {"Compute": (10, 20, 30), "Tape": (0, 7, 0)}),
        ("fund", {"BIO-001": (10, 20, 30), "BIO-2": (0, 7, 0)}),
    ):
        shown, page = asked(client, by=by)
        assert {each.label: each.amounts for each in shown.trend.series} == expected
        hers = Statement.objects.live().filter(pi__email="ada@u.edu")
        assert shown.trend.total == sum(each.charged for each in hers) == 67
        assert "500.00" not in page
        assert "<svg" in page
    shown, _ = asked(client, show="subsidy")
    assert shown.trend.totals == (70, 60, 50)
    shown, _ = asked(client, show="listed", months="36")
    assert shown.trend.total == 307
    assert [each.label for each in shown.choices["months"]] == ["12 months", "24 months", "36 months"]
    assert [each.label for each in shown.choices["by"]] == ["Project", "Service", "Fund/org"]


def test_an_unknown_choice_is_as_if_it_were_not_made(client, year):
    client.force_login(year.pi)
    shown, _ = asked(client, by="pi", show="x", months="7", currency="EUR")
    assert (shown.by, shown.asked.measure, shown.asked.number, shown.trend.currency) == (
        "project",
        "charged",
        12,
        "USD",
    )


def test_a_delegate_of_one_project_sees_its_months_alone(client, year):
    Membership.objects.update(project=Project.objects.get(code="proteins"))
    client.force_login(year.delegate)
    shown, page = asked(client)
    assert {each.label: each.total for each in shown.trend.series} == {"proteins": 7}
    assert "genomics" not in page


def test_a_delegate_of_several_pis_sees_them_by_pi_in_as_many_queries(client, year):
    client.force_login(year.delegate)
    url = reverse("portal:trends")
    with CaptureQueriesContext(connection) as few:
        client.get(url)
    Membership.objects.create(
        person=build.a_pi("mallory@u.edu"), user=year.delegate, valid_from=datetime.date(2024, 1, 1)
    )
    with CaptureQueriesContext(connection) as many:
        client.get(url)
    assert len(few) == len(many)
    shown, _ = asked(client, by="pi")
    assert {each.label: each.total for each in shown.trend.series} == {"Mallory": 1500, "Ada Lovelace": 67}


def test_the_same_is_there_as_a_file(client, year):
    Project.objects.filter(code="proteins").update(name="=cmd|calc")
    client.force_login(year.pi)
    answer = client.get(reverse("portal:trends"), {"csv": "on"})
    assert answer["Content-Disposition"].endswith('filename="charged-by-project-2024-11-to-2025-01.csv"')
    assert answer["Cache-Control"] == "private, no-store"
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert rows == [
        ["Project", "2024-11", "2024-12", "2025-01", "Total", "Currency"],
        ["genomics", "10.00", "20.00", "30.00", "60.00", "USD"],
        ["'=cmd|calc (proteins)", "0.00", "7.00", "0.00", "7.00", "USD"],
        ["Total", "10.00", "27.00", "30.00", "67.00", "USD"],
    ]


def test_who_has_no_statement_reads_so(client, cast):
    client.force_login(cast.stranger)
    assert "There is no statement for you yet." in client.get(reverse("portal:trends")).content.decode()

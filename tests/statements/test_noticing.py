"""Notices on a statement: what ends soon, and what staff want every reader to know."""

import datetime

import pytest
from django.urls import reverse

from billing.models import FundException, Policy, Project
from statements import issuing
from statements.models import Statement
from tests import build
from tests.build import NOW, SOMEBODY

TODAY = NOW.date()


def in_days(days):
    return TODAY + datetime.timedelta(days=days)


def issued(month="2025-01"):
    issuing.generate(period=build.a_period(month), actor=SOMEBODY, now=NOW)
    return Statement.objects.get(period__month=f"{month}-01", state="issued")


def told(statement):
    return [(each.text, each.is_urgent) for each in issuing.document_of(statement).notices]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("days", "says", "is_urgent"),
    [
        (90, "in 90 days", False),
        (60, "in 60 days", False),
        (30, "in 30 days", True),
        (1, "tomorrow", True),
        (0, "today", True),
    ],
)
def test_a_project_that_ends_soon_is_told(days, says, is_urgent):
    build.a_charge()
    Project.objects.update(end_date=in_days(days))
    ((text, urgent),) = told(issued())
    assert text.startswith(f"This project ends {says}, on ")
    assert urgent == is_urgent


@pytest.mark.django_db
@pytest.mark.parametrize("days", [91, -1, 4_000])
def test_an_end_that_is_far_or_past_is_not_told(days):
    build.a_charge()
    Project.objects.update(end_date=in_days(days), reconciliation_end_date=in_days(days))
    build.a_fund(valid_until=in_days(days))
    assert told(issued()) == []


@pytest.mark.django_db
def test_the_nearest_end_comes_first_then_what_staff_wrote():
    build.a_policy(statement_notices="Rates change on July 1.\n\nAsk us.")
    build.a_charge()
    Project.objects.update(end_date=in_days(80), reconciliation_end_date=in_days(50))
    build.a_fund(valid_until=in_days(20))
    build.a_fund("CHEM-2", valid_until=in_days(10))
    found = told(issued())
    assert [text.split(" ends ")[0] for text, _ in found] == [
        # CHEM-2 pays nothing here.
        "Fund/org BIO-001",
        "The reconciliation of this project",
        "This project",
        "Rates change on July 1.",
        "Ask us.",
    ]
    assert [urgent for _, urgent in found] == [True, False, False, None, None]


@pytest.mark.django_db
def test_an_extension_of_a_fund_moves_its_end():
    build.a_charge()
    fund = build.a_fund(valid_until=in_days(20))
    FundException.objects.create(
        fund=fund, valid_until=in_days(85), reason="NCE", recorded_at=NOW, recorded_by_name="Fin"
    )
    ((text, _),) = told(issued())
    assert "ends in 85 days" in text


@pytest.mark.django_db
def test_notices_are_frozen_and_make_no_revision(client, cast):
    build.a_policy(statement_notices="Before.")
    build.a_charge()
    statement = issued()
    drawn = issuing.pdf_of(statement)
    build.a_policy(statement_notices="After.")
    assert issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW).issued == 0
    assert told(statement) == [("Before.", None)]
    assert issuing.pdf_of(statement) == drawn
    # Its page, for the PI and for staff, says the same as the paper.
    client.force_login(cast.pi)
    assert "Before." in client.get(reverse("portal:statement", args=[statement.number])).content.decode()
    client.force_login(cast.viewer)
    page = client.get(reverse("admin:statements_statement_change", args=[statement.pk])).content.decode()
    assert "Before." in page
    assert "After." not in page


@pytest.mark.django_db
def test_notices_that_leave_no_room_are_refused():
    for text in ("One\n" * 5, "x" * 301):
        with pytest.raises(Exception, match="4 at most"):
            Policy(statement_notices=text).full_clean()
    Policy(statement_notices="One\n\n" * 4).full_clean()

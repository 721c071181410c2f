"""How long funds last, as PIs read it: by their own statements, without a word of what others charge."""

import datetime
from decimal import Decimal

import pytest
from django.urls import reverse

from billing.models import AuditEvent, FundException, FundingSource, Membership, Person, Project
from billing.models.scopes import scope_of
from statements import issuing, overview
from statements.models import Statement
from tests import build
from tests.build import NOW, SOMEBODY

pytestmark = pytest.mark.django_db

TODAY = datetime.date(2025, 2, 20)
MONTHS = ("2024-11", "2024-12", "2025-01")


def issue(*months):
    for month in months:
        issuing.generate(period=build.a_period(month), actor=SOMEBODY, now=NOW)


def charge(amount, month="2025-01", **fields):
    return build.a_charge(amount, period=month, **fields)


def funds_of(user, today=TODAY):
    rows = scope_of(user, on=today).rows()
    return {each.fund_org: each for each in overview.funds(Statement.objects.live().filter(rows), today=today)}


@pytest.fixture
def three_months(cast):
    """Ada's award pays 100, 200 and 300 a month, and ends in May; it has 1,500 to spend."""
    for number, month in enumerate(MONTHS, 1):
        charge(f"{number}00.00", month, fund_org="AWARD", project="genomics")
    build.a_fund("AWARD", name="Ocean award", budget=Decimal(1500), valid_until=datetime.date(2025, 5, 5))
    issue(*MONTHS)
    return cast


def test_what_is_left_lasts_as_long_as_the_last_three_months_say(three_months):
    fund = funds_of(three_months.pi)["AWARD"]
    assert (fund.spent, fund.rate, fund.left, fund.months_left) == (600, 200, 900, Decimal("4.5"))
    # After January: February to May, and half of June.
    assert fund.runs_out == datetime.date(2025, 6, 1)
    # Four months are left to May: 800 more.
    assert (fund.days_left, fund.unspent) == (74, 100)
    assert fund.is_urgent
    assert fund.outlived_by == ("genomics",)


def test_money_that_ends_before_the_fund_is_said(three_months):
    FundingSource.objects.update(budget=Decimal(1000), valid_until=datetime.date(2026, 6, 30))
    Project.objects.update(end_date=datetime.date(2026, 6, 30))
    fund = funds_of(three_months.pi)["AWARD"]
    assert (fund.months_left, fund.runs_out, fund.unspent) == (2, datetime.date(2025, 3, 1), None)
    assert fund.is_urgent
    assert fund.outlived_by == ()


def test_a_fund_of_an_exception_ends_later(three_months):
    FundException.objects.create(
        fund=FundingSource.objects.get(),
        valid_until=datetime.date(2026, 5, 5),
        reason="Extended",
        recorded_at=NOW,
        recorded_by_name="fay",
    )
    assert funds_of(three_months.pi)["AWARD"].ends == datetime.date(2026, 5, 5)


def test_a_young_fund_is_measured_by_its_own_months(cast):
    charge("90.00", "2024-10", fund_org="OLD")
    charge("90.00", "2024-12", fund_org="NEW")
    charge("30.00", "2025-01", fund_org="NEW")
    build.a_fund("NEW", budget=Decimal(1000), valid_from=datetime.date(2025, 1, 1))
    build.a_fund("OLD", valid_until=datetime.date(2027, 1, 1))
    build.a_fund("PLAIN")
    charge("5.00", fund_org="PLAIN")
    issue("2024-10", "2024-12", "2025-01")
    funds = funds_of(cast.pi)
    assert (funds["NEW"].months, funds["NEW"].rate, funds["NEW"].spent) == (2, 60, 30)
    assert (funds["OLD"].rate, funds["OLD"].months_left, funds["OLD"].is_urgent) == (0, None, False)
    assert set(funds) == {"NEW", "OLD"}


def test_more_than_the_budget_and_more_than_anybody_foresees(cast):
    charge("100.00", fund_org="OVER")
    charge("0.01", fund_org="ENDOWED")
    build.a_fund("OVER", budget=Decimal(80))
    build.a_fund("ENDOWED", budget=Decimal("999999999.99"))
    issue("2025-01")
    funds = funds_of(cast.pi)
    assert (funds["OVER"].left, funds["OVER"].months_left, funds["OVER"].is_urgent) == (-20, 0, True)
    assert (funds["ENDOWED"].is_long, funds["ENDOWED"].runs_out, funds["ENDOWED"].is_urgent) == (True, None, False)


def test_nobody_reads_what_others_charge_to_the_same_fund(client, three_months):
    charge("777.00", pi="mallory@u.edu", project="mischief", fund_org="AWARD")
    issue("2025-01")
    fund = funds_of(three_months.pi)["AWARD"]
    assert (fund.is_shared, fund.left, fund.months_left, fund.spent) == (True, None, None, 600)
    client.force_login(three_months.pi)
    page = client.get(reverse("portal:funds")).content.decode()
    assert "Others charge to it too" in page
    for figure in ("777", "1,377", "123.00"):
        assert figure not in page
    # Who sees both reads what is left.
    Membership.objects.create(
        person=Person.objects.get(email="mallory@u.edu"),
        user=three_months.delegate,
        valid_from=datetime.date(2024, 1, 1),
    )
    fund = funds_of(three_months.delegate)["AWARD"]
    assert (fund.is_shared, fund.left) == (False, 123)


def test_a_delegate_of_a_project_reads_what_that_project_charges(three_months):
    charge("50.00", fund_org="AWARD", project="proteins")
    issue("2025-01")
    Membership.objects.update(project=Project.objects.get(code="proteins"))
    fund = funds_of(three_months.delegate)["AWARD"]
    assert (fund.spent, fund.left) == (50, None)
    assert funds_of(three_months.stranger) == {}


def test_the_pages_say_it(client, three_months):
    client.force_login(three_months.pi)
    for name in ("portal:funds", "portal:home"):
        page = " ".join(client.get(reverse(name)).content.decode().split())
        assert "<bdi>Ocean award</bdi>" in page
        assert '<span class="figure-text">4.5</span> months left' in page
        assert "1 project goes on after it: <bdi>genomics</bdi>." in page
        assert "Ended on May 5, 2025." in page
    client.force_login(three_months.stranger)
    assert "None of the fund/orgs" in client.get(reverse("portal:funds")).content.decode()


def test_a_budget_is_entered_by_finance_and_audited(client, cast):
    fund = build.a_fund("AWARD")
    address = reverse("admin:billing_fundingsource_change", args=[fund.pk])
    client.force_login(cast.finance)
    assert client.post(address, {"fund_org": "AWARD", "budget": "-1"}).status_code == 200
    assert client.post(address, {"fund_org": "AWARD", "budget": "1500.50"}).status_code == 302
    fund.refresh_from_db()
    assert fund.budget == Decimal("1500.5")
    event = AuditEvent.objects.get(action="funding_source.changed")
    assert (event.actor, event.before, event.after) == (cast.finance, {"budget": None}, {"budget": "1500.50"})
    assert 'value="1500.50"' in client.get(address).content.decode()

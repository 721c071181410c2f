"""Days of service are those of the clocks that a provider's months begin by."""

import datetime
from decimal import Decimal

import pytest
from django.core.management import call_command

from billing import clocks, corrections, review
from billing.models import Charge, Flag, FundingSource, Import, PayerLine
from journals import drafting
from statements import issuing
from tests import build
from tests.billing.deliveries import a_row, delivered

pytestmark = pytest.mark.django_db

DONE = {"actor": build.SOMEBODY, "now": build.NOW}
MARCH = {"BillingPeriodStart": "2025-03-01T08:00:00Z", "BillingPeriodEnd": "2025-04-01T07:00:00Z"}
LAST_EVENING = {"ChargePeriodStart": "2025-04-01T05:00:00Z", "ChargePeriodEnd": "2025-04-01T06:00:00Z"}
FIRST_HOUR = {"ChargePeriodStart": "2025-03-01T08:00:00Z", "ChargePeriodEnd": "2025-03-01T09:00:00Z"}
FUND = {"pi_email": "ada@u.edu", "project_id": "genomics", "fund_org": "BIO-001"}
SPLIT = {"pi_email": "ada@u.edu", "project_id": "shared"}


def day(month, number):
    return datetime.date(2025, month, number)


@pytest.fixture
def march_and_april():
    """A fund that ends with March, and a project whose payers change with April."""
    build.a_fund("BIO-001", valid_from=day(3, 1), valid_until=day(3, 31))
    for fund in ("A", "B", "C"):
        build.a_fund(fund)
    project = build.a_project("shared")
    build.a_split({"A": "60", "B": "40"}, project=project, valid_from=day(3, 1), valid_until=day(3, 31))
    build.a_split({"C": "100"}, project=project, valid_from=day(4, 1))


def of_gcp(tmp_path, rows, **source):
    return delivered(tmp_path, rows, "gcp_2025-03.csv", build.a_source("gcp", **source))


@pytest.mark.parametrize("grain", ["line", "day", "month"])
def test_the_last_evening_of_a_pacific_month_is_of_its_last_day(tmp_path, march_and_april, grain):
    rows = [
        a_row("12.50", tags=tags, ResourceId=name, **MARCH, **when)
        for tags in (FUND, SPLIT)
        for name, when in (("last", LAST_EVENING), ("first", FIRST_HOUR))
    ]
    result = of_gcp(tmp_path, rows, grain=grain)
    assert result.imported.billing_zone == "America/Los_Angeles"
    assert not Flag.objects.filter(code="fund_not_valid").exists()
    assert not Charge.objects.held().exists()
    issuing.generate(period=build.a_period("2025-03"), **DONE)
    paid = {line.fund_org: line.charged for line in PayerLine.objects.all()}
    assert paid == {"BIO-001": Decimal(25), "A": Decimal(15), "B": Decimal(10)}


def test_a_month_that_begins_at_midnight_utc_goes_by_utc(tmp_path, march_and_april):
    utc = {"BillingPeriodStart": "2025-03-01T00:00:00Z", "BillingPeriodEnd": "2025-04-01T00:00:00Z"}
    result = of_gcp(tmp_path, [a_row("12.50", tags=FUND, **utc, **LAST_EVENING)])
    assert result.imported.billing_zone == ""
    assert Flag.objects.get().code == "fund_not_valid"


@pytest.mark.parametrize("grain", ["line", "day", "month"])
@pytest.mark.parametrize("start", ["2025-03-01T07:00:00Z", "2025-07-01T08:00:00Z"])
def test_a_month_that_begins_at_midnight_in_denver_or_anchorage_is_not_pacific(tmp_path, grain, start):
    times = {"BillingPeriodStart": start, "BillingPeriodEnd": "", "ChargePeriodStart": start, "ChargePeriodEnd": ""}
    result = delivered(tmp_path, [a_row("12.50", **times)], "gcp.csv", build.a_source("gcp", grain=grain))
    assert result.imported.billing_zone == ""
    assert "pacific" not in result.rules


def test_every_later_look_at_a_charge_goes_by_the_same_days(tmp_path, march_and_april):
    of_gcp(tmp_path, [a_row("12.50", tags=FUND, ResourceId="last", **MARCH, **LAST_EVENING)])
    charge = Charge.objects.get()
    march = charge.charged_in
    assert clocks.Clocks().days_of(charge) == (day(3, 31), day(3, 31))
    # A correction of who pays, and the rules gone through once more.
    review.reattribute(charges=[charge.pk], reassignment=review.Reassignment(project="shared"), **DONE)
    charge.refresh_from_db()
    assert {share.fund_org for share in charge.payer_split.shares.all()} == {"A", "B"}
    review.reattribute(charges=[charge.pk], reassignment=review.Reassignment(fund_org="BIO-001"), **DONE)
    assert not Flag.objects.filter(is_resolved=False).exists()
    call_command("attribute", "-p", "2025-03", verbosity=0)
    assert not Flag.objects.filter(is_resolved=False).exists()
    # A list of funds that is loaded anew.
    FundingSource.objects.filter(fund_org="BIO-001").update(valid_until=day(3, 30))
    issuing.generate(period=march, **DONE)
    [line] = PayerLine.objects.all()
    assert corrections.service_days(line) == (day(3, 31), day(3, 31))
    # The ledger takes it on the month's last day.
    drafting.require_posting_date(march, day(3, 31), build.NOW.replace(year=2026))


def test_charges_from_before_go_by_utc(tmp_path, march_and_april):
    of_gcp(tmp_path, [a_row("12.50", tags=SPLIT, ResourceId="last", **MARCH, **LAST_EVENING)])
    Import.objects.update(billing_zone="")
    assert clocks.Clocks().days_of(Charge.objects.get()) == (day(4, 1), day(4, 1))
    assert not Charge.objects.filter(clocks.Clocks().begins(last=day(3, 31))).exists()
    assert Charge.objects.filter(clocks.Clocks().begins(first=day(4, 1))).exists()

"""A reopened month: what other months bear of it already stays there, and is not charged a second time."""

from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import charging, corrections, proof, review
from billing.errors import BillingError
from billing.fields import AmountSum
from billing.importing import booking, withdrawing
from billing.models import BillingPeriod, Charge, PayerLine
from billing.months import closing, elsewhere
from billing.review.reassignment import Reassignment
from tests import build
from tests.billing.deliveries import a_row, delivered

pytestmark = pytest.mark.django_db

BY: dict[str, Any] = {"actor": build.SOMEBODY, "now": build.NOW}


def january(folder, costs, **options):
    """Import January as a whole: a row for each resource with a cost, which is 100.00 beside one of all others."""
    rows = [a_row("100", ResourceId="i-0"), *(a_row(cost, ResourceId=name) for name, cost in costs.items())]
    return delivered(folder, rows, "aws_2025-01.csv", replace=True, **options)


def borne():
    """Return what each month charges of each resource of January, in units of its currency; nothing for 0."""
    found: dict[str, dict[str, Decimal]] = defaultdict(dict)
    rows = Charge.objects.live().filter(period=BillingPeriod.objects.named("2025-01")).order_by()
    for month, name, cost in rows.values_list("charged_in__month", "resource__resource_id").annotate(
        cost=AmountSum("billed_cost")
    ):
        if cost and name != "i-0":
            found[f"{month:%Y-%m}"][name] = cost
    return dict(found)


def booked_and_reopened(folder, before, after):
    """Import January and close it, book what changes in February, and reopen January."""
    january(folder, before)
    closing.close(period=BillingPeriod.objects.named("2025-01"), **BY)
    february = build.a_period("2025-02")
    if waiting := january(folder, after).deferred:
        booking.book(imported=waiting, into=february, missing="replace", **BY)
    closing.reopen(period=BillingPeriod.objects.named("2025-01"), reason="A file was missing", **BY)


def proves():
    """Tell whether what was delivered to both months is what became of it."""
    return not any(
        equation.difference or equation.left_count != equation.right_count
        for month in ("2025-01", "2025-02")
        for equation in proof.prove(BillingPeriod.objects.named(month)).equations
        if equation.code == "delivered"
    )


def test_a_change_of_what_was_booked_elsewhere_is_charged_there(tmp_path):
    booked_and_reopened(tmp_path, {"i-1": "1000"}, {"i-1": "800"})
    assert borne() == {"2025-01": {"i-1": 1000}, "2025-02": {"i-1": -200}}
    january(tmp_path, {"i-1": "850"})
    assert borne() == {"2025-01": {"i-1": 1000}, "2025-02": {"i-1": -150}}
    assert proves()


def test_what_was_taken_back_elsewhere_comes_back_there(tmp_path):
    booked_and_reopened(tmp_path, {"i-1": "1000"}, {})
    assert borne() == {"2025-01": {"i-1": 1000}, "2025-02": {"i-1": -1000}}
    january(tmp_path, {"i-1": "900"})
    assert borne() == {"2025-01": {"i-1": 1000}, "2025-02": {"i-1": -100}}
    assert proves()


@pytest.mark.parametrize(
    ("booked", "again", "told"),
    [
        ({"i-1": "800"}, {"i-1": "850"}, "50.00"),
        ({}, {"i-1": "900"}, "900.00"),
        ({"i-1": "800", "i-2": "70"}, {}, "-870.00"),
        ({"i-1": "800"}, {"i-1": "800", "i-2": "7"}, None),
    ],
)
def test_a_dry_run_says_what_goes_to_the_month_that_has_it(tmp_path, booked, again, told):
    booked_and_reopened(tmp_path, {"i-1": "1000"}, booked)
    before = borne()
    tried = january(tmp_path, again, dry_run=True)
    assert borne() == before
    says = f"Of January 2025, {'+' * (told is not None and told[0] != '-')}{told} USD goes to February 2025"
    assert (says in tried.as_text()) is (told is not None)
    done = january(tmp_path, again)
    assert done.difference == tried.difference
    assert (says in done.as_text()) is (told is not None)
    there = sum(borne().get("2025-02", {}).values()) - sum(before.get("2025-02", {}).values())
    assert there == Decimal(told or 0)


def test_what_goes_to_another_month_is_on_the_page_of_the_import(tmp_path, client, cast):
    booked_and_reopened(tmp_path, {"i-1": "1000"}, {"i-1": "800"})
    done = january(tmp_path, {"i-1": "850"})
    client.force_login(cast.reviewer)
    page = client.get(reverse("admin:billing_import_change", args=[done.imported.pk])).content.decode()
    assert "50.00 USD</span> goes to February 2025, where it was booked or carried." in page


def test_a_month_that_has_some_of_it_and_is_closed_is_named_also_by_a_dry_run(tmp_path):
    booked_and_reopened(tmp_path, {"i-1": "1000"}, {"i-1": "800"})
    closing.close(period=BillingPeriod.objects.named("2025-02"), **BY)
    before = borne()
    for dry_run in (True, False):
        with pytest.raises(
            BillingError, match="February 2025 is closed, and some of what changes in January 2025 was booked there"
        ):
            january(tmp_path, {"i-1": "850"}, dry_run=dry_run)
        assert borne() == before
    # What is new in January alone is no matter of February's.
    january(tmp_path, {"i-1": "800", "i-2": "7"})
    # The other way out that it names: it is booked in an open month.
    closing.close(period=BillingPeriod.objects.named("2025-01"), **BY)
    waiting = january(tmp_path, {"i-1": "850", "i-2": "7"}).deferred
    booking.book(imported=waiting, into=build.a_period("2025-03"), **BY)
    assert sum(each.get("i-1", 0) for each in borne().values()) == 850


def test_what_was_booked_elsewhere_and_is_gone_leaves_there(tmp_path):
    booked_and_reopened(tmp_path, {"i-1": "1000"}, {"i-1": "800", "i-2": "70"})
    january(tmp_path, {})
    assert borne() == {"2025-01": {"i-1": 1000}, "2025-02": {"i-1": -1000}}
    assert proves()


def test_a_change_there_goes_to_whom_the_late_change_went(tmp_path):
    january(tmp_path, {"i-1": "1000"})
    to = Reassignment(fund_org="GIFT-2")
    review.reattribute(charges=Charge.objects.all(), reassignment=to, create=True, note="Theirs", **BY)
    closing.close(period=BillingPeriod.objects.named("2025-01"), **BY)
    waiting = january(tmp_path, {"i-1": "800"}).deferred
    booking.book(imported=waiting, into=build.a_period("2025-02"), **BY)
    closing.reopen(period=BillingPeriod.objects.named("2025-01"), reason="More", **BY)
    january(tmp_path, {"i-1": "850"})
    (late,) = Charge.objects.standing().filter(charged_in__month="2025-02-01")
    assert (late.fund_org, late.attributed_by, late.is_late) == ("GIFT-2", "charged", True)


def test_withdrawing_the_import_leads_back_to_what_was_there(tmp_path):
    booked_and_reopened(tmp_path, {"i-1": "1000", "i-2": "5"}, {"i-1": "800"})
    before = borne()
    result = january(tmp_path, {"i-1": "850", "i-2": "5", "i-3": "1"})
    assert borne() == {"2025-01": {"i-1": 1000, "i-2": 5, "i-3": 1}, "2025-02": {"i-1": -150}}
    withdrawing.withdraw(imported=result.imported, **BY)
    assert borne() == before


def test_what_a_late_change_took_back_elsewhere_is_decided_there(tmp_path):
    booked_and_reopened(tmp_path, {"i-1": "1000"}, {"i-1": "800"})
    charge = Charge.objects.get(resource__resource_id="i-1", charged_in__month="2025-01-01")
    done = review.reject(charges=[charge.pk], note="Not ours", reason="not_ours", **BY)
    assert done.count == 0
    assert "a late change reversed it in February 2025" in str(done)
    charge.refresh_from_db()
    assert charge.state == "clear"


def test_reopening_shows_what_other_months_charge_of_it_by_pi_and_fund(tmp_path, client, cast):
    january(tmp_path, {"i-1": "1000"})
    build.a_charge("15.00", resource_id="i-9", flags=("pattern_match",), pi="grace@u.edu")
    period = BillingPeriod.objects.named("2025-01")
    build.a_period("2025-02")
    closing.close(period=period, carry_held=True, **BY)
    waiting = january(tmp_path, {"i-1": "800"}).deferred
    # The charge that was made beside the file is not in it.
    booking.book(imported=waiting, into=build.a_period("2025-02"), missing="keep", **BY)
    told = [
        (each.pi, each.fund_org, each.period.iso_month, each.what, each.amount)
        for each in elsewhere.booked_elsewhere(period)
    ]
    assert sorted(told) == [
        ("Ada Lovelace", "BIO-001", "2025-02", "Late change", -200),
        ("grace@u.edu", "BIO-001", "2025-02", "Held for review", 15),
    ]
    client.force_login(cast.finance)
    asked = client.get(reverse("admin:billing_billingperiod_reopen", args=[period.pk])).content.decode()
    assert "Charged in other months already" in asked
    assert "Reopening does not charge it again" in asked
    client.post(reverse("admin:billing_billingperiod_reopen", args=[period.pk]), {"reason": "More", "to": "open"})
    shown = client.get(reverse("admin:billing_billingperiod_change", args=[period.pk])).content.decode()
    assert "This month does not charge it again" in shown
    assert "-200.00" in shown


def test_corrections_that_another_month_charges_are_shown(tmp_path, capsys):
    january(tmp_path, {"i-1": "1000"})
    period = BillingPeriod.objects.named("2025-01")
    charging.make_payer_lines(period=period, **BY)
    closing.close(period=period, **BY)
    build.a_period("2025-02")
    corrections.add_refund(
        lines=list(PayerLine.objects.filter(period=period)), amount=Decimal("80.00"), reason="Outage", **BY
    )
    call_command("periods", "reopen", "2025-01", "--reason", "More")
    assert "BIO-001: -80.00 USD in February 2025 (correction)" in capsys.readouterr().out


COSTS = st.dictionaries(st.sampled_from(["i-1", "i-2", "i-3"]), st.sampled_from(["10", "20", "-5"]), max_size=3)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=COSTS, after=COSTS, again=COSTS)
def test_no_cost_is_charged_twice_by_two_months_that_both_take_changes(db, tmp_path_factory, before, after, again):
    with transaction.atomic():
        folder = tmp_path_factory.mktemp("reopened")
        booked_and_reopened(folder, before, after)
        elsewhere = {name for name in {*before, *after} if before.get(name) != after.get(name)}
        was = sum(borne().get("2025-02", {}).values())
        told = january(folder, again, dry_run=True).difference["2025-01"].get("USD", {}).get("elsewhere", {})
        january(folder, again)
        of_january, of_february = (borne().get(month, {}) for month in ("2025-01", "2025-02"))
        for name in {*before, *after, *again}:
            own, there = of_january.get(name, Decimal(0)), of_february.get(name, Decimal(0))
            # Together they are what the newest file says.
            assert own + there == Decimal(again.get(name, "0"))
            # A cost that February bears a change of is January's as it was: all that changes since is February's.
            if name in elsewhere:
                assert own == Decimal(before.get(name, "0"))
            else:
                assert there == 0
        assert Decimal(told.get("2025-02", 0)) == sum(of_february.values()) - was
        assert proves()
        transaction.set_rollback(True)

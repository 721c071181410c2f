"""Late changes of what nobody was charged yet: held charges that were carried over from a closed month."""

from decimal import Decimal

import pytest

from billing import money, proof, review
from billing.importing import booking, late, withdrawing
from billing.models import BillingPeriod, Charge, Flag
from billing.months import closing
from tests import build
from tests.billing.deliveries import NO_TAGS, a_row, delivered

pytestmark = pytest.mark.django_db

BY = {"actor": build.SOMEBODY, "now": build.NOW}

CLEAR = a_row("100", ResourceId="clear")


def held(billed="50", name="one", **columns):
    return a_row(billed, tags=NO_TAGS, ResourceId=name, **columns)


def month(name):
    return BillingPeriod.objects.named(name)


@pytest.fixture
def january(tmp_path):
    """Deliver rows of January, beside the one that is clear."""

    def deliver(*rows):
        return delivered(tmp_path, [CLEAR, *rows], "aws_2025-01.csv")

    return deliver


def close(name="2025-01"):
    closing.close(period=month(name), carry_held=True, **BY)


def book(result, into="2025-02"):
    assert result.state == "deferred"
    return booking.book(imported=result.deferred, into=build.a_period(into), **BY)


def live(name="2025-02"):
    """Return state and amount of what a month bears."""
    charges = Charge.objects.in_month(month(name)).order_by("pk")
    return [(charge.state, money.plain(charge.billed_cost)) for charge in charges]


def broken(*names):
    """Return what keeps the proofs of months from coming out."""
    return [problem for name in names for problem in proof.prove(month(name)).problems()]


def test_a_carried_charge_that_is_removed_is_owed_by_nobody(january):
    january(held())
    close()
    assert live() == [("held", "50.00")]
    booked = book(january())
    assert (booked.charged, booked.taken_back, booked.withdrawn, booked.held) == (0, 0, 1, 0)
    assert "Withdrawn from the review, never charged: 1." in booked.as_text()
    assert live() == []
    assert broken("2025-01", "2025-02") == []
    assert january().state == "applied"


def test_the_month_it_was_carried_to_is_finalized(january):
    january(held())
    close()
    book(january())
    close("2025-02")
    finalized = closing.finalize(period=month("2025-02"), **BY)
    assert finalized.status == "finalized"


def test_withdrawing_the_booking_brings_it_back_to_the_review(january):
    january(held())
    close()
    result = january()
    book(result)
    withdrawn = withdrawing.withdraw(imported=result.deferred, **BY)
    assert (withdrawn.withdrawn, withdrawn.revived) == (0, 1)
    assert live() == [("held", "50.00")]
    assert broken("2025-01", "2025-02") == []


def test_a_new_amount_waits_where_the_old_one_was_carried_to(january):
    january(held())
    close()
    booked = book(january(held("60")))
    assert (booked.charged, booked.taken_back, booked.withdrawn, booked.held) == (1, 0, 1, 1)
    assert live() == [("held", "60.00")]
    assert broken("2025-01", "2025-02") == []


def test_what_was_carried_twice_is_withdrawn_where_it_is_now(january):
    january(held())
    close()
    close("2025-02")
    assert live("2025-03") == [("held", "50.00")]
    result = january()
    # February is closed and bears nothing of it any more.
    with pytest.raises(late.NotBookable, match="1 in March 2025"):
        book(result, "2025-04")
    book(result, "2025-03")
    assert live("2025-03") == []
    assert broken("2025-01", "2025-02", "2025-03") == []


def test_of_several_only_those_that_are_removed_leave(january):
    january(held("50"), held("20", "two"), held("7", "three"))
    close()
    booked = book(january(held("50"), held("21", "two")))
    assert (booked.charged, booked.withdrawn, booked.held) == (1, 2, 1)
    assert sorted(live()) == [("held", "21.00"), ("held", "50.00")]
    assert broken("2025-01", "2025-02") == []


def test_what_comes_back_waits_again_once(january):
    january(held())
    close()
    book(january())
    booked = book(january(held("55")))
    assert (booked.charged, booked.withdrawn, booked.held) == (1, 0, 1)
    assert live() == [("held", "55.00")]
    book(january())
    assert live() == []
    assert broken("2025-01", "2025-02") == []


@pytest.mark.parametrize("decision", ["reject", "charge_to_center"])
def test_what_was_decided_where_it_was_carried_to_is_taken_back_as_it_was_decided(january, decision):
    build.a_policy(center_fund_org="CENTER-1")
    january(held())
    close()
    if decision == "reject":
        review.reject(provider_credits=True, charges=Charge.objects.held(), reason="provider_error", **BY)
    else:
        review.charge_to_center(charges=Charge.objects.held(), **BY)
    booked = book(january())
    assert (booked.taken_back, booked.withdrawn) == (1, 0)
    state = "rejected" if decision == "reject" else "charged_to_center"
    assert live() == [(state, "50.00"), (state, "-50.00")]
    assert broken("2025-01", "2025-02") == []


def test_what_was_approved_in_a_month_that_is_closed_since_is_taken_back_in_an_open_one(january):
    january(held())
    close()
    fix = review.Reassignment(pi="ada@u.edu", fund_org="BIO-001")
    review.reattribute(charges=Charge.objects.held(), reassignment=fix, approve=True, create=True, **BY)
    close("2025-02")
    booked = book(january(), "2025-03")
    assert (booked.taken_back, booked.withdrawn) == (1, 0)
    assert live("2025-02") == [("approved", "50.00")]
    assert live("2025-03") == [("approved", "-50.00")]
    assert broken("2025-01", "2025-02", "2025-03") == []


def test_what_waits_for_its_amount_still_waits_when_it_moves_again(january):
    january(held())
    fix = review.Reassignment(pi="ada@u.edu", fund_org="BIO-002")
    review.reattribute(charges=Charge.objects.held(), reassignment=fix, approve=True, create=True, **BY)
    january(held("80"))
    close()
    booked = book(january(held("90")))
    assert (booked.charged, booked.withdrawn, booked.held) == (1, 1, 1)
    # It waits for those who people said pay it, and the flag tells what was decided about.
    charge = Charge.objects.held().get()
    assert (money.plain(charge.billed_cost), charge.fund_org, charge.charged_in.iso_month) == (
        "90.00",
        "BIO-002",
        "2025-02",
    )
    flag = Flag.objects.get(charge=charge, is_resolved=False)
    assert (flag.code, flag.detail) == ("amount_changed", "50.00 when decided, 90.00 now")


def test_a_removed_row_and_a_changed_one_of_which_one_was_charged(january):
    january(held(), a_row("10", ResourceId="paid"))
    close()
    booked = book(january(a_row("12", ResourceId="paid")))
    assert (booked.charged, booked.taken_back, booked.withdrawn, booked.held) == (1, 1, 1, 0)
    assert sum(Charge.objects.in_month(month("2025-02")).values_list("billed_cost", flat=True)) == Decimal("2")
    assert broken("2025-01", "2025-02") == []

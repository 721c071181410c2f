"""A month's figures add up in sight: what is shown sums to what is shown, whatever happened in it."""

from decimal import Decimal

import pytest

from billing import charging, proof, review
from billing.models import BillingPeriod, Charge, ExchangeRate, PayerLine
from billing.money import to_cents
from billing.months import closing
from billing.proof import adding_up
from tests import build

pytestmark = pytest.mark.django_db

BY = {"actor": build.SOMEBODY, "now": build.NOW}


def check(sight):
    """Assert that an equation comes out, exactly and as shown in cents."""
    assert not sight.difference, sight
    shown = [
        sum(-part.shown if part.sign == "−" else part.shown for part in side) for side in (sight.left, sight.right)
    ]
    assert shown[0] == shown[1], sight


def figures(sight):
    return {part.code: (part.shown, part.count) for part in sight.parts}


def test_a_nasty_month_adds_up_in_sight():
    build.a_policy()
    Charge.objects.all().delete()
    december = build.a_charge("40.00", period="2024-12", flags=("pattern_match",))
    closing.carry_over(period=december.period, **BY)
    review.approve(charges=Charge.objects.filter(pk=december.pk), note="", **BY)
    build.a_charge("10.004999", list_cost=Decimal("20.00"), contracted_cost=Decimal("12.00"))
    build.a_charge("3.333333", project="b", list_cost=Decimal("5.00"), contracted_cost=Decimal("3.333333"))
    rejected = build.a_charge("7.77", flags=("pattern_match",))
    review.reject(
        provider_credits=True, charges=Charge.objects.filter(pk=rejected.pk), reason="test", note="Test account", **BY
    )
    center = build.a_charge("8.88", source="hpc", flags=("missing_pi",))
    center.source.overflow_fund_org = "RC-CENTER"
    center.source.save()
    build.a_charge("55.55", currency="EUR")
    build.a_charge("5.00", currency="EUR", flags=("pattern_match",), project="held")
    period = BillingPeriod.objects.get(month="2025-01-01")
    ExchangeRate.objects.create(period=period, currency="EUR", rate=Decimal("1.0834"))
    for made in (False, True):
        if made:
            charging.make_payer_lines(period=period, **BY)
        sights = adding_up.sights_of(period)
        for sight in sights:
            check(sight)
    by = {(sight.code, sight.currency): figures(sight) for sight in sights}
    dollars = by["delivered", "USD"]
    assert dollars["carried_in"] == (Decimal("40.00"), 1)
    assert dollars["rejected"] == (Decimal("7.77"), 1)
    assert dollars["held"] == (Decimal("8.88"), 1)
    assert dollars["converted"] == (Decimal("60.18"), 1)
    assert by["delivered", "EUR"] == {
        "files": (Decimal("60.55"), 2),
        "to_convert": (Decimal("55.55"), 1),
        "held": (Decimal("5.00"), 1),
    }
    charged = sum(PayerLine.objects.filter(period=period).values_list("charged", flat=True))
    price = by["price", "USD"]
    assert price["charged"][0] == dollars["charged"][0] == charged
    assert price["list"][0] - price["discount"][0] - price["subsidy"][0] == charged


def test_a_figure_reads_as_on_other_pages_and_the_rounding_takes_the_rest():
    # A cent that rounding leaves over went to the largest remainder: 646.03 held here, and 646.02 on every other page.
    for number in range(3):
        build.a_charge("1.0045", project=f"p{number}")
    build.a_charge("646.025", flags=("pattern_match",))
    period = build.a_period()
    charging.make_payer_lines(period=period, **BY)
    (delivered,) = (sight for sight in adding_up.sights_of(period) if sight.code == "delivered")
    check(delivered)
    assert delivered.part("rounding")
    for part in delivered.parts:
        if part.code != "rounding":
            assert part.shown == to_cents(part.exact, "USD"), part


def test_corrections_and_what_the_center_bears_are_terms_of_their_own():
    charge = build.a_charge("100.00")
    build.a_correction(charge, amount=Decimal("30.00"))
    build.a_charge("5.00", period="2025-02")
    february = BillingPeriod.objects.get(month="2025-02-01")
    charging.make_payer_lines(period=february, **BY)
    price, delivered = adding_up.sights_of(february)
    check(price)
    check(delivered)
    assert figures(delivered)["corrections"] == (Decimal("-30.00"), 1)
    assert figures(delivered)["charged"][0] == Decimal("-25.00")


def test_what_does_not_add_up_is_seen():
    build.a_charge("100.00")
    period = build.a_period()
    charging.make_payer_lines(period=period, **BY)
    with build.safeguards_down():
        Charge.objects.update(billed_cost=Decimal("90.00"))
    made = proof.prove(period)
    assert not made.reconciles
    assert any(sight.difference for sight in adding_up.sights(made))

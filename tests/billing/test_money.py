"""Cents: rounding and sharing so that what is printed adds up."""

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing.money import CENT, ZERO, apportion, plain, split, to_cents

cents = st.integers(-(10**13), 10**13).map(lambda number: Decimal(number).scaleb(-2))
amounts = st.integers(-(10**17), 10**17).map(lambda number: Decimal(number).scaleb(-8))
keys = st.text(min_size=1, max_size=6)
percents = st.integers(0, 100_000_000).map(lambda number: Decimal(number).scaleb(-6))
shares = st.dictionaries(keys, percents, min_size=1, max_size=12).filter(lambda weights: any(weights.values()))
parts = st.dictionaries(keys, amounts, min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("exact", "rounded"),
    [
        ("10.005", "10.01"),
        ("-10.005", "-10.01"),
        ("10.0049999999", "10.00"),
        ("0.00499999", "0.00"),
        ("10.0125", "10.01"),
        ("92233720368.54775807", "92233720368.55"),
    ],
)
def test_halves_round_away_from_zero(exact, rounded):
    assert to_cents(Decimal(exact)) == Decimal(rounded)


def test_a_trace_of_a_credit_rounds_to_a_plain_zero():
    assert str(to_cents(Decimal("-0.001"))) == "0.00"


@given(amounts)
def test_rounding_is_off_by_at_most_half_a_cent_and_mirrors_the_sign(amount):
    assert abs(to_cents(amount) - amount) <= CENT / 2
    assert to_cents(-amount) == -to_cents(amount)


def test_a_rounded_line_is_split_and_never_rounded_again():
    assert split(to_cents(Decimal("10.0125")), {"A": Decimal(60), "B": Decimal(40)}) == {
        "A": Decimal("6.01"),
        "B": Decimal("4.00"),
    }


def test_three_cents_in_many_ratios_leave_no_negative_share():
    weights = {"a": Decimal(4), "b": Decimal(6), "c": Decimal(6), "d": Decimal(6), "e": Decimal(8)}
    assert sorted(split(Decimal("0.03"), weights).values()) == [ZERO, ZERO, CENT, CENT, CENT]


@pytest.mark.parametrize(
    ("total", "weights"),
    [("10.005", {"A": "100"}), ("10", {"A": "-1", "B": "2"}), ("10", {"A": "0"}), ("10", {})],
)
def test_split_refuses_what_cannot_be_shared(total, weights):
    with pytest.raises(ValueError, match=r"whole cents|negative|nobody"):
        split(Decimal(total), {key: Decimal(weight) for key, weight in weights.items()})


@given(cents, shares)
@example(Decimal("0.03"), {"a": Decimal(4), "b": Decimal(6), "c": Decimal(6), "d": Decimal(6), "e": Decimal(8)})
@example(Decimal("-0.01"), {"a": Decimal(50), "b": Decimal(50)})
def test_split_conserves_and_is_fair(total, weights):
    shared = split(total, weights)
    assert sum(shared.values()) == total
    whole = sum(weights.values())
    for key, part in shared.items():
        # |part − total × weight / whole| < a cent, without dividing
        assert abs(part * whole - total * weights[key]) < CENT * whole
        assert part == 0 or (part > 0) == (total > 0)
        assert weights[key] or not part


@given(cents, shares, st.randoms())
def test_split_does_not_depend_on_the_order_of_its_payers(total, weights, random):
    shuffled = list(weights.items())
    random.shuffle(shuffled)
    assert split(total, dict(shuffled)) == split(total, weights)


@given(cents, shares)
def test_a_refund_is_split_as_its_charge_was(total, weights):
    assert split(-total, weights) == {key: -part for key, part in split(total, weights).items()}


def test_103_lines_below_a_cent_print_what_their_total_says():
    exact = {number: Decimal("0.32378641") for number in range(103)}
    total = to_cents(sum(exact.values(), ZERO))
    assert total == Decimal("33.35")
    printed = apportion(total, exact)
    assert sum(printed.values()) == total
    assert set(printed.values()) == {Decimal("0.32"), Decimal("0.33")}


@given(parts)
def test_parts_of_a_line_add_up_to_it_and_none_is_off_by_a_cent(exact):
    total = to_cents(sum(exact.values(), ZERO))
    printed = apportion(total, exact)
    assert sum(printed.values()) == total
    for key, part in printed.items():
        assert abs(part - exact[key]) < CENT
        assert exact[key] or not part


@given(parts, st.integers(-40, 40))
def test_parts_add_up_to_a_total_some_cents_away_too(exact, cents_off):
    total = to_cents(sum(exact.values(), ZERO)) + cents_off * CENT
    printed = apportion(total, exact)
    assert sum(printed.values()) == total
    assert all(abs(part - exact[key]) < CENT * (2 + abs(cents_off)) for key, part in printed.items())


@given(parts, st.randoms())
def test_parts_do_not_depend_on_their_order(exact, random):
    total = to_cents(sum(exact.values(), ZERO))
    shuffled = list(exact.items())
    random.shuffle(shuffled)
    assert apportion(total, dict(shuffled)) == apportion(total, exact)


def test_amounts_that_cancel_out_leave_nothing_on_a_free_part():
    exact = {"run": Decimal("0.004"), "credit": Decimal("-0.004"), "free": ZERO}
    assert apportion(ZERO, exact) == {"run": ZERO, "credit": ZERO, "free": ZERO}


def test_a_total_without_parts_is_refused():
    assert apportion(ZERO, {}) == {}
    with pytest.raises(ValueError, match="nothing to share"):
        apportion(CENT, {})


@pytest.mark.parametrize(
    ("amount", "text"),
    [("10", "10.00"), ("0.10000000", "0.10"), ("1E+3", "1000.00"), ("-0.00", "0.00"), ("-12.3456", "-12.3456")],
)
def test_an_amount_is_written_exactly_without_an_exponent(amount, text):
    assert plain(Decimal(amount)) == text

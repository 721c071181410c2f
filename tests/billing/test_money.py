"""Cents: rounding and sharing so that what is printed adds up."""

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing.currencies import OTHER, WITHOUT, minor_units, refusal
from billing.money import ZERO, apportion, in_decimals_of, is_whole, named, plain, rounded, split, to_cents, written

CENT = Decimal("0.01")
# One of each number of decimals that the standard knows.
currencies = st.sampled_from(["JPY", "USD", "KWD", "CLF"])
whole_cents = st.tuples(st.integers(-(10**13), 10**13), currencies).map(
    lambda both: (Decimal(both[0]).scaleb(-minor_units(both[1])), both[1])
)
amounts = st.integers(-(10**17), 10**17).map(lambda number: Decimal(number).scaleb(-8))
keys = st.text(min_size=1, max_size=6)
percents = st.integers(0, 100_000_000).map(lambda number: Decimal(number).scaleb(-6))
shares = st.dictionaries(keys, percents, min_size=1, max_size=12).filter(lambda weights: any(weights.values()))
parts = st.dictionaries(keys, amounts, min_size=1, max_size=30)


def cent_of(currency):
    return Decimal(1).scaleb(-minor_units(currency))


@pytest.mark.parametrize(
    ("exact", "currency", "cents"),
    [
        ("10.005", "USD", "10.01"),
        ("-10.005", "USD", "-10.01"),
        ("10.0049999999", "USD", "10.00"),
        ("0.00499999", "USD", "0.00"),
        ("10.0125", "USD", "10.01"),
        ("92233720368.54775807", "USD", "92233720368.55"),
        ("33.4", "JPY", "33"),
        ("33.5", "JPY", "34"),
        ("-33.5", "KRW", "-34"),
        ("0.49", "VND", "0"),
        ("1.2345", "KWD", "1.235"),
        ("1.2344", "BHD", "1.234"),
        ("1.00005", "CLF", "1.0001"),
        ("1.00004", "UYW", "1.0000"),
    ],
)
def test_halves_round_away_from_zero(exact, currency, cents):
    assert str(to_cents(Decimal(exact), currency)) == cents


@pytest.mark.parametrize(("currency", "zero"), [("USD", "0.00"), ("JPY", "0"), ("KWD", "0.000")])
def test_a_trace_of_a_credit_rounds_to_a_plain_zero(currency, zero):
    assert str(to_cents(Decimal("-0.0001"), currency)) == zero


@given(amounts, currencies)
def test_rounding_is_off_by_at_most_half_a_cent_and_mirrors_the_sign(amount, currency):
    cents = to_cents(amount, currency)
    assert abs(cents - amount) <= cent_of(currency) / 2
    assert to_cents(-amount, currency) == -cents
    assert is_whole(cents, currency)


@pytest.mark.parametrize(
    ("amount", "currency", "is_it"),
    [("33", "JPY", True), ("33.0", "JPY", True), ("33.4", "JPY", False), ("0.005", "USD", False)]
    + [("0.005", "KWD", True), ("0.0005", "KWD", False), ("0.0001", "CLF", True), ("NaN", "USD", False)],
)
def test_what_is_whole_depends_on_the_currency(amount, currency, is_it):
    assert is_whole(Decimal(amount), currency) is is_it


def test_the_decimals_of_currencies_are_those_of_the_standard():
    of = {"USD": 2, "EUR": 2, "IDR": 2, "HUF": 2, "JPY": 0, "KRW": 0, "CLP": 0, "VND": 0, "ISK": 0, "UGX": 0, "XOF": 0}
    of |= {"KWD": 3, "BHD": 3, "TND": 3, "IQD": 3, "CLF": 4, "UYW": 4}
    assert {code: minor_units(code) for code in of} == of
    assert not any(refusal(code) for code in of)
    assert sum(len(codes.split()) for codes in OTHER.values()) == 26


@pytest.mark.parametrize("currency", ["XAU", "XXX", "XTS", "XDR", "ABC", "usd", "", "US", "€"])
def test_what_is_no_money_is_refused_as_a_currency(currency):
    assert currency in refusal(currency)
    assert "ISO 4217" in refusal(currency)
    assert (currency in WITHOUT) == refusal(currency).startswith("X")


@pytest.mark.parametrize(
    ("amount", "currency", "texts"),
    [
        ("33.00000000", "JPY", ("33", "33", "33", "33 JPY")),
        ("1234567", "VND", ("1234567", "1,234,567", "1,234,567", "1234567 VND")),
        ("33.40000000", "JPY", ("33.4", "33.4", "33", "33.4 JPY")),
        ("-1234.5", "USD", ("-1234.50", "-1,234.50", "-1,234.50", "-1234.50 USD")),
        ("1234.5", "KWD", ("1234.500", "1,234.500", "1,234.500", "1234.500 KWD")),
        ("-0.00", "JPY", ("0", "0", "0", "0 JPY")),
        ("1E+3", "CLF", ("1000.0000", "1,000.0000", "1,000.0000", "1000.0000 CLF")),
    ],
)
def test_an_amount_is_written_with_the_decimals_of_its_currency(amount, currency, texts):
    amount = Decimal(amount)
    found = (plain(amount, currency), written(amount, currency), rounded(amount, currency), named(amount, currency))
    assert found == texts
    assert str(in_decimals_of(amount, currency)) == texts[0]


def test_a_rounded_line_is_split_and_never_rounded_again():
    assert split(to_cents(Decimal("10.0125"), "USD"), {"A": Decimal(60), "B": Decimal(40)}, "USD") == {
        "A": Decimal("6.01"),
        "B": Decimal("4.00"),
    }


def test_three_cents_in_many_ratios_leave_no_negative_share():
    weights = {"a": Decimal(4), "b": Decimal(6), "c": Decimal(6), "d": Decimal(6), "e": Decimal(8)}
    assert sorted(split(Decimal("0.03"), weights, "USD").values()) == [ZERO, ZERO, CENT, CENT, CENT]


@pytest.mark.parametrize(
    ("total", "weights"),
    [("10.005", {"A": "100"}), ("10", {"A": "-1", "B": "2"}), ("10", {"A": "0"}), ("10", {})],
)
def test_split_refuses_what_cannot_be_shared(total, weights):
    with pytest.raises(ValueError, match=r"whole cents|negative|nobody"):
        split(Decimal(total), {key: Decimal(weight) for key, weight in weights.items()}, "USD")


def test_split_refuses_half_a_yen():
    with pytest.raises(ValueError, match="whole cents of JPY"):
        split(Decimal("0.5"), {"a": Decimal(1)}, "JPY")


def test_yen_and_fils_are_shared_whole():
    thirds = dict.fromkeys("abc", Decimal(1))
    assert split(Decimal(100), thirds, "JPY") == {"a": 34, "b": 33, "c": 33}
    assert split(Decimal("0.100"), thirds, "KWD") == {
        "a": Decimal("0.034"),
        "b": Decimal("0.033"),
        "c": Decimal("0.033"),
    }


@given(whole_cents, shares)
@example(
    (Decimal("0.03"), "USD"), {"a": Decimal(4), "b": Decimal(6), "c": Decimal(6), "d": Decimal(6), "e": Decimal(8)}
)
@example((Decimal("-0.01"), "USD"), {"a": Decimal(50), "b": Decimal(50)})
def test_split_conserves_and_is_fair(total, weights):
    total, currency = total
    shared = split(total, weights, currency)
    assert sum(shared.values()) == total
    whole = sum(weights.values())
    for key, part in shared.items():
        # |part − total × weight / whole| < a cent, without dividing
        assert abs(part * whole - total * weights[key]) < cent_of(currency) * whole
        assert part == 0 or (part > 0) == (total > 0)
        assert weights[key] or not part


@given(whole_cents, shares, st.randoms())
def test_split_does_not_depend_on_the_order_of_its_payers(total, weights, random):
    total, currency = total
    shuffled = list(weights.items())
    random.shuffle(shuffled)
    assert split(total, dict(shuffled), currency) == split(total, weights, currency)


@given(whole_cents, shares)
def test_a_refund_is_split_as_its_charge_was(total, weights):
    total, currency = total
    assert split(-total, weights, currency) == {key: -part for key, part in split(total, weights, currency).items()}


def test_103_lines_below_a_cent_print_what_their_total_says():
    currency = "USD"
    exact = {number: Decimal("0.32378641") for number in range(103)}
    total = to_cents(sum(exact.values(), ZERO), currency)
    assert total == Decimal("33.35")
    printed = apportion(total, exact, currency)
    assert sum(printed.values()) == total
    assert set(printed.values()) == {Decimal("0.32"), Decimal("0.33")}


@given(parts, currencies)
def test_parts_of_a_line_add_up_to_it_and_none_is_off_by_a_cent(exact, currency):
    total = to_cents(sum(exact.values(), ZERO), currency)
    printed = apportion(total, exact, currency)
    assert sum(printed.values()) == total
    for key, part in printed.items():
        assert abs(part - exact[key]) < cent_of(currency)
        assert exact[key] or not part


@given(parts, st.integers(-40, 40), currencies)
def test_parts_add_up_to_a_total_some_cents_away_too(exact, cents_off, currency):
    total = to_cents(sum(exact.values(), ZERO), currency) + cents_off * cent_of(currency)
    printed = apportion(total, exact, currency)
    assert sum(printed.values()) == total
    assert all(abs(part - exact[key]) < cent_of(currency) * (2 + abs(cents_off)) for key, part in printed.items())


@given(parts, st.randoms(), currencies)
def test_parts_do_not_depend_on_their_order(exact, random, currency):
    total = to_cents(sum(exact.values(), ZERO), currency)
    shuffled = list(exact.items())
    random.shuffle(shuffled)
    assert apportion(total, dict(shuffled), currency) == apportion(total, exact, currency)


def test_amounts_that_cancel_out_leave_nothing_on_a_free_part():
    exact = {"run": Decimal("0.004"), "credit": Decimal("-0.004"), "free": ZERO}
    assert apportion(ZERO, exact, "USD") == {"run": ZERO, "credit": ZERO, "free": ZERO}


def test_a_total_without_parts_is_refused():
    assert apportion(ZERO, {}, "USD") == {}
    with pytest.raises(ValueError, match="nothing to share"):
        apportion(CENT, {}, "USD")


@pytest.mark.parametrize(
    ("amount", "text"),
    [("10", "10.00"), ("0.10000000", "0.10"), ("1E+3", "1000.00"), ("-0.00", "0.00"), ("-12.3456", "-12.3456")],
)
def test_an_amount_is_written_exactly_without_an_exponent(amount, text):
    assert plain(Decimal(amount)) == text

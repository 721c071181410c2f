"""Texts of a delivery into exact values."""

import datetime
import json
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.fields import half_even, to_units
from billing.readers.amount_columns import amount_column, plain_column
from billing.readers.amounts import decimal_of, every_digit, plain_decimal, units_of
from billing.readers.dates import (
    RULES,
    Rule,
    end_and_rule,
    end_of,
    month_of,
    period_rules,
    rule_lines,
    service_time_of,
    time_of,
)
from billing.readers.tags import tags_of
from billing.readers.values import BadValue, Memo, category_of, currency_of, text_of

UTC = datetime.UTC

numbers = st.decimals(min_value=-(10**10), max_value=10**10, allow_nan=False, allow_infinity=False, places=None)
written = st.one_of(
    numbers.map(lambda number: format(number, "f")),
    numbers.map(str),
    st.tuples(st.integers(-(10**10), 10**10), st.integers(0, 10**14)).map(lambda parts: f"{parts[0]}.{parts[1]}"),
    st.sampled_from(["", "NULL", "null", "(null)", "nan", " 1.5 ", "6.123E-7", "1e3", ".5", "5.", "-0", "-0.0", "007"]),
)


def canonical(number):
    """Write an amount as rows are compared by: its units, or every digit where it has more than 8 decimals."""
    return every_digit(number) or str(to_units(number))


def column_of(texts):
    """Return the amounts of texts: units (None for none), as rows are compared by them, and the column."""
    column = amount_column(pa.array(texts, pa.string()))
    missing = [False] * len(texts) if column.missing is None else column.missing.tolist()
    units = [None if none else each for none, each in zip(missing, column.units.tolist(), strict=True)]
    beyond = [""] * len(texts) if column.beyond is None else column.beyond.to_pylist()
    return (
        units,
        ["" if each is None else digits or str(each) for each, digits in zip(units, beyond, strict=True)],
        column,
    )


@given(st.lists(written, min_size=1, max_size=20), st.lists(st.integers(0, 19), max_size=10))
def test_a_column_of_amounts_is_what_each_of_them_is(texts, chosen):
    try:
        one_by_one = [units_of(text) for text in texts]
    except BadValue:
        with pytest.raises(BadValue):
            column_of(texts)
        return
    units, compared, column = column_of(texts)
    assert units == one_by_one
    numbers = [decimal_of(text) for text in texts]
    assert compared == ["" if number is None else canonical(number) for number in numbers]
    assert Fraction(column.total()) == sum((Fraction(each or 0) for each in numbers), Fraction(0))
    assert column.total_units() == sum(each or 0 for each in one_by_one)
    part = sorted({place for place in chosen if place < len(texts)})
    rows = np.array(part, dtype=np.int64)
    assert Fraction(column.total(rows)) == sum((Fraction(numbers[place] or 0) for place in part), Fraction(0))
    assert column.total_units(rows) == sum(one_by_one[place] or 0 for place in part)
    exact = [to_units(half_even(number)) for number in numbers if number is not None]
    assert [each for each in one_by_one if each is not None] == exact


def alike(places):
    """Amounts that all have as many decimals, of which the last are often zeros and often just between two units."""
    decimals = st.tuples(st.integers(0, 10**places - 1), st.integers(0, places)).map(
        lambda of: of[0] // 10 ** of[1] * 10 ** of[1]
    )
    halves = st.integers(0, 10**places - 1).map(
        lambda number: number // 10 ** (places - 8) * 10 ** (places - 8) + 5 * 10 ** (places - 9)
    )
    part = decimals if places <= 8 else decimals | halves
    amount = st.tuples(st.sampled_from(["", "-"]), st.integers(0, 10**10), part)
    return st.lists(amount.map(lambda of: f"{of[0]}{of[1]}.{of[2]:0{places}}"), min_size=1, max_size=20)


@pytest.mark.parametrize("zeros", [75, 90, 140, 9_000])
def test_zeros_behind_the_point_are_no_digits_however_many(zeros):
    texts = [f"0.1{'0' * zeros}", f"12.25{'0' * (zeros - 1)}"]
    assert column_of(texts)[1] == ["10000000", "1225000000"]
    assert column_of([*texts, "1"])[0] == [10_000_000, 1_225_000_000, 100_000_000]
    assert [plain_decimal(text) for text in texts] == plain_column(pa.array(texts)).to_pylist() == ["0.1", "12.25"]


@pytest.mark.parametrize("zeros", [41, 82, 130, 9_000])
def test_an_amount_of_too_many_digits_is_refused(zeros):
    for texts in ([f"0.{'0' * zeros}1"], [f"0.{'0' * zeros}1", "1"]):
        with pytest.raises(BadValue, match="out of range"):
            column_of(texts)


@given(st.integers(1, 20).flatmap(alike))
def test_amounts_with_as_many_decimals_are_what_they_are_one_by_one(texts):
    units, compared, _ = column_of(texts)
    assert units == [units_of(text) for text in texts]
    assert compared == [canonical(Decimal(text)) for text in texts]


def test_a_sum_of_amounts_has_no_limit():
    most = "92233720368.54775807"
    _, _, column = column_of([most] * 1000 + [f"-{most}", "0.123456789"])
    assert column.total_units() == 999 * (2**63 - 1) + 12_345_679
    assert column.total() == 999 * Decimal(most) + Decimal("0.123456789")


@given(numbers, st.integers(0, 3))
def test_one_amount_has_one_canonical_form(number, zeros):
    text = format(number, "f")
    padded = text + ("" if "." in text else ".") + "0" * zeros
    forms = [text, padded, str(number), f"{number:E}", f" {text}"]
    try:
        found = {column_of([form])[1][0] for form in forms}
    except BadValue:
        # A number of too many digits, however it is written.
        for form in forms:
            with pytest.raises(BadValue):
                units_of(form)
        return
    assert len(found) == 1


@given(st.lists(written, min_size=1, max_size=20))
def test_a_column_of_quantities_is_what_each_of_them_is(texts):
    try:
        one_by_one = [plain_decimal(text) for text in texts]
    except BadValue:
        with pytest.raises(BadValue):
            plain_column(pa.array(texts))
        return
    assert plain_column(pa.array(texts)).to_pylist() == one_by_one


@pytest.mark.parametrize(
    "wrong",
    [
        *("$10,000.00 ", "1,234.56", "12 USD", "one", "0x10", "1_000", "--5", "1.2.3", "٣", ".", ".-5", "-.-5", "+1"),
        *("1-", "0X1F", "1e", "e5", "1.5\n2"),
    ],
)
def test_what_is_no_number_is_refused(wrong):
    by_column = (lambda text: column_of([text, "1"]), lambda text: plain_column(pa.array([text, "1"])))
    for convert in (units_of, plain_decimal, *by_column):
        with pytest.raises(BadValue):
            convert(wrong)


def test_an_amount_beyond_what_can_be_held_is_refused():
    for beyond in ("92233720369", "-92233720368.54775809", "92233720368.547758075"):
        with pytest.raises(BadValue, match="92 billion"):
            column_of([beyond])
    with pytest.raises(BadValue, match="out of range"):
        units_of("1e99")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-01-31", datetime.datetime(2025, 1, 31, tzinfo=UTC)),
        ("2025-01-31T10:00:00Z", datetime.datetime(2025, 1, 31, 10, tzinfo=UTC)),
        ("2025-01-31 10:00:00", datetime.datetime(2025, 1, 31, 10, tzinfo=UTC)),
        ("2025-01-31T10:00Z", datetime.datetime(2025, 1, 31, 10, tzinfo=UTC)),
        ("2025-01-31T10:00:00.000Z", datetime.datetime(2025, 1, 31, 10, tzinfo=UTC)),
        ("2025-01-31T10:00:00+00:00", datetime.datetime(2025, 1, 31, 10, tzinfo=UTC)),
        ("2025-01-31 10:00:00 UTC", datetime.datetime(2025, 1, 31, 10, tzinfo=UTC)),
        ("2025-01-31 10:00:00+00", datetime.datetime(2025, 1, 31, 10, tzinfo=UTC)),
        ("2025-01-31 10:00:00 -0800", datetime.datetime(2025, 1, 31, 18, tzinfo=UTC)),
        ("2025-01-31T23:00:00-08:00", datetime.datetime(2025, 2, 1, 7, tzinfo=UTC)),
        ("NULL", None),
        ("", None),
    ],
)
def test_every_way_to_write_a_time_is_understood(text, moment):
    assert time_of(text) == moment


@pytest.mark.parametrize("text", ["12,50", "1.234,56", "1’234.56", "−5.00", "10,000.00", "(5.00)", "5.00-"])
def test_a_number_as_people_write_it_is_refused_with_how_to_write_it(text):
    with pytest.raises(BadValue, match="formatted for people"):
        decimal_of(text)


@pytest.mark.parametrize(
    "text", ["€12.50", "12.50 EUR", "EUR 12.50", "US$12.50", "1.234,56 €", "$10,000.00", "-$5.00", "(5.00 USD)", "12₩"]
)
def test_a_number_with_a_currency_in_it_is_refused_with_where_to_put_it(text):
    with pytest.raises(BadValue, match="has a currency in it.*BillingCurrency"):
        decimal_of(text)


@pytest.mark.parametrize("text", ["0001-01-01", "1970-01-01T00:00:00Z", "2205-01-01"])
def test_a_billing_month_that_nobody_bills_for_is_refused(text):
    with pytest.raises(BadValue, match="out of range"):
        month_of(text)


@pytest.mark.parametrize(
    "text", ["0001-01-01", "0001-01-01T00:00:00+14:00", "1970-01-01", "9999-12-31T23:59:59-12:00", "2101-01-01"]
)
def test_service_of_a_year_that_is_none_is_refused(text):
    with pytest.raises(BadValue, match="out of range"):
        service_time_of(text)
    with pytest.raises(BadValue, match="out of range"):
        end_and_rule(("2025-01-01", text, "2025-01-31"))


def test_a_billing_period_without_an_end_decides_nothing():
    assert end_and_rule(("2025-01-01", "2025-01-02", "9999-12-31"))[1] is None
    assert period_rules(("2025-01-01", "9999-12-31")) == period_rules(("2025-01-01", "0001-01-01")) == ()


@pytest.mark.parametrize("text", ["4/1/25", "01.04.2025", "2025-13-01", "20250101", "2025-W01-1", "yesterday", "45292"])
def test_a_date_that_is_none_or_two_is_refused(text):
    with pytest.raises(BadValue, match="date"):
        time_of(text)


@pytest.mark.parametrize(
    ("start", "end", "billing_end", "day"),
    [
        ("2025-01-01", "2025-01-31", "2025-01-31", (2025, 2, 1)),
        ("2025-01-05", "2025-01-05", "2025-01-31", (2025, 1, 6)),
        ("2025-01-05", "2025-01-06", "2025-02-01", (2025, 1, 6)),
        ("2025-01-01T00:00:00Z", "2025-01-31T23:59:59.999Z", "", (2025, 2, 1)),
        ("2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z", "2025-02-01T00:00:00Z", (2025, 2, 1)),
    ],
)
def test_an_inclusive_end_becomes_exclusive(start, end, billing_end, day):
    assert end_of((start, end, billing_end)) == datetime.datetime(*day, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "end", "moment", "rule"),
    [
        ("2025-01-05T10:00:00Z", "2025-01-05T10:59:59Z", (2025, 1, 5, 11), Rule.LAST_SECOND),
        ("2025-01-05T10:00:00Z", "2025-01-05T10:59:59.999Z", (2025, 1, 5, 11), Rule.LAST_SECOND),
        ("2024-08-16T00:00Z", "2024-08-16T23:59:59.999Z", (2024, 8, 17), Rule.LAST_SECOND),
        ("2025-01-05", "2025-01-05", (2025, 1, 6), Rule.LAST_DAY),
        # Usage metered by the second ends where it ends.
        ("2025-01-05T10:12:07Z", "2025-01-05T10:59:59Z", (2025, 1, 5, 10, 59, 59), None),
        ("2025-01-05T10:00:00Z", "2025-01-05T11:00:00Z", (2025, 1, 5, 11), None),
    ],
)
def test_the_rule_by_which_an_end_is_taken_is_named(start, end, moment, rule):
    times = (start, end, "")
    assert end_of(times) == datetime.datetime(*moment, tzinfo=UTC)
    assert end_and_rule(times)[1] == rule


@pytest.mark.parametrize(
    ("start", "month"),
    [
        ("2025-01-01T00:00:00Z", (2025, 1)),
        ("2025-01-01T08:00:00Z", (2025, 1)),
        ("2025-07-01 07:00:00 UTC", (2025, 7)),
        ("2025-01-01T00:00:00-08:00", (2025, 1)),
        ("2025-01-01T00:00:00+09:00", (2025, 1)),
        ("2024-12-31T16:00:00Z", (2025, 1)),
        ("2024-12-31T23:00:00Z", (2025, 1)),
        ("2024-12-31T08:00:00Z", (2024, 12)),
        ("2025-01-15", (2025, 1)),
    ],
)
def test_a_billing_month_begins_at_midnight_somewhere(start, month):
    assert month_of(start) == datetime.date(*month, 1)


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        ("2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z", []),
        ("2025-01-01", "2025-01-31", [Rule.PERIOD_LAST_DAY]),
        ("2025-01-01T08:00:00Z", "2025-01-31T08:00:00Z", [Rule.PACIFIC, Rule.PERIOD_LAST_DAY]),
        ("2025-07-01T07:00:00Z", "2025-07-31T07:00:00Z", [Rule.PACIFIC, Rule.PERIOD_LAST_DAY]),
        ("2025-07-01T07:00:00Z", "2025-08-01T07:00:00Z", [Rule.PACIFIC]),
        ("2025-03-01T08:00:00Z", "2025-04-01T07:00:00Z", [Rule.PACIFIC]),
        ("2025-11-01T07:00:00Z", "2025-12-01T08:00:00Z", [Rule.PACIFIC]),
        ("2025-01-01T00:00:00-08:00", "", [Rule.PACIFIC]),
        # Midnight in Denver, in Anchorage, and what is none on the West Coast.
        ("2025-01-01T07:00Z", "2025-02-01T07:00Z", []),
        ("2025-07-01T08:00Z", "2025-08-01T08:00Z", []),
        ("2025-01-01T08:30:00Z", "", []),
        ("2025-01-01T08:00:00.5Z", "", []),
        ("0001-01-01T07:00:00Z", "", []),
        ("2024-12-31T16:00:00Z", "2025-01-31T16:00:00Z", [Rule.EAST]),
        ("2025-01-15T00:00:00Z", "2025-02-15T00:00:00Z", [Rule.NOT_A_MONTH]),
        ("2024-08-01T00:00Z", "2024-08-31T23:59:59.999Z", [Rule.PERIOD_LAST_SECOND]),
        ("2025-01-01", "", []),
        ("", "", []),
        ("soon", "2025-01-31", []),
    ],
)
def test_the_rule_by_which_a_billing_period_is_taken_is_named(start, end, says):
    assert period_rules((start, end)) == tuple(says)


def test_every_rule_has_its_words():
    assert set(RULES) == set(Rule)
    assert rule_lines({"pacific": 1, "last_day": 1200}) == [
        "End dates of charge periods read as inclusive. (1,200 rows)",
        "Billing months begin at midnight Pacific time, and days of service are Pacific days. (1 row)",
    ]


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ('{"a": "b"}', {"a": "b"}),
        ('{"a": 1, "b": true, "c": 1.50, "d": null}', {"a": "1", "b": "true", "c": "1.50"}),
        ("{}", {}),
        ("NULL", {}),
        ("", {}),
    ],
)
def test_tags_of_every_kind_are_read(text, pairs):
    tags = tags_of(text)
    assert (tags.pairs, tags.problem) == (pairs, "")


@pytest.mark.parametrize("text", ["pi=ada", "[1, 2]", '"x"', '{"a": ', "[" * 100_000])
def test_unreadable_tags_are_a_problem_and_not_an_error(text):
    assert tags_of(text).problem


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ('[{"key": "pi", "value": "ada"}, {"key": "org", "value": "x"}]', {"pi": "ada", "org": "x"}),
        ('[{"Key": "pi", "Value": "ada", "inherited": false}]', {"pi": "ada"}),
        ('{"pi": "ada", "pi": "ada"}', {"pi": "ada"}),
        ("[]", {}),
    ],
)
def test_tags_as_lists_of_keys_and_values_are_read(text, pairs):
    tags = tags_of(text)
    assert (tags.pairs, tags.problem) == (pairs, "")
    assert tags.canonical == tags_of(json.dumps(pairs)).canonical


@pytest.mark.parametrize(
    "text", ['{"pi": "ada", "pi": "bob"}', '[{"key": "pi", "value": "ada"}, {"key": "pi", "value": "bob"}]']
)
def test_a_tag_key_with_two_values_is_flagged_and_neither_is_taken(text):
    tags = tags_of(text)
    assert (tags.pairs, tags.problem) == ({}, "The tag “pi” holds more than one value: “ada” and “bob”.")


def test_half_a_character_in_tags_is_a_problem_and_not_an_error():
    assert tags_of('{"a": "\\ud800"}').problem


@pytest.mark.parametrize(
    ("text", "key"), [('{"pi": "a\\u0000b", "x": "1"}', "pi"), ('{"p\\u0000i": "a", "x": "1"}', "p\ufffdi")]
)
def test_a_nul_that_json_escapes_is_a_problem_and_reaches_no_database(text, key):
    tags = tags_of(text)
    assert (tags.pairs, tags.problem) == ({"x": "1"}, f"The tag “{key}” has a NUL byte in it.")


def test_tags_compare_in_any_order():
    assert tags_of('{"b": "2", "a": "1"}').canonical == tags_of('{"a":"1","b":"2"}').canonical


def test_texts_lose_blanks_and_null_tokens_and_keep_zeros():
    assert [text_of(text) for text in (" a ", "NULL", "0042", "(null)", "Null Island")] == [
        "a",
        "",
        "0042",
        "",
        "Null Island",
    ]
    with pytest.raises(BadValue, match="NUL"):
        text_of("a\0b")


def test_enumerations_and_currencies_come_in_one_case():
    assert (category_of("usage"), category_of("Usage"), currency_of("usd")) == ("Usage", "Usage", "USD")
    for text in ("Usage-based", "usage-based", "USAGE_BASED", "Usage-Based", "usage based"):
        assert category_of(text) == "Usage-Based"
    assert (category_of("one-time"), category_of("correction")) == ("One-Time", "Correction")
    assert (category_of("On-Demand"), category_of("something new")) == ("On-Demand", "Something new")
    with pytest.raises(BadValue, match="three letters"):
        currency_of("Dollar")


def test_a_memo_forgets_when_it_is_full_and_still_answers():
    asked = []
    memo = Memo(lambda text: asked.append(text) or text.upper(), size=2)
    assert memo.column(["a", "b", "c", "a"]) == ["A", "B", "C", "A"]
    assert asked == ["a", "b", "c", "a"]

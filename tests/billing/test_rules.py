"""The pure checks of who pays."""

from datetime import date

import pytest

from billing.attribution.checks import Attributed, Reason, Reference, check_attribution
from billing.models import Flag

GOOD = Attributed(pi_email="ada@u.edu", project_code="genomics", fund_org="BIO-001")


def reasons(attribution=GOOD, *, patterns=(), funds=None, start=date(2025, 1, 1), end=date(2025, 1, 31)):
    return check_attribution(attribution, reference=Reference(patterns, funds), service_start=start, service_end=end)


def codes(*args, **kwargs):
    return [reason.code for reason in reasons(*args, **kwargs)]


def test_an_attribution_in_order_has_no_reason():
    assert codes(patterns=(r"[A-Z]+-\d+",), funds={"BIO-001": (None, None)}) == []


def test_each_missing_part_is_a_reason_of_its_own_in_a_fixed_order():
    assert codes(Attributed()) == ["missing_pi", "missing_fund_org", "missing_project"]


def test_a_split_stands_in_for_a_fund():
    assert codes(GOOD._replace(fund_org="", has_split=True), patterns=("X",), funds={}) == []


@pytest.mark.parametrize(
    ("fund_org", "found"),
    [("BIO-001", []), ("GRANT9", []), ("BIO-", ["invalid_fund_org"]), ("BIO-001x", ["invalid_fund_org"])],
)
def test_a_fund_matches_one_of_the_patterns_as_a_whole(fund_org, found):
    assert codes(GOOD._replace(fund_org=fund_org), patterns=(r"[A-Z]+-\d+", r"GRANT\d")) == found


def test_without_patterns_any_form_is_accepted():
    assert codes(GOOD._replace(fund_org="whatever it is")) == []


def test_a_fund_that_is_not_on_the_list_is_unknown_and_no_list_knows_everything():
    assert reasons(funds={"OTHER": (None, None)}) == [Reason("unknown_fund_org", "BIO-001")]
    assert codes(funds={}) == ["unknown_fund_org"]
    assert codes(funds=None) == []


@pytest.mark.parametrize(
    ("first", "last", "found"),
    [
        (date(2025, 1, 1), date(2025, 1, 31), []),
        (date(2025, 1, 2), None, ["fund_not_valid"]),
        (None, date(2025, 1, 30), ["fund_not_valid"]),
        (None, date(2025, 1, 31), []),
    ],
)
def test_a_fund_is_valid_on_every_day_of_service(first, last, found):
    assert codes(funds={"BIO-001": (first, last)}) == found


def test_the_reason_says_when_the_fund_is_valid():
    [reason] = reasons(funds={"BIO-001": (date(2024, 1, 1), date(2024, 12, 31))})
    assert reason.detail == "BIO-001 is valid from Jan 1, 2024 until Dec 31, 2024"


def test_a_pi_and_a_project_bear_service_until_their_last_day():
    until_the_last_day = GOOD._replace(pi_active_until=date(2025, 1, 31), project_end_date=date(2025, 1, 31))
    assert codes(until_the_last_day) == []
    assert codes(until_the_last_day, end=date(2025, 2, 1)) == ["pi_inactive", "project_ended"]


def test_every_reason_is_a_flag():
    found = codes(Attributed(), patterns=("X",), funds={}) + codes(
        GOOD._replace(pi_active_until=date(2020, 1, 1), project_end_date=date(2020, 1, 1)), patterns=("X",), funds={}
    )
    found += codes(funds={"BIO-001": (None, date(2020, 1, 1))})
    assert set(found) <= set(Flag.Code.values)
    assert len(set(found)) == 8


def test_an_end_date_of_tags_counts_where_the_project_has_none():
    by_tag = GOOD._replace(tagged_end_date=date(2025, 1, 31))
    assert codes(by_tag) == []
    assert codes(by_tag, end=date(2025, 2, 1)) == ["project_ended"]
    assert codes(by_tag._replace(project_end_date=date(2025, 6, 30)), end=date(2025, 2, 1)) == []

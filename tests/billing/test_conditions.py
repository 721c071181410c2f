"""The conditions of attribution rules, one by one and together."""

import datetime
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.attribution.conditions import LOOKS_AT, Conditions, column_holds, fits, fits_any, holds

DAY = datetime.date(2025, 1, 15)


def held(columns=None, tags=None, day=DAY, prefixes=("", "user:"), **conditions):
    return holds(Conditions(**conditions), columns=columns or {}, tags=tags or {}, day=day, prefixes=prefixes)


@pytest.mark.parametrize(
    ("pattern", "text", "is_fit"),
    [
        ("i-1", "i-1", True),
        ("i-1", "i-12", False),
        ("I-*", "i-12", True),
        ("*genome*", "Lab/GENOME-7", True),
        ("i-?", "i-1", True),
        ("i-?", "i-", False),
        ("gpu[12]", "gpu2", True),
        ("gpu[12]", "gpu3", False),
        (" i-1 ", "i-1  ", True),
        ("*", "", False),
        ("*", "   ", False),
        ("a.c", "abc", False),
        ("straße*", "STRASSE-1", True),
        ("a*", "a\nb", True),
    ],
)
def test_a_pattern_fits_as_a_whole_and_whatever_the_case(pattern, text, is_fit):
    assert fits(pattern, text) is is_fit


def test_a_hostile_pattern_takes_no_time():
    begun = time.process_time()
    assert not fits("*a" * 120 + "b", "a" * 10_000)
    assert time.process_time() - begun < 5


@given(patterns=st.lists(st.text(), min_size=1, max_size=5), text=st.text())
def test_several_patterns_at_once_fit_what_one_of_them_fits(patterns, text):
    assert fits_any(tuple(patterns), text) == any(fits(pattern, text) for pattern in patterns)


@pytest.mark.parametrize(
    ("condition", "columns"),
    [
        ("billing_account", {"BillingAccountId": "lab-7"}),
        ("billing_account", {"BillingAccountName": "LAB-7"}),
        ("sub_account", {"SubAccountId": "lab-7"}),
        ("sub_account", {"SubAccountName": "lab-7"}),
        ("cloud_project", {"SubAccountId": "projects/lab-7"}),
        ("cloud_project", {"ResourceId": "//compute.googleapis.com/projects/lab-7/zones/a/instances/3"}),
        ("resource", {"ResourceId": "lab-7"}),
        ("resource", {"ResourceName": "lab-7"}),
        ("service", {"ServiceName": "lab-7"}),
    ],
)
def test_each_condition_looks_at_its_columns(condition, columns):
    assert held(columns, **{condition: "lab-*"})
    assert not held(dict.fromkeys(columns, "other"), **{condition: "lab-*"})
    assert not held({}, **{condition: "lab-*"})


def test_all_conditions_that_are_given_have_to_hold():
    columns = {"SubAccountId": "123", "ServiceName": "Compute"}
    assert held(columns, sub_account="123", service="comp*")
    assert not held(columns, sub_account="123", service="storage")


def test_no_condition_holds_always():
    assert held()


@pytest.mark.parametrize(
    ("key", "value", "is_held"),
    [
        ("lab", "", True),
        (" LAB ", "", True),
        ("lab", "sm*", True),
        ("lab", "jones", False),
        ("team", "", False),
        ("owner", "", False),
        ("site", "north", True),
    ],
)
def test_a_tag_is_found_by_key_with_prefixes_and_by_its_value(key, value, is_held):
    assert held(tags={"lab": "Smith", "owner": " ", "user:site": "north"}, tag_key=key, tag_value=value) is is_held


@pytest.mark.parametrize(("day", "is_held"), [(1, False), (2, True), (15, True), (20, True), (21, False)])
def test_a_dated_rule_holds_from_its_first_to_its_last_day(day, is_held):
    dates = {"valid_from": datetime.date(2025, 1, 2), "valid_until": datetime.date(2025, 1, 20)}
    assert held(day=datetime.date(2025, 1, day), **dates) is is_held


@given(condition=st.sampled_from(sorted(LOOKS_AT)), pattern=st.text(min_size=1), texts=st.lists(st.text(), min_size=2))
def test_any_pattern_gives_an_answer(condition, pattern, texts):
    assert column_holds(condition, pattern, tuple(texts[: len(LOOKS_AT[condition])])) in (True, False)

"""Rate schedules as data: read and written without loss, and mistakes told by rate, field and what is allowed."""

import json
import re
from dataclasses import fields
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.usage.pricing.schedules import ScheduleNotUnderstood, as_data, schedule_from_data
from billing.usage.pricing.terms import (
    ClassKind,
    Combine,
    Count,
    Rate,
    RateClass,
    Schedule,
    Scope,
    Span,
    Threshold,
    Tier,
    Tiering,
)
from billing.usage.records import Measure, Shape

JOBS = Shape(
    attributes=("cluster", "partition"),
    measures=(
        Measure("core_seconds", {"core-hour": 3600}),
        Measure("memory", {"GiB-hour": 1024 * 3600, "GiB": 1024}),
        Measure("elapsed_seconds", {"hour": 3600}),
    ),
)


def data(**changes):
    rate = {
        "code": "cpu",
        "service": "HPC compute",
        "counts": [{"measure": "core_seconds", "unit": "core-hour"}],
        "unit": "core-hour",
        "tiers": [{"price": "0.014", "up_to": "6500"}, {"price": "0.008"}],
    }
    return {"name": "Cluster rates", "version": 1, "rates": [{**rate, **changes}]}


def problems(given, shape=JOBS):
    with pytest.raises(ScheduleNotUnderstood) as caught:
        schedule_from_data(given, shape)
    return list(caught.value.problems)


def test_data_says_a_schedule():
    (rate,) = schedule_from_data(data(when={"partition": ["gpu*", "a100"]}, span="fiscal_year"), JOBS).rates
    assert rate.tiers == (Tier(Decimal("0.014"), Decimal(6500)), Tier(Decimal("0.008")))
    assert rate.when == {"partition": ("gpu*", "a100")}
    assert (rate.span, rate.scope, rate.tiering) == (Span.FISCAL_YEAR, Scope.PI, Tiering.GRADUATED)


def test_what_is_at_its_default_is_left_out():
    assert as_data(schedule_from_data(data(scope="pi", free="0"))) == data()


DECIMALS = st.decimals(min_value="0.001", max_value=10**6, places=3)
RISING = st.lists(st.integers(1, 1000), min_size=0, max_size=3, unique=True).map(sorted)
TIERS = st.builds(
    lambda ends, prices: tuple(
        Tier(price, None if place == len(ends) else Decimal(ends[place]))
        for place, price in enumerate(prices[: len(ends) + 1])
    ),
    RISING,
    st.lists(DECIMALS, min_size=4, max_size=4),
)


@st.composite
def schedules(draw):
    rates = []
    for number in range(draw(st.integers(1, 3))):
        is_amount = draw(st.booleans())
        rates.append(
            Rate(
                code=f"rate-{number}",
                service="HPC",
                unit="core-hour",
                counts=(Count("core_seconds", "core-hour", draw(DECIMALS), draw(DECIMALS), when={"user": ("ada",)}),),
                tiers=draw(TIERS),
                when=draw(st.sampled_from([{}, {"partition": ("gpu*",)}, {"user": ("a", "b")}])),
                per=draw(DECIMALS),
                combine=draw(st.sampled_from(Combine)),
                tiering=Tiering.GRADUATED if is_amount else draw(st.sampled_from(Tiering)),
                threshold=Threshold.AMOUNT if is_amount else Threshold.QUANTITY,
                scope=draw(st.sampled_from(Scope)),
                span=draw(st.sampled_from(Span)),
                order=number,
                free=Decimal(0) if is_amount else draw(DECIMALS),
                step=None if is_amount else draw(st.none() | DECIMALS),
                minimum=draw(st.none() | DECIMALS),
                prices=draw(st.sampled_from([{}, {"company": (Tier(Decimal("0.05")),)}])),
            )
        )
    classes = (RateClass("company", ClassKind.EXTERNAL, Decimal(150), Decimal("26.5")), RateClass("staff"))
    return Schedule("Rates", draw(st.integers(1, 99)), tuple(rates), classes)


@given(schedules())
def test_a_schedule_is_the_same_after_it_was_written_as_json(schedule):
    assert schedule_from_data(json.loads(json.dumps(as_data(schedule))), JOBS) == schedule


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"tiers": [{"price": 0.014}]},
            "Rate cpu, tier 1: price is “0.014”. Allowed: a number that is not negative, as text such as “0.014”.",
        ),
        (
            {"tiers": [{"price": "1", "up_to": "5"}, {"prise": "2", "price": "1"}]},
            "Rate cpu, tier 2 has a field “prise” that is not known. Allowed: price, up_to.",
        ),
        ({"tiers": ["1"]}, "Rate cpu, tier 1 is not understood. Allowed: price, up_to, each with its value."),
        (
            {"span": "year"},
            "Rate cpu: span is “year”. Allowed: one of day, month, quarter, fiscal_year.",
        ),
        (
            {"prices": {"company": [{"price": "-1"}]}},
            "Rate cpu, prices, class company, tier 1: price is “-1”. "
            "Allowed: a number that is not negative, as text such as “0.014”.",
        ),
        (
            {"when": {"partition": "gpu"}},
            "Rate cpu: when is “{'partition': 'gpu'}”. "
            "Allowed: lists of patterns by attribute, such as {“partition”: [“gpu*”]}.",
        ),
        ({"carries_over": "yes"}, "Rate cpu: carries_over is “yes”. Allowed: true or false."),
        ({"order": "1"}, "Rate cpu: order is “1”. Allowed: a whole number."),
    ],
)
def test_a_value_of_another_form_is_told_by_rate_and_field(changes, said):
    assert problems(data(**changes)) == [said]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tiers": []}, "Rate cpu: tiers is empty. Enter it."),
        (
            {"tiers": [{"price": "1"}, {"price": "2"}]},
            "Rate cpu: tier 1: up_to is missing. Only the last tier has none.",
        ),
        (
            {"tiers": [{"price": "1", "up_to": "9"}]},
            "Rate cpu: tier 1: up_to is 9. The last tier has none, so that every use has a price.",
        ),
        (
            {"tiers": [{"price": "1", "up_to": "9"}, {"price": "2", "up_to": "9"}, {"price": "3"}]},
            "Rate cpu: tier 2: up_to is 9. Allowed: more than 9.",
        ),
        (
            {"tiers": [{"price": "0", "up_to": "9"}, {"price": "3"}], "threshold": "amount"},
            "Rate cpu: tier 1: price is 0, so that the amount charged never reaches up_to. Allowed: above 0.",
        ),
        (
            {"threshold": "amount", "tiering": "volume"},
            "Rate cpu: tiering volume with threshold amount is not possible. "
            "Allowed: graduated, or threshold quantity.",
        ),
        (
            {"threshold": "amount", "free": "10"},
            "Rate cpu: free with threshold amount is not possible. Remove it, or use threshold quantity.",
        ),
        ({"step": "0"}, "Rate cpu: step is 0. Allowed: a number above 0."),
        (
            {"carries_over": True},
            "Rate cpu: carries_over is set, but nothing is free. Enter free, or remove carries_over.",
        ),
        (
            {"carries_over": True, "free": "1", "span": "fiscal_year"},
            "Rate cpu: carries_over with span fiscal_year is not possible. Allowed: month, quarter.",
        ),
        (
            {"prices": {"company": [{"price": "1"}]}},
            "Rate cpu: prices are for the class company, which the schedule does not have. Allowed: none.",
        ),
        (
            {"counts": [{"measure": "gpu", "unit": "GPU-hour"}]},
            "Rate cpu: count 1: measure is gpu, which records do not have. "
            "Allowed: core_seconds, elapsed_seconds, memory.",
        ),
        (
            {"counts": [{"measure": "core_seconds", "unit": "core-day"}]},
            "Rate cpu: count 1: unit is core-day. Allowed for core_seconds: core-hour.",
        ),
        (
            {"counts": [{"measure": "memory", "unit": "GiB", "step": "4"}]},
            "Rate cpu: count 1: step and at_least need a unit of time, such as GiB-hour. “GiB” of GiB is none.",
        ),
        (
            {"when": {"queue": ["gpu"]}},
            "Rate cpu: when looks at queue, which records do not have. "
            "Allowed: account, cluster, partition, resource, user.",
        ),
    ],
)
def test_what_does_not_fit_together_is_told_by_rate_and_field(changes, said):
    assert problems(data(**changes)) == [said]


def test_all_mistakes_are_told_at_once():
    assert len(problems(data(span="year", order="x", free="-1"))) == 3


def test_codes_and_names_are_unique():
    twice = data()
    twice["rates"] *= 2
    twice["classes"] = [{"name": "staff"}, {"name": "staff"}]
    assert problems(twice) == [
        "2 rates have the code cpu. Give each its own.",
        "2 rate classes have the name staff. Give each its own.",
    ]


def test_internal_users_pay_at_most_the_list_price_and_no_indirect_cost():
    given = data() | {"classes": [{"name": "staff", "percent": "110", "indirect_percent": "26"}]}
    assert problems(given) == [
        "Class staff: percent is 110. Internal users pay at most 100, for the list price is their full cost.",
        "Class staff: internal users pay no indirect cost. Remove indirect_percent, or change kind.",
    ]


@pytest.mark.parametrize("noise", [None, [], "x", 1, {}, {"rates": {}}, {"name": "x", "version": True, "rates": []}])
def test_noise_is_refused_in_words(noise):
    assert all(problem.startswith(("The schedule", "Rate")) for problem in problems(noise))


SHOWN = Shape(("partition",), (Measure("cpu_seconds", {"core-hour": 3600}), Measure("gpu_seconds", {"GPU-hour": 3600})))
PAGE = Path(__file__).resolve().parents[3] / "docs" / "admin-guide" / "pricing.md"


def test_the_schedule_that_the_page_shows_is_one():
    (shown,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    schedule = schedule_from_data(json.loads(shown), SHOWN)
    assert as_data(schedule) == json.loads(shown)
    wrong = json.loads(shown.replace("0.008", "0,008"))
    (said,) = problems(wrong, SHOWN)
    assert said in " ".join(PAGE.read_text(encoding="utf-8").split())


def test_the_page_names_every_field():
    page = PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", page, re.MULTILINE))))
    assert {each.name for made in (Rate, Count) for each in fields(made)} <= named

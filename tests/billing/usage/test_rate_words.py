"""Parts of a rate as people write them: read and written without loss, and refused with how to write them."""

from decimal import Decimal

import pytest
from hypothesis import given

from billing.usage.pricing.terms import Count, Scope, Span, Tier
from billing.usage.rate_schedules import words
from billing.usage.rate_schedules.changes import changes, told

from .schedules import CPU, EXTERNAL, HOME, a_schedule, schedules

D = Decimal


@pytest.mark.parametrize(
    ("text", "tiers"),
    [
        ("0.014", (Tier(D("0.014")),)),
        ("up to 50000: 0.014\nabove: 0.005", (Tier(D("0.014"), D(50000)), Tier(D("0.005")))),
        ("Up to 50,000: 0.014; above 50,000: 0.005", (Tier(D("0.014"), D(50000)), Tier(D("0.005")))),
        ("to 1.5 : 2\n\n above : 1", (Tier(D(2), D("1.5")), Tier(D(1)))),
        ("1e-07", (Tier(D("0.0000001")),)),
        ("", ()),
    ],
)
def test_tiers_are_written_a_line_each(text, tiers):
    assert words.tiers_of(text) == tiers


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cheap", "“cheap” is no tier. Write a tier as “up to 50000: 0.014”"),
        ("up to 5: 1\nabove 6: 2", "Line 2: “above 6: 2”: the tier before it ends at 5."),
        ("up to 5,00: 1\nabove: 2", "Line 1: “5,00” is not a number such as 0.014 or 50,000."),
        ("-1", "“-1” is no tier."),
        ("0.0000000000001", "is not a number such as"),
    ],
)
def test_what_is_no_tier_is_refused_with_its_line_and_how_to_write_one(text, says):
    with pytest.raises(words.NotUnderstood) as refused:
        words.tiers_of(text)
    assert says in str(refused.value)


def test_every_line_that_is_wrong_is_told():
    with pytest.raises(words.NotUnderstood) as refused:
        words.tiers_of("a\nup to 5: 1\nb")
    assert [each[:9] for each in refused.value.problems] == ["Line 1: “", "Line 3: “"]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("core-hour of core_seconds", Count("core_seconds", "core-hour")),
        ("10 for every gpu-hour of gpu_seconds", Count("gpu_seconds", "gpu-hour", D(10))),
        (
            "1 for every 4 GiB-hour of memory, at least 4, in steps of 4",
            Count("memory", "GiB-hour", D(1), D(4), D(4), D(4)),
        ),
        ('"a of b" of "c, d"', Count("c, d", "a of b")),
        (
            '2 for every GPU-hour of gpu_seconds, in steps of 1, where gpu_type: a100, "x and y" and qos: high',
            Count("gpu_seconds", "GPU-hour", D(2), step=D(1), when={"gpu_type": ("a100", "x and y"), "qos": ("high",)}),
        ),
    ],
)
def test_what_is_counted_is_written_in_words(text, count):
    assert words.counts_of(text) == (count,)
    assert words.counts_text((count,)) == text


def test_where_a_rate_holds_is_written_by_attribute():
    when = words.where_of('partition: gpu*, "a;b"; qos: normal')
    assert when == {"partition": ("gpu*", "a;b"), "qos": ("normal",)}
    assert words.where_text(when) == 'partition: gpu*, "a;b"\nqos: normal'
    for text in ("gpu*", "partition:", 'partition: "open', "partition: a,,b"):
        with pytest.raises(words.NotUnderstood, match="does not say what is priced"):
            words.where_of(text)
    with pytest.raises(words.NotUnderstood, match="is named twice"):
        words.where_of("partition: a\npartition: b")


@pytest.mark.parametrize("name", ['""', '"a"', '"', 'a"b', "a b", "1"])
def test_any_name_of_an_attribute_is_read_as_it_is_written(name):
    assert words.where_of(words.where_text({name: ("a",)})) == {name: ("a",)}


def test_prices_of_classes_are_written_by_class():
    prices = words.prices_of("external, up to 500: 0.05\nexternal, above: 0.04\nguest: 1")
    assert prices == {"external": (Tier(D("0.05"), D(500)), Tier(D("0.04"))), "guest": (Tier(D(1)),)}
    with pytest.raises(words.NotUnderstood, match="is no price of a class"):
        words.prices_of("0.05")


@pytest.mark.parametrize("text", ["fiscal_year", "Fiscal year", "FISCAL YEAR"])
def test_choices_are_named_by_code_or_label(text):
    assert words.choice_of(text, words.SPANS) is Span.FISCAL_YEAR
    with pytest.raises(words.NotUnderstood, match="is not one of: PI, project, department"):
        words.choice_of(text, words.SCOPES)
    assert words.choice_of("all of the feed", words.SCOPES) is Scope.FEED


@given(schedules())
def test_what_is_written_of_any_rate_is_read_as_the_same(schedule):
    for rate in schedule.rates:
        assert words.tiers_of(words.tiers_text(rate.tiers)) == rate.tiers
        assert words.counts_of(words.counts_text(rate.counts)) == rate.counts
        assert words.where_of(words.where_text(rate.when)) == rate.when
        assert words.prices_of(words.prices_text(rate.prices)) == rate.prices


def test_a_rate_is_read_by_people():
    assert words.price_lines(CPU, CPU.tiers) == [
        "up to 50,000 core-hours: 0.014 per core-hour",
        "above 50,000 core-hours: 0.008 per core-hour",
    ]
    assert words.conditions_of(CPU) == [
        "The first 1,000 core-hours are free for each PI and fiscal year",
        "Tiers add up units used for each PI and fiscal year",
    ]
    assert words.conditions_of(HOME) == ["Charged by started steps of 5 TB-months for each PI and month"]


def test_what_differs_is_told_rate_by_rate():
    from dataclasses import replace

    before = a_schedule(CPU, HOME)
    cheaper = replace(CPU, tiers=(Tier(D("0.01")),), free=D(0))
    after = a_schedule(cheaper, replace(HOME, code="scratch"), classes=(replace(EXTERNAL, percent=D(160)),))
    found = changes(before, after)
    assert [(each.what, each.name, each.how) for each in found] == [
        ("rate", "cpu", "changed"),
        ("rate", "scratch", "added"),
        ("rate", "home", "removed"),
        ("class", "external", "changed"),
    ]
    assert str(found[0]) == (
        "Rate cpu changed: price: up to 50,000 core-hours: 0.014 per core-hour, above 50,000 core-hours: 0.008 per "
        "core-hour → 0.01 per core-hour; free: 1,000 → none"
    )
    assert str(found[3]) == "Class external changed: pays: 150% of the list price → 160% of the list price"
    assert told(found) == "1 rate added, 1 rate changed, 1 rate removed, 1 class changed"
    assert told(changes(before, before)) == "nothing differs"

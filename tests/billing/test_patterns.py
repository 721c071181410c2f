"""Patterns that staff write: matched in time that grows with the text, or refused when they are saved."""

import re
import time

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from billing.attribution.checks import Attributed, Reference, check_attribution
from billing.importing.outcomes import ImportRefused
from billing.models import Charge, Policy
from billing.notices import notices_for
from billing.patterns import PatternNotUnderstood, Searched, compiled, fits_one, group_names
from billing.setup import policies
from tests import build
from tests.billing.deliveries import a_row, delivered

# Each takes Python's own engine longer than a working day on the text beside it.
ENDLESS = [
    ("(a+)+$", "a" * 40 + "!"),
    ("(a|a)*$", "a" * 40 + "!"),
    ("(a|aa)+$", "a" * 60 + "!"),
    ("(.*a){20}$", "a" * 40 + "!"),
    (r"^(\w+\s?)*$", "word " * 12 + "!"),
    ("(x+x+)+y", "x" * 40),
]


@pytest.mark.parametrize(("pattern", "text"), ENDLESS)
def test_matching_ends(pattern, text):
    started = time.process_time()
    compiled(pattern).search(text)
    assert compiled(pattern).fullmatch(text) is None
    # Not a measure of speed: the other engine would be here tomorrow.
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("(?=a)b", "looks ahead or behind"),
        ("(?!a)b", "looks ahead or behind"),
        ("(?<=a)b", "looks ahead or behind"),
        (r"(a)\1", "no meaning with it"),
        ("a*+", "one repetition stands upon another"),
        ("(a{1000}){1000}", "more than 1,000 times"),
        ("(a", "a “)” is missing"),
        ("a" * 501, "may have 500"),
    ],
)
@pytest.mark.django_db
def test_what_cannot_be_matched_so_is_refused_when_it_is_saved(pattern, told):
    for field in ("flag_patterns", "fund_org_patterns"):
        with pytest.raises(ValidationError, match=re.escape(told)):
            policies.change_policy(changes={field: [pattern]}, actor=build.SOMEBODY, now=build.NOW)
    assert not Policy.objects.exists()


def test_digits_are_those_of_ascii():
    assert fits_one((r"\d{6}-\d{4}",), "410211-7105")
    assert not fits_one((r"\d{6}-\d{4}",), "٤١٠٢١١-7105")


def test_patterns_may_ignore_case_and_name_their_groups():
    assert compiled("gpu", ignore_case=True).search("A100 GPU hours")
    assert not compiled("gpu").search("A100 GPU hours")
    segments = compiled(r"(?P<fund>\d{6})-(?P<org>\d{4})")
    assert list(segments.groupindex) == ["fund", "org"]
    assert segments.fullmatch("410211-7105").groupdict() == {"fund": "410211", "org": "7105"}
    assert segments.fullmatch("410211-71055") is None


def test_a_form_of_fund_orgs_is_tried_as_a_whole():
    reference = Reference(fund_org_patterns=(r"\d{6}",))
    day = build.NOW.date()
    found = check_attribution(Attributed(fund_org="4102117"), reference=reference, service_start=day, service_end=day)
    assert "invalid_fund_org" in [each.code for each in found]


@pytest.mark.django_db
@pytest.mark.parametrize(("pattern", "text"), ENDLESS)
def test_an_import_goes_on_whatever_the_pattern_and_the_resource(pattern, text, tmp_path):
    policies.change_policy(changes={"flag_patterns": [pattern]}, actor=build.SOMEBODY, now=build.NOW)
    delivered(tmp_path, [a_row(ResourceId=text)])
    assert Charge.objects.count() == 1


@pytest.mark.django_db
def test_a_pattern_of_before_that_cannot_be_used_is_told_and_stops_nothing_half_way(tmp_path, cast):
    build.a_policy(flag_patterns=["(?=gpu)"])
    with pytest.raises(ImportRefused, match="gpu.*Change it in the policy"):
        delivered(tmp_path, [a_row()])
    assert not Charge.objects.exists()
    [notice] = [each for each in notices_for(cast.admin) if "(?=gpu)" in each.text]
    assert notice.tone == "bad"
    assert notice.then.name == "change_policy"


@pytest.mark.parametrize(
    ("pattern", "place"),
    [
        ("ab(c", 3),
        ("a)b", 2),
        (r"\((a", 3),
        ("[(]a)", 5),
        ("ab[c", 3),
        (r"\[ok [c", 6),
        ("a(?=b)", 2),
        (r"\(?=b (?=c)", 7),
        (r"(a)\1", 4),
        ("ab\\", 3),
        ("ab*+", 3),
        ("*a", 1),
        ("a{1001}", 2),
        ("x[z-a]", 3),
        ("x(?i", 2),
    ],
)
def test_where_a_pattern_is_wrong_is_said_by_its_character(pattern, place):
    with pytest.raises(PatternNotUnderstood) as refused:
        compiled(pattern)
    assert refused.value.place == place
    assert f"at character {place}: " in str(refused.value)


def test_a_pattern_that_stands_for_too_many_texts_is_refused():
    """Each character of a text takes as long as the pattern is large: this one would take hours for a month."""
    with pytest.raises(PatternNotUnderstood, match="too many texts"):
        compiled("(?:.?){999}(?:.?){999}(?:.?){999}z$")
    assert compiled(r"[\pL\d]{1,8}-\d{4,10}")


@given(st.lists(st.sampled_from([*"()[]\\*+?{}ab|^-", "(?", "(?P<a>", r"\d"]), max_size=12).map("".join))
def test_a_place_is_always_in_the_pattern(pattern):
    place: int | None = 1
    try:
        compiled(pattern)
    except PatternNotUnderstood as error:
        place = error.place
    assert place is None or 1 <= place <= max(len(pattern), 1)


def test_patterns_are_looked_for_together_as_one_by_one():
    patterns = ["gpu", "^support", r"\d{4}$", "a|b"]
    searched, singly = Searched(patterns), [Searched([each]) for each in patterns]
    for text in ("GPU 1234", "Support", "no support", "xyz", "", "b 12345", "x\ngpu"):
        found = [each.first_in(text) for each in singly]
        assert searched.all_in(text) == [each for each in found if each]
        assert searched.first_in(text) == next((each for each in found if each), "")


def test_names_of_groups_are_those_that_are_groups():
    assert group_names(r"(?P<fund>\d+)-(?P<org>\d+)") == ["fund", "org"]
    assert group_names(r"(?P<a>x)(?P<a>y)\(?P<b>[(?P<c>]") == ["a", "a"]

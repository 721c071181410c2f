"""Chips of which one is chosen: which are shown, and what of them is said to everybody alike."""

import re
from decimal import Decimal

import pytest
from django.template.loader import render_to_string

from billing.admin.choice_chips import ChoiceChip, choice_chips

CHOICES = [
    ChoiceChip("", "All", 3),
    ChoiceChip("draft", "Draft", 2, {"EUR": Decimal("5"), "USD": Decimal("7.5")}),
    ChoiceChip("failed", "Failed", 0, {}, "bad"),
    ChoiceChip("waiting", "Waiting", 1, {"USD": Decimal("1000")}, "warn"),
]


def shown(chosen):
    return choice_chips(CHOICES, chosen=chosen, url_of=lambda value: f"?state={value}")


@pytest.mark.parametrize(
    ("chosen", "labels"),
    [
        ("", ["All", "Draft", "Waiting"]),
        ("failed", ["All", "Draft", "Failed", "Waiting"]),
        (None, ["All", "Draft", "Waiting"]),
    ],
)
def test_a_choice_is_shown_if_it_holds_something_or_is_the_chosen_or_first_one(chosen, labels):
    found = shown(chosen)
    assert [each.label for each in found] == labels
    assert [each.value for each in found if each.is_current] == ([] if chosen is None else [chosen])


def test_the_first_one_is_shown_though_it_holds_nothing():
    (only,) = choice_chips([ChoiceChip("", "All", 0), ChoiceChip("x", "X", 0)], chosen="", url_of=str)
    assert only.label == "All"


def test_each_says_its_state_number_and_sums_in_words_and_one_is_marked_as_the_current():
    html = render_to_string("admin/choice_chips.html", {"chips": shown("draft"), "label": "States"})
    links = re.findall(r"<a [^>]*>.*?</a>", html)
    said = [" ".join(re.sub(r"<[^>]+>", " ", each).split()) for each in links]
    assert said == ["All 3", "Draft 2 5.00 EUR 7.50 USD", "Waiting 1 1,000.00 USD"]
    assert [each for each in links if 'aria-current="true"' in each] == [links[1]]
    assert 'aria-label="States"' in html
    # Color only repeats what a word says.
    assert [each for each in links if "badge-warn" in each] == [links[2]]

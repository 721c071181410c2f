"""Layouts from JSON: what is wrong is told by its place, with what is allowed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journals.formats.layouts import PUBLISHED, LayoutNotUnderstood, layout_from_data, layout_from_text, with_choices
from journals.formats.layouts.settings import UnknownSetting
from tests.journals.layouts.made import PRESETS, a_layout, filled_in

FIELD = {"name": "Fund", "value": "{fund_org}", "width": 6}


def problems(data):
    with pytest.raises(LayoutNotUnderstood) as failure:
        layout_from_data(data)
    return list(failure.value.problems)


def test_the_schema_is_published_and_is_a_schema():
    schema = json.loads(PUBLISHED.read_text())

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["properties"]["schema"] == {"const": 1, "description": "The version of this schema."}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 2}, "The layout: schema is “2”. Allowed: 1."),
        ({"encoding": "ebcdic"}, "The layout: encoding is “ebcdic”. Allowed: one of ascii, latin-1"),
        ({"colour": "red"}, "The layout has “colour”, which is not known. Allowed: schema, title,"),
        ({"files": []}, "The layout: files is “[]”. Allowed: a list of 1 to 6."),
        (
            {"settings": [{"name": "Chart", "label": "x"}]},
            "setting Chart: name is “Chart”. Allowed: a text of the form",
        ),
        ({"settings": [{"name": "a", "label": "x"}] * 2}, "2 settings have the name a. Give each its own."),
        (
            {"settings": [{"name": "a", "label": "x", "value": "toolong", "width": 3}]},
            "setting a: “toolong” has 7 characters. Allowed: 3.",
        ),
        (
            {"settings": [{"name": "a", "label": "x", "value": "é"}]},
            "setting a: “é” has letters that ascii lacks. Write it otherwise.",
        ),
        ({"segments": "("}, "The layout: segments is no pattern that can be used"),
        ({"support": "{reference}"}, "The layout: support: there is no {reference}, at character 1. Allowed: "),
        ({"zip": "a.zip"}, "The layout: zip names an archive, and file 1 is not in it."),
        ({"condense": {"payers": "chartstring"}}, "The layout condenses lines and has no file of the kind support."),
        (
            {"condense": {"payers": "chartstring"}},
            "The layout condenses lines, and none of their fields prints {support}.",
        ),
        ({"condense": {"payers": "all"}}, "The layout: condense: payers is “all”. Allowed: one of line, chartstring"),
    ],
)
def test_what_is_wrong_with_a_layout_is_told_by_its_place(change, said):
    assert any(each.startswith(said) for each in problems(a_layout([FIELD]) | change)), problems(
        a_layout([FIELD]) | change
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"width": "x"}, "file 1, record line, field Fund: width is “x”. Allowed: a whole number from 1 to 4000."),
        ({"width": True}, "file 1, record line, field Fund: width is “true”. Allowed: a whole number from 1 to 4000."),
        ({"width": None}, "file 1, record line, field Fund: width is “null”. Allowed: a whole number from 1 to 4000."),
        ({"wide": 1}, "file 1, record line, field Fund has “wide”, which is not known. Allowed: name, value,"),
        ({"value": "{fund}"}, "file 1, record line, field Fund: there is no {fund}, at character 1. Allowed: "),
        ({"value": "{settings.chart}"}, "file 1, record line, field Fund: there is no {settings.chart}, at"),
        ({"value": "{fund_org"}, "file 1, record line, field Fund: the brace at character 1 belongs to no name."),
        (
            {"value": "{fund_org:05}"},
            "file 1, record line, field Fund: {fund_org:05} cannot be written, for only dates",
        ),
        (
            {"value": "{line:5}"},
            "file 1, record line, field Fund: {line:5} cannot be written, for a number's form is 0",
        ),
        (
            {"value": "{posting_date:y}"},
            "file 1, record line, field Fund: {posting_date:y} cannot be written, for a date's",
        ),
        ({"amount": {"of": "debit"}}, "file 1, record line, field Fund has value and amount. Keep one of them."),
        (
            {"value": "", "amount": {"of": "debits"}},
            "file 1, record line, field Fund: amount is of debits. Allowed in this",
        ),
        ({"value": "", "amount": {}}, "file 1, record line, field Fund: amount has no of. Add it."),
        (
            {"value": "", "amount": {"of": "debit"}, "may_be_cut": True},
            "file 1, record line, field Fund: an amount may not be cut.",
        ),
        (
            {"value": "", "hash_of": "Fund"},
            "file 1, record line, field Fund: hash_of is Fund. Allowed: in a record of the",
        ),
        ({"side": {"debit": "D"}}, "file 1, record line, field Fund: side has no credit. Add it."),
    ],
)
def test_what_is_wrong_with_a_field_is_told_by_its_place(change, said):
    assert any(each.startswith(said) for each in problems(a_layout([FIELD | change])))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([], "The layout is “[]”. Allowed: an object with schema, title"),
        ("x", "The layout is “x”. Allowed: an object with"),
        ({}, "The layout has no schema. Add it."),
        (
            a_layout([{"name": "a"}]),
            "file 1, record line, field a has no width. Add it: fixed has fields of so many bytes.",
        ),
        (a_layout([FIELD, FIELD]), "file 1, record line: 2 fields have the name Fund. Give each its own."),
        (a_layout([FIELD], before=[[FIELD]]), "file 1, record before 1, field Fund: there is no {fund_org}, at"),
        (
            a_layout([FIELD], before=[[{"name": "a", "width": 1, "only": "debit"}]]),
            "file 1, record before 1, field a has a side",
        ),
        (a_layout([FIELD], file={"kind": "xlsx"}), "file 1 is xlsx and has records. Remove them."),
        (a_layout([FIELD], file={"kind": "xlsx"}), "file 1 is xlsx and has no sheets. Add one."),
        (a_layout([FIELD], kind="xlsx", file={"kind": "csv"}), "file 1 is csv and has sheets. Remove them."),
        (
            a_layout([FIELD], files=[{"name": "x", "kind": "support", "zipped": True}]),
            "file 2 is zipped, and the layout has",
        ),
        (a_layout([FIELD], file={"name": "{file.stem}"}), "file 1: name: there is no {file.stem}, at character 1."),
        (
            {"schema": 1, "title": "x", "files": [{"name": "x", "kind": "fixed"}]},
            "file 1 is the file for the ledger and has no record for each line. Add one.",
        ),
        (
            a_layout([FIELD | {"value": "{segments.x}"}], segments="(?P<a>.)"),
            "file 1, record line, field Fund: there is no segment x, at character 1. Allowed: a.",
        ),
    ],
)
def test_what_is_wrong_elsewhere_is_told_by_its_place(data, said):
    assert any(each.startswith(said) for each in problems(data)), problems(data)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{\n  "schema": 1,\n  x}', "Line 3, column 3: this is not JSON"),
        ('{"title": "a", "title": "b"}', "“title” is given twice in one object. Keep one of them."),
        ('{"schema": NaN}', "NaN is no value of JSON."),
        ("[" * 100_000, "nested too deeply"),
        ('{"schema": 1.5}', 'The layout: schema is “"1.5"”'),
    ],
)
def test_text_that_is_no_layout_says_where(text, said):
    with pytest.raises(LayoutNotUnderstood) as failure:
        layout_from_text(text)

    assert said in str(failure.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@given(JSON, st.data())
def test_noise_is_never_more_than_not_understood(noise, data):
    """Any value anywhere: the layout is read, or it is said what is wrong."""
    layout = a_layout([FIELD], settings=[{"name": "a", "label": "A"}], condense={})
    spot, key = layout, data.draw(st.sampled_from(sorted(layout)))
    while isinstance(spot[key], dict | list) and spot[key] and data.draw(st.booleans()):
        spot = spot[key]
        key = data.draw(st.sampled_from(range(len(spot)) if isinstance(spot, list) else sorted(spot)))
    spot[key] = noise
    try:
        layout_from_data(layout)
    except LayoutNotUnderstood as failure:
        assert failure.problems  # noqa: PT017 (either way is right)


def test_settings_are_entered_apart_from_all_else():
    text = filled_in(PRESETS[0])

    changed = with_choices(text, {"user_id": " NEW "})

    assert json.loads(changed) != json.loads(text)
    assert {each.name: each.value for each in layout_from_text(changed).settings}["user_id"] == "NEW"
    assert with_choices(text, {}) == text
    with pytest.raises(UnknownSetting, match="no setting “x”. It has: system_id"):
        with_choices(text, {"x": "1"})


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_says_what_it_is_and_what_to_check(name):
    data = json.loads(filled_in(name))

    assert data["description"]
    assert any(each["kind"] == "support" for each in data["files"])


@pytest.mark.parametrize(
    ("descriptions", "said"),
    [
        (
            {"debit": "RC {refrence} {x}"},
            "The layout: descriptions, debit: there is no {refrence}, at character 4. Allowed: journal.number,",
        ),
        ({"debit": "{x} {line:2}"}, "The layout: descriptions, debit: {line:2} cannot be written, for a number's form"),
        ({"credit": "{description}"}, "The layout: descriptions, credit: there is no {description}, at character 1."),
        ({"many": "{count"}, "The layout: descriptions, many: the brace at character 1 belongs to no name."),
        ({"debits": "x"}, "The layout: descriptions has “debits”, which is not known. Allowed: debit, credit, many."),
        ({"debit": "x"}, "The layout has descriptions, and no field of a line prints {description}."),
    ],
)
def test_what_is_wrong_with_a_description_is_told_by_its_place(descriptions, said):
    data = a_layout([FIELD]) | {"descriptions": descriptions}
    assert any(each.startswith(said) for each in problems(data)), problems(data)

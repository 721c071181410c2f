"""Texts as they come: cleaned, named where they are not what they look like, and shown so that nothing acts."""

import datetime
import json
import unicodedata
import zoneinfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing import texts

# Letters and accents to be composed, and what may stand between them.
PIECES = st.sampled_from(
    [
        *"eEo \u0301\u0323\u0308\u0304\u212a\uff45\uff0d\u2013\u200b\u200d\ufe0f\xad\u2060\xa0\n\x1b'=",
        "\u1100",
        "\u1161",
    ]
)


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("410211-7105", "410211-7105"),
        (" 410211-7105\u200b", "410211-7105"),
        ("410211\u20137105", "410211-7105"),
        ("410211\u20107105", "410211-7105"),
        ("410211\u20117105", "410211-7105"),
        ("410211\u20127105", "410211-7105"),
        ("410211\u20147105", "410211-7105"),
        ("410211\u22127105", "410211-7105"),
        ("410211\ufe637105", "410211-7105"),
        ("410211\uff0d7105", "410211-7105"),
        ("410211\u00ad-7105", "410211-7105"),
        ("\ufeff410211-7105\u2060", "410211-7105"),
        ("\u202e410211-7105\u202c", "410211-7105"),
        ("410211\ufe0f-7105", "410211-7105"),
        ("410211-7105\x00\x1b\x9b", "410211-7105"),
        ("４１０２１１－７１０５", "410211-7105"),
        ("410211\u00a07105", "410211 7105"),
        ("a\r\nb\x85c\u2028d\te", "a b c d e"),
        ("Fo\u0308rderung", "F\u00f6rderung"),
        # Two codes never become one: other digits and letters stay.
        ("10\u00b2", "10\u00b2"),
        ("\u0664\u0661", "\u0664\u0661"),
        ("tid\u0430l", "tid\u0430l"),
    ],
)
def test_a_code_is_cleaned_of_what_nobody_sees(written, code):
    assert texts.code_of(written) == code
    # Cleaning what is clean changes nothing.
    assert texts.code_of(code) == code


@given(st.text(PIECES, max_size=12) | st.text(max_size=12))
@example("cafe\u200b\u0301")
@example("\uff45\u0301")
@example("e\u0301\u200d\u0308")
@example("\u212a\u200d1")
@example("a\u200b\u200d")
def test_cleaning_what_is_clean_changes_nothing(text):
    for clean in (texts.cleaned, texts.code_of, texts.cleaned_lines):
        once = clean(text)
        assert clean(once) == once
        assert unicodedata.is_normalized("NFC", once)


def test_what_stood_between_a_letter_and_its_accent_leaves_one_letter():
    assert texts.cleaned("cafe\u200b\u0301") == texts.code_of("cafe\u200d\u0301") == "caf\u00e9"


def test_a_name_keeps_its_dashes_and_its_emoji():
    assert texts.cleaned("Gel\u200b imaging \u2013 core\u00a0lab") == "Gel imaging \u2013 core lab"
    scientist = "\U0001f469\u200d\U0001f52c"
    assert texts.cleaned(f"{scientist} lab\u200d") == f"{scientist} lab"
    assert texts.cleaned("\u2764\ufe0f unit\ufe0f") == "\u2764\ufe0f unit"


def test_lines_of_a_text_stay_lines():
    assert texts.cleaned_lines("1 Main St\u200b\r\nLarkspur\x85CA\u2028USA\n") == "1 Main St\nLarkspur\nCA\nUSA"


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("tidal", ""),
        ("tid\u0430l", "U+0430 CYRILLIC SMALL LETTER A looks like a Latin a"),
        ("4\u041e0211", "U+041E CYRILLIC CAPITAL LETTER O looks like a Latin O"),
        ("\u0391-100", "U+0391 GREEK CAPITAL LETTER ALPHA looks like a Latin A"),
        ("\u0664\u0661-7105", "U+0664 ARABIC-INDIC DIGIT FOUR is not the digit 4"),
        ("\U0001d7d8-1", "U+1D7D8 MATHEMATICAL DOUBLE-STRUCK DIGIT ZERO is not the digit 0"),
        # What is another script all through, and an accent, are what they seem.
        ("\u0424\u041e\u041d\u0414-1", ""),
        ("F\u00f6rderung-1", ""),
        ("\u7814\u7a76-1", ""),
        ("CO\u2082 capture", ""),
        ("\u03b1-helix", ""),
    ],
)
def test_a_character_that_is_not_what_it_looks_like_is_named(code, named):
    assert texts.odd_characters(code) == named


def test_a_character_that_a_pattern_refuses_is_named_whatever_it_is():
    assert texts.other_characters("10\u00b2") == "U+00B2 SUPERSCRIPT TWO looks like 2"
    assert texts.other_characters("F\u00f6-1") == "it has U+00F6 LATIN SMALL LETTER O WITH DIAERESIS"
    assert texts.other_characters("A-1") == ""


def test_what_acts_on_a_terminal_is_written_out():
    hostile = "a\x1b[2J\r\n\x07\x9b\x85\u202e\u2066\u200b\U000e0041\ud800z"
    assert texts.shown(hostile) == r"a\x1b[2J\r\n\x07\x9b\x85\u202e\u2066\u200b\U000e0041\ud800z"
    assert texts.shown_lines("a\n\tb\x1b") == "a\n\tb\\x1b"
    # Nothing is written out twice, and what people read stays.
    assert texts.shown(texts.shown(hostile)) == texts.shown(hostile)
    assert texts.shown("\u6797\u6653\u96ef \u2013 \u201cx\u201d") == "\u6797\u6653\u96ef \u2013 \u201cx\u201d"


def test_json_stays_the_same_json():
    said = {"n\u00e4me": "a\x1b\x7f\x9b\u2028\u202e\U000e0041\U0001f52c"}
    written = json.dumps(said, ensure_ascii=False)
    assert json.loads(texts.shown_json(written)) == said == json.loads(texts.ascii_json(written))
    assert not set(texts.shown_json(written)) & set("\x1b\x7f\x9b\u2028\u202e\U000e0041")
    assert texts.ascii_json(written).isascii()


def test_days_and_moments_are_written_as_people_read_them():
    first, last = datetime.date(2026, 1, 5), datetime.date(2026, 11, 28)
    assert texts.long_date(last) == "Nov 28, 2026"
    assert texts.long_month(last) == "November 2026"
    assert (texts.long_dates(first, last), texts.long_dates(first, first)) == (
        "Jan 5, 2026 to Nov 28, 2026",
        "Jan 5, 2026",
    )
    assert [texts.long_span(*each) for each in ((first, last), (first, None), (None, last), (None, None))] == [
        "from Jan 5, 2026 until Nov 28, 2026",
        "from Jan 5, 2026",
        "until Nov 28, 2026",
        "",
    ]
    at = datetime.datetime(2026, 7, 5, 9, 3, tzinfo=datetime.UTC)
    assert texts.long_moment(at) == "Jul 5, 2026, 09:03 UTC"
    assert texts.long_moment(at.astimezone(zoneinfo.ZoneInfo("America/Los_Angeles"))) == "Jul 5, 2026, 02:03 PDT"

"""Which way letters run: as Unicode's own cases have it, and on every line that a name goes on to."""

import gzip
from pathlib import Path

import pytest

from statements import lettering
from statements.drawing.fitting import wrapped
from statements.drawing.styles import BODY
from statements.lettering.direction import levels

# From BidiCharacterTest.txt of Unicode 15 (under the license of Unicode's data files): of the cases without embeddings
# and overrides, which no name has, the first 400 and every 40th of the others.
CASES = Path(__file__).parent / "bidi_cases.txt.gz"


def cases():
    for line in gzip.decompress(CASES.read_bytes()).decode().splitlines():
        codes, _, base, expected, _ = line.split(";")
        yield "".join(chr(int(code, 16)) for code in codes.split()), int(base), expected.split()


def test_levels_are_those_of_unicode():
    count = 0
    for text, base, expected in cases():
        found = levels(text, base)
        # `x` is what the algorithm leaves out, and nobody sees.
        wanted = [level if known == "x" else int(known) for level, known in zip(found, expected, strict=True)]
        assert found == wanted, (text.encode("unicode-escape"), base)
        count += 1
    assert count > 1_000


def seen(text):
    """Return what stands on paper, from left to right."""
    return "".join(glyph.text for glyph in lettering.shaped(text, lettering.REGULAR))


@pytest.mark.parametrize(
    ("first", "second", "on_paper"),
    [
        # The line begins with a Latin word, and runs to the left all the same.
        ("גנומיקה השוואתית של אוכלוסיות גדולות", "Ecoli (זן)", "(ןז) Ecoli"),
        ("مختبر علم الجينوم المقارن", "K-12 [أ]", "[أ] K-12"),
        # The line begins with a Hebrew word, and runs to the right all the same.
        ("Institute of Comparative Genomics", "שלום (Lab)", "םולש (Lab)"),
    ],
)
def test_a_name_that_goes_on_runs_the_same_way_on_the_next_line(first, second, on_paper):
    lines = wrapped(lettering.isolated(f"{first} {second}"), BODY, BODY.width(f"{first} ") + 1)
    assert [lettering.plain(line) for line in lines] == [f"{first} ", second]
    assert seen(lines[1]) == on_paper


def test_a_blank_at_the_end_of_a_line_stands_at_its_right():
    first, _ = wrapped(lettering.isolated("שלום רב לכולם"), BODY, BODY.width("שלום רב") + 1)
    assert seen(first) == "בר םולש "


def test_an_address_and_a_number_in_a_name_keep_their_order():
    assert seen(lettering.isolated("דוח: https://u.edu/a(1)")) == "https://u.edu/a(1) :חוד"
    assert seen(lettering.isolated("מעבדה 12-34, חדר 5%")) == "5% רדח ,12-34 הדבעמ"

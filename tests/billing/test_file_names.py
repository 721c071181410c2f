"""Names of files are shown with what cannot be shown replaced, and cut to what a file system takes."""

import unicodedata

import pytest

from billing.file_names import LONGEST, is_fit, shortened, shown


@pytest.mark.parametrize(
    ("name", "as_shown"),
    [
        ("aws_2025-01.csv", "aws_2025-01.csv"),
        ("k\udcf6ln.csv", "k�ln.csv"),
        ("a\nb\x1b[31m.csv", "a�b�[31m.csv"),
        ("a\0b\x7f\x9b.csv", "a�b��.csv"),
        ("vsc\u202etxt.csv", "vsc�txt.csv"),
        ("a\u2028b.csv", "a�b.csv"),
    ],
)
def test_what_cannot_be_shown_is_replaced(name, as_shown):
    assert shown(name) == as_shown
    assert is_fit(name) == (name == as_shown)
    shown(name).encode()


@pytest.mark.parametrize(
    "name", ["köln.csv", unicodedata.normalize("NFD", "köln.csv"), "費用 👩\u200d💻.csv", "-x.csv", "a\xa0b"]
)
def test_letters_of_every_script_stay(name):
    assert shown(name) == name
    assert is_fit(name)


@pytest.mark.parametrize("name", ["x" * 251 + ".csv", "ü" * 125 + ".csv", "x" * 255, "." + "x" * 254, "é.csv"])
def test_a_name_is_cut_to_leave_room_and_keeps_its_ending(name):
    cut = shortened(name, 20)
    assert len(cut.encode()) <= LONGEST - 20
    assert cut.endswith(".csv") == name.endswith(".csv")
    assert shortened("short.csv", 20) == "short.csv"

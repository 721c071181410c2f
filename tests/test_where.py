"""The page that says where things are decided: its files are there, and hold what it says to look for."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "development" / "where.md"
ROWS = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| …")]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip(" …?"))
def test_where_it_is_decided_is_there(row):
    _, _, file, look_for, _ = row.split("|")
    (path,) = re.findall(r"\]\(\.\./\.\./([^)]+)\)", file)
    text = (ROOT / path).read_text(encoding="utf-8")
    for name in re.findall(r"`(\w+)`", look_for):
        assert re.search(rf"^ *def {name}\b", text, re.MULTILINE), f"{path} has no {name}"
    for path in re.findall(r"\]\(\.\./\.\./([^)]+)\)", look_for):
        assert (ROOT / path).exists()


def test_the_questions_are_the_ten_that_a_newcomer_asks():
    assert len(ROWS) == 10


def test_every_package_of_billing_has_its_paragraph():
    packages = {each.parent.name for each in (ROOT / "billing").glob("*/__init__.py")}
    doors = {"admin", "management", "migrations", "templatetags"}
    told = set(re.findall(r"^## (\w+)$", (PAGE.parent / "packages.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert told == packages - doors

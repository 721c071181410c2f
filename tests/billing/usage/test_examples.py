"""What the documentation shows of tables by a mapping: its example is read as it says, and its settings are right."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings

from billing.usage.readers import KINDS, Tally

from .reading import records_of, written

PAGE = (Path(settings.BASE_DIR) / "docs" / "integrations" / "lab-services.md").read_text(encoding="utf-8")


def tables_in(text: str) -> Iterator[list[list[str]]]:
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in block.splitlines()]
        yield [rows[0], *rows[2:]]


def settings_in(text: str) -> list[dict[str, Any]]:
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]


def test_the_worked_example_comes_to_what_the_page_says(tmp_path):
    log, expected, *_ = tables_in(PAGE)
    path = written(tmp_path, "\n".join(";".join(row) for row in log))
    tally = Tally()
    records = records_of(path, "columns", settings_in(PAGE)[0] | {"time_zone": "America/Chicago"}, tally)
    said = [(each["id"], each["account"], each["resource"], str(each["hours"] / 100), each["free"]) for each in records]
    assert said == [(row[0], row[3], row[4], row[5], row[6]) for row in expected[1:]]
    assert ", ".join(f"{reason}: {count}" for reason, count in sorted(tally.left_out.items(), reverse=True)) in PAGE


def test_all_settings_that_the_page_shows_are_right():
    assert len(settings_in(PAGE)) == 2
    for shown in settings_in(PAGE):
        KINDS["columns"].settings(shown)
    section = PAGE.partition("### Measures")[2].partition("###")[0]
    measures = dict(enumerate(re.findall(r"^\| [^|]* \| `([{\"][^|`]*)`", section, re.MULTILINE)))
    assert len(measures) == 8
    KINDS["columns"].settings(
        {"start": "Date", "measures": {f"m{number}": json.loads(text) for number, text in measures.items()}}
    )


def test_every_setting_is_on_the_page():
    shown = set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE))))
    known = {
        *("start", "end", "duration", "lasts", "levels", "dates", "zone", "id", "account", "user", "resource"),
        *("attributes", "measures", "free", "skip", "fill", "decimal", "sheet", "files"),
    }
    assert shown == known

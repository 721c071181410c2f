"""The user guide's page on the API is that of the program, and what it tells people to type works."""

import datetime
import json
import os
import re
import shlex
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from django.utils import timezone

from statements import issuing
from statements.api import asking, fields
from statements.models import Statement
from tests import build

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "user-guide" / "api.md").read_text(encoding="utf-8")
CALLS = re.findall(r"^\$ (curl .*)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("name", fields.RESOURCES)
def test_the_fields_in_the_documents_are_those_of_the_program(name):
    assert fields.table_of(fields.RESOURCES[name]) in PAGE, (
        f"docs/user-guide/api.md is not up to date. Its table of {name} is now:\n\n"
        f"{fields.table_of(fields.RESOURCES[name])}\n"
    )


def test_the_parameters_in_the_documents_are_those_of_the_program():
    assert asking.table() in PAGE, f"docs/user-guide/api.md is not up to date:\n\n{asking.table()}\n"


def test_every_kind_of_field_is_explained():
    kinds = {field.kind for own in fields.RESOURCES.values() for field in own}
    explained = set(
        ", ".join(re.findall(r"^\| ([a-z, ]+) \| ", PAGE.split("## Statements")[0], re.MULTILINE)).split(", ")
    )
    assert kinds <= explained


def test_how_often_a_token_may_ask_is_told(settings):
    assert f"more than {settings.API_REQUESTS_PER_MINUTE} times in a minute" in PAGE


@pytest.fixture
def environment(live_server):
    """A site with Ada's statements, and her token."""
    cast = build.the_cast()
    for project, billed in (("genomics", "40.00"), ("proteins", "2.50")):
        build.a_charge(billed, project=project, consumed_quantity="12.5", consumed_unit="core-hours")
    build.a_charge("66.00", pi="mallory@u.edu", project="mischief")
    issuing.generate(period=build.a_period(), actor=build.SOMEBODY, now=build.NOW)
    secret = build.a_token(cast.pi, now=timezone.now())
    return os.environ | {"SITE": live_server.url, "TOKEN": secret, "no_proxy": "*"}


def run(command, environment):
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.django_db(transaction=True, reset_sequences=True)
def test_every_call_that_is_shown_is_answered(environment):
    assert len(CALLS) == 6
    for call in CALLS:
        assert shlex.split(call)[0] == "curl"
        said = json.loads(run(["sh", "-c", call], environment))
        assert "error" not in said, f"{call}: {said}"
        # Nothing of it is empty: the example has what it asks for.
        rows = said.get("data", [said])
        assert rows, call
        assert "mallory" not in json.dumps(said)


@pytest.mark.django_db(transaction=True, reset_sequences=True)
def test_the_program_that_is_shown_adds_up_what_was_charged(environment):
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    told = run([sys.executable, "-c", program], environment)
    assert told == "genomics 40.00 USD\nproteins 2.50 USD\n"
    charged = sum(each.charged for each in Statement.objects.filter(pi__email="ada@u.edu"))
    assert sum(Decimal(line.split()[-2]) for line in told.splitlines()) == charged


@pytest.mark.django_db(transaction=True)
def test_without_its_token_no_call_is_answered(environment):
    for call in CALLS:
        assert json.loads(run(["sh", "-c", call], environment | {"TOKEN": "ocb_x"}))["error"] == "No valid token"


def test_days_in_the_examples_are_days():
    for day in re.findall(r"`(\d{4}-\d{2}-\d{2})`", PAGE):
        datetime.date.fromisoformat(day)

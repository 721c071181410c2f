"""A run of statements that is killed: all of them are there with their charges, or none is. The next completes it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stories.stage import row, write

ROOT = Path(__file__).resolve().parent.parent.parent

KILLED = """
import django
django.setup()

import os, signal
from django.utils import timezone
from billing.audit import Actor
from billing.files import documents
from billing.models import BillingPeriod
from statements import issuing
from statements.issuing import ahead, generating, revisions

def killed(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

{place} = killed
issuing.generate(period=BillingPeriod.objects.get(), actor=Actor("somebody", "command"), now=timezone.now())
"""

CHECKED = """
import django
django.setup()

import hashlib
from billing.files import documents
from statements.issuing import charge_files
from statements.models import Statement

for each in Statement.objects.order_by("number"):
    data = documents.read(charge_files.name_of(each))
    assert hashlib.sha256(data).hexdigest() == each.charges_sha256
    print(each.number, f"{each.charged:.2f}", data.decode().count("\\n") - 1)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "is_issued"),
    [
        ("ahead.ChargesAhead.look_again", False),
        ("revisions._record_issued", False),
        ("generating.render_missing", True),
    ],
    ids=["charges are written", "charges are named and nothing is committed", "committed and nothing is drawn"],
)
def test_a_killed_run_leaves_all_or_nothing_and_the_next_completes_it(tmp_path, place, is_issued):
    var = tmp_path / "var"
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    environment |= {
        **{"DEBUG": "true", "VAR_DIR": str(var), "EMAIL_URL": ""},
        "DJANGO_SETTINGS_MODULE": "openchargeback.settings",
    }

    def python(*arguments):
        return subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )

    def checked():
        done = python("-c", CHECKED)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ingest(*amounts):
        path = write(tmp_path / "aws_2025-01.csv", [row(amount) for amount in amounts])
        done = python("manage.py", "ingest", str(path))
        assert done.returncode == 0, done.stderr

    assert python("manage.py", "initialize").returncode == 0
    ingest("100.00")
    assert python("-c", KILLED.format(place=place)).returncode == -9
    issued = "2025-01-0001-1 100.00 1\n" if is_issued else ""
    assert checked() == issued
    # What was written ahead is about 100.00; by now it is 120.00.
    ingest("100.00", "20.00")
    done = python("manage.py", "generate", "-p", "2025-01")
    assert done.returncode == 0, done.stderr
    number = "2025-01-0001-2" if is_issued else "2025-01-0001-1"
    assert checked() == f"{issued}{number} 120.00 2\n"
    folder = var / "statements" / "2025-01"
    named = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    assert [name for name in named if name.endswith(".csv")] == [
        f"{each}-charges.csv" for each in (["2025-01-0001-1"] if is_issued else []) + [number]
    ]

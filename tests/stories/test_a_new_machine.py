"""The installation goes elsewhere, by a backup or to another database, and all of it is as it was."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from django.db import connection

from .machines import ROOT, Program, manage, scratch_database, until
from .test_races import Racer

pytestmark = [pytest.mark.own_database, pytest.mark.slow]

SAMPLE = """
import django; django.setup()
from django.core.management import call_command
from django.utils import timezone
from billing.audit import Actor
from openchargeback import demo
call_command("initialize")
demo.run(actor=Actor(name="system", via="command"), now=timezone.now())
"""
ROWS = 50_000
# Every row of every table in one form, and the last number that each gave to a row.
DIGESTS = """
import hashlib, json
import django; django.setup()
from django.db import connection
from openchargeback import moving, transfer

def canonical(table, row):
    kinds = [column.kind for column in table.columns]
    of_json = [json.loads(it) if kind == "json" and it else it for kind, it in zip(kinds, row)]
    return json.dumps(of_json, sort_keys=True).encode()

found = {}
with connection.cursor():
    tables = transfer.tables_of(connection)
    for table in tables:
        digest = hashlib.sha256()
        if table.name not in moving.LEFT_OUT:
            from django.db import transaction
            with transaction.atomic():
                for row in transfer.rows(connection, table):
                    digest.update(canonical(table, row))
        found[table.name] = digest.hexdigest()
    print(json.dumps([found, transfer.last_numbers(connection, tables)]))
"""
MONTHS = ("2026-01", "2026-02")
WRITTEN = ("statements", "journals", "receivables", "mail", "files/received")


class Installation:
    """A database and a VAR_DIR of its own."""

    def __init__(self, folder: Path, name: str, vendor: str = "") -> None:
        folder.mkdir(exist_ok=True)
        self.url, self.drop = scratch_database(folder, name, vendor)
        self.var = folder / "var"
        self.environment = os.environ | {
            "DEBUG": "true",
            "DATABASE_URL": self.url,
            "VAR_DIR": str(self.var),
            "EMAIL_URL": "",
            "DJANGO_SETTINGS_MODULE": "openchargeback.settings",
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            manage(*arguments), cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )

    def done(self, *arguments: str) -> str:
        """Run a command that must do its work; return what it wrote."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def fill(self) -> "Installation":
        """Run the months of the sample institution."""
        self.script(SAMPLE)
        return self

    def script(self, text: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", text], cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def move_to(self, other: "Installation") -> str:
        """Move to another database, with a copy of the files, so that either can go on by itself."""
        said = self.done("move_database", other.url)
        shutil.copytree(self.var, other.var)
        return said

    def digests(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(self.script(DIGESTS))
        return found

    def received(self) -> list[Path]:
        """Return the files that were received, and are kept whole."""
        return [path for path in (self.var / "files" / "received").rglob("*") if path.is_file()]

    def figures(self) -> dict[str, object]:
        """Return what has to be the same wherever it is: proofs, replays, and the audit log."""
        racer = Racer(self.environment).ready()
        try:
            proofs = {month: racer.command("proof", "-p", month) for month in MONTHS}
            replays = {month: racer.command("replay", "-p", month) for month in MONTHS}
            events = racer.value("list(AuditEvent.objects.order_by('pk').values_list('pk', 'action', 'hash'))")
            racer.command("verify_audit")
            racer.command("verify_files")
            charges = racer.value("Charge.objects.count()")
        finally:
            racer.end()
        assert all(each["equal"] for each in replays.values())
        return {"proofs": proofs, "replays": replays, "events": events, "charges": charges}

    def documents(self) -> dict[str, str]:
        """Return the hash of every file that was received, or made for people, by its name."""
        return {
            str(path.relative_to(self.var)): hashlib.sha256(path.read_bytes()).hexdigest()
            for name in WRITTEN
            for path in sorted((self.var / name).rglob("*"))
            if path.is_file() and not path.name.startswith(".")
        }


@pytest.fixture(scope="module")
def lost(tmp_path_factory):
    found = Installation(tmp_path_factory.mktemp("lost"), "lost").fill()
    yield found
    found.drop()


@pytest.fixture
def elsewhere(tmp_path):
    found = Installation(tmp_path, "elsewhere")
    yield found
    found.drop()


def a_large_file(folder: Path, rows: int) -> Path:
    path = folder / "aws_2026-03.csv"
    subprocess.run(
        [sys.executable, "benchmarks/generate.py", str(path), "--rows", str(rows), "--month", "2026-03"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return path


def test_a_lost_machine_is_restored_from_a_backup_made_during_an_import(lost, elsewhere, tmp_path):
    backups = tmp_path / "backups"
    before, documents = lost.figures(), lost.documents()
    assert len(documents) > 50
    large = a_large_file(tmp_path, ROWS)

    # Finance imports a large file, and backups are made meanwhile, one after the other.
    backing_up = Racer(lost.environment).ready()
    received = len(lost.received())
    importing = Program(manage("ingest", str(large), "-s", "aws"), tmp_path / "import.log", lost.environment).start()
    # From when its file is kept, it is read, compared and applied.
    until(lambda: len(lost.received()) > received or not importing.is_running, "a file that is being imported")
    assert importing.is_running, importing.said()
    made = [backing_up.command("backup", backups / str(number))["file"] for number in range(2)]
    assert importing.process.wait() == 0, importing.said()
    backing_up.end()
    for each in made:
        with zipfile.ZipFile(each) as opened:
            charges = opened.read("rows/billing_charge.jsonl").count(b"\n")
        # All of the import or nothing.
        assert charges in (before["charges"], before["charges"] + ROWS)

    # The machine is gone. On another one, with nothing on it, the first of these is restored.
    said = elsewhere.done("restore", made[0])
    assert "What was done after that is lost" in said
    after = elsewhere.figures()
    known = len(before["events"])
    assert after["events"][:known] == before["events"]
    assert after["events"][-1][1] == "installation.restored"
    assert after["proofs"] == before["proofs"]
    assert after["replays"] == before["replays"]
    assert elsewhere.documents().items() >= documents.items()

    # The same file again, as the restore says: it is imported once, whether it was in the backup or not.
    elsewhere.done("ingest", str(large), "-s", "aws")
    assert after["charges"] in (before["charges"], before["charges"] + ROWS)
    months = json.loads(elsewhere.done("periods", "list", "--json"))["periods"]
    assert {each["period"]: each["charges"] for each in months}["2026-03"] == ROWS


def test_a_killed_backup_leaves_nothing_that_looks_whole_and_a_killed_restore_is_done_again(lost, elsewhere, tmp_path):
    backups = tmp_path / "backups"
    killed = Program(manage("backup", str(backups)), tmp_path / "backup.log", lost.environment).start()
    until(lambda: backups.exists() and [*backups.iterdir()], "a backup that is being written")
    killed.kill()
    assert not [*backups.glob("*.zip")]
    path = Path(json.loads(lost.done("backup", str(backups), "--json"))["file"])
    assert [*backups.iterdir()] == [path]

    killed = Program(manage("restore", str(path)), tmp_path / "restore.log", elsewhere.environment).start()
    until(lambda: [*elsewhere.var.glob("statements/*/*.pdf")], "files that are being restored")
    killed.kill()
    elsewhere.done("restore", str(path))
    assert elsewhere.documents() == lost.documents()
    elsewhere.done("verify_audit")
    # Now it is somebody's, and stays as it is.
    refused = elsewhere.run("restore", str(path))
    assert refused.returncode == 1
    assert "is not empty" in refused.stderr


def test_an_installation_moves_to_another_database_and_back(lost, tmp_path):
    """From SQLite to PostgreSQL and back where there is one; else from one file to another."""
    of_sqlite = connection.vendor == "sqlite"
    there = Installation(tmp_path / "there", "there", "sqlite")
    back = Installation(tmp_path / "back", "back")
    try:
        before = lost.figures()
        said = lost.move_to(there)
        assert f"from {'SQLite' if of_sqlite else 'PostgreSQL'} to SQLite" in said
        assert "set DATABASE_URL=" in said
        # The old database and the new one are the same to the last row, with the event that tells of the move.
        digests = lost.digests()
        assert there.digests() == digests
        after = there.figures()
        assert after["events"][:-1] == before["events"]
        assert after["events"][-1][1] == "installation.moved"
        assert (after["proofs"], after["replays"]) == (before["proofs"], before["replays"])
        there.done("check", "--database", "default")

        there.move_to(back)
        assert back.digests() == there.digests()
        assert back.figures()["proofs"] == before["proofs"]
        back.done("check", "--database", "default")
        refused = there.run("move_database", back.url)
        assert refused.returncode == 1
        assert "is not empty" in refused.stderr
    finally:
        there.drop()
        back.drop()


def test_an_upgrade_is_rehearsed_on_a_copy_and_done_if_all_holds(lost, tmp_path):
    """A later version of the program brings a migration. The first one of it has a mistake."""
    later = Installation(tmp_path / "later", "later")
    lost.move_to(later)
    try:
        upgrade_and_look(later)
    finally:
        later.drop()


def upgrade_and_look(later: Installation) -> None:
    later.environment["DJANGO_SETTINGS_MODULE"] = "tests.stories.newer.settings"
    later.environment["NEWER"] = "bad"
    before = later.digests()
    refused = later.run("upgrade")
    assert refused.returncode == 1, refused.stdout
    assert "values changed: billed_cost" in refused.stdout
    assert "this does not hold" in refused.stderr
    assert later.digests() == before

    later.environment["NEWER"] = "good"
    answer = json.loads(later.done("upgrade", "--rehearse", "--json"))
    assert answer["migrations"] == ["newer.0001_initial"]
    assert (answer["upgraded"], answer["problems"]) == (False, [])
    assert answer["proved"] >= len(MONTHS)
    changed = {each["table"]: each["says"] for each in answer["changes"]}
    assert changed["newer_extra"] == "new, with 0 rows"
    assert changed["billing_department"] == "values changed: name"
    assert "billing_charge" not in changed
    assert later.digests() == before

    assert "The database is up to date." in later.done("upgrade")
    after, numbers = later.digests()
    assert after["billing_charge"] == before[0]["billing_charge"]
    assert after["billing_department"] != before[0]["billing_department"]
    assert "newer_extra" in numbers
    later.done("check", "--database", "default")
    assert "No migration waits" in later.done("upgrade", "--rehearse")

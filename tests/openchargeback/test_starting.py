"""Setting an installation up, and running it: initialize, sync_roles, serve."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command

from billing.models import Policy, Source
from openchargeback import serving
from openchargeback.roles import ROLES

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("port", ["0", "99999", "-1", "http"])
@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_port_that_is_none_is_refused(command, port):
    with pytest.raises(CommandError, match="is no port"):
        call_command(command, f"--port={port}")


@pytest.mark.django_db
def test_initialize_makes_all_a_new_installation_needs_and_repeats_safely():
    out = StringIO()
    call_command("initialize", "--json", stdout=out)
    first = json.loads(out.getvalue())
    assert {"aws", "azure", "gcp", "oci", "hpc", "storage", "it_storage", "ai"} == set(first["sources_added"])
    assert set(Group.objects.values_list("name", flat=True)) == set(ROLES)
    assert Policy.objects.count() == 1
    assert not Source.objects.exclude(recovery_fund_org="", recovery_account="", debit_account="").exists()
    out = StringIO()
    call_command("initialize", "--json", stdout=out)
    again = json.loads(out.getvalue())
    assert again["sources_added"] == [] == again["migrations"]
    assert not any(role["added"] or role["removed"] for role in again["roles"])


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("aws_2025-01.csv", "aws"),
        ("hpc_2025-01.csv", "hpc"),
        ("it_storage_2025-01.csv", "it_storage"),
        ("storage_2025-01.csv", "storage"),
        ("AI_Tokens-2026-02.csv", "ai"),
        ("google-export.csv", "gcp"),
        ("0000000123456789-00001.csv", None),
        ("details_2025-01.csv", None),
    ],
)
def test_reference_patterns_guess_the_source_of_a_file(name, source):
    call_command("initialize", stdout=StringIO())
    found = Source.objects.for_file_name(name)
    assert (found.name if found else None) == source


@pytest.mark.django_db
def test_sync_roles_takes_away_what_a_role_no_longer_holds():
    call_command("sync_roles", stdout=StringIO())
    Group.objects.get(name="viewer").permissions.set(Group.objects.get(name="admin").permissions.all())
    out = StringIO()
    call_command("sync_roles", "--json", stdout=out)
    viewer = next(role for role in json.loads(out.getvalue())["roles"] if role["name"] == "viewer")
    assert viewer["removed"]
    assert not Group.objects.get(name="viewer").permissions.filter(codename="close_period").exists()


def free_port():
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_port_in_use_is_refused_with_what_to_do():
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(serving.CannotServe, match="--port"):
            serving.require_free("127.0.0.1", taken.getsockname()[1])


@pytest.mark.django_db
def test_serving_waits_for_migrations(monkeypatch):
    monkeypatch.setattr(serving.MigrationExecutor, "migration_plan", lambda self, targets: ["one"])
    with pytest.raises(CommandError, match="initialize"):
        call_command("serve", port=free_port())


def test_when_one_child_ends_the_others_are_ended_with_it():
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    began = time.monotonic()
    served = serving.run_together(
        {"web": sleeper, "worker": [sys.executable, "-c", "raise SystemExit(3)"]}, started=lambda: None
    )
    assert (served.child, served.exit_code, served.asked) == ("worker", 3, False)
    assert time.monotonic() - began < 15


def test_a_signal_ends_all_children(tmp_path):
    children: list[int] = []
    script = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"

    def interrupt():
        for name in ("one", "two"):
            while not (tmp_path / name).exists() or not (tmp_path / name).read_text():
                time.sleep(0.02)
            children.append(int((tmp_path / name).read_text()))
        os.kill(os.getpid(), signal.SIGTERM)

    served = serving.run_together(
        {name: [sys.executable, "-c", script, str(tmp_path / name)] for name in ("one", "two")}, started=interrupt
    )
    assert served.asked
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


def test_one_command_serves_the_site_and_ends_when_told(tmp_path):
    """Web and worker on a scratch SQLite database, over plain http in debug mode."""
    environment = {**os.environ, "DEBUG": "true", "VAR_DIR": str(tmp_path)}
    environment["DATABASE_URL"] = f"sqlite:///{tmp_path / 'db.sqlite3'}"
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "initialize"], cwd=ROOT, env=environment, check=True, capture_output=True)
    port = free_port()
    with (tmp_path / "log").open("w") as log:
        site = subprocess.Popen(
            [*manage, "serve", "--port", str(port), "--web-workers", "1"],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        page = ""
        for _ in range(150):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/accounts/login/", timeout=5) as answer:
                    page = answer.read().decode()
                break
            except OSError:
                time.sleep(0.2)
        assert "password" in page, (tmp_path / "log").read_text()
        site.send_signal(signal.SIGTERM)
        assert site.wait(40) == 0
    finally:
        site.kill()
        site.wait()
    assert "Ended." in (tmp_path / "log").read_text()

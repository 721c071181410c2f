"""Setting an installation up, and running it: initialize, sync_roles, serve."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command, get_commands
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.urls import reverse

from billing import schema
from billing.models import AuditEvent, Policy, Source, User
from openchargeback import __version__, serving, versions
from openchargeback.middleware import StaticFilesMiddleware
from openchargeback.roles import ROLES
from tests import build
from tests.stories.machines import PATIENCE, Program, descendants, free_port, manage, parents, until

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.same_on_either
@pytest.mark.parametrize("port", ["0", "99999", "-1", "http"])
@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_port_that_is_none_is_refused(command, port):
    with pytest.raises(CommandError, match="is no port"):
        call_command(command, f"--port={port}")


def test_links_lead_to_the_port_that_is_served_unless_the_site_has_an_address(monkeypatch, settings):
    monkeypatch.setenv("SITE_URL", "https://billing.u.edu")
    serving.link_to(8077)
    assert os.environ["SITE_URL"] == "https://billing.u.edu"
    monkeypatch.delenv("SITE_URL")
    serving.link_to(8077)
    # The web server and the worker begin with the same.
    assert settings.SITE_URL == os.environ["SERVED_AT"] == "http://localhost:8077"


@pytest.mark.parametrize("of_a_real_one", ["", "https://billing.u.edu"])
def test_the_processes_of_the_sample_institution_link_to_its_port(monkeypatch, tmp_path, of_a_real_one):
    """They have none of the settings of an installation beside it."""
    code = (
        "import os, django; django.setup()\n"
        "from openchargeback import serving\n"
        "serving.link_to(8077)\n"
        "import subprocess, sys\n"
        "asked = 'from django.conf import settings; print(settings.SITE_URL)'\n"
        "print(subprocess.run([sys.executable, '-c', asked], check=True, capture_output=True, text=True).stdout)"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("SITE_URL", "SERVED_AT")}
    environment |= {"DEMO": "true", "VAR_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "openchargeback.settings"}
    environment |= {"SITE_URL": of_a_real_one} if of_a_real_one else {}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "http://localhost:8077"


@pytest.mark.django_db
def test_initialize_makes_all_a_new_installation_needs_and_repeats_safely():
    out = StringIO()
    call_command("initialize", "--json", stdout=out)
    first = json.loads(out.getvalue())
    assert {"aws", "azure", "gcp", "azure-local", "oci", "hpc", "storage", "it_storage", "ai"} == set(
        first["sources_added"]
    )
    assert set(Group.objects.values_list("name", flat=True)) == set(ROLES)
    assert Policy.objects.count() == 1
    assert not Source.objects.exclude(recovery_fund_org="", recovery_account="", debit_account="").exists()
    out = StringIO()
    call_command("initialize", "--json", stdout=out)
    again = json.loads(out.getvalue())
    assert again["sources_added"] == [] == again["migrations"]
    assert not any(role["added"] or role["removed"] for role in again["roles"])


@pytest.mark.django_db
def test_initialize_names_what_is_lacking_and_nothing_that_is_there():
    def next_steps(**options):
        out = StringIO()
        call_command("initialize", stdout=out, **options)
        return next((line for line in out.getvalue().splitlines() if line.startswith("Next: ")), "")

    assert next_steps() == (
        "Next: `manage.py createsuperuser` for a first account, `manage.py sources set NAME …` for accounting, "
        "`manage.py ingest FILE…`."
    )
    User.objects.create_user("root")
    assert next_steps().startswith("Next: `manage.py sources set NAME …`")
    # The demo has accounts of its own, and says what is next at its end.
    assert next_steps(names_next=False) == ""
    build.an_import(source=build.a_source("lab"))
    assert next_steps() == ""


@pytest.mark.django_db
def test_initialize_asks_for_the_own_e_mail_domains_until_they_are_named():
    out = StringIO()
    call_command("initialize", stdout=out)
    assert "name your own e-mail domains: `manage.py people domains DOMAIN`" in out.getvalue()
    call_command("people", "domains", "u.edu", stdout=StringIO())
    out = StringIO()
    call_command("initialize", stdout=out)
    assert "e-mail domains" not in out.getvalue()


@pytest.mark.same_on_either
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
        ("azure_2025-01.csv", "azure"),
        ("azure-local_2025-01.csv", "azure-local"),
        ("Azure_Local-2025-01.csv", "azure-local"),
        ("azure-stack-2025-Q1.parquet", "azure-local"),
        ("aws-focus-2026-02.csv.gz", "aws"),
        ("2026-02-aws.csv", "aws"),
        ("gcp_billing_export.csv", "gcp"),
        ("azure_202602_actual.parquet", "azure"),
        ("central-storage-2026-02.csv", "it_storage"),
        ("ceph_2026-02.csv", "storage"),
        ("oci/FOCUS Reports/2026/01/15/0001-00001.csv.gz", "oci"),
        ("aws.zip/part-00001.csv", "aws"),
        ("laws_2025-01.csv", None),
        ("aws-east_2025-01.csv", None),
        ("rain_2025-01.csv", None),
    ],
)
def test_reference_patterns_guess_the_source_of_a_file(name, source):
    call_command("initialize", stdout=StringIO())
    found = Source.objects.for_file_name(name)
    assert (found.name if found else None) == source


# Every command of ours that works on the database, with arguments that parse.
ON_THE_DATABASE = [
    "accounting_calendar list",
    "attribute -p 2025-01",
    "account_rules export -o rules.csv",
    "attribution_rules export -o rules.csv",
    "audit list",
    "backup /elsewhere",
    "changepassword root",
    "createsuperuser --username root --email root@u.edu",
    "cloud_accounts export -o accounts.csv",
    "corrections list",
    "departments export -o departments.csv",
    "dispose --before FY2000",
    "exchange_rates list",
    "feeds list",
    "export_journal -p 2025-01",
    "export_receivables -p 2025-01",
    "funds list",
    "projects export -o projects.csv",
    "generate -p 2025-01",
    "imports list",
    "import_legacy a.db",
    "ingest a.csv",
    "invoices list -p 2025-01",
    "jobs list",
    "journal_layouts list",
    "journals list",
    "lookups list",
    "move_database sqlite:////elsewhere.sqlite3",
    "people list",
    "periods list",
    "preflight 2025-01",
    "prepayments list",
    "proof -p 2025-01",
    "report value",
    "questions list",
    "qcluster",
    "rate_study list",
    "rates list",
    "recover_admin root --without-terminal",
    "replay -p 2025-01",
    "review list -p 2025-01",
    "usage -f tiger -p 2025-01",
    "send_statements -p 2025-01",
    "valid_values list",
    "serve",
    "show ada@u.edu",
    "sources list",
    "splits try genomics --share BIO-001=100",
    "subsidies list",
    "sync_roles",
    "trace 1",
    "verify_audit",
    "verify_files",
]
# What works without one.
ON_NONE = {"demo", "doctor", "flush", "initialize", "restore", "upgrade", "version"}


def test_every_command_is_asked_whether_it_needs_initialize():
    ours = {name for name, app in get_commands().items() if app in (*schema.APPS, "openchargeback")}
    assert {line.split()[0] for line in ON_THE_DATABASE} == ours - ON_NONE


@pytest.mark.django_db
@pytest.mark.parametrize("line", ON_THE_DATABASE)
@pytest.mark.parametrize("applied", [set(), {("billing", "0001_initial")}], ids=["empty", "older"])
def test_before_initialize_every_command_says_what_to_run(monkeypatch, line, applied):
    monkeypatch.setattr(MigrationRecorder, "applied_migrations", lambda self: applied)
    name, *arguments = line.split()
    with pytest.raises(CommandError, match=r"run `manage.py initialize` first\."):
        call_command(name, *arguments, stdout=StringIO())


OF_BEFORE = {("billing", "0001_people_sources_charges"), ("billing", "0002_review_queue")}


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["initialize", "periods list", "serve"])
@pytest.mark.parametrize(
    ("applied", "reason"),
    [
        (OF_BEFORE, "of another version of this program (billing.0001_people_sources_charges and 1 more), from before"),
        ({*schema.ours(), ("billing", "9999_later")}, "(billing.9999_later), a newer one. Install that version again"),
    ],
    ids=["before", "newer"],
)
def test_tables_of_another_version_are_refused_with_the_way_out(monkeypatch, name, applied, reason):
    monkeypatch.setattr(MigrationRecorder, "applied_migrations", lambda self: applied)
    monkeypatch.setattr(
        "openchargeback.management.commands.initialize.call_command", lambda *a, **k: pytest.fail("migrated")
    )
    with pytest.raises(CommandError, match=re.escape(reason)):
        call_command(*name.split(), stdout=StringIO())


def test_on_an_empty_database_commands_end_with_one_line(tmp_path):
    environment = {**os.environ, "DEBUG": "true", "VAR_DIR": str(tmp_path)}
    environment["DATABASE_URL"] = f"sqlite:///{tmp_path / 'db.sqlite3'}"
    for line in ("periods list", "createsuperuser", "serve"):
        done = subprocess.run(
            [sys.executable, "manage.py", *line.split()], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 1
        assert done.stderr == "CommandError: The database is empty: run `manage.py initialize` first.\n"


@pytest.mark.django_db
def test_an_empty_database_is_told_apart_on_the_database_itself(monkeypatch):
    """Without the table of migrations there is nothing to ask: on SQLite and on PostgreSQL."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE django_migrations RENAME TO somebody_elses")
    with pytest.raises(CommandError, match="The database is empty"):
        call_command("periods", "list", stdout=StringIO())


@pytest.mark.django_db
def test_the_audit_log_says_which_version_was_installed_when(monkeypatch):
    def recorded():
        events = AuditEvent.objects.filter(action="installation.version_set").order_by("id")
        return [(event.before, event.after) for event in events]

    call_command("initialize", stdout=StringIO())
    call_command("initialize", stdout=StringIO())
    assert recorded() == [(None, {"version": __version__})]
    monkeypatch.setattr(versions, "__version__", "9.9")
    call_command("initialize", stdout=StringIO())
    assert recorded()[1:] == [({"version": __version__}, {"version": "9.9"})]


@pytest.mark.django_db
def test_who_is_signed_in_sees_the_version_at_the_foot_and_a_stranger_does_not(client, cast):
    assert f"OpenChargeback {__version__}" not in client.get(reverse("login")).content.decode()
    client.force_login(cast.viewer)
    assert f"OpenChargeback {__version__}" in client.get(reverse("admin:index")).content.decode()
    client.force_login(cast.pi)
    assert f"OpenChargeback {__version__}" in client.get(reverse("portal:statements")).content.decode()


@pytest.mark.filterwarnings("error")
def test_no_folder_of_collected_files_is_needed(settings, tmp_path):
    settings.STATIC_ROOT, settings.WHITENOISE_AUTOREFRESH = tmp_path / "none", False
    StaticFilesMiddleware(lambda request: None)
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "own.css").touch()
    assert "/static/own.css" in StaticFilesMiddleware(lambda request: None).files


@pytest.mark.django_db
def test_sync_roles_takes_away_what_a_role_no_longer_holds():
    call_command("sync_roles", stdout=StringIO())
    Group.objects.get(name="viewer").permissions.set(Group.objects.get(name="admin").permissions.all())
    out = StringIO()
    call_command("sync_roles", "--json", stdout=out)
    viewer = next(role for role in json.loads(out.getvalue())["roles"] if role["name"] == "viewer")
    assert viewer["removed"]
    assert not Group.objects.get(name="viewer").permissions.filter(codename="close_period").exists()


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


@pytest.mark.slow
def test_one_command_serves_the_site_and_ends_when_told(tmp_path):
    """Web and worker on a scratch SQLite database, over plain http in debug mode."""
    environment = {**os.environ, "DEBUG": "true", "VAR_DIR": str(tmp_path)}
    environment["DATABASE_URL"] = f"sqlite:///{tmp_path / 'db.sqlite3'}"
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "initialize"], cwd=ROOT, env=environment, check=True, capture_output=True)
    port = free_port()
    with (tmp_path / "log").open("w") as log:
        site = subprocess.Popen(
            [*manage, "serve", "--port", str(port), "--web-workers", "2"],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        until(lambda: is_taken(port), f"the site; {(tmp_path / 'log').read_text()}")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/accounts/login/", timeout=PATIENCE) as answer:
            page = answer.read().decode()
        assert "password" in page, (tmp_path / "log").read_text()
        until(lambda: b"false" not in fetched(port, "/readyz?worker=no"), "the site is ready")
        for _ in range(9):
            fetched(port, "/accounts/login/")
        # Both processes counted, whichever tells it.
        one = 'openchargeback_requests_total{area="accounts",method="GET",status="200"} 10.0'
        assert one in fetched(port, "/metrics").decode()
        site.send_signal(signal.SIGTERM)
        assert site.wait(40) == 0
    finally:
        site.kill()
        site.wait()
    assert "Ended." in (tmp_path / "log").read_text()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="Tells what runs by /proc")
@pytest.mark.parametrize("victim", ["serve", "web", "worker"])
def test_whatever_is_killed_the_rest_ends_and_the_port_is_free(tmp_path, victim):
    """`kill -9` of the command itself, which can end nothing any more, or of one that started others."""
    environment = {**os.environ, "DEBUG": "true", "VAR_DIR": str(tmp_path)}
    environment["DATABASE_URL"] = f"sqlite:///{tmp_path / 'db.sqlite3'}"
    subprocess.run(manage("initialize"), cwd=ROOT, env=environment, check=True, capture_output=True)
    port = free_port()
    serve = manage("serve", "--port", str(port), "--web-workers", "2")
    site = Program(serve, tmp_path / "log", environment).start()
    family: set[int] = set()
    try:
        until(lambda: is_taken(port), f"the site; {site.said()}")
        # Itself; gunicorn and its two; the worker with its guard, task, monitor and pusher.
        family = until(lambda: len(found := descendants(site.pid)) >= 8 and found, f"all processes; {site.said()}")
        children = {pid: named(pid) for pid, parent in parents().items() if parent == site.pid}
        chosen = {"web": "gunicorn", "worker": "qcluster"}
        killed = next((pid for pid, words in children.items() if chosen.get(victim, "?") in words), site.pid)
        os.kill(killed, signal.SIGKILL)
        until(lambda: site.process and site.process.poll() is not None, f"serve ends; {site.said()}")
        until(lambda: not family & set(parents()), f"the others end; {site.said()}")
        serving.require_free("127.0.0.1", port)
    finally:
        for pid in family & set(parents()):
            os.kill(pid, signal.SIGKILL)
        site.kill()


def fetched(port, address):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{address}", timeout=PATIENCE) as answer:
        return answer.read()


def is_taken(port):
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def named(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")


def test_a_port_that_is_just_given_up_is_waited_for():
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    port = taken.getsockname()[1]
    threading.Timer(0.3, taken.close).start()
    serving.require_free("127.0.0.1", port, patience=20.0)


def test_serving_on_a_taken_port_says_so_in_a_sentence(tmp_path):
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(serving.CannotServe) as refused:
            serving.require_free("127.0.0.1", port)
    assert str(refused.value) == (
        f"Port {port} of 127.0.0.1 is taken: another program listens there, perhaps this site, which is running "
        "already. End that one, or choose another port with --port."
    )

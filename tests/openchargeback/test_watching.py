"""What programs ask: whether the site answers, whether it is ready, its figures, and what a doctor says."""

import io
import json
import re

import pytest
from django import db
from django.core.management import CommandError, call_command
from django.db import connection
from prometheus_client.parser import text_string_to_metric_families

from billing import safeguards
from billing.background import heartbeat
from billing.models import AuditEvent, Job
from openchargeback.help import pages
from tests import build
from tests.test_pages import with_events

pytestmark = pytest.mark.django_db

ALL = {"database", "tables", "safeguards", "worker", "files"}


def away(*args, **kwargs):
    raise db.OperationalError("could not connect to server")


@pytest.fixture
def works():
    """Have all in order: a worker says that it runs."""
    heartbeat.beat()


def figures(client, **headers):
    """Return the figures by their names and labels."""
    answer = client.get("/metrics", **headers)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(answer.content.decode())
    return {(one.name, *sorted(one.labels.items())): one.value for family in families for one in family.samples}


# Probes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["testserver", "10.1.2.3:8000", "nobody.example"])
def test_a_process_says_that_it_answers_whatever_it_is_called(client, settings, host, monkeypatch):
    settings.ALLOWED_HOSTS, settings.SECURE_SSL_REDIRECT = ["billing.u.edu"], True
    with monkeypatch.context() as gone:
        gone.setattr(connection, "cursor", away)
        answer = client.get("/healthz", HTTP_HOST=host)
    assert (answer.status_code, answer.content, answer.headers["Cache-Control"]) == (200, b"ok\n", "no-store")
    assert not answer.cookies


def test_it_is_ready_when_every_part_is(client, works):
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "checks": dict.fromkeys(ALL, "ok")})


def test_without_a_worker_it_is_not_ready_unless_nobody_asks_for_one(client):
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == dict.fromkeys(ALL, "ok") | {"worker": "failed"}
    assert client.get("/readyz?worker=no").status_code == 200


def test_without_a_safeguard_it_is_not_ready(client, works):
    name, table = next((each, of[0]) for each, of in safeguards.installed(connection).items())
    with connection.cursor() as cursor:
        cursor.execute(f'DROP TRIGGER "{name}"' + (f" ON {table}" if connection.vendor == "postgresql" else ""))
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["safeguards"]) == (503, "failed")
    # Which one it is, only the log and the system page say.
    assert name not in answer.content.decode()


def test_without_a_database_it_is_not_ready_and_says_no_more(client, works, monkeypatch):
    with monkeypatch.context() as gone:
        gone.setattr(connection, "cursor", away)
        answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == dict.fromkeys(ALL, "failed") | {"files": "ok"}
    assert "connect" not in answer.content.decode()


def test_where_nothing_can_be_written_it_is_not_ready(client, works, settings, tmp_path):
    settings.VAR_DIR = tmp_path / "gone"
    assert client.get("/readyz").json()["checks"]["files"] == "failed"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_only_read(client, path):
    assert client.post(path).status_code == 405
    assert client.head(path).content == b""


# Figures ----------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_figures_say_what_stands(client, cast, works):
    with_events()
    Job.objects.create(kind=Job.Kind.IMPORT, created_at=build.NOW)
    call_command("verify_audit", stdout=io.StringIO())
    found = figures(client)
    assert found["openchargeback_jobs", ("kind", "import"), ("state", "queued")] == 1
    assert found["openchargeback_oldest_queued_job_seconds",] > 0
    assert found["openchargeback_oldest_running_job_seconds",] == 0
    assert found["openchargeback_workers",] == 1
    head = AuditEvent.objects.order_by("-pk").first()
    assert found["openchargeback_audit_events",] == head.pk
    assert found["openchargeback_audit_head_timestamp_seconds",] == pytest.approx(head.at.timestamp())
    assert found["openchargeback_audit_whole",] == 1
    assert {found["openchargeback_ready", ("check", each)] for each in ALL} == {1}


def test_requests_are_counted_by_area_and_name_nobody(client, cast):
    before = figures(client)
    client.force_login(cast.admin)
    client.get("/admin/")
    client.get("/statements/2025-01-0007-1/secret@u.edu/")
    answer = client.get("/metrics")
    assert "secret" not in answer.content.decode()
    found = figures(client)
    one = ("openchargeback_requests_total", ("area", "admin"), ("method", "GET"), ("status", "200"))
    other = ("openchargeback_requests_total", ("area", "portal"), ("method", "GET"), ("status", "404"))
    assert [found[each] - before.get(each, 0) for each in (one, other)] == [1, 1]
    seconds = ("openchargeback_request_seconds_count", ("area", "admin"))
    assert found[seconds] - before.get(seconds, 0) == 1


def test_figures_of_a_database_that_is_away_say_that(client, monkeypatch):
    with monkeypatch.context() as gone:
        gone.setattr(connection, "cursor", away)
        found = figures(client)
    assert found["openchargeback_ready", ("check", "database")] == 0
    assert not any(name.startswith("openchargeback_jobs") for name, *_ in found)


@pytest.mark.parametrize(
    "from_elsewhere",
    [
        {"REMOTE_ADDR": "10.1.2.3"},
        {"REMOTE_ADDR": ""},
        {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"HTTP_X_REAL_IP": "127.0.0.1"},
        {"HTTP_FORWARDED": "for=127.0.0.1"},
        {"HTTP_VIA": "1.1 proxy"},
    ],
)
def test_without_a_token_only_this_machine_reads_figures(client, from_elsewhere):
    assert client.get("/metrics", REMOTE_ADDR="127.0.0.1").status_code == 200
    assert client.get("/metrics", REMOTE_ADDR="::1").status_code == 200
    answer = client.get("/metrics", **from_elsewhere)
    assert (answer.status_code, answer.content) == (404, b"Not found\n")


def test_with_a_token_who_knows_it_reads_figures(client, settings):
    settings.METRICS_TOKEN = "gräbt-tief"
    assert client.get("/metrics").status_code == 404
    assert client.get("/metrics", HTTP_AUTHORIZATION="Bearer wrong").status_code == 404
    headers = {"HTTP_AUTHORIZATION": "Bearer gräbt-tief", "REMOTE_ADDR": "10.1.2.3"}
    assert client.get("/metrics", **headers).status_code == 200


# The doctor -------------------------------------------------------------------------------------------


def doctor(*arguments):
    """Return what it printed, and what it refused, if it did."""
    out = io.StringIO()
    try:
        call_command("doctor", *arguments, stdout=out)
    except CommandError as error:
        return out.getvalue(), str(error)
    return out.getvalue(), ""


def test_a_doctor_ends_well_where_nothing_has_to_be_mended(cast, works, settings):
    said, refused = doctor()
    assert refused == ""
    assert "  ok    Worker: 1 is running\n" in said
    assert "MEND" not in said
    # What only should be looked at is no reason to fail, unless asked for.
    settings.DEBUG = True
    assert doctor()[1] == ""
    assert "Debug mode" in doctor("--strict")[1]


def test_a_doctor_says_what_to_mend_and_where_it_stands_how(cast):
    said, refused = doctor()
    assert refused == "Not in order: Worker."
    assert "  MEND  Worker: none so far\n        see docs/operations/README.md#the-worker\n" in said
    found = json.loads(doctor("--json")[0])
    assert found["ok"] is False
    (worker,) = (fact for group in found["groups"] for fact in group["facts"] if fact["code"] == "worker")
    assert (worker["state"], worker["help"]) == ("bad", "operations#the-worker")


def test_each_file_that_a_doctor_names_is_there(cast):
    for named in re.findall(r"see docs/([^#\n]+)", doctor()[0]):
        assert (pages.DOCS / named).is_file()


def test_a_doctor_looks_at_the_rest_where_the_database_is_away(cast, monkeypatch):
    monkeypatch.setattr("openchargeback.system.gathering.heartbeat.workers", away)
    said, refused = doctor()
    assert refused == "Not in order: Background work."
    assert "Background work: cannot be looked at: could not connect to server" in said
    assert "Safeguards: all" in said

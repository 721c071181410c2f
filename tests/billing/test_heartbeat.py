"""Whether a background worker is alive, and what staff pages say where none is."""

import datetime
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from billing.background import heartbeat, standstill, working
from billing.models import Job, Worker

pytestmark = pytest.mark.django_db

MINUTE = datetime.timedelta(minutes=1)


def silent_for(span: datetime.timedelta) -> None:
    """Let the last word of the worker be that old."""
    if connection.vendor == "sqlite":
        seen = time.time() - span.total_seconds()
        os.utime(Path(settings.VAR_DIR) / "working" / "worker", (seen, seen))
    else:
        Worker.objects.update(seen_at=timezone.now() - span)


def test_a_worker_is_alive_for_a_minute_after_its_last_word():
    assert not heartbeat.is_worker_alive()
    heartbeat.beat()
    assert heartbeat.is_worker_alive()
    silent_for(MINUTE / 2)
    assert heartbeat.is_worker_alive()
    silent_for(MINUTE * 1.1)
    assert not heartbeat.is_worker_alive()
    heartbeat.beat()
    assert heartbeat.is_worker_alive()


def test_a_worker_of_another_machine_counts_and_old_ones_are_forgotten():
    if connection.vendor == "sqlite":
        pytest.skip("SQLite serves one machine")
    Worker.objects.create(name="other 1", seen_at=timezone.now())
    Worker.objects.create(name="gone 2", seen_at=timezone.now() - datetime.timedelta(days=2))
    assert heartbeat.is_worker_alive()
    heartbeat.beat()
    heartbeat.beat()
    assert not Worker.objects.filter(name="gone 2").exists()
    assert Worker.objects.count() == 2


QUEUE_WORK = (
    "admin:index",
    "admin:billing_import_changelist",
    "admin:billing_import_upload",
    "admin:billing_job_changelist",
    "admin:billing_heldcharge_changelist",
    "admin:billing_heldcharge_apply",
    "admin:billing_charge_changelist",
    "admin:billing_billingperiod_changelist",
    "admin:billing_fundingsource_load",
    "admin:billing_person_load",
    "admin:statements_statement_changelist",
    "admin:statements_statement_generate",
    "admin:statements_statement_send",
    "admin:statements_email_changelist",
    "admin:journals_journal_changelist",
    "admin:journals_journal_export",
)
NOBODY = "No background worker has run for a minute or longer."


@pytest.mark.parametrize("role", ["viewer", "reviewer", "finance", "admin"])
def test_every_page_that_queues_work_says_that_nobody_works_and_what_to_do(client, cast, role):
    """From the page to the command that starts it, and to silence once it runs."""
    job = Job.objects.create(kind=Job.Kind.IMPORT, created_at=timezone.now(), handed_at=timezone.now())
    client.force_login(getattr(cast, role))
    urls = [*(reverse(page) for page in QUEUE_WORK), reverse("admin:billing_job_change", args=[job.pk])]
    opened = [url for url in urls if client.get(url).status_code == 200]
    assert len(opened) >= 10
    for url in opened:
        page = client.get(url).content.decode()
        assert page.count(NOBODY) == 1, url
        assert '<a href="/help/operations/#the-worker">How to start it</a>' in page
    said = client.get("/help/operations/").content.decode().partition('id="the-worker"')[2]
    assert "manage.py qcluster" in said.partition("<h2")[0]
    assert "manage.py serve" in said.partition("<h2")[0]
    heartbeat.beat()
    for url in opened:
        assert NOBODY not in client.get(url).content.decode(), url
    silent_for(2 * MINUTE)
    assert NOBODY in client.get(opened[0]).content.decode()


@pytest.mark.parametrize("page", ["admin:billing_department_changelist", "admin:billing_person_add", "help"])
def test_a_page_that_queues_nothing_neither_says_nor_asks_it(client, cast, page):
    client.force_login(cast.admin)
    with CaptureQueriesContext(connection) as asked:
        assert NOBODY not in client.get(reverse(page)).content.decode()
    assert not [each for each in asked if "billing_worker" in each["sql"] or "billing_job" in each["sql"]]


@pytest.mark.parametrize("is_alive", [True, False])
def test_a_page_that_queues_work_asks_once(cast, is_alive):
    if is_alive:
        heartbeat.beat()
    with CaptureQueriesContext(connection) as asked:
        assert bool(standstill.notice(cast.viewer)) == (not is_alive)
    assert len(asked) == (0 if connection.vendor == "sqlite" and not is_alive else 1)


def test_a_job_that_waits_for_nobody_says_so_where_its_page_asks(client, cast):
    job = Job.objects.create(kind=Job.Kind.IMPORT, created_at=timezone.now(), handed_at=timezone.now())
    client.force_login(cast.reviewer)
    page = reverse("admin:billing_job_change", args=[job.pk])
    for asked in (page, f"{reverse('admin:index')}?part=running"):
        assert "Waiting: no background worker is running." in client.get(asked).content.decode()
    heartbeat.beat()
    assert client.get(page).context["told"] == "Waiting"
    # What runs is somebody's, however long its worker has said nothing.
    silent_for(2 * MINUTE)
    mark = working.begin(f"job-{job.pk}")
    Job.objects.update(state=Job.State.RUNNING, message="12 of 20", started_at=timezone.now())
    assert client.get(page).context["told"] == "12 of 20"
    working.end(mark)


@pytest.mark.slow
def test_the_worker_process_says_that_it_is_alive_until_it_is_ended(tmp_path):
    """The process that systemd or `serve` starts, on a database of its own."""
    environment = {**os.environ, "DEBUG": "true", "VAR_DIR": str(tmp_path)}
    environment["DATABASE_URL"] = f"sqlite:///{tmp_path / 'db.sqlite3'}"
    root = Path(__file__).resolve().parents[2]
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "initialize"], cwd=root, env=environment, check=True, capture_output=True)
    mark = tmp_path / "working" / "worker"
    assert not mark.exists()
    worker = subprocess.Popen([*manage, "qcluster"], cwd=root, env=environment)
    try:
        until = time.monotonic() + 40
        while not mark.exists() and time.monotonic() < until:
            time.sleep(0.1)
        assert mark.exists()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
    finally:
        worker.kill()
        worker.wait()

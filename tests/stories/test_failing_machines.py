"""The queue is lost, the worker killed, the database restarted, the disk full: each is said, nothing is lost.

The pages are asked as a browser asks them. The worker, Redis and the commands are processes of their own, on the
database of the tests.
"""

import os
import shutil
import subprocess
from io import StringIO

import psycopg
import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import connection
from django.urls import reverse
from django_q.conf import Conf

from billing.models import AuditEvent, Charge, Import, Job
from tests import build
from tests.stories.machines import ROOT, Program, descendants, free_port, manage, parents, until
from tests.stories.stage import row, write
from tests.test_pages import UPLOAD, sent

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        "postgres" not in settings.DATABASES["default"]["ENGINE"],
        reason="On SQLite there is neither a server to restart nor a queue of its own",
    ),
    pytest.mark.skipif(not shutil.which("redis-server"), reason="There is no redis-server on this machine"),
]


class Site:
    """The pages, in this process, and a worker and a Redis beside it."""

    def __init__(self, client, folder, port):
        self.client, self.folder = client, folder
        server = connection.settings_dict
        user = server["USER"] + (f":{server['PASSWORD']}" if server["PASSWORD"] else "")
        self.server = f"postgres://{user}@{server['HOST']}:{server['PORT'] or 5432}"
        self.name = server["NAME"]
        self.environment = {name: value for name, value in os.environ.items() if name != "SERVED_BY"} | {
            "DEBUG": "true",
            "VAR_DIR": str(folder),
            "DATABASE_URL": f"{self.server}/{self.name}",
            "Q_BROKER_URL": f"redis://127.0.0.1:{port}/0",
            "Q_WORKERS": "1",
        }
        redis = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        self.redis = Program(redis, folder / "redis.log")
        self.worker = Program(manage("qcluster"), folder / "worker.log", self.environment)

    def upload(self, name, amounts):
        """Import a file on the page, and return its job."""
        path = write(self.folder / name, [row(amount, ResourceId=f"{name}-{amount}") for amount in amounts])
        self.client.post(UPLOAD, {"files": [SimpleUploadedFile(name, path.read_bytes())]})
        answer = self.client.post(UPLOAD, sent(self.client.get(UPLOAD).context["rows"]) | {"import": "1"})
        job = Job.objects.latest("pk")
        assert answer.url == reverse("admin:billing_job_change", args=[job.pk])
        return job

    def page(self, job):
        return self.client.get(reverse("admin:billing_job_change", args=[job.pk])).content.decode()

    def state(self, job):
        """Return the state that the page of a job shows, and what it says of it."""
        shown = self.client.get(reverse("admin:billing_job_change", args=[job.pk])).context
        return shown["original"].state, shown["told"]

    def until(self, job, state):
        _, said = until(
            lambda: (shown := self.state(job))[0] == state and shown, f"{state}; {self.worker.said()[-3000:]}"
        )
        return said

    def retry(self, job):
        answer = self.client.post(reverse("admin:billing_job_retry", args=[job.pk]))
        again = Job.objects.get(retry_of=job)
        assert answer.url == reverse("admin:billing_job_change", args=[again.pk])
        return again

    def command(self, *arguments, limit=""):
        """Run a command, with a limit on the size of files where there is one; return its code and words."""
        shell = ["bash", "-c", f'ulimit -f {limit}; exec "$@"', "-"] if limit else []
        done = subprocess.run(
            [*shell, *manage(*arguments)],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert limit or "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    def held_up(self):
        """Hold what an import writes last, so that it is in the middle until this is closed."""
        blocker = psycopg.connect(f"{self.server}/{self.name}")
        blocker.execute("LOCK TABLE billing_importtotal IN EXCLUSIVE MODE")
        return blocker

    def at_work(self, job):
        """Wait until the import of a job is in the middle."""
        asking = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'billing_importtotal'::regclass"

        def is_waiting():
            with connection.cursor() as cursor:
                cursor.execute(asking)
                return cursor.fetchone()

        until(is_waiting, f"the import at work; {self.worker.said()[-3000:]}")
        assert Job.objects.get(pk=job.pk).state == "running"


@pytest.fixture
def site(client, tmp_path, monkeypatch):
    call_command("initialize", stdout=StringIO())
    cast = build.the_cast()
    client.force_login(cast.reviewer)
    site = Site(client, tmp_path, free_port())
    monkeypatch.setattr(Conf, "ORM", None)
    monkeypatch.setattr(Conf, "REDIS", site.environment["Q_BROKER_URL"])
    monkeypatch.setattr(Conf, "BROKER_CLASS", "openchargeback.redis_queue.RedisQueue")
    yield site
    site.worker.kill()
    site.redis.kill()


def test_whatever_fails_is_said_and_nothing_is_lost(site):
    # The queue is not there yet: what is asked for is kept, and the page says so.
    first = site.upload("aws_2025-01.csv", ["10.00", "20.00"])
    assert "Kept: the queue cannot be reached now." in site.page(first)
    code, _, said = site.command("jobs", "check")
    assert (code, "The queue cannot be reached" in said, "No background worker runs" in said) == (1, True, True)
    # A worker waits for the queue, and does not end.
    site.worker.start()
    until(lambda: "the worker waits for it" in site.worker.said(), "the worker says that the queue is away")
    assert site.worker.is_running
    assert Job.objects.get(pk=first.pk).state == "queued"
    # It comes: what was kept is done, by itself and once.
    site.redis.start()
    site.until(first, "done")
    assert Charge.objects.live().count() == 2

    # The queue dies with what it had taken, while the worker is busy with something else.
    with site.held_up():
        busy = site.upload("azure_2025-01.csv", ["1.00"])
        site.at_work(busy)
        lost = site.upload("gcp_2025-01.csv", ["5.00"])
        assert Job.objects.get(pk=lost.pk).handed_at is not None
        site.redis.kill()
        kept = site.upload("oci_2025-01.csv", ["7.00"])
        assert "Kept: the queue cannot be reached now." in site.page(kept)

        # And now the worker, in the middle of the import.
        family = descendants(site.worker.pid)
        site.worker.kill()
        until(lambda: not family & set(parents()), "all of the worker ends")
    # Whoever looks is told, at once; the import has failed with its job, and nothing is half-done.
    assert site.until(busy, "failed").startswith("The worker was stopped while it worked on this.")
    assert Import.objects.latest("pk").state == "failed"
    assert Charge.objects.live().count() == 2

    # All of it comes again: what was kept, what was lost, and what is retried.
    site.redis.start()
    again = site.retry(busy)
    # As if the queue had been away for longer than this test takes.
    Job.objects.filter(pk=lost.pk).update(handed_at=build.NOW)
    site.worker.start()
    for job in (lost, kept, again):
        site.until(job, "done")
    assert Charge.objects.live().count() == 5
    assert Import.objects.filter(state="applied").count() == 4

    # The database is restarted in the middle of an import, and is away for a moment.
    blocker = site.held_up()
    cut_off = site.upload("storage_2025-01.csv", ["3.00"])
    site.at_work(cut_off)
    with psycopg.connect(f"{site.server}/postgres", autocommit=True) as root:
        root.execute(f'ALTER DATABASE "{site.name}" ALLOW_CONNECTIONS false')
        try:
            root.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [site.name])
            code, _, said = site.command("jobs", "list")
            assert (code, "The database cannot be reached" in said) == (1, True)
        finally:
            root.execute(f'ALTER DATABASE "{site.name}" ALLOW_CONNECTIONS true')
    blocker.close()
    connection.close()
    # The worker lives, and says what became of it as soon as it can; well within two minutes in any case.
    assert site.until(cut_off, "failed").startswith("The database could not be reached any more while this ran.")
    until(lambda: site.command("jobs", "check") and Import.objects.latest("pk").state == "failed", "the import failed")
    assert Charge.objects.live().count() == 5
    site.until(site.retry(cut_off), "done")
    assert Charge.objects.live().count() == 6

    # The disk is full: no file may be longer than 4 KiB. That is said, nothing of it is there, and it comes again.
    path = write(site.folder / "hpc_2025-01.csv", [row("0.01", ResourceId=f"node-{number}") for number in range(50)])
    code, _, said = site.command("ingest", str(path), limit="4")
    assert code == 1, said
    assert Charge.objects.live().count() == 6
    code, _, said = site.command("ingest", str(path))
    assert code == 0, said
    assert Charge.objects.live().count() == 56

    # All of it is in the audit log, which is whole.
    assert AuditEvent.objects.filter(action="job.failed").count() == 2
    assert AuditEvent.objects.filter(action="job.retried").count() == 2
    assert not Import.objects.filter(state__in=Import.UNFINISHED).exists()
    assert site.command("verify_audit")[0] == 0

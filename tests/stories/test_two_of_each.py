"""Two web servers and two workers, as compose.yaml starts them: on PostgreSQL, Redis and an object storage.

Each has a folder of its own, as machines have: what they share is in the database and in the bucket.
"""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import urllib.error
import urllib.request

import boto3
import psycopg
import pytest
from django.conf import settings
from django.db import connection

from tests import s3
from tests.stories.machines import ROOT, Program, free_port, until
from tests.stories.stage import row, write
from tests.test_configuration import settings_documented
from tests.test_deployment import programs, stage

pytestmark = [
    pytest.mark.slow,
    pytest.mark.own_database,
    pytest.mark.skipif(
        "postgres" not in settings.DATABASES["default"]["ENGINE"], reason="Several machines share no database of SQLite"
    ),
    pytest.mark.skipif(not shutil.which("redis-server"), reason="There is no redis-server on this machine"),
]

# What a person types into `manage.py shell`, or a page asks: the worker does it.
BEGIN = """
import datetime, django
django.setup()
from django.utils import timezone
from billing.audit import Actor
from billing.background import jobs
from billing.models import BillingPeriod, Job
period = BillingPeriod.objects.named("2025-01")
job = jobs.enqueue(kind=Job.Kind.GENERATE, arguments={"period": period.pk},
                   actor=Actor.from_command(), now=timezone.now())
print(job.pk)
"""
LOOK = """
import sys, django
django.setup()
from billing.models import Job
print(Job.objects.get(pk=int(sys.argv[1])).state)
"""


class Site:
    """All that the profile `full` starts, each at an address of this test."""

    def __init__(self, folder, storage):
        self.folder, self.ports = folder, [free_port(), free_port()]
        server = connection.settings_dict
        user = server["USER"] + (f":{server['PASSWORD']}" if server["PASSWORD"] else "")
        self.server = f"postgres://{user}@{server['HOST']}:{server['PORT'] or 5432}"
        self.database = f"two_of_each_{secrets.token_hex(4)}"
        queue = free_port()
        given = {
            "SECRET_KEY": secrets.token_urlsafe(50),
            "DATABASE_PASSWORD": "x",
            "STORAGE_SECRET_KEY": s3.SECRET_KEY,
        }
        there = {
            "DATABASE_URL": f"{self.server}/{self.database}",
            "Q_BROKER_URL": f"redis://127.0.0.1:{queue}/0",
            "STORAGE_ENDPOINT": storage.endpoint,
        }
        clean = {name: value for name, value in os.environ.items() if name not in settings_documented()}
        built = dict(re.findall(r"(\w+)=(\S+)", " ".join(value for name, value in stage() if name == "ENV")))
        asked = {name: said(value, given) for name, value in programs()["web"]["environment"].items()}
        assert there.keys() < asked.keys()
        self.environment = clean | {"LOG_FORMAT": built["LOG_FORMAT"]} | asked | there
        redis = ["redis-server", "--port", str(queue), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        self.programs = [Program(redis, folder / "redis.log")]
        for name in ("web", "worker"):
            service = programs()[name]
            for number in range(service["deploy"]["replicas"]):
                command = [sys.executable, *service["command"][1:]]
                if name == "web":
                    command[command.index("0.0.0.0:8000")] = f"127.0.0.1:{self.ports[number]}"
                own = self.environment_of(f"{name}-{number}")
                self.programs.append(Program(command, folder / f"{name}-{number}.log", own))

    def environment_of(self, machine):
        return self.environment | {"VAR_DIR": str(self.folder / machine)}

    def run(self, *command, machine="third"):
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=self.environment_of(machine), capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}: {done.stdout[-500:]} {done.stderr[-3000:]}"
        return done.stdout

    def manage(self, *command, machine="third"):
        return self.run("manage.py", *command, machine=machine)

    def ready(self, port):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
                return json.loads(answer.read())
        except (urllib.error.URLError, OSError):
            return None

    def said(self):
        return "\n".join(each.said()[-1500:] for each in self.programs)


def said(value, given):
    """Return a value of compose.yaml with its variables filled in, as compose does."""

    def of(found):
        name, _, default = found[1], found[2], found[3]
        return given.get(name, "") or default if found[2] == ":-" else given[name]

    return re.sub(r"\$\{(\w+)(:[-?])([^}]*)\}", of, str(value))


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "s3"
    folder.mkdir()
    storage = s3.Server(folder)
    storage.start()
    site = Site(tmp_path, storage)
    with psycopg.connect(f"{site.server}/postgres", autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{site.database}"')
    boto3.client(
        "s3",
        endpoint_url=storage.endpoint,
        region_name=s3.REGION,
        aws_access_key_id=s3.ACCESS_KEY,
        aws_secret_access_key=s3.SECRET_KEY,
    ).create_bucket(Bucket=site.environment["STORAGE_BUCKET"])
    try:
        yield site
    finally:
        for each in reversed(site.programs):
            each.kill()
        storage.stop()
        with psycopg.connect(f"{site.server}/postgres", autocommit=True) as server:
            server.execute(f'DROP DATABASE "{site.database}" WITH (FORCE)')


def test_a_month_goes_through_two_web_servers_and_two_workers(site, tmp_path):
    site.run(*programs()["setup"]["command"][1:])
    for each in site.programs:
        each.start()
    # Both web servers see all they need: the bucket, and workers on other machines.
    for port in site.ports:
        ready = until(lambda port=port: site.ready(port), f"ready; {site.said()}", patience=300)
        assert ready["checks"]["storage"] == "ok"
        assert ready["ready"] is True

    # A third machine imports a month; a worker on another issues its statements.
    file = write(tmp_path / "aws_2025-01.csv", [row("10.25"), row("20.50", ResourceId="i-2")])
    site.manage("ingest", str(file), "-s", "aws", "-p", "2025-01")
    site.manage("review", "approve", "-p", "2025-01")
    site.environment["DJANGO_SETTINGS_MODULE"] = "openchargeback.settings"
    job = site.run("-c", BEGIN).strip()
    until(lambda: site.run("-c", LOOK, job).strip() in ("done", "failed"), f"the job; {site.said()}", patience=300)
    assert site.run("-c", LOOK, job).strip() == "done", site.said()

    # Nothing of it lies on the disks.
    for machine in ("web-0", "web-1", "worker-0", "worker-1", "third"):
        kept = {path.name for path in (tmp_path / machine).glob("*")}
        assert not kept & {"statements", "journals", "proofs"}, machine

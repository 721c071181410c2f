"""Slow work says how far it has come, how fast it goes and how long it still takes."""

import io
import itertools
from contextlib import closing

import pytest
from django.db import connection, transaction

from billing import progress
from billing.background.jobs import JobProgress
from billing.importing.ingestion import ingest
from billing.models import Job
from billing.progress import Pace, TerminalProgress
from billing.readers import csv_blocks
from tests import build
from tests.billing.deliveries import a_file, a_row


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by ten seconds whenever it is looked at."""
    seconds = itertools.count(100, 10)
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(seconds)))


def test_the_pace_tells_figure_percent_rate_and_time_left():
    pace = Pace()
    assert pace.told(0, 1_000_000, "Reading", 50.0) == ""
    assert pace.told(250_000, 1_000_000, "Reading", 60.0) == "250,000 of 1,000,000 (25%), 25,000/s, 30 s left"
    assert pace.told(260_000, 8_000_000, "Reading", 60.4).endswith(", 5 min 10 s left")
    assert pace.told(1_000_000, 1_000_000, "Reading", 90.0) == "1,000,000 of 1,000,000 (100%), 25,000/s"


def test_another_step_has_a_pace_of_its_own():
    pace = Pace()
    pace.told(0, 0, "Storing", 0.0)
    pace.told(500, 0, "Storing", 100.0)
    assert pace.told(500, 1_000, "Reading", 100.0) == "500 of 1,000 (50%)"
    assert pace.told(600, 1_000, "Reading", 110.0) == "600 of 1,000 (60%), 10/s, 40 s left"


def test_a_terminal_has_a_bar_and_anything_else_has_nothing(clock):
    screen = Terminal()
    bar = TerminalProgress(screen)
    bar(0, 400, "Reading rows of a.csv")
    bar(100, 400, "Reading rows of a.csv")
    assert screen.getvalue().split("\r")[-1].split() == (
        ["Reading", "rows", "of", "a.csv", "[######", "]", "100", "of", "400", "(25%),", "10/s,", "30", "s", "left"]
    )
    file = io.StringIO()
    TerminalProgress(file)(100, 400, "Reading rows of a.csv")
    assert file.getvalue() == ""


@pytest.mark.django_db(transaction=True)
def test_a_job_keeps_the_figure(clock):
    job = Job.objects.create(kind="import", created_at=build.NOW)
    show = JobProgress(job.pk)
    show(0, 400, "Reading rows of a.csv")
    show(100, 400, "Reading rows of a.csv")
    job.refresh_from_db()
    assert job.percent == 25
    assert job.message == "Reading rows of a.csv: 100 of 400 (25%), 10/s, 30 s left"


@pytest.mark.django_db(transaction=True)
def test_a_job_tells_of_a_long_transaction_where_that_can_be_seen(clock):
    job = Job.objects.create(kind="import", created_at=build.NOW)
    with closing(JobProgress(job.pk)) as show, transaction.atomic():
        show(0, 400, "Reading rows of a.csv")
        show(100, 400, "Reading rows of a.csv")
        # Another connection wrote it; this one reads what is committed.
        job.refresh_from_db()
        assert job.percent == (25 if connection.vendor == "postgresql" else 0)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite is told nothing in a transaction.")
@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_holds_its_job_is_not_waited_for(clock):
    job = Job.objects.create(kind="import", created_at=build.NOW)
    with closing(JobProgress(job.pk)) as show, transaction.atomic():
        Job.objects.filter(pk=job.pk).update(message="held")
        show(100, 400, "Reading rows of a.csv")
    job.refresh_from_db()
    assert job.message == "held"


@pytest.mark.django_db
def test_an_import_tells_rows_and_about_how_many_there_are(tmp_path, monkeypatch):
    told = []
    # Smaller pieces than a file of a thousand rows is read in.
    monkeypatch.setattr(csv_blocks, "FIRST_BLOCK", 64 * 1024)
    monkeypatch.setattr(csv_blocks, "LARGEST_BLOCK", 64 * 1024)
    ingest(
        paths=[a_file(tmp_path, [a_row(ResourceId=f"i-{number}") for number in range(1_000)])],
        source=build.a_source("aws"),
        actor=build.SOMEBODY,
        now=build.NOW,
        progress=lambda *each: told.append(each),
    )
    reading = [(done, total) for done, total, doing in told if doing == "Reading rows of aws_2025-01.csv"]
    assert len(reading) > 3
    assert [done for done, _ in reading] == sorted(done for done, _ in reading)
    assert reading[-1] == (1_000, 1_000)
    assert all(900 <= total <= 1_200 or done < 1_000 for done, total in reading)

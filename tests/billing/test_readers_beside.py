"""A process of its own reads the same as this one does, says the same of what is wrong, and never outlives it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import fields

import pytest
from django.db import connection

from billing.importing import duplicates
from billing.importing.ingestion import ingest
from billing.importing.outcomes import ImportRefused
from billing.importing.staging import pg_copy
from billing.models import Charge, Flag, Source
from billing.readers import FileError, open_delivery, understanding
from billing.readers import beside as reading_beside
from billing.readers.batches import BATCH_ROWS, Batch
from billing.readers.beside import TOGETHER, understood
from billing.readers.understanding import Wanted
from tests import build
from tests.billing.deliveries import a_file, a_row
from tests.stories.machines import ROOT, parents, until

# As many rows as are handed over at once, and some.
MANY = BATCH_ROWS * TOGETHER + 300

# What two imports of the same file have each for itself.
NOT_THE_SAME = ("id", "source_id", "imported_in_id")

WANTED = Wanted(currency="USD")


@pytest.fixture
def beside(monkeypatch):
    """Have every part read by another process, and list these."""
    started = []
    start = subprocess.Popen

    def started_too(*arguments, **options):
        started.append(start(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(reading_beside, "LARGE", 0)
    monkeypatch.setattr(reading_beside, "_is_possible", lambda: True)
    monkeypatch.setattr(reading_beside.subprocess, "Popen", started_too)
    yield started
    assert all(process.poll() is not None for process in started), "a process is still running"


def many_rows(**columns):
    return [
        a_row(f"{number}.123456789{number % 10}", ResourceId=f"i-{number}", InvoiceId="INV" if number % 2 else "")
        | columns
        for number in range(MANY)
    ]


def the_part(folder, rows, name="aws_2025-01.csv"):
    path = a_file(folder, rows, name)
    (part,) = open_delivery([path], [name])
    return part


def plainly(batches):
    """Return batches as values that can be compared: all but the name of the tags' numbering, which is no other's."""
    values = [{field.name: getattr(batch, field.name) for field in fields(batch)} for batch in batches]
    return [each | {"tags": each["tags"][1:]} for each in values]


def test_the_same_comes_from_another_process(tmp_path, beside, monkeypatch):
    part = the_part(tmp_path, many_rows())
    there = plainly(understood(part, WANTED))
    assert len(beside) == 1
    monkeypatch.setattr(reading_beside, "LARGE", part.size + 1)
    here = plainly(understood(part, WANTED))
    assert len(beside) == 1
    assert len(there) == TOGETHER + 2
    assert there == here


def test_a_small_part_starts_no_process(tmp_path, beside, monkeypatch):
    monkeypatch.setattr(reading_beside, "LARGE", 4096)
    assert list(understood(the_part(tmp_path, [a_row()]), WANTED))
    assert not beside


def test_a_batch_with_a_value_that_is_none_comes_as_it_is(tmp_path, beside):
    rows = many_rows()
    rows[BATCH_ROWS]["BilledCost"] = "abc"
    kinds = [isinstance(batch, Batch) for batch in understood(the_part(tmp_path, rows), WANTED)]
    assert kinds == [False, True, *[False] * (TOGETHER)]


def test_a_file_that_is_refused_is_refused_in_the_same_words(tmp_path, beside):
    part = the_part(tmp_path, many_rows())
    with part.path.open("a") as file:
        file.write("a,row,too,short\n")
    seen = []
    with pytest.raises(FileError, match=f"The row has 4 fields where the header has {len(a_row()) + 1}") as refused:
        seen.extend(understood(part, WANTED))
    assert refused.value.problems[0].line == MANY + 2
    assert len(seen) == TOGETHER + 1


def test_a_process_that_is_killed_is_an_error_and_no_end(tmp_path, beside):
    reading = understood(the_part(tmp_path, many_rows() * 4), WANTED)
    next(reading)
    os.kill(beside[0].pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match=r"aws_2025-01\.csv ended with -9"):
        list(reading)


def test_nothing_is_lost_where_the_process_is_stopped_as_it_writes(tmp_path, beside, monkeypatch):
    """A signal has the system write a part; PYTHONUNBUFFERED, as containers set it, leaves the rest to the writer."""
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    monkeypatch.setattr(reading_beside, "PIPE_BYTES", 4096)
    part = the_part(tmp_path, many_rows() * 4)
    there = []
    for batch in understood(part, WANTED):
        if len(there) % TOGETHER == 0:
            # The pipe is full by now, and the process waits in the middle of a write.
            time.sleep(0.1)
            os.kill(beside[0].pid, signal.SIGSTOP)
            time.sleep(0.02)
            os.kill(beside[0].pid, signal.SIGCONT)
        there.append(batch)
    monkeypatch.setattr(reading_beside, "LARGE", part.size + 1)
    assert plainly(there) == plainly(understood(part, WANTED))


def test_a_process_ends_with_whoever_wants_no_more(tmp_path, beside):
    reading = understood(the_part(tmp_path, many_rows() * 4), WANTED)
    next(reading)
    assert beside[0].poll() is None
    reading.close()
    assert beside[0].poll() is not None


@pytest.mark.django_db
def test_a_delivery_read_beside_makes_the_same_charges(tmp_path, beside, monkeypatch):
    # The same costs of two sources would be asked about.
    monkeypatch.setattr(duplicates, "imports_elsewhere", lambda *_: {})
    rows = many_rows()
    rows[5]["Tags"] = rows[-1]["Tags"] = "{not json"
    path = a_file(tmp_path, rows)
    same = [each.attname for each in Charge._meta.concrete_fields if each.attname not in NOT_THE_SAME]

    def charges_of(name):
        source = build.a_source(name, import_mode=Source.ImportMode.SNAPSHOT)
        # The second time it is confirmed that the file is of another source than the first time.
        ingest(paths=[path], source=source, force=True, actor=build.SOMEBODY, now=build.NOW)
        mine = Charge.objects.filter(source=source).order_by("line_number")
        flags = Flag.objects.filter(charge__source=source).order_by("charge__line_number", "code")
        return list(mine.values_list(*same)), list(flags.values_list("charge__line_number", "code", "detail"))

    there = charges_of("aws")
    assert len(beside) == 1
    monkeypatch.setattr(reading_beside, "LARGE", 1 << 40)
    assert charges_of("other") == there
    assert len(beside) == 1
    assert len(there[0]) == MANY
    assert {line for line, _, _ in there[1]} == {7, MANY + 1}


@pytest.mark.django_db
def test_tags_are_who_pays_however_many_are_remembered(tmp_path, monkeypatch):
    monkeypatch.setattr(understanding, "REMEMBERED_TAGS", 300)
    people = [f"pi{number % 700}@u.edu" for number in range(MANY)]
    rows = [a_row(ResourceId=email, tags={"pi_email": email, "project_id": "p", "fund_org": "F"}) for email in people]
    other = [row | {"ResourceId": f"other-{row['ResourceId']}"} for row in rows]
    # Two files have numberings of their own, and one of them another after the other.
    ingest(
        paths=[a_file(tmp_path, rows, "aws_2025-01_a.csv"), a_file(tmp_path, other[::-1], "aws_2025-01_b.csv")],
        source=build.a_source("aws"),
        actor=build.SOMEBODY,
        now=build.NOW,
    )
    charged = Charge.objects.values_list("resource__resource_id", "pi__email")
    assert charged.count() == 2 * MANY
    assert all(resource.removeprefix("other-") == email for resource, email in charged)


@pytest.mark.django_db
def test_problems_found_beside_are_named_with_their_lines_and_nothing_is_kept(tmp_path, beside):
    rows = many_rows()
    rows[3]["ListCost"], rows[-1]["ChargePeriodStart"] = "$5", "4/1/25"
    with pytest.raises(ImportRefused) as refused:
        ingest(paths=[a_file(tmp_path, rows)], source=build.a_source("aws"), actor=build.SOMEBODY, now=build.NOW)
    assert [(each["line"], each["column"]) for each in refused.value.errors] == [
        (5, "ListCost"),
        (MANY + 1, "ChargePeriodStart"),
    ]
    assert not Charge.objects.exists()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="Only PostgreSQL has COPY.")
@pytest.mark.django_db
def test_rows_sent_beside_are_there_once_settled_in_the_order_they_came():
    copier = pg_copy.Copier()
    try:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE sent (number integer, text text)")
        texts = ["a\tb", "back\\slash", "new\nline", "", "ü"] * 500
        for start in range(0, 10 * len(texts), len(texts)):
            copier.add("sent", [range(start, start + len(texts)), texts], ("number", "text"))
        copier.settle()
        with connection.cursor() as cursor:
            cursor.execute("SELECT number, text FROM sent")
            assert cursor.fetchall() == list(enumerate(texts * 10))
    finally:
        copier.close()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="Only PostgreSQL has COPY.")
@pytest.mark.django_db(transaction=True)
def test_what_the_server_refuses_is_raised_when_it_is_settled():
    import psycopg

    copier = pg_copy.Copier()
    try:
        copier.add("there_is_no_such_table", [[1]], ("number",))
        with pytest.raises(psycopg.errors.UndefinedTable):
            copier.settle()
    finally:
        copier.close()


def test_the_other_process_ends_when_the_one_that_asked_is_killed(tmp_path):
    """However busy it is: here it waits for more of a file, and would never write into a pipe that nobody reads."""
    path = a_file(tmp_path, [a_row()], "aws_2025-01.csv")
    endless = tmp_path / "endless.csv"
    os.mkfifo(endless)
    asking = f"""
from pathlib import Path
from billing.readers import beside, open_delivery
from tests.endless import EndlessPart
from billing.readers.understanding import Wanted
(part,) = open_delivery([Path({str(path)!r})], ["aws_2025-01.csv"])
part = EndlessPart(**vars(part) | {{"path": Path({str(endless)!r})}})
start = beside.subprocess.Popen
def shown(*given, **named):
    process = start(*given, **named)
    print(process.pid, flush=True)
    return process
beside.subprocess.Popen = shown
next(beside._from_beside(beside.Request(part, Wanted(currency="USD"))))
"""
    asker = subprocess.Popen([sys.executable, "-c", asking], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    reader = int(asker.stdout.readline())

    def opened():
        # Refused until somebody reads.
        with contextlib.suppress(OSError):
            return os.open(endless, os.O_WRONLY | os.O_NONBLOCK)

    pipe = until(opened, "the file is read")
    try:
        asker.kill()
        asker.wait()
        asker.stdout.close()
        until(lambda: reader not in parents(), "the reader ends")
    finally:
        os.close(pipe)
        if reader in parents():
            os.kill(reader, signal.SIGKILL)

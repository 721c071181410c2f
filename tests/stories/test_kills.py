"""A process that is killed while it imports leaves all of the delivery or nothing, and the next run mends it."""

import datetime
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.urls import reverse

from billing.background import working
from billing.files.leftovers import ABANDONED_AFTER, clear_leftovers
from billing.importing import reading
from billing.importing.abandoned import close_broken_off
from billing.importing.outcomes import ImportRefused
from billing.locks import FileLock
from billing.models import AtWork, AuditEvent, Charge, Import
from tests import build
from tests.billing.deliveries import a_row, delivered

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.slow
def test_five_kills_leave_all_or_nothing(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    done = subprocess.run(
        [sys.executable, "benchmarks/kills.py", "--kills", "5", "--rows", "3000"],
        cwd=ROOT,
        env=environment | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all or nothing" in done.stdout


@pytest.mark.django_db
@pytest.mark.parametrize("state", ["received", "checked"])
def test_an_import_whose_process_is_gone_has_failed(state):
    left = build.an_import(state=state, applied_at=None, created_at=build.NOW)
    # A process that dies lets go of its lock and leaves the file.
    working.begin(left.pk).release()
    assert close_broken_off(actor=build.SOMEBODY, now=build.NOW) == 1
    left.refresh_from_db()
    assert left.state == Import.State.FAILED
    assert "was stopped" in left.errors[0]["message"]
    assert AuditEvent.objects.filter(action="import.failed").count() == 1
    assert close_broken_off(actor=build.SOMEBODY, now=build.NOW) == 0


@pytest.mark.django_db
def test_an_import_that_somebody_works_on_is_left_alone():
    busy = build.an_import(state="checked", applied_at=None, created_at=build.NOW)
    mark = working.begin(busy.pk)
    assert close_broken_off(actor=build.SOMEBODY, now=build.NOW) == 0
    working.end(mark)
    assert not mark.path.exists()


@pytest.mark.django_db
def test_an_import_of_another_machine_is_left_alone_while_that_says_that_it_works_on_it():
    if connection.vendor == "sqlite":
        pytest.skip("SQLite serves one machine")
    busy = build.an_import(state="received", applied_at=None, created_at=build.NOW)
    AtWork.objects.create(name=str(busy.pk), host="another", seen_at=Now())
    assert close_broken_off(actor=build.SOMEBODY, now=build.NOW.replace(year=2099)) == 0
    AtWork.objects.update(seen_at=Now() - datetime.timedelta(minutes=2))
    assert close_broken_off(actor=build.SOMEBODY, now=build.NOW) == 1


@pytest.mark.django_db
def test_an_import_that_was_given_up_meanwhile_is_not_applied(tmp_path, monkeypatch):
    """Such as one of a machine that was cut off from the network for minutes, and comes back."""
    read = reading.read

    def given_up(*given, **options):
        done = read(*given, **options)
        Import.objects.update(state=Import.State.FAILED)
        return done

    monkeypatch.setattr(reading, "read", given_up)
    with pytest.raises(ImportRefused, match="given up"):
        delivered(tmp_path, [a_row("100")])
    assert Import.objects.get().state == Import.State.FAILED
    assert not Charge.objects.exists()


@pytest.mark.django_db
def test_pages_say_that_an_import_whose_process_is_gone_has_failed(client, cast):
    left = build.an_import(state="received", applied_at=None)
    client.force_login(cast.viewer)
    page = client.get(reverse("admin:billing_import_change", args=[left.pk])).content.decode()
    assert "nothing of it was applied. Its files can be imported again." in page


def test_half_copies_of_dead_processes_are_removed_and_those_of_living_ones_kept(settings):
    incoming = Path(settings.MEDIA_ROOT) / "incoming"
    incoming.mkdir(parents=True)
    for name in ("dead", "living", "young"):
        (incoming / name).write_text("half")
    os.utime(incoming / "dead", (1, 1))
    with FileLock(incoming / "living") as lock:
        assert lock.acquire()
        os.utime(incoming / "living", (1, 1))
        now = build.NOW.fromtimestamp((incoming / "young").stat().st_mtime + ABANDONED_AFTER / 2, build.NOW.tzinfo)
        clear_leftovers(now)
    assert sorted(path.name for path in incoming.iterdir()) == ["living", "young"]

"""Background jobs: asked for once, done once, never left running by nobody; what a page is too short for."""

import datetime
import os
from pathlib import Path

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from billing import closing, ingestion, jobs, storing, working
from billing.models import AttributionRule, AuditEvent, BillingPeriod, Charge, Import, Job, StoredFile
from tests import build
from tests.billing.deliveries import NO_TAGS, a_row, delivered

pytestmark = pytest.mark.django_db

BY = {"actor": build.SOMEBODY, "now": build.NOW}
KIND = Job.Kind.SEND


@pytest.fixture(autouse=True)
def var_dir(tmp_path, settings):
    settings.VAR_DIR = tmp_path / "var"


@pytest.fixture
def worker(monkeypatch):
    """What would be handed to the worker; `worker()` has it done."""
    waiting = []
    monkeypatch.setattr(jobs, "async_task", lambda name, pk: waiting.append(pk))
    return lambda: [jobs.run(waiting.pop(0)) for _ in list(waiting)]


@pytest.fixture
def cast():
    return build.the_cast()


def a_running_job(**fields):
    values = {"kind": KIND, "state": Job.State.RUNNING, "created_at": build.NOW, "started_at": timezone.now()}
    return Job.objects.create(**values | fields)


def test_of_one_subject_only_one_job_is_unfinished():
    first = jobs.enqueue(kind=KIND, subject="2025-01", arguments={}, **BY)
    assert jobs.enqueue(kind=KIND, subject="2025-01", arguments={}, **BY) == first
    assert jobs.enqueue(kind=KIND, subject="2025-02", arguments={}, **BY) != first
    Job.objects.filter(pk=first.pk).update(state=Job.State.FAILED, finished_at=build.NOW)
    assert jobs.enqueue(kind=KIND, subject="2025-01", arguments={}, **BY) != first


def test_the_database_refuses_a_second_unfinished_job_of_one_subject():
    Job.objects.create(kind=KIND, subject="x", created_at=build.NOW)
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.create(kind=KIND, subject="x", created_at=build.NOW)


def test_jobs_without_a_subject_stand_side_by_side():
    assert jobs.enqueue(kind=KIND, arguments={}, **BY) != jobs.enqueue(kind=KIND, arguments={}, **BY)


def test_a_job_whose_worker_is_gone_ends_as_failed_for_whoever_looks(client, cast):
    job = a_running_job()
    # What a killed process leaves: its mark, which nobody holds.
    working.begin(f"job-{job.pk}").release()
    client.force_login(cast.viewer)
    answer = client.get(reverse("admin:billing_job_state", args=[job.pk])).json()
    assert (answer["state"], answer["is_over"]) == ("failed", True)
    assert "Ask for it again" in answer["message"]
    event = AuditEvent.objects.get(action="job.failed")
    assert (event.actor_name, event.object_id, event.note) == ("system", str(job.pk), answer["message"])


def test_a_job_at_work_is_left_alone():
    job = a_running_job()
    mark = working.begin(f"job-{job.pk}")
    assert jobs.close_abandoned(now=timezone.now()) == 0
    assert jobs.run(job.pk) == "claimed already"
    working.end(mark)


def test_a_job_of_another_machine_is_over_when_the_queue_would_have_ended_it():
    started_at = timezone.now()
    a_running_job(started_at=started_at)
    assert jobs.close_abandoned(now=started_at + datetime.timedelta(hours=3)) == 0
    assert jobs.close_abandoned(now=started_at + datetime.timedelta(hours=5)) == 1


def test_a_job_that_is_delivered_again_after_its_worker_died_is_not_done_twice(monkeypatch):
    done = []
    monkeypatch.setitem(jobs._works, KIND, lambda **_: done.append(1) or {"message": "sent"})
    job = Job.objects.create(kind=KIND, created_at=timezone.now())
    assert jobs.run(job.pk) == "done"
    dead = a_running_job()
    working.begin(f"job-{dead.pk}").release()
    assert jobs.run(dead.pk) == "claimed already"
    dead.refresh_from_db()
    assert (dead.state, done) == ("failed", [1])
    assert not list((settings.VAR_DIR / "working").iterdir())


def test_a_job_that_no_worker_takes_ends_after_a_week():
    job = Job.objects.create(kind=KIND, created_at=build.NOW)
    assert jobs.close_abandoned(now=build.NOW + datetime.timedelta(days=6)) == 0
    assert jobs.close_abandoned(now=build.NOW + datetime.timedelta(days=8)) == 1
    assert jobs.close_abandoned(now=build.NOW + datetime.timedelta(days=8)) == 0
    assert AuditEvent.objects.filter(action="job.failed").get().note == jobs.NEVER_TAKEN
    assert jobs.run(job.pk) == "claimed already"


# Uploads ---------------------------------------------------------------------------------------------


def an_upload(content=b"BilledCost\n"):
    return storing.store_chunks([content], now=build.NOW)


def test_uploads_that_nothing_came_of_are_cleared_after_a_week(tmp_path):
    nobodys, awaited = an_upload(b"one"), an_upload(b"two")
    delivered(tmp_path, [a_row()])
    imported = StoredFile.objects.exclude(pk__in=[nobodys.pk, awaited.pk]).get()
    Job.objects.create(kind=Job.Kind.IMPORT, created_at=timezone.now(), arguments={"files": [awaited.pk]})
    place = storing.local_path(nobodys)
    ingestion.close_broken_off(actor=build.SOMEBODY, now=build.NOW + datetime.timedelta(days=6))
    assert StoredFile.objects.count() == 3
    with transaction.atomic():
        ingestion.close_broken_off(actor=build.SOMEBODY, now=build.NOW + datetime.timedelta(days=8))
    assert set(StoredFile.objects.all()) == {awaited, imported}
    assert place.exists() is False or not StoredFile.objects.filter(pk=nobodys.pk).exists()
    assert storing.local_path(imported).exists()


def test_an_upload_that_comes_again_is_kept_for_another_week():
    stored = an_upload()
    storing.store_chunks([b"BilledCost\n"], now=build.NOW + datetime.timedelta(days=5))
    assert storing.clear_unused(files=[], paths=[], now=build.NOW + datetime.timedelta(days=8)) == 0
    assert StoredFile.objects.get() == stored


def test_copies_of_dry_runs_go_unless_a_job_waits_for_them():
    folders = {}
    for name in ("nobodys", "awaited", "recent"):
        folders[name] = Path(settings.VAR_DIR) / "incoming" / name
        folders[name].mkdir(parents=True)
        (folders[name] / "001").write_text("x")
    old = (timezone.now() - datetime.timedelta(days=8)).timestamp()
    for name in ("nobodys", "awaited"):
        os.utime(folders[name], (old, old))
    storing.clear_unused(files=[], paths=[str(folders["awaited"] / "001")], now=timezone.now())
    assert [name for name, folder in folders.items() if folder.exists()] == ["awaited", "recent"]


# What takes longer than a page may -------------------------------------------------------------------


@pytest.fixture
def deferred(tmp_path):
    """A delivery that changes January, which is closed; March is open."""
    delivered(tmp_path, [a_row("100")])
    closing.close(period=BillingPeriod.objects.named("2025-01"), **BY)
    build.a_period("2025-03")
    return delivered(tmp_path, [a_row("98")]).deferred


def test_a_large_delivery_is_booked_in_the_background_and_once(
    deferred, client, cast, worker, monkeypatch, django_capture_on_commit_callbacks
):
    monkeypatch.setattr(jobs, "LARGE", 0)
    client.force_login(cast.admin)
    url = reverse("admin:billing_import_book", args=[deferred.pk])
    march = BillingPeriod.objects.named("2025-03")
    with django_capture_on_commit_callbacks(execute=True):
        pages = [client.post(url, {"into": march.pk}).url for _ in range(2)]
    job = Job.objects.get()
    assert pages == [reverse("admin:billing_job_change", args=[job.pk])] * 2
    assert worker() == ["done"]
    deferred.refresh_from_db()
    assert (deferred.state, deferred.booked_in) == (Import.State.APPLIED, march)
    page = client.get(pages[0]).content.decode()
    assert "is booked in 2025-03" in page
    assert reverse("admin:billing_import_change", args=[deferred.pk]) in page
    # Asked for once more it is refused at once, without a job.
    client.post(url, {"into": march.pk})
    assert Job.objects.count() == 1


def test_a_booking_that_is_refused_says_why_on_its_job(
    deferred, client, cast, worker, django_capture_on_commit_callbacks
):
    march = BillingPeriod.objects.named("2025-03")
    with django_capture_on_commit_callbacks(execute=True):
        ingestion.decide_later(imported=deferred, into=march, **BY)
    closing.close(period=march, **BY)
    worker()
    job = Job.objects.get()
    assert (job.state, "2025-03" in job.message) == ("failed", True)
    deferred.refresh_from_db()
    assert deferred.state == Import.State.DEFERRED


def test_a_large_delivery_for_a_month_in_review_is_applied_in_the_background(
    tmp_path, client, cast, worker, monkeypatch, django_capture_on_commit_callbacks
):
    delivered(tmp_path, [a_row("100")])
    january = BillingPeriod.objects.named("2025-01")
    closing.start_review(period=january, until=datetime.date(2025, 2, 20), **BY)
    waiting = delivered(tmp_path, [a_row("98")]).deferred
    monkeypatch.setattr(jobs, "LARGE", 0)
    client.force_login(cast.admin)
    with django_capture_on_commit_callbacks(execute=True):
        client.post(reverse("admin:billing_import_apply", args=[waiting.pk]))
    assert (Job.objects.get().kind, worker()) == ("apply", ["done"])
    assert Charge.objects.live().get().billed_cost == 98


def test_rules_are_re_applied_to_a_large_month_in_the_background(
    tmp_path, client, cast, worker, monkeypatch, django_capture_on_commit_callbacks
):
    delivered(tmp_path, [a_row(tags=NO_TAGS)])
    AttributionRule.objects.create(service="*", pi=build.a_pi(), project=build.a_project(), fund_org="BIO-001")
    monkeypatch.setattr(jobs, "LARGE", 0)
    client.force_login(cast.reviewer)
    url = reverse("admin:billing_billingperiod_reapply", args=[BillingPeriod.objects.get().pk])
    assert "Work out what would change" in client.get(url).content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        preview = client.post(url, {"source": "", "expected": ""}).url
    worker()
    assert Charge.objects.get().state == "held"
    assert f"{url}?job={Job.objects.get().pk}" in client.get(preview).content.decode()
    page = client.get(f"{url}?job={Job.objects.get().pk}")
    assert page.context["shown"].changed == 1
    assert "ada@u.edu" in page.content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        sent = {"source": "", "expected": page.context["form"]["expected"].value()}
        job_url = client.post(url, sent).url
    worker()
    charge = Charge.objects.get()
    assert (charge.state, charge.pi.email) == ("clear", "ada@u.edu")
    assert "1 attributed anew" in client.get(job_url).content.decode()


def test_what_changed_since_the_preview_is_not_applied(
    tmp_path, client, cast, worker, monkeypatch, django_capture_on_commit_callbacks
):
    delivered(tmp_path, [a_row(tags=NO_TAGS)])
    monkeypatch.setattr(jobs, "LARGE", 0)
    client.force_login(cast.reviewer)
    url = reverse("admin:billing_billingperiod_reapply", args=[BillingPeriod.objects.get().pk])
    with django_capture_on_commit_callbacks(execute=True):
        client.post(url, {"source": "", "expected": "another digest"})
    worker()
    job = Job.objects.get()
    assert (job.state, "Look at it again" in job.message) == ("failed", True)

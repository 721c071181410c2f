"""Drafting the journal of a large month: a job, asked for once, with its result in words."""

import pytest
from django.urls import reverse

from billing.background import heartbeat, jobs
from billing.models import Job
from billing.months import checklist
from journals.models import Journal
from tests.build import a_charge, a_period
from tests.journals.made import drafted

pytestmark = pytest.mark.django_db

PAGE = reverse("admin:journals_journal_export")


@pytest.fixture
def large(monkeypatch):
    monkeypatch.setattr(checklist, "LARGE", 0)
    monkeypatch.setattr(jobs.queue, "async_task", lambda task, number: None)
    a_charge("100.00")


def asked_for() -> dict[str, str]:
    return {"period": f"{a_period().month:%Y-%m-%d}", "format": "gl", "posting_date": ""}


def test_a_small_month_is_drafted_at_once(client, cast):
    a_charge("100.00")
    client.force_login(cast.finance)
    page = client.post(PAGE, asked_for(), follow=True).text
    assert "Draft of journal J2025-01-1 is written as gl. Check it, then submit it." in page
    assert not Job.objects.exists()


def test_two_who_draft_a_large_month_get_one_job_and_one_draft(client, cast, large):
    heartbeat.beat()
    client.force_login(cast.finance)
    first = client.post(PAGE, asked_for())
    again = client.post(PAGE, asked_for())
    job = Job.objects.get()
    assert first.url == again.url == reverse("admin:billing_job_change", args=[job.pk])
    assert not Journal.objects.exists()

    jobs.run(job.pk)

    job.refresh_from_db()
    assert job.message == "Draft of journal J2025-01-1 is written as gl. Check it, then submit it."
    assert Journal.objects.get().state == Journal.State.DRAFT
    page = client.get(first.url).text
    assert "Show the journals of the month" in page
    assert job.message in page


def test_without_a_worker_the_page_of_the_job_says_so(
    client, cast, large, monkeypatch, django_capture_on_commit_callbacks
):
    monkeypatch.setattr(heartbeat, "is_worker_alive", lambda: False)
    client.force_login(cast.finance)
    with django_capture_on_commit_callbacks(execute=True):
        job = client.post(PAGE, asked_for()).url
    assert heartbeat.WAITS in client.get(job).text


def test_a_draft_of_a_large_month_is_drafted_again_by_the_worker(client, cast, large):
    journal = drafted().journal
    a_charge("20.00", service_name="Network")
    client.force_login(cast.finance)
    page = client.post(reverse("admin:journals_journal_redraft", args=[journal.pk]), follow=True).text
    assert "This page shows how far it has come" in page
    jobs.run(Job.objects.get().pk)
    journal.refresh_from_db()
    assert journal.debits == 120
    assert Journal.objects.count() == 1


def test_what_cannot_be_drafted_is_said_on_the_job(client, cast, large):
    a_charge("5.00", currency="EUR")
    client.force_login(cast.finance)
    client.post(PAGE, asked_for())
    job = Job.objects.get()
    jobs.run(job.pk)
    job.refresh_from_db()
    assert job.state == Job.State.FAILED
    assert "exchange rate" in job.message
    assert not Journal.objects.exists()

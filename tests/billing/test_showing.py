"""The page of a proof: proven at each look, or by the worker in a large month, and always as of when."""

import datetime

import pytest
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone

from billing.background import heartbeat, jobs
from billing.models import Charge, Job
from billing.months import checklist
from billing.proof import showing
from tests import build

pytestmark = pytest.mark.django_db


def page_of(period=None) -> str:
    return reverse("admin:billing_billingperiod_proof", args=[(period or build.a_period()).pk])


@pytest.fixture
def large(monkeypatch):
    """A month that is left to the worker."""
    monkeypatch.setattr(checklist, "LARGE", 0)
    monkeypatch.setattr(jobs.queue, "async_task", lambda task, number: None)
    heartbeat.beat()
    build.a_charge("100.00")
    return build.a_period()


def the_worker_works() -> None:
    for job in Job.objects.filter(state=Job.State.QUEUED).order_by("pk"):
        jobs.run(job.pk)


def test_a_small_month_is_proven_at_each_look(client, cast):
    client.force_login(cast.viewer)
    build.a_charge("100.00")
    seen = client.get(page_of()).text
    assert "just now" in seen
    assert "100.00" in seen
    build.a_charge("7.00")
    assert "107.00" in client.get(page_of()).text
    assert client.post(page_of()).url == page_of()
    assert not Job.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_look_that_begins_a_proof_says_that_it_waits_its_turn(client, cast, large):
    client.force_login(cast.viewer)
    waiting = client.get(page_of()).text
    assert "The worker is proving the month" in waiting
    assert "queue cannot be reached" not in waiting


def test_the_worker_proves_a_large_month_and_the_page_says_as_of_when(client, cast, large):
    client.force_login(cast.viewer)
    waiting = client.get(page_of()).text
    assert "The worker is proving the month" in waiting
    assert "Prove again" not in waiting
    job = Job.objects.get()
    assert (job.kind, job.created_by) == (Job.Kind.PROVE, cast.viewer)

    the_worker_works()

    seen = client.get(page_of()).text
    assert "The worker is proving" not in seen
    assert "just now" in seen
    assert "100.00" in seen
    job.refresh_from_db()
    assert job.message == "January 2025 reconciles so far; open items remain."
    # A look does not prove it again.
    assert Job.objects.count() == 1


@pytest.mark.bends_charges
def test_what_is_shown_is_as_old_as_it_says_and_prove_again_proves_anew(client, cast, large, monkeypatch):
    client.force_login(cast.viewer)
    client.get(page_of())
    the_worker_works()
    # Behind the program's back, which no stamp tells.
    with build.safeguards_down():
        QuerySet(Charge).update(billed_cost=60)
    later = timezone.now() + datetime.timedelta(minutes=3, seconds=1)
    monkeypatch.setattr(showing.timezone, "now", lambda: later)

    seen = client.get(page_of()).text
    assert "3\xa0minutes ago" in seen
    assert "Something was recorded since" not in seen
    assert "does not reconcile" not in seen

    # Asked twice, proven once.
    assert client.post(page_of()).url == page_of()
    client.post(page_of())
    assert Job.objects.filter(state=Job.State.QUEUED).count() == 1
    assert "The worker is proving the month" in client.get(page_of()).text
    the_worker_works()
    seen = client.get(page_of()).text
    assert "January 2025 does not reconcile." in seen
    assert "just now" in seen


def test_a_proof_says_that_something_was_recorded_since(client, cast, large):
    client.force_login(cast.viewer)
    client.get(page_of())
    the_worker_works()
    build.a_charge("7.00")
    seen = client.get(page_of()).text
    assert "Something was recorded since" in seen
    assert "107.00" not in seen


def test_a_proof_that_broke_off_is_not_begun_by_looking_at_it(client, cast, large, monkeypatch):
    client.force_login(cast.viewer)
    client.get(page_of())
    monkeypatch.setattr(showing.tieout, "report", lambda period: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        the_worker_works()
    for _ in range(2):
        seen = client.get(page_of()).text
        assert "The program broke off" in seen
        assert "Prove again" in seen
    assert Job.objects.count() == 1


def test_without_a_worker_the_page_proves_a_large_month_itself(client, cast, large, monkeypatch):
    monkeypatch.setattr(heartbeat, "is_worker_alive", lambda: False)
    client.force_login(cast.viewer)
    assert "just now" in client.get(page_of()).text
    assert not Job.objects.exists()


def test_a_look_at_what_the_worker_proved_asks_few_queries(client, cast, large, django_assert_max_num_queries):
    client.force_login(cast.viewer)
    client.get(page_of())
    the_worker_works()
    with django_assert_max_num_queries(16):
        client.get(page_of())

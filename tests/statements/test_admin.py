"""Statements in the admin: reading, generating in the background, voiding, sending again."""

from decimal import Decimal

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing import jobs
from billing.models import AuditEvent, Job
from statements import delivery, issuing
from statements.models import Delivery, Statement
from tests import build
from tests.build import NOW, SOMEBODY

pytestmark = pytest.mark.django_db

LIST = "admin:statements_statement_changelist"


@pytest.fixture
def statement(cast):
    build.a_charge("40.00", list_cost=Decimal(100), contracted_cost=Decimal(80))
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    return Statement.objects.get()


def test_the_list_shows_statements_and_filters_them(client, cast, statement):
    client.force_login(cast.viewer)
    page = client.get(reverse(LIST)).content.decode()
    assert statement.number in page
    assert "Generate statements" not in page
    for query, found in {
        "?period=2025-01": True,
        "?period=2025-02": False,
        "?state=live": True,
        "?state=void": False,
        "?due=due": True,
        "?due=credit": False,
        "?q=genomics": True,
        "?q=nothing": False,
    }.items():
        assert (statement.number in client.get(reverse(LIST) + query).content.decode()) is found, query


def test_a_statement_cannot_be_added_changed_or_deleted(client, cast, statement):
    client.force_login(cast.admin)
    assert client.get(reverse("admin:statements_statement_add")).status_code == 403
    assert client.get(reverse("admin:statements_statement_delete", args=[statement.pk])).status_code == 403
    assert client.post(reverse("admin:statements_statement_change", args=[statement.pk]), {}).status_code == 403


def test_a_statement_and_a_message_are_read_with_their_figures(client, cast, statement):
    delivery.send(period=build.a_period(), actor=SOMEBODY, now=NOW)
    client.force_login(cast.viewer)
    page = client.get(reverse("admin:statements_statement_change", args=[statement.pk])).content.decode()
    for figure in ("100.00 USD", "20.00 USD", "40.00 USD", "BIO-001", "Compute"):
        assert figure in page
    message = client.get(reverse("admin:statements_delivery_change", args=[Delivery.objects.get().pk]))
    assert statement.number in message.content.decode()


def test_staff_read_a_pdf_and_the_audit_trail_notes_it(client, cast, statement):
    client.force_login(cast.viewer)
    response = client.get(reverse("admin:statements_statement_pdf", args=[statement.pk]))
    assert response.getvalue() == issuing.pdf_of(statement)
    assert AuditEvent.objects.get(action="statement.downloaded").actor_name == "vera"


@pytest.mark.parametrize("who", ["pi", "delegate", "stranger"])
def test_the_admin_gives_no_pdf_to_those_who_are_not_staff(client, cast, statement, who):
    client.force_login(getattr(cast, who))
    assert client.get(reverse("admin:statements_statement_pdf", args=[statement.pk])).status_code in (302, 403)


def test_generating_shows_a_preview_and_writes_nothing_until_asked(client, cast):
    build.a_charge("40.00")
    build.a_charge("2.50", flags=("pattern_match",))
    client.force_login(cast.reviewer)
    page = client.get(reverse("admin:statements_statement_generate") + "?period=2025-01")
    assert page.context["preview"].issued == 1
    assert "40.00" in page.content.decode()
    assert "2.50" in page.content.decode()
    assert not Statement.objects.exists()


def test_generating_is_a_background_job(client, cast, django_capture_on_commit_callbacks, monkeypatch):
    monkeypatch.setattr(jobs, "async_task", lambda name, pk: jobs.run(pk))
    build.a_charge("40.00")
    client.force_login(cast.reviewer)
    with django_capture_on_commit_callbacks(execute=True):
        response = client.post(reverse("admin:statements_statement_generate"), {"period": "2025-01-01", "send": "on"})
    job = Job.objects.get()
    assert response.url == reverse("admin:billing_job_change", args=[job.pk])
    assert (job.state, job.result["issued"], job.result["sent"]) == ("done", 1, 1)
    assert job.result["statements"][0]["due"] == "40.00"
    assert len(mail.outbox) == 1
    assert Statement.objects.get().issued_by == cast.reviewer


def test_a_job_that_is_run_twice_does_its_work_once(cast, monkeypatch):
    monkeypatch.setattr(jobs, "async_task", lambda name, pk: None)
    build.a_charge()
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    job = jobs.enqueue(kind=Job.Kind.SEND, arguments={"period": build.a_period().pk}, actor=SOMEBODY, now=NOW)
    jobs.run(job.pk)
    jobs.run(job.pk)
    assert len(mail.outbox) == 1


def test_generating_a_finalized_month_says_why_not(client, cast):
    build.a_period(status="finalized", closed_at=NOW, finalized_at=NOW)
    client.force_login(cast.reviewer)
    page = client.get(reverse("admin:statements_statement_generate") + "?period=2025-01").content.decode()
    assert "2025-01 is finalized" in page


def test_sending_is_a_background_job(client, cast, statement, django_capture_on_commit_callbacks, monkeypatch):
    monkeypatch.setattr(jobs, "async_task", lambda name, pk: jobs.run(pk))
    client.force_login(cast.reviewer)
    address = reverse("admin:statements_statement_send")
    assert "1 statement of 1 PI waits" in client.get(address).content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        client.post(address, {"period": "2025-01-01"})
    assert len(mail.outbox) == 1
    assert "Every statement in force was sent" in client.get(address).content.decode()


@pytest.mark.parametrize("name", ["generate", "send"])
def test_a_viewer_neither_generates_nor_sends(client, cast, statement, name):
    client.force_login(cast.viewer)
    address = reverse(f"admin:statements_statement_{name}")
    assert client.get(address).status_code == 403
    assert client.post(address, {"period": "2025-01-01"}).status_code == 403


def test_voiding_asks_for_a_reason_and_needs_finance(client, cast, statement):
    address = reverse("admin:statements_statement_void", args=[statement.pk])
    client.force_login(cast.reviewer)
    assert client.post(address, {"reason": "Wrong"}).status_code == 403
    client.force_login(cast.finance)
    assert client.get(address).status_code == 200
    client.post(address, {"reason": ""})
    statement.refresh_from_db()
    assert statement.state == "issued"
    client.post(address, {"reason": "Wrong PI"})
    statement.refresh_from_db()
    assert statement.state == "void"


def test_a_failed_message_is_sent_again_from_its_page(client, cast, statement):
    delivery._queue(build.a_period(), actor=SOMEBODY, now=NOW)
    Delivery.objects.update(state="failed", error="mailbox full")
    message = Delivery.objects.get()
    client.force_login(cast.reviewer)
    page = client.get(reverse("admin:statements_delivery_change", args=[message.pk])).content.decode()
    assert "mailbox full" in page
    client.post(reverse("admin:statements_delivery_resend", args=[message.pk]))
    message.refresh_from_db()
    assert (message.state, len(mail.outbox)) == ("sent", 1)


def test_lists_take_as_many_queries_for_many_rows_as_for_few(client, cast):
    client.force_login(cast.admin)
    counts = []
    for number in range(2):
        for each in range(4):
            build.a_charge(pi=f"pi{number}{each}@u.edu")
        delivery.issue_and_send(period=build.a_period(), send_now=True, actor=SOMEBODY, now=NOW)
        with CaptureQueriesContext(connection) as captured:
            client.get(reverse(LIST))
            client.get(reverse("admin:statements_delivery_changelist"))
        counts.append(len(captured))
    assert counts[0] == counts[1]

"""Statements in the admin: reading, generating in the background, voiding, sending again."""

from decimal import Decimal

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.background import jobs, working
from billing.models import AuditEvent, Job
from statements import emails, issuing
from statements.emails import outbox
from statements.models import Email, Statement
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
    assert "Issue statements" not in page
    for query, found in {
        "?period=2025-01": True,
        "?period=2025-02": False,
        "?state=all": True,
        "?state=void": False,
        "?charged=more": True,
        "?charged=credit": False,
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
    emails.send(period=build.a_period(), actor=SOMEBODY, now=NOW)
    client.force_login(cast.viewer)
    page = client.get(reverse("admin:statements_statement_change", args=[statement.pk])).content.decode()
    for figure in (">100.00<", ">20.00<", "40.00 USD", "BIO-001", "Compute"):
        assert figure in page
    message = client.get(reverse("admin:statements_email_change", args=[Email.objects.get().pk]))
    assert statement.number in message.content.decode()


def test_staff_read_a_pdf_and_the_audit_log_notes_it(client, cast, statement):
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


def test_generating_offers_no_button_where_every_statement_is_current(client, cast, statement):
    client.force_login(cast.reviewer)
    page = words_on(client, "admin:statements_statement_generate", "?period=2025-01")
    assert "January 2025: nothing to issue, 1 statement current" in page
    assert 'value="Issue' not in page
    build.a_charge("5.00")
    page = words_on(client, "admin:statements_statement_generate", "?period=2025-01")
    assert "January 2025: 1 to issue (1 revised), 0 unchanged" in page
    assert 'value="Issue 1 statement"' in page


def test_sending_previews_the_newest_month_at_once_and_the_month_asked_for_only(client, cast, statement):
    build.a_charge("7.00", period="2025-02")
    issuing.generate(period=build.a_period("2025-02"), actor=SOMEBODY, now=NOW)
    client.force_login(cast.reviewer)
    address = reverse("admin:statements_statement_send")
    assert str(client.get(address).context["period"]) == "2025-02"
    assert client.get(address).context["preview"].statements == 1
    assert str(client.get(f"{address}?period=2025-01").context["period"]) == "2025-01"
    other = client.get(f"{address}?period=2024-12")
    assert other.context["preview"] is None
    assert "No statement of December 2024 waits to be sent." in other.content.decode()


def test_generating_is_a_background_job(client, cast, django_capture_on_commit_callbacks, monkeypatch):
    monkeypatch.setattr(jobs.queue, "async_task", lambda name, pk: jobs.run(pk))
    build.a_charge("40.00")
    client.force_login(cast.reviewer)
    with django_capture_on_commit_callbacks(execute=True):
        response = client.post(reverse("admin:statements_statement_generate"), {"period": "2025-01-01", "send": "on"})
    job = Job.objects.get()
    assert response.url == reverse("admin:billing_job_change", args=[job.pk])
    assert (job.state, job.result["issued"]) == ("done", 1)
    assert job.result["statements"][0]["due"] == "40.00"
    assert Statement.objects.get().issued_by == cast.reviewer
    # Nobody is written to before somebody saw who would get what: the job leads there.
    assert mail.outbox == []
    assert reverse("admin:statements_statement_send") + "?period=2025-01" in client.get(response.url).content.decode()


def test_a_job_that_is_run_twice_does_its_work_once(cast, monkeypatch):
    monkeypatch.setattr(jobs.queue, "async_task", lambda name, pk: None)
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
    assert "January 2025 is finalized" in page


def test_sending_is_a_background_job(client, cast, statement, django_capture_on_commit_callbacks, monkeypatch):
    monkeypatch.setattr(jobs.queue, "async_task", lambda name, pk: jobs.run(pk))
    client.force_login(cast.reviewer)
    address = reverse("admin:statements_statement_send")
    page = client.get(address).content.decode()
    assert "1 e-mail with 1 statement, total charged" in " ".join(page.split())
    assert "40.00" in page
    assert "ada@u.edu" in page
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
    assert "The PI reads it where the statement was." in client.get(address).content.decode()
    client.post(address, {"reason": ""})
    statement.refresh_from_db()
    assert statement.state == "issued"
    client.post(address, {"reason": "Wrong PI"})
    statement.refresh_from_db()
    assert (statement.state, statement.void_reason) == ("void", "Wrong PI")
    page = client.get(reverse("admin:statements_statement_change", args=[statement.pk])).content.decode()
    assert "Wrong PI" in page


def test_a_failed_message_is_sent_again_from_its_page(client, cast, statement):
    Email.objects.create(
        period=statement.period,
        pi=statement.pi,
        recipient="ada@u.edu",
        state="failed",
        error="mailbox full",
        created_at=NOW,
    ).statements.add(statement)
    message = Email.objects.get()
    client.force_login(cast.reviewer)
    page = client.get(reverse("admin:statements_email_change", args=[message.pk])).content.decode()
    assert "mailbox full" in page
    client.post(reverse("admin:statements_email_resend", args=[message.pk]))
    message.refresh_from_db()
    assert (message.state, len(mail.outbox)) == ("sent", 1)


def test_lists_take_as_many_queries_for_many_rows_as_for_few(client, cast):
    client.force_login(cast.admin)
    counts = []
    for number in range(2):
        for each in range(4):
            build.a_charge(pi=f"pi{number}{each}@u.edu")
        emails.issue_and_send(period=build.a_period(), send_now=True, actor=SOMEBODY, now=NOW)
        with CaptureQueriesContext(connection) as captured:
            client.get(reverse(LIST))
            client.get(reverse("admin:statements_email_changelist"))
        counts.append(len(captured))
    assert counts[0] == counts[1]


def words_on(client, name, query=""):
    return " ".join(client.get(reverse(name) + query).content.decode().split())


def test_the_send_page_lists_what_is_not_current_and_sends_it_only_when_ticked(
    client, cast, statement, django_capture_on_commit_callbacks, monkeypatch
):
    monkeypatch.setattr(jobs.queue, "async_task", lambda name, pk: jobs.run(pk))
    build.a_charge("5.00")
    client.force_login(cast.reviewer)
    page = words_on(client, "admin:statements_statement_send")
    assert "1 statement not current, not sent" in page
    assert "Nothing to send." in page
    page = words_on(client, "admin:statements_statement_send", "?period=2025-01&outdated=on")
    assert "1 statement not current, sent all the same" in page
    address = reverse("admin:statements_statement_send")
    for given, number in (({}, 0), ({"outdated": "on"}, 1)):
        with django_capture_on_commit_callbacks(execute=True):
            client.post(address, {"period": "2025-01-01", **given})
        assert len(mail.outbox) == number


def test_the_send_page_names_first_e_mails_and_who_waits(client, cast, statement):
    build.a_policy(own_domains=["u.edu"])
    build.a_charge("7.00", pi="stranger@gmail.com", project="mining")
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    client.force_login(cast.reviewer)
    page = words_on(client, "admin:statements_statement_send")
    assert "<strong>First e-mail</strong> to ada@u.edu" in page
    assert "1 e-mail waiting for confirmation" in page
    assert "stranger@gmail.com" in page


def test_without_a_mail_server_every_page_says_so_unless_the_policy_switched_it_off(client, cast, statement, settings):
    notice = "E-mail is not configured: nothing leaves this machine."
    client.force_login(cast.viewer)
    assert notice not in words_on(client, "admin:index")
    settings.EMAIL_BACKEND = outbox.FILE_BACKEND
    assert notice in words_on(client, "admin:index")
    assert notice in words_on(client, LIST)
    build.a_policy(warns_without_email=False)
    assert notice not in words_on(client, "admin:index")
    # Where something would be sent it is said all the same.
    client.force_login(cast.reviewer)
    assert "nothing leaves this machine" in words_on(client, "admin:statements_statement_send", "?period=2025-01")
    assert notice in words_on(client, "admin:statements_statement_send")


def test_what_was_written_to_files_is_sent_from_the_send_page(
    client, cast, statement, settings, django_capture_on_commit_callbacks, monkeypatch
):
    monkeypatch.setattr(jobs.queue, "async_task", lambda name, pk: jobs.run(pk))
    settings.EMAIL_BACKEND = outbox.FILE_BACKEND
    emails.send(period=build.a_period(), actor=SOMEBODY, now=NOW)
    client.force_login(cast.reviewer)
    assert "Written to file" in words_on(client, LIST)
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert "1 e-mail of this month is only written to a file so far" in words_on(
        client, "admin:statements_statement_send"
    )
    with django_capture_on_commit_callbacks(execute=True):
        client.post(reverse("admin:statements_statement_send"), {"period": "2025-01-01", "written": "on"})
    assert len(mail.outbox) == 1
    statement.refresh_from_db()
    assert statement.state == "sent"


def test_an_e_mail_of_a_stopped_run_is_shown_before_any_other_run_and_settled_on_its_page(client, cast, statement):
    left = Email.objects.create(
        period=statement.period,
        pi=statement.pi,
        recipient="ada@u.edu",
        state="claimed",
        claimed_at=NOW,
        created_at=NOW,
    )
    left.statements.add(statement)
    working.begin(f"email-{left.pk}").release()
    client.force_login(cast.reviewer)
    assert "Perhaps sent" in words_on(client, "admin:statements_email_changelist", "?state=trouble")
    assert "1 e-mail perhaps sent" in words_on(client, "admin:statements_statement_send")
    page = client.get(reverse("admin:statements_email_change", args=[left.pk])).content.decode()
    assert "Send again" in page
    client.post(reverse("admin:statements_email_settle", args=[left.pk]), {"arrived": "yes", "note": "asked her"})
    left.refresh_from_db()
    statement.refresh_from_db()
    assert (left.state, statement.state, mail.outbox) == ("sent", "sent", [])


def test_sending_again_warns_of_what_may_come_twice(client, cast, statement):
    emails.send(period=build.a_period(), actor=SOMEBODY, now=NOW)
    Email.objects.update(state="uncertain")
    client.force_login(cast.reviewer)
    address = reverse("admin:statements_email_resend", args=[Email.objects.get().pk])
    assert "It may have arrived already" in client.get(address).content.decode()
    client.post(address)
    assert len(mail.outbox) == 1
    client.post(address, {"reason": "The line broke"})
    assert len(mail.outbox) == 2

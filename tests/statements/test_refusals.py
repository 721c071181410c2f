"""What a mail server does not take, against a real one: tried again by itself for a while, or told and left alone."""

import datetime
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.urls import reverse

from billing.audit import Actor
from billing.background import jobs
from billing.models import AuditEvent, Job, Person
from statements import emails
from statements.emails import pacing, refusals
from statements.models import Email, Statement
from tests import build
from tests.build import NOW, SOMEBODY
from tests.smtp import mail_server
from tests.statements.mailing import generate, issue_for_two, send, states

pytestmark = pytest.mark.django_db

LATER = NOW + datetime.timedelta(hours=2)
GREYLISTED = "450 4.2.1 Greylisted, try again later"
UNKNOWN = "550 5.1.1 No such user here"


@pytest.fixture
def server(settings):
    with mail_server() as running:
        running.configure(settings)
        settings.EMAIL_TIMEOUT = 1
        yield running


@pytest.fixture
def issued(db):
    issue_for_two()


@pytest.fixture
def worker(monkeypatch, django_capture_on_commit_callbacks):
    """Look for what is due at a time, as the worker does, and do the jobs that are asked for."""
    monkeypatch.setattr(jobs.queue, "async_task", lambda name, pk: None)

    def look(at):
        before = set(Job.objects.values_list("pk", flat=True))
        number = emails.have_due_retried(now=at)
        for job in Job.objects.exclude(pk__in=before):
            jobs.run(job.pk)
        return number

    return look


def of(address):
    return Email.objects.get(recipient=address)


def test_what_is_refused_for_the_moment_is_sent_by_the_worker_once_its_time_has_come(server, issued, worker):
    server.refuses["ada@u.edu"] = GREYLISTED
    send()
    failed = of("ada@u.edu")
    assert (failed.state, failed.error) == ("failed", f"The mail server refused the recipient: {GREYLISTED}")
    assert failed.try_again_at - NOW >= datetime.timedelta(minutes=5)
    assert "The worker tries it again at" in emails.what_next(failed)
    server.refuses.clear()
    assert worker(NOW + datetime.timedelta(minutes=4)) == 0
    assert worker(failed.try_again_at) == 1
    assert states()["ada@u.edu"] == "sent"
    assert Statement.objects.get(pi__email="ada@u.edu").state == "sent"
    # Nothing more is due, and nobody got anything twice.
    assert worker(LATER) == 0
    assert sorted(mail.recipients for mail in server.mailbox) == [("ada@u.edu",), ("bob@u.edu",), ("office@u.edu",)]


def test_the_waits_grow_and_end(server, issued):
    server.refuses["ada@u.edu"] = GREYLISTED
    at, waits = NOW, []
    send(at)
    while again := of("ada@u.edu").try_again_at:
        waits.append(round((again - at).total_seconds() / 60))
        at = again
        send(at, only=[of("ada@u.edu").pk])
    assert waits == [5, 15, 60, 240]
    assert (of("ada@u.edu").attempts, of("ada@u.edu").state) == (5, "failed")
    assert "The next run tries it" in emails.what_next(of("ada@u.edu"))
    # The next run that somebody begins counts anew.
    send(at)
    assert (of("ada@u.edu").attempts, of("ada@u.edu").try_again_at is None) == (1, False)


def test_the_worker_tries_again_in_the_name_of_who_had_it_sent(server, issued, worker, cast):
    server.refuses["bob@u.edu"] = GREYLISTED
    send(actor=Actor.from_user(cast.reviewer))
    server.refuses.clear()
    worker(of("bob@u.edu").try_again_at)
    job = Job.objects.get()
    assert (job.created_by, job.arguments["emails"]) == (cast.reviewer, [of("bob@u.edu").pk])
    sent = AuditEvent.objects.filter(action="email.sent", object_id=str(of("bob@u.edu").pk)).get()
    assert (sent.actor, sent.via) == (cast.reviewer, "task")


def test_a_job_that_may_not_send_any_more_is_made_once(server, issued, worker, cast):
    server.refuses["bob@u.edu"] = GREYLISTED
    send(actor=Actor.from_user(cast.reviewer))
    server.refuses.clear()
    cast.reviewer.is_active = False
    cast.reviewer.save()
    assert worker(of("bob@u.edu").try_again_at) == 1
    assert Job.objects.get().state == "failed"
    assert worker(LATER + datetime.timedelta(days=1)) == 0
    assert of("bob@u.edu").state == "failed"
    # It is not lost: the next run sends it.
    assert [each.recipient for each in send(LATER).messages] == ["bob@u.edu"]


def test_what_is_refused_for_good_is_told_and_not_tried_again(server, issued, worker):
    server.refuses["office@u.edu"] = UNKNOWN
    first = send()
    assert [each.recipient for each in first.failed] == ["office@u.edu"]
    refused = of("office@u.edu")
    assert (refused.state, refused.try_again_at) == ("refused", None)
    server.refuses.clear()
    assert worker(LATER) == 0
    again = send(LATER)
    assert (again.messages, again.failed) == ((), ())
    assert [each.error for each in again.refused] == [f"The mail server refused the recipient: {UNKNOWN}"]
    assert server.to("office@u.edu") == []
    assert AuditEvent.objects.filter(action="email.refused").count() == 1


def test_once_its_address_is_corrected_the_next_run_sends_it_there(server, issued):
    server.refuses["office@u.edu"] = UNKNOWN
    send()
    Person.objects.filter(email="ada@u.edu").update(contact_email="accounts@u.edu")
    again = send(LATER)
    assert [each.recipient for each in again.messages] == ["accounts@u.edu"]
    assert states() == {"ada@u.edu": "sent", "accounts@u.edu": "sent", "bob@u.edu": "sent"}
    assert send(LATER).refused == ()


def test_a_person_may_send_again_what_was_refused_without_a_reason(server, issued):
    server.refuses["bob@u.edu"] = UNKNOWN
    send()
    server.refuses.clear()
    emails.resend(email=of("bob@u.edu"), actor=SOMEBODY, now=LATER)
    (mail,) = server.to("bob@u.edu")
    assert "sent again" not in mail.text
    assert states()["bob@u.edu"] == "sent"


def test_what_somebody_chose_goes_although_it_was_refused(server, issued):
    server.refuses["bob@u.edu"] = UNKNOWN
    send()
    server.refuses.clear()
    number = Statement.objects.get(pi__email="bob@u.edu").number
    assert [each.recipient for each in send(LATER, chosen=[number]).messages] == ["bob@u.edu"]


def test_a_message_that_is_refused_for_good_is_not_tried_again_either(server, issued):
    server.refuses_message["bob@u.edu"] = "554 5.7.1 Message looks like spam"
    send()
    assert of("bob@u.edu").error == "The mail server refused: 554 5.7.1 Message looks like spam"
    assert states() == {"ada@u.edu": "sent", "office@u.edu": "sent", "bob@u.edu": "refused"}


def test_a_message_that_is_put_off_is_tried_again(server, issued):
    server.refuses_message["bob@u.edu"] = "452 4.3.1 Insufficient system storage"
    send()
    assert (of("bob@u.edu").state, of("bob@u.edu").try_again_at is None) == ("failed", False)


def test_a_sender_that_is_refused_is_a_setting_and_the_next_run_sends_them_all(server, issued, worker):
    server.refuses_sender = "550 5.7.1 Sender not allowed"
    sent = send()
    assert len(sent.failed) == 3
    assert set(Email.objects.values_list("state", "try_again_at")) == {("failed", None)}
    assert worker(LATER) == 0
    server.refuses_sender = ""
    assert len(send(LATER).messages) == 3


def test_an_e_mail_that_is_too_large_for_the_server_is_told_so_and_sent_once_it_is_smaller(server, issued, worker):
    server.refuses_sender = "552 5.3.4 Message size exceeds fixed maximum message size"
    send(chosen=[Statement.objects.get(pi__email="bob@u.edu").number])
    refused = of("bob@u.edu")
    assert (refused.state, "552 5.3.4" in refused.error) == ("refused", True)
    assert "Lower “Largest e-mail” in the policy" in emails.what_next(refused)
    server.refuses_sender = ""
    assert send(LATER).failed == ()
    assert server.to("bob@u.edu") == []
    build.a_policy(email_megabytes=0)
    emails.resend(email=refused, actor=SOMEBODY, now=LATER)
    assert "Too large to attach" in server.to("bob@u.edu")[0].text


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_two_senders_at_once_mail_each_recipient_once(server):
    for number in range(12):
        build.a_charge("10.00", pi=f"pi{number}@u.edu", project=f"p{number}")
    generate()
    both = threading.Barrier(2)

    def run():
        try:
            both.wait()
            return send()
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        first, second = (each.result() for each in [pool.submit(run) for _ in range(2)])
    assert len(server.mailbox) == 12
    assert sorted(mail.recipients[0] for mail in server.mailbox) == sorted(f"pi{number}@u.edu" for number in range(12))
    assert len(first.messages) + len(second.messages) == 12
    assert (first.failed, second.failed) == ((), ())
    assert set(states().values()) == {"sent"}


def test_what_a_run_did_not_come_to_because_the_server_was_away_is_tried_again_too(settings, issued, worker):
    with mail_server() as gone:
        gone.configure(settings)
    for number in range(3):
        build.a_charge("1.00", pi=f"pi{number}@u.edu", project=f"p{number}")
    generate()
    send()
    assert set(Email.objects.values_list("state", flat=True)) == {"failed", "queued"}
    with mail_server() as back:
        back.configure(settings)
        assert worker(LATER) == 6
        assert len(back.mailbox) == 6


def test_two_workers_that_look_at_once_make_one_job(server, issued, worker, monkeypatch):
    server.refuses["bob@u.edu"] = GREYLISTED
    send()
    due = of("bob@u.edu").try_again_at
    looked = list(Email.objects.filter(try_again_at=due).select_related("asked_by"))
    assert emails.have_due_retried(now=due) == 1
    # The other one looked before this one took it.
    monkeypatch.setattr(QuerySet, "select_related", lambda found, *names: found)
    monkeypatch.setattr(QuerySet, "order_by", lambda found, *names: looked if found.model is Email else found)
    assert emails.have_due_retried(now=due) == 0
    assert Job.objects.count() == 1


def test_no_more_leave_in_a_minute_than_the_policy_says_whoever_sends(server, issued, monkeypatch):
    build.a_policy(emails_per_minute=2)
    monkeypatch.setattr(pacing, "WINDOW", datetime.timedelta(seconds=1))
    monkeypatch.setattr(pacing, "LOOK", 0.05)
    said = []
    began = time.monotonic()
    sent = send(progress=lambda done, total, doing: said.append(doing))
    assert len(sent.messages) == 3
    assert time.monotonic() - began >= 1
    assert len(server.mailbox) == 3
    # However long the server takes, what counts is when each was begun.
    first, second, third = Email.objects.order_by("claimed_at").values_list("claimed_at", flat=True)
    assert third - first >= pacing.WINDOW
    assert second - first < third - first
    assert "Waiting: 2 e-mails a minute" in said


@pytest.mark.parametrize(("attempts", "minutes"), [(1, 5), (2, 15), (3, 60), (4, 240), (5, None), (0, None)])
def test_when_an_e_mail_is_tried_again(attempts, minutes):
    again = refusals.next_try(attempts, NOW)
    assert (again and (again - NOW).total_seconds() / 60) == minutes


def test_the_list_says_why_and_what_is_next(server, issued, client, cast):
    server.refuses |= {"ada@u.edu": UNKNOWN, "office@u.edu": GREYLISTED}
    send()
    client.force_login(cast.reviewer)
    page = " ".join(client.get(reverse("admin:statements_email_changelist")).content.decode().split())
    assert UNKNOWN in page
    assert "Correct the address of the PI, then generate and send the statements again." in page
    assert "The worker tries it again at" in page
    page = client.get(reverse("admin:statements_statement_send") + "?period=2025-01").content.decode()
    assert "1 e-mail refused, not tried again" in page

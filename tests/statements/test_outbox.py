"""How an e-mail leaves, against a real mail server on localhost: refusals, stalls and lost connections."""

import datetime
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from billing.background import jobs
from billing.errors import BillingError
from billing.models import Job, Membership, Person
from billing.setup import delegates
from statements import emails, issuing
from statements.emails import dispatching, outbox, resending
from statements.issuing import comparing
from statements.models import Email, Statement
from tests import build
from tests.build import NOW, SOMEBODY
from tests.smtp import MailServer, mail_server

pytestmark = pytest.mark.django_db

LATER = NOW + datetime.timedelta(hours=2)


@pytest.fixture
def server(settings):
    with mail_server() as running:
        running.configure(settings)
        settings.EMAIL_TIMEOUT = 1
        yield running


@pytest.fixture
def issued():
    """A statement of Ada's, whose department gets a copy, and one of Bob's."""
    build.a_charge("10.00", pi="ada@u.edu", project="genomics")
    build.a_charge("30.00", pi="bob@u.edu", project="lasers")
    Person.objects.filter(email="ada@u.edu").update(contact_email="office@u.edu")
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)


def send(now=NOW, **options):
    return emails.send(period=build.a_period(), actor=SOMEBODY, now=now, **options)


def states():
    return dict(Email.objects.values_list("recipient", "state"))


def statement_of(pi):
    return Statement.objects.get(pi__email=pi)


def test_each_recipient_gets_an_e_mail_in_a_transaction_of_its_own(server, issued):
    sent = send()
    assert [mail.recipients for mail in server.mailbox] == [("ada@u.edu",), ("office@u.edu",), ("bob@u.edu",)]
    assert [mail.message["To"] for mail in server.mailbox] == ["ada@u.edu", "office@u.edu", "bob@u.edu"]
    assert server.to("office@u.edu")[0].attachments == ["statement-2025-01-0001-1.pdf"]
    assert len(sent.messages) == 3
    assert states() == {"ada@u.edu": "sent", "office@u.edu": "sent", "bob@u.edu": "sent"}


def test_a_refused_pi_is_not_sent_whoever_else_got_it_and_the_servers_words_are_kept(server, issued):
    server.refuses["ada@u.edu"] = "550 5.1.1 No such user here"
    sent = send()
    assert states() == {"ada@u.edu": "refused", "office@u.edu": "sent", "bob@u.edu": "sent"}
    assert [each.error for each in sent.failed] == [
        "The mail server refused the recipient: 550 5.1.1 No such user here"
    ]
    assert Email.objects.get(recipient="ada@u.edu").error == sent.failed[0].error
    assert statement_of("ada@u.edu").state == "issued"
    assert statement_of("bob@u.edu").state == "sent"


def test_a_job_that_could_not_send_an_e_mail_has_failed_and_keeps_what_it_did(server, issued, monkeypatch):
    monkeypatch.setattr(jobs.queue, "async_task", lambda name, pk: None)
    server.refuses["ada@u.edu"] = "550 5.1.1 No such user here"
    job = jobs.enqueue(kind=Job.Kind.SEND, arguments={"period": build.a_period().pk}, actor=SOMEBODY, now=NOW)
    jobs.run(job.pk)
    job.refresh_from_db()
    assert job.state == "failed"
    assert "2 e-mails" in job.message
    assert "1 of 3 e-mails were not sent: ada@u.edu." in job.message
    assert job.result["failed"][0]["error"] == "The mail server refused the recipient: 550 5.1.1 No such user here"
    assert job.result["then"]["name"] == "send_statements"


def test_a_refused_copy_leaves_the_statement_sent(server, issued):
    server.refuses["office@u.edu"] = "452 4.2.2 Mailbox full"
    sent = send()
    assert [each.recipient for each in sent.failed] == ["office@u.edu"]
    assert statement_of("ada@u.edu").state == "sent"


def test_the_next_run_goes_to_those_who_have_not_got_it_once(server, issued):
    server.refuses["ada@u.edu"] = "450 4.2.1 Try again later"
    send()
    server.refuses.clear()
    again = send(LATER)
    assert [each.recipient for each in again.messages] == ["ada@u.edu"]
    assert sorted(mail.recipients for mail in server.mailbox) == [("ada@u.edu",), ("bob@u.edu",), ("office@u.edu",)]
    assert statement_of("ada@u.edu").state == "sent"
    assert send(LATER).messages == ()


def test_a_server_that_stalls_fails_that_e_mail_and_not_the_run(server, issued):
    server.stalls.add("ada@u.edu")
    sent = send()
    assert [(each.recipient, each.error) for each in sent.failed] == [
        ("ada@u.edu", "The mail server did not answer within 1 seconds.")
    ]
    assert [each.recipient for each in sent.messages] == ["office@u.edu", "bob@u.edu"]


def test_a_connection_lost_after_the_data_leaves_an_e_mail_in_doubt_that_is_never_sent_by_itself(server, issued):
    server.drops_after_data.add("ada@u.edu")
    sent = send()
    assert states()["ada@u.edu"] == "uncertain"
    assert [each.recipient for each in sent.interrupted] == ["ada@u.edu"]
    assert sent.failed == ()
    assert statement_of("ada@u.edu").state == "issued"
    server.drops_after_data.clear()
    for _ in range(2):
        assert [each.recipient for each in send(LATER).interrupted] == ["ada@u.edu"]
    assert len(server.to("ada@u.edu")) == 1
    # A person decides, and only then it goes out again: with the same id, so that a mailbox can tell.
    again = Email.objects.get(recipient="ada@u.edu")
    emails.resend(email=again, reason="The line broke", actor=SOMEBODY, now=LATER)
    assert (
        "You may have received this e-mail already. It is sent again: The line broke" in server.to("ada@u.edu")[1].text
    )
    assert len({mail.message["Message-ID"] for mail in server.to("ada@u.edu")}) == 1
    assert statement_of("ada@u.edu").state == "sent"
    assert send(LATER).interrupted == ()


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_two_clicks_on_send_again_send_once_however_long_the_second_takes_to_look(server, issued, monkeypatch):
    server.drops_after_data.add("ada@u.edu")
    send()
    server.drops_after_data.clear()
    doubtful = Email.objects.get(recipient="ada@u.edu")
    looks = []

    def slow(*asked):
        looks.append(asked)
        time.sleep(1.5 if len(looks) > 1 else 0)

    monkeypatch.setattr(resending, "_refuse_outdated", slow)

    def click():
        try:
            return emails.resend(email=doubtful, reason="The line broke", actor=SOMEBODY, now=LATER)
        except BillingError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: click(), range(2)))
    # The first time is the one that was in doubt.
    assert len(server.to("ada@u.edu")) == 2
    assert Email.objects.get(pk=doubtful.pk).state == "sent"


def test_a_server_that_is_not_there_is_not_asked_for_every_e_mail(settings, issued):
    with mail_server() as gone:
        gone.configure(settings)
    for number in range(4):
        build.a_charge("1.00", pi=f"pi{number}@u.edu", project=f"p{number}")
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    sent = send()
    assert sent.messages == ()
    assert [each.error for each in sent.failed[3:]] == [emails.NOT_TRIED] * 4
    assert sent.failed[0].error.startswith("The mail server cannot be reached")
    assert sorted(states().values()) == ["failed"] * 3 + ["queued"] * 4


def test_a_server_that_hangs_up_between_two_e_mails_is_called_again(server, issued, monkeypatch):
    real = MailServer.handle_DATA

    async def takes_one(self, smtp, session, envelope):
        answer = await real(self, smtp, session, envelope)
        # After its answer: the connection is gone when the next e-mail comes.
        smtp.loop.call_later(0.05, smtp.transport.close)
        return answer

    monkeypatch.setattr(MailServer, "handle_DATA", takes_one)
    letter = dispatching.compose

    def slowly(*args, **options):
        import time

        time.sleep(0.2)
        return letter(*args, **options)

    monkeypatch.setattr(dispatching, "compose", slowly)
    assert len(send().messages) == 3
    assert len(server.mailbox) == 3


def test_a_retry_goes_by_what_a_delegate_may_see_now(server, issued):
    build.a_charge("7.00", pi="ada@u.edu", project="proteins")
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    ada = Person.objects.get(email="ada@u.edu")
    given = {"person": ada, "valid_from": datetime.date(2024, 1, 1), "receives_statements": True}
    ended = Membership.objects.create(user=build.a_user("ended"), **given)
    limited = Membership.objects.create(user=build.a_user("limited"), **given)
    for name in ("ended", "limited"):
        server.refuses[f"{name}@u.edu"] = "451 4.7.1 Greylisted"
    send()
    ended.valid_until = datetime.date(2025, 2, 2)
    ended.save()
    limited.project = build.a_project("proteins")
    limited.save()
    server.refuses.clear()
    again = send(LATER)
    assert [each.recipient for each in again.messages] == ["limited@u.edu"]
    assert server.to("limited@u.edu")[0].attachments == ["statement-2025-01-0003-1.pdf"]
    assert "genomics" not in server.to("limited@u.edu")[0].text
    assert server.to("ended@u.edu") == []
    left = Email.objects.get(recipient="ended@u.edu")
    assert (left.state, left.error) == (
        "dropped",
        "ended@u.edu is no longer a delegate who gets statements of ada@u.edu.",
    )
    assert [each.recipient for each in again.left_out] == ["ended@u.edu"]


def test_delegates_get_copies_as_they_are_set_and_none_once_they_are_removed(server, issued):
    """Each has an e-mail of their own: nobody reads the addresses or projects of others."""
    ada, acting = Person.objects.get(email="ada@u.edu"), {"actor": SOMEBODY, "now": NOW}
    named = {}
    for name, copies in (("grace", True), ("quiet", False), ("nat", False)):
        build.a_user(name)
        named[name] = delegates.name_delegate(pi=ada, who=name, receives_statements=copies, **acting)
    delegates.change_delegate(membership=named["nat"], may_act=True, receives_statements=True, **acting)
    send()
    copied = [each.recipients for each in server.mailbox if each.recipients[0] in ("grace@u.edu", "nat@u.edu")]
    assert copied == [("grace@u.edu",), ("nat@u.edu",)]
    assert server.to("quiet@u.edu") == []
    (copy,) = server.to("grace@u.edu")
    assert copy.attachments == ["statement-2025-01-0001-1.pdf"]
    assert copy.message["Cc"] is None
    assert "you are a delegate of ada@u.edu who gets copies" in " ".join(copy.text.split())
    assert "nat@u.edu" not in copy.text
    assert "Copies to " in server.to("ada@u.edu")[0].text

    delegates.change_delegate(membership=named["nat"], may_act=True, receives_statements=False, **acting)
    delegates.remove_delegate(membership=named["grace"], **acting)
    server.mailbox.clear()
    build.a_charge("12.00", pi="ada@u.edu", period="2025-02")
    issuing.generate(period=build.a_period("2025-02"), actor=SOMEBODY, now=NOW)
    emails.send(period=build.a_period("2025-02"), actor=SOMEBODY, now=LATER)
    assert [each.recipients for each in server.mailbox] == [("ada@u.edu",), ("office@u.edu",)]
    assert "grace" not in server.to("ada@u.edu")[0].text


def test_what_was_written_to_files_goes_to_the_server_later_once(server, issued, settings):
    settings.EMAIL_BACKEND = outbox.FILE_BACKEND
    assert len(send().messages) == 3
    server.configure(settings)
    assert send(LATER).messages == ()
    assert len(send(LATER, written=True).messages) == 3
    assert send(LATER, written=True).messages == ()
    assert len(server.mailbox) == 3


@pytest.mark.parametrize(
    ("recipient", "statements", "name"),
    [
        ("ada@u.edu", ["2025-01-0001-1"], "ada@u.edu_2025-01-0001-1.eml"),
        ("../../etc/passwd@u.edu", ["2025-01-0001-1"], "_.._etc_passwd@u.edu_2025-01-0001-1.eml"),
        ("a b\n/é@u.edu", ["2025-01-0001-1"], "a_b___@u.edu_2025-01-0001-1.eml"),
        ("", ["2025-01-0001-1"], "nobody_2025-01-0001-1.eml"),
        (
            "ada@u.edu",
            [f"2025-01-000{each}-1" for each in range(1, 6)],
            "ada@u.edu_2025-01-0001-1_2025-01-0002-1_2025-01-0003-1_and_2_more.eml",
        ),
    ],
)
def test_a_file_is_named_by_recipient_and_statements_and_its_name_is_safe(recipient, statements, name):
    assert outbox.file_name(recipient, statements) == name


def test_the_name_of_a_file_is_never_too_long():
    assert len(outbox.file_name("a" * 400 + "@u.edu", ["2025-01-0001-1"] * 9)) < 200


def test_the_page_of_a_sending_works_out_once_which_statements_are_not_current(issued, monkeypatch):
    asked = []
    monkeypatch.setattr(
        comparing, "outdated", lambda period, found=comparing.outdated: asked.append(period) or found(period)
    )

    def look():
        return emails.preview(period=build.a_period(), actor=SOMEBODY, now=NOW).outdated

    assert (look(), look(), len(asked)) == ((), (), 1)
    build.a_charge("5.00", pi="ada@u.edu", project="genomics")
    assert [each.charged for each in look()] == [10]
    assert len(asked) == 2

"""E-mail: one message per recipient, never twice, also after a crash; templates that cannot do harm."""

import datetime
import email
import email.policy
import hashlib
from smtplib import SMTPServerDisconnected

import pytest
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.db import connection
from django.db.models.functions import Now

from billing.background import working
from billing.models import AtWork, AuditEvent, Membership, Person
from billing.months import closing
from statements import emails, issuing
from statements.emails import dispatching, outbox, queueing
from statements.models import Email, Statement
from tests import build
from tests.build import NOW, SOMEBODY

pytestmark = pytest.mark.django_db

LATER = NOW + datetime.timedelta(hours=2)


def generate(month="2025-01"):
    return issuing.generate(period=build.a_period(month), actor=SOMEBODY, now=NOW)


def send(now=NOW, month="2025-01"):
    return emails.send(period=build.a_period(month), actor=SOMEBODY, now=now)


def queue():
    """Note what is to be sent, as a run does before it sends."""
    asked = {"outdated": False, "written": False, "actor": SOMEBODY, "now": NOW}
    return queueing.queue(build.a_period(), **asked)


def attachments(message):
    return [name for name, _, kind in message.attachments if kind == "application/pdf"]


@pytest.fixture
def issued():
    """Two statements of Ada's and one of Bob's."""
    build.a_charge("10.00", pi="ada@u.edu", project="genomics")
    build.a_charge("20.00", pi="ada@u.edu", project="proteins")
    build.a_charge("30.00", pi="bob@u.edu", project="lasers")
    Person.objects.filter(email="ada@u.edu").update(name="Ada Lovelace")
    generate()


def test_each_pi_gets_one_message_with_all_their_statements(issued):
    sent = send()
    assert [(message.to, attachments(message)) for message in mail.outbox] == [
        (["ada@u.edu"], ["statement-2025-01-0001-1.pdf", "statement-2025-01-0002-1.pdf"]),
        (["bob@u.edu"], ["statement-2025-01-0003-1.pdf"]),
    ]
    assert (len(sent.messages), sent.statements, sent.failed) == (2, 3, ())
    assert set(Statement.objects.values_list("state", flat=True)) == {"sent"}
    assert all(NOW <= at < LATER for at in Statement.objects.values_list("sent_at", flat=True))


def test_a_message_has_text_html_and_the_pdf_as_issued(issued):
    send()
    message = mail.outbox[0]
    assert message.subject == "Research computing statement for January 2025: $30.00 charged"
    assert "Dear Ada Lovelace" in message.body
    assert "total charged $10.00" in message.body
    (html,) = [part.content for part in message.alternatives if part.mimetype == "text/html"]
    assert "$30.00" in html
    statement = Statement.objects.get(number="2025-01-0001-1")
    assert message.attachments[0].content == issuing.pdf_of(statement)


def test_sending_twice_sends_nothing_twice(issued):
    send()
    again = send(LATER)
    assert len(mail.outbox) == 2
    assert again.messages == ()


def test_only_a_new_revision_is_sent_again(issued):
    send()
    build.a_charge("1.00", pi="bob@u.edu", project="lasers")
    generate()
    send(LATER)
    assert [message.to for message in mail.outbox[2:]] == [["bob@u.edu"]]
    assert attachments(mail.outbox[2]) == ["statement-2025-01-0003-2.pdf"]
    assert "replaces 2025-01-0003-1" in mail.outbox[2].body


def test_the_contact_and_the_delegates_who_want_it_get_copies(issued):
    Person.objects.filter(email="ada@u.edu").update(contact_email="office@u.edu")
    ada = Person.objects.get(email="ada@u.edu")
    for name, wants, until in (
        ("grace", True, None),
        ("quiet", False, None),
        ("gone", True, datetime.date(2025, 1, 31)),
    ):
        Membership.objects.create(
            person=ada,
            user=build.a_user(name),
            valid_from=datetime.date(2024, 1, 1),
            valid_until=until,
            receives_statements=wants,
        )
    send()
    assert [(message.to, message.cc) for message in mail.outbox] == [
        (["ada@u.edu"], []),
        (["office@u.edu"], []),
        (["grace@u.edu"], []),
        (["bob@u.edu"], []),
    ]
    assert len({tuple(attachments(message)) for message in mail.outbox[:3]}) == 1


def test_a_delegate_of_one_project_gets_that_project_and_nothing_else(issued):
    Membership.objects.create(
        person=Person.objects.get(email="ada@u.edu"),
        user=build.a_user("grace"),
        project=build.a_project("proteins"),
        valid_from=datetime.date(2024, 1, 1),
        receives_statements=True,
    )
    send()
    by_recipient = {message.to[0]: message for message in mail.outbox}
    assert attachments(by_recipient["grace@u.edu"]) == ["statement-2025-01-0002-1.pdf"]
    assert by_recipient["ada@u.edu"].cc == []
    assert "genomics" not in by_recipient["grace@u.edu"].body


def test_a_failed_message_is_recorded_and_tried_again(issued, monkeypatch):
    real = EmailMultiAlternatives.send

    def fails_for_ada(message, *args, **options):
        if message.to == ["ada@u.edu"]:
            raise SMTPServerDisconnected("Connection unexpectedly closed")
        return real(message, *args, **options)

    monkeypatch.setattr(EmailMultiAlternatives, "send", fails_for_ada)
    sent = send()
    assert [each.pi for each in sent.failed] == ["ada@u.edu"]
    failed = Email.objects.get(pi__email="ada@u.edu")
    assert (failed.state, "unexpectedly closed" in failed.error) == ("failed", True)
    assert set(Statement.objects.filter(pi__email="ada@u.edu").values_list("state", flat=True)) == {"issued"}
    monkeypatch.setattr(EmailMultiAlternatives, "send", real)
    again = send(LATER)
    assert [each.pi for each in again.messages] == ["ada@u.edu"]
    assert Email.objects.count() == 2


# Marks of what is at work are set by a connection of their own, which sees what is committed.
@pytest.mark.django_db(transaction=True)
def test_what_a_stopped_run_had_claimed_is_reported_and_not_sent_by_itself(issued, monkeypatch):
    def dies(message, *args, **options):
        raise KeyboardInterrupt

    real = EmailMultiAlternatives.send
    monkeypatch.setattr(EmailMultiAlternatives, "send", dies)
    with pytest.raises(KeyboardInterrupt):
        send()
    monkeypatch.setattr(EmailMultiAlternatives, "send", real)
    # Nobody knows what the server had taken by then: however late, a person decides.
    for now in (NOW, LATER, LATER + datetime.timedelta(days=3)):
        later = send(now)
        assert [each.recipient for each in later.interrupted] == ["ada@u.edu"]
    assert [message.to for message in mail.outbox] == [["bob@u.edu"]]
    left = Email.objects.get(recipient="ada@u.edu")
    assert (left.state, left.error) == ("uncertain", emails.INTERRUPTED)
    assert set(Statement.objects.filter(pi__email="ada@u.edu").values_list("state", flat=True)) == {"issued"}
    emails.resend(email=left, reason="The run was stopped", actor=SOMEBODY, now=LATER)
    assert [message.to for message in mail.outbox] == [["bob@u.edu"], ["ada@u.edu"]]
    assert send(LATER).interrupted == ()
    assert set(Statement.objects.values_list("state", flat=True)) == {"sent"}


def test_the_next_run_of_another_month_reports_what_was_left_behind(issued, monkeypatch):
    monkeypatch.setattr(dispatching, "record", lambda *args, **options: 1 / 0)
    monkeypatch.setattr(outbox, "write", lambda *args, **options: args[0])
    with pytest.raises(ZeroDivisionError):
        send()
    monkeypatch.undo()
    other = send(LATER, month="2025-02")
    assert [(each.recipient, each.period) for each in other.interrupted] == [("ada@u.edu", "2025-01")]


@pytest.mark.parametrize(("arrived", "state", "statements"), [(True, "sent", "sent"), (False, "dropped", "issued")])
def test_a_person_says_what_became_of_an_e_mail_nobody_knew_of(issued, arrived, state, statements):
    queue()
    Email.objects.filter(recipient="ada@u.edu").update(state="uncertain", claimed_at=NOW)
    left = Email.objects.get(recipient="ada@u.edu")
    emails.settle(email=left, arrived=arrived, note="She wrote back", actor=SOMEBODY, now=LATER)
    left.refresh_from_db()
    assert left.state == state
    assert set(Statement.objects.filter(pi__email="ada@u.edu").values_list("state", flat=True)) == {statements}
    assert AuditEvent.objects.get(action="email.settled").note == "She wrote back"
    with pytest.raises(emails.NotInDoubt):
        emails.settle(email=left, actor=SOMEBODY, now=LATER)


def test_a_crash_between_sending_and_recording_sends_nothing_twice(issued, monkeypatch):
    real = dispatching.record

    def dies(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(dispatching, "record", dies)
    with pytest.raises(KeyboardInterrupt):
        send()
    monkeypatch.setattr(dispatching, "record", real)
    # The archive tells that it was sent; it is reported all the same, because a run was stopped.
    assert [(each.recipient, each.error) for each in send(LATER).interrupted] == [("ada@u.edu", emails.RECORDED)]
    assert send(LATER).interrupted == ()
    assert sorted(message.to[0] for message in mail.outbox) == ["ada@u.edu", "bob@u.edu"]
    assert not Email.objects.exclude(state="sent").exists()
    assert not Statement.objects.exclude(state="sent").exists()


def test_what_another_worker_claimed_is_left_alone(issued):
    queue()
    Email.objects.filter(pi__email="ada@u.edu").update(state="claimed", claimed_at=NOW)
    ada = Email.objects.get(pi__email="ada@u.edu")
    mark = working.begin(f"email-{ada.pk}")
    sent = send(LATER)
    assert [each.pi for each in sent.messages] == ["bob@u.edu"]
    assert sent.interrupted == ()
    with pytest.raises(emails.BeingSent):
        emails.resend(email=ada, actor=SOMEBODY, now=LATER)
    working.end(mark)


def test_a_claim_of_another_machine_is_left_alone_while_that_says_that_it_is_at_it(issued):
    if connection.vendor == "sqlite":
        pytest.skip("SQLite serves one machine")
    queue()
    Email.objects.filter(pi__email="ada@u.edu").update(state="claimed", claimed_at=NOW)
    ada = Email.objects.get(pi__email="ada@u.edu")
    AtWork.objects.create(name=f"email-{ada.pk}", host="another", seen_at=Now())
    assert send(LATER).interrupted == ()
    AtWork.objects.update(seen_at=Now() - datetime.timedelta(minutes=2))
    assert [each.recipient for each in send(LATER).interrupted] == ["ada@u.edu"]
    assert [message.to for message in mail.outbox] == [["bob@u.edu"]]


def test_a_claim_without_any_sign_of_its_run_is_taken_for_left_behind_and_not_sent(issued):
    queue()
    Email.objects.filter(pi__email="ada@u.edu").update(state="claimed", claimed_at=NOW)
    sent = send(NOW + datetime.timedelta(minutes=10))
    assert [each.pi for each in sent.messages] == ["bob@u.edu"]
    assert [each.recipient for each in sent.interrupted] == ["ada@u.edu"]
    assert [message.to for message in mail.outbox] == [["bob@u.edu"]]


def test_a_statement_replaced_while_its_message_waited_is_not_sent(issued):
    queue()
    waited = Email.objects.get(pi__email="bob@u.edu")
    build.a_charge("1.00", pi="bob@u.edu", project="lasers")
    generate()
    sent = send()
    assert [attachments(message) for message in mail.outbox if message.to == ["bob@u.edu"]] == [
        ["statement-2025-01-0003-2.pdf"]
    ]
    waited.refresh_from_db()
    assert (waited.state, waited.error) == ("dropped", "Its statements were replaced or voided.")
    assert [each.recipient for each in sent.left_out] == ["bob@u.edu"]


def test_the_message_as_sent_is_archived(issued, settings):
    sent = send()
    path = settings.VAR_DIR / "mail" / "archive" / "2025-01"
    assert sent.messages[0].path.startswith(str(path))
    archived = email.message_from_bytes(
        (settings.VAR_DIR / Email.objects.get(pi__email="ada@u.edu").message_path).read_bytes(),
        policy=email.policy.default,
    )
    assert archived["To"] == "ada@u.edu"
    assert archived["Message-ID"] == mail.outbox[0].extra_headers["Message-ID"]
    assert [part.get_filename() for part in archived.iter_attachments()] == attachments(mail.outbox[0])


@pytest.fixture
def to_files(settings):
    settings.EMAIL_BACKEND = outbox.FILE_BACKEND


def test_without_a_mail_server_each_message_is_a_file_named_by_recipient_and_statement(issued, settings, to_files):
    sent = send()
    assert sent.folder == settings.EMAIL_FILE_PATH
    files = sorted(path.name for path in (settings.VAR_DIR / "mail").iterdir() if path.is_file())
    assert files == ["ada@u.edu_2025-01-0001-1_2025-01-0002-1.eml", "bob@u.edu_2025-01-0003-1.eml"]
    assert "To: ada@u.edu" in (settings.VAR_DIR / "mail" / files[0]).read_text()


def test_what_is_a_file_is_not_sent_and_is_not_written_again(issued, to_files):
    sent = send()
    assert (sent.is_written, len(sent.messages)) == (True, 2)
    assert set(Email.objects.values_list("state", "sent_at")) == {("written", None)}
    assert set(Statement.objects.values_list("state", "sent_at")) == {("written", None)}
    assert set(AuditEvent.objects.filter(action__startswith="email.").values_list("action", flat=True)) == {
        "email.written"
    }
    assert send(LATER).messages == ()


def test_what_was_written_to_files_is_sent_once_when_mail_is_configured(issued, settings, to_files):
    send()
    with pytest.raises(emails.EmailNotConfigured):
        emails.send(period=build.a_period(), written=True, actor=SOMEBODY, now=LATER)
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert (send(LATER).messages, send(LATER).files) == ((), 2)
    sent = emails.send(period=build.a_period(), written=True, actor=SOMEBODY, now=LATER)
    assert [message.to for message in mail.outbox] == [["ada@u.edu"], ["bob@u.edu"]]
    assert sent.files == 0
    assert set(Statement.objects.values_list("state", flat=True)) == {"sent"}
    assert emails.send(period=build.a_period(), written=True, actor=SOMEBODY, now=LATER).messages == ()
    assert Email.objects.count() == 2


def test_a_file_that_cannot_be_written_is_a_failure_of_that_e_mail(issued, settings, to_files, tmp_path):
    settings.EMAIL_FILE_PATH = str(tmp_path / "blocked")
    (tmp_path / "blocked").write_text("in the way")
    sent = send()
    assert len(sent.failed) == 2
    assert sent.failed[0].error.startswith("The file cannot be written")
    assert set(Email.objects.values_list("state", flat=True)) == {"failed"}


def test_sending_is_in_the_audit_log(issued):
    send()
    events = AuditEvent.objects.filter(action="email.sent").order_by("id")
    assert [event.after["recipient"] for event in events] == ["ada@u.edu", "bob@u.edu"]
    attached = [
        [hashlib.sha256(content).hexdigest() for _, content, _ in message.attachments] for message in mail.outbox
    ]
    assert [event.after["sha256"] for event in events] == attached


def test_a_sent_message_can_be_sent_again_as_a_new_one(issued):
    send()
    first = Email.objects.get(pi__email="ada@u.edu")
    emails.resend(email=first, reason="She lost it", actor=SOMEBODY, now=LATER)
    assert [message.to for message in mail.outbox].count(["ada@u.edu"]) == 2
    assert Email.objects.filter(pi__email="ada@u.edu", state="sent").count() == 2
    first.refresh_from_db()
    assert first.sent_at < LATER


def test_a_double_click_sends_a_message_again_once(issued):
    send()
    first = Email.objects.get(pi__email="ada@u.edu")
    emails.resend(email=first, reason="She lost it", actor=SOMEBODY, now=LATER)
    with pytest.raises(emails.SentJustNow):
        emails.resend(email=first, reason="She lost it", actor=SOMEBODY, now=LATER)
    assert [message.to for message in mail.outbox].count(["ada@u.edu"]) == 2


def test_an_address_that_fits_no_header_fails_alone(issued):
    send_on = outbox.Outbox.send

    def refuses(out, message):
        # As the mail server's library does for an address such as m@u..edu.
        if message.to == ["ada@u.edu"]:
            raise ValueError("Invalid address")
        send_on(out, message)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outbox.Outbox, "send", refuses)
        sent = send()
    assert [message.pi for message in sent.messages] == ["bob@u.edu"]
    assert "ValueError" in sent.failed[0].error


def test_what_was_replaced_is_not_sent_again(issued):
    send()
    build.a_charge("1.00", pi="bob@u.edu", project="lasers")
    generate()
    with pytest.raises(emails.NothingToResend):
        emails.resend(email=Email.objects.get(pi__email="bob@u.edu"), actor=SOMEBODY, now=LATER)


def test_statements_of_a_finalized_month_can_still_be_sent(issued):
    build.a_period().__class__.objects.update(status="finalized", closed_at=NOW, finalized_at=NOW)
    assert len(send().messages) == 2


def test_a_zero_revision_goes_to_the_pi_who_had_charges():
    charge = build.a_charge("10.00")
    generate()
    send()
    charge.state = "rejected"
    charge.save()
    generate()
    send(LATER)
    assert "$0.00 charged" in mail.outbox[1].subject


def test_a_month_in_review_says_so_in_the_message():
    build.a_charge()
    closing.start_review(period=build.a_period(), until=datetime.date(2025, 2, 14), actor=SOMEBODY, now=NOW)
    generate()
    send()
    assert "Questions until Feb 14, 2025" in mail.outbox[0].body


def test_a_month_that_moves_on_to_its_end_with_equal_figures_is_one_statement_and_one_mail():
    build.a_charge()
    build.a_charge(project="chemistry")
    period = build.a_period()
    mails = []

    def issue_and_send():
        emails.issue_and_send(period=build.a_period(), send_now=True, actor=SOMEBODY, now=LATER)
        mails.append(len(mail.outbox))

    issue_and_send()
    closing.start_review(period=period, until=datetime.date(2025, 2, 14), actor=SOMEBODY, now=NOW)
    issue_and_send()
    closing.close(period=period, actor=SOMEBODY, now=NOW)
    issue_and_send()
    period = build.shut("2025-01", "finalized")
    send(LATER)
    assert (mails, len(mail.outbox)) == ([1, 1, 1], 1)
    assert set(Statement.objects.values_list("revision", "state")) == {(1, "sent")}
    assert {each.month_state for each in Statement.objects.all()} == {"Final"}


def test_nothing_is_sent_where_nothing_was_issued():
    build.a_policy(email_text="{{ broken")
    assert send().messages == ()


def test_generating_and_sending_in_one_go_sends_what_was_issued():
    build.a_charge()
    generated, sent = emails.issue_and_send(period=build.a_period(), send_now=True, actor=SOMEBODY, now=NOW)
    assert (generated.issued, len(sent.messages)) == (1, 1)


def test_a_dry_run_sends_nothing():
    build.a_charge()
    _, sent = emails.issue_and_send(period=build.a_period(), dry_run=True, send_now=True, actor=SOMEBODY, now=NOW)
    assert sent is None
    assert mail.outbox == []

"""Test mode against a real mail server: everything goes to one address, says so, and counts for nobody as sent."""

import datetime

import pytest
from django.core.mail import EmailMultiAlternatives, send_mail
from django.urls import reverse

from billing import mail_test_mode
from statements import emails, reporting
from statements.models import Email, Statement
from tests.build import NOW, SOMEBODY
from tests.smtp import SMTP_BACKEND, mail_server
from tests.statements.mailing import issue_for_two, send, states

pytestmark = pytest.mark.django_db

LATER = NOW + datetime.timedelta(hours=2)
TEST = "test@u.edu"


@pytest.fixture
def server(settings):
    with mail_server() as running:
        running.configure(settings)
        settings.EMAIL_BACKEND, settings.EMAIL_REDIRECT_TO = mail_test_mode.BACKEND, TEST
        yield running


@pytest.fixture
def issued(db):
    issue_for_two()


def test_every_e_mail_goes_to_the_test_address_and_says_for_whom_it_was(server, issued):
    sent = send()
    assert [mail.recipients for mail in server.mailbox] == [(TEST,)] * 3
    first = server.mailbox[0]
    assert first.subject.startswith("[TEST for ada@u.edu] Research computing statement")
    assert first.message["To"] == TEST
    for part in (first.text, first.html):
        assert "Test mode: this e-mail was meant for ada@u.edu, who did not get it." in part
    assert "sent to the test address test@u.edu, and none to its recipient" in reporting.sent_summary(sent)
    assert (reporting.sent_data(sent)["sent"], reporting.sent_data(sent)["redirected_to"]) == (0, TEST)


def test_nobody_counts_as_having_got_anything(server, issued):
    send()
    assert set(states().values()) == {"redirected"}
    assert set(Statement.objects.values_list("state", "sent_at")) == {("issued", None)}
    email = Email.objects.get(recipient="ada@u.edu")
    assert (email.redirected_to, email.sent_at) == (TEST, None)
    assert emails.archived(email).headers[0][1].startswith("[TEST for ada@u.edu]")


def test_a_second_run_in_test_mode_sends_nothing_again(server, issued):
    send()
    assert send(LATER).messages == ()
    assert len(server.mailbox) == 3


def test_after_test_mode_the_next_run_sends_them_to_their_recipients_once(server, issued, settings):
    send()
    settings.EMAIL_BACKEND, settings.EMAIL_REDIRECT_TO = SMTP_BACKEND, ""
    server.mailbox.clear()
    assert len(send(LATER).messages) == 3
    assert [mail.recipients for mail in server.mailbox] == [("ada@u.edu",), ("office@u.edu",), ("bob@u.edu",)]
    assert "TEST" not in server.mailbox[0].subject
    assert "Test mode" not in server.mailbox[0].html
    assert set(Statement.objects.values_list("state", flat=True)) == {"sent"}
    assert set(Email.objects.values_list("redirected_to", flat=True)) == {""}
    assert send(LATER).messages == ()


def test_a_test_address_that_is_refused_refuses_no_recipient(server, issued, settings):
    server.refuses[TEST] = "550 5.1.1 No such user here"
    send()
    assert set(states().values()) == {"failed"}
    assert set(Email.objects.values_list("try_again_at", flat=True)) == {None}
    settings.EMAIL_BACKEND, settings.EMAIL_REDIRECT_TO = SMTP_BACKEND, ""
    assert len(send(LATER).messages) == 3


def test_links_to_set_a_password_and_copies_go_there_too(server):
    send_mail("Set your password", "A link", None, ["ada@u.edu"])
    message = EmailMultiAlternatives("Hello", "Text", to=["a@u.edu"], cc=["b@u.edu"], bcc=["c@u.edu"])
    message.send()
    assert [mail.recipients for mail in server.mailbox] == [(TEST,), (TEST,)]
    assert server.mailbox[0].subject == "[TEST for ada@u.edu] Set your password"
    assert server.mailbox[1].message["Cc"] is None
    assert "meant for a@u.edu, b@u.edu, c@u.edu" in server.mailbox[1].text


def test_every_page_of_the_staff_says_so(server, issued, client, cast):
    client.force_login(cast.viewer)
    said = "Test mode: every e-mail goes to test@u.edu, and none to its recipient."
    for page in ("admin:index", "admin:billing_person_changelist", "admin:statements_email_changelist"):
        assert said in client.get(reverse(page)).content.decode()
    client.force_login(cast.reviewer)
    assert "all of them go to test@u.edu" in client.get(reverse("admin:statements_statement_send")).content.decode()


def test_every_page_of_the_portal_says_so_without_the_address(server, issued, client, cast):
    client.force_login(cast.pi)
    for page in ("portal:home", "portal:statements", "portal:questions", "portal:delegates"):
        said = client.get(reverse(page)).content.decode()
        assert "This site is in test mode" in said
        assert "test@u.edu" not in said


def test_without_test_mode_no_page_says_so(client, cast):
    client.force_login(cast.viewer)
    assert "Test mode" not in client.get(reverse("admin:index")).content.decode()
    client.force_login(cast.pi)
    assert "test mode" not in client.get(reverse("portal:home")).content.decode()


def test_a_killed_run_of_test_mode_makes_no_statement_sent(server, issued, monkeypatch):
    """Between the server's answer and the record: what is found later says that the test address got it."""
    send(chosen=[Statement.objects.get(pi__email="bob@u.edu").number])
    email = Email.objects.get()
    Email.objects.update(state="claimed", claimed_at=NOW)
    send(LATER, chosen=[Statement.objects.get(pi__email="ada@u.edu").number])
    email.refresh_from_db()
    assert email.state == "redirected"
    assert Statement.objects.get(pi__email="bob@u.edu").state == "issued"


def test_one_may_be_sent_again_in_test_mode(server, issued):
    send()
    emails.resend(email=Email.objects.get(recipient="bob@u.edu"), actor=SOMEBODY, now=LATER)
    assert len(server.mailbox) == 4
    assert Email.objects.count() == 3


def test_a_redirected_message_is_redirected_once():
    message = EmailMultiAlternatives("Hello", "Text", to=["a@u.edu"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mail_test_mode, "test_address", lambda: TEST)
        mail_test_mode.redirect(message)
        mail_test_mode.redirect(message)
    assert (message.subject, message.to) == ("[TEST for a@u.edu] Hello", [TEST])

"""The pages of e-mails: the words with preview and test, sending again with a reason, the message as it was sent."""

import datetime
import re

import pytest
from django.urls import reverse

from billing.errors import ReasonMissing
from billing.models import AuditEvent, Policy
from statements import emails
from statements.emails.texts import ACTIVE
from statements.models import Email, Statement
from tests import build
from tests.build import NOW
from tests.smtp import mail_server
from tests.statements.mailing import issue_for_two, send

pytestmark = [pytest.mark.django_db, pytest.mark.same_on_either]

LATER = NOW + datetime.timedelta(hours=2)
TEXTS = "/admin/statements/email/texts/"


@pytest.fixture
def server(settings):
    with mail_server() as running:
        running.configure(settings)
        yield running


@pytest.fixture
def issued(db):
    issue_for_two()


@pytest.fixture
def finance(client, cast):
    client.force_login(cast.finance)
    return client


def once(client, page):
    """Return what a form of a page sends by itself."""
    found = re.search(r'name="once" value="([^"]+)"', page.content.decode())
    return {"once": found.group(1)} if found else {}


def write(client, button="_try", **words):
    page = client.get(TEXTS)
    seen = re.search(r'name="seen" value="(\d+)"', page.content.decode()).group(1)
    kept = {"subject": "{{ month }}: {{ due }}", "text": "", "html": "", "seen": seen}
    return client.post(TEXTS, kept | words | {button: "1"} | once(client, page), follow=True)


def said(page):
    return " ".join(page.content.decode().split())


def frame_of(client, page):
    """Return what the frame of a page shows."""
    (source,) = re.findall(r'<iframe[^>]* src="([^"]+)"', page.content.decode())
    return client.get(source)


# The words ------------------------------------------------------------------------------------------------------------


def test_words_are_previewed_tested_and_made_a_version(server, issued, finance, cast):
    page = write(finance, text="Hello {{ pi }}, {{ due }}.", html="<body><b>{{ due }}</b> for {{ pi }}</body>")
    assert "January 2025: $10.00" in said(page)
    assert "Hello ada@u.edu, $10.00." in said(page)
    assert frame_of(finance, page).content.decode() == "<body><b>$10.00</b> for ada@u.edu</body>"
    assert not Policy.objects.exists()

    statement = Statement.objects.get(pi__email="ada@u.edu")
    write(finance, "_test", text="Hello {{ pi }}, {{ due }}.", statement=statement.number)
    (mail,) = server.mailbox
    assert mail.recipients == (cast.finance.email,)
    assert mail.subject == "[TEST] January 2025: $10.00"
    assert mail.text.startswith("A test: nobody got this. It would go to ada@u.edu.\n\nHello ada@u.edu, $10.00.")
    assert "A test: nobody got this." in mail.html
    assert mail.attachments == [f"statement-{statement.number}.pdf"]
    statement.refresh_from_db()
    assert (statement.state, Email.objects.count(), Policy.objects.count()) == ("issued", 0, 0)
    assert AuditEvent.objects.get(action="email.tested").after == {
        "recipient": cast.finance.email,
        "instead_of": "ada@u.edu",
    }

    write(finance, "_make", text="Hello {{ pi }}, {{ due }}.\r\nBye")
    assert Policy.objects.current().email_text == "Hello {{ pi }}, {{ due }}.\nBye"
    send(LATER)
    assert server.to("ada@u.edu")[0].text.startswith("Hello ada@u.edu, $10.00.\nBye")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"text": "{{ perod }}"}, "there is no “perod”"),
        ({"html": "<p>{% if %}</p>"}, "The HTML of the e-mail cannot be read, line 1"),
        ({"html": "<p>Hi</p>\n<script>alert(1)</script>"}, "has “&lt;script” in line 2"),
        ({"html": '<p onclick="x()">Hi</p>'}, "Mail programs run no scripts"),
        ({"subject": "{% load static %}"}, "The subject of the e-mail cannot be read"),
        ({"subject": ""}, "This field is required."),
    ],
)
def test_what_cannot_be_written_is_told_and_neither_saved_nor_sent(server, issued, finance, words, told):
    for button in ("_try", "_test", "_make"):
        assert told in said(write(finance, button, **words))
    assert server.mailbox == []
    assert not Policy.objects.exists()


def test_of_two_who_write_at_once_the_second_hears_of_the_first(issued, finance):
    page = finance.get(TEXTS)
    build.a_policy(email_text="Of somebody else")
    words = {"subject": "Mine", "text": "", "html": "", "seen": "0", "_make": "1"}
    assert "Somebody changed the policy meanwhile" in said(finance.post(TEXTS, words | once(finance, page)))
    assert Policy.objects.current().email_text == "Of somebody else"


def test_without_a_statement_words_are_read_all_the_same(finance):
    assert "Once a statement is issued" in said(finance.get(TEXTS))
    assert "cannot be read, line 1" in said(write(finance, "_make", text="{% if %}"))
    write(finance, "_make", text="Hello {{ pi }}")
    assert Policy.objects.current().email_text == "Hello {{ pi }}"


@pytest.mark.parametrize("html", ['<a href="javascript:x()">', "<IFRAME src=x>", "<img src=x onerror=y>", "< form>"])
def test_active_html_is_found(html):
    assert ACTIVE.search(html)


def test_the_html_of_the_program_is_not_active():
    assert not ACTIVE.search(emails.shipped_html())


def test_who_sends_has_a_test_of_the_message_that_is_shown(server, issued, client, cast):
    client.force_login(cast.reviewer)
    page = client.get(reverse("admin:statements_statement_send") + "?period=2025-01")
    assert "View statement" in frame_of(client, page).content.decode()
    asked = {"look": "on", "letter": "1", "period": "2025-01", "test": "on"}
    page = client.post(reverse("admin:statements_statement_send"), asked | once(client, page))
    assert f"A test was sent to {cast.reviewer.email}. No statement was sent." in said(page)
    (mail,) = server.mailbox
    assert mail.recipients == (cast.reviewer.email,)
    assert "It would go to office@u.edu." in mail.text
    assert "Copy for the department contact of ada@u.edu" in mail.text
    assert not Email.objects.exists()


def test_who_has_no_address_is_told_so(server, issued, client, cast):
    cast.reviewer.email = ""
    cast.reviewer.save()
    client.force_login(cast.reviewer)
    page = client.get(reverse("admin:statements_statement_send") + "?period=2025-01")
    asked = {"look": "on", "letter": "0", "period": "2025-01", "test": "on"}
    page = client.post(reverse("admin:statements_statement_send"), asked | once(client, page))
    assert "Your account has no e-mail address" in said(page)
    assert server.mailbox == []


def test_a_test_that_is_refused_is_told_in_the_servers_words(server, issued, finance, cast):
    server.refuses[cast.finance.email] = "550 5.1.1 No such user here"
    assert "550 5.1.1 No such user here" in said(write(finance, "_test"))


# Sending again --------------------------------------------------------------------------------------------------------


def test_sending_again_asks_why_and_the_recipient_reads_it(server, issued, client, cast):
    send()
    first = Email.objects.get(recipient="bob@u.edu")
    client.force_login(cast.reviewer)
    address = reverse("admin:statements_email_resend", args=[first.pk])
    Email.objects.update(sent_at=NOW, created_at=NOW)
    assert "This field is required." in said(client.post(address, {}))
    assert len(server.to("bob@u.edu")) == 1
    client.post(address, {"reason": "The first one went to  spam"})
    _, mail = server.to("bob@u.edu")
    for part in (mail.text, mail.html):
        assert "This repeats our e-mail of " in part
        assert ": The first one went to spam" in part
    again = Email.objects.get(repeats=first)
    assert again.again_because == "The first one went to spam"
    queued = AuditEvent.objects.get(action="email.queued")
    assert (queued.note, queued.after, queued.actor) == (
        "The first one went to spam",
        {"again": first.pk},
        cast.reviewer,
    )
    sent = AuditEvent.objects.get(action="email.sent", object_id=str(again.pk))
    assert sent.after["because"] == "The first one went to spam"
    page = said(client.get(reverse("admin:statements_email_change", args=[again.pk])))
    assert "The first one went to spam" in page


def test_one_without_a_reason_is_refused_by_the_engine_too(server, issued):
    send()
    with pytest.raises(ReasonMissing):
        emails.resend(email=Email.objects.get(recipient="bob@u.edu"), reason="  ", actor=build.SOMEBODY, now=LATER)
    assert len(server.to("bob@u.edu")) == 1


# The message as it was sent -------------------------------------------------------------------------------------------


def test_the_message_is_read_as_it_was_sent_and_its_files_downloaded(server, issued, client, cast):
    build.a_policy(email_attaches_charges=True)
    send()
    email = Email.objects.get(recipient="ada@u.edu")
    client.force_login(cast.viewer)
    page = client.get(reverse("admin:statements_email_message", args=[email.pk]))
    mail = server.to("ada@u.edu")[0]
    assert mail.subject in said(page)
    assert "statement-2025-01-0001-1-charges.csv" in said(page)
    assert "Dear ada@u.edu" in said(page)
    assert "frame-src 'self'" in page.headers["Content-Security-Policy"]
    shown = frame_of(client, page)
    assert shown.content.decode() == mail.html
    policy = shown.headers["Content-Security-Policy"]
    for rule in ("default-src 'none'", "script-src 'none'", "img-src data:", "frame-ancestors 'self'", "sandbox"):
        assert rule in policy
    assert shown.headers["X-Frame-Options"] == "SAMEORIGIN"
    for number, part in enumerate(mail.message.iter_attachments(), start=1):
        file = client.get(reverse("admin:statements_email_file", args=[email.pk, number]))
        assert b"".join(file.streaming_content) == part.get_payload(decode=True)
        assert "attachment" in file.headers["Content-Disposition"]
    downloaded = AuditEvent.objects.filter(action="email.file_downloaded").order_by("pk")
    assert [event.after["file"] for event in downloaded] == [
        "statement-2025-01-0001-1.pdf",
        "statement-2025-01-0001-1-charges.csv",
    ]
    assert client.get(reverse("admin:statements_email_file", args=[email.pk, 3])).status_code == 404


def test_a_message_that_is_gone_or_never_was_is_said(server, issued, client, cast, settings):
    server.refuses["bob@u.edu"] = "550 5.1.1 No such user here"
    send()
    client.force_login(cast.viewer)
    refused, sent = (Email.objects.get(recipient=f"{name}@u.edu") for name in ("bob", "ada"))
    page = client.get(reverse("admin:statements_email_message", args=[refused.pk]))
    assert "No message is kept of it" in said(page)
    (settings.VAR_DIR / sent.message_path).unlink()
    page = client.get(reverse("admin:statements_email_message", args=[sent.pk]))
    assert "is not there any more" in said(page)
    assert client.get(reverse("admin:statements_email_html", args=[sent.pk])).status_code == 404


def test_no_path_leads_out_of_the_folder(server, issued, client, cast, tmp_path_factory):
    send()
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.eml"
    secret.write_text("Subject: secret\n\nsecret")
    email = Email.objects.get(recipient="ada@u.edu")
    for path in (str(secret), f"../../../../../{secret}"):
        Email.objects.filter(pk=email.pk).update(message_path=path)
        email.refresh_from_db()
        assert emails.archived(email) is None


def test_a_preview_is_shown_to_who_was_shown_it_alone(server, issued, finance, client, cast):
    page = finance.get(TEXTS)
    (source,) = re.findall(r'<iframe[^>]* src="([^"]+)"', page.content.decode())
    assert finance.get(source).status_code == 200
    client.force_login(cast.admin)
    assert client.get(source).status_code == 404

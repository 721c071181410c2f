"""Statements that charge so little that the policy has no e-mail sent: charged and journaled as any other."""

import datetime
from decimal import Decimal

import pytest
from django.urls import reverse

from billing.models import AuditEvent, Charge, Membership, Person
from billing.months import checklist
from journals import posting
from statements import emails
from statements.models import Email, Statement
from tests import build
from tests.build import NOW, SOMEBODY
from tests.smtp import mail_server
from tests.statements.mailing import generate, send, states

pytestmark = pytest.mark.django_db

LATER = NOW + datetime.timedelta(hours=2)


@pytest.fixture
def server(settings):
    with mail_server() as running:
        running.configure(settings)
        yield running


@pytest.fixture
def issued(db):
    """A statement of 3 dollars of Ada's, one of nothing of Cleo's, and one of 30 of Bob's."""
    build.a_policy(smallest_emailed=Decimal("5.00"))
    build.a_charge("3.00", pi="ada@u.edu", project="genomics")
    build.a_charge("0.00", pi="cleo@u.edu", project="poems", list_cost=Decimal("9.00"))
    build.a_charge("30.00", pi="bob@u.edu", project="lasers")
    generate()


def test_a_small_statement_is_left_out_of_the_mail_and_of_nothing_else(server, issued):
    sent = send()
    assert [mail.recipients for mail in server.mailbox] == [("bob@u.edu",)]
    assert [(each.recipient, each.error) for each in sent.left_out] == [
        ("ada@u.edu", "Less than $5.00: on the portal only."),
        ("cleo@u.edu", "Less than $5.00: on the portal only."),
    ]
    assert states() == {"ada@u.edu": "dropped", "cleo@u.edu": "dropped", "bob@u.edu": "sent"}
    assert dict(Statement.objects.values_list("pi__email", "state")) == {
        "ada@u.edu": "portal",
        "cleo@u.edu": "portal",
        "bob@u.edu": "sent",
    }
    journal = posting.export(period=build.a_period(), format="gl", actor=SOMEBODY, now=NOW).journal
    assert journal.debits == Decimal("33.00")
    dropped = AuditEvent.objects.filter(action="email.dropped").order_by("pk").first()
    assert (dropped.after["statements"], dropped.note) == (
        ["2025-01-0001-1"],
        "Less than $5.00: on the portal only.",
    )


def test_its_pi_sees_it_on_the_portal(server, issued, client):
    send()
    ada = build.a_user("ada")
    client.force_login(ada)
    number = Statement.objects.get(pi__email="ada@u.edu").number
    assert number in client.get(reverse("portal:statements")).content.decode()


def test_the_next_run_does_not_ask_again(server, issued):
    send()
    again = send(LATER)
    assert (again.messages, again.left_out) == ((), ())
    assert Email.objects.count() == 3
    item = checklist.of(build.a_period(), only=["sent"]).item("sent")
    assert item.text == "1 statement sent. 2 statements are too small to be e-mailed."


def test_what_is_left_out_is_seen_before_it_is(server, issued):
    seen = emails.preview(period=build.a_period(), actor=SOMEBODY, now=NOW)
    assert [each.recipient for each in seen.left_out] == ["ada@u.edu", "cleo@u.edu"]
    assert not Email.objects.exists()
    assert set(Statement.objects.values_list("state", flat=True)) == {"issued"}


def test_what_somebody_chose_goes_however_small(server, issued):
    send()
    number = Statement.objects.get(pi__email="ada@u.edu").number
    assert [each.recipient for each in send(LATER, chosen=[number]).messages] == ["ada@u.edu"]
    assert Statement.objects.get(number=number).state == "sent"


def test_one_that_was_left_out_is_sent_from_its_page(server, issued):
    send()
    email = Email.objects.get(recipient="ada@u.edu")
    emails.resend(email=email, actor=SOMEBODY, now=LATER)
    assert len(server.to("ada@u.edu")) == 1
    assert Statement.objects.get(pi__email="ada@u.edu").state == "sent"
    email.refresh_from_db()
    assert (email.state, email.is_small) == ("sent", False)


def test_a_small_one_goes_with_a_larger_one_of_the_same_pi(server, issued):
    build.a_charge("70.00", pi="ada@u.edu", project="proteins")
    generate()
    send()
    (mail,) = server.to("ada@u.edu")
    assert len(mail.attachments) == 2
    assert set(Statement.objects.filter(pi__email="ada@u.edu").values_list("state", flat=True)) == {"sent"}


def test_a_revision_of_what_was_mailed_is_mailed_however_small(server, issued):
    send()
    Charge.objects.filter(pi__email="bob@u.edu").update(billed_cost="1.00")
    generate(LATER)
    send(LATER)
    assert [mail.subject.startswith("Revised: ") for mail in server.to("bob@u.edu")] == [False, True]


def test_a_credit_is_as_large_as_a_charge(server):
    build.a_policy(smallest_emailed=Decimal("5.00"))
    build.a_charge("-40.00", pi="ada@u.edu")
    generate()
    send()
    assert len(server.to("ada@u.edu")) == 1


def test_a_delegate_of_a_small_project_gets_no_copy_while_the_pi_gets_both(server, issued):
    build.a_charge("70.00", pi="ada@u.edu", project="proteins")
    generate()
    Membership.objects.create(
        person=Person.objects.get(email="ada@u.edu"),
        user=build.a_user("grace"),
        project=build.a_project("genomics"),
        valid_from=datetime.date(2024, 1, 1),
        receives_statements=True,
    )
    send()
    assert len(server.to("ada@u.edu")) == 1
    assert server.to("grace@u.edu") == []
    assert states()["grace@u.edu"] == "dropped"
    assert send(LATER).left_out == ()


def test_a_small_statement_that_is_replaced_or_void_is_so_as_any_other(server, issued):
    send()
    Charge.objects.filter(pi__email="ada@u.edu").update(billed_cost="50.00")
    generate(LATER)
    assert dict(Statement.objects.filter(pi__email="ada@u.edu").values_list("revision", "state")) == {
        1: "superseded",
        2: "issued",
    }
    send(LATER)
    (mail,) = server.to("ada@u.edu")
    assert not mail.subject.startswith("Revised")


def test_of_a_finalized_month_a_small_statement_is_left_out_and_sent_by_hand_as_of_any_other(server, issued):
    build.shut("2025-01", "finalized")
    send()
    statement = Statement.objects.get(pi__email="ada@u.edu")
    assert statement.state == "portal"
    emails.resend(email=Email.objects.get(recipient="ada@u.edu"), actor=SOMEBODY, now=LATER)
    statement.refresh_from_db()
    assert statement.state == "sent"

"""Who gets an e-mail: what waits, what is a first one, what is not current, and who gets it at one address once."""

import dataclasses
import datetime
from decimal import Decimal

import pytest
from django.core import mail

from billing.audit import Actor
from billing.models import Membership, Person
from billing.months import closing
from statements import emails, issuing, reporting
from statements.emails import addressing
from statements.models import Email, Statement
from tests import build
from tests.build import NOW, SOMEBODY

pytestmark = pytest.mark.django_db

LATER = NOW + datetime.timedelta(hours=2)
# As a job of cron acts: the system, without a user.
CRON = Actor(name="system (billing)", via="command")


@pytest.fixture
def fay(cast):
    return Actor.from_user(cast.finance)


def generate(month="2025-01"):
    return issuing.generate(period=build.a_period(month), actor=SOMEBODY, now=NOW)


def send(actor=CRON, now=NOW, month="2025-01", **options):
    return emails.send(period=build.a_period(month), actor=actor, now=now, **options)


def preview(actor=CRON, **options):
    return emails.preview(period=build.a_period(), actor=actor, now=NOW, **options)


def recipients(messages):
    return [message.recipient for message in messages]


def sent_to():
    return [address for message in mail.outbox for address in message.to]


@pytest.fixture
def known_and_stranger():
    """A statement of a PI inside the institution's domains and one of somebody whom only a tag names."""
    build.a_policy(own_domains=["u.edu"])
    build.a_charge("10.00", pi="ada@u.edu", project="genomics")
    build.a_charge("500.00", pi="stranger@gmail.com", project="mining")
    generate()


def test_the_first_e_mail_to_a_pi_nobody_confirmed_waits_whoever_sends(known_and_stranger, fay):
    for actor in (CRON, fay):
        sent = send(actor)
        assert [(each.recipient, each.error) for each in sent.waiting] == [
            ("stranger@gmail.com", addressing.UNCONFIRMED)
        ]
        assert not sent.is_trouble
    assert sent_to() == ["ada@u.edu"]
    assert Statement.objects.get(pi__email="stranger@gmail.com").state == "issued"
    waits = Email.objects.get(recipient="stranger@gmail.com")
    assert (waits.state, waits.error) == ("queued", addressing.UNCONFIRMED)


def test_once_somebody_confirmed_the_pi_a_person_sends_and_cron_does_not(known_and_stranger, fay):
    send()
    Person.objects.filter(email="stranger@gmail.com").update(confirmed_at=NOW, confirmed_by_name="fay")
    by_cron = send(now=LATER)
    assert [(each.recipient, each.error) for each in by_cron.waiting] == [("stranger@gmail.com", addressing.UNATTENDED)]
    assert recipients(send(fay, LATER).messages) == ["stranger@gmail.com"]
    # It is no first e-mail any more: the next month's goes by cron.
    build.a_charge("5.00", pi="stranger@gmail.com", project="mining", period="2025-02")
    generate("2025-02")
    assert recipients(send(now=LATER, month="2025-02").messages) == ["stranger@gmail.com"]


def test_cron_sends_no_first_e_mail_outside_the_domains_to_a_contact_or_delegate_either(known_and_stranger, fay):
    Person.objects.filter(email="ada@u.edu").update(contact_email="office@partner.org")
    sent = send()
    assert recipients(sent.messages) == ["ada@u.edu"]
    assert "office@partner.org" in recipients(sent.waiting)
    assert Statement.objects.get(pi__email="ada@u.edu").state == "sent"
    # The PI has it, and the copy is not forgotten.
    assert recipients(send(fay, LATER).messages) == ["office@partner.org"]


def test_without_domains_or_a_list_nothing_waits_and_first_e_mails_are_named():
    build.a_charge("10.00", pi="ada@u.edu")
    build.a_charge("500.00", pi="stranger@gmail.com", project="mining")
    generate()
    assert recipients(preview().first) == ["ada@u.edu", "stranger@gmail.com"]
    sent = send()
    assert recipients(sent.first) == ["ada@u.edu", "stranger@gmail.com"]
    assert "First e-mail: ada@u.edu, stranger@gmail.com" in reporting.sent_text(sent)
    assert reporting.sent_data(sent)["first"] == ["ada@u.edu", "stranger@gmail.com"]
    build.a_charge("1.00", pi="ada@u.edu", period="2025-02")
    generate("2025-02")
    assert send(month="2025-02").first == ()


def test_a_preview_writes_nothing_and_says_what_the_run_then_does():
    build.a_charge("10.00", pi="ada@u.edu")
    Person.objects.update(contact_email="office@u.edu")
    generate()
    seen = preview()
    assert not Email.objects.exists()
    assert seen.totals == {"USD": Decimal("10.00")}
    assert [(each.number, each.project, each.charged, each.recipients) for each in seen.stated] == [
        ("2025-01-0001-1", "genomics", Decimal("10.00"), ("ada@u.edu", "office@u.edu"))
    ]
    sent = send()
    stored = [dataclasses.replace(each, number=0, path="") for each in sent.messages]
    assert tuple(stored) == seen.messages


def test_statements_that_are_not_current_are_listed_and_sent_only_when_told():
    build.a_charge("10.00", pi="ada@u.edu")
    build.a_charge("30.00", pi="bob@u.edu", project="lasers")
    generate()
    build.a_charge("5.00", pi="bob@u.edu", project="lasers")
    sent = send()
    assert recipients(sent.messages) == ["ada@u.edu"]
    assert [(each.number, each.charged, each.now) for each in sent.outdated] == [("2025-01-0002-1", 30, 35)]
    assert "1 statement not current, not sent: 2025-01-0002-1" in reporting.sent_summary(sent)
    told = send(outdated=True)
    assert recipients(told.messages) == ["bob@u.edu"]
    assert told.sends_outdated
    assert "sent all the same" in reporting.sent_summary(told)


def test_an_e_mail_that_failed_is_tried_again_without_the_statement_that_is_not_current_any_more():
    build.a_charge("10.00", pi="ada@u.edu", project="genomics")
    build.a_charge("20.00", pi="ada@u.edu", project="proteins")
    generate()
    send()
    Email.objects.update(state="failed")
    Statement.objects.update(state="issued", sent_at=None)
    build.a_charge("5.00", pi="ada@u.edu", project="proteins")
    again = send(now=LATER)
    assert [each.statements for each in again.messages] == [("2025-01-0001-1",)]
    generate()
    assert [each.statements for each in send(now=LATER).messages] == [("2025-01-0002-2",)]


def test_an_e_mail_is_not_sent_again_with_statements_that_are_not_current_unless_told():
    build.a_charge("10.00", pi="ada@u.edu")
    generate()
    send()
    build.a_charge("5.00", pi="ada@u.edu")
    first = Email.objects.get()
    with pytest.raises(emails.NotCurrent) as refused:
        emails.resend(email=first, reason="She lost it", actor=SOMEBODY, now=LATER)
    assert refused.value.then.name == "issue_statements"
    emails.resend(email=first, reason="She lost it", outdated=True, actor=SOMEBODY, now=LATER)
    assert sent_to() == ["ada@u.edu", "ada@u.edu"]


def test_who_is_contact_and_delegate_gets_one_e_mail():
    build.a_charge("10.00", pi="ada@u.edu")
    ada = Person.objects.get()
    ada.contact_email = "Grace@u.edu"
    ada.save()
    Membership.objects.create(
        person=ada, user=build.a_user("grace"), valid_from=datetime.date(2024, 1, 1), receives_statements=True
    )
    generate()
    send()
    send(now=LATER)
    assert sent_to() == ["ada@u.edu", "Grace@u.edu"]


def test_an_address_that_was_corrected_while_its_e_mail_waited_is_the_one_it_goes_to():
    build.a_charge("10.00", pi="ada@u.edu")
    generate()
    send()
    Email.objects.update(state="failed", error="550 No such user")
    Statement.objects.update(state="issued", sent_at=None)
    Person.objects.update(email="lovelace@u.edu")
    # The statement names the PI by her address: it is a new revision, and the old e-mail is left out.
    generate()
    send(now=LATER)
    assert sent_to() == ["ada@u.edu", "lovelace@u.edu"]


def test_closing_a_month_after_its_statements_were_sent_mails_nothing_again():
    build.a_charge("10.00", pi="ada@u.edu")
    period = build.a_period()
    by = {"actor": SOMEBODY, "now": NOW}
    emails.issue_and_send(period=period, send_now=True, **by)
    closing.start_review(period=period, until=datetime.date(2025, 2, 14), **by)
    emails.issue_and_send(period=build.a_period(), send_now=True, **by)
    closing.close(period=build.a_period(), **by)
    generated, sent = emails.issue_and_send(period=build.a_period(), send_now=True, **by)
    assert (generated.issued, sent.messages, sent.outdated) == (0, (), ())
    assert sent_to() == ["ada@u.edu"]


def test_a_late_approval_is_listed_by_the_run_that_generates_and_sends():
    """What is held is on no statement; once approved, the statement of before is not current until it is issued."""
    build.a_charge("10.00", pi="ada@u.edu")
    late = build.a_charge("90.00", pi="ada@u.edu", flags=("pattern_match",))
    generate()
    late.state = "approved"
    late.save()
    assert [each.number for each in send().outdated] == ["2025-01-0001-1"]
    assert mail.outbox == []
    _, sent = emails.issue_and_send(period=build.a_period(), send_now=True, actor=SOMEBODY, now=NOW)
    assert [each.statements for each in sent.messages] == [("2025-01-0001-2",)]
    assert sent.outdated == ()


def test_the_month_asks_to_look_at_e_mails_not_sent_or_perhaps_sent_and_not_at_those_of_replaced_statements():
    build.a_charge("10.00", pi="ada@u.edu")
    build.a_charge("30.00", pi="bob@u.edu", project="lasers")
    generate()
    send()
    for state, number in (("failed", 2), ("uncertain", 2), ("sent", 0), ("dropped", 0)):
        Email.objects.update(state=state)
        assert emails.troubled(build.a_period()).count() == number
    Email.objects.update(state="failed")
    build.a_charge("5.00", pi="bob@u.edu", project="lasers")
    generate()
    assert emails.troubled(build.a_period()).count() == 1

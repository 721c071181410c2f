"""The words of the e-mails: what was revised, and totals that are what the PI owes."""

import datetime

import pytest
from django.core import mail

from billing.models import Charge, Membership, Policy
from statements import emails, issuing
from statements.models import Statement
from tests import build
from tests.build import NOW, SOMEBODY

pytestmark = pytest.mark.django_db

LATER = NOW + datetime.timedelta(hours=2)


def issue_and_send(now=NOW):
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=now)
    emails.send(period=build.a_period(), actor=SOMEBODY, now=now)


@pytest.fixture
def mailed():
    """Two statements of Ada's, mailed; then one of them is revised and mailed."""
    build.the_cast()
    genomics = build.a_charge("120.00", project="genomics", service_name="Compute")
    build.a_charge("30.00", project="proteins")
    issue_and_send()
    Charge.objects.filter(pk=genomics.pk).update(billed_cost="100.00")
    build.a_charge("5.00", project="genomics", service_name="Storage")
    mail.outbox.clear()
    issue_and_send(LATER)
    return mail.outbox


def to_ada(outbox):
    return next(message for message in outbox if "ada@u.edu" in message.to)


def test_the_mail_of_a_revised_statement_says_so_with_the_old_and_the_new_amount(mailed):
    message = to_ada(mailed)
    assert message.subject.startswith("Revised: ")
    for text in (message.body, message.alternatives[0].content):
        assert "was $120.00" in text
        assert "$105.00" in text
        assert "Compute, BIO-001: $100.00, was $120.00" in text
        assert "Storage, BIO-001: $5.00, new" in text
        assert "revised. The new one is attached" in text


def test_the_total_of_a_mail_is_what_the_pi_owes_for_the_month(mailed):
    message = to_ada(mailed)
    assert "$135.00 charged" in message.subject
    assert "Total for January 2025: $135.00" in message.body
    assert "Also in force for January 2025, and not attached:\n  2025-01-0002-1  proteins: total charged $30.00" in (
        message.body
    )
    assert [name for name, _, kind in message.attachments] == ["statement-2025-01-0001-2.pdf"]


def test_the_total_of_who_sees_one_project_is_called_so_and_tells_nothing_of_the_others():
    cast = build.the_cast()
    build.a_charge("120.00", project="genomics")
    build.a_charge("30.00", project="proteins")
    Membership.objects.update(project=build.a_project("genomics"))
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    letter = emails.letter_of(
        list(Statement.objects.filter(project__code="genomics").select_related("period", "reference__period")),
        policy=Policy.objects.current(),
        sees_all=False,
    )
    assert cast.delegate
    for said in (letter.subject, letter.text, letter.html):
        assert "proteins" not in said
        assert "150.00" not in said
    assert "Total of the statements in this e-mail" in letter.html


def test_a_first_and_a_revised_statement_in_one_mail_are_told_apart():
    charge = build.a_charge("120.00", project="genomics")
    issue_and_send()
    Charge.objects.filter(pk=charge.pk).update(billed_cost="100.00")
    build.a_charge("30.00", project="proteins")
    issue_and_send(LATER)
    message = mail.outbox[1]
    assert message.subject.startswith("Revised and new: ")
    assert "1 of them replaces one that you have." in message.body
    assert "Total for January 2025: $130.00" in message.body


def test_a_revision_of_what_was_never_mailed_is_a_first_statement_to_its_pi():
    charge = build.a_charge("120.00")
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    Charge.objects.filter(pk=charge.pk).update(billed_cost="100.00")
    issue_and_send(LATER)
    (message,) = mail.outbox
    assert not message.subject.startswith("Revised")
    assert "was $" not in message.body


def test_the_policys_own_text_is_preceded_by_what_was_revised():
    build.a_policy(email_subject="Your costs", email_text="Hello {{ pi }}: {{ due }}")
    charge = build.a_charge("120.00", service_name="Compute")
    issue_and_send()
    Charge.objects.filter(pk=charge.pk).delete()
    build.a_charge("100.00", service_name="GPU", project=charge.project)
    issue_and_send(LATER)
    message = mail.outbox[1]
    assert message.subject == "Revised: Your costs"
    assert message.body.startswith(
        "Revised statement 2025-01-0001-2, genomics: total charged $100.00, was $120.00\n"
        "  - GPU, BIO-001: $100.00, new\n  - Compute, BIO-001: no longer charged, was $120.00\n"
    )
    assert message.body.endswith("Hello ada@u.edu: $100.00")


def test_a_statement_that_comes_to_nothing_says_what_it_was():
    charge = build.a_charge("120.00")
    issue_and_send()
    Charge.objects.filter(pk=charge.pk).update(state="rejected")
    issue_and_send(LATER)
    assert mail.outbox[1].subject == "Revised: Research computing statement for 2025-01: $0.00 charged"
    assert "total charged $0.00, was $120.00" in mail.outbox[1].body

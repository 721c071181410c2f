"""The words of the e-mails: what was revised, and totals that are what the PI owes."""

import datetime
from decimal import Decimal

import pytest
from django.core import mail

from billing.models import Charge, Membership, Person, Policy
from statements import emails, issuing
from statements.models import Email, Statement
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
    assert mail.outbox[1].subject == "Revised: Research computing statement for January 2025: $0.00 charged"
    assert "total charged $0.00, was $120.00" in mail.outbox[1].body


def test_the_policy_words_the_message():
    build.a_policy(
        institution="Example University",
        email_subject="{{ month }}, {{ pi }}",
        email_text="Hello {{ pi }}!\n\n{% for s in statements %}{{ s.project }}: {{ s.due }}\n{% endfor %}",
    )
    build.a_charge("10.00")
    Person.objects.update(name="Ada <b>Bold</b>")
    issue_and_send()
    (message,) = mail.outbox
    assert message.subject == "January 2025, Ada <b>Bold</b>"
    assert message.body.startswith("Hello Ada <b>Bold</b>!\n\ngenomics: $10.00")
    html = message.alternatives[0].content
    assert "Hello Ada &lt;b&gt;Bold&lt;/b&gt;!" in html
    assert "<b>Bold</b>" not in html


@pytest.mark.parametrize(
    ("field", "template", "told"),
    [
        ("email_text", "Dear {{ pi }},\n{% if %}", "text of the e-mail cannot be read, line 2"),
        ("email_text", "One\nTwo {{ perod }}", "text of the e-mail cannot be written, line 2: there is no “perod”"),
        ("email_subject", "{{ period.year }}", "subject of the e-mail cannot be written"),
        ("email_text", "{% include '/etc/passwd' %}", "text of the e-mail cannot be read, line 1"),
        ("email_text", "{% load static %}", "cannot be read, line 1"),
        ("email_text", "{% lorem 9999999 w %}", "cannot be read, line 1"),
        ("email_text", "{{ pi|ljust:99999999 }}", "cannot be read"),
        ("email_text", "{{ pi.__class__ }}", "cannot be read"),
    ],
)
def test_a_template_that_cannot_be_rendered_is_told_with_its_line_and_nothing_is_sent(field, template, told):
    build.a_policy(**{field: template})
    build.a_charge()
    with pytest.raises(emails.EmailTemplateError, match=told):
        issue_and_send()
    assert mail.outbox == []
    assert not Email.objects.exists()


def test_a_subject_stays_on_one_line():
    build.a_policy(email_subject="One\r\nBcc: everybody@u.edu {{ pi }}")
    build.a_charge()
    Person.objects.update(name="Ada\nBcc: x@u.edu")
    issue_and_send()
    assert "\n" not in mail.outbox[0].subject


def test_the_shipped_texts_use_only_names_that_exist():
    assert Policy().email_text == ""
    build.a_policy(contact_email="billing@u.edu", contact_phone="1", department="RC", statement_footer="Bye")
    build.a_charge("10.00", list_cost=Decimal(20))
    issue_and_send()
    assert "billing@u.edu" in mail.outbox[0].body
    assert mail.outbox[0].reply_to == ["billing@u.edu"]

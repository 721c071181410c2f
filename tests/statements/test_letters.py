"""The words of the e-mails: what was revised, and totals that are what the PI owes."""

import datetime
import re
from decimal import Decimal

import pytest
from django.core import mail

from billing.models import Charge, Membership, Person, Policy, Project
from statements import emails, issuing
from statements.models import Email, Statement
from tests import build
from tests.build import NOW, SOMEBODY

pytestmark = [pytest.mark.django_db, pytest.mark.same_on_either]

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
    # What is charged in one project is its only sum.
    assert "Total for" not in letter.html


def test_a_first_and_a_revised_statement_in_one_mail_are_told_apart():
    charge = build.a_charge("120.00", project="genomics")
    issue_and_send()
    Charge.objects.filter(pk=charge.pk).update(billed_cost="100.00")
    build.a_charge("30.00", project="proteins")
    issue_and_send(LATER)
    message = mail.outbox[1]
    assert message.subject.startswith("Revised and new: ")
    assert (
        "\n\nYour 2 research computing statements for January 2025 are attached. 1 of them replaces one" in message.body
    )
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


def test_each_statement_is_linked_to_its_page(settings):
    settings.SITE_URL = "https://billing.u.edu"
    build.a_charge("10.00", project="genomics")
    build.a_charge("20.00", project="proteins")
    issue_and_send()
    (message,) = mail.outbox
    for text in (message.body, message.alternatives[0].content):
        for number in ("2025-01-0001-1", "2025-01-0002-1"):
            assert f"https://billing.u.edu/statements/{number}/" in text


def test_the_pi_reads_what_is_still_in_review_of_theirs_and_of_nobody_elses():
    build.a_charge("10.00", pi="ada@u.edu")
    for amount in ("500.00", "263.08"):
        build.a_charge(amount, pi="ada@u.edu", flags=("pattern_match",))
    build.a_charge("77.00", pi="bob@u.edu", project="lasers", flags=("pattern_match",))
    build.a_charge("1.00", pi="bob@u.edu", project="lasers")
    build.a_charge("1.00", pi="cleo@u.edu", project="poems")
    issue_and_send()
    ada, bob, cleo = ([*(m for m in mail.outbox if f"{name}@u.edu" in m.to)][0] for name in ("ada", "bob", "cleo"))
    said = "2 charges, $763.08 as billed, are still in review and on no statement yet."
    assert said in ada.body
    assert said in ada.alternatives[0].content
    assert "1 charge, $77.00 as billed, is still in review" in bob.body
    assert "in review and on no statement" not in cleo.body


def test_held_charges_of_two_currencies_are_not_added():
    build.a_charge("10.00")
    build.a_charge("5.00", flags=("pattern_match",))
    build.a_charge("7.00", currency="CHF", flags=("pattern_match",))
    issue_and_send()
    assert "2 charges, CHF 7.00 and $5.00 as billed, are still in review" in mail.outbox[0].body


def test_what_is_decided_before_it_is_sent_is_what_is_said():
    build.a_charge("10.00")
    held = build.a_charge("5.00", flags=("pattern_match",))
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    held.state = "rejected"
    held.save()
    emails.send(period=build.a_period(), actor=SOMEBODY, now=LATER)
    assert "in review and on no statement" not in mail.outbox[0].body


def test_a_delegate_of_one_project_reads_of_what_is_held_there_alone():
    ada = build.a_pi("ada@u.edu")
    build.a_charge("10.00", project="genomics")
    build.a_charge("10.00", project="proteins")
    build.a_charge("5.00", project="genomics", flags=("pattern_match",))
    build.a_charge("600.00", project="proteins", flags=("pattern_match",))
    Membership.objects.create(
        person=ada,
        user=build.a_user("grace"),
        project=build.a_project("genomics"),
        valid_from=datetime.date(2024, 1, 1),
        receives_statements=True,
    )
    issue_and_send()
    copy = next(message for message in mail.outbox if "grace@u.edu" in message.to)
    assert "1 charge, $5.00 as billed, is still in review" in copy.body
    for text in (copy.body, copy.alternatives[0].content):
        assert "proteins" not in text
        assert "60" not in re.sub(r"<style>.*?</style>|style=\"[^\"]*\"|width=\"[^\"]*\"", "", text, flags=re.DOTALL)


def test_the_pi_reads_who_gets_copies_and_a_copy_says_for_whom_it_is():
    ada = build.a_pi("ada@u.edu", name="Ada Lovelace", contact_email="office@u.edu")
    grace = build.a_user("grace")
    grace.first_name, grace.last_name = "Grace", "Hopper"
    grace.save()
    Membership.objects.create(person=ada, user=grace, valid_from=datetime.date(2024, 1, 1), receives_statements=True)
    Membership.objects.create(
        person=ada, user=build.a_user("quiet"), valid_from=datetime.date(2024, 1, 1), receives_statements=False
    )
    build.a_charge("10.00")
    issue_and_send()
    to_pi, to_office, to_grace = mail.outbox
    assert (
        "You receive this as the PI. Copies to your department contact, office@u.edu and your delegate, Grace Hopper."
        in to_pi.body
    )
    assert to_office.body.startswith("Copy for the department contact of Ada Lovelace\n\nDear Ada Lovelace")
    assert to_grace.body.startswith("Copy for Grace Hopper, delegate of Ada Lovelace")
    assert "quiet" not in to_pi.body


def test_an_amount_is_compared_with_the_month_before():
    build.a_charge("10.00", period="2024-12")
    emails.issue_and_send(period=build.a_period("2024-12"), send_now=True, actor=SOMEBODY, now=NOW)
    build.a_charge("12.50")
    mail.outbox.clear()
    issue_and_send()
    (message,) = mail.outbox
    for text in (message.body, message.alternatives[0].content):
        assert "+$2.50 from December 2024 ($10.00)" in text


def test_html_of_ones_own_holds_values_and_tells_what_changed_though_it_does_not_say_so():
    build.a_policy(email_html="<html><body class='x'><p>{{ pi }} owes {{ due }}</p></body></html>")
    charge = build.a_charge("120.00", service_name="Compute")
    Person.objects.update(name="Ada <b>Bold</b>")
    issue_and_send()
    assert mail.outbox[0].alternatives[0].content == (
        "<html><body class='x'><p>Ada &lt;b&gt;Bold&lt;/b&gt; owes $120.00</p></body></html>"
    )
    Charge.objects.filter(pk=charge.pk).update(billed_cost="100.00")
    issue_and_send(LATER)
    html = mail.outbox[1].alternatives[0].content
    assert html.index("<body class='x'>") < html.index("was $120.00") < html.index("owes $100.00")


def test_html_of_ones_own_that_tells_changes_itself_is_left_as_it_is():
    build.a_policy(
        email_html="<p>{% for s in statements %}{% for change in s.changes %}{{ change }}{% endfor %}{% endfor %}</p>"
    )
    charge = build.a_charge("120.00", service_name="Compute")
    issue_and_send()
    Charge.objects.filter(pk=charge.pk).update(billed_cost="100.00")
    issue_and_send(LATER)
    assert mail.outbox[1].alternatives[0].content == "<p>Compute, BIO-001: $100.00, was $120.00</p>"


def test_the_html_asks_for_nothing_from_elsewhere():
    build.a_charge("10.00")
    issue_and_send()
    html = mail.outbox[0].alternatives[0].content
    assert "<img" not in html
    assert "url(" not in html
    assert not re.search(r"\bsrc=", html)


def test_what_ends_soon_is_said_at_its_statement_and_what_the_institution_says_once():
    build.a_policy(statement_notices="Ask RC before you move data.")
    build.a_charge("10.00", project="genomics")
    build.a_charge("20.00", project="proteins")
    Project.objects.filter(code="genomics").update(end_date=NOW.date() + datetime.timedelta(days=60))
    issue_and_send()
    (message,) = mail.outbox
    for text in (message.body, message.alternatives[0].content):
        assert text.count("This project ends in 60 days, on ") == 1
        assert text.index("This project ends in 60 days") < text.rindex("proteins")
        assert text.count("Ask RC before you move data.") == 1

"""What a revision says of itself: what it changed, frozen when it is issued, the same on PDF, pages and in e-mails."""

import io
from decimal import Decimal

import pytest
from django.core import mail
from django.urls import reverse
from pypdf import PdfReader

from billing.models import Charge
from statements import emails, issuing
from statements.changes import SAME_AMOUNTS, changes_from
from statements.models import Statement
from tests import build
from tests.build import NOW, SOMEBODY
from tests.statements.documents import CHANGES

pytestmark = pytest.mark.django_db

BY = {"actor": SOMEBODY, "now": NOW}


def generate():
    return issuing.generate(period=build.a_period(), **BY)


def live():
    return Statement.objects.live().get()


def changes():
    return issuing.document_of(live()).changes


@pytest.fixture
def revised():
    """Three lines, of which the second revision changes one, drops one and adds one."""
    compute = build.a_charge("100.00", consumed_quantity="10", consumed_unit="Hours")
    storage = build.a_charge("5.00", service_name="Storage")
    build.a_charge("7.00", service_name="Zeta")
    generate()
    Charge.objects.filter(pk__in=[compute.pk, storage.pk]).update(state="rejected")
    build.a_charge("80.00", consumed_quantity="8", consumed_unit="Hours")
    build.a_charge("3.00", service_name="Network")
    generate()


def test_a_first_revision_changed_nothing():
    build.a_charge()
    generate()
    assert changes() is None


def test_each_line_that_changed_says_old_and_new(revised):
    said = changes()
    assert (said.since, said.was, said.now) == ("2025-01-0001-1", Decimal(112), Decimal(90))
    assert [(each.number, each.what, each.before, each.after, each.how) for each in said.lines] == [
        (1, "Compute, BIO-001", Decimal(100), Decimal(80), "Usage: 10 Hours, now 8 Hours"),
        (2, "Network, BIO-001", None, Decimal(3), "New line"),
        (2, "Storage, BIO-001", Decimal(5), None, "No longer charged"),
    ]
    assert sum(each.difference for each in said.lines) == said.difference
    assert said.summary == "Total charged: $90.00, was $112.00 (-$22.00)"


def test_it_is_kept_as_it_was_issued(revised):
    # Whatever happens to what the earlier revision says.
    document = live().document
    assert document["changes"]["since"] == "2025-01-0001-1"
    before = changes()
    with build.safeguards_down():
        Statement.objects.get(revision=1).lines.all()._raw_delete("default")
    assert changes() == before


def test_a_third_revision_is_held_against_the_second(revised):
    build.a_charge("1.00", service_name="Zeta")
    generate()
    said = changes()
    assert (said.since, [(each.what, each.before, each.after) for each in said.lines]) == (
        "2025-01-0001-2",
        [("Zeta, BIO-001", Decimal(7), Decimal(8))],
    )


def test_a_revision_after_a_voided_one_says_nothing_of_it(revised):
    issuing.void(statement=live(), reason="Wrong", **BY)
    generate()
    assert live().revision == 3
    assert changes() is None


def test_a_change_of_what_the_lines_are_made_of_says_so():
    charge = build.a_charge("100.00", resource_id="i-1")
    generate()
    Charge.objects.filter(pk=charge.pk).update(state="rejected")
    build.a_charge("100.00", resource_id="i-2")
    generate()
    assert (changes().lines, changes().same_amounts) == ((), SAME_AMOUNTS)
    assert changes().summary == "Total charged: $100.00, as before"


def test_a_line_whose_price_alone_changed_says_so():
    charge = build.a_charge("100.00", list_cost=Decimal(100))
    generate()
    Charge.objects.filter(pk=charge.pk).update(state="rejected")
    build.a_charge("100.00", list_cost=Decimal(150))
    generate()
    (line,) = changes().lines
    assert (line.how, line.difference) == ("List price or discount changed", 0)


def test_another_address_of_the_pi_is_told():
    build.a_charge()
    generate()
    person = live().pi
    person.email = "countess@u.edu"
    person.save()
    generate()
    assert changes().renamed == ("PI: countess@u.edu, was ada@u.edu",)


def test_what_is_kept_is_read_back_as_it_was():
    assert changes_from(CHANGES.as_data(), now=CHANGES.now, currency="USD") == CHANGES


def test_pdf_portal_and_the_page_of_staff_say_it(client, cast, revised):
    pdf = " ".join(page.extract_text() for page in PdfReader(io.BytesIO(issuing.pdf_of(live()))).pages)
    client.force_login(cast.pi)
    portal = client.get(reverse("portal:statement", args=[live().number])).content.decode()
    client.force_login(cast.viewer)
    address = reverse("admin:statements_statement_change", args=[live().pk])
    staff = [client.get(f"{address}{tab}").content.decode() for tab in ("", "?tab=history")]
    for said in (pdf, portal, *staff):
        said = " ".join(said.split())
        for text in (
            *("What changed since 2025-01-0001-1", "Total charged: $90.00, was $112.00 (-$22.00)"),
            *("Compute, BIO-001", "Usage: 10 Hours, now 8 Hours", "New line", "No longer charged", "100.00", "80.00"),
        ):
            assert text in said, text


def test_the_e_mail_says_what_changed_since_the_one_that_was_mailed():
    build.a_charge("100.00")
    generate()
    emails.send(period=build.a_period(), **BY)
    for amount in ("1.00", "2.00"):
        build.a_charge(amount)
        generate()
    emails.send(period=build.a_period(), **BY)
    # The second revision was never mailed: the third is held against the first there, and against the second on paper.
    assert changes().since == "2025-01-0001-2"
    assert "Compute, BIO-001: $103.00, was $100.00" in mail.outbox[-1].body

"""A statement says where its lines are in the general ledger, as of the journals of its month."""

from decimal import Decimal

import pytest
from django.urls import reverse

from billing.models import Source
from journals import posting
from statements import issuing, overview
from statements.models import Statement
from tests import build
from tests.build import NOW, SOMEBODY

pytestmark = pytest.mark.django_db

BY = {"actor": SOMEBODY, "now": NOW}


@pytest.fixture
def statement(cast):
    build.a_charge("40.00", service_name="Compute")
    build.a_charge("12.00", service_name="Disk", fund_org="BIO-2")
    build.a_charge("99.00", pi="mallory@u.edu", project="mischief")
    return issued(cast)


def issued(cast):
    issuing.generate(period=build.a_period(), **BY)
    return Statement.objects.live().get(pi__email="ada@u.edu")


def journaled(document=""):
    journal = posting.export(period=build.a_period(), format="gl", **BY).journal
    posting.submit(journal=journal, format="gl", **BY)
    if document:
        posting.post(journal=journal, document_number=document, **BY)
    return journal


def said(statement):
    found = overview.in_ledger(statement)
    return [(each.number, each.state, each.document, each.lines, each.amount) for each in found.journals], found.missing


def page_of(client, cast, statement):
    client.force_login(cast.pi)
    page = client.get(reverse("portal:statement", args=[statement.number])).content.decode()
    return " ".join(page.split())


def test_before_a_journal_it_is_not_in_the_ledger(client, cast, statement):
    assert said(statement) == ([], (1, 2))
    assert "This statement is not in the ledger yet." in page_of(client, cast, statement)
    # A draft is nothing that the ledger has.
    posting.export(period=build.a_period(), format="gl", **BY)
    assert said(statement) == ([], (1, 2))


def test_a_posted_journal_names_its_document(client, cast, statement):
    journal = journaled()
    assert said(statement) == ([(journal.number, "Submitted", "", [1, 2], Decimal(52))], ())
    assert "Not numbered yet" in page_of(client, cast, statement)
    posting.post(journal=journal, document_number="DOC-4711", **BY)
    assert said(statement) == ([(journal.number, "Posted", "DOC-4711", [1, 2], Decimal(52))], ())
    page = page_of(client, cast, statement)
    assert "<bdi>DOC-4711</bdi>" in page
    assert "Not in the ledger yet" not in page
    assert "99.00" not in page
    # Another PI reads nothing of it.
    client.force_login(cast.stranger)
    assert client.get(reverse("portal:statement", args=[statement.number])).status_code == 404


def test_what_was_revised_since_is_in_a_second_journal(client, cast, statement):
    first = journaled("A-1")
    build.a_charge("8.00", service_name="Compute")
    revised = issued(cast)
    compute = next(line.number for line in revised.lines.all() if line.service_name == "Compute")
    assert said(revised) == ([(first.number, "Posted", "A-1", [1, 2], Decimal(52))], (compute,))
    assert "Not in the ledger yet, or changed since: Compute (BIO-001)." in page_of(client, cast, revised)
    second = journaled("A-2")
    journals, missing = said(revised)
    assert [each[0] for each in journals] == [first.number, second.number]
    assert journals[1][3:] == ([compute], Decimal(8))
    assert [each.told for each in overview.in_ledger(revised).journals] == ["", "Compute (BIO-001)"]
    assert missing == ()
    assert overview.in_ledger(revised).posted == revised.charged
    # The revision that was replaced says nothing of the ledger.
    assert "In the general ledger" not in page_of(client, cast, statement)


def test_a_reversed_journal_holds_nothing(cast, statement):
    journal = journaled("A-1")
    posting.reverse(journal=journal, reason="Wrong date", **BY)
    assert said(statement) == ([], (1, 2))


def test_what_is_never_journaled_is_said(client, cast):
    build.a_charge("40.00")
    Source.objects.update(is_journaled=False)
    statement = issued(cast)
    found = overview.in_ledger(statement)
    assert (found.journals, found.missing, found.never) == ((), (), (1,))
    assert "Nothing of it is charged to the ledger." in page_of(client, cast, statement)

"""Grant numbers and request ids, from a charge's tags to every document that shows it, and found by them there."""

import csv
import io

import pytest
from django.urls import reverse
from openpyxl import load_workbook
from pypdf import PdfReader

from billing import charging
from billing.models import PayerLine, PayerSplit
from journals import posting
from journals.models import JournalLine, JournalTemplate
from statements import issuing
from statements.models import Statement
from tests.build import NOW, SOMEBODY, a_charge, a_period, a_policy, a_source, a_split

pytestmark = pytest.mark.django_db

GRANTS = [f"NSF-{number}" for number in (5, 1, 3, 2, 4)]


def lines_made(period="2025-01"):
    charging.make_payer_lines(period=a_period(period), actor=SOMEBODY, now=NOW)
    return list(PayerLine.objects.filter(period=a_period(period)).order_by("key"))


def test_a_payer_line_names_each_reference_once_in_order_and_how_many_more_there_are():
    for grant in [*GRANTS, "NSF-5", ""]:
        a_charge("1.00", reference_1=grant, reference_2="REQ-7")
    (line,) = lines_made()
    assert (line.reference_1, line.reference_2) == ("NSF-1, NSF-2, NSF-3 and 2 more", "REQ-7")
    assert line.charge_count == 7


def test_references_make_no_further_payer_lines_and_follow_their_charges():
    charge = a_charge("1.00", reference_1="NSF-1")
    a_charge("1.00", service_name="Storage")
    assert [line.reference_1 for line in lines_made()] == ["NSF-1", ""]
    charge.reference_1 = ""
    charge.save()
    assert [line.reference_1 for line in lines_made()] == ["", ""]


def test_every_payer_of_a_split_and_of_a_subsidy_has_the_references_of_its_charges():
    a_source("aws", subsidy_fund_org="SUB-1")
    split: PayerSplit = a_split({"A-1": "50", "B-1": "50"})
    a_charge("10.00", contracted_cost="20", payer_split=split, fund_org="", reference_1="NSF-1")
    assert {line.fund_org: line.reference_1 for line in lines_made()} == dict.fromkeys(("A-1", "B-1", "SUB-1"), "NSF-1")


def test_held_and_rejected_charges_and_shared_costs_name_nothing():
    a_charge("1.00")
    a_charge("1.00", flags=("pattern_match",), reference_1="HELD-1")
    a_charge("1.00", state="rejected", reference_1="REJECTED-1")
    a_charge("1.00", pi=None, project=None, fund_org="", shared_as="Support", reference_1="SHARED-1")
    assert {line.reference_1 for line in lines_made()} == {""}


@pytest.fixture
def statement(cast):
    """Ada's statement of January, with a grant longer than its column and several requests."""
    a_charge("40.00", reference_1="NSF-BIO-2024-1234567", reference_2="REQ-2")
    a_charge("2.00", reference_1="NSF-BIO-2024-1234567", reference_2="REQ-1")
    a_charge("66.00", pi="mallory@u.edu", project="mischief", reference_1="NIH-9")
    issuing.generate(period=a_period(), actor=SOMEBODY, now=NOW)
    return Statement.objects.get(pi__email="ada@u.edu")


def test_a_statement_prints_grant_and_request_in_every_form(client, cast, statement):
    client.force_login(cast.pi)
    text = " ".join(page.extract_text() for page in PdfReader(io.BytesIO(issuing.pdf_of(statement))).pages)
    assert "Grant number NSF-BIO-2024-1234567" in text
    assert "Request id REQ-1, REQ-2" in text
    page = client.get(reverse("portal:statement", args=[statement.number])).content.decode()
    assert "Grant number NSF-BIO-2024-1234567" in page
    assert "Request id REQ-1, REQ-2" in page
    got = client.get(reverse("portal:csv", args=[statement.number])).getvalue().decode("utf-8-sig")
    for row in csv.DictReader(io.StringIO(got)):
        assert (row["Grant number"], row["Request id"]) == ("NSF-BIO-2024-1234567", "REQ-1, REQ-2")
    book = load_workbook(io.BytesIO(client.get(reverse("portal:xlsx", args=[statement.number])).getvalue()))
    headings, first, *_ = book.active.iter_rows(values_only=True)
    assert dict(zip(headings, first, strict=True))["Grant number"] == "NSF-BIO-2024-1234567"


def test_the_policys_own_keys_name_the_references(cast):
    a_policy(tag_keys={"reference_1": ["po_number"], "reference_2": ["work-order"]})
    a_charge("1.00", reference_1="PO-1", reference_2="W-1")
    issuing.generate(period=a_period(), actor=SOMEBODY, now=NOW)
    document = issuing.document_of(Statement.objects.get())
    assert document.sections[0].lines[0].named == ["Po number PO-1", "Work order W-1"]


def test_a_changed_grant_makes_a_new_revision_and_an_unchanged_one_does_not(statement):
    assert issuing.generate(period=a_period(), actor=SOMEBODY, now=NOW).issued == 0
    PayerLine.objects.update(reference_1="")
    charge = a_charge("0.00", reference_1="NSF-NEW")
    assert charge.pk
    assert issuing.generate(period=a_period(), actor=SOMEBODY, now=NOW).issued == 1


def test_a_very_long_reference_is_wrapped_on_the_pdf_and_never_cut(cast):
    grant = "G" * 100 + "END"
    a_charge("1.00", reference_1=grant)
    issuing.generate(period=a_period(), actor=SOMEBODY, now=NOW)
    text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(issuing.pdf_of(Statement.objects.get()))).pages)
    assert grant in "".join(text.split())


@pytest.mark.parametrize("format", ["gl", "standard", "summary", "own"])
def test_every_journal_format_names_them(statement, format, tmp_path):
    JournalTemplate.objects.create(
        name="own", header="grant,request", line="{{ line.grant_number }},{{ line.request_id }}", extension="csv"
    )
    file = tmp_path / "draft.csv"
    posting.export(period=a_period(), format=format, output=file, actor=SOMEBODY, now=NOW)
    text = file.read_text()
    assert "NSF-BIO-2024-1234567" in text
    assert "NIH-9" in text
    assert '"REQ-1, REQ-2"' in text


def test_a_grant_alone_makes_no_journal_line(statement):
    journal = posting.draft(period=a_period(), actor=SOMEBODY, now=NOW).journal
    posting.submit(journal=journal, format="gl", actor=SOMEBODY, now=NOW)
    PayerLine.objects.update(reference_1="OTHER")
    assert posting.draft(period=a_period(), actor=SOMEBODY, now=NOW).journal is None
    assert set(JournalLine.objects.values_list("reference_1", flat=True)) == {"NSF-BIO-2024-1234567", "NIH-9"}


@pytest.mark.parametrize(
    ("page", "found", "other"),
    [
        ("admin:billing_charge_changelist", "genomics", "mischief"),
        ("admin:billing_payerline_changelist", "genomics", "mischief"),
        ("admin:statements_statement_changelist", "genomics", "mischief"),
    ],
)
def test_staff_find_charges_lines_and_statements_by_grant_and_request(client, cast, statement, page, found, other):
    client.force_login(cast.finance)
    for words in ("bio-2024", "REQ-2"):
        said = client.get(reverse(page), {"q": words}).content.decode().split('id="changelist"')[1]
        assert found in said
        assert f">{other}<" not in said.partition("<tbody>")[2]


def test_staff_find_a_journal_by_grant(client, cast, statement):
    posting.draft(period=a_period(), actor=SOMEBODY, now=NOW)
    client.force_login(cast.finance)
    address = reverse("admin:journals_journal_changelist")
    for grant, found in (("NIH-9", ["J2025-01-1"]), ("NIH-10", [])):
        assert [str(each) for each in client.get(address, {"q": grant}).context["cl"].result_list] == found


def test_a_pi_finds_a_statement_by_grant_and_only_their_own(client, cast, statement):
    client.force_login(cast.pi)
    address = reverse("portal:statements")
    assert statement.number in client.get(address, {"q": "NSF-BIO"}).content.decode()
    assert statement.number in client.get(address, {"q": "req-1"}).content.decode()
    assert "mischief" not in client.get(address, {"q": "NIH-9"}).content.decode()

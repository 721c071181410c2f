"""List price, discount, subsidy and total charged of a month are the same wherever they are shown.

What legitimately shows something else is said beside it, and checked for it: a share of a shared cost is nobody's
charge, a held or rejected charge is on no statement, and journals know no showback.
"""

import csv
import io
import re
from collections import defaultdict
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils.html import strip_tags
from openpyxl import load_workbook
from pypdf import PdfReader

from billing.fields import AmountSum
from billing.models import Charge, PayerLine, Person, Policy, Source, User
from journals import posting
from openchargeback import reference
from statements import emails, issuing
from statements.document import Figures, money, money_with_currency
from statements.models import Statement
from tests.build import NOW, SOMEBODY, a_charge, a_period, a_pi, a_source, a_split

from .stage import command
from .test_given_samples import EXPECTED, GIVEN

pytestmark = pytest.mark.django_db

WHO = {"actor": SOMEBODY, "now": NOW}
MONTH = "2025-01"


def given():
    """The January samples, of which a held charge is approved like all others."""
    if not GIVEN.is_dir():
        pytest.skip(f"The given samples are not at {GIVEN}.")
    reference.load_reference(**WHO)
    for name in EXPECTED:
        command("ingest", GIVEN / f"{name}_2025-01.csv")
    if Charge.objects.held().exists():
        command("review", "approve", "-p", MONTH, "--note", "as given")
    return Figures(Decimal("32260.00"), Decimal("28762.00"), Decimal("20227.00"))


def nasty():
    """Free service without a contracted price, no list price, credits, a split, shared, held and rejected costs."""
    a_source("hpc", kind=Source.Kind.INTERNAL)
    a_charge("0.00", source="hpc", list_cost="800", contracted_cost=None)
    a_charge("0.00", source="hpc", list_cost="800", contracted_cost=None, pi="bob@u.edu", project="physics")
    a_charge("10.00", list_cost="0", contracted_cost=None, service_name="No list price")
    a_charge("10.00", list_cost=None, contracted_cost="12", service_name="Contracted alone")
    a_charge("-5.00", list_cost=None, contracted_cost=None, service_name="Credit")
    a_charge("-40.00", list_cost="-60", contracted_cost="-50", service_name="Refund of the provider")
    a_charge("70.00", list_cost="100", contracted_cost="80", payer_split=a_split({"A": "33", "B": "67"}), fund_org="")
    a_charge("33.33", list_cost=None, contracted_cost=None, pi=None, project=None, fund_org="", shared_as="Support")
    a_charge("30.00", list_cost="30", pi="bob@u.edu", project="physics")
    a_charge("999.00", list_cost="1999", flags=("pattern_match",))
    a_charge("888.00", list_cost="1888", state="rejected")
    # Listed: 800 + 800 + 10 + 12 − 5 − 60 + 100 + 33.33 + 30. Contracted: 10 less, for the two that name another.
    return Figures(Decimal("1720.33"), Decimal("1710.33"), Decimal("108.33"))


@pytest.fixture(params=[given, nasty], ids=["given", "nasty"])
def expected(request, db, cast, tmp_path):
    figures = request.param()
    for name in Source.objects.values_list("name", flat=True):
        command(
            *("sources", "set", name, "--recovery-fund-org", f"RC-{name}"),
            *("--recovery-account", "4900", "--debit-account", "6500"),
        )
    generated = command("generate", "-p", MONTH)
    for name, value in (("list", "list_cost"), ("discount", "discount"), ("subsidy", "subsidy"), ("due", "charged")):
        assert sum(Decimal(each[name]) for each in generated["statements"]) == getattr(figures, value), name
    return figures


def statements():
    return list(Statement.objects.live().select_related("period", "reference__period", "pi").order_by("number"))


def added(rows, *names):
    return tuple(sum((Decimal(str(row[name])) for row in rows), Decimal(0)) for name in names)


def of(figures):
    return figures.list_cost, figures.discount, figures.subsidy, figures.charged


def test_charges_come_to_what_statements_say(expected):
    sums = (
        Charge.objects.in_month(a_period(MONTH))
        .chargeable()
        .with_prices()
        .order_by()
        .values("currency")
        .annotate(
            listed=AmountSum("exact_list"), contracted=AmountSum("exact_contracted"), charged=AmountSum("exact_charged")
        )
        .get()
    )
    assert Figures(sums["listed"], sums["contracted"], sums["charged"]) == expected


def test_show_says_what_statements_say_with_shares_and_held_apart(expected):
    found = [command("show", pi.email, "-p", MONTH) for pi in Person.objects.filter(charges__isnull=False).distinct()]
    rows = [row for each in found for row in each["projects"]]
    shares = added([share for each in found for share in each["shares"]], "charged")[0]
    listed, discount, subsidy, billed = added(rows, "list", "discount", "subsidy", "billed")
    # A share of a shared cost is nobody's charge, and listed by itself; here it has no discount.
    assert (listed + shares, discount, subsidy, billed + shares) == of(expected)
    printed = io.StringIO()
    call_command("show", found[0]["pi"], "-p", MONTH, stdout=printed)
    for row in found[0]["projects"]:
        assert f"{Decimal(row['list']):,.2f}" in printed.getvalue()
        assert f"{Decimal(row['subsidy']):,.2f}" in printed.getvalue()


def test_a_charges_page_adds_up_to_what_statements_say(expected, cast, client):
    client.force_login(cast.finance)
    listed = subsidy = Decimal(0)
    for charge in Charge.objects.in_month(a_period(MONTH)).chargeable():
        page = client.get(reverse("admin:billing_charge_change", args=[charge.pk])).content.decode()
        counted = page.partition('<p class="quiet equation">')[2].partition("</p>")[0]
        amounts = [Decimal(text.replace(",", "")) for text in re.findall(r"(-?[\d,]+\.\d\d)", counted)]
        listed, subsidy = listed + amounts[0], subsidy + amounts[2]
    assert (listed, subsidy) == (expected.list_cost, expected.subsidy)


def test_pdf_portal_and_sheets_say_what_statements_say(expected, client):
    rows, cells = [], []
    for statement in statements():
        figures = issuing.document_of(statement).figures
        assert of(figures) == (statement.list_cost, statement.discount, statement.subsidy, statement.charged)
        pdf = " ".join(page.extract_text() for page in PdfReader(io.BytesIO(issuing.pdf_of(statement))).pages)
        user, _ = User.objects.get_or_create(email=statement.pi.email, defaults={"username": statement.pi.email})
        Person.objects.filter(pk=statement.pi_id).update(user=user)
        client.force_login(user)
        page = client.get(reverse("portal:statement", args=[statement.number])).content.decode()
        history = client.get(reverse("portal:project", args=[statement.project_id])).content.decode()
        mine = client.get(reverse("portal:statements")).content.decode()
        for amount in of(figures):
            assert money(amount, "USD") in pdf.replace("−", "-")
            for each in (page, history, mine):
                assert money(amount, "USD") in each
        sheet = client.get(reverse("portal:csv", args=[statement.number])).getvalue().decode("utf-8-sig")
        rows += csv.DictReader(io.StringIO(sheet))
        book = load_workbook(io.BytesIO(client.get(reverse("portal:xlsx", args=[statement.number])).getvalue()))
        headings, *lines = book.active.iter_rows(values_only=True)
        cells += [dict(zip(headings, line, strict=True)) for line in lines]
    columns = ("List price", "Provider discount", "Subsidy", "Charged")
    assert added(rows, *columns) == of(expected)
    assert tuple(round(each, 2) for each in added(cells, *columns)) == of(expected)


def test_the_mail_says_what_statements_say(expected):
    by_pi = defaultdict(list)
    for statement in statements():
        by_pi[statement.pi_id].append(statement)
    for own in by_pi.values():
        letter = emails.letter_of(own, policy=Policy.objects.current(), sees_all=True)
        # The whole as one sum, and each statement with all of its figures.
        total = Figures.total(issuing.document_of(each).figures for each in own)
        said = strip_tags(letter.html)
        assert money_with_currency(total.charged, "USD") in said
        for statement in own:
            for amount in of(issuing.document_of(statement).figures):
                assert money_with_currency(amount, "USD") in said
                assert money_with_currency(amount, "USD") in letter.text


def test_dashboard_and_statement_pages_say_what_statements_say(expected, cast, client):
    client.force_login(cast.finance)
    board = client.get(reverse("admin:index"), {"period": MONTH}).content.decode()
    for amount in of(expected)[1:]:
        assert money(amount, "USD") in board
    listed = client.get(reverse("admin:statements_statement_changelist")).content.decode()
    for statement in statements():
        page = client.get(reverse("admin:statements_statement_change", args=[statement.pk])).content.decode()
        for amount in (statement.list_cost, statement.discount, statement.subsidy, statement.charged):
            assert money(amount, "USD") in listed
            assert money(amount, "USD") in page


def test_generate_prints_what_statements_say(expected):
    printed = io.StringIO()
    call_command("generate", "-p", MONTH, stdout=printed)
    total = next(line for line in printed.getvalue().splitlines() if line.startswith("Total"))
    assert total.split()[1:] == [money(amount, "USD") for amount in of(expected)]


@pytest.mark.parametrize("format", ["standard", "summary"])
@pytest.mark.parametrize("submit", [False, True])
def test_journals_say_what_statements_say(expected, format, submit):
    done = posting.export(period=a_period(MONTH), format=format, submit=submit, **WHO)
    rows = list(csv.DictReader(io.StringIO(done.file.read_text())))
    assert added(rows, "list_cost", "discount", "subsidy", "charged") == of(expected)


def test_the_ledger_gets_what_is_charged_and_no_line_of_nothing(expected):
    done = posting.export(period=a_period(MONTH), format="gl", submit=True, **WHO)
    rows = list(csv.DictReader(io.StringIO(done.file.read_text())))
    assert all(Decimal(row["debit"]) or Decimal(row["credit"]) for row in rows)
    payers = [row for row in rows if not row["fund_org"].startswith("RC-")]
    debits, credits_ = added(payers, "debit", "credit")
    assert debits - credits_ == expected.charged


def test_why_a_line_costs_what_it_does_says_what_it_says(expected, cast, client):
    client.force_login(cast.finance)
    for line in PayerLine.objects.filter(period=a_period(MONTH)):
        page = client.get(reverse("admin:billing_charge_why"), {"what": f"{MONTH}@{line.key}"}).content.decode()
        for amount in (line.list_cost, line.discount, line.subsidy, line.charged):
            assert money(amount, "USD") in page


def test_a_free_service_and_a_funded_one_differ_by_who_bears_the_subsidy(cast):
    """Where a fund pays the subsidy, that is a row of its own for the ledger, and on no statement."""
    a_source("hpc", kind=Source.Kind.INTERNAL, subsidy_fund_org="SUB-1")
    a_charge("0.00", source="hpc", list_cost="800", contracted_cost=None)
    a_pi()
    [statement] = command("generate", "-p", MONTH)["statements"]
    assert (statement["list"], statement["discount"], statement["subsidy"]) == ("800.00", "0.00", "800.00")
    done = posting.export(period=a_period(MONTH), format="standard", **WHO)
    rows = {row["kind"]: row for row in csv.DictReader(io.StringIO(done.file.read_text()))}
    assert (rows["charge"]["subsidy"], rows["charge"]["charged"]) == ("800.00", "0.00")
    assert (rows["subsidy"]["fund_org"], rows["subsidy"]["subsidy"], rows["subsidy"]["charged"]) == (
        *("SUB-1", "0.00"),
        "800.00",
    )

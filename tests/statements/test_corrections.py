"""Corrections and late changes on what PIs read: a block of their own, and never a reason that is for staff."""

import csv
import datetime
import io
import re
from decimal import Decimal

import pytest
from django.core import mail
from django.urls import reverse
from openpyxl import load_workbook
from pypdf import PdfReader

from billing import charging, corrections
from billing.models import Correction, ExchangeRate, PayerLine, Person
from billing.months import closing
from statements import emails, issuing
from statements.document import Figures
from statements.models import Statement
from statements.reporting import generated_data, generated_text
from tests import build
from tests.build import NOW, SOMEBODY

pytestmark = pytest.mark.django_db

LATER = NOW + datetime.timedelta(days=30)
BY = {"actor": SOMEBODY, "now": NOW}


def generate(month):
    return issuing.generate(period=build.a_period(month), **BY)


def everything_read(client, statement):
    """Return all that a PI can read of a statement: PDF, page, CSV, XLSX and the newest e-mail."""
    number = statement.number
    pdf = PdfReader(io.BytesIO(issuing.pdf_of(statement)))
    book = load_workbook(io.BytesIO(content(client, "xlsx", number)))
    return {
        "pdf": " ".join(page.extract_text() for page in pdf.pages),
        "page": client.get(reverse("portal:statement", args=[number])).content.decode(),
        "csv": content(client, "csv", number).decode(),
        "xlsx": "\n".join(str(cell.value) for row in book.active for cell in row),
        "mail": "".join(
            f"{message.subject}{message.body}{message.alternatives[0].content}"
            for message in mail.outbox
            if number in message.body
        ),
    }


def content(client, name, number):
    return b"".join(client.get(reverse(f"portal:{name}", args=[number])).streaming_content)


@pytest.fixture
def january():
    """January closed and mailed: 500.00 of Ada's with list price 800.00; February open."""
    cast = build.the_cast()
    build.a_policy(center_fund_org="RC-000", institution="Example University")
    build.a_charge("500.00", list_cost=Decimal("800.00"), contracted_cost=Decimal("600.00"))
    generate("2025-01")
    closing.close(period=build.a_period(), **BY)
    build.a_period("2025-02")
    return cast


def line_of_january():
    return PayerLine.objects.get(period__month="2025-01-01")


CORRECTIONS = {
    "refund": lambda **how: corrections.add_refund(lines=[line_of_january()], amount=Decimal("20.00"), **how),
    "write-off": lambda **how: corrections.add_write_off(lines=[line_of_january()], amount=Decimal("20.00"), **how),
    "manual": lambda **how: corrections.add_manual_charge(
        pi=Person.objects.get(email="ada@u.edu"),
        project=line_of_january().project,
        fund_org="BIO-001",
        source=line_of_january().source,
        amount=Decimal("20.00"),
        **how,
    ),
    "transfer": lambda **how: corrections.add_transfer(
        lines=[line_of_january()],
        amount=Decimal("20.00"),
        to={"MAL-007": Decimal(100)},
        pi=Person.objects.get(email="mallory@u.edu"),
        **how,
    ),
}


@pytest.mark.parametrize("printed", ["", "Agreed with the dean"])
@pytest.mark.parametrize("kind", CORRECTIONS)
def test_a_reason_is_for_staff_and_each_pi_sees_their_own_half(client, january, kind, printed):
    build.a_charge("10.00", period="2025-02")
    CORRECTIONS[kind](reason="Suspected misuse", printed_text=printed, **BY)
    generate("2025-02")
    emails.send(period=build.a_period("2025-02"), **BY)
    correction = Correction.objects.get()
    assert (correction.reason, correction.printed_text) == ("Suspected misuse", printed)
    for user, address, other, fund_org in (
        (january.pi, "ada@u.edu", "mallory", "MAL-007"),
        (january.stranger, "mallory@u.edu", "ada@u.edu", "BIO-001"),
    ):
        client.force_login(user)
        for statement in Statement.objects.live().filter(pi__email=address, period__month="2025-02-01"):
            for door, said in everything_read(client, statement).items():
                assert "Suspected misuse" not in said, door
                assert other not in said.replace("/mallory", "").lower(), door
                assert fund_org not in said, door
                if printed and door != "mail":
                    assert printed in said, door
    assert charging.corrections_of(PayerLine.objects.filter(kind=kind.replace("-", "_"))[0])
    # Staff read both.
    client.force_login(january.finance)
    page = client.get(reverse("admin:billing_correction_change", args=[correction.pk])).content.decode()
    assert "Suspected misuse" in page
    assert (printed or "None: the statements name the correction only") in page


def test_corrections_and_late_changes_leave_the_months_own_list_price_and_discount_alone(client, january):
    build.a_charge("50.00", period="2025-02", list_cost=Decimal("100.00"), contracted_cost=Decimal("75.00"))
    february = build.a_period("2025-02")
    # January's provider gives 40.00 of 800.00 back; staff give back 20.00 more.
    late = build.a_charge(
        "-40.00", charged_in=february, is_late=True, list_cost=Decimal("-200.00"), contracted_cost=Decimal("-50.00")
    )
    assert (late.period.iso_month, late.charged_in.iso_month) == ("2025-01", "2025-02")
    CORRECTIONS["refund"](reason="x", printed_text="No service", **BY)
    generate("2025-02")
    emails.send(period=february, **BY)
    statement = Statement.objects.get(period=february)
    document = issuing.document_of(statement)
    assert document.month_figures == Figures(Decimal(100), Decimal(75), Decimal(50))
    assert (document.month_figures.discount_percent, document.month_figures.subsidy_percent) == ("25%", "33.3%")
    assert (document.correction_figures.charged, document.figures.charged) == (Decimal(-60), Decimal(-10))
    of_january = ("2025-01-0001-1, line 1",)
    assert [(line.corrected_lines, line.charged_before, line.charged_after) for line in document.lines] == [
        ((), None, None),
        (of_january, Decimal(500), Decimal(460)),
        # The second begins with what the first made of it.
        (of_january, Decimal(460), Decimal(440)),
    ]
    assert (document.corrections_before, document.corrections_after) == (Decimal(960), Decimal(900))
    client.force_login(january.pi)
    read = everything_read(client, statement)
    for door in ("pdf", "page"):
        for text in ("Corrections to earlier months", "Late change by the provider", "25%", "33.3%", "460.00"):
            assert text in read[door], (door, text)
        assert "2025-01-0001-1, line 1" in " ".join(read[door].split()), door
        assert "list price -220.00, provider discount -150.00, subsidy -10.00" in read[door], door
        assert "with corrections of" in read[door]
    assert "list price $100.00, provider discount $25.00, subsidy $25.00" in read["mail"]
    assert "corrections and late changes -$60.00" in read["mail"]
    assert "total charged -$10.00" in read["mail"]
    rows = list(csv.DictReader(io.StringIO(read["csv"].removeprefix("\ufeff"))))
    assert [(row["Kind"], row["For month"], row["Corrects"], row["Charged"]) for row in rows] == [
        ("Charge", "2025-02", "", "50.00"),
        ("Late change", "2025-01", "2025-01-0001-1:1", "-40.00"),
        ("Refund", "2025-01", "2025-01-0001-1:1", "-20.00"),
    ]
    client.force_login(january.finance)
    for name, arguments in (
        ("admin:statements_statement_changelist", []),
        ("admin:statements_statement_change", [statement.pk]),
    ):
        page = " ".join(client.get(reverse(name, args=arguments)).content.decode().replace("−", "-").split())
        for amount in ("100.00", "25.00", "-60.00", "-10.00"):
            assert amount in page, (name, amount)
        assert "-120.00" not in page, name
    client.force_login(january.pi)
    for name in ("portal:statements", "portal:project"):
        address = reverse(name, args=[statement.project_id] if name == "portal:project" else [])
        page = client.get(address).content.decode()
        cells = re.findall(r"-?[\d,]+\.\d\d", re.sub(r"<[^>]+>", " ", page.partition("<tbody>")[2]).replace("−", "-"))
        assert cells[:5] == ["100.00", "25.00", "25.00", "-60.00", "-10.00"], name


def test_a_run_of_statements_says_the_months_own_figures_and_corrections_apart(january):
    build.a_charge("50.00", period="2025-02", list_cost=Decimal("100.00"), contracted_cost=Decimal("75.00"))
    CORRECTIONS["refund"](reason="x", **BY)
    generated = generate("2025-02")
    assert generated.month == Figures(Decimal(100), Decimal(75), Decimal(50))
    assert (generated.corrections.charged, generated.figures.charged) == (Decimal(-20), Decimal(30))
    (told,) = generated_data(generated)["statements"]
    amounts = [told[name] for name in ("list", "discount", "subsidy", "corrections", "due")]
    assert amounts == [Decimal(100), Decimal(25), Decimal(25), Decimal(-20), Decimal(30)]
    printed = generated_text(generated, word=str)
    assert "Corrections" in printed
    total = next(line for line in printed.splitlines() if line.startswith("Total"))
    assert total.split()[1:] == ["100.00", "25.00", "25.00", "-20.00", "30.00"]


def test_a_corrected_line_is_named_anew_without_a_revision(january):
    CORRECTIONS["refund"](reason="x", **BY)
    generate("2025-02")
    closing.reopen(period=build.a_period(), to="open", reason="A late file", **BY)
    build.a_charge("1.00", service_name="Another")
    generate("2025-01")
    assert Statement.objects.live().get(period__month="2025-01-01").revision == 2
    assert generate("2025-02").issued == 0


def test_charges_in_another_currency_show_what_they_were_and_the_rate(client):
    cast = build.the_cast()
    build.a_policy(institution="Example University")
    period = build.a_period()
    ExchangeRate.objects.create(period=period, currency="EUR", rate=Decimal("1.0850"))
    build.a_charge("100.00", currency="EUR", resource_id="i-1", list_cost=Decimal("120.00"))
    build.a_charge("23.45", currency="EUR", resource_id="i-2")
    build.a_charge("10.00", resource_id="i-0")
    build.a_charge("30.00", currency="EUR", shared_as="Support", pi=None, project=None, fund_org="")
    assert generate("2025-01").issued == 1
    assert issuing.generate(period=period, dry_run=True, **BY).issued == 0
    statement = Statement.objects.get()
    document = issuing.document_of(statement)
    originals = {line.title: str(line.original) for line in document.lines if line.original}
    assert originals == {
        "Compute": "EUR 123.45, list price 143.45, at 1.085",
        "Share of: Support": "EUR 30.00, at 1.085",
    }
    client.force_login(cast.pi)
    read = everything_read(client, statement)
    for door in ("pdf", "page"):
        assert "EUR 123.45, list price 143.45, at 1.085" in read[door], door
        assert "1 EUR = 1.085 USD (January 2025)" in " ".join(read[door].split()), door
    rows = list(csv.DictReader(io.StringIO(read["csv"].removeprefix("\ufeff"))))
    told = sorted((row["Resource id"], row["Original currency"], row["Original amount"]) for row in rows)
    assert told == [("", "EUR", "30.00"), ("i-0", "", ""), ("i-1", "EUR", "100.00"), ("i-2", "EUR", "23.45")]
    assert {row["Exchange rate"] for row in rows} == {"", "1.085"}
    assert "1.085" in read["xlsx"]
    # Another rate is another statement.
    ExchangeRate.objects.update(rate=Decimal("1.0900"))
    assert generate("2025-01").issued == 1


def test_a_statement_in_the_policys_own_euros_has_nothing_to_convert():
    build.a_policy(currency="EUR")
    build.a_charge("100.00", currency="EUR")
    generate("2025-01")
    document = issuing.document_of(Statement.objects.get())
    assert (document.currency, document.note_on_rates, document.lines[0].original) == ("EUR", "", None)

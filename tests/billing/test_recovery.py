"""Recovery: what was invoiced less what was credited is explained to the cent, whatever the months were."""

import datetime
import io
import json
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from billing import charging, reports
from billing.models import Charge, ExchangeRate, InvoiceTotal, PayerLine, Source
from billing.proof import invoices
from billing.reports.recovery import REASONS
from journals.models import JournalLine
from tests import build
from tests.journals import made

pytestmark = pytest.mark.django_db

BY: dict[str, Any] = {"actor": build.SOMEBODY, "now": build.NOW}
MONTHS = ("2024-11", "2024-12", "2025-01")
STATES = ("clear", "approved", "held", "rejected", "charged_to_center")
CHARGE = st.fixed_dictionaries(
    {
        "period": st.sampled_from(MONTHS),
        "later": st.integers(0, 2),
        "source": st.sampled_from(["aws", "gcp", "hpc", "lab"]),
        "currency": st.sampled_from(["USD", "USD", "EUR"]),
        "state": st.sampled_from(STATES),
        "fund_org": st.sampled_from(["BIO-001", "CHEM-002"]),
        "amounts": st.tuples(st.integers(-500, 99_999), st.integers(0, 9_999), st.integers(-30_000, 30_000)),
    }
)
INVOICES = st.dictionaries(st.tuples(st.sampled_from(["aws", "gcp"]), st.sampled_from(MONTHS)), st.integers(0, 99_999))


def the_sources() -> None:
    build.a_policy(center_fund_org="RC-000")
    for month in MONTHS:
        ExchangeRate.objects.create(period=build.a_period(month), currency="EUR", rate=Decimal("1.0837"))
    # Two providers on one fund/org, one of them charged amortized; usage that a fund subsidizes; and a showback.
    build.a_source("aws", recovery_fund_org="RC-CLOUD")
    build.a_source("gcp", recovery_fund_org="RC-CLOUD", cost_measure="effective")
    build.a_source("hpc", kind="internal", subsidy_fund_org="PROV-1")
    build.a_source("lab", kind="internal", is_journaled=False)


def charged(of: dict[str, Any]) -> Charge:
    billed, subsidy, bought = (Decimal(each).scaleb(-3) for each in of["amounts"])
    # A month bears what is delivered for it or for one before it.
    later = MONTHS[min(MONTHS.index(of["period"]) + of["later"], 2)]
    return build.a_charge(
        str(billed),
        period=of["period"],
        charged_in=build.a_period(later),
        is_late=later != of["period"],
        source=of["source"],
        currency=of["currency"],
        state=of["state"],
        fund_org=of["fund_org"],
        effective_cost=billed + bought,
        contracted_cost=abs(billed) + abs(bought) + subsidy,
        list_cost=abs(billed) + abs(bought) + subsidy,
    )


def told(**said: str) -> reports.Report:
    return reports.make(reports.read({"report": "reconciliation", "from": MONTHS[0], "to": MONTHS[-1], **said}))


def figures(report: reports.Report, row: reports.Row | None = None) -> dict[str, Any]:
    return {column.name: report.value(column.name, row) for column in report.columns}


def check_that_each_row_is_explained(report: reports.Report) -> None:
    for row in (*report.rows, None):
        of = figures(report, row)
        assert of["invoiced"] - of["credited"] == of["remainder"] == sum(of[name] for name in REASONS), row
    for row in report.rows:
        if row.parts:
            parts = [report.rows[place].values for place in row.parts]
            assert row.values == tuple(sum(column) for column in zip(*parts, strict=True))


def in_usd(charge: Charge, amount: Decimal) -> Decimal:
    return amount * Decimal("1.0837") if charge.currency == "EUR" else amount


def counted(charge: Charge) -> Decimal:
    measured = charge.effective_cost if charge.source.name == "gcp" else charge.billed_cost
    assert measured is not None
    return in_usd(charge, measured)


def credited_on(fund_org: str) -> Decimal:
    lines = JournalLine.objects.filter(side="recovery", journal__state="submitted", fund_org=fund_org)
    return sum((line.credit - line.debit for line in lines), Decimal(0))


def check_against_charges(entered: dict[tuple[str, str], int]) -> None:
    """Add everything up again, charge by charge; a figure may be half a cent off for each month, which is rounded."""
    most = Decimal("0.005") * len(MONTHS)
    charges = list(Charge.objects.select_related("source", "period", "charged_in"))
    for row in told(by="source").rows:
        if not row.key:
            continue
        own = [each for each in charges if each.source.name == row.key]
        billed = sum((in_usd(each, each.billed_cost) for each in own), Decimal(0))
        of = figures(told(by="source"), row)
        expected = billed
        for (source, month), thousandths in entered.items():
            if source == row.key:
                in_files = sum(
                    each.billed_cost for each in own if each.period.iso_month == month and each.currency == "USD"
                )
                expected += Decimal(thousandths).scaleb(-3) - in_files
        assert abs(of["invoiced"] - expected) <= most
        assert abs(of["beyond"] - (expected - billed)) <= most
        for name, states in (("held", ["held"]), ("rejected", ["rejected"])):
            assert abs(of[name] - sum((counted(each) for each in own if each.state in states), Decimal(0))) <= most
        amortized = sum((in_usd(each, each.billed_cost) - counted(each) for each in own), Decimal(0))
        assert abs(of["commitments"] - amortized) <= most
        moved = sum((in_usd(each, each.billed_cost) for each in own if each.is_late), Decimal(0))
        assert abs(of["elsewhen"] - moved) <= most
        assert abs(of["of_others"] + moved) <= most


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    charges=st.lists(CHARGE, max_size=10), more=st.lists(CHARGE, max_size=4), entered=INVOICES, changes=st.booleans()
)
def test_on_any_months_an_invoice_is_credits_and_reasons(db, charges, more, entered, changes):
    with transaction.atomic():
        the_sources()
        for each in charges:
            charged(each)
        for (source, month), thousandths in entered.items():
            of = {"source": Source.objects.get(name=source), "period": build.a_period(month), "currency": "USD"}
            invoices.enter(**of, amount=Decimal(thousandths).scaleb(-3), **BY)
        for month in MONTHS:
            if made.drafted(month).journal:
                made.submitted_anyhow(build.a_period(month), "gl", lambda: BY)
        # Groups of charges, and each reason of each source and month.
        parts = len(charges) + len(REASONS) * 4 * len(MONTHS)
        for by in reports.WAYS["reconciliation"]:
            report = told(by=by)
            check_that_each_row_is_explained(report)
            of = figures(report)
            # Everything is on payer lines, and those are in the ledger.
            assert (of["unlined"], of["unjournaled"], of["elsewhere"]) == (0, 0, 0)
            assert abs(of["rounding"]) <= Decimal("0.005") * parts
        check_against_charges(entered)
        report = told(by="recovery")
        rows = {row.key: figures(report, row) for row in report.rows if row.key}
        for fund_org in ("RC-CLOUD", "RC-HPC"):
            assert rows.get(fund_org, {"credited": 0})["credited"] == credited_on(fund_org)
        assert of["showback"] == sum(
            PayerLine.objects.filter(source__name="lab").values_list("charged", flat=True), Decimal(0)
        )
        # What comes after is said not to be there yet; and another fund/org from now on changes nothing that was.
        if changes:
            Source.objects.filter(name="aws").update(recovery_fund_org="RC-NEW")
        for each in more:
            charged(each)
        for by in reports.WAYS["reconciliation"]:
            check_that_each_row_is_explained(told(by=by))
        check_against_charges(entered)
        for month in MONTHS:
            charging.make_payer_lines(period=build.a_period(month), **BY)
        of = figures(told())
        assert of["unlined"] == 0
        lines = PayerLine.objects.filter(source__is_journaled=True)
        owed = sum(lines.values_list("charged", flat=True), Decimal(0))
        assert of["unjournaled"] == owed - of["credited"]
        transaction.set_rollback(True)


# A month by hand ------------------------------------------------------------------------------------------------------


def a_month() -> None:
    """The provider's invoice is 130.00, its files bill 125.00: 80.00 charged, 20.00 rejected, 15.00 held, 10 center."""
    build.a_policy(center_fund_org="RC-000")
    build.a_charge("80.00")
    build.a_charge("20.00", state="rejected")
    build.a_charge("15.00", flags=("missing_project",), project=None)
    build.a_charge("10.00", state="charged_to_center")
    enter(130)


def of_a_month() -> dict[str, Any]:
    report = told(**{"from": "2025-01"})
    return {name: value for name, value in figures(report, report.rows[0]).items() if value}


def test_before_the_journal_what_is_charged_is_not_journaled_yet():
    a_month()
    whole = {"invoiced": 130, "remainder": 130, "beyond": 5, "held": 15, "rejected": 20}
    assert of_a_month() == whole | {"unlined": 90}
    charging.make_payer_lines(period=build.a_period(), **BY)
    assert of_a_month() == whole | {"unjournaled": 90}


def test_a_month_is_explained_by_hand():
    a_month()
    made.drafted()
    made.submitted()
    found = of_a_month()
    assert found == {
        **{"invoiced": 130, "credited": 90, "center": 10, "remainder": 40},
        **{"beyond": 5, "held": 15, "rejected": 20},
    }


def test_a_reversed_journal_credits_nothing():
    a_month()
    made.drafted()
    journal = made.submitted()
    from journals import posting

    posting.post(journal=journal, document_number="D-1", **BY)
    posting.reverse(journal=journal, reason="Wrong account", **BY)
    assert of_a_month()["unjournaled"] == 90
    assert "credited" not in of_a_month()


def test_corrections_customers_and_subsidies_are_reasons():
    build.a_policy(center_fund_org="RC-000")
    build.a_source("aws", subsidy_fund_org="PROV-1")
    build.a_pi("acme@x.org", customer=build.a_customer())
    charge = build.a_charge("80.00", contracted_cost=Decimal(100), list_cost=Decimal(100), period="2024-12")
    build.a_charge("7.00", pi="acme@x.org", project=None, fund_org="", period="2025-01")
    build.a_correction(charge, amount=Decimal(30))
    for month in ("2024-12", "2025-01"):
        made.drafted(month)
        made.submitted_anyhow(build.a_period(month), "gl", lambda: BY)
    december, january = told(by="month", **{"from": "2024-12"}).rows
    report = told(by="month")
    assert {name: value for name, value in figures(report, december).items() if value} == {
        **{"invoiced": 80, "credited": 100, "remainder": -20, "subsidies": -20},
    }
    assert {name: value for name, value in figures(report, january).items() if value} == {
        **{"invoiced": 7, "credited": -30, "remainder": 37, "customers": 7, "corrections": 30},
    }


# Invoices -------------------------------------------------------------------------------------------------------------


def enter(amount: int, **of: Any) -> None:
    of |= {"source": Source.objects.get(), "period": build.a_period(), "currency": "USD"}
    invoices.enter(amount=Decimal(amount), **of, **BY)


def test_invoices_of_accounts_count_against_what_each_bills():
    build.a_charge("80.00", billing_account_id="A-1", invoice_id="INV-1")
    build.a_charge("20.00", billing_account_id="A-2", invoice_id="INV-2")
    enter(85, invoice_id="INV-1")
    report = told()
    assert (report.value("invoiced"), report.value("beyond")) == (105, 5)
    # One of an account may be of the same rows: it is not counted twice, and named.
    enter(84, billing_account_id="A-1")
    report = told()
    assert report.value("beyond") in (4, 5)
    assert any("is not counted: another one speaks for the same charges" in note for note in report.notes)
    # The whole month's speaks for all.
    enter(110)
    assert (told().value("invoiced"), told().value("beyond")) == (110, 10)
    assert InvoiceTotal.objects.count() == 3


def test_months_without_an_invoice_or_a_rate_are_named():
    build.a_policy()
    build.a_charge("80.00", period="2024-12")
    build.a_charge("1.00", period="2024-12", currency="EUR")
    build.a_charge("5.00", source="hpc", period="2024-12")
    build.a_source("hpc")
    Source.objects.filter(name="hpc").update(kind="internal")
    notes = told().notes
    assert "No invoice of AWS is entered for December 2024: what its files bill stands for it." in notes
    assert "There is no exchange rate for EUR in December 2024: what is billed in it is not counted." in notes
    assert any(note.startswith("Internal services have no invoice") for note in notes)
    assert not any("HPC" in note for note in notes)
    assert told().value("invoiced") == 85


# Doors ----------------------------------------------------------------------------------------------------------------


def run(*arguments: str) -> Any:
    out = StringIO()
    call_command("report", "reconciliation", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_the_command_prints_what_there_is_and_writes_all(tmp_path):
    a_month()
    out = StringIO()
    call_command("report", "reconciliation", "--from", "2025-01", "--to", "2025-01", stdout=out)
    said = out.getvalue()
    assert "Rejected" in said
    assert "Funded subsidies" not in said
    assert run("--from", "2025-01", "--to", "2025-01")["total"]["remainder"] == "130.00"
    with pytest.raises(CommandError, match="An invoice is of a source as a whole"):
        run("--pi", "ada@u.edu")
    path = tmp_path / "recovery.xlsx"
    call_command("report", "reconciliation", "--from", "2024-12", "--to", "2025-01", "-o", str(path), stdout=StringIO())
    sheet = load_workbook(io.BytesIO(path.read_bytes()))["Report"]
    headings = [cell.value for cell in sheet[4]]
    assert headings[1:5] == ["Invoiced", "Credited", "Credited by the center", "Not credited"]
    assert "Funded subsidies" in headings


def test_the_page_shows_the_reasons_there_are(cast, client):
    a_month()
    client.force_login(cast.viewer)
    page = client.get(reverse("admin:reports"), {"report": "reconciliation", "from": "2025-01", "to": "2025-01"})
    said = page.content.decode()
    for text in ("RC-AWS", "Not credited", "Rejected", "Held for review", "Invoice less files"):
        assert text in said
    assert "Funded subsidies" not in said
    assert 'name="pi"' not in said


def test_months_of_a_fund_stand_below_it():
    a_month()
    build.a_charge("5.00", period="2024-12", charge_period_start=datetime.datetime(2024, 12, 1, tzinfo=datetime.UTC))
    labels = [(row.label, row.depth) for row in told().rows]
    assert labels == [("RC-AWS", 0), ("December 2024", 1), ("January 2025", 1)]

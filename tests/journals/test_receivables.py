"""Customers who pay by invoice: from the charge to the file of accounts receivable, and its differences."""

import contextlib
import csv
import datetime
import io
import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from billing import charging, corrections, doors, proof, review
from billing.files import documents
from billing.importing import booking
from billing.models import BillingPeriod, Charge, Customer, Flag, Import, PayerLine, Person, Source
from billing.months import checklist, closing
from billing.review import Reassignment, reattribution
from billing.tracing import trace
from journals import posting, receivables
from journals.models import CustomerInvoice, CustomerInvoiceLine, JournalLine, ReceivablesExport
from statements import issuing
from statements.models import Statement
from tests import build
from tests.billing.deliveries import a_row, delivered
from tests.journals.made import submitted_anyhow

pytestmark = pytest.mark.django_db

DONE = {"actor": build.SOMEBODY, "now": build.NOW}


def january():
    return build.a_period()


def export(month="2025-01", **options):
    return receivables.export(period=BillingPeriod.objects.named(month), **options, **DONE)


def journal():
    return posting.export(period=january(), format="standard", submit=True, **DONE)


def proved(month="2025-01"):
    found = proof.prove(BillingPeriod.objects.named(month))
    assert found.reconciles, found.problems()
    return found


def rows(content):
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))


@pytest.fixture
def acme():
    """Eve is in industry: her charges are Acme's to pay. Ada has a fund/org."""
    customer = build.a_customer()
    build.a_pi("eve@acme.example", name="Eve", customer=customer)
    build.a_charge("10.004", pi="eve@acme.example", project="assay", fund_org="", service_name="Compute")
    build.a_charge("5.00", pi="eve@acme.example", project="assay", fund_org="IGNORED-1", service_name="Storage")
    build.a_charge("70.00")
    return customer


def test_a_customer_pays_without_fund_org_by_a_line_of_its_own_kind(acme):
    charging.make_payer_lines(period=january(), **DONE)
    lines = PayerLine.objects.filter(customer=acme).order_by("key")
    assert {(line.kind, line.fund_org, line.service_name, line.charged) for line in lines} == {
        ("receivable", "", "Compute", Decimal("10.00")),
        ("receivable", "", "Storage", Decimal("5.00")),
    }
    assert lines[0].key == "2025-01|receivable|eve@acme.example|assay|\\customer C-100|aws|6500|Compute|USD"
    assert lines[0].rounding == Decimal("0.004")


def test_it_leaves_the_journal_and_is_on_an_invoice(acme):
    issuing.generate(period=january(), **DONE)
    journal()
    assert {line.fund_org for line in JournalLine.objects.filter(side="payer")} == {"BIO-001"}
    exported = export(submit=True)
    (invoice,) = CustomerInvoice.objects.all()
    assert (invoice.text, invoice.kind, invoice.total, exported.total) == ("INV-000001", "invoice", 15, 15)
    assert (invoice.customer_number, invoice.customer_name, invoice.terms) == ("C-100", "Acme Corp", "Net 30")
    assert proved().is_complete


def test_the_file_says_all_that_accounts_receivable_needs(acme):
    build.a_charge(
        "4.00",
        pi="eve@acme.example",
        project="assay",
        service_name="GPU",
        consumed_quantity="12.5",
        consumed_unit="GPU-Hours",
    )
    exported = export(submit=True)
    first, gpu, _ = rows(exported.file.read_bytes())
    assert first == {
        "export": "A2025-01-1",
        "state": "submitted",
        "period": "2025-01",
        "customer_number": "C-100",
        "customer_name": "Acme Corp",
        "address": "1 Road, Springfield",
        "email": "ap@acme.example",
        "invoice": "INV-000001",
        "kind": "invoice",
        "follows": "",
        "date": "2025-02-03",
        "terms": "Net 30",
        "taxed": "yes",
        "tax_code": "T1",
        "line": "1",
        "reference": "2025-01-0002",
        "pi": "eve@acme.example",
        "project": "assay",
        "service": "Compute",
        "description": "2025-01-0002 assay AWS Compute",
        "for_month": "2025-01",
        "quantity": "",
        "unit": "",
        "amount": "10.00",
        "currency": "USD",
        "invoice_total": "19.00",
    }
    assert (gpu["service"], gpu["quantity"], gpu["unit"], gpu["amount"]) == ("GPU", "12.5", "GPU-Hours", "4.00")


# Differences


def eve(billed, **fields):
    return build.a_charge(billed, pi="eve@acme.example", project="assay", fund_org="", **fields)


def totals():
    return [(invoice.text, invoice.kind, invoice.total) for invoice in CustomerInvoice.objects.order_by("number")]


def test_a_submitted_invoice_stands_and_what_changes_is_on_a_further_one(acme):
    export(submit=True)
    eve("2.00", service_name="Storage")
    exported = export(submit=True)
    assert totals() == [("INV-000001", "invoice", 15), ("INV-000002", "invoice", 2)]
    (row,) = rows(exported.file.read_bytes())
    assert (row["follows"], row["service"], row["amount"], row["export"]) == (
        "INV-000001",
        "Storage",
        "2.00",
        "A2025-01-2",
    )


def test_what_is_taken_back_is_a_credit(acme):
    export(submit=True)
    charge = Charge.objects.get(billed_cost=5)
    review.reattribute(charges=[charge.pk], reassignment=Reassignment(pi="ada@u.edu", project="genomics"), **DONE)
    export(submit=True)
    assert totals() == [("INV-000001", "invoice", 15), ("INV-000002", "credit", -5)]
    (line,) = CustomerInvoiceLine.objects.filter(invoice__number=2)
    assert (line.service_name, line.amount, line.quantity) == ("Storage", -5, "")


def test_nothing_is_left_once_all_is_invoiced(acme, tmp_path):
    export(submit=True)
    assert export().export is None
    assert "Nothing to invoice" in export().told
    with pytest.raises(posting.NothingToSubmit):
        export(submit=True)
    assert ReceivablesExport.objects.count() == 1


def test_a_draft_is_replaced_by_the_next_and_numbers_nothing(acme):
    first = export()
    assert "DRAFT" in first.file.name
    assert {row["invoice"] for row in rows(first.file.read_bytes())} == {""}
    eve("1.00", service_name="Storage")
    second = export()
    assert (second.export.pk, second.total) == (first.export.pk, 16)
    assert not CustomerInvoice.objects.filter(number__isnull=False).exists()


def test_a_draft_that_is_outdated_is_not_submitted(acme):
    made = export().export
    eve("1.00", service_name="Storage")
    with pytest.raises(posting.DraftOutdated, match="Draft it again"):
        receivables.submit(export=made, **DONE)
    made = export().export
    assert receivables.submit(export=made, **DONE).state == "submitted"


def test_numbers_go_on_over_months_and_customers_without_a_gap(acme):
    build.a_pi("max@zeta.example", customer=build.a_customer("Z-1", name="Zeta"))
    build.a_charge("3.00", pi="max@zeta.example", project=None, fund_org="")
    eve("7.00", period="2025-02")
    export(submit=True)
    export("2025-02", submit=True)
    found = CustomerInvoice.objects.order_by("number").values_list("number", "customer_number", "total")
    assert list(found) == [(1, "C-100", 15), (2, "Z-1", 3), (3, "C-100", 7)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_months_submitted_at_once_share_no_number_and_leave_none_out():
    build.a_pi("eve@acme.example", customer=build.a_customer())
    months = [f"2025-{month:02}" for month in range(1, 7)]
    for month in months:
        eve("1.00", period=month)
    start = Barrier(len(months))

    def run(month):
        start.wait()
        try:
            return export(month, submit=True).export.state
        finally:
            connection.close()

    with ThreadPoolExecutor(len(months)) as pool:
        assert set(pool.map(run, months)) == {"submitted"}
    assert sorted(CustomerInvoice.objects.values_list("number", flat=True)) == [1, 2, 3, 4, 5, 6]


def test_another_customer_gets_what_the_first_is_credited(acme):
    export(submit=True)
    Person.objects.filter(email="eve@acme.example").update(customer=build.a_customer("C-200", name="Acme Labs"))
    export(submit=True)
    found = CustomerInvoice.objects.order_by("number").values_list("customer_number", "total")
    assert list(found) == [("C-100", 15), ("C-100", -15), ("C-200", 15)]
    issuing.generate(period=january(), **DONE)
    journal()
    assert proved().is_complete


def test_a_late_change_is_invoiced_to_who_was_charged_in_the_month_that_bears_it(tmp_path):
    customer = build.a_customer()
    build.a_pi("eve@acme.example", customer=customer)
    tags = {"pi_email": "eve@acme.example", "project_id": "assay"}
    delivered(tmp_path, [a_row("10.00", tags=tags)])
    assert Charge.objects.get().state == "clear"
    issuing.generate(period=january(), **DONE)
    export(submit=True)
    closing.close(period=january(), **DONE)
    build.a_period("2025-02")
    # The PI leaves industry: that is no reason to charge January otherwise.
    Person.objects.filter(email="eve@acme.example").update(customer=None)
    late = delivered(tmp_path, [a_row("7.50", tags=tags)])
    booking.book(imported=Import.objects.get(state="deferred"), into=build.a_period("2025-02"), **DONE)
    issuing.generate(period=build.a_period("2025-02"), **DONE)
    (line,) = PayerLine.objects.filter(period=build.a_period("2025-02"))
    assert (line.kind, line.customer, line.charged) == ("late", customer, Decimal("-2.50"))
    export("2025-02", submit=True)
    assert totals()[-1] == ("INV-000002", "credit", Decimal("-2.50"))
    assert proved("2025-02").reconciles
    assert late.imported.pk


# Who pays


def flags():
    return sorted(Flag.objects.filter(is_resolved=False).values_list("code", flat=True))


def test_charges_of_a_customer_are_not_held_for_their_fund_org(tmp_path):
    build.a_fund("BIO-001")
    build.a_pi("eve@acme.example", customer=build.a_customer())
    tags = {"pi_email": "eve@acme.example", "project_id": "assay"}
    rows_ = [a_row("1", tags=tags), a_row("2", tags=tags | {"fund_org": "NOT-LISTED"}, ResourceId="i-2")]
    delivered(tmp_path, rows_)
    assert flags() == []


def test_a_project_has_a_customer_of_its_own_and_goes_before_its_pi():
    build.a_pi(customer=build.a_customer())
    build.a_project(customer=build.a_customer("C-200", name="Acme Labs"))
    build.a_charge("1.00", fund_org="")
    build.a_charge("2.00", project="other", fund_org="")
    charging.make_payer_lines(period=january(), **DONE)
    assert dict(PayerLine.objects.values_list("project__code", "customer__number")) == {
        "genomics": "C-200",
        "other": "C-100",
    }


def test_service_outside_the_days_of_a_customer_is_held(tmp_path):
    build.a_pi("eve@acme.example", customer=build.a_customer(active_until=datetime.date(2025, 1, 4)))
    delivered(tmp_path, [a_row("1", tags={"pi_email": "eve@acme.example", "project_id": "assay"})])
    assert flags() == ["customer_inactive"]
    assert Flag.objects.get().detail == "Acme Corp (C-100) is active until Jan 4, 2025"
    review.approve(charges=[Charge.objects.get().pk], **DONE)
    assert Charge.objects.get().state == "approved"


def test_a_customer_that_comes_later_answers_what_its_charges_are_held_for(tmp_path):
    delivered(tmp_path, [a_row("1", tags={"pi_email": "eve@acme.example", "project_id": "assay"})])
    assert flags() == ["missing_fund_org"]
    Person.objects.filter(email="eve@acme.example").update(customer=build.a_customer())
    reattribution.reapply(period=january(), **DONE)
    assert (flags(), Charge.objects.get().state) == ([], "clear")


def test_a_split_of_what_a_customer_pays_is_refused_by_name():
    build.a_pi("eve@acme.example", customer=build.a_customer())
    project = build.a_project("assay")
    build.a_split({"A": "60", "B": "40"}, project=project)
    charge = eve("10.00")
    with pytest.raises(charging.SplitOfCustomer, match=r"1 charge \(eve@acme.example, assay 1\) that a customer pays"):
        charging.make_payer_lines(period=january(), **DONE)
    shares = ((("A", Decimal(60)), ("B", Decimal(40))),)
    done = review.reattribute(charges=[charge.pk], reassignment=Reassignment(shares=shares[0]), create=True, **DONE)
    assert "a split cannot share it" in done.why_skipped[charge.pk]


def test_a_customer_bears_its_part_of_a_shared_cost(acme):
    shared = {"pi": None, "project": None, "fund_org": "", "shared_as": "Support"}
    build.a_charge("17.00", **shared)
    issuing.generate(period=january(), **DONE)
    found = PayerLine.objects.filter(kind="shared").values_list("customer__number", "fund_org", "charged")
    assert sorted(found, key=str) == [("C-100", "", 3), (None, "BIO-001", 14)]
    assert export(submit=True).total == 18


def test_the_subsidy_of_a_customers_charge_is_the_funds_and_journaled():
    build.a_source("hpc", kind=Source.Kind.INTERNAL, subsidy_fund_org="PROV-1")
    build.a_pi("eve@acme.example", customer=build.a_customer())
    eve("10.00", source="hpc", list_cost=Decimal(30), contracted_cost=Decimal(30))
    issuing.generate(period=january(), **DONE)
    journal()
    assert {line.fund_org: line.debit for line in JournalLine.objects.filter(side="payer")} == {"PROV-1": 20}
    export(submit=True)
    assert totals() == [("INV-000001", "invoice", 10)]
    assert proved().is_complete


def test_what_a_showback_source_shows_a_customer_is_on_no_invoice():
    build.a_source("aws", is_journaled=False)
    build.a_pi("eve@acme.example", customer=build.a_customer())
    eve("10.00")
    issuing.generate(period=january(), **DONE)
    assert export().export is None
    assert proved().is_complete


# Corrections


def correct(enter, **options):
    february = build.a_period("2025-02")
    done = enter(reason="An outage", charged_in=february, **options, **DONE)
    issuing.generate(period=february, **DONE)
    return done


@pytest.fixture
def closed(acme):
    build.a_policy(center_fund_org="CENTER-1")
    issuing.generate(period=january(), **DONE)
    journal()
    export(submit=True)
    closing.close(period=january(), **DONE)
    build.a_period("2025-02")
    return PayerLine.objects.get(customer=acme, service_name="Compute")


def february():
    return build.a_period("2025-02")


def test_a_refund_is_a_credit_to_the_customer(closed):
    correct(corrections.add_refund, lines=[closed], amount=Decimal("4.00"))
    export("2025-02", submit=True)
    assert totals()[-1] == ("INV-000002", "credit", -4)
    assert posting.export(period=february(), format="gl", **DONE).journal is None
    assert proved("2025-02").reconciles


def test_a_write_off_credits_the_customer_and_the_center_pays(closed):
    correct(corrections.add_write_off, lines=[closed])
    export("2025-02", submit=True)
    posting.export(period=february(), format="gl", submit=True, **DONE)
    assert totals()[-1] == ("INV-000002", "credit", -10)
    assert JournalLine.objects.get(side="payer", journal__period=february()).fund_org == "CENTER-1"
    assert proved("2025-02").is_complete


def test_a_transfer_moves_what_a_customer_paid_to_a_fund_and_its_reversal_back(closed):
    done = correct(corrections.add_transfer, lines=[closed], to={"GIFT-1": Decimal(100)})
    moved = {(line.fund_org, line.customer_id and "C-100", line.amount) for line in done.lines}
    assert moved == {("", "C-100", -10), ("GIFT-1", None, 10)}
    back = correct(lambda **how: corrections.reverse(correction=done.correction, **how))
    assert {line.amount for line in back.lines} == {10, -10}
    assert not PayerLine.objects.filter(period=february()).exists()


def test_a_transfer_to_a_customers_project_goes_on_its_invoice(closed):
    ada = PayerLine.objects.get(pi__email="ada@u.edu")
    correct(corrections.add_transfer, lines=[ada], pi=build.a_pi("eve@acme.example"), project=build.a_project("assay"))
    export("2025-02", submit=True)
    assert totals()[-1] == ("INV-000002", "invoice", 70)
    with pytest.raises(corrections.FundRefused, match="Say which fund/org pays"):
        correct(corrections.add_transfer, lines=[closed], pi=build.a_pi(), project=build.a_project())


def test_a_manual_charge_needs_no_fund_org_where_a_customer_pays(closed):
    hours = {"source": build.a_source(), "amount": Decimal(300), "service_name": "Consulting"}
    with pytest.raises(corrections.FundRefused):
        correct(corrections.add_manual_charge, pi=build.a_pi(), fund_org="", **hours)
    correct(corrections.add_manual_charge, pi=build.a_pi("eve@acme.example"), fund_org="", **hours)
    export("2025-02", submit=True)
    assert totals()[-1] == ("INV-000002", "invoice", 300)


# The month


@pytest.fixture
def january_closed(tmp_path):
    """A closed January, stated and journaled, of which Acme pays 15.00 and BIO-001 70.00."""
    build.a_policy(requires_ledger_answer=False)
    build.a_pi("eve@acme.example", customer=build.a_customer())
    tags = {"pi_email": "eve@acme.example", "project_id": "assay"}
    delivered(tmp_path, [a_row("10.00", tags=tags), a_row("5.00", tags=tags, ResourceId="i-2"), a_row("70.00")])
    issuing.generate(period=january(), **DONE)
    closing.close(period=january(), **DONE)
    journal()


def item(month="2025-01"):
    return checklist.of(BillingPeriod.objects.named(month)).item("receivables")


def test_a_month_with_receivables_is_not_finalized_before_they_are_submitted(january_closed):
    assert (item().state, item().then.name) == ("open", "export_receivables")
    assert item().text == "15.00 USD for 1 customer is not on invoices."
    with pytest.raises(closing.NotReadyToFinalize, match="not on invoices"):
        closing.finalize(period=january(), notes="Done", **DONE)
    made = export().export
    assert (item().state, item().then.name) == ("open", "submit_receivables")
    (of_invoices,) = [each for each in proof.prove(january()).open if each.code == "invoiced"]
    assert doors.label_of(of_invoices.then) == f"Look at draft {made.number}"
    assert doors.url_of(of_invoices.then) == reverse("admin:journals_receivablesexport_change", args=[made.pk])
    receivables.submit(export=made, **DONE)
    assert (item().state, item().text) == ("done", "1 invoice over 15.00 USD submitted.")
    closing.finalize(period=january(), notes="Done", **DONE)
    assert proved().is_complete


def test_a_month_without_customers_needs_no_receivables():
    build.a_charge("1.00")
    assert item().state == "not_applicable"


def test_what_a_closed_month_charged_stays_with_its_customer(acme):
    build.a_policy(requires_ledger_answer=False)
    issuing.generate(period=january(), **DONE)
    closing.close(period=january(), **DONE)
    Person.objects.filter(email="eve@acme.example").update(customer=None)
    charging.make_payer_lines(period=january(), **DONE)
    assert set(PayerLine.objects.filter(pi__email="eve@acme.example").values_list("customer", flat=True)) == {acme.pk}


# The statement


def test_the_statement_says_that_an_invoice_follows(acme):
    issuing.generate(period=january(), **DONE)
    document = issuing.document_of(Statement.objects.get(pi__email="eve@acme.example"))
    (section,) = document.sections
    assert (section.payer, section.fund_name, section.fund_org) == ("Invoice to follow", "Acme Corp (C-100)", "")


# The proof


def test_an_invoice_that_is_altered_is_found(acme):
    issuing.generate(period=january(), **DONE)
    journal()
    export(submit=True)
    assert proved().is_complete
    with build.safeguards_down():
        CustomerInvoiceLine.objects.filter(service_name="Storage").update(amount=Decimal("4.00"))
    problems = proof.prove(january()).problems()
    assert any("Invoice INV-000001: its lines add up to 14.00" in each for each in problems)
    with build.safeguards_down():
        CustomerInvoiceLine.objects.filter(service_name="Storage").delete()
        CustomerInvoice.objects.update(total=10)
        ReceivablesExport.objects.update(total=10, line_count=1)
    found = proof.prove(january())
    (of_invoices,) = [each for each in found.open if each.code == "invoiced"]
    assert (of_invoices.difference, of_invoices.then.name) == (5, "export_receivables")


def test_seals_of_a_finalized_month_name_the_invoices_that_changed(january_closed):
    export(submit=True)
    closing.finalize(period=january(), notes="Done", **DONE)
    with build.safeguards_down():
        CustomerInvoice.objects.update(customer_name="Somebody else")
    assert any("Customer invoices A2025-01-1" in each for each in proof.prove(january()).problems())


# What the database refuses


@pytest.mark.parametrize(
    "attack",
    [
        lambda: ReceivablesExport.objects.update(total=1),
        lambda: ReceivablesExport.objects.update(state="draft"),
        lambda: CustomerInvoice.objects.update(number=7),
        lambda: CustomerInvoiceLine.objects.update(amount=1),
        lambda: CustomerInvoiceLine.objects.all()._raw_delete("default"),
        lambda: CustomerInvoice.objects.all()._raw_delete("default"),
        lambda: ReceivablesExport.objects.all()._raw_delete("default"),
    ],
)
def test_submitted_invoices_are_locked(acme, attack):
    export(submit=True)
    with pytest.raises((DatabaseError, IntegrityError)), transaction.atomic():
        attack()


@pytest.mark.parametrize("bend", [{"number": None}, {"total": 1}])
def test_an_export_leaves_draft_only_with_numbered_invoices_that_add_up(acme, bend):
    made = export().export
    numbered = {"number": 1} | bend
    CustomerInvoice.objects.update(**numbered)
    with pytest.raises(DatabaseError, match="leave draft only"), transaction.atomic():
        ReceivablesExport.objects.filter(pk=made.pk).update(state="submitted", submitted_at=build.NOW)


def test_a_payer_line_is_a_receivable_or_has_a_fund_org(acme):
    charging.make_payer_lines(period=january(), **DONE)
    for wrong in ({"fund_org": "X-1"}, {"customer": None}):
        with pytest.raises(IntegrityError), transaction.atomic():
            PayerLine.objects.filter(customer=acme).update(**wrong)


# Whatever is charged


cents = st.integers(-(10**7), 10**7).map(lambda number: Decimal(number).scaleb(-4))
changes = st.lists(
    st.one_of(
        st.tuples(
            st.just("charge"),
            st.sampled_from(["eve@acme.example", "max@zeta.example", "ada@u.edu"]),
            st.sampled_from(["aws", "hpc", "shown"]),
            st.sampled_from(["Compute", "Storage"]),
            cents,
        ),
        st.tuples(st.just("shared"), st.sampled_from(["aws", "hpc"]), cents),
        st.tuples(st.just("customer"), st.sampled_from(["C-100", "Z-1", ""])),
        st.tuples(st.just("withdraw"), st.integers(0, 20)),
        st.tuples(st.just("invoices")),
        st.tuples(st.just("journal")),
    ),
    min_size=1,
    max_size=14,
)


def change(what, *how):
    """Do one thing that people or files do in a month."""
    if what == "charge":
        pi, source, service, amount = how
        fund_org = "BIO-001" if pi == "ada@u.edu" else "FALLBACK-1"
        build.a_charge(str(amount), pi=pi, project=None, fund_org=fund_org, source=source, service_name=service)
    elif what == "shared":
        shared = {"pi": None, "project": None, "fund_org": "", "shared_as": "Support"}
        build.a_charge(str(abs(how[1])), source=how[0], **shared)
    elif what == "customer":
        customer = build.a_customer(how[0]) if how[0] else None
        Person.objects.filter(email="eve@acme.example").update(customer=customer)
    elif what == "withdraw":
        pks = Charge.objects.live().order_by("pk").values_list("pk", flat=True)
        if pks:
            charge = Charge.objects.get(pk=pks[how[0] % len(pks)])
            charge.state = Charge.State.REJECTED
            charge.save()
    elif what == "invoices":
        with contextlib.suppress(posting.NothingToSubmit):
            export(submit=True)
    else:
        submitted_anyhow(january(), "standard", lambda: DONE)


@given(changes)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_in_a_month_its_invoices_come_to_what_customers_are_charged(happened):
    with transaction.atomic():
        require_what_customers_are_charged(happened)
        transaction.set_rollback(True)


def require_what_customers_are_charged(happened):
    build.a_policy(center_fund_org="CENTER-1")
    # Where nobody is charged, a shared cost has somebody to go to.
    default = {"default_pi": build.a_pi("desk@u.edu"), "overflow_fund_org": "DESK-1"}
    for name in ("aws", "hpc"):
        build.a_source(name, **default)
    build.a_source("shown", is_journaled=False)
    build.a_pi("eve@acme.example", customer=build.a_customer())
    build.a_pi("max@zeta.example", customer=build.a_customer("Z-1", name="Zeta"))
    build.a_charge("1.00")
    for each in happened:
        change(*each)
    issuing.generate(period=january(), **DONE)
    for what in ("journal", "invoices"):
        change(what)
    assert proved().is_complete
    numbers = list(CustomerInvoice.objects.order_by("number").values_list("number", flat=True))
    assert numbers == list(range(1, len(numbers) + 1))
    charged: dict[str, Decimal] = defaultdict(Decimal)
    lines = PayerLine.objects.filter(customer__isnull=False, source__is_journaled=True)
    for number, amount in lines.values_list("customer__number", "charged"):
        charged[number] += amount
    invoiced: dict[str, Decimal] = defaultdict(Decimal)
    for number, amount in CustomerInvoice.objects.values_list("customer_number", "total"):
        invoiced[number] += amount
    assert {number: total for number, total in invoiced.items() if total} == {
        number: total for number, total in charged.items() if total
    }
    # charged = journaled + showback + receivable
    every = sum(PayerLine.objects.values_list("charged", flat=True))
    shown = sum(PayerLine.objects.filter(source__is_journaled=False).values_list("charged", flat=True))
    payers = JournalLine.objects.filter(side="payer").values_list("debit", "credit")
    assert every == sum(debit - credit for debit, credit in payers) + shown + sum(invoiced.values())


# Files


def test_the_file_of_a_submitted_export_is_made_again_where_it_is_gone(acme):
    made = export(submit=True).export
    path = receivables.export(period=january(), **DONE)
    assert path.export is None
    content = receivables.content_of(made)
    documents.where(made.file_path).unlink()
    assert receivables.content_of(made) == content
    documents.where(made.file_path).write_bytes(b"other")
    with pytest.raises(posting.FileMissing, match="restore it"):
        receivables.content_of(made)


def test_a_spreadsheet_holds_texts_and_numbers_and_no_formula(acme, tmp_path):
    Customer.objects.update(name="=1+1")
    exported = export(output=tmp_path / "ar.xlsx", submit=True)
    sheet = load_workbook(exported.file).active
    header, first, *_ = sheet.iter_rows(values_only=False)
    cells = {head.value: cell for head, cell in zip(header, first, strict=True)}
    assert (cells["customer_name"].value, cells["customer_name"].data_type) == ("=1+1", "s")
    assert cells["amount"].value == 10
    assert "'=1+1" in receivables.content_of(exported.export).decode("utf-8-sig")


def test_a_file_is_csv_or_a_spreadsheet_and_says_whether_it_is_a_draft(acme, tmp_path):
    with pytest.raises(posting.OutputRefused, match=r"ends in \.csv or \.xlsx"):
        export(output=tmp_path / "ar.pdf")
    assert export(output=tmp_path / "ar.csv").file.name == "ar-DRAFT.csv"
    with pytest.raises(posting.OutputRefused, match="named for a draft"):
        export(output=tmp_path / "ar-draft.csv", submit=True)


# The command


def run(*arguments, capsys):
    call_command("export_receivables", "-p", "2025-01", *arguments)
    return capsys.readouterr().out


def test_the_command_drafts_and_submits(acme, capsys, tmp_path):
    assert "Draft of receivables A2025-01-1, 1 invoice with 2 lines over 15.00 USD" in run(capsys=capsys)
    told = json.loads(run("--submit", "-o", str(tmp_path / "ar.csv"), "--json", capsys=capsys))
    assert (told["number"], told["state"], told["total"]) == ("A2025-01-1", "submitted", "15.00")
    assert told["invoices"] == [
        {
            "invoice": "INV-000001",
            "kind": "invoice",
            "customer": "C-100",
            "name": "Acme Corp",
            "follows": None,
            "lines": 2,
            "total": "15.00",
        }
    ]
    assert (tmp_path / "ar.csv").read_bytes() == receivables.content_of(ReceivablesExport.objects.get())
    assert "Nothing to invoice for January 2025" in run(capsys=capsys)


def test_the_command_names_a_month_that_is_not_there(capsys):
    with pytest.raises(CommandError, match="There is no billing period"):
        run(capsys=capsys)


# Tracing


def test_an_invoice_leads_to_its_payer_lines_and_back(acme):
    issuing.generate(period=january(), **DONE)
    export(submit=True)
    assert [name for name, *_ in trace("INV-000001").choices] == ["INV-000001:1", "INV-000001:2"]
    traced = trace("INV-000001:2")
    (line,) = traced.lines
    assert (line.line.service_name, traced.charge_count) == ("Storage", 1)
    assert "invoice INV-000001:2, submitted: 5.00 USD, Acme Corp (C-100)" in traced.as_text()
    assert "Acme Corp (C-100), aws Storage" in traced.as_text()

"""Customers and their invoices on the staff's pages."""

import datetime

import pytest
from django.urls import reverse

from billing import charging
from billing.models import Charge, Customer, Person, Project
from journals import receivables
from journals.models import CustomerInvoice, ReceivablesExport
from statements import issuing
from statements.models import Statement
from tests import build
from tests.billing.test_audit_completeness import filled_in

pytestmark = pytest.mark.django_db

DONE = {"actor": build.SOMEBODY, "now": build.NOW}
LIST = reverse("admin:journals_receivablesexport_changelist")
EXPORT = reverse("admin:journals_receivablesexport_export")


def words(page):
    return page.content.decode()


def once(page):
    """Return the hidden mark of a form that is sent once."""
    found = page.content.decode().partition('name="once" value="')[2].partition('"')[0]
    return {"once": found} if found else {}


def page_of(export, verb="change"):
    return reverse(f"admin:journals_receivablesexport_{verb}", args=[export.pk])


@pytest.fixture
def eve(cast):
    """Eve, whose charges of January Acme pays."""
    pi = build.a_pi("eve@acme.example", name="Eve", customer=build.a_customer())
    build.a_charge("10.00", pi="eve@acme.example", project="assay", fund_org="")
    return pi


def test_a_reviewer_drafts_and_finance_submits_and_downloads(client, cast, eve):
    client.force_login(cast.reviewer)
    asked = client.get(EXPORT, {"period": "2025-01"})
    assert '<option value="2025-01-01" selected>January 2025, open' in words(asked)
    drafted = client.post(EXPORT, {"period": "2025-01-01"} | once(asked), follow=True)
    assert "Draft A2025-01-1 of receivables is made" in words(drafted)
    export = ReceivablesExport.objects.get()
    assert client.get(page_of(export, "submit")).status_code == 403
    client.force_login(cast.finance)
    page = client.get(page_of(export))
    for text in ("No number yet", "Acme Corp", "(C-100)", "Compute", "January 2025", "Eve", "10.00 USD"):
        assert text in words(page), text
    asked = client.get(page_of(export, "submit"))
    assert "are numbered and frozen" in words(asked)
    done = client.post(page_of(export, "submit"), once(asked), follow=True)
    assert "INV-000001" in words(done)
    for form in ("csv", "xlsx"):
        file = client.get(reverse("admin:journals_receivablesexport_file", args=[export.pk, form]))
        assert file["Content-Disposition"] == f'attachment; filename="A2025-01-1.{form}"'
    assert client.get(reverse("admin:journals_receivablesexport_file", args=[export.pk, "pdf"])).status_code == 404


def test_a_draft_that_is_outdated_says_so_before_it_is_submitted(client, cast, eve):
    export = receivables.export(period=build.a_period(), **DONE).export
    build.a_charge("1.00", pi="eve@acme.example", project="assay", fund_org="")
    client.force_login(cast.finance)
    receivables.draft(period=build.a_period(), **DONE)
    charging.make_payer_lines(period=build.a_period(), **DONE)
    page = client.get(page_of(export, "submit"))
    assert "is not what customers owe today" in words(page)
    again = client.post(page_of(export, "redraft"), once(client.get(page_of(export, "redraft"))), follow=True)
    assert "Draft A2025-01-1 of receivables is made" in words(again)
    assert CustomerInvoice.objects.get().total == 11


def test_the_month_names_what_is_to_be_invoiced_and_leads_there(client, cast, eve):
    client.force_login(cast.finance)
    page = words(client.get(reverse("admin:index"), {"period": "2025-01"}))
    assert "10.00 USD for 1 customer is not on invoices." in page
    assert f"{EXPORT}?period=2025-01" in page


def test_the_list_shows_exports_and_who_may_draft(client, cast, eve):
    receivables.export(period=build.a_period(), **DONE)
    client.force_login(cast.viewer)
    page = words(client.get(LIST))
    assert "A2025-01-1" in page
    assert "Draft the invoices" not in page
    assert client.get(EXPORT).status_code == 403


def test_a_customer_is_added_and_chosen_on_the_page_of_a_pi(client, cast):
    client.force_login(cast.finance)
    fields = {"number": " Z-9 ", "name": "Zeta", "address": "", "email": "", "terms": "", "tax_code": ""}
    client.post(reverse("admin:billing_customer_add"), fields)
    customer = Customer.objects.get(number="Z-9")
    pi = Person.objects.get(email="mallory@u.edu")
    url = reverse("admin:billing_person_change", args=[pi.pk])
    client.post(url, filled_in(client.get(url)) | {"customer": customer.pk})
    pi.refresh_from_db()
    assert pi.customer == customer
    page = words(client.get(reverse("admin:billing_customer_change", args=[customer.pk])))
    assert "Mallory" in page


@pytest.mark.parametrize("number", ["c-100", "C-100"])
def test_two_customers_never_have_one_number(client, cast, number):
    build.a_customer()
    client.force_login(cast.finance)
    page = client.post(reverse("admin:billing_customer_add"), {"number": number, "name": "Another"})
    assert "There is a customer with this number." in words(page)


def test_a_customer_who_pays_is_not_deleted(client, cast, eve):
    client.force_login(cast.finance)
    client.post(reverse("admin:billing_customer_delete", args=[eve.customer.pk]), {"post": "yes"})
    assert Customer.objects.exists()


def test_a_project_has_a_split_or_a_customer(client, cast):
    project = build.a_project("assay")
    build.a_split({"A": "60", "B": "40"}, project=project, valid_from=datetime.date(2025, 1, 1))
    client.force_login(cast.finance)
    url = reverse("admin:billing_project_change", args=[project.pk])
    page = client.post(url, filled_in(client.get(url)) | {"customer": build.a_customer().pk})
    assert "pays this project by invoice, and a split shares it" in words(page)
    assert Project.objects.get(pk=project.pk).customer is None


def test_a_pi_whose_projects_are_split_gets_no_customer(client, cast):
    pi = build.a_pi()
    project = build.a_project("assay", pi=pi)
    split = build.a_split({"A": "60", "B": "40"}, project=project)
    client.force_login(cast.finance)
    url = reverse("admin:billing_person_change", args=[pi.pk])
    page = client.post(url, filled_in(client.get(url)) | {"customer": build.a_customer().pk})
    assert "splits share them among fund/orgs: assay" in words(page)
    split.valid_until = datetime.date(2020, 1, 1)
    split.save()
    client.post(url, filled_in(client.get(url)) | {"customer": build.a_customer().pk})
    assert Person.objects.get(pk=pi.pk).customer is not None


def test_the_page_of_a_charge_names_its_customer(client, cast, eve):
    client.force_login(cast.viewer)
    charge = Charge.objects.get(pi=eve)
    page = words(client.get(reverse("admin:billing_charge_change", args=[charge.pk])))
    assert "pays by invoice" in page


def test_the_pi_reads_that_an_invoice_follows(client, cast, eve):
    eve.user = cast.stranger
    Person.objects.filter(user=cast.stranger).update(user=None)
    eve.save()
    issuing.generate(period=build.a_period(), **DONE)
    client.force_login(cast.stranger)
    statement = Statement.objects.get(pi=eve)
    page = words(client.get(f"/statements/{statement.number}/"))
    assert "Invoice to follow" in page
    assert "no fund/org" not in page

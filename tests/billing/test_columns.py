"""Columns under other names: what is understood, what is refused, and what is only reported."""

import csv
from decimal import Decimal
from io import StringIO

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core import management
from django.urls import reverse

from billing import review
from billing.importing.ingestion import ingest
from billing.importing.outcomes import ImportRefused
from billing.models import Charge, Flag, Import, Source
from billing.readers.columns import looks_like_category, looks_like_currency, looks_like_money
from tests import build
from tests.billing.deliveries import a_row

pytestmark = [pytest.mark.django_db, pytest.mark.same_on_either]

FORMATS = ("csv", "tsv", "xlsx", "parquet")


def in_each_format(first, *others):
    """Try the first heading in every format, and the others in CSV."""
    tried = [*((first, form) for form in FORMATS), *((heading, "csv") for heading in others)]
    return pytest.mark.parametrize(("heading", "form"), tried)


# A source that is kept by day or by month reads large parquet files by columns.
each_way = pytest.mark.parametrize(
    ("grain", "form"), [*(("line", form) for form in FORMATS), ("day", "csv"), ("month", "parquet")]
)


def a_table(folder, headings, rows, form="csv"):
    """Write a table in a format; headings may be any."""
    path = folder / f"aws_2025-01.{form}"
    if form == "xlsx":
        book = openpyxl.Workbook()
        for row in (headings, *rows):
            book.active.append(list(row))
        book.save(path)
    elif form == "parquet":
        columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
        pq.write_table(pa.Table.from_arrays(columns, names=list(headings)), path)
    else:
        with path.open("w", newline="", encoding="utf-8") as out:
            csv.writer(out, delimiter="\t" if form == "tsv" else ",").writerows([headings, *rows])
    return path


def bring_in(folder, rows, *, form="csv", renamed=(), source=None, **options):
    """Bring rows in, with columns renamed on the way."""
    headings = [dict(renamed).get(name, name) for name in rows[0]]
    path = a_table(folder, headings, [list(row.values()) for row in rows], form)
    return ingest(paths=[path], source=source or build.a_source("aws"), actor=build.SOMEBODY, now=build.NOW, **options)


def without(row, *columns):
    return {name: value for name, value in row.items() if name not in columns}


# Currency ----------------------------------------------------------------------------------------


@in_each_format(
    *("Currency", "BilledCurrency", "BillingCurrencyCode", "Billing Currency", "x_BillingCurrency"),
    *("billing_currency", "BILLING-CURRENCY", "x Billing Currency", "x_currency", "Invoice Currency Code", "ccy"),
)
def test_the_currency_is_understood_under_its_other_names(tmp_path, form, heading):
    rows = [a_row("12.50", BillingCurrency="EUR")]
    result = bring_in(tmp_path, rows, form=form, renamed={"BillingCurrency": heading}.items())
    assert list(result.totals) == ["EUR"]
    assert Charge.objects.get().currency == "EUR"


@in_each_format(
    *("TransactionCurrency", "x_ReportingCurrency", "Home Currency", "currencyOfBill", "Cur.", "Währung", "Devise"),
    *("Wahrung", "Wa\u0308hrung", "Rechnungswahrung", "Monetary Unit", "Unité monétaire", "Devise de facturation"),
    *("Moneda", "Moneda del cargo", "x_Divisa", "PricingCurrency"),
)
def test_a_column_that_looks_like_a_currency_is_never_passed_over(tmp_path, form, heading):
    with pytest.raises(ImportRefused, match=f"(?s)no column BillingCurrency.*{heading}.*rename it to BillingCurrency"):
        bring_in(
            tmp_path, [a_row("12.50", BillingCurrency="EUR")], form=form, renamed={"BillingCurrency": heading}.items()
        )
    assert not Charge.objects.exists()


def test_the_currency_of_the_prices_is_not_that_of_the_bill(tmp_path):
    bring_in(tmp_path, [a_row("12.50", BillingCurrency="USD", PricingCurrency="EUR", x_PricingCurrency="GBP")])
    charge = Charge.objects.get()
    assert (charge.currency, charge.pricing_currency) == ("USD", "EUR")


def test_without_any_currency_the_amounts_are_in_the_institutions_own(tmp_path):
    result = bring_in(tmp_path, [without(a_row("12.50", x_BillingExchangeRate="1.1"), "BillingCurrency")])
    assert list(result.totals) == ["USD"]


@each_way
def test_two_currencies_that_differ_in_a_row_are_an_error_by_line(tmp_path, form, grain):
    rows = [a_row("1", ResourceId=name, Currency=code) for name, code in (("a", "usd"), ("b", ""), ("c", "EUR"))]
    with pytest.raises(ImportRefused) as refused:
        bring_in(tmp_path, rows, form=form, source=build.a_source("aws", grain=grain))
    (error,) = refused.value.errors
    assert error["line"] == (3 if form == "parquet" else 4)
    assert error["column"] == "BillingCurrency"
    assert "“USD” and Currency is “EUR”" in error["message"]


@each_way
def test_of_two_columns_that_mean_the_same_either_may_say_it(tmp_path, form, grain):
    rows = [a_row("1", ResourceId="a", Currency="EUR"), a_row("2", ResourceId="b", Currency="eur ")]
    rows[0]["BillingCurrency"], rows[1]["BillingCurrency"] = "", "EUR"
    result = bring_in(tmp_path, rows, form=form, source=build.a_source("aws", grain=grain))
    assert {code: sums["BilledCost"] for code, sums in result.totals.items()} == {"EUR": "3.00"}


@pytest.mark.parametrize("grain", Source.Grain.values)
@pytest.mark.parametrize(("code", "why"), [("", "is empty"), ("EURO", "not a currency"), ("US$", "not a currency")])
def test_a_row_whose_currency_is_none_is_an_error_by_line(tmp_path, grain, code, why):
    rows = [a_row("1", BillingCurrency="EUR"), a_row("2", BillingCurrency=code)]
    with pytest.raises(ImportRefused, match=why) as refused:
        bring_in(tmp_path, rows, source=build.a_source("aws", grain=grain))
    assert [(each["line"], each["column"]) for each in refused.value.errors] == [(3, "BillingCurrency")]


def test_a_currency_in_lower_case_is_the_same(tmp_path):
    assert list(bring_in(tmp_path, [a_row("1", BillingCurrency=" eur ")]).totals) == ["EUR"]


# Standard columns -------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_columns_are_the_same_however_their_words_are_joined(tmp_path, form):
    names = {"BilledCost": "Billed Cost", "ChargePeriodStart": "charge_period_start", "ServiceName": "SERVICE-NAME"}
    bring_in(tmp_path, [a_row("12.50")], form=form, renamed=names.items())
    charge = Charge.objects.get()
    assert (charge.billed_cost, charge.service_name) == (Decimal("12.5"), "Compute")


def test_a_providers_own_column_is_not_the_standard_one(tmp_path):
    bring_in(tmp_path, [a_row("1", x_BillingAccountId="enrollment-7", x_ResourceType="microsoft.compute")])
    charge = Charge.objects.get()
    assert (charge.billing_account_id, charge.resource_type) == ("acct-1", "")


def test_two_spellings_of_a_cost_that_differ_are_an_error_by_line(tmp_path):
    rows = [a_row("1.50") | {"Billed Cost": "1.5"}, a_row("2") | {"Billed Cost": "20"}]
    with pytest.raises(ImportRefused, match="line 3, column BilledCost: BilledCost is “2” and Billed Cost is “20”"):
        bring_in(tmp_path, rows)


def test_a_column_under_its_own_name_twice_is_refused(tmp_path):
    path = a_table(tmp_path, ["BilledCost", "billedcost"], [["1", "1"]])
    with pytest.raises(ImportRefused, match="in the header twice"):
        ingest(paths=[path], source=build.a_source("aws"), actor=build.SOMEBODY, now=build.NOW)


# Money -------------------------------------------------------------------------------------------

UNREAD = {"x_Discounts": "-1", "Tax Amount": "2", "x_Credits": "-3", "CostEUR": "4", "Unrounded Cost ($)": "5"}


@each_way
def test_money_in_columns_that_are_not_read_is_reported(tmp_path, form, grain):
    more = UNREAD | {"x_CostCenter": "9", "x_SkuPriceType": "z", "PricingCurrencyEffectiveCost": "7", "Team": "q"}
    result = bring_in(tmp_path, [a_row("12.50") | more], form=form, source=build.a_source("aws", grain=grain))
    assert result.unread == tuple(UNREAD)
    assert "  Not read: x_Discounts, Tax Amount, x_Credits, CostEUR, Unrounded Cost ($)." in result.as_text()
    assert result.as_data()["unread"] == Import.objects.get().unread == list(UNREAD)


def test_money_that_was_not_read_is_shown_with_the_import(tmp_path, client):
    result = bring_in(tmp_path, [a_row("12.50") | UNREAD])
    shown = StringIO()
    management.call_command("imports", "show", str(result.imported.pk), stdout=shown)
    assert "Not read: x_Discounts" in shown.getvalue()
    client.force_login(build.the_cast().admin)
    page = client.get(reverse("admin:billing_import_change", args=[result.imported.pk]))
    assert "Not read: x_Discounts" in page.content.decode()


def test_without_billed_cost_the_columns_that_may_be_it_are_named(tmp_path):
    row = {"Total Amount": "13"} | without(a_row("12.50"), "BilledCost") | {"x_BilledCost": "12.50"}
    with pytest.raises(
        ImportRefused, match=r"lacks the column BilledCost, and “Total Amount” or “x_BilledCost” may be"
    ):
        bring_in(tmp_path, [row])


@pytest.mark.parametrize("grain", Source.Grain.values)
def test_without_the_cost_that_a_source_charges_a_column_that_may_be_it_stops_the_file(tmp_path, grain):
    source = build.a_source("aws", grain=grain, cost_measure=Source.Measure.EFFECTIVE)
    row = without(a_row("12.50"), "EffectiveCost") | {"x_AmortisedCosts": "11"}
    with pytest.raises(
        ImportRefused, match="no column EffectiveCost, which this source charges, and “x_AmortisedCosts”"
    ):
        bring_in(tmp_path, [row], source=source)
    assert not Charge.objects.exists()
    # A source that charges what was billed has no use for it.
    assert bring_in(tmp_path, [row], source=build.a_source("gcp", grain=grain)).unread == ("x_AmortisedCosts",)


def test_headings_are_told_apart():
    money = [
        "cost",
        "totalcost",
        "Net Amount",
        "x_Fee",
        "VAT",
        "SalesTax",
        "costInBillingCurrency",
        "Betrag (EUR)",
        "€",
        *("Net Value", "Net", "Netto", "Nettowert (EUR)", "Gross", "Sum", "Entgelt", "Bruttoentgelt", "Unblended"),
        *("Gebühr", "Gebuhr", "Gebu\u0308hr", "Nutzungsgebühr", "Coût total", "Cout"),
        *("Montant TTC", "Montant en devise"),
        *("Importe en moneda local", "Monto", "Impuestos", "Preço"),
    ]
    others = [
        *("VNet", "x_NetAppVolume", "Network", "CheckSum", "Tag Value", "Summary", "Kurs", "Fecha de cargo"),
        *("x_CostCenter", "TaxId", "ChargeType", "x_BillingExchangeRate", "Taxonomy", "x_CostAllocationRuleName"),
    ]
    assert [each for each in money if not looks_like_money(each)] == []
    assert [each for each in others if looks_like_money(each)] == []
    assert not any(map(looks_like_currency, ["costInBillingCurrency", "x_BillingExchangeRate", "CurrentState"]))
    assert not any(map(looks_like_currency, ["Montant en devise", "Taux de change devise", "Device", "Unit"]))
    assert not any(map(looks_like_category, ["ServiceCategory", "x_SkuMeterCategory", "x_CostCategories", "Type"]))


def test_money_under_a_heading_without_its_accents_is_reported(tmp_path):
    written = {"Net Value": "1", "Gebuhr": "2", "Coût": "3", "Unblended": "4"}
    assert bring_in(tmp_path, [a_row("12.50") | written]).unread == tuple(written)


# Category ----------------------------------------------------------------------------------------


@in_each_format("Charge Category", "charge_category", "x_ChargeCategory", "ChargeType")
def test_the_category_is_understood_under_its_other_names(tmp_path, form, heading):
    bring_in(tmp_path, [a_row("1", ChargeCategory="tax")], form=form, renamed={"ChargeCategory": heading}.items())
    charge = Charge.objects.get()
    assert (charge.charge_category, charge.state) == ("Tax", Charge.State.CLEAR)


@in_each_format("Category", "x_Cost_Category", "LineItemType", "Transaction Type", "Kategorie")
def test_a_column_that_looks_like_the_category_is_never_passed_over(tmp_path, form, heading):
    with pytest.raises(ImportRefused, match="no column ChargeCategory.*rename it to ChargeCategory"):
        bring_in(tmp_path, [a_row("1")], form=form, renamed={"ChargeCategory": heading}.items())


def test_without_any_category_a_charge_has_none(tmp_path):
    bring_in(tmp_path, [without(a_row("1", ServiceCategory="Compute"), "ChargeCategory")])
    charge = Charge.objects.get()
    assert (charge.charge_category, charge.state) == ("", Charge.State.CLEAR)


@each_way
@pytest.mark.parametrize("value", ["Usge", "Gebühr", "Refund", ""])
def test_an_unknown_category_holds_its_row(tmp_path, grain, form, value):
    rows = [a_row("1"), a_row("2", ResourceId="i-2", ChargeCategory=value)]
    result = bring_in(tmp_path, rows, form=form, source=build.a_source("aws", grain=grain))
    assert result.flags == {"unknown_category": 1}
    held = Charge.objects.get(state=Charge.State.HELD)
    assert held.resource_id == "i-2"
    flag = held.flags.get()
    assert (flag.code, flag.is_blocking) == (Flag.Code.UNKNOWN_CATEGORY, False)
    assert "not Usage, Purchase, Tax, Credit or Adjustment" in flag.detail
    assert value in flag.detail


def test_approval_answers_an_unknown_category(tmp_path):
    bring_in(tmp_path, [a_row("1", ChargeCategory="Usge")])
    review.approve(charges=[Charge.objects.get().pk], actor=build.SOMEBODY, now=build.NOW)
    assert Charge.objects.get().state == Charge.State.APPROVED


def test_the_queue_is_filtered_by_an_unknown_category(tmp_path, client):
    bring_in(tmp_path, [a_row("1", ChargeCategory="Usge"), a_row("2", ResourceId="i-2")])
    client.force_login(build.the_cast().admin)
    page = client.get(reverse("admin:billing_heldcharge_changelist"), {"reason": "unknown_category"})
    assert "Charge category is unknown" in page.content.decode()
    shown = StringIO()
    management.call_command("review", "list", "--reason", "unknown_category", stdout=shown)
    assert "1 charge held" in shown.getvalue()

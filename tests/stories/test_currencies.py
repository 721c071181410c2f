"""Months in currencies that are not dollars and cents: yen without decimals, dinars with three, dong by the billion."""

import csv
import io
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.urls import reverse
from django.utils.html import strip_tags
from openpyxl import load_workbook
from pypdf import PdfReader

from billing import corrections, proof
from billing.charging import exchange_rates
from billing.errors import BillingError
from billing.fields import AmountOutOfRange, AmountSum
from billing.models import Charge, ImportTotal, PayerLine, Policy
from billing.money import minor_units, plain, written
from billing.months import closing
from billing.setup.policies import change_policy
from journals import posting
from journals.models import Journal, JournalTemplate
from statements import emails, issuing, sheets
from statements.document import money, money_with_currency
from statements.models import Statement
from tests import build

from .stage import command, row, write

pytestmark = pytest.mark.django_db

MONTH = "2025-01"
WHO = {"actor": build.SOMEBODY, "now": build.NOW}

# What 33.4321 of it comes to, and two thirds and a third of 100.
CASES = {
    "JPY": ("33", "67", "33"),
    "KRW": ("33", "67", "33"),
    "USD": ("33.43", "66.67", "33.33"),
    "KWD": ("33.432", "66.667", "33.333"),
    "CLF": ("33.4321", "66.6667", "33.3333"),
}


def the_source(name="aws"):
    return build.a_source(name, recovery_fund_org="RC-1", recovery_account="4900", debit_account="6500")


@pytest.fixture(params=CASES)
def currency(request, db, cast, tmp_path):
    """A month of one charge of 33.4321, as any provider delivers it, issued and in a draft of a journal."""
    code = request.param
    build.a_policy(currency=code, center_fund_org="RC-9")
    the_source()
    rows = [row("33.4321", BillingCurrency=code, ListCost="1040.5", ContractedCost="1040.5")]
    command("ingest", write(tmp_path / "aws_2025-01.csv", rows), "-s", "aws")
    return code


def generated():
    return command("generate", "-p", MONTH)


def test_a_line_is_in_whole_units_of_its_currency_wherever_it_is_shown(currency, cast, client, tmp_path):
    charged = CASES[currency][0]
    places = minor_units(currency)
    said = generated()
    listed = plain(Decimal("1040.5"), currency) if places else "1041"
    # The command, as JSON and as a table.
    assert (said["statements"][0]["due"], said["statements"][0]["list"]) == (charged, listed)
    out = io.StringIO()
    call_command("generate", "-p", MONTH, stdout=out)
    (row_of,) = [line for line in out.getvalue().splitlines() if line.startswith("2025-01-0001-1")]
    assert row_of.split()[-1] == charged
    line, statement = PayerLine.objects.get(), Statement.objects.get()
    assert plain(line.charged, currency) == plain(statement.charged, currency) == charged
    assert abs(line.rounding) <= Decimal(1).scaleb(-places) / 2
    assert line.charged + line.rounding == Decimal("33.4321")
    # Documents, e-mail and files of the statement.
    document = issuing.document_of(statement)
    pdf = " ".join(page.extract_text() for page in PdfReader(io.BytesIO(issuing.pdf_of(statement))).pages)
    letter = emails.letter_of([statement], policy=Policy.objects.current(), sees_all=True)
    assert money(statement.list_cost, currency) == written(Decimal(listed), currency)
    for amount in (statement.list_cost, statement.charged):
        assert money(amount, currency) in pdf
        assert money_with_currency(amount, currency) in strip_tags(letter.html)
        assert money_with_currency(amount, currency) in letter.text
    (cells,) = csv.DictReader(io.StringIO(sheets.as_csv(document).decode("utf-8-sig")))
    assert (cells["Charged"], cells["List price"]) == (charged, listed)
    sheet = load_workbook(io.BytesIO(sheets.as_xlsx(document))).active
    heading = [cell.value for cell in sheet[1]]
    cell = sheet[2][heading.index("Charged")]
    assert Decimal(str(cell.value)) == Decimal(charged)
    assert cell.number_format == ("#,##0." + "0" * places).rstrip(".")
    # Pages of staff and of the PI.
    client.force_login(cast.finance)
    for url in (
        reverse("admin:statements_statement_changelist"),
        reverse("admin:statements_statement_change", args=[statement.pk]),
        reverse("admin:billing_payerline_changelist"),
        reverse("admin:index") + f"?month={MONTH}",
    ):
        page = client.get(url)
        assert page.status_code == 200
        assert f">{charged}" in page.content.decode(), url
        assert currency == "USD" or ">33.43<" not in page.content.decode()
    client.force_login(cast.pi)
    page = client.get(reverse("portal:statement", args=[statement.number])).content.decode()
    assert f">{charged}<" in page
    # The journal: standard, general ledger, summary, spreadsheet, and a template of a fixed width.
    for name in ("standard", "gl", "summary"):
        file = posting.export(period=build.a_period(MONTH), format=name, **WHO).file
        assert charged in file.read_text().replace("\n", ",").split(","), name
    JournalTemplate.objects.create(
        name="fixed",
        header="{{ journal.debits|cents }}",
        line="{{ line.debit|cents|zeros:12 }}{{ line.debit }}",
        is_csv=False,
    )
    file = posting.export(period=build.a_period(MONTH), format="fixed", **WHO).file
    _, header, first, *_ = file.read_text().splitlines()
    units = charged.replace(".", "")
    assert (header, first) == (units, units.rjust(12, "0") + charged)
    # And what was delivered is still there, to its last digit.
    assert Charge.objects.get().billed_cost == Decimal("33.4321")


def test_shares_are_whole_units_and_add_up(currency, tmp_path):
    build.a_charge(
        "100",
        currency=currency,
        service_name="Shared",
        fund_org="",
        payer_split=build.a_split({"A": "66.666667", "B": "33.333333"}),
    )
    generated()
    of = dict(PayerLine.objects.filter(service_name="Shared").values_list("fund_org", "charged"))
    assert sum(of.values()) == 100
    assert [plain(of[name], currency) for name in ("A", "B")] == list(CASES[currency][1:])


@pytest.mark.parametrize("amount", ["1.00001", "0.00001"])
def test_no_currency_takes_a_correction_of_more_decimals(currency, amount):
    generated()
    with pytest.raises(corrections.AmountRefused, match="too many decimals"):
        corrections.add_refund(lines=list(PayerLine.objects.all()), amount=Decimal(amount), reason="Wrong", **WHO)


def test_amounts_typed_with_more_decimals_than_the_currency_has_are_refused(db):
    build.a_policy(currency="JPY")
    build.a_period(MONTH)
    with pytest.raises(corrections.AmountRefused, match="33.4 has too many decimals: JPY has none."):
        corrections.add_manual_charge(
            pi=build.a_pi(), fund_org="F", source=build.a_source(), amount=Decimal("33.4"), reason="Help", **WHO
        )
    done = corrections.add_manual_charge(
        pi=build.a_pi(), fund_org="F", source=build.a_source(), amount=Decimal("33"), reason="Help", **WHO
    )
    assert done.correction.amount == 33
    build.a_policy(currency="KWD")
    with pytest.raises(corrections.AmountRefused, match="0.0005 has too many decimals: KWD has 3."):
        corrections.add_manual_charge(
            pi=build.a_pi(), fund_org="F", source=build.a_source(), amount=Decimal("0.0005"), reason="Help", **WHO
        )


def test_euros_are_converted_to_whole_yen_and_yen_are_printed_as_yen(db, cast, tmp_path):
    build.a_policy(currency="JPY")
    the_source()
    command("ingest", write(tmp_path / "aws_2025-01.csv", [row("2.05", BillingCurrency="EUR")]), "-s", "aws")
    exchange_rates.set_rate(period=build.a_period(MONTH), currency="EUR", rate=Decimal("161.7"), **WHO)
    generated()
    line = PayerLine.objects.get()
    # 331.485 yen.
    assert (line.charged, line.rounding) == (331, Decimal("0.485"))
    (only,) = issuing.document_of(Statement.objects.get()).lines
    assert str(only.original) == "EUR 2.05, at 161.7"


def test_a_yen_amount_on_a_statement_in_dollars_has_no_decimals(db, cast, tmp_path):
    build.a_policy(currency="USD")
    the_source()
    command("ingest", write(tmp_path / "aws_2025-01.csv", [row("334", BillingCurrency="JPY")]), "-s", "aws")
    exchange_rates.set_rate(period=build.a_period(MONTH), currency="JPY", rate=Decimal("0.0067"), **WHO)
    generated()
    (only,) = issuing.document_of(Statement.objects.get()).lines
    assert str(only.original) == "JPY 334, at 0.0067"
    assert (PayerLine.objects.get().charged, PayerLine.objects.get().rounding) == (Decimal("2.24"), Decimal("-0.0022"))


@pytest.mark.parametrize("code", ["XAU", "XXX", "XTS", "ABC", "usd"])
def test_the_policy_takes_only_currencies_that_people_are_charged_in(db, code):
    with pytest.raises(ValidationError, match="ISO 4217"):
        change_policy(changes={"currency": code}, **WHO)


def test_the_currency_stays_once_months_in_it_stand(db, cast, tmp_path):
    build.a_policy(currency="USD", institution="U")
    the_source()
    command("ingest", write(tmp_path / "aws_2025-01.csv", [row("10")]), "-s", "aws")
    generated()
    # Nothing is closed yet: the next run charges the month in the other one.
    change_policy(changes={"currency": "EUR"}, **WHO)
    change_policy(changes={"currency": "USD"}, **WHO)
    closing.close(period=build.a_period(MONTH), **WHO)
    with pytest.raises(BillingError, match="stays USD: January 2025 is closed"):
        change_policy(changes={"currency": "JPY"}, **WHO)
    change_policy(changes={"institution": "V"}, **WHO)


@pytest.mark.parametrize("table", ["billing_payerline", "billing_correction", "billing_correctionline"])
def test_the_database_itself_takes_no_half_yen(db, table):
    build.a_policy(currency="JPY")
    build.a_charge("100", currency="JPY")
    generated()
    corrections.add_manual_charge(
        pi=build.a_pi(), fund_org="F", source=build.a_source(), amount=Decimal(5), reason="Help", **WHO
    )
    columns = [each.name for each in connection.introspection.get_table_description(connection.cursor(), table)]
    of = "charged" if table == "billing_payerline" else "amount"
    other = {"id": "id + 1000", "key": "'other'", "number": "number + 1000", of: f"{of} + 5000"}
    values = ", ".join(other.get(name, name) for name in columns)
    with pytest.raises(IntegrityError, match="smallest unit"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {table} LIMIT 1")


# A large site in a small currency -------------------------------------------------------------


@pytest.mark.parametrize(("code", "months"), [("VND", range(1, 13)), ("IDR", (1, 12)), ("KRW", (1, 12))])
def test_a_year_of_a_large_site_is_right_to_the_unit(code, months, db, cast, client, tmp_path):
    """Three imports of 60 to 92 billion a month: each month's sums, and one line, are beyond 92 billion."""
    build.a_policy(currency=code, center_fund_org="RC-9")
    the_source()
    the_source("azure")
    the_source("gcp")
    rows = {"aws": 92_233_720_368, "azure": 60_000_000_000, "gcp": 60_000_000_001}
    for month in months:
        text = f"2025-{month:02}"
        following = f"2025-{month + 1:02}" if month < 12 else "2026-01"
        when = {
            "BillingPeriodStart": f"{text}-01T00:00:00Z",
            "BillingPeriodEnd": f"{following}-01T00:00:00Z",
            "ChargePeriodStart": f"{text}-10T00:00:00Z",
            "ChargePeriodEnd": f"{text}-11T00:00:00Z",
            "BillingCurrency": code,
        }
        for name, amount in rows.items():
            made = [row(str(amount), ResourceId=f"{name}-{number}", **when) for number in range(2)]
            command("ingest", write(tmp_path / f"{name}_{text}.csv", made), "-s", name)
    whole = 2 * sum(rows.values())
    assert Charge.objects.aggregate(sum=AmountSum("billed_cost"))["sum"] == len(months) * whole
    totals = ImportTotal.objects.filter(imported_in__source__name="aws").values_list("billed_stored", "billed_exact")
    assert {(stored, Decimal(exact)) for stored, exact in totals} == {(184_467_440_736, 184_467_440_736)}
    for text in (MONTH, "2025-12"):
        said = command("generate", "-p", text)
        assert said["statements"][0]["due"] == plain(Decimal(whole), code)
        statement = Statement.objects.get(period=build.a_period(text))
        assert statement.charged == whole
        command("export_journal", "-p", text, "-f", "gl", "-o", tmp_path / "gl.csv", "--submit")
        journal = Journal.objects.get(period=build.a_period(text))
        assert (journal.debits, journal.credits) == (whole, whole)
        command("journals", "post", journal.number, "--document", "D1")
        assert proof.prove(build.a_period(text)).reconciles
    # Every page adds up, the dashboard and lists among them.
    client.force_login(cast.finance)
    shown = written(Decimal(whole), code)
    for url in (
        reverse("admin:index") + f"?month={MONTH}",
        reverse("admin:billing_billingperiod_changelist"),
        reverse("admin:billing_billingperiod_change", args=[build.a_period(MONTH).pk]),
        reverse("admin:statements_statement_changelist"),
        reverse("admin:statements_statement_changelist") + "?o=-9",
        reverse("admin:billing_payerline_changelist") + "?o=-3",
        reverse("admin:journals_journal_changelist"),
        reverse("admin:billing_charge_changelist") + f"?period={MONTH}",
        reverse("admin:billing_billingperiod_proof", args=[build.a_period(MONTH).pk]),
        reverse("admin:billing_import_changelist"),
    ):
        page = client.get(url)
        assert page.status_code == 200, url
        # The proof is by source.
        wanted = written(Decimal(2 * rows["gcp"]), code) if "proof" in url else shown
        if "proof" in url or "statement" in url or "journal" in url or "billingperiod" in url:
            assert wanted in page.content.decode(), url
    client.force_login(cast.pi)
    assert shown in client.get(reverse("portal:statement", args=[statement.number])).content.decode()
    for asked, amount in (
        (("periods", "list"), whole),
        (("periods", "show", MONTH), whole),
        (("proof", "-p", MONTH), 2 * rows["gcp"]),
        (("show", "ada@u.edu"), len(months) * whole),
    ):
        out = io.StringIO()
        call_command(*asked, stdout=out)
        assert written(Decimal(amount), code) in out.getvalue(), asked
        assert command(*asked)
    # Closed, finalized and proved.
    for verb in ("close", "finalize"):
        command("periods", verb, MONTH)
    assert proof.prove(build.a_period(MONTH)).reconciles
    assert PayerLine.objects.aggregate(sum=AmountSum("charged"))["sum"] == 2 * whole


def test_a_line_of_more_than_can_be_stored_is_refused_by_name(db, tmp_path):
    build.a_policy(currency="VND")
    the_source()
    build.a_charge("92000000000", currency="VND")
    generated()
    line = PayerLine.objects.get()
    line.charged = Decimal("922337203685478")
    with pytest.raises(AmountOutOfRange, match="922 trillion"), transaction.atomic():
        line.save()
    assert isinstance(AmountOutOfRange(""), BillingError)

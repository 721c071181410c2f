"""January has a support fee, taxes and an enterprise credit, which are nobody's own; then its provider changes the fee.

charged by aws                     ada 100.00       bob  50.00       cyd  50.01        200.01
AWS Support           33.33   exact 16.6642           8.3321           8.3337
                                    16.67            8.33             8.33            the odd cent to Ada's .42
Tax   12.34 + 7.67 =  20.01   exact 10.0045           5.0022           5.0032
                                    10.01            5.00             5.00            the odd cent to Ada's .45
Enterprise credit    −50.00   exact 24.9988          12.4994          12.5019
                                   −25.00          −12.50           −12.50            to Bob's .94 and Ada's .88
                                   101.68           50.83            50.84            203.35

200.01 + 33.33 + 20.01 − 50.00 = 203.35

After the close the fee is 40.00: 6.67 more, over what January charged, in February, whatever that charges:
exact 3.3348, 1.6674, 1.6678: 3.33, 1.66, 1.66 and two cents, to Cyd's .78 and Bob's .74: 3.33, 1.67, 1.67.
In March the fee is taken back whole: −40.00 is −20.00, −10.00, −10.00, what all three bore of it.
"""

import csv
import io
from decimal import Decimal

import pytest
from django.urls import reverse

from billing.fields import AmountSum
from billing.models import AttributionRule, Charge, PayerLine, Person
from journals.models import JournalLine
from statements import sheets
from statements.issuing import document_of
from statements.models import Statement
from tests import build

from .stage import command, row, tags, write

pytestmark = pytest.mark.django_db

SUPPORT = "AWS Support (Business)"


def january(path, fee="33.33"):
    rows = [
        row("100.00", ResourceId="i-1"),
        row("50.00", ResourceId="i-2", Tags=tags("bob@u.edu", "climate", "GEO-002")),
        row("50.01", ResourceId="i-3", Tags=tags("cyd@u.edu", "neuro", "MED-003")),
        row("12.34", ServiceName="EC2", ChargeCategory="Tax", ResourceId="", Tags=""),
        row("7.67", ServiceName="S3", ChargeCategory="Tax", ResourceId="", Tags=""),
        row("-50.00", ServiceName="", ChargeCategory="Credit", ResourceId="", Tags=""),
    ]
    if fee:
        rows.append(row(fee, ServiceName=SUPPORT, ChargeCategory="Purchase", ResourceId="", Tags=""))
    return write(path, rows)


@pytest.fixture
def path(db, tmp_path):
    build.a_policy(center_fund_org="RC-000")
    aws = build.a_source("aws", recovery_fund_org="RC-100", recovery_account="4900", debit_account="6500")
    for fields in (
        {"source": aws, "service": "AWS Support*", "shared_as": "AWS Support"},
        {"charge_category": "Tax", "shared_as": "Tax"},
        {"charge_category": "Credit", "shared_as": "Enterprise credit"},
    ):
        AttributionRule.objects.create(**fields)
    return tmp_path / "aws_2025-01.csv"


def charged(month):
    lines = PayerLine.objects.filter(period__month=f"{month}-01").order_by("pi__email", "kind", "service_name")
    return [
        (line.pi.email[:3], line.kind, line.service_name, str(line.charged.quantize(Decimal("0.01")))) for line in lines
    ]


def test_a_month_with_shared_costs_reaches_statements_and_ledger(path, client):
    command("ingest", january(path))
    assert Charge.objects.shared().filter(state="clear", pi__isnull=True, attributed_by="rule").count() == 4
    generated = command("generate", "-p", "2025-01")
    assert {each["pi"][:3]: each["due"] for each in generated["statements"]} == {
        "ada": "101.68",
        "bob": "50.83",
        "cyd": "50.84",
    }
    assert charged("2025-01")[:4] == [
        ("ada", "charge", "EC2", "100.00"),
        ("ada", "shared", "AWS Support", "16.67"),
        ("ada", "shared", "Enterprise credit", "-25.00"),
        ("ada", "shared", "Tax", "10.01"),
    ]

    # The statement says what they are, below what is Ada's own.
    statement = Statement.objects.get(pi__email="ada@u.edu")
    document = document_of(statement)
    [section] = document.sections
    assert [(line.title, line.share, line.for_what, str(line.figures.charged)) for line in section.lines] == [
        ("EC2", "", "", "100.0000"),
        ("Share of: AWS Support", "50% of 33.33 shared", "", "16.6700"),
        ("Share of: Enterprise credit", "50% of -50.00 shared", "", "-25.0000"),
        ("Share of: Tax", "50% of 20.01 shared", "", "10.0100"),
    ]
    assert [len(line.resources) for line in section.lines] == [1, 0, 0, 0]
    table = list(csv.DictReader(io.StringIO(sheets.as_csv(document).decode("utf-8-sig"))))
    assert [each["Service"] for each in table[1:]] == [line.title for line in section.lines[1:]]
    assert sum(Decimal(each["Charged"]) for each in table) == Decimal("101.68")

    # A second run issues nothing, and delivering the same again changes nothing.
    command("ingest", january(path))
    assert command("generate", "-p", "2025-01")["issued"] == 0

    # The ledger balances, and recovers each share for the source.
    command("export_journal", "-p", "2025-01", "-f", "gl", "--submit")
    sums = JournalLine.objects.aggregate(debit=AmountSum("debit"), credit=AmountSum("credit"))
    # 253.35 of payers, and 50.00 of recovery for the credit.
    assert sums["debit"] == sums["credit"] == Decimal("303.35")
    payers = JournalLine.objects.filter(side="payer")
    assert sum(line.debit - line.credit for line in payers) == Decimal("203.35")
    share = payers.get(pi_email="ada@u.edu", service_name="AWS Support")
    assert (share.fund_org, share.natural_account, share.debit) == ("BIO-001", "6500", Decimal("16.67"))
    assert share.description == "2025-01-0001 genomics AWS AWS Support (share of a shared cost)"
    assert command("proof", "-p", "2025-01")["reconciles"]

    # Ada sees it, and whoever asks about her.
    user = build.a_user("ada")
    Person.objects.filter(email="ada@u.edu").update(user=user)
    client.force_login(user)
    page = client.get(reverse("portal:statement", args=[statement.number])).content.decode()
    assert "Share of: AWS Support" in page
    assert "50% of 33.33 shared" in page
    assert "everybody whom the source charged" in page
    shown = command("show", "ada@u.edu")
    assert shown["billed"] == {"USD": "100.00"}
    assert [(each["name"], each["charged"]) for each in shown["shares"]] == [
        ("AWS Support", "16.67"),
        ("Enterprise credit", "-25.00"),
        ("Tax", "10.01"),
    ]
    assert shown["shared"] == {"USD": "1.68"}


def test_a_late_change_of_a_shared_cost_goes_to_those_who_bore_it(path):
    command("ingest", january(path))
    for month in ("2025-02", "2025-03"):
        command("periods", "open", month)
    command("generate", "-p", "2025-01")
    command("periods", "close", "2025-01")
    # February charges somebody else, who has nothing to do with it.
    build.a_charge("999.00", pi="eve@u.edu", project="other", period="2025-02")

    late = command("ingest", january(path, fee="40.00"))
    assert late["state"] == "deferred"
    command("imports", "book", late["import"], "--to", "2025-02")
    command("generate", "-p", "2025-02")
    assert [each for each in charged("2025-02") if each[0] != "eve"] == [
        ("ada", "shared", "AWS Support", "3.33"),
        ("bob", "shared", "AWS Support", "1.67"),
        ("cyd", "shared", "AWS Support", "1.67"),
    ]
    statement = Statement.objects.get(period__month="2025-02-01", pi__email="bob@u.edu")
    [line] = document_of(statement).lines
    assert (line.title, line.share) == ("Share of: AWS Support", "25% of 6.67 shared")
    assert line.for_what == "for January 2025"

    gone = command("ingest", january(path, fee=""))
    command("imports", "book", gone["import"], "--to", "2025-03")
    command("generate", "-p", "2025-03")
    assert charged("2025-03") == [
        ("ada", "shared", "AWS Support", "-20.00"),
        ("bob", "shared", "AWS Support", "-10.00"),
        ("cyd", "shared", "AWS Support", "-10.00"),
    ]
    of_fee = (
        PayerLine.objects.filter(service_name="AWS Support").values_list("pi__email").annotate(sum=AmountSum("charged"))
    )
    assert {total for _, total in of_fee} == {Decimal(0)}

"""January at a small university, through the commands, with every cent worked out by hand.

Ada's genomics pays from BIO-001. Grace's reef is shared 60/40 by SEA-001 and GIFT-002. The cloud
takes list prices less a discount, the cluster is subsidized in full (Ada) or by three quarters
(Grace).

    aws, exact                          ada EC2   100.004 + 8.25 tax − 20 credit =  88.254  →  88.25
                                        ada S3    3 × 0.004                      =   0.012  →   0.01
                                        grace EC2 10.0125                                   →  10.01
                                        no tags   500 (corrected to Ada)                    → 500.00
                                        bad fund  30  (charged to center)                   →  30.00
    hpc, exact                          ada       0 of 800 list                             →   0.00
                                        grace     12.50 of 50 list                          →  12.50
                                                                            640.7785        → 640.77

    10.01 at 60/40 is 6.006 and 4.004: 6.00 and 4.00, and the cent goes to the larger rest: 6.01, 4.00.
    What rounding left: 0.004 + 0.002 + 0.0025 = 0.0085, and 640.7785 − 0.0085 = 640.77.
"""

import csv
import datetime
from decimal import Decimal

import pytest
from django.core.management import CommandError

from billing.models import Charge, PayerLine
from journals.models import JournalLine
from statements.models import Statement
from tests.build import a_pi, a_policy, a_project, a_source, a_split

from .stage import command, row, tags, write

pytestmark = pytest.mark.django_db

REEF = tags("grace@u.edu", "reef", None)


def aws_rows(usage="100.004"):
    return [
        row(usage, ListCost="120.00"),
        row("8.25", ChargeCategory="Tax"),
        row("-20.00", ChargeCategory="Credit"),
        *(row("0.004", ServiceName="S3", ResourceId=f"bucket-{letter}") for letter in "abc"),
        row("10.0125", ResourceId="i-9", Tags=REEF),
        row("500.00", ServiceName="Bedrock", ResourceId="who-knows", Tags=""),
        row("30.00", ServiceName="EBS", ResourceId="vol-1", Tags=tags(fund="my grant")),
    ]


def hpc_rows():
    inclusive = {"BillingPeriodStart": "2025-01-01", "BillingPeriodEnd": "2025-01-31"}
    return [
        row("0.00", **inclusive, ListCost="800.00", ContractedCost="800.00", ServiceName="HPC", ResourceId="node-1"),
        row(
            "12.50", **inclusive, ListCost="50", ContractedCost="50", ServiceName="HPC", ResourceId="node-2", Tags=REEF
        ),
    ]


@pytest.fixture
def january(db, tmp_path):
    """The institution before its first delivery, and the delivery's files."""
    a_policy(
        center_fund_org="RC-000",
        fund_org_patterns=["[A-Z]+-[0-9]+"],
        fund_org_segments="(?P<fund>[A-Z]+)-(?P<org>[0-9]+)",
    )
    a_source("aws", recovery_fund_org="RC-100", recovery_account="4900", debit_account="6500")
    a_source("hpc", recovery_fund_org="RC-200", recovery_account="4910", debit_account="6510")
    reef = a_project("reef", pi=a_pi("grace@u.edu", name="Grace Hopper"))
    a_split({"SEA-001": "60", "GIFT-002": "40"}, project=reef, valid_from=datetime.date(2024, 7, 1))
    return write(tmp_path / "aws_2025-01.csv", aws_rows()), write(tmp_path / "hpc_2025-01.csv", hpc_rows())


def ids(listed, resource):
    return [charge["id"] for charge in listed["charges"] if charge["resource"] == resource]


def reviewed(january):
    """Import both files and decide what is held."""
    for path in january:
        command("ingest", path)
    held = command("review", "list", "-p", "2025-01")
    unknown, odd_fund = ids(held, "who-knows"), ids(held, "vol-1")
    command(
        *("review", "reattribute", "--id", *unknown),
        *("--pi", "ada@u.edu", "--project", "genomics", "--fund-org", "BIO-001", "--note", "Ada's notebook"),
    )
    if Charge.objects.held().filter(id__in=unknown).exists():
        command("review", "approve", "--id", *unknown)
    command("review", "charge-to-center", "--id", *odd_fund, "--note", "Our own mistake")


def lines_by_fund():
    return {
        (line.fund_org, line.source.name, line.service_name): line.charged
        for line in PayerLine.objects.select_related("source")
    }


def test_the_file_is_taken_in_whole_and_what_needs_a_human_is_held(january):
    aws, _ = january
    result = command("ingest", aws)
    assert (result["source"], result["periods"], result["state"]) == ("aws", ["2025-01"], "applied")
    assert (result["rows"], result["new"], result["flagged"]) == (9, 9, 2)
    assert result["totals"]["USD"]["BilledCost"] == "628.2785"
    assert result["stored"]["USD"]["BilledCost"] == "628.2785"
    assert result["flags"]["missing_pi"] == 1
    assert result["flags"]["invalid_fund_org"] == 1


def test_what_is_held_is_on_no_statement_and_in_no_journal(january):
    for path in january:
        command("ingest", path)
    generated = command("generate", "-p", "2025-01")
    assert generated["held"] == {"count": 2, "billed": "530.00"}
    assert sorted(statement["due"] for statement in generated["statements"]) == ["22.51", "88.26"]
    assert command("export_journal", "-p", "2025-01", "-f", "gl")["debits"] == "110.77"


def test_payers_owe_what_was_worked_out_by_hand(january):
    reviewed(january)
    command("generate", "-p", "2025-01")
    assert lines_by_fund() == {
        ("BIO-001", "aws", "EC2"): Decimal("88.25"),
        ("BIO-001", "aws", "S3"): Decimal("0.01"),
        ("BIO-001", "aws", "Bedrock"): Decimal("500.00"),
        ("BIO-001", "hpc", "HPC"): Decimal("0.00"),
        ("SEA-001", "aws", "EC2"): Decimal("6.01"),
        ("GIFT-002", "aws", "EC2"): Decimal("4.00"),
        ("SEA-001", "hpc", "HPC"): Decimal("7.50"),
        ("GIFT-002", "hpc", "HPC"): Decimal("5.00"),
        ("RC-000", "aws", "EBS"): Decimal("30.00"),
    }
    assert sum(line.rounding for line in PayerLine.objects.all()) == Decimal("0.0085")


def test_statements_show_discount_and_subsidy_and_add_up(january):
    reviewed(january)
    generated = command("generate", "-p", "2025-01")
    ada, grace = sorted(generated["statements"], key=lambda statement: statement["pi"])
    assert (ada["due"], ada["fund_orgs"], ada["project"]) == ("588.26", ["BIO-001"], "genomics")
    # EC2: list 120 + 8.25 − 20 = 108.25, contracted 88.25; the cluster's 800 are all subsidy.
    assert (ada["list"], ada["discount"]) == ("1408.26", "20.00")
    assert Statement.objects.get(number=ada["number"]).subsidy == Decimal("800.00")
    assert (grace["due"], sorted(grace["fund_orgs"])) == ("22.51", ["GIFT-002", "SEA-001"])
    for statement in Statement.objects.all():
        lines = statement.lines.all()
        assert sum(line.charged for line in lines) == statement.charged
        for line in lines:
            assert sum(Decimal(part["charged"]) for part in line.resources) == line.charged


def test_the_journal_balances_to_the_cent_per_chartstring(january, tmp_path):
    reviewed(january)
    file = tmp_path / "gl.csv"
    exported = command("export_journal", "-p", "2025-01", "-f", "gl", "-o", file, "--submit")
    assert (exported["debits"], exported["credits"]) == ("640.77", "640.77")
    by_fund: dict[str, Decimal] = {}
    for line in JournalLine.objects.all():
        by_fund[line.fund_org] = by_fund.get(line.fund_org, Decimal(0)) + line.debit - line.credit
    assert by_fund == {
        "BIO-001": Decimal("588.26"),
        "SEA-001": Decimal("13.51"),
        "GIFT-002": Decimal("9.00"),
        "RC-000": Decimal("30.00"),
        "RC-100": Decimal("-628.27"),
        "RC-200": Decimal("-12.50"),
    }
    with file.open(encoding="utf-8-sig", newline="") as opened:
        assert len(list(csv.reader(opened))) > 2


def test_a_second_run_of_everything_changes_nothing(january):
    reviewed(january)
    first = command("generate", "-p", "2025-01")
    for path in january:
        again = command("ingest", path)
        assert (again["new"], again["changed"], again["withdrawn"]) == (0, 0, 0)
    second = command("generate", "-p", "2025-01")
    assert [each["number"] for each in second["statements"]] == [each["number"] for each in first["statements"]]
    assert second["superseded"] in (0, [])
    assert Charge.objects.held().count() == 0


def test_a_corrected_price_makes_a_revision_and_a_journal_of_the_difference(january, tmp_path):
    reviewed(january)
    command("generate", "-p", "2025-01")
    command("export_journal", "-p", "2025-01", "-f", "gl", "--submit")
    cheaper = write(tmp_path / "aws_2025-01.csv", aws_rows(usage="90.004"))
    assert command("ingest", cheaper)["changed"] == 1
    generated = command("generate", "-p", "2025-01")
    revised = {each["pi"]: (each["revision"], each["due"]) for each in generated["statements"]}
    assert revised == {"ada@u.edu": (2, "578.26"), "grace@u.edu": (1, "22.51")}
    difference = command("export_journal", "-p", "2025-01", "-f", "gl")
    assert (difference["debits"], difference["credits"]) == ("10.00", "10.00")
    newest = JournalLine.objects.filter(journal__state="draft")
    assert {(line.fund_org, line.debit - line.credit) for line in newest} == {
        ("BIO-001", Decimal("-10.00")),
        ("RC-100", Decimal("10.00")),
    }


def test_the_month_is_closed_and_then_its_deliveries_wait(january, tmp_path):
    for path in january:
        command("ingest", path)
    with pytest.raises(CommandError, match="January 2025"):
        command("periods", "close", "2025-01")
    reviewed(january)
    command("periods", "close", "2025-01")
    dearer = write(tmp_path / "aws_2025-01.csv", aws_rows(usage="10000"))
    assert command("ingest", dearer)["state"] == "deferred"
    assert Charge.objects.live().filter(billed_cost__gt=Decimal("9000")).count() == 0
    final = command("generate", "-p", "2025-01")
    assert {each["due"] for each in final["statements"]} == {"588.26", "22.51"}

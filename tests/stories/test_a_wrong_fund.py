"""A mistyped fund is found after January was finalized, and mended in February; June's service is refunded in July.

January, final        ada   EC2   1,000.01 on CHE-240, which is no fund of hers; 200.00 of S3 on BIO-001
February              ada   EC2     50.00 on CHE-204
the transfer          1,000.01 from CHE-240, 60/40 to CHE-204 and GIFT-2
                      600.006 and 400.004: 600.00 and 400.00, and the cent goes to the larger rest: 600.01, 400.00
February charges      50.00 + 600.01 + 400.00 − 1,000.01 = 50.00
"""

from decimal import Decimal

import pytest
from django.core.management import CommandError

from billing.models import Correction, PayerLine
from journals.models import Journal, JournalLine
from statements.issuing import document_of
from statements.models import Statement
from tests.build import a_fund, a_policy, a_source

from .stage import command, row, tags, write

pytestmark = pytest.mark.django_db


def columns(month, after):
    return {
        "BillingPeriodStart": f"{month}-01T00:00:00Z",
        "BillingPeriodEnd": f"{after}-01T00:00:00Z",
        "ChargePeriodStart": f"{month}-10T00:00:00Z",
        "ChargePeriodEnd": f"{month}-11T00:00:00Z",
    }


def finalized(month, path):
    """Take a month's file through to its end, and return what came of its proof."""
    command("ingest", path)
    return finished(month)


def finished(month):
    command("generate", "-p", month)
    if command("export_journal", "-p", month, "-f", "gl", "--submit")["number"]:
        command("journals", "post", month, "--document", f"GL-{month}")
    command("periods", "close", month)
    command("generate", "-p", month)
    command("periods", "finalize", month)


@pytest.fixture
def institution(db, tmp_path):
    a_policy(center_fund_org="RC-000", fiscal_year_start=7)
    a_source("aws", recovery_fund_org="RC-100", recovery_account="4900", debit_account="6500")


@pytest.fixture
def january(institution, tmp_path):
    rows = [
        row("1000.01", Tags=tags(fund="CHE-240")),
        row("200.00", ServiceName="S3", ResourceId="bucket"),
    ]
    finalized("2025-01", write(tmp_path / "aws_2025-01.csv", rows))
    later = row("50.00", **columns("2025-02", "2025-03"), Tags=tags(fund="CHE-204"))
    command("ingest", write(tmp_path / "aws_2025-02.csv", [later]))
    for fund_org in ("BIO-001", "CHE-204", "GIFT-2"):
        a_fund(fund_org)


def printed(month):
    """Return what the statements of a month print, line by line: fund/org, what for, why, amount."""
    lines = []
    for statement in Statement.objects.live().filter(period__month=f"{month}-01").order_by("number"):
        document = document_of(statement)
        for section in (*document.sections, *document.corrections):
            for line in section.lines:
                why = [resource.name for resource in line.resources] if line.correction else []
                lines.append(
                    (section.fund_org, line.for_what, *why, str(line.figures.charged.quantize(Decimal("0.01"))))
                )
        assert document.figures.charged == sum(line.figures.charged for line in document.lines)
    return lines


def journaled(number):
    """Return the payers' side of a journal by fund/org, debits above zero, with what is said of it."""
    lines = JournalLine.objects.filter(journal__number=number, side="payer").order_by("fund_org", "kind")
    return [
        (line.fund_org, str((line.debit - line.credit).quantize(Decimal("0.01"))), line.description) for line in lines
    ]


def test_a_wrong_fund_found_after_finalize_is_mended_in_the_next_month(january):
    before = list(Statement.objects.order_by("id").values()), list(JournalLine.objects.order_by("id").values())
    statement = Statement.objects.live().get(period__month="2025-01-01")
    which = f"{statement}:{statement.lines.get(fund_org='CHE-240').number}"
    with pytest.raises(CommandError, match="takes no changes"):
        command("corrections", "add", "transfer", "--line", which, "--to", "CHE-204", "--reason", "x", "-p", "2025-01")
    with pytest.raises(CommandError, match="CHE-402 is not on the list of funds"):
        command("corrections", "add", "transfer", "--line", which, "--to", "CHE-402", "--reason", "x")
    reason = "Mistyped fund on the tag"
    why = ("--reason", "The lab's manager does not answer", "--printed-text", reason)
    correction = command("corrections", "add", "transfer", "--line", which, "--to", "CHE-204=60,GIFT-2=40", *why)
    assert (correction["period"], correction["for_period"], correction["amount"], correction["total"]) == (
        "2025-02",
        "2025-01",
        "1000.01",
        "0.00",
    )

    finished("2025-02")
    assert printed("2025-02") == [
        ("CHE-204", "", "50.00"),
        ("CHE-204", "Transfer for January 2025", reason, "600.01"),
        ("CHE-240", "Transfer for January 2025", reason, "-1000.01"),
        ("GIFT-2", "Transfer for January 2025", reason, "400.00"),
    ]
    journal = Journal.objects.get(period__month="2025-02-01")
    assert journal.debits == journal.credits
    told = "2025-02-0001 genomics AWS EC2"
    assert journaled(journal.number) == [
        ("CHE-204", "50.00", told),
        ("CHE-204", "600.01", f"{told} (transfer for 2025-01)"),
        ("CHE-240", "-1000.01", f"{told} (transfer for 2025-01)"),
        ("GIFT-2", "400.00", f"{told} (transfer for 2025-01)"),
    ]
    # The recovery keeps what it had: the cloud was used, whoever pays.
    recovered = JournalLine.objects.filter(journal=journal, side="recovery")
    assert sum(line.credit - line.debit for line in recovered) == 50
    # January stands as it was sent, in every column.
    assert before[0] == list(Statement.objects.filter(period__month="2025-01-01").order_by("id").values())
    january_lines = JournalLine.objects.filter(journal__period__month="2025-01-01").order_by("id")
    assert before[1] == list(january_lines.values())
    # And over both months the mistyped fund paid nothing.
    for fund_org, total in (("CHE-240", 0), ("CHE-204", Decimal("650.01")), ("GIFT-2", 400), ("BIO-001", 200)):
        assert sum(line.charged for line in PayerLine.objects.filter(fund_org=fund_org)) == total, fund_org
    for month in ("2025-01", "2025-02"):
        assert command("proof", "-p", month)["reconciles"] is True


def test_a_sponsored_award_that_ought_to_have_paid_needs_a_justification_by_then(january):
    a_fund("FED-1", is_sponsored=True)
    add = [
        "corrections",
        "add",
        "transfer",
        "--reference",
        "2025-01-0001",
        "--from-fund-org",
        "CHE-240",
        "--to",
        "FED-1",
    ]
    with pytest.raises(CommandError, match="FED-1 is a sponsored award, and the service ended on Jan 10, 2025"):
        command(*add, "--reason", "Mistyped fund")
    command(*add, "--reason", "Mistyped fund", "--justification", "The award's account was opened in March.")
    assert "March" not in str(printed("2025-02"))


def test_a_refund_after_the_years_end_is_borne_by_the_new_year(institution, tmp_path):
    june = {**columns("2025-06", "2025-07")}
    finalized("2025-06", write(tmp_path / "aws_2025-06.csv", [row("300.00", **june)]))
    with pytest.raises(CommandError, match="No billing period takes changes.*periods open"):
        command("corrections", "add", "refund", "--reference", "2025-06-0001", "--reason", "No service")
    command("periods", "open", "2025-07")
    command(
        *("corrections", "add", "refund", "--line", "2025-06-0001-1:1", "--amount", "120.50"),
        *("--reason", "The operator", "--printed-text", "Two days without service"),
    )
    finished("2025-07")
    assert printed("2025-07") == [("BIO-001", "Refund for June 2025", "Two days without service", "-120.50")]
    journal = Journal.objects.get(period__month="2025-07-01")
    assert str(journal.posting_date) == "2025-07-31"
    assert journaled(journal.number) == [("BIO-001", "-120.50", "2025-07-0001 genomics AWS EC2 (refund for 2025-06)")]
    recovery = JournalLine.objects.get(journal=journal, side="recovery")
    assert (recovery.fund_org, recovery.debit) == ("RC-100", Decimal("120.50"))


def test_a_write_off_and_a_manual_charge_reach_statements_and_ledger(january):
    command(
        *("corrections", "add", "write-off", "--reference", "2025-01-0001", "--service", "S3"),
        *("--reason", "Left", "--printed-text", "Written off"),
    )
    command(
        *(
            "corrections",
            "add",
            "manual",
            "--pi",
            "ada@u.edu",
            "--project",
            "genomics",
            "--to",
            "CHE-204",
            "-p",
            "2025-02",
        ),
        *("--source", "aws", "--service", "Advice", "--amount", "75.00"),
        *("--reason", "x", "--printed-text", "Two hours"),
    )
    finished("2025-02")
    assert printed("2025-02") == [
        ("CHE-204", "", "50.00"),
        ("BIO-001", "Write-off for January 2025", "Written off", "-200.00"),
        ("CHE-204", "Manual charge", "Two hours", "75.00"),
    ]
    assert [(fund_org, amount) for fund_org, amount, _ in journaled("J2025-02-1")] == [
        ("BIO-001", "-200.00"),
        ("CHE-204", "50.00"),
        ("CHE-204", "75.00"),
        ("RC-000", "200.00"),
    ]
    assert command("proof", "-p", "2025-02")["reconciles"] is True


def test_a_journal_that_is_out_gets_the_difference_of_a_later_correction(january):
    command("generate", "-p", "2025-02")
    command("export_journal", "-p", "2025-02", "-f", "gl", "--submit")
    command("corrections", "add", "refund", "--reference", "2025-01-0001", "--service", "S3", "--reason", "Down")
    second = command("export_journal", "-p", "2025-02", "-f", "gl", "--submit")
    assert [(fund_org, amount) for fund_org, amount, _ in journaled(second["number"])] == [("BIO-001", "-200.00")]
    number = Correction.objects.get().pk
    command("corrections", "reverse", number, "--reason", "It was up")
    third = command("export_journal", "-p", "2025-02", "-f", "gl", "--submit")
    assert [(fund_org, amount) for fund_org, amount, _ in journaled(third["number"])] == [("BIO-001", "200.00")]
    generated = command("generate", "-p", "2025-02")
    assert [statement["due"] for statement in generated["statements"]] == ["50.00"]

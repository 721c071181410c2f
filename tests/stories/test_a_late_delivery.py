"""January is closed; its provider corrects it twice, and the corrections reach the ledger in March and April.

Ada's genomics pays from BIO-001, Grace's reef is shared 60/40 by SEA-001 and GIFT-002.

    January as closed    ada   EC2   10,000.00            grace EC2      100.05
    first correction     ada   EC2    9,800.00  −200.00   grace EC2       90.03  −10.02 → −6.01, −4.01
                         ada   Tax       12.34   +12.34 (a row that was not there)
    second correction    ada   EC2    9,850.00   +50.00   grace EC2       90.03 no change; the tax stays

    10.02 at 60/40 is 6.012 and 4.008: 6.01 and 4.00, and the cent goes to the larger rest: 6.01, 4.01.
    March bears −200.00 + 12.34 − 10.02 = −197.68, and April 50.00.
    Together: 10,100.05 charged − 197.68 + 50.00 = 9,952.37 = 9,850.00 + 12.34 + 90.03 as delivered last.
"""

from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from billing.fields import AmountSum
from billing.models import Charge, PayerLine
from journals.models import JournalLine
from statements.issuing import document_of
from statements.models import Statement
from tests.build import a_policy, a_project, a_source, a_split

from .stage import command, row, tags, write

pytestmark = pytest.mark.django_db

REEF = tags("grace@u.edu", "reef", None)


def delivery(path, ada, grace="100.05", tax=None):
    rows = [row(ada), row(grace, ResourceId="i-9", Tags=REEF)]
    if tax:
        rows.append(row(tax, ChargeCategory="Tax", ServiceName="Tax", ResourceId=""))
    return write(path, rows)


@pytest.fixture
def closed(db, tmp_path):
    """January, charged, journaled and closed; the path its file comes under."""
    a_policy(center_fund_org="RC-000")
    a_source("aws", recovery_fund_org="RC-100", recovery_account="4900", debit_account="6500")
    a_split({"SEA-001": "60", "GIFT-002": "40"}, project=a_project("reef"))
    path = tmp_path / "aws_2025-01.csv"
    command("ingest", delivery(path, "10000.00"))
    for month in ("2025-03", "2025-04"):
        command("periods", "open", month)
    command("periods", "close", "2025-01")
    command("generate", "-p", "2025-01")
    command("export_journal", "-p", "2025-01", "-f", "gl", "--submit")
    return path


def charged(month):
    lines = PayerLine.objects.filter(period__month=f"{month}-01").order_by("fund_org")
    return {(line.fund_org, line.service_name): str(line.charged.quantize(Decimal("0.01"))) for line in lines}


def book(number, month):
    booked = command("imports", "book", number, "--to", month)
    command("generate", "-p", month)
    return booked


def test_two_corrections_after_the_close_reach_statements_and_ledger(closed):
    before = list(Charge.objects.order_by("id").values())

    # The nightly run ends well, and says that somebody has to decide.
    first = command("ingest", delivery(closed, "9800.00", "90.03", "12.34"))
    assert (first["state"], first["deferred"]["periods"]) == ("deferred", ["2025-01"])
    found = first["difference"]["2025-01"]["USD"]
    assert (found["charged"], found["booked"], found["delta"]) == ("10100.05", "0.00", "-197.68")
    assert (found["changed"]["old"], found["changed"]["new"], found["new"]["amount"]) == (
        "10100.05",
        "9890.03",
        "12.34",
    )
    assert [(mover["resource"], mover["delta"]) for mover in found["movers"]] == [
        ("i-1", "-200.00"),
        ("", "12.34"),
        ("i-9", "-10.02"),
    ]
    assert Charge.objects.count() == 2
    waiting = command("imports", "list", "--deferred")["imports"]
    assert [each["import"] for each in waiting] == [first["import"]]

    booked = book(first["import"], "2025-03")
    assert (booked["charged"], booked["taken_back"], booked["held"]) == (3, 2, 0)
    assert charged("2025-03") == {
        ("BIO-001", "EC2"): "-200.00",
        ("BIO-001", "Tax"): "12.34",
        ("GIFT-002", "EC2"): "-4.01",
        ("SEA-001", "EC2"): "-6.01",
    }

    second = command("ingest", delivery(closed, "9850.00", "90.03", "12.34"))
    found = second["difference"]["2025-01"]["USD"]
    assert (found["charged"], found["booked"], found["delta"]) == ("10100.05", "-197.68", "50.00")
    book(second["import"], "2025-04")
    assert charged("2025-04") == {("BIO-001", "EC2"): "50.00"}
    assert charged("2025-03")["BIO-001", "EC2"] == "-200.00"

    # January stands as it was closed, and all months together are what was delivered last.
    assert list(Charge.objects.order_by("id").values())[:2] == before
    total = PayerLine.objects.aggregate(total=AmountSum("charged"))["total"]
    assert total == Decimal("9850.00") + Decimal("12.34") + Decimal("90.03")

    statement = Statement.objects.live().get(period__month="2025-03-01", pi__email="ada@u.edu")
    (section,) = document_of(statement).corrections
    assert [(line.service, line.for_what) for line in section.lines] == [
        ("EC2", "Late change for January 2025"),
        ("Tax", "Late change for January 2025"),
    ]
    assert statement.charged == Decimal("-187.66")

    journal = command("export_journal", "-p", "2025-03", "-f", "gl")
    # Ada's tax is a debit, what she and Grace get back are credits; recovery takes the other sides.
    assert (journal["debits"], journal["credits"]) == ("222.36", "222.36")
    line = JournalLine.objects.get(journal__period__month="2025-03-01", fund_org="BIO-001", credit__gt=0)
    assert (line.credit, line.for_month) == (Decimal("200.00"), "2025-01")
    assert "late change for 2025-01" in line.description


def test_the_list_says_what_waits_and_what_to_do(closed):
    number = command("ingest", delivery(closed, "9800.00"))["import"]
    out = StringIO()
    call_command("imports", "list", stdout=out)
    assert "Deferred" in out.getvalue()
    assert "imports book N --to MONTH" in out.getvalue()
    command("imports", "dismiss", number, "--reason", "A mistake of theirs")
    assert command("imports", "show", number)["reason"] == "A mistake of theirs"
    with pytest.raises(CommandError, match="dismissed"):
        command("imports", "book", number, "--to", "2025-03")

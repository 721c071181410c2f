"""A bad quarter and the month that mends it: whatever goes wrong, proof and replay come out to the cent at each step.

April   ada   genomics  EC2    400.025 on CHE-240, which is another's; delivered again as 410.005: 410.01
                        S3      60.00 on BIO-001; on GIFT-2 once the closed month was reopened for it
              scope     EC2     33.335, 60/40: 33.34, and of it 20.004 and 13.336: BIO-001 20.00, CHE-204 13.34
                        Disk    12.345 on BIO-001, in a file that comes when April is finalized: 12.35, borne by May
        cleo  corals    EC2     80.10 on SEA-001; delivered again as 78.10, and as 75.10 when April is finalized:
                                −3.00, borne by May
May     ada   genomics  EC2    100.00 on AWD-1 in the award's last days, 50.00 after them: BIO-001 pays that
        cleo  corals    EC2     10.00 on SEA-001
              transfer         April's 410.01 from CHE-240 to CHE-204, where they belong
June    ada   genomics  EC2    300.00 on BIO-001
        cleo  corals    EC2      7.77 on SEA-001, of days after she left: ada pays them, who follows her
July    ada   refund           120.50 of June's 300.00, in the new fiscal year

All that was delivered last: 410.005 + 60 + 33.335 + 75.10, 12.345, 160 and 307.77 are 1,058.555. What is charged for
it is 1,058.57, three times half a cent more; less the refund 938.07.
"""

from decimal import Decimal

import pytest
from django.core.management import CommandError
from django.urls import reverse

from billing import audit
from billing.models import BillingPeriod, Charge, FundingSource, PayerLine, Person, Project
from journals.models import Journal, JournalLine
from statements.models import Statement
from tests.build import a_fund, a_policy, a_project, a_source

from .stage import command, row, tags, write

pytestmark = pytest.mark.django_db

AFTER = {"2025-04": "2025-05", "2025-05": "2025-06", "2025-06": "2025-07"}
NO_ROWS = {f"{rows}-{count}_FORMS": 0 for rows in ("aliases", "memberships") for count in ("TOTAL", "INITIAL")}


def deliver(path, month, *rows):
    """Bring in a file of a month; a row is its cost, its tags, and what else there is to say of it."""
    written = [
        row(
            billed,
            **{
                "BillingPeriodStart": f"{month}-01T00:00:00Z",
                "BillingPeriodEnd": f"{AFTER[month]}-01T00:00:00Z",
                "ChargePeriodStart": f"{month}-10T00:00:00Z",
                "ChargePeriodEnd": f"{month}-11T00:00:00Z",
                "Tags": tagged,
                **columns,
            },
        )
        for billed, tagged, columns in rows
    ]
    return command("ingest", write(path, written), "--as", "rex")


def aws_of_april(path, genomics, corals):
    return deliver(
        path,
        "2025-04",
        (genomics, tags(fund="CHE-240"), {}),
        ("60.00", tags(), {"ServiceName": "S3", "ResourceId": "bucket"}),
        ("33.335", tags(project="scope", fund=None), {"ResourceId": "i-3"}),
        (corals, tags("cleo@u.edu", "corals", "SEA-001"), {"ResourceId": "i-4"}),
    )


def charged(month):
    """Return what each fund/org is charged in a month."""
    return summed((line.fund_org, line.charged) for line in PayerLine.objects.filter(period__month=f"{month}-01"))


def journaled(month):
    """Return what the ledger was told of each fund/org in a month, by journals that were not rejected."""
    lines = JournalLine.objects.filter(journal__period__month=f"{month}-01", side="payer")
    of = lines.filter(journal__state__in=("submitted", "posted"))
    return summed((line.fund_org, line.debit - line.credit) for line in of)


def summed(amounts):
    sums: dict[str, Decimal] = {}
    for fund_org, amount in amounts:
        sums[fund_org] = sums.get(fund_org, Decimal(0)) + amount
    return {fund_org: f"{total:.2f}" for fund_org, total in sorted(sums.items())}


def reconciles(**charges):
    """Prove every month, rebuild those named (as `may`), and hold them against what was worked out by hand."""
    for period in BillingPeriod.objects.order_by("month"):
        proved = command("proof", "-p", period.iso_month)
        assert (proved["reconciles"], proved["tampered"], proved["culprits"]) == (True, [], []), period
        assert all(each["difference"] == "0.00" for each in proved["equations"] if each["verdict"] == "ok")
    for name, expected in charges.items():
        month = {"april": "2025-04", "may": "2025-05", "june": "2025-06", "july": "2025-07"}[name]
        assert charged(month) == expected
        rebuilt = command("replay", "-p", month)
        assert rebuilt["equal"], rebuilt["first"]
        assert Decimal(rebuilt["charged"]) == sum(map(Decimal, expected.values()), Decimal(0))
    assert audit.verify().is_whole


def held(reason):
    """Return the one charge that is held, which is so for this reason."""
    (charge,) = command("review", "list")["charges"]
    assert [flag["code"] for flag in charge["flags"]] == [reason]
    return charge["id"]


def generate(month):
    """Issue the statements of a month; return what each new one says is due, by project."""
    issued = command("generate", "-p", month, "--as", "rex")["statements"]
    return {each["project"]: each["due"] for each in issued if each["new"]}


def submit(month):
    return command("export_journal", "-p", month, "-f", "gl", "--submit", "--as", "fay")["number"]


def post(month):
    command("journals", "post", submit(month), "--document", f"GL-{month}", "--as", "fay")


def close(month, *options):
    return command("periods", "close", month, "--as", "fay", *options)


def finalize(month):
    return command("periods", "finalize", month, "--as", "fay")


def finish(month):
    """Take a month whose charges are all decided to its end."""
    generate(month)
    post(month)
    close(month)
    generate(month)
    finalize(month)
    assert command("proof", "-p", month)["is_complete"] is True


@pytest.fixture
def edit(client, cast):
    """Change something on its page, as the administrator."""

    def change(thing, **fields):
        client.force_login(cast.admin)
        page = reverse(f"admin:billing_{thing._meta.model_name}_change", args=[thing.pk])
        answer = client.post(page, fields)
        assert answer.status_code == 302, answer.context["errors"]

    return change


@pytest.fixture
def institution(cast):
    a_policy(center_fund_org="RC-000", fiscal_year_start=7, corrections_need_second_person=True)
    for name in ("aws", "disk"):
        a_source(name, recovery_fund_org="RC-100")
    for fund_org in ("BIO-001", "CHE-204", "CHE-240", "GIFT-2", "SEA-001"):
        a_fund(fund_org)
    a_fund("AWD-1", is_sponsored=True)
    a_project("scope")


def test_a_bad_quarter(institution, edit, tmp_path):
    aws_of_april(tmp_path / "aws_2025-04.csv", "400.025", "80.10")

    # 1. A shared instrument, 60/40. That is entered when its first charge is there already.
    held("missing_fund_org")
    splits = {"payer_splits-TOTAL_FORMS": 1, "payer_splits-INITIAL_FORMS": 0, "payer_splits-0-valid_from": "2025-04-01"}
    splits |= {"code": "scope", "payer_splits-0-shares_text": "BIO-001 60\nCHE-204 40"}
    edit(Project.objects.get(code="scope"), **splits)
    command("attribute", "-p", "2025-04", "--as", "rex")
    assert generate("2025-04") == {"genomics": "460.03", "scope": "33.34", "corals": "80.10"}
    april = {"BIO-001": "80.00", "CHE-204": "13.34", "CHE-240": "400.03", "SEA-001": "80.10"}
    reconciles(april=april)

    # 2. The provider delivers other amounts: revisions of what was stated.
    aws_of_april(tmp_path / "aws_2025-04.csv", "410.005", "78.10")
    reconciles()
    assert generate("2025-04") == {"genomics": "470.01", "corals": "78.10"}
    april |= {"CHE-240": "410.01", "SEA-001": "78.10"}
    reconciles(april=april)

    # 3. The ledger rejects the journal; its lines are free again, and the next one is taken.
    rejected = submit("2025-04")
    assert journaled("2025-04") == april
    command("journals", "reject", rejected, "--reason", "CHE-204 was locked", "--lines", "2", "--as", "fay")
    assert journaled("2025-04") == {}
    reconciles(april=april)
    with pytest.raises(CommandError, match="is open"):
        finalize("2025-04")
    post("2025-04")
    assert journaled("2025-04") == april
    reconciles()

    # 4. April is closed, and opened again: the bucket is a gift's to pay.
    close("2025-04")
    reconciles(april=april)
    bucket = Charge.objects.live().get(resource__resource_id="bucket")
    corrected = (
        "review",
        "reattribute",
        "--id",
        bucket.pk,
        "--fund-org",
        "GIFT-2",
        "--note",
        "The gift's",
        "--as",
        "rex",
    )
    with pytest.raises(CommandError, match="April 2025 is closed"):
        command(*corrected)
    command("periods", "reopen", "2025-04", "--reason", "The bucket is on the wrong fund", "--as", "fay")
    command(*corrected)
    april |= {"BIO-001": "20.00", "GIFT-2": "60.00"}
    assert generate("2025-04") == {"genomics": "470.01"}
    reconciles(april=april)
    close("2025-04")
    with pytest.raises(CommandError, match="cannot be finalized yet"):
        finalize("2025-04")
    post("2025-04")
    assert journaled("2025-04") == april
    generate("2025-04")
    finalize("2025-04")
    reconciles(april=april)
    kept = list(PayerLine.objects.filter(period__month="2025-04-01").order_by("pk").values())

    # 5. A file comes late, and another changes what is final: both wait, and May bears the difference.
    late = deliver(tmp_path / "disk_2025-04.csv", "2025-04", ("12.345", tags(), {"ServiceName": "Disk"}))
    changed = aws_of_april(tmp_path / "aws_2025-04.csv", "410.005", "75.10")
    assert (late["state"], changed["state"]) == ("deferred", "deferred")
    reconciles()
    command("periods", "open", "2025-05", "--as", "fay")
    for waiting in (late, changed):
        command("imports", "book", waiting["import"], "--to", "2025-05", "--as", "fay")
    assert generate("2025-05") == {"genomics": "12.35", "corals": "-3.00"}
    may = {"BIO-001": "12.35", "SEA-001": "-3.00"}
    reconciles(april=april, may=may)

    # 6. An award ends within May; what it cannot bear is held, and the month does not close over it.
    award = FundingSource.objects.get(fund_org="AWD-1")
    edit(award, fund_org="AWD-1", is_sponsored="on", valid_until="2025-05-15")
    after_it = {"ChargePeriodStart": "2025-05-20T00:00:00Z", "ChargePeriodEnd": "2025-05-21T00:00:00Z"}
    deliver(
        tmp_path / "aws_2025-05.csv",
        "2025-05",
        ("100.00", tags(fund="AWD-1"), {}),
        ("50.00", tags(fund="AWD-1"), after_it),
        ("10.00", tags("cleo@u.edu", "corals", "SEA-001"), {"ResourceId": "i-4"}),
    )
    with pytest.raises(CommandError, match="1 charge is held"):
        close("2025-05")
    paid_by = ("--fund-org", "BIO-001", "--approve", "--note", "The award is over", "--as", "rex")
    command("review", "reattribute", "--id", held("fund_not_valid"), *paid_by)
    assert generate("2025-05") == {"genomics": "162.35", "corals": "7.00"}
    may |= {"AWD-1": "100.00", "BIO-001": "62.35", "SEA-001": "7.00"}
    reconciles(may=may)

    # 7. The fund that April's machine went to was mistyped: a transfer, which another person approves.
    statement = Statement.objects.live().get(period__month="2025-04-01", project__code="genomics")
    line = f"{statement.number}:{statement.lines.get(fund_org='CHE-240').number}"
    wrong = ("--line", line, "--to", "CHE-204", "--reason", "Mistyped fund on the tag")
    correction = command("corrections", "add", "transfer", *wrong, "-p", "2025-05", "--as", "fay")["number"]
    with pytest.raises(CommandError, match="it takes the permission billing.approve_correction"):
        command("corrections", "approve", correction, "--as", "rex")
    with pytest.raises(CommandError, match="second person|somebody else"):
        command("corrections", "approve", correction, "--as", "fay")
    reconciles()
    with pytest.raises(CommandError, match="cannot close"):
        close("2025-05")
    command("corrections", "approve", correction, "--as", "root")
    may |= {"CHE-204": "410.01", "CHE-240": "-410.01"}
    assert generate("2025-05") == {"genomics": "162.35"}
    reconciles(may=may)
    finish("2025-05")
    assert journaled("2025-05") == may
    reconciles(april=april, may=may)

    # 8. A PI leaves. What her tags still bring is held, and goes to who follows her.
    cleo, ada = Person.objects.get(email="cleo@u.edu"), Person.objects.get(email="ada@u.edu")
    edit(cleo, email=cleo.email, active_until="2025-05-31", successor=ada.pk, **NO_ROWS)
    deliver(
        tmp_path / "aws_2025-06.csv",
        "2025-06",
        ("300.00", tags(), {}),
        ("7.77", tags("cleo@u.edu", "corals", "SEA-001"), {"ResourceId": "i-4"}),
    )
    assert generate("2025-06") == {"genomics": "300.00"}
    reconciles(june={"BIO-001": "300.00"})
    command("review", "reattribute", "--id", held("pi_inactive"), "--pi", "ada@u.edu", "--approve", "--as", "rex")
    finish("2025-06")
    june = {"BIO-001": "300.00", "SEA-001": "7.77"}
    assert journaled("2025-06") == june
    assert not PayerLine.objects.filter(period__month="2025-06-01", pi=cleo).exists()
    reconciles(june=june)

    # 9. June's service was bad for two days, which is found in the new fiscal year.
    statement = Statement.objects.live().get(period__month="2025-06-01", project__code="genomics")
    refund = ("corrections", "add", "refund", "--line", f"{statement.number}:1", "--amount", "120.50")
    refund += ("--reason", "Two days without service", "--as", "rex")
    with pytest.raises(CommandError, match="No billing period takes changes"):
        command(*refund)
    command("periods", "open", "2025-07", "--as", "fay")
    command("corrections", "approve", command(*refund)["number"], "--as", "fay")
    finish("2025-07")
    july = {"BIO-001": "-120.50"}
    assert journaled("2025-07") == july
    assert f"{Journal.objects.get(period__month='2025-07-01').posting_date}" == "2025-07-31"
    reconciles(april=april, may=may, june=june, july=july)

    # What was final stands, and all of it together is what was delivered last, less the refund.
    assert kept == list(PayerLine.objects.filter(period__month="2025-04-01").order_by("pk").values())
    assert summed((line.fund_org, line.charged) for line in PayerLine.objects.all()) == {
        "AWD-1": "100.00",
        "BIO-001": "261.85",
        "CHE-204": "423.35",
        "CHE-240": "0.00",
        "GIFT-2": "60.00",
        "SEA-001": "92.87",
    }
    delivered = sum(charge.billed_cost for charge in Charge.objects.live())
    assert delivered == Decimal("1058.555")

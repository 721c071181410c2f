"""The sample institution of the demo: the committed files are the script's, and a month of it comes out."""

import csv
import datetime
import json
import subprocess
import sys
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from django.db import connection

from billing.files.received import local_copy
from billing.models import (
    AuditEvent,
    BillingPeriod,
    Charge,
    Flag,
    ImportedFile,
    Job,
    Message,
    PayerLine,
    Policy,
    PricedMonth,
    Question,
    Source,
    StoredFile,
    UsageFile,
    User,
)
from billing.models.charges import ReviewDecision
from billing.proof import adding_up
from billing.replay.replaying import replay
from journals.models import CustomerInvoice, Journal
from openchargeback import demo, reference
from openchargeback.roles import sync_roles
from statements.models import Email, Statement
from tests.build import NOW, SOMEBODY, a_period, a_policy

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
SAMPLE = FIXTURES / "sample"

# What the committed files of the clouds hold: rows, and the exact sum of BilledCost.
TOTALS = {
    "aws_2026-01": (68, "2082.355199416"),
    "aws_2026-02": (55, "1494.090470264"),
    "azure_2026-01": (42, "1236.67226419785"),
    "azure_2026-02": (35, "1022.43170423715"),
    "gcp_2026-01": (41, "1513.114271456"),
    "gcp_2026-02": (34, "1387.040130224"),
}
# What the files of usage hold: lines, and records of use.
USAGE = {
    "sacct_2026-01.txt": (220, 110),
    "sacct_2026-02.txt": (205, 102),
    "quotas_2026-01.csv": (559, 558),
    "quotas_2026-02.csv": (487, 486),
    "calls_2026-01.jsonl": (135, 135),
    "calls_2026-02.jsonl": (149, 149),
}
# Words of jobs, remarks and prompts in them, which nothing keeps.
PRIVATE = ("patient-0417-scan", "consent forms", "interview notes", "unpublished draft", "thesis_ch4")


def rows_of(name):
    with (SAMPLE / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_files_hold_what_is_expected():
    # Beside them lie the rates of what is priced here.
    rates = {"hpc_rates", "storage_rates", "ai_rates"}
    assert {path.stem for path in SAMPLE.glob("*.csv")} - rates == set(TOTALS)
    found = {name: (len(rows), sum(Decimal(row["BilledCost"]) for row in rows))
             for name in TOTALS if (rows := rows_of(name))}  # fmt: skip
    assert found == {name: (count, Decimal(total)) for name, (count, total) in TOTALS.items()}


def test_the_script_writes_the_committed_files_byte_for_byte(tmp_path):
    subprocess.run([sys.executable, FIXTURES / "make_sample.py", tmp_path], check=True)
    written = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert len(written) == len(TOTALS) + len(USAGE)
    for path in written:
        assert path.read_bytes() == (SAMPLE / path.relative_to(tmp_path)).read_bytes(), path.name


def test_the_institution_is_believable():
    data = json.loads((SAMPLE / "institution.json").read_text(encoding="utf-8"))
    assert len(data["people"]) >= 12
    assert len(data["projects"]) >= 20
    assert len(data["sources"]) == 6
    assert any(not person["name"].isascii() for person in data["people"])


def test_reference_data_holds_nobodys_accounting():
    data = json.loads((FIXTURES / "reference.json").read_text(encoding="utf-8"))
    told = {key for source in data["sources"] for key in source}
    assert told == {"name", "display_name", "kind", "file_name_patterns", "import_mode"}


def test_the_sample_institution(subtests, db):
    """It is made once: each check looks at the same one, and changes nothing of it."""
    sync_roles(actor=SOMEBODY, now=NOW)
    reference.load_reference(actor=SOMEBODY, now=NOW)
    shown = demo.run(actor=SOMEBODY, now=NOW.replace(year=2026, month=3))
    for check in (
        the_demo_runs_both_months,
        what_the_files_bill_is_charged_or_held_or_rejected,
        what_usage_costs_is_what_its_rates_say,
        the_free_hours_the_subsidies_and_the_customer_are_told_apart,
        nothing_that_is_private_in_the_files_of_usage_is_kept,
        the_figures_of_both_months_add_up_in_sight,
        every_reason_to_look_occurs_and_each_decision_was_made,
        a_pi_asked_about_the_month_that_is_closed,
        both_months_are_rebuilt_byte_for_byte,
        a_second_demo_changes_nothing_but_passwords,
    ):
        with subtests.test(check.__name__):
            check(shown)


def the_demo_runs_both_months(shown):
    january, february = shown.months
    assert (january.status, january.held, february.status) == ("closed", 0, "open")
    assert february.held == 5
    assert january.debits == january.credits > 0
    assert january.journal_state == "submitted"
    assert Statement.objects.filter(period__month="2026-01-01", state="sent").count() == january.statements
    assert Email.objects.filter(state="sent").count() == january.sent == 16
    assert {account.role for account in shown.accounts} == {"admin", "finance", "reviewer", "viewer", "pi", "delegate"}


def a_pi_asked_about_the_month_that_is_closed(shown):
    """Staff have something to answer, on the figures of the samples: a question of a closed month holds nothing."""
    question = Question.objects.get()
    assert (question.state, question.asked_by.username, question.is_in_time) == ("asked", "pi", False)
    assert "node went down" in question.messages.get().text
    assert not Job.objects.exclude(state=Job.State.DONE).exists()


def what_the_files_bill_is_charged_or_held_or_rejected(shown):
    for month in shown.months:
        billed = sum(Decimal(total) for name, (_, total) in TOTALS.items() if name.endswith(month.period))
        billed += sum(billed_by_hand(month.period).values())
        charges = Charge.objects.live().filter(period__month=f"{month.period}-01")
        assert abs(sum(charges.values_list("billed_cost", flat=True)) - billed) < Decimal("0.00001")
        lines = PayerLine.objects.filter(period__month=f"{month.period}-01")
        own = lines.exclude(kind="subsidy")
        paid, left = (sum(own.values_list(name, flat=True)) for name in ("charged", "rounding"))
        aside = sum(charges.filter(state__in=("held", "rejected")).values_list("billed_cost", flat=True))
        assert abs(paid + left + aside - billed) < Decimal("0.00001")


def what_usage_costs_is_what_its_rates_say(shown):
    for name, (lines, records) in USAGE.items():
        file = UsageFile.objects.get(name=name)
        assert (file.lines, file.records) == (lines, records), name
    for month in shown.months:
        by_hand = billed_by_hand(month.period)
        found = Charge.objects.live().filter(period__month=f"{month.period}-01")
        for source, billed in by_hand.items():
            own = sum(found.filter(source__name=source).values_list("billed_cost", flat=True))
            assert abs(own - billed) < Decimal("0.0001"), (month.period, source)


def billed_by_hand(month):
    """Return what a month's usage is billed by source, from its files by the rates and subsidies as people say them."""
    exact = {source: of(month) for source, of in BY_HAND.items()}
    return {source: Decimal(sum_.numerator) / sum_.denominator for source, sum_ in exact.items()}


def lines_of_usage(name):
    return (SAMPLE / "usage" / name).read_text(encoding="utf-8").splitlines()


def hpc_by_hand(month):
    """10,000 core-hours a month are free for each PI, GPUs are half off; outsiders pay 130% and 26% on top."""
    begins = datetime.datetime.fromisoformat(f"{month}-01")
    ends = (begins + datetime.timedelta(days=32)).replace(day=1)
    cores, billed = defaultdict(Fraction), Fraction(0)
    header, *lines = (line.split("|") for line in lines_of_usage(f"sacct_{month}.txt"))
    for line in lines:
        job = dict(zip(header, line, strict=True))
        if ".batch" in job["JobIDRaw"] or job["State"] in ("NODE_FAIL", "PREEMPTED"):
            continue
        start = datetime.datetime.fromisoformat(job["Start"])
        end = start + datetime.timedelta(seconds=int(job["ElapsedRaw"]))
        hours = Fraction(int((min(end, ends) - max(start, begins)).total_seconds()), 3600)
        tres = dict(each.split("=") for each in job["AllocTRES"].split(","))
        is_outside = job["Account"] == "hull-acoustics"
        if job["Partition"] == "cpu":
            cores[PI_OF[job["Account"]], is_outside] += int(tres["cpu"]) * hours
        elif job["Partition"] == "gpu":
            price = Fraction("0.95") * Fraction("1.26") if is_outside else Fraction("0.31")
            billed += int(tres["gres/gpu"]) * hours * price
        else:
            billed += -(-int(tres["mem"].removesuffix("G")) // 16) * hours * Fraction("0.031")
    for (_, is_outside), used in cores.items():
        assert used < 40_000, "nobody reaches the second price"
        charged = used * Fraction("1.3") * Fraction("1.26") if is_outside else max(used - 10_000, Fraction(0))
        billed += charged * Fraction("0.0125")
    return billed


def storage_by_hand(month):
    """Quotas of each day; home and scratch are free, half of project storage is paid, up to $75 for each PI."""
    header, *rows = csv.reader(lines_of_usage(f"quotas_{month}.csv"))
    days = defaultdict(dict)
    for row in rows:
        line = dict(zip(header, row, strict=True))
        days[line["Tier"], line["Project"]][line["Scanned"][8:10]] = int(line["Quota (GB)"])
    of_month = 31 if month == "2026-01" else 28
    project, billed = defaultdict(Fraction), Fraction(0)
    for (tier, code), quotas in days.items():
        # Nothing was read in the night of February 14: the day before counts.
        quotas.setdefault("14", quotas["13"])
        assert len(quotas) == of_month
        used = Fraction(sum(quotas.values()), 1_000 * of_month)
        if tier == "archive":
            billed += used * Fraction("2.5")
        elif tier == "project" and code == "hull-acoustics":
            billed += used * 12 * Fraction("1.3") * Fraction("1.26")
        elif tier == "project":
            project[PI_OF[code]] += used * 12
    return billed + sum(cost - min(cost / 2, 75) for cost in project.values())


def ai_by_hand(month):
    """Input that was cached counts a tenth; failed calls have no tokens."""
    billed = Fraction(0)
    for line in lines_of_usage(f"calls_{month}.jsonl"):
        call = json.loads(line)
        asked, answered = call["prompt_tokens"], call["completion_tokens"]
        cached = call["metadata"]["usage_object"]["prompt_tokens_details"]["cached_tokens"]
        billed += {
            "larkspur-large": (asked - cached + Fraction(cached, 10)) * 3 + answered * 15,
            "larkspur-small": (asked + 4 * answered) * Fraction("0.35"),
            "larkspur-embed": asked * Fraction("0.025"),
        }[call["model_group"]]
    return billed / 1_000_000


BY_HAND = {"hpc": hpc_by_hand, "storage": storage_by_hand, "ai": ai_by_hand}
PI_OF = {
    project["code"]: project["pi"]
    for project in json.loads((SAMPLE / "institution.json").read_text(encoding="utf-8"))["projects"]
}


def the_free_hours_the_subsidies_and_the_customer_are_told_apart(shown):
    drawn = [each for month in PricedMonth.objects.all() for each in month.drawn]
    assert {each["free"] for each in drawn if "free" in each} == {"cpu"}
    assert {(each["subsidy"], each["fund_org"]) for each in drawn if "subsidy" in each} == {
        ("gpu-start", ""),
        ("home-scratch", ""),
        ("provost-storage", "100051-9000"),
    }
    # Somebody reached the cap, and somebody did not.
    left = {Decimal(each["left"]) == 0 for each in drawn if each.get("granted") == "provost-storage"}
    assert left == {True, False}
    paid = PayerLine.objects.filter(kind="subsidy", fund_org="100051-9000")
    assert {line.source.name for line in paid.select_related("source")} == {"storage"}
    january, february = shown.months
    assert (january.receivables, january.receivables_state) == ("A2026-01-1", "submitted")
    assert (february.receivables, february.receivables_state) == ("A2026-02-1", "draft")
    for month in shown.months:
        lines = PayerLine.objects.filter(period__month=f"{month.period}-01", customer__number="20417")
        assert sum(lines.values_list("charged", flat=True)) == month.invoiced > 500


def nothing_that_is_private_in_the_files_of_usage_is_kept(shown):
    given = "".join(path.read_text(encoding="utf-8") for path in (SAMPLE / "usage").iterdir())
    assert all(words in given for words in PRIVATE)
    tables = connection.introspection.table_names()
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            told = repr(cursor.fetchall())
            assert not [words for words in PRIVATE if words in told], table
    for stored in StoredFile.objects.all():
        rows = repr(pq.read_table(local_copy(stored)).to_pylist()) if stored.usage_files.exists() else ""
        assert not [words for words in PRIVATE if words in rows]


def the_figures_of_both_months_add_up_in_sight(shown):
    for period in BillingPeriod.objects.all():
        found = adding_up.sights_of(period)
        assert {sight.code for sight in found} == {"price", "delivered"}
        for sight in found:
            left, right = (
                sum(-part.shown if part.sign == "−" else part.shown for part in side)
                for side in (sight.left, sight.right)
            )
            assert (sight.difference, left) == (0, right), (period, sight)


def every_reason_to_look_occurs_and_each_decision_was_made(shown):
    codes = set(Flag.objects.values_list("code", flat=True))
    assert codes >= {
        *("missing_pi", "missing_fund_org", "missing_project", "invalid_fund_org", "unknown_fund_org"),
        *("fund_not_valid", "pattern_match", "pi_inactive"),
    }
    actions = set(ReviewDecision.objects.values_list("action", flat=True))
    assert actions >= {"approve", "reject", "charge_to_center", "reattribute"}


def both_months_are_rebuilt_byte_for_byte(shown):
    # With February's files, January is priced again: a job began in it, and readings may bridge its end. It stays so.
    assert ImportedFile.objects.count() == 14
    for month in shown.months:
        replayed = replay(period=a_period(month.period))
        assert replayed.first is None, replayed.as_text()
        assert replayed.lines > 80


def a_second_demo_changes_nothing_but_passwords(shown):
    def state():
        return (
            Charge.objects.count(),
            list(Statement.objects.order_by("pk").values_list("number", "state", "digest")),
            list(Journal.objects.filter(state="submitted").values_list("number", "debits", "file_sha256")),
            list(CustomerInvoice.objects.values_list("export__number", "number", "total")),
            list(PricedMonth.objects.order_by("pk").values_list("digest", flat=True)),
            UsageFile.objects.count(),
            ReviewDecision.objects.count(),
            Message.objects.count(),
            Email.objects.count(),
            Policy.objects.count(),
            User.objects.count(),
        )

    before, passwords = state(), dict(User.objects.values_list("username", "password"))
    again = demo.run(actor=SOMEBODY, now=NOW.replace(year=2026, month=4))
    assert state() == before
    assert [month.due for month in again.months] == [month.due for month in shown.months]
    assert not any(account.is_new for account in again.accounts)
    assert not set(passwords.items()) & set(User.objects.values_list("username", "password"))


def test_the_demo_is_not_mixed_into_somebodys_installation(db):
    sync_roles(actor=SOMEBODY, now=NOW)
    reference.load_reference(actor=SOMEBODY, now=NOW)
    a_policy(institution="A Real University")
    with pytest.raises(demo.NotForTheDemo, match="A Real University"):
        demo.run(actor=SOMEBODY, now=NOW)
    assert not Charge.objects.exists()


def test_loading_reference_data_keeps_what_the_institution_changed(db):
    reference.load_reference(actor=SOMEBODY, now=NOW)
    Source.objects.filter(name="aws").update(recovery_fund_org="X-1", file_name_patterns="amazon")
    Source.objects.filter(name="ai").update(is_active=False)
    a_policy(institution="A Real University")
    events = AuditEvent.objects.count()
    again = reference.load_reference(actor=SOMEBODY, now=NOW)
    assert again.sources_added == ()
    assert not again.policy_added
    source = Source.objects.get(name="aws")
    assert (source.recovery_fund_org, source.file_name_patterns) == ("X-1", "amazon")
    assert Policy.objects.current().institution == "A Real University"
    assert AuditEvent.objects.count() == events

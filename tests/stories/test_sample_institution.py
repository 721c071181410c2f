"""The sample institution of the demo: the committed files are the script's, and a month of it comes out."""

import csv
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from billing.models import (
    AuditEvent,
    BillingPeriod,
    Charge,
    Flag,
    ImportedFile,
    PayerLine,
    Policy,
    Source,
    User,
)
from billing.models.charges import ReviewDecision
from billing.proof import adding_up
from billing.replay.replaying import replay
from journals.models import Journal
from openchargeback import demo, reference
from openchargeback.roles import sync_roles
from statements.models import Email, Statement
from tests.build import NOW, SOMEBODY, a_period, a_policy

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
SAMPLE = FIXTURES / "sample"

# What the committed files hold: rows, and the exact sum of BilledCost.
TOTALS = {
    "ai_2026-01": (164, "469.2993"),
    "ai_2026-02": (164, "395.66205"),
    "aws_2026-01": (68, "2082.355199416"),
    "aws_2026-02": (55, "1494.090470264"),
    "azure_2026-01": (42, "1236.67226419785"),
    "azure_2026-02": (35, "1022.43170423715"),
    "gcp_2026-01": (41, "1513.114271456"),
    "gcp_2026-02": (34, "1387.040130224"),
    "hpc_2026-01": (15, "698.37075"),
    "hpc_2026-02": (15, "694.58875"),
    "storage_2026-01": (17, "959.4645"),
    "storage_2026-02": (17, "752.148"),
}


def rows_of(name):
    with (SAMPLE / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_files_hold_what_is_expected():
    # Beside them lie the rates of the cluster.
    assert {path.stem for path in SAMPLE.glob("*.csv")} - {"hpc_rates"} == set(TOTALS)
    found = {name: (len(rows), sum(Decimal(row["BilledCost"]) for row in rows))
             for name in TOTALS if (rows := rows_of(name))}  # fmt: skip
    assert found == {name: (count, Decimal(total)) for name, (count, total) in TOTALS.items()}


def test_the_script_writes_the_committed_files_byte_for_byte(tmp_path):
    subprocess.run([sys.executable, FIXTURES / "make_sample.py", tmp_path], check=True)
    written = sorted(tmp_path.iterdir())
    assert len(written) == len(TOTALS)
    for path in written:
        assert path.read_bytes() == (SAMPLE / path.name).read_bytes(), path.name


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
    """It is made once: each check looks at the same one, and the last two change nothing of it."""
    sync_roles(actor=SOMEBODY, now=NOW)
    reference.load_reference(actor=SOMEBODY, now=NOW)
    shown = demo.run(actor=SOMEBODY, now=NOW.replace(year=2026, month=3))
    for check in (
        the_demo_runs_both_months,
        what_the_files_bill_is_charged_or_held_or_rejected,
        the_figures_of_both_months_add_up_in_sight,
        every_reason_to_look_occurs_and_each_decision_was_made,
        both_months_are_rebuilt_byte_for_byte,
        a_second_demo_changes_nothing_but_passwords,
    ):
        with subtests.test(check.__name__):
            check(shown)


def the_demo_runs_both_months(shown):
    january, february = shown.months
    assert (january.status, january.held, february.status) == ("closed", 0, "open")
    assert february.held == 4
    assert january.debits == january.credits > 0
    assert january.journal_state == "submitted"
    assert Statement.objects.filter(period__month="2026-01-01", state="sent").count() == january.statements
    assert Email.objects.filter(state="sent").count() == january.sent == 15
    assert {account.role for account in shown.accounts} == {"admin", "finance", "reviewer", "viewer", "pi", "delegate"}


def what_the_files_bill_is_charged_or_held_or_rejected(shown):
    for month in shown.months:
        billed = sum(Decimal(total) for name, (_, total) in TOTALS.items() if name.endswith(month.period))
        charges = Charge.objects.live().filter(period__month=f"{month.period}-01")
        assert abs(sum(charges.values_list("billed_cost", flat=True)) - billed) < Decimal("0.00001")
        lines = PayerLine.objects.filter(period__month=f"{month.period}-01")
        own = lines.exclude(kind="subsidy")
        paid, left = (sum(own.values_list(name, flat=True)) for name in ("charged", "rounding"))
        aside = sum(charges.filter(state__in=("held", "rejected")).values_list("billed_cost", flat=True))
        assert abs(paid + left + aside - billed) < Decimal("0.00001")


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
    assert ImportedFile.objects.count() == 12
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
            ReviewDecision.objects.count(),
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

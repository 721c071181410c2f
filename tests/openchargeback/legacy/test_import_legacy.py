"""An administrator brings over two years of the FastAPI version: the same money, by month, PI and fund."""

import io
import json
from collections import defaultdict
from decimal import Decimal

import pytest
from django.core import mail
from django.core.management import CommandError, call_command

from billing.models import AuditEvent, BillingPeriod, Charge, Import, PayerLine, Policy, Source, User
from journals.models import Journal
from openchargeback.legacy import months
from statements.models import Email, Statement

from .made import CONFIGURATION, Made

pytestmark = pytest.mark.django_db


def run(database, *arguments):
    out = io.StringIO()
    call_command("import_legacy", str(database), *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def told(database, *arguments):
    out = io.StringIO()
    call_command("import_legacy", str(database), *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def installation(cast, tmp_path):
    """January is finalized, February closed and exported, March open; with all that people did there."""
    made = Made(tmp_path / "billing.db")
    aws, hpc, local = made.source("AWS"), made.source("hpc"), made.source("Azure Local")
    january = made.month(
        "2025-01", "finalized", closed_at="2025-02-03 10:00:00.5", closed_by="Fin", finalized_at="2025-02-05 09:00:00"
    )
    february = made.month("2025-02", "closed", notes="A short one")
    march = made.month("2025-03")
    made.charge(january, aws, 100.004, list_cost=120.0)
    made.charge(january, aws, 0.1 + 0.2, pi_email="grace@u.edu", project_id="reef", fund_org="SEA-7")
    made.charge(january, aws, 50, needs_review=0, reviewed_at="2025-02-01", reviewed_by="Rev", fund_org=None)
    made.charge(january, aws, -20.5, service_name="Credits")
    made.charge(
        *(january, hpc, 12.5),
        needs_review=0,
        reviewed_at="2025-02-02 10:00:00",
        rejected_at="2025-02-02 10:00:00",
        rejected_by="Rev",
        rejection_note="A test system",
    )
    made.charge(january, hpc, 8, needs_review=1, review_reason="period_mismatch")
    made.charge(january, hpc, 0, list_cost=800, contracted_cost=0)
    made.charge(february, local, 30.25, charge_period_start="2025-02-01", charge_period_end="2025-02-28")
    made.charge(march, aws, 7, service_name="SageMaker", needs_review=1, review_reason="pattern_match:sagemaker")
    made.charge(march, aws, 9, service_name="SageMaker studio")
    made.charge(march, aws, 11, project_id=None, needs_review=1, review_reason="missing_project")
    for period, pi, total, sent in (
        (january, "ada@u.edu", 129.504, "2025-02-04 08:00:00"),
        (january, "grace@u.edu", 0.30000000000000004, None),
        (february, "ada@u.edu", 31.0, "2025-03-04 08:00:00"),
    ):
        made.insert("statements", billing_period_id=period, pi_email=pi, total_cost=total, sent_at=sent)
    for period, total in ((january, 129.8), (february, 30.25)):
        made.insert(
            "journal_exports",
            billing_period_id=period,
            format="gl",
            total_cost=total,
            exported_at="2025-02-05 08:30:00",
            exported_by="Fin",
            filename=f"/srv/out/journal_{period}.csv",
        )
    made.insert("review_logs", billing_period_id=january, charge_id=999, action="rejected", pi_email="x", amount=3.5)
    made.insert(
        "users", username="rita", email="RITA@u.edu", display_name="Rita Reed", password_hash="x", role="reviewer"
    )
    made.insert("users", username="odd", email="o@u.edu", password_hash="x", role="owner")
    made.insert("email_logs", recipient="ada@u.edu", status="success")
    configuration = tmp_path / "config.yaml"
    configuration.write_text(CONFIGURATION)
    return made, configuration


def money():
    """Return what is charged here by month, PI and fund/org, before rounding."""
    found = defaultdict(Decimal)
    for charge in Charge.objects.live().filter(state__in=Charge.CHARGEABLE).select_related("pi", "charged_in"):
        found[charge.charged_in.iso_month, charge.pi.email, charge.fund_org] += charge.billed_cost
    return dict(found)


def net(journal):
    return sum(line.debit - line.credit for line in journal.lines.filter(side="payer"))


MONEY = {
    ("2025-01", "ada@u.edu", "BIO-001"): Decimal("79.504"),
    ("2025-01", "ada@u.edu", "NO-FUND-ORG"): Decimal(50),
    ("2025-01", "grace@u.edu", "SEA-7"): Decimal("0.3"),
    ("2025-02", "ada@u.edu", "BIO-001"): Decimal("30.25"),
    ("2025-03", "ada@u.edu", "BIO-001"): Decimal(9),
}


@pytest.fixture
def brought(installation):
    made, configuration = installation
    return run(made.path, "--config", configuration)


def test_what_was_charged_by_month_pi_and_fund_is_what_it_was(brought):
    assert money() == MONEY


def test_months_stand_where_they_stood(brought):
    states = dict(BillingPeriod.objects.order_by("month").values_list("month", "status"))
    assert {month.strftime("%Y-%m"): status for month, status in states.items()} == {
        "2025-01": "finalized",
        "2025-02": "closed",
        "2025-03": "open",
    }
    january = BillingPeriod.objects.named("2025-01")
    assert "Closed in the FastAPI version on Feb 3, 2025 by Fin." in january.notes
    assert "A short one" in BillingPeriod.objects.named("2025-02").notes


def test_what_waited_there_waits_in_the_first_open_month(brought):
    held = Charge.objects.held().order_by("billed_cost")
    assert [(each.billed_cost, str(each.charged_in.iso_month)) for each in held] == [
        (Decimal(7), "2025-03"),
        (Decimal(8), "2025-03"),
        (Decimal(11), "2025-03"),
    ]
    assert held[1].flags.get(code="period_mismatch").detail == "Held in the FastAPI version: period_mismatch"


def test_who_decided_and_why_is_kept_as_the_note(brought):
    rejected = Charge.objects.get(billed_cost=Decimal("12.5"))
    assert rejected.state == Charge.State.REJECTED
    assert rejected.decisions.get().note == "Rejected in the FastAPI version by Rev on 2025-02-02. A test system"
    unknown = Charge.objects.get(billed_cost=50)
    assert "Approved in the FastAPI version by Rev on 2025-02-01." in unknown.decisions.first().note


def test_statements_are_sent_where_they_were_and_nobody_is_mailed(brought):
    assert not mail.outbox
    assert not Email.objects.exists()
    sent = Statement.objects.get(pi__email="ada@u.edu", period=BillingPeriod.objects.named("2025-01"))
    assert (sent.state, sent.charged) == (Statement.State.SENT, Decimal("129.50"))
    assert sent.sent_at.strftime("%Y-%m-%d") == "2025-02-04"
    assert Statement.objects.get(pi__email="grace@u.edu").state == Statement.State.ISSUED
    assert not Statement.objects.filter(period=BillingPeriod.objects.named("2025-03")).exists()


def test_a_total_that_is_another_is_named(brought):
    february = next(month for month in brought["months"] if month["period"] == "2025-02")
    assert "The statement of ada@u.edu said 31.00 there, and says 30.25 here." in february["notes"]


def test_months_that_were_exported_are_posted_and_nothing_posts_twice(brought):
    journals = Journal.objects.order_by("number")
    assert [(each.state, each.document_number, net(each)) for each in journals] == [
        ("posted", "journal_1.csv", Decimal("129.80")),
        ("posted", "journal_2.csv", Decimal("30.25")),
    ]
    assert not any("journal exported last" in note for month in brought["months"] for note in month["notes"])
    out = io.StringIO()
    call_command("export_journal", "-p", "2025-02", "-f", "gl", stdout=out)
    assert "no payer line of a journaled source changed since" in out.getvalue()


@pytest.mark.django_db(transaction=True)
def test_proof_replay_and_the_audit_log_hold(brought):
    for command in (("proof", "-p", "2025-01"), ("replay", "-p", "2025-01"), ("verify_audit",), ("verify_files",)):
        call_command(*command, stdout=io.StringIO())


def test_a_late_change_of_a_closed_month_journals_its_difference_alone(brought):
    february = BillingPeriod.objects.named("2025-02")
    call_command("periods", "reopen", "2025-02", "--reason", "A credit came", stdout=io.StringIO())
    charge = Charge.objects.get(billed_cost=Decimal("30.25"))
    reject = (
        "review",
        "reject",
        "--id",
        str(charge.pk),
        "--reason",
        "other",
        "--note",
        "It was never used",
        "--provider-credits",
        "yes",
    )
    call_command(*reject, stdout=io.StringIO())
    call_command("export_journal", "-p", "2025-02", "-f", "standard", stdout=io.StringIO())
    draft = Journal.objects.get(period=february, state="draft")
    assert draft.debits == Decimal("30.25")
    assert draft.lines.get(side="payer").credit == Decimal("30.25")


def test_settings_sources_and_accounts_come_too(brought):
    policy = Policy.objects.current()
    assert policy.tag_keys["pi_email"][0] == "owner"
    assert policy.flag_patterns == ["(?i)sagemaker"]
    assert policy.fund_org_patterns == ["(?i)(?:[A-Z]+-\\d+).*"]
    assert policy.email_subject == "Charges - {{ month }}"
    assert (policy.institution, policy.contact_email) == ("Research Computing at U", "rc@u.edu")
    aws = Source.objects.get(name="aws")
    assert (aws.recovery_fund_org, aws.debit_account, aws.recovery_account) == ("RC-100", "6500", "6500")
    assert Source.objects.get(name="azure_local").display_name == "Azure Local"
    rita = User.objects.get(username="rita")
    assert (rita.email, rita.get_full_name(), rita.has_usable_password()) == ("rita@u.edu", "Rita Reed", False)
    assert [group.name for group in rita.groups.all()] == ["reviewer"]
    assert brought["accounts"]["added"] == ["rita", "boss"]
    assert brought["accounts"]["refused"] == ["odd: there is no role “owner”."]


def test_what_could_not_come_is_said(brought):
    said = "\n".join(brought["notes"])
    assert "“^X(?=Y)” is left out" in said
    assert "“[A-Z]+-\\d+” is now “(?i)(?:[A-Z]+-\\d+).*”." in said
    assert "journal_gl.csv is a Jinja template" in said
    assert "Its list of e-mails stays there (1): keep the file." in said
    assert "SMTP_PASSWORD" not in said
    january = brought["months"][0]
    assert "Its review log tells of charges that are gone: 1, 3.50 together." in january["notes"]


def test_a_second_run_changes_nothing(installation, brought):
    made, configuration = installation
    before = (AuditEvent.objects.count(), Import.objects.count(), Policy.objects.count(), PayerLine.objects.count())
    again = run(made.path, "--config", configuration)
    assert money() == MONEY
    assert [month["new"] for month in again["months"]] == [False, False, True]
    assert (
        AuditEvent.objects.count(),
        Import.objects.count(),
        Policy.objects.count(),
        PayerLine.objects.count(),
    ) == before


def test_an_open_month_that_went_on_there_is_taken_up(installation, brought):
    made, configuration = installation
    march = made.connection.execute("SELECT id FROM billing_periods WHERE period = '2025-03'").fetchone()[0]
    made.charge(march, 1, 21.5)
    made.connection.execute("UPDATE charges SET needs_review = 0, reviewed_at = '2025-04-01' WHERE billed_cost = 7")
    made.connection.commit()
    run(made.path, "--config", configuration)
    assert money() == MONEY | {("2025-03", "ada@u.edu", "BIO-001"): Decimal("37.5")}


def test_a_dry_run_reads_everything_and_stores_nothing(installation):
    made, configuration = installation
    before = AuditEvent.objects.count()
    said = told(made.path, "--config", configuration, "--dry-run")
    assert "Dry run: nothing was stored." in said
    assert "129.80" in said
    assert "2 held" in said or "1 held (8.00)" in said
    assert (AuditEvent.objects.count(), Import.objects.count(), Charge.objects.count()) == (before, 0, 0)
    assert not User.objects.filter(username="rita").exists()


def test_the_database_there_is_never_written(installation):
    made, configuration = installation
    made.close()
    before = made.path.read_bytes()
    run(made.path, "--config", configuration)
    assert made.path.read_bytes() == before


def test_a_run_that_was_stopped_is_taken_up(installation, monkeypatch):
    made, configuration = installation

    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(months, "_adopt", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(made.path, "--config", configuration)
    assert BillingPeriod.objects.named("2025-01").status == "closed"
    run(made.path, "--config", configuration)
    assert money() == MONEY
    assert BillingPeriod.objects.named("2025-01").status == "finalized"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "its table billing_periods is missing"),
        (b"no database at all, but more than a hundred bytes of text" * 9, "cannot be read as a database"),
        (None, "There is no file"),
    ],
)
def test_what_is_no_such_database_is_refused_with_words(cast, tmp_path, content, said):
    path = tmp_path / "other.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CommandError, match=said):
        run(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: [1\nb: 2", r"config.yaml, line 2, column 2: this is not YAML"),
        ("- a\n- b\n", "names no sections"),
        ("currency: ¥", "Name the currency of its amounts, such as USD"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_refused_with_its_place(installation, tmp_path, content, said):
    made, configuration = installation
    configuration.write_text(content, encoding="utf-8")
    with pytest.raises(CommandError, match=said):
        run(made.path, "--config", configuration)
    assert not Import.objects.exists()


def test_a_row_that_cannot_be_imported_is_named_and_nothing_of_its_month_comes(installation):
    made, configuration = installation
    made.connection.execute("UPDATE charges SET charge_period_start = 'soon' WHERE billed_cost = 30.25")
    made.connection.commit()
    with pytest.raises(CommandError, match="azure_local, 2025-02: what is there cannot be imported"):
        run(made.path, "--config", configuration)
    assert not Charge.objects.filter(billed_cost=Decimal("30.25")).exists()


def test_an_older_database_without_later_columns_and_tables_comes_too(cast, tmp_path):
    made = Made(tmp_path / "old.db")
    january = made.month("2025-01", "finalized")
    made.charge(january, made.source("aws"), 10.5)
    for table in ("journal_exports", "users", "review_logs", "email_logs"):
        made.connection.execute(f"DROP TABLE {table}")
    for column in ("rejected_at", "rejected_by", "rejection_note", "reviewed_by", "reference_1", "reference_2"):
        made.connection.execute(f"ALTER TABLE charges DROP COLUMN {column}")
    made.connection.commit()
    run(made.path)
    assert money() == {("2025-01", "ada@u.edu", "BIO-001"): Decimal("10.5")}
    # It was sent to accounting, whatever wrote the file.
    assert Journal.objects.get().document_number == "FastAPI 2025-01"


def test_who_may_not_change_users_may_not_bring_an_installation(installation):
    made, _ = installation
    with pytest.raises(CommandError, match="may not"):
        call_command("import_legacy", str(made.path), "--as", User.objects.get(groups__name="viewer").username)

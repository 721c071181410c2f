"""What refuses changes of a closed month, one by one: the verb, the queryset, and the database itself by raw SQL."""

import datetime
import uuid
from decimal import Decimal
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, migrations, models, transaction
from django.db.migrations.state import ProjectState

from billing import charging, corrections, review, safeguards
from billing.audit import Actor, gesture
from billing.errors import BillingError
from billing.importing import booking, ingestion, withdrawing
from billing.models import (
    DIMENSION_MODELS,
    AuditEvent,
    AuditHead,
    BillingPeriod,
    BillingReference,
    Charge,
    Correction,
    CorrectionLine,
    ExchangeRate,
    Flag,
    FrozenProof,
    PayerLine,
    PayerSplitShare,
    Product,
    ResourceText,
    ReviewDecision,
)
from billing.models.charges import HeldCharge
from billing.models.periods import PeriodClosed, PeriodFinalized
from billing.models.standing import KeptForEver
from billing.months import closing
from billing.readers.dimensions import FIELDS
from billing.review import reattribution
from billing.safeguards import installing, sqlite
from journals import posting
from journals.models import Journal, JournalLine
from openchargeback import serving
from statements import issuing
from statements.models import Statement, StatementLine
from tests import build
from tests.billing.deliveries import a_file, a_row, delivered
from tests.build import NOW, SOMEBODY

pytestmark = pytest.mark.django_db

SHUT = ("closed", "finalized")
FINAL = ("finalized",)
EVENTS = ("insert", "update", "delete")
IS_POSTGRESQL = connection.vendor == "postgresql"

# Of each model: what an attack changes, what a copied row needs to be of its own, and when each event is refused.
ATTACKED: dict[type[models.Model], tuple[str, dict[str, str], dict[str, tuple[str, ...]]]] = {
    Charge: ("fund_org = 'OURS'", {}, dict.fromkeys(EVENTS, SHUT)),
    Flag: ("is_resolved = true", {}, dict.fromkeys(EVENTS, SHUT)),
    ReviewDecision: ("note = 'no'", {}, {"insert": SHUT, "update": ("open", *SHUT), "delete": ("open", *SHUT)}),
    ExchangeRate: ("rate = 2", {"currency": "'JPY'"}, {"update": SHUT, "delete": SHUT}),
    FrozenProof: ("text = '{}'", {}, {"update": ("open", *SHUT), "delete": ("open", *SHUT)}),
    PayerSplitShare: ("fund_org = 'OURS'", {"fund_org": "'OURS'"}, dict.fromkeys(EVENTS, SHUT)),
    Correction: (
        "reason = 'other'",
        {"reverses_id": "NULL"},
        {"insert": SHUT, "update": ("open", *SHUT), "delete": ("open", *SHUT)},
    ),
    CorrectionLine: (
        "fund_org = 'OURS'",
        {"number": "9"},
        {"insert": SHUT, "update": ("open", *SHUT), "delete": ("open", *SHUT)},
    ),
    PayerLine: ("charged = charged * 2", {"key": "'other'"}, dict.fromkeys(EVENTS, FINAL)),
    BillingReference: (
        "number = 99",
        {"number": "99", "pi_id": "NULL", "project_id": "NULL"},
        {"insert": FINAL, "update": FINAL, "delete": FINAL},
    ),
    Statement: (
        "charged = 0",
        {"number": "'other'", "revision": "9", "state": "'void'", "voided_at": "issued_at"},
        {"insert": FINAL, "update": ("open", *SHUT), "delete": ("open", *SHUT)},
    ),
    StatementLine: (
        "charged = 0",
        {"number": "9", "payer_key": "'other'"},
        {"insert": FINAL, "update": ("open", *SHUT), "delete": ("open", *SHUT)},
    ),
    **{
        model: (
            f"{FIELDS[model.NAME][0]} = 'other'",
            {"text_hash": r"'\x00'::bytea" if IS_POSTGRESQL else "x'00'"},
            {"update": ("open", *SHUT), "delete": ("open", *SHUT)},
        )
        for model in DIMENSION_MODELS
    },
}


# What a model's own ways write in the column that is attacked.
ANOTHER: dict[str, Any] = {
    **{"fund_org": "OURS", "is_resolved": True, "note": "no", "rate": Decimal(2), "text": "{}", "reason": "other"},
    **{"charged": Decimal(1), "number": 99},
    **{FIELDS[model.NAME][0]: "other" for model in DIMENSION_MODELS},
}


@pytest.fixture
def month():
    """A month with one row of everything that stands, as they are made in it."""
    period = build.a_period("2025-01")
    split = build.a_split({"BIO-001": "60", "CHEM-002": "40"})
    charge = build.a_charge("100.00", payer_split=split, fund_org="")
    flag = Flag.objects.create(charge=charge, code="pattern_match")
    decision = ReviewDecision.objects.create(
        charge=charge,
        line_number=1,
        action="approve",
        decided_by_name="somebody",
        decided_at=NOW,
        gesture=uuid.uuid4(),
    )
    rate = ExchangeRate.objects.create(period=period, currency="EUR", rate=Decimal("1.1"))
    proof = FrozenProof.objects.create(period=period, text="{...}", pdf=b"", frozen_at=NOW)
    correction = Correction.objects.create(
        kind="refund",
        charged_in=period,
        for_period=period,
        currency="USD",
        amount=Decimal("5.00"),
        total=Decimal("-5.00"),
        reason="billed by mistake",
        state="approved",
        entered_at=NOW,
        entered_by_name="somebody",
        decided_at=NOW,
        decided_by_name="somebody",
        gesture=uuid.uuid4(),
    )
    line = CorrectionLine.objects.create(
        correction=correction,
        number=1,
        kind="refund",
        fund_org="BIO-001",
        source=charge.source,
        amount=Decimal("-5.00"),
    )
    reference = BillingReference.objects.create(period=period, pi=charge.pi, project=charge.project, number=1)
    payer_line = PayerLine.objects.create(
        period=period,
        key="2025-01|charge|ada",
        kind="charge",
        for_period=period,
        reference=reference,
        pi=charge.pi,
        project=charge.project,
        fund_org="BIO-001",
        source=charge.source,
        currency="USD",
        list_cost=100,
        contracted_cost=100,
        charged=100,
        charge_count=1,
        computed_at=NOW,
    )
    statement = Statement.objects.create(
        number="2025-01-0001-1",
        reference=reference,
        revision=1,
        period=period,
        pi=charge.pi,
        project=charge.project,
        digest="d",
        document={},
        currency="USD",
        list_cost=100,
        contracted_cost=100,
        charged=100,
        issued_at=NOW,
    )
    statement_line = StatementLine.objects.create(
        statement=statement,
        number=1,
        payer_key=payer_line.key,
        kind="charge",
        for_month="2025-01",
        fund_org="BIO-001",
        source_name="aws",
        source_label="AWS",
        list_cost=100,
        contracted_cost=100,
        charged=100,
        charge_count=1,
    )
    rows = (charge, flag, decision, rate, proof, correction, line, reference, payer_line, statement, statement_line)
    of = {type(row): row for row in rows} | {PayerSplitShare: split.shares.first()}
    of |= {model: getattr(charge, model.NAME) for model in DIMENSION_MODELS}
    return SimpleNamespace(period=period, of=of, charge=charge)


def run(sql, parameters=()):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def attack(model, event, row, *, change="", own=()):
    """Insert a copy of a row, change it or delete it, past every line of ours."""
    table = model._meta.db_table
    if event == "update":
        run(f"UPDATE {table} SET {change} WHERE id = {row.pk}")
    elif event == "delete":
        run(f"DELETE FROM {table} WHERE id = {row.pk}")
    else:
        columns = [field.column for field in model._meta.concrete_fields if not field.primary_key]
        values = [dict(own).get(column, column) for column in columns]
        run(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM {table} WHERE id = {row.pk}")


def rows_of(model):
    return list(model._base_manager.order_by("pk").values())


# The database ------------------------------------------------------------------------------------


def test_every_safeguard_is_in_place_after_a_migration():
    assert safeguards.missing(connection) == []
    assert len(safeguards.triggers(connection)) > 40


@pytest.mark.parametrize("status", ["open", "review", *SHUT])
@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("model", ATTACKED, ids=lambda model: model.__name__)
def test_the_database_refuses_what_a_shut_month_does_not_take(month, model, event, status):
    change, own, refused = ATTACKED[model]
    if status == "review":
        BillingPeriod.objects.update(status="review", review_until=datetime.date(2025, 2, 28))
    elif status != "open":
        build.shut("2025-01", status)
    if model is FrozenProof and event == "insert":
        pytest.skip("a month has one")
    before = rows_of(model)
    if ("open" if status == "review" else status) in refused.get(event, ()):
        with pytest.raises(IntegrityError, match="OpenChargeback: ") as refusal:
            attack(model, event, month.of[model], change=change, own=own)
        assert safeguards.said(refusal.value)
        assert rows_of(model) == before
    else:
        with transaction.atomic():
            attack(model, event, month.of[model], change=change, own=own)
            assert rows_of(model) != before
            # Other rows still refer to what was deleted.
            transaction.set_rollback(True)


def test_a_refusal_names_the_month_where_the_database_can(month):
    build.shut("2025-01")
    with pytest.raises(IntegrityError) as refusal:
        run("UPDATE billing_charge SET state = 'rejected'")
    if IS_POSTGRESQL:
        assert safeguards.said(refusal.value) == "Billing period January 2025 is closed: its charges are locked."
    else:
        assert safeguards.said(refusal.value) == "The billing period is closed or finalized: its charges are locked."


def test_nothing_is_moved_into_a_shut_month_or_out_of_it(month):
    other = build.a_charge("5", period="2025-02")
    build.shut("2025-01")
    open_id, shut_id = other.charged_in_id, month.period.pk
    with pytest.raises(IntegrityError, match="its charges are locked"):
        run(f"UPDATE billing_charge SET charged_in_id = {shut_id} WHERE id = {other.pk}")
    with pytest.raises(IntegrityError, match="its charges are locked"):
        run(f"UPDATE billing_charge SET charged_in_id = {open_id} WHERE id = {month.charge.pk}")
    with pytest.raises(IntegrityError, match="flags are locked"):
        run(f"UPDATE billing_flag SET charge_id = {other.pk}")


def test_one_row_of_a_shut_month_among_many_refuses_them_all(month):
    build.a_charge("5", period="2025-02")
    build.shut("2025-01")
    before = rows_of(Charge)
    with pytest.raises(IntegrityError, match="its charges are locked"):
        run("UPDATE billing_charge SET state = 'rejected'")
    with pytest.raises(IntegrityError, match="are locked"):
        run("DELETE FROM billing_charge")
    assert rows_of(Charge) == before


def test_a_late_change_of_a_closed_month_may_be_stored_in_an_open_one(month):
    build.shut("2025-01")
    late = build.a_charge("-100", charged_in=build.a_period("2025-02"), is_late=True, reverses=month.charge)
    assert late.period == month.period
    late.delete()
    assert not Charge.objects.filter(pk=late.pk).exists()


@pytest.mark.parametrize("status", SHUT)
@pytest.mark.skipif(IS_POSTGRESQL, reason="SQLite's REPLACE")
def test_replacing_a_row_is_deleting_it(month, status):
    other = build.a_period("2025-02")
    build.shut("2025-01", status)
    columns = [field.column for field in Charge._meta.concrete_fields]
    values = [str(other.pk) if column == "charged_in_id" else column for column in columns]
    with pytest.raises(IntegrityError, match="what is locked is not replaced"):
        run(
            f"INSERT OR REPLACE INTO billing_charge ({', '.join(columns)}) "
            f"SELECT {', '.join(values)} FROM billing_charge WHERE id = {month.charge.pk}"
        )
    with pytest.raises(IntegrityError, match="what is locked is not replaced"):
        run(
            "INSERT OR REPLACE INTO billing_billingperiod (month, status, opened_at, opened_by, review_by, closed_by, "
            "finalized_by, notes) VALUES ('2025-01-01', 'open', '2025-01-01', '', '', '', '', '')"
        )


@pytest.fixture
def another_client():
    """Be a client of SQLite that tells delete triggers nothing of what REPLACE deletes, as most are."""
    run("PRAGMA recursive_triggers=OFF")
    yield
    run("PRAGMA recursive_triggers=ON")


@pytest.mark.parametrize("model", ATTACKED, ids=lambda model: model.__name__)
@pytest.mark.skipif(IS_POSTGRESQL, reason="SQLite's REPLACE")
def test_no_client_replaces_a_row_that_stands(month, another_client, model):
    refused_in = ATTACKED[model][2].get("delete")
    if refused_in is None:
        pytest.skip("may be deleted")
    build.shut("2025-01", refused_in[-1])
    before = rows_of(model)
    assert before
    table = model._meta.db_table
    columns = [field.column for field in model._meta.concrete_fields]
    for listed in (columns, [column for column in columns if column != "id"]):
        if "id" not in listed and not sqlite.rivals(model, connection).count(" OR "):
            # Without its number nothing but the number is in its way: it is another row.
            continue
        names = ", ".join(listed)
        with pytest.raises(IntegrityError, match=r"OpenChargeback: .*(locked|stand|kept|never|log|made)"):
            run(f"REPLACE INTO {table} ({names}) SELECT {names} FROM {table}")
    assert rows_of(model) == before


@pytest.mark.skipif(IS_POSTGRESQL, reason="SQLite's REPLACE")
def test_no_client_moves_a_row_onto_one_that_stands(month, another_client):
    other = build.a_charge("5", period="2025-02", charged_in=build.a_period("2025-02"))
    build.shut("2025-01")
    with pytest.raises(IntegrityError, match="what is locked is not replaced by another row"):
        run(f"UPDATE OR REPLACE billing_charge SET id = {month.charge.pk} WHERE id = {other.pk}")
    assert Charge.objects.filter(pk__in=(other.pk, month.charge.pk)).count() == 2
    # In an open month nothing stands.
    run(f"REPLACE INTO billing_charge SELECT * FROM billing_charge WHERE id = {other.pk}")


@pytest.mark.parametrize("name", ["rowid", "oid", "_rowid_"])
@pytest.mark.skipif(IS_POSTGRESQL, reason="SQLite's REPLACE")
def test_no_client_moves_a_row_by_another_name_of_its_number(month, another_client, name):
    other = ExchangeRate.objects.create(period=build.a_period("2025-02"), currency="EUR", rate=Decimal("1.2"))
    build.shut("2025-01")
    standing = month.of[ExchangeRate]
    with pytest.raises(IntegrityError, match="what is locked is not replaced by another row"):
        run(f"UPDATE OR REPLACE billing_exchangerate SET {name} = {standing.pk} WHERE id = {other.pk}")
    assert ExchangeRate.objects.filter(pk__in=(standing.pk, other.pk)).count() == 2


@pytest.mark.skipif(IS_POSTGRESQL, reason="SQLite's REPLACE")
def test_no_client_makes_a_row_unique_in_the_place_of_one_that_stands(month, another_client):
    standing = month.of[Statement]
    former = Statement.objects.get(pk=standing.pk)
    former.pk, former.number, former.revision = None, "former", standing.revision + 1
    former.state, former.superseded_at = "superseded", NOW
    former.save(force_insert=True)
    # Its state is in the condition of a unique index, and no column of it.
    with pytest.raises(IntegrityError, match="what is locked is not replaced by another row"):
        run(f"UPDATE OR REPLACE statements_statement SET state = '{standing.state}' WHERE id = {former.pk}")
    assert Statement.objects.filter(pk=standing.pk).exists()


@pytest.mark.skipif(not IS_POSTGRESQL, reason="SQLite has no TRUNCATE")
@pytest.mark.parametrize("table", sorted({rule.table for rule in safeguards.refusals()}))
def test_no_protected_table_can_be_emptied(table):
    with pytest.raises(IntegrityError, match="is never emptied"):
        run(f"TRUNCATE {table} CASCADE")


@pytest.mark.skipif(not IS_POSTGRESQL, reason="SQLite's triggers see no temporary table")
def test_a_temporary_table_in_place_of_the_periods_fools_no_safeguard(month):
    build.shut("2025-01")
    run("CREATE TEMPORARY TABLE billing_billingperiod (id bigint, status text, month date)")
    with pytest.raises(IntegrityError, match="its charges are locked"):
        run("UPDATE billing_charge SET state = 'rejected'")
    run("DROP TABLE pg_temp.billing_billingperiod")


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("UPDATE billing_billingperiod SET status = 'open'", "permanently locked"),
        ("UPDATE billing_billingperiod SET status = 'closed'", "permanently locked"),
        ("UPDATE billing_billingperiod SET notes = 'x'", "permanently locked"),
        ("UPDATE billing_billingperiod SET month = '2024-01-01'", "permanently locked"),
        ("DELETE FROM billing_billingperiod", "not deleted"),
    ],
)
def test_a_finalized_period_is_finished_for_good(sql, said):
    build.shut("2025-01", "finalized")
    with pytest.raises(IntegrityError, match=said):
        run(sql)


def test_a_closed_period_reopens_but_is_not_deleted_or_moved():
    period = build.shut("2025-01")
    with pytest.raises(IntegrityError, match="not deleted"):
        run("DELETE FROM billing_billingperiod")
    with pytest.raises(IntegrityError, match="keeps its month"):
        run("UPDATE billing_billingperiod SET month = '2024-01-01'")
    run("UPDATE billing_billingperiod SET status = 'open'")
    period.refresh_from_db()
    assert period.takes_changes
    run("DELETE FROM billing_billingperiod")


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE billing_auditevent SET actor_name = 'nobody'",
        "DELETE FROM billing_auditevent",
        "DELETE FROM billing_audithead",
        "UPDATE billing_audithead SET events = events - 1",
        "UPDATE billing_audithead SET hash = 'other'",
    ],
)
def test_the_audit_log_only_grows(sql):
    with gesture(actor=SOMEBODY, now=NOW) as act:
        act.record("test.done")
    before = rows_of(AuditEvent), rows_of(AuditHead)
    with pytest.raises(IntegrityError, match="audit log"):
        run(sql)
    assert (rows_of(AuditEvent), rows_of(AuditHead)) == before
    with gesture(actor=SOMEBODY, now=NOW) as act:
        act.record("test.done_again")
    assert AuditHead.objects.get().events == 2


@pytest.mark.parametrize(
    ("change", "allowed"),
    [
        ("state = 'sent', sent_at = issued_at", True),
        ("state = 'written', written_at = issued_at", True),
        ("pdf_path = 'x', pdf_sha256 = 'y'", True),
        ("state = 'void', voided_at = issued_at", False),
        ("state = 'superseded', superseded_at = issued_at", False),
        ("superseded_by_id = id", False),
    ],
)
def test_a_statement_of_a_finalized_month_may_be_sent_and_drawn_and_nothing_else(month, change, allowed):
    build.shut("2025-01", "finalized")
    sql = f"UPDATE statements_statement SET {change}"
    if allowed:
        run(sql)
    else:
        with pytest.raises(IntegrityError, match="stay in force"):
            run(sql)


def test_a_statement_of_a_finalized_month_written_to_a_file_may_be_sent_and_a_sent_one_is_never_only_written(month):
    build.shut("2025-01", "finalized")
    run("UPDATE statements_statement SET state = 'written', written_at = issued_at")
    run("UPDATE statements_statement SET state = 'sent', sent_at = issued_at")
    with pytest.raises(IntegrityError, match="stay in force"):
        run("UPDATE statements_statement SET state = 'written'")


@pytest.fixture
def journal():
    build.a_policy()
    build.a_charge("100.00")
    return posting.export(period=build.a_period(), format="gl", submit=True, actor=SOMEBODY, now=NOW).journal


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE journals_journalline SET debit = 1, credit = 0",
        "UPDATE journals_journalline SET fund_org = 'OURS'",
        "DELETE FROM journals_journalline",
        "UPDATE journals_journal SET debits = 0, credits = 0",
        "UPDATE journals_journal SET file_sha256 = 'x'",
        "UPDATE journals_journal SET state = 'draft'",
        "DELETE FROM journals_journal",
    ],
)
@pytest.mark.parametrize("state", ["submitted", "posted"])
def test_a_submitted_journal_stands(journal, sql, state):
    if state == "posted":
        posting.post(journal=journal, document_number="D1", actor=SOMEBODY, now=NOW)
    before = rows_of(Journal), rows_of(JournalLine)
    with pytest.raises(IntegrityError, match="OpenChargeback: a (submitted )?journal"):
        run(sql)
    assert (rows_of(Journal), rows_of(JournalLine)) == before


def test_no_line_is_added_to_a_submitted_journal(journal):
    line = journal.lines.first()
    line.pk, line.number = None, 99
    with pytest.raises(IntegrityError, match="submitted journal is locked"), transaction.atomic():
        line.save()


def test_a_journal_leaves_draft_only_with_the_lines_its_totals_say():
    build.a_policy()
    build.a_charge("100.00")
    draft = posting.export(period=build.a_period(), format="gl", actor=SOMEBODY, now=NOW).journal
    submit = f"UPDATE journals_journal SET state = 'submitted', submitted_at = drafted_at WHERE id = {draft.pk}"
    run(f"UPDATE journals_journalline SET debit = debit + 1000000 WHERE journal_id = {draft.pk} AND debit > 0")
    with pytest.raises(IntegrityError, match="lines balance"):
        run(submit)
    run(f"UPDATE journals_journalline SET debit = debit - 1000000 WHERE journal_id = {draft.pk} AND debit > 0")
    run(submit)
    with pytest.raises(IntegrityError, match="begins as a draft"):
        run(
            "INSERT INTO journals_journal (number, period_id, kind, state, format, posting_date, currency, debits, "
            "credits, line_count, drafted_at, submitted_at, document_number, rejection_reason, reversal_reason, "
            "file_path, file_sha256, date_reason, estimates) SELECT 'J-X', period_id, kind, state, format, "
            "posting_date, currency, debits, credits, line_count, drafted_at, submitted_at, '', '', '', '', '', '', "
            "estimates FROM journals_journal"
        )


# The verbs ---------------------------------------------------------------------------------------


@pytest.fixture
def delivered_month(month, tmp_path):
    """The month with deliveries behind its charges: one applied, one that waits because the month is shut."""
    build.a_policy(center_fund_org="CENTER-1")
    build.a_fund("BIO-001")
    month.correction, month.statement = month.of[Correction], month.of[Statement]
    proposal = {field.attname: getattr(month.correction, field.attname) for field in Correction._meta.concrete_fields}
    month.proposal = Correction.objects.create(
        **proposal | {"id": None, "state": "proposed", "decided_at": None, "decided_by_name": "", "amount": Decimal(1)}
    )
    month.file = a_file(tmp_path, [a_row("8.00")], name="aws_2025-01-corrected.csv")
    month.imported = delivered(tmp_path, [a_row("7.00")], source=build.a_source("hpc")).imported
    month.held = build.a_charge("5.00", flags=("pattern_match",))
    # No month is open that a correction could be charged in, or a late change be booked in.
    return month


def skipped(decided):
    """What a bulk decision says of the charges that it left alone."""
    assert decided.count == 0
    raise PeriodClosed(str(decided))


def deferred(month):
    result = ingestion.ingest(paths=[month.file], source=build.a_source("hpc"), **DONE)
    assert result.state == "deferred"
    with pytest.raises(PeriodClosed):
        booking.book(imported=result.imported, into=month.period, **DONE)
    raise PeriodClosed(result.as_text())


DONE: dict[str, Any] = {"actor": SOMEBODY, "now": NOW}
OTHER = review.Reassignment(fund_org="CHEM-002")
# Everything that changes charges, decisions, who pays and corrections, on a month that is shut.
VERBS = {
    "ingest, and book into it": deferred,
    "withdraw": lambda m: withdrawing.withdraw(imported=m.imported, **DONE),
    "approve": lambda m: skipped(review.approve(charges=[m.held.pk], **DONE)),
    "reject": lambda m: skipped(review.reject(provider_credits=True, charges=[m.held.pk], reason="duplicate", **DONE)),
    "charge_to_center": lambda m: skipped(review.charge_to_center(charges=[m.held.pk], **DONE)),
    "reattribute": lambda m: skipped(
        review.reattribute(create=True, charges=[m.charge.pk], reassignment=OTHER, **DONE)
    ),
    "split": lambda m: skipped(review.split(create=True, charges=[m.held.pk], shares={"A": Decimal(100)}, **DONE)),
    "undo": lambda m: skipped(review.undo(charges=[m.charge.pk], **DONE)),
    "reapply": lambda m: reattribution.reapply(period=m.period, **DONE),
    "carry over": lambda m: closing.carry_over(period=m.period, **DONE),
    "refund": lambda m: corrections.add_refund(lines=[m.of[PayerLine]], reason="x", charged_in=m.period, **DONE),
    "transfer": lambda m: corrections.add_transfer(
        lines=[m.of[PayerLine]], reason="x", charged_in=m.period, to={"CHEM-002": Decimal(100)}, **DONE
    ),
    "write off": lambda m: corrections.add_write_off(lines=[m.of[PayerLine]], reason="x", charged_in=m.period, **DONE),
    "reverse a correction": lambda m: corrections.reverse(
        correction=m.correction, reason="x", charged_in=m.period, **DONE
    ),
    "approve a correction": lambda m: corrections.approve(
        correction=m.proposal, actor=Actor("another", "test"), now=NOW
    ),
    "reject a correction": lambda m: corrections.reject(correction=m.proposal, note="no", **DONE),
}
# What a closed month still makes anew, and a finalized one does not.
LAST_VERBS = {
    "make payer lines": lambda m: charging.make_payer_lines(period=m.period, **DONE),
    "generate": lambda m: issuing.generate(period=m.period, **DONE),
    "void": lambda m: issuing.void(statement=m.statement, reason="x", **DONE),
    "reopen": lambda m: closing.reopen(period=m.period, reason="x", **DONE),
    "close": lambda m: closing.close(period=m.period, **DONE),
    "finalize": lambda m: closing.finalize(period=m.period, **DONE),
}
PROTECTED = (
    Charge,
    Flag,
    ReviewDecision,
    Correction,
    CorrectionLine,
    PayerLine,
    BillingReference,
    Statement,
    StatementLine,
)


@pytest.mark.parametrize(
    ("verb", "status"),
    [*((verb, status) for verb in VERBS for status in SHUT), *((verb, "finalized") for verb in LAST_VERBS)],
)
def test_every_verb_refuses_a_shut_month_by_name_and_changes_nothing(delivered_month, verb, status):
    build.shut("2025-01", status)
    delivered_month.period.refresh_from_db()
    before = [rows_of(model) for model in (*PROTECTED, BillingPeriod)]
    with pytest.raises(BillingError, match="January 2025") as refused, transaction.atomic():
        (VERBS | LAST_VERBS)[verb](delivered_month)
    assert status in str(refused.value) or "takes no more" in str(refused.value)
    assert [rows_of(model) for model in (*PROTECTED, BillingPeriod)] == before


# The query sets ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "error"), [("closed", PeriodClosed), ("finalized", PeriodFinalized)])
@pytest.mark.parametrize(
    "change",
    [
        lambda charge: Charge.objects.update(state="rejected"),
        lambda charge: Charge.objects.in_month(charge.charged_in).update(state="rejected"),
        lambda charge: Charge.objects.filter(pk=charge.pk).update(withdrawn_in=charge.imported_in),
        lambda charge: Charge.objects.filter(pk=charge.pk).delete(),
        lambda charge: Charge.objects.bulk_create([Charge(**charge_fields(charge))]),
        lambda charge: Charge.objects.bulk_update([charge], ["fund_org"]),
        lambda charge: Charge.objects.create(**charge_fields(charge)),
        lambda charge: charge.save(),
        lambda charge: charge.save(update_fields=["state"]),
        lambda charge: charge.delete(),
        lambda charge: HeldCharge.objects.model(**charge_fields(charge)).save(),
        lambda charge: charge.imported_in.charges.update(state="rejected"),
        lambda charge: charge.flags.update(is_resolved=True),
        lambda charge: charge.flags.create(code="missing_pi"),
        lambda charge: Flag.objects.bulk_create([Flag(charge=charge, code="missing_pi")]),
        lambda charge: Flag.objects.all().delete(),
        lambda charge: ReviewDecision.objects.bulk_create([decision_of(charge)]),
        lambda charge: decision_of(charge).save(),
    ],
)
def test_no_query_set_changes_a_charge_of_a_shut_month(month, status, error, change):
    build.a_charge("5", period="2025-02")
    build.shut("2025-01", status)
    before = rows_of(Charge), rows_of(Flag), rows_of(ReviewDecision)
    charge = Charge.objects.get(pk=month.charge.pk)
    with pytest.raises(error, match=f"January 2025 is {status}"), transaction.atomic():
        change(charge)
    assert (rows_of(Charge), rows_of(Flag), rows_of(ReviewDecision)) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda line: PayerLine.objects.update(charged=0),
        lambda line: PayerLine.objects.all().delete(),
        lambda line: PayerLine.objects.bulk_create(
            [line], update_conflicts=True, unique_fields=["period", "key"], update_fields=["charged"]
        ),
        lambda line: PayerLine.objects.bulk_update([line], ["charged"]),
        lambda line: line.save(),
        lambda line: line.delete(),
        lambda line: BillingReference.objects.update(number=9),
        lambda line: BillingReference.objects.create(period=line.period, number=9),
        lambda line: StatementLine.objects.create(
            statement=Statement.objects.get(),
            number=9,
            payer_key="x",
            kind="charge",
            for_month="2025-01",
            fund_org="A",
            source_name="aws",
            list_cost=0,
            contracted_cost=0,
            charged=0,
            charge_count=0,
        ),
        lambda line: Statement.objects.update(charged=0),
        lambda line: Statement.objects.get().delete(),
        lambda line: Statement.objects.get().save(),
    ],
)
def test_no_query_set_changes_payer_lines_and_statements_of_a_finalized_month(month, change):
    build.shut("2025-01", "finalized")
    models_ = (PayerLine, BillingReference, Statement, StatementLine)
    before = [rows_of(model) for model in models_]
    with pytest.raises(PeriodFinalized, match="January 2025 is finalized"), transaction.atomic():
        change(PayerLine.objects.get())
    assert [rows_of(model) for model in models_] == before


@pytest.mark.parametrize(
    "change",
    [
        lambda: ReviewDecision.objects.update(note="no"),
        lambda: ReviewDecision.objects.all().delete(),
        lambda: ReviewDecision.objects.get().save(),
        lambda: ReviewDecision.objects.get().delete(),
        lambda: ReviewDecision.objects.bulk_update(ReviewDecision.objects.all(), ["note"]),
        lambda: StatementLine.objects.update(charged=0),
        lambda: StatementLine.objects.all().delete(),
        lambda: AuditEvent.objects.update(actor_name="nobody"),
        lambda: AuditEvent.objects.all().delete(),
        lambda: AuditEvent.objects.get().save(),
        lambda: AuditEvent.objects.get().delete(),
        lambda: Product.objects.update(service_name="Other"),
        lambda: Product.objects.all().delete(),
        lambda: Product.objects.get().save(),
        lambda: Product.objects.get().delete(),
        lambda: ResourceText.objects.bulk_update(ResourceText.objects.all(), ["resource_name"]),
    ],
)
def test_decisions_lines_of_statements_events_and_texts_are_never_edited(month, change):
    with gesture(actor=SOMEBODY, now=NOW) as act:
        act.record("test.done")
    with pytest.raises(KeptForEver):
        change()


def own_row(model, row):
    """A copy of a row, to be stored as one of its own."""
    other = model(**{field.attname: getattr(row, field.attname) for field in model._meta.concrete_fields})
    other.pk = None
    return other


@pytest.mark.parametrize(
    "change",
    [
        lambda model, row, name: model.objects.update(**{name: getattr(row, name)}),
        lambda model, row, name: model.objects.filter(pk=row.pk).update(**{name: getattr(row, name)}),
        lambda model, row, name: model.objects.bulk_update([row], [name]),
        lambda model, row, name: row.save(),
        lambda model, row, name: row.save(update_fields=[name]),
        lambda model, row, name: model.objects.all().delete(),
        lambda model, row, name: row.delete(),
        lambda model, row, name: model.objects.bulk_create([own_row(model, row)]),
        lambda model, row, name: own_row(model, row).save(),
    ],
)
@pytest.mark.parametrize("model", ATTACKED, ids=lambda model: model.__name__)
def test_no_way_through_the_models_changes_what_stands_in_a_finalized_month(month, model, change):
    build.shut("2025-01", "finalized")
    row = model.objects.get(pk=month.of[model].pk)
    name = ATTACKED[model][0].partition(" ")[0]
    setattr(row, name, ANOTHER[name])
    before = rows_of(model)
    with pytest.raises((BillingError, KeptForEver, IntegrityError, models.ProtectedError)), transaction.atomic():
        change(model, row, name)
    assert rows_of(model) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda journal, line: JournalLine.objects.update(fund_org="OURS"),
        lambda journal, line: JournalLine.objects.all().delete(),
        lambda journal, line: JournalLine.objects.bulk_update([line], ["fund_org"]),
        lambda journal, line: JournalLine.objects.bulk_create([own_row(JournalLine, line)]),
        lambda journal, line: line.save(),
        lambda journal, line: line.delete(),
        lambda journal, line: Journal.objects.update(debits=0),
        lambda journal, line: Journal.objects.bulk_update([journal], ["debits"]),
        lambda journal, line: Journal.objects.all().delete(),
        lambda journal, line: journal.save(),
        lambda journal, line: journal.delete(),
    ],
)
def test_no_way_through_the_models_changes_a_submitted_journal(journal, change):
    line = journal.lines.first()
    line.fund_org, journal.debits = "OURS", Decimal(1)
    before = rows_of(Journal), rows_of(JournalLine)
    with pytest.raises((BillingError, KeptForEver, IntegrityError)), transaction.atomic():
        change(journal, line)
    assert (rows_of(Journal), rows_of(JournalLine)) == before


def test_a_charge_is_not_moved_into_a_shut_month(month):
    other = build.a_charge("5", period="2025-02")
    closed = build.shut("2025-01")
    for moved in (closed, closed.pk):
        with pytest.raises(PeriodClosed, match="January 2025"):
            Charge.objects.filter(pk=other.pk).update(charged_in=moved)
    other.charged_in = closed
    with pytest.raises(PeriodClosed, match="January 2025"):
        other.save()


def test_either_of_two_months_is_asked_about(month):
    """Sets put together by `|` forget which month the first of them was of."""
    build.a_charge("5", period="2025-02")
    closed, open_one = build.shut("2025-01"), build.a_period("2025-02")
    charges = Charge.objects.in_month(open_one) | Charge.objects.in_month(closed)
    with pytest.raises(PeriodClosed, match="January 2025"):
        charges.update(state="rejected")
    assert Charge.objects.in_month(open_one).update(state="rejected") == 1


def test_a_change_of_one_month_asks_about_the_month_and_not_about_its_charges(month, django_assert_num_queries):
    build.shut("2024-12")
    with django_assert_num_queries(2) as asked:
        # Nothing that totals depend on: they would ask more.
        Charge.objects.in_month(month.period).update(cost_center="C-1")
    assert "billing_charge" not in asked.captured_queries[0]["sql"]


def charge_fields(charge):
    return {
        field.attname: getattr(charge, field.attname) for field in Charge._meta.concrete_fields if not field.primary_key
    }


def decision_of(charge):
    return ReviewDecision(
        charge=charge, line_number=1, action="undo", decided_by_name="x", decided_at=NOW, gesture=uuid.uuid4()
    )


# Putting up, taking off, finding out -------------------------------------------------------------


def drop(name="safeguard_billing_charge_update", table="billing_charge"):
    run(f"DROP TRIGGER {name}" + (f" ON {table}" if IS_POSTGRESQL else ""))


def test_the_check_names_a_safeguard_that_somebody_took_off():
    drop()
    with pytest.raises(CommandError, match="safeguard_billing_charge_update on billing_charge is missing") as refused:
        call_command("check", databases=["default"], stderr=StringIO())
    assert "manage.py initialize" in str(refused.value)
    safeguards.install(connection)
    call_command("check", databases=["default"], stdout=StringIO())


def test_the_check_finds_a_safeguard_that_somebody_weakened():
    drop()
    if IS_POSTGRESQL:
        run("ALTER TABLE billing_charge DISABLE TRIGGER safeguard_billing_charge_delete")
        run(
            "CREATE OR REPLACE FUNCTION safeguard_billing_flag_update() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RETURN NULL; END $$"
        )
        expected = {
            "safeguard_billing_charge_delete",
            "safeguard_billing_flag_update",
            "safeguard_billing_charge_update",
        }
    else:
        run("CREATE TRIGGER safeguard_billing_charge_update BEFORE UPDATE ON billing_charge BEGIN SELECT 1; END")
        expected = {"safeguard_billing_charge_update"}
    assert {each.trigger for each in safeguards.missing(connection)} == expected
    safeguards.install(connection)
    assert safeguards.missing(connection) == []


def test_serving_is_refused_without_the_safeguards():
    drop()
    with pytest.raises(serving.CannotServe, match="safeguards are not in place"):
        serving.require_ready()


def test_initialize_restores_the_safeguards_and_says_so():
    drop()
    out = StringIO()
    call_command("initialize", stdout=out)
    assert safeguards.missing(connection) == []
    assert "restored: safeguard_billing_charge_update" in out.getvalue()
    event = AuditEvent.objects.get(action="safeguards.restored")
    assert event.after == {"safeguards": ["safeguard_billing_charge_update on billing_charge is missing"]}
    out = StringIO()
    call_command("initialize", stdout=out)
    assert "restored" not in out.getvalue()


def test_a_safeguard_of_an_earlier_version_goes():
    name = "safeguard_billing_charge_of_old"
    if IS_POSTGRESQL:
        function = "safeguard_billing_charge_truncate()"
        run(f"CREATE TRIGGER {name} BEFORE TRUNCATE ON billing_charge EXECUTE FUNCTION {function}")
    else:
        run(f"CREATE TRIGGER {name} BEFORE UPDATE ON billing_charge BEGIN SELECT 1; END")
    assert [str(each) for each in safeguards.missing(connection)] == [f"{name} on billing_charge is not known"]
    safeguards.install(connection)
    assert safeguards.missing(connection) == []


def test_flush_is_refused_outside_tests(settings, month):
    settings.MAY_FLUSH = False
    with pytest.raises(CommandError, match="only tests may"):
        call_command("flush", interactive=False)
    assert Charge.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_flush_empties_protected_tables_and_leaves_the_safeguards_in_place(month):
    build.shut("2025-01", "finalized")
    call_command("flush", interactive=False, verbosity=0)
    assert not Charge.objects.exists()
    assert not BillingPeriod.objects.exists()
    assert safeguards.missing(connection) == []


@pytest.mark.django_db(transaction=True)
def test_a_migration_that_rebuilds_a_protected_table_leaves_the_safeguards_in_place(monkeypatch):
    """On SQLite a table is altered by making it anew: its triggers go, and others name what is not there."""
    from django.apps import apps
    from django.core.management.sql import emit_post_migrate_signal, emit_pre_migrate_signal

    build.shut("2025-01")
    leaf = max(name for app, name in _executor().loader.graph.leaf_nodes() if app == "billing")

    class Migration(migrations.Migration):
        dependencies = [("billing", leaf)]
        operations = [
            migrations.AlterField("billingperiod", "notes", models.TextField(null=True)),
            migrations.AlterField("charge", "fund_org", models.CharField(max_length=99, blank=True)),
            migrations.AddField("charge", "color", models.CharField(max_length=8, default="")),
        ]

    migration = Migration("9999_altered", "billing")
    before: ProjectState = _executor().loader.project_state()
    for forwards in (True, False):
        plan = [(migration, not forwards)]
        emit_pre_migrate_signal(0, False, "default", plan=plan, apps=apps)
        assert _names() == set()
        with connection.schema_editor(atomic=True) as editor:
            step = migration.apply if forwards else migration.unapply
            step(before.clone(), editor)
        emit_post_migrate_signal(0, False, "default", plan=plan, apps=apps)
        assert safeguards.missing(connection) == []
        with pytest.raises(IntegrityError, match="keeps its month"):
            run("UPDATE billing_billingperiod SET month = '2024-01-01'")


def _executor():
    from django.db.migrations.executor import MigrationExecutor

    return MigrationExecutor(connection)


def _names():
    return set(safeguards.installed(connection))


def test_nothing_to_migrate_touches_no_safeguard(monkeypatch):
    monkeypatch.setattr(installing, "remove", lambda connection: pytest.fail("taken off"))
    call_command("migrate", verbosity=0)
    assert safeguards.missing(connection) == []


def test_loading_checks_what_it_added_as_a_whole(month):
    """On SQLite the insert trigger is off for the one statement, and what it added is checked before it is back."""
    build.shut("2025-01")
    before = rows_of(Charge)
    columns = [field.column for field in Charge._meta.concrete_fields if not field.primary_key]
    listed = ", ".join(columns)
    with (
        pytest.raises(IntegrityError, match="its charges are locked"),
        transaction.atomic(),
        safeguards.as_one_statement(connection, Charge, Flag),
        connection.cursor() as cursor,
    ):
        cursor.execute(f"INSERT INTO billing_charge ({listed}) SELECT {listed} FROM billing_charge")
    assert rows_of(Charge) == before
    assert safeguards.missing(connection) == []

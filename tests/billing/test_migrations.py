"""Amounts are what they were after their columns got room for the totals of large months, there and back."""

from decimal import Decimal

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from billing.corrections import entries
from billing.models import EntryLine, ImportOverlap, ImportTotal, InvoiceTotal, PayerLine
from billing.safeguards import walls
from journals import posting
from journals.models import Journal, JournalLine
from statements import issuing
from statements.models import Statement, StatementLine
from tests import build

NAME = "room_for_totals"
WHO = {"actor": build.SOMEBODY, "now": build.NOW}
AMOUNTS = {
    PayerLine: ("list_cost", "contracted_cost", "charged", "rounding", "shared_total"),
    EntryLine: ("amount",),
    ImportTotal: ("billed_stored", "effective_stored", "billed_exact"),
    ImportOverlap: ("billed", "effective"),
    InvoiceTotal: ("amount",),
    Statement: ("list_cost", "charged", "corrections"),
    StatementLine: ("list_cost", "charged"),
    Journal: ("debits", "credits"),
    JournalLine: ("debit", "credit", "list_cost"),
}


def amounts():
    return {model: list(model.objects.order_by("pk").values_list(*names)) for model, names in AMOUNTS.items()}


def raw(table, column):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table} ORDER BY id LIMIT 1")
        return cursor.fetchone()[0]


@pytest.mark.django_db(transaction=True)
def test_amounts_outlive_the_change_of_their_columns():
    source = build.a_source("aws", recovery_fund_org="RC", recovery_account="4900", debit_account="6500")
    build.a_policy(center_fund_org="C")
    charge = build.a_charge("1234567.8949", source="aws", list_cost=Decimal("2000000.005"))
    period = build.a_period()
    ImportOverlap.objects.create(
        imported_in=charge.imported_in,
        kind="again",
        period=period,
        borne_by=period,
        currency="USD",
        rows=1,
        billed=Decimal("-0.00000001"),
        effective=Decimal("91000000000.12345678"),
    )
    InvoiceTotal.objects.create(
        source=source, period=period, currency="USD", amount=Decimal("1234567.89"), entered_at=build.NOW
    )
    issuing.generate(period=period, **WHO)
    posting.export(period=period, format="gl", submit=True, **WHO)
    entries.add_manual_charge(
        pi=build.a_pi(), fund_org="F", source=source, amount=Decimal("5.25"), reason="Help", **WHO
    )
    before = amounts()
    assert all(rows for rows in before.values())
    assert before[PayerLine][0][2] == Decimal("1234567.89")
    executor = MigrationExecutor(connection)
    disk = executor.loader.disk_migrations
    here = [key for key in disk if key[1].endswith(NAME)]
    assert len(here) == 3
    leaves = executor.loader.graph.leaf_nodes()
    walls.remove(connection)
    try:
        executor.migrate([next(parent for parent in disk[key].dependencies if parent[0] == key[0]) for key in here])
        assert raw("billing_payerline", "charged") == 123456789000000
        assert raw("billing_importoverlap", "billed") == -1
        assert raw("journals_journal", "debits") == 123456789000000
    finally:
        MigrationExecutor(connection).migrate(leaves)
        walls.install(connection)
    assert raw("billing_payerline", "charged") == 12345678900
    assert raw("billing_importoverlap", "billed") == "-0.00000001"
    assert amounts() == before

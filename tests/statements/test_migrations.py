"""What stood in the database before an e-mail had one recipient is kept, an e-mail for each."""

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from billing.safeguards import walls
from statements.models import Delivery, Statement
from tests import build
from tests.build import NOW, SOMEBODY

BEFORE, AFTER = "email_per_recipient", "stamps_of_emails"


def named(name: str) -> tuple[str, str]:
    found = [key for key in MigrationExecutor(connection).loader.disk_migrations if key[0] == "statements"]
    return next(key for key in found if key[1].endswith(name))


def migrate(target: tuple[str, str]):
    executor = MigrationExecutor(connection)
    executor.migrate([target])
    return MigrationExecutor(connection).loader.project_state([target]).apps


@pytest.mark.django_db(transaction=True)
def test_an_e_mail_with_copies_becomes_one_for_each_recipient():
    from statements import issuing

    build.a_charge("10.00", pi="ada@u.edu")
    ada = build.a_pi("ada@u.edu")
    ada.contact_email = "office@u.edu"
    ada.save()
    grace = build.a_user("grace")
    issuing.generate(period=build.a_period(), actor=SOMEBODY, now=NOW)
    statement = Statement.objects.get()
    first = named(BEFORE)
    parents = MigrationExecutor(connection).loader.disk_migrations[first].dependencies
    last = MigrationExecutor(connection).loader.graph.leaf_nodes("statements")[0]
    walls.remove(connection)
    try:
        old = migrate(next((app, name) for app, name in parents if app == "statements"))
        row = old.get_model("statements", "Delivery").objects.create(
            period_id=statement.period_id,
            pi_id=ada.pk,
            recipients=["ada@u.edu", "office@u.edu", "grace@u.edu"],
            state="sent",
            sent_at=NOW,
            created_at=NOW,
        )
        row.statements.add(statement.pk)
    finally:
        migrate(last)
        walls.install(connection)
    kept = Delivery.objects.order_by("pk")
    assert list(kept.values_list("recipient", "role", "user", "state")) == [
        ("ada@u.edu", "pi", None, "sent"),
        ("office@u.edu", "contact", None, "sent"),
        ("grace@u.edu", "delegate", grace.pk, "sent"),
    ]
    assert all(list(each.statements.all()) == [statement] for each in kept)


@pytest.mark.django_db(transaction=True)
def test_statements_from_before_are_not_revised_because_of_an_upgrade():
    from statements import issuing

    build.a_charge("10.00", pi="ada@u.edu", period="2025-01")
    build.a_charge("20.00", pi="bob@u.edu", period="2025-02", reference_1="NSF-1")
    build.a_charge("-4.00", pi="bob@u.edu", charged_in=build.a_period("2025-02"), is_late=True)
    finalized = build.a_period("2025-01")
    for month in ("2025-01", "2025-02"):
        issuing.generate(period=build.a_period(month), actor=SOMEBODY, now=NOW)
    of_bob = Statement.objects.get(pi__email="bob@u.edu", period__month="2025-02-01")
    assert of_bob.corrections == -4
    last = MigrationExecutor(connection).loader.graph.leaf_nodes("statements")[0]
    walls.remove(connection)
    try:
        old = migrate(named("corrections_of_statements"))
        old.get_model("statements", "Statement").objects.update(digest="f" * 64, corrections=0, corrections_list_cost=0)
        old.get_model("billing", "BillingPeriod").objects.filter(pk=finalized.pk).update(
            status="finalized", closed_at=NOW, closed_by="x", finalized_at=NOW, finalized_by="x"
        )
    finally:
        migrate(last)
        walls.install(connection)
    assert issuing.changes_of(build.a_period("2025-02")) == 0
    again = Statement.objects.get(pk=of_bob.pk)
    assert (again.corrections, again.corrections_list_cost) == (of_bob.corrections, of_bob.corrections_list_cost)
    # The seals of a finalized month hold the digests of its statements.
    assert Statement.objects.get(period=finalized).digest == "f" * 64

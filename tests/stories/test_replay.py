"""A month rebuilt from its files and decisions is the month that was charged, or what is not the same is named."""

import datetime
import io
import json
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from billing import audit, corrections, review
from billing.audit.snapshots import differences, snapshot
from billing.fields import TOTAL_PLACES, to_units
from billing.importing import booking, ingestion, withdrawing
from billing.models import AttributionRule, Charge, FundingSource, Import, PayerLine, Project, StoredFile
from billing.months import closing
from billing.replay.figures import figures_of
from billing.replay.recording import NotReplayable, imports_of
from billing.replay.replaying import differences_of, replay
from billing.review import reattribution
from billing.setup import funding, people, policies, registers, sourcing
from journals import posting
from statements import issuing
from tests import build
from tests.billing.deliveries import a_row, delivered
from tests.build import NOW, SOMEBODY

from .tampered import tampering

pytestmark = pytest.mark.django_db

DOING = {"actor": SOMEBODY, "now": NOW}
ADA = {"pi_email": "ada@u.edu", "project_id": "genomics", "fund_org": "BIO-001"}


def raw(sql: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)


def live(resource: str) -> list[int]:
    return list(
        Charge.objects.live().filter(resource__resource_id=resource, reverses__isnull=True).values_list("pk", flat=True)
    )


def feb(row: dict[str, str]) -> dict[str, str]:
    later = {"2025-02-01": "2025-03-01", "2025-01": "2025-02"}
    for old, new in later.items():
        row = {name: value.replace(old, new) for name, value in row.items()}
    return row


@pytest.fixture
def story(tmp_path):
    """Two months with all that is replayed: imports, decisions, a split, new rules, a late change, a correction."""
    january, february = build.a_period("2025-01"), build.a_period("2025-02")
    build.a_policy(center_fund_org="CENTER-1")
    aws = build.a_source("aws")
    lab = build.a_project("shared-lab", pi=build.a_pi("ada@u.edu"))
    build.a_split({"BIO-001": "60", "CHEM-2": "40"}, project=lab)
    rows = [
        a_row("10.005", ResourceId="i-1"),
        a_row("20.0011", ResourceId="i-2", tags={}),
        a_row("33.335", ResourceId="i-3", tags={**ADA, "project_id": "shared-lab"}),
        a_row("4.44", ResourceId="i-4", tags={}),
        a_row("5.55", ResourceId="i-5", tags={"pi_email": "ada@u.edu", "project_id": "genomics"}),
        a_row("6.66", ResourceId="i-6", tags={}),
        a_row("8.88", ResourceId="i-8", tags={}, ServiceName="Storage"),
    ]
    delivered(tmp_path, rows)
    assert Charge.objects.get(resource__resource_id="i-5").state == "held"
    # What the source says by now is not what it said when this came in.
    sourcing.change(source=aws, fields={"overflow_fund_org": "LATER-1"}, **DOING)
    again = [{**rows[0], "BilledCost": "11.0049"}, *rows[1:], a_row("7.77", ResourceId="i-7")]
    # In review a delivery waits until somebody applies it.
    closing.start_review(period=january, until=datetime.date(2025, 2, 20), **DOING)
    delivered(tmp_path, again, name="aws_2025-01_b.csv")
    ingestion.apply_deferred(imported=Import.objects.get(state="deferred"), **DOING)
    delivered(tmp_path, [{**again[0], "BilledCost": "99.00"}, *again[1:]], name="aws_2025-01_c.csv")
    ingestion.apply_deferred(imported=Import.objects.get(state="deferred"), **DOING)
    withdrawing.withdraw(imported=Import.objects.order_by("-pk").first(), **DOING)

    reassignment = review.Reassignment(pi="grace@u.edu", project="algebra", fund_org="MATH-9")
    review.reattribute(
        create=True, charges=live("i-2"), reassignment=reassignment, approve=True, note="She told us.", **DOING
    )
    review.reject(provider_credits=True, charges=live("i-4"), reason="test", **DOING)
    review.undo(charges=live("i-4"), **DOING)
    review.reject(provider_credits=True, charges=live("i-4"), reason="duplicate", **DOING)
    review.split(charges=live("i-5"), shares={"A-1": Decimal(70), "B-2": Decimal(30)}, approve=True, **DOING)
    rule = AttributionRule.objects.create(service="Storage", pi=build.a_pi("ada@u.edu"), fund_org="RULE-0")
    with audit.gesture(**DOING) as gesture:
        gesture.record("attribution_rule.added", rule, after=snapshot(rule))
        before = snapshot(rule)
        rule.fund_org = "RULE-1"
        rule.save()
        old, new = differences(before, snapshot(rule))
        gesture.record("attribution_rule.changed", rule, before=old, after=new)
    reattribution.reapply(period=january, **DOING)
    assert Charge.objects.live().get(resource__resource_id="i-8").fund_org == "RULE-1"
    issuing.generate(period=january, **DOING)
    closing.close(period=january, carry_held=True, **DOING)
    january.refresh_from_db()
    issuing.generate(period=january, **DOING)
    posting.export(period=january, format="gl", submit=True, **DOING)

    # One delivery of both months: the open one takes its rows, what it changes of the closed one waits.
    of_february = [feb(a_row("50.50")), feb(a_row("1.005", ResourceId="i-9"))]
    delivered(tmp_path, [{**again[0], "BilledCost": "12.50"}, *again[1:], *of_february], name="aws_both.csv")
    rest = Import.objects.get(state="deferred")
    assert rest.rest_of is not None
    booking.book(imported=rest, into=february, **DOING)
    review.reattribute(create=True, charges=live("i-6"), reassignment=reassignment, approve=True, **DOING)
    line = PayerLine.objects.get(period=january, fund_org="MATH-9")
    corrections.add_refund(
        lines=[line], amount=Decimal("5.00"), reason="Billed for a test.", charged_in=february, **DOING
    )
    issuing.generate(period=february, **DOING)
    return january, february


def test_a_shared_cost_that_a_decision_made_somebodys_own_is_rebuilt_so(tmp_path):
    build.a_policy()
    rule = AttributionRule.objects.create(service="Support", shared_as="Support")
    with audit.gesture(**DOING) as gesture:
        gesture.record("attribution_rule.added", rule, after=snapshot(rule))
    rows = [a_row("10", ResourceId="i-1", tags=ADA), a_row("4", ResourceId="i-2", tags={}, ServiceName="Support")]
    delivered(tmp_path, rows)
    assert Charge.objects.get(resource__resource_id="i-2").shared_as == "Support"
    review.reattribute(
        create=True,
        charges=live("i-2"),
        reassignment=review.Reassignment(pi="grace@u.edu", project="algebra", fund_org="MATH-9"),
        **DOING,
    )
    assert Charge.objects.get(resource__resource_id="i-2").shared_as == ""
    issuing.generate(period=build.a_period(), **DOING)
    replayed = replay(period=build.a_period())
    assert replayed.first is None, replayed.as_text()


def test_a_month_of_the_demo_is_rebuilt_in_a_database_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("DEMO", "true")
    delivered(tmp_path, [a_row("10.005", ResourceId="i-1", tags=ADA)])
    assert replay(period=build.a_period("2025-01")).first is None


def test_a_month_is_rebuilt_without_the_departments_of_its_people_and_projects(tmp_path):
    build.a_policy()
    for cost, department in (("10", "Law"), ("11", "Mathematics")):
        registers.load(
            registers.PEOPLE, file=io.BytesIO(f"email,department\nada@u.edu,{department}\n".encode()), **DOING
        )
        delivered(tmp_path, [a_row(cost, tags=ADA)], name=f"aws_{department}.csv")
    Project.objects.update(department=build.a_department("GENOMICS", parent=build.a_department("BIO")))
    issuing.generate(period=build.a_period(), **DOING)
    replayed = replay(period=build.a_period(), keep=tmp_path / "kept")
    assert replayed.first is None, replayed.as_text()
    recorded = json.loads((tmp_path / "kept" / "recording.json").read_text())
    told = [*recorded["given"], *(step["insert"] for step in recorded["steps"] if "insert" in step)]
    assert {row["model"] for row in told} >= {"billing.person", "billing.project"}
    assert [row for row in told if row["fields"].get("department") and row["model"] != "billing.policy"] == []


def test_a_month_with_all_that_can_happen_is_rebuilt_byte_for_byte(story, tmp_path):
    january, february = story
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    kept = tmp_path / "kept"
    first = replay(period=january, keep=kept)
    assert first.first is None, first.as_text()
    assert first.stored_digest == first.rebuilt_digest
    assert (first.imports, first.charges, first.lines) == (5, 6, 6)
    second = replay(period=february)
    assert second.first is None, second.as_text()
    assert {line.kind for line in PayerLine.objects.filter(period=february)} == {"charge", "late", "refund"}
    # Nothing of what is real was touched.
    assert {path: path.stat().st_mtime_ns for path in before if kept not in path.parents} == before
    assert Import.objects.count() == 5

    # From here on the rebuilt side is known: what differs is what somebody changed by hand.
    with tampering():
        rebuilt = json.loads((kept / "rebuilt.json").read_text())["figures"]
        numbers = [each.pk for each in imports_of(january)]

        def first_difference() -> str:
            return str(differences_of(figures_of(january, numbers), rebuilt)[0])

        charge = Charge.objects.live().get(resource__resource_id="i-7")
        raw("UPDATE billing_charge SET billed_cost = billed_cost + 1 WHERE id = %s", charge.pk)
        assert first_difference().endswith("billed_cost is 7.77000001, and rebuilt 7.77")
        assert f"import {charge.imported_in_id:09}, file 1, line {charge.line_number:09}" in first_difference()
        raw("UPDATE billing_charge SET billed_cost = billed_cost - 1, fund_org = 'MINE-1' WHERE id = %s", charge.pk)
        assert first_difference().endswith("fund_org is MINE-1, and rebuilt BIO-001")
        raw("UPDATE billing_charge SET fund_org = 'BIO-001' WHERE id = %s", charge.pk)
        assert differences_of(figures_of(january, numbers), rebuilt) == []
        raw("DELETE FROM billing_flag WHERE charge_id = %s", charge.pk)
        raw("DELETE FROM billing_charge WHERE id = %s", charge.pk)
        assert "rebuilt there" in first_difference()


def test_a_figure_changed_behind_the_program_is_named_and_the_command_ends_with_1(story):
    january, _ = story
    with tampering():
        line = PayerLine.objects.get(period=january, fund_org="CHEM-2")
        one_cent = to_units(Decimal("0.01"), TOTAL_PLACES)
        raw("UPDATE billing_payerline SET charged = charged + %s WHERE id = %s", one_cent, line.pk)
        out = StringIO()
        with pytest.raises(CommandError) as refused:
            call_command("replay", "-p", "2025-01", "--json", stdout=out)
        assert refused.value.returncode == 1
        answer = json.loads(out.getvalue())
        assert answer["equal"] is False
        assert answer["stored_digest"] != answer["rebuilt_digest"]
        assert answer["first"] == {
            "of": f"payer line {line.key}",
            "figure": "charged",
            "stored": "13.35",
            "rebuilt": "13.34",
        }


def test_a_file_that_was_changed_or_lost_is_named_before_anything_is_rebuilt(tmp_path, settings):
    delivered(tmp_path, [a_row("10.00")])
    period = Charge.objects.get().period
    path = settings.MEDIA_ROOT / StoredFile.objects.get().path
    content = path.read_text()
    path.write_text(content.replace("10.00", "90.00"))
    with pytest.raises(NotReplayable, match=r"aws_2025-01.csv of import \d+ .* is not what was received"):
        replay(period=period)
    path.unlink()
    with pytest.raises(NotReplayable, match="cannot be read: No such file"):
        replay(period=period)


def test_a_decision_that_does_not_fit_the_rebuilt_charges_is_named(tmp_path):
    delivered(tmp_path, [a_row("10.00", tags={})])
    period = Charge.objects.get().period
    review.reject(provider_credits=True, charges=live("i-1"), reason="test", **DOING)
    with tampering():
        raw("UPDATE billing_reviewdecision SET before = %s", json.dumps({"state": "clear"}))
        with pytest.raises(NotReplayable, match="found state of charge .* to be “clear”, and rebuilt it is “held”"):
            replay(period=period)


def test_the_folder_to_keep_is_an_empty_one(tmp_path):
    period = build.a_period("2025-01")
    (tmp_path / "something").write_text("mine")
    with pytest.raises(NotReplayable, match="is not empty"):
        replay(period=period, keep=tmp_path)


def test_what_was_released_once_a_pi_was_confirmed_and_an_award_extended_is_rebuilt(tmp_path):
    """Held as it came, released by the confirmation and the exception, and held late once they are not enough."""
    policies.change_policy(changes={"own_domains": ["u.edu"]}, **DOING)
    listed = io.BytesIO(b"fund_org,valid_until,last_posting_date\nBIO-001,2024-12-31,2025-02-10\n")
    registers.load(registers.FUNDS, file=listed, **DOING)
    stranger = ADA | {"pi_email": "eva@lab.org"}
    rows = [a_row("10.00"), a_row("20.00", tags=stranger | {"fund_org": "NEW-1"}, ResourceId="i-2")]
    delivered(tmp_path, rows)
    assert Charge.objects.held().count() == 2
    people.confirm(people=[build.a_pi("eva@lab.org")], **DOING)
    fund = FundingSource.objects.get()
    funding.record_exception(fund=fund, valid_until=datetime.date(2025, 3, 31), reason="No-cost extension", **DOING)
    assert Charge.objects.held().count() == 1
    review.approve(charges=live("i-2"), **DOING)
    january = build.a_period("2025-01")
    issuing.generate(period=january, **DOING)
    closing.close(period=january, **DOING)
    delivered(tmp_path, [a_row("12.00"), *rows[1:]], name="aws_2025-01_v2.csv", period="2025-01")
    february = build.a_period("2025-02")
    booking.book(imported=Import.objects.get(state="deferred"), into=february, **DOING)
    assert Charge.objects.held().count() == 2
    for period in (january, february):
        issuing.generate(period=period, **DOING)
        rebuilt = replay(period=period)
        assert rebuilt.first is None, rebuilt.as_text()

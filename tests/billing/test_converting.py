"""Who pays for the rows of a piece, and why they are held, is what each row by itself would be told."""

import datetime
import random

import pytest

from billing.attribution import Attributor, reference_of
from billing.importing.converting import Converter
from billing.importing.ingestion import ingest
from billing.importing.outcomes import ImportRefused
from billing.models import AttributionRule, Charge, CloudAccount, FundingSource, PayerSplit, Policy
from billing.readers import csv_blocks, numbering, understanding
from billing.readers.batches import Batch
from tests import build
from tests.billing.deliveries import a_file, a_row

pytestmark = pytest.mark.django_db

MANY = 2_000
JANUARY = datetime.date(2025, 1, 1)


@pytest.fixture
def in_small_blocks(monkeypatch):
    monkeypatch.setattr(csv_blocks, "FIRST_BLOCK", 20_000)
    monkeypatch.setattr(csv_blocks, "LARGEST_BLOCK", 20_000)


def converted(rows, *, together, expected=frozenset({JANUARY})):
    """Return for each row who pays, whether it is held, and the reasons; and the counts of the import."""
    policy = Policy.objects.current()
    converter = Converter(
        attributor=Attributor(source=build.a_source(), policy=policy),
        reference=reference_of(policy),
        currency="USD",
        flag_patterns=policy.flag_patterns,
        expected=expected,
    )
    found = []
    for start in range(0, len(rows), together):
        part = rows[start : start + together]
        columns = {name: [row[name] for row in part] for name in part[0]}
        batch = Batch(lines=range(start + 2, start + 2 + len(part)), columns=columns, bytes_read=0)
        said = converter.convert(batch, file_name="a.csv", file_number=1)
        assert said is not None, converter.problems
        reasons = {}
        for row, code, detail in said.flags:
            reasons.setdefault(row, []).append((code, detail))
        for row, number, state in zip(said.rows, said.attributed.tolist(), said.states, strict=True):
            found.append((row, said.owners[number], state, sorted(reasons.get(row, ()))))
    counts = (converter.flag_counts, converter.flagged_rows, converter.rows, converter.rules, str(converter.zone))
    return found, counts


def a_mixed_row(chance):
    start = datetime.datetime(2025, 1, chance.randint(1, 30), chance.choice([0, 0, 7, 8]), tzinfo=datetime.UTC)
    end = start + datetime.timedelta(hours=chance.choice([1, 24, 24, 48, -3]))
    person = chance.choice(["ada@u.edu", "bob@u.edu", "old@u.edu", "nobody", ""])
    fund = chance.choice(["BIO-001", "OLD-1", "NEW-1", "???", ""])
    tags = {"pi_email": person, "project_id": chance.choice(["genomics", "shared", ""]), "fund_org": fund}
    if chance.random() < 0.1:
        tags["end_date"] = "2025-01-15"
    return a_row(
        tags=chance.choice([tags, tags, {}, "{not json"]),
        ChargePeriodStart=f"{start:%Y-%m-%dT%H:%M:%SZ}",
        ChargePeriodEnd=f"{end:%Y-%m-%dT%H:%M:%SZ}",
        BillingPeriodStart=chance.choice(["2025-01-01T00:00:00Z"] * 9 + ["2025-02-01T00:00:00Z"]),
        ServiceName=chance.choice(["Compute", "Storage", "Marketplace"]),
        ResourceId=f"i-{chance.randint(1, 40)}",
        BillingAccountId=chance.choice(["acct-1", "acct-2"]),
        ChargeCategory=chance.choice(["Usage"] * 5 + ["Odd"]),
    )


@pytest.mark.parametrize("dated", [True, False])
def test_rows_of_a_piece_are_paid_for_and_held_as_each_by_itself(dated):
    build.a_policy(flag_patterns=["market", "^i-7$"], fund_org_patterns=[r"[A-Z]+-\d+"])
    if dated:
        FundingSource.objects.create(fund_org="OLD-1", valid_until=datetime.date(2025, 1, 10))
        FundingSource.objects.create(fund_org="NEW-1", valid_from=datetime.date(2025, 1, 12))
        FundingSource.objects.create(fund_org="BIO-001")
        build.a_pi("old@u.edu", active_until=datetime.date(2025, 1, 20))
        split = PayerSplit.objects.create(project=build.a_project("shared"), valid_from=datetime.date(2025, 1, 5))
        split.shares.create(fund_org="OLD-1", percent=100)
        source = build.a_source()
        AttributionRule.objects.create(source=source, service="Storage", fund_org="RULE-1", valid_from=JANUARY)
        AttributionRule.objects.create(
            source=source, resource="i-1*", pi=build.a_pi("late@u.edu"), valid_from=datetime.date(2025, 1, 16)
        )
        CloudAccount.objects.create(source=source, account_id="acct-2", default_pi=build.a_pi("owner@u.edu"))
    chance = random.Random(1)
    rows = [a_mixed_row(chance) for _ in range(300)]
    alone = converted(rows, together=1)
    assert converted(rows, together=300) == alone
    assert converted(rows, together=77) == alone
    assert {state for _, _, state, _ in alone[0]} == {"clear", "held"}
    codes = {code for _, _, _, reasons in alone[0] for code, _ in reasons}
    assert codes >= {"period_mismatch", "period_reversed", "unknown_category", "pattern_match", "invalid_tags"}


def test_days_of_service_are_those_of_the_providers_clocks():
    """On the Pacific coast, 07:00Z of January 11 is the day before, to which the fund still paid."""
    FundingSource.objects.create(fund_org="BIO-001", valid_until=datetime.date(2025, 1, 10))
    pacific = {"BillingPeriodStart": "2025-01-01T08:00:00Z", "BillingPeriodEnd": "2025-02-01T08:00:00Z"}
    hours = {"ChargePeriodStart": "2025-01-11T06:00:00Z", "ChargePeriodEnd": "2025-01-11T08:00:00Z"}
    ((_, _, state, _),), _ = converted([a_row(**pacific, **hours)], together=1)
    assert state == "clear"
    ((_, _, state, ((code, _),)),), _ = converted([a_row(**hours)], together=1)
    assert (state, code) == ("held", "fund_not_valid")


def test_tags_are_who_pays_however_many_are_remembered(tmp_path, monkeypatch, in_small_blocks):
    monkeypatch.setattr(understanding, "REMEMBERED_TAGS", 30)
    monkeypatch.setattr(numbering, "REMEMBERED_BYTES", 20_000)
    people = [f"pi{number % 700}@u.edu" for number in range(MANY)]
    rows = [a_row(ResourceId=email, tags={"pi_email": email, "project_id": "p", "fund_org": "F"}) for email in people]
    other = [row | {"ResourceId": f"other-{row['ResourceId']}"} for row in rows]
    ingest(
        paths=[a_file(tmp_path, rows, "aws_2025-01_a.csv"), a_file(tmp_path, other[::-1], "aws_2025-01_b.csv")],
        source=build.a_source("aws"),
        actor=build.SOMEBODY,
        now=build.NOW,
    )
    charged = Charge.objects.values_list("resource_key__resource_id", "tag_set_key__tags", "pi__email")
    assert charged.count() == 2 * MANY
    assert all(resource.removeprefix("other-") == email and email in tags for resource, tags, email in charged)


def test_problems_of_several_pieces_are_named_with_their_lines_and_nothing_is_kept(tmp_path, in_small_blocks):
    rows = [a_row(ResourceId=f"i-{number}") for number in range(MANY)]
    rows[3]["ListCost"], rows[-1]["ChargePeriodStart"], rows[3]["ServiceName"] = "$5", "4/1/25", "#REF!"
    with pytest.raises(ImportRefused) as refused:
        ingest(paths=[a_file(tmp_path, rows)], source=build.a_source("aws"), actor=build.SOMEBODY, now=build.NOW)
    assert [(each["line"], each["column"]) for each in refused.value.errors] == [
        (5, "ServiceName"),
        (5, "ListCost"),
        (MANY + 1, "ChargePeriodStart"),
    ]
    assert not Charge.objects.exists()


def test_the_first_hundred_problems_are_those_of_the_first_lines(tmp_path, in_small_blocks):
    rows = [
        a_row("abc" if number % 3 == 0 else "1", ServiceName="#REF!" if number % 5 == 0 else "")
        for number in range(MANY)
    ]
    with pytest.raises(ImportRefused) as refused:
        ingest(paths=[a_file(tmp_path, rows)], source=build.a_source("aws"), actor=build.SOMEBODY, now=build.NOW)
    lines = [each["line"] for each in refused.value.errors]
    assert (len(lines), lines) == (100, sorted(lines))
    assert lines[-1] < 80

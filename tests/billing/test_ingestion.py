"""Deliveries: nothing lost, nothing counted twice, decisions kept."""

import datetime
import gzip
import hashlib
import json
import zipfile
from decimal import Decimal

import pytest
from django.db import OperationalError, connection
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from billing import review
from billing.importing import booking, comparing, expected_periods, live_charges, upkeep
from billing.importing.ingestion import ingest
from billing.importing.outcomes import ImportRefused, WouldWithdraw
from billing.importing.staging import figures
from billing.importing.withdrawing import NotWithdrawable, withdraw
from billing.models import AuditEvent, BillingPeriod, Charge, Flag, Import, ImportTotal, Person, Project, Source
from billing.months import closing
from tests import build
from tests.billing.deliveries import a_file, a_row, delivered

pytestmark = pytest.mark.django_db


def live_billed():
    return sorted(Charge.objects.live().values_list("billed_cost", flat=True))


def counts(result):
    return (result.counts.new, result.counts.changed, result.counts.unchanged, result.counts.withdrawn)


# What becomes of a row ---------------------------------------------------------------------------


def test_a_row_becomes_a_charge_with_all_it_said(tmp_path):
    row = a_row(
        "12.50",
        ListCost="20",
        ContractedCost="15.0",
        EffectiveCost="12.123456785",
        ChargeClass="Correction",
        ChargeDescription="hours, of a machine",
        InvoiceId="INV-1",
        SubAccountId="0042",
        ResourceName="vm",
        SkuId="S",
        RegionId="us-east-1",
        PricingQuantity="1.50",
        PricingUnit="Hours",
        tags={
            "pi_email": "Ada@U.edu ",
            "project_id": "genomics",
            "fund_org": "BIO-001",
            "cost_center": "CC",
            "grant_number": "NSF-1",
            "request_id": "REQ-1",
        },
    )
    result = delivered(tmp_path, [row])
    charge = Charge.objects.get()
    assert counts(result) == (1, 0, 0, 0)
    assert (charge.billed_cost, charge.list_cost, charge.contracted_cost) == (Decimal("12.5"), 20, 15)
    assert charge.effective_cost == Decimal("12.12345678")
    assert (charge.period.month, charge.charged_in_id) == (datetime.date(2025, 1, 1), charge.period_id)
    assert charge.charge_period_start == datetime.datetime(2025, 1, 5, tzinfo=datetime.UTC)
    assert charge.charge_period_end == datetime.datetime(2025, 1, 6, tzinfo=datetime.UTC)
    assert (charge.charge_class, charge.invoice_id, charge.sub_account_id) == ("Correction", "INV-1", "0042")
    assert (charge.pricing_quantity, charge.line_number, charge.file_number) == ("1.5", 2, 1)
    assert json.loads(charge.tags)["grant_number"] == "NSF-1"
    assert charge.pi == Person.objects.get(email="ada@u.edu")
    assert charge.project == Project.objects.get(code="genomics")
    assert (charge.fund_org, charge.cost_center, charge.reference_1, charge.reference_2) == (
        "BIO-001",
        "CC",
        "NSF-1",
        "REQ-1",
    )
    assert (charge.state, charge.attributed_by) == ("clear", "tag")


def test_the_loader_writes_the_rows_that_bulk_create_would(tmp_path):
    delivered(
        tmp_path, [a_row("1.25", ResourceName="Ünï\tcode\\ and, “quotes”", tags={"pi_email": "a@u.edu", "x": "y\n"})]
    )
    loaded = Charge.objects.get()
    fields = {field.attname: getattr(loaded, field.attname) for field in Charge._meta.concrete_fields}
    fields.pop("id")
    created = Charge.objects.bulk_create([Charge(**fields)])[0]
    columns = ", ".join(f'"{field.column}"' for field in Charge._meta.concrete_fields if field.column != "id")
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM billing_charge WHERE id IN (%s, %s)", [loaded.pk, created.pk])
        one, other = cursor.fetchall()
    assert [bytes(value) if isinstance(value, memoryview) else value for value in one] == [
        bytes(value) if isinstance(value, memoryview) else value for value in other
    ]


def test_ids_given_out_by_the_loader_are_never_given_again(tmp_path):
    delivered(tmp_path, [a_row(), a_row(ResourceId="i-2")])
    later = build.a_charge()
    assert later.pk > max(Charge.objects.exclude(pk=later.pk).values_list("pk", flat=True))


def test_usage_tax_and_credit_of_one_resource_stay_three_rows(tmp_path):
    rows = [
        a_row("100"),
        a_row("8.25", ChargeCategory="Tax"),
        a_row("-20", ChargeCategory="Credit"),
        a_row("-3", ChargeCategory="Usage", ChargeClass="Correction"),
    ]
    result = delivered(tmp_path, rows)
    assert live_billed() == [-20, -3, Decimal("8.25"), 100]
    assert result.totals["USD"]["BilledCost"] == "85.25"


@pytest.mark.parametrize("change", ["", "Correction"])
@pytest.mark.parametrize("category", ["Usage", "Purchase", "Tax", "Credit", "Adjustment"])
def test_every_category_comes_with_every_sign_and_is_held_where_nobody_is_named(tmp_path, category, change):
    amounts = ("12.5", "-12.75", "0")
    rows = [
        a_row(amount, ChargeCategory=category, ChargeClass=change, ResourceId="", tags=tags)
        for amount in amounts
        for tags in (None, {})
    ]
    result = delivered(tmp_path, rows)
    assert (result.rows, result.totals["USD"]["BilledCost"]) == (6, "-0.50")
    assert sorted(Charge.objects.values_list("billed_cost", "state")) == sorted(
        (Decimal(amount), state) for amount in amounts for state in ("clear", "held")
    )
    assert set(Charge.objects.values_list("product__charge_category", "product__charge_class")) == {(category, change)}


def test_tags_longer_than_pythons_own_limit_of_a_field_are_kept_whole(tmp_path):
    tags = {"pi_email": "ada@u.edu", "fund_org": "F", "note": 'a, "quoted"\nline ' * 20_000}
    delivered(tmp_path, [a_row(tags=tags)])
    charge = Charge.objects.get()
    assert (charge.pi.email, json.loads(charge.tags)) == ("ada@u.edu", tags)


def test_a_row_without_a_pi_is_held_and_never_dropped(tmp_path):
    result = delivered(tmp_path, [a_row("500", tags={})])
    charge = Charge.objects.get()
    assert (charge.state, charge.pi, charge.billed_cost) == ("held", None, 500)
    assert result.flags == {"missing_fund_org": 1, "missing_pi": 1, "missing_project": 1}
    assert set(charge.flags.values_list("code", flat=True)) == set(result.flags)


def test_equal_rows_stay_two_rows(tmp_path):
    delivered(tmp_path, [a_row(ResourceId=""), a_row(ResourceId="")])
    assert live_billed() == [100, 100]


def test_one_pi_in_two_spellings_is_one_person(tmp_path):
    rows = [a_row(tags={"pi_email": email, "fund_org": "F"}) for email in ("A@u.edu", "a@u.edu ", "mailto:a@U.EDU")]
    delivered(tmp_path, rows)
    assert list(Person.objects.values_list("email", flat=True)) == ["a@u.edu"]


def test_tag_keys_forgive_case_blanks_and_prefixes(tmp_path):
    delivered(tmp_path, [a_row(tags={" User:PI_Email": "a@u.edu", "FUND_ORG ": "F", "user:project": "p"})])
    charge = Charge.objects.get()
    assert (charge.pi.email, charge.fund_org, charge.project.code) == ("a@u.edu", "F", "p")


def test_an_alias_leads_to_the_pi(tmp_path):
    build.a_pi("ada@u.edu").aliases.create(email="lovelace@u.edu")
    delivered(tmp_path, [a_row(tags={"pi_email": "Lovelace@u.edu", "fund_org": "F"})])
    assert Charge.objects.get().pi.email == "ada@u.edu"


def test_a_project_in_another_case_is_the_same_project(tmp_path):
    build.a_project("Genomics")
    delivered(tmp_path, [a_row()])
    assert Charge.objects.get().project.code == "Genomics"


def test_a_project_owner_and_its_default_fund_pay_where_tags_name_neither(tmp_path):
    build.a_project("genomics", pi=build.a_pi(), default_fund_org="BIO-9")
    delivered(tmp_path, [a_row(tags={"project_id": "GENOMICS"})])
    charge = Charge.objects.get()
    assert (charge.pi.email, charge.fund_org, charge.state, charge.attributed_by) == (
        "ada@u.edu",
        "BIO-9",
        "clear",
        "project",
    )


def test_a_source_default_owner_and_overflow_fund_let_the_close_go_on(tmp_path):
    source = build.a_source("aws", default_pi=build.a_pi("center@u.edu"), overflow_fund_org="OVER")
    delivered(tmp_path, [a_row(tags={})], source=source)
    charge = Charge.objects.get()
    assert (charge.pi.email, charge.fund_org, charge.attributed_by) == ("center@u.edu", "OVER", "default")


def test_unreadable_tags_are_flagged(tmp_path):
    delivered(tmp_path, [a_row(tags="pi=ada")])
    assert "invalid_tags" in set(Flag.objects.values_list("code", flat=True))


def test_a_tag_that_is_no_address_is_flagged_with_what_it_says(tmp_path):
    delivered(tmp_path, [a_row(tags={"pi_email": "ada", "fund_org": "F", "project_id": "p"})])
    flags = dict(Flag.objects.values_list("code", "detail"))
    assert "“ada”" in flags["invalid_tags"]
    assert "missing_pi" in flags


def test_a_service_that_ends_before_it_begins_is_held_and_one_of_a_moment_is_not(tmp_path):
    back = {"ChargePeriodStart": "2025-01-06T00:00:00Z", "ChargePeriodEnd": "2025-01-05T12:00:00Z"}
    moment = {"ChargePeriodStart": "2025-01-05T10:00:00Z", "ChargePeriodEnd": "2025-01-05T10:00:00Z"}
    result = delivered(tmp_path, [a_row("1", ResourceId="back", **back), a_row("2", ResourceId="moment", **moment)])
    assert result.flags == {"period_reversed": 1}
    flag = Flag.objects.get()
    assert (flag.charge.resource_id, flag.charge.state) == ("back", "held")
    assert flag.detail == "It begins Jan 6, 2025, 00:00 UTC and ends Jan 5, 2025, 12:00 UTC."
    # It asks a question that approval answers.
    review.approve(charges=Charge.objects.held(), actor=build.SOMEBODY, now=build.NOW)
    assert not Charge.objects.held().exists()


@pytest.mark.parametrize("grain", ["line", "month"])
def test_an_end_of_a_billing_period_that_cannot_be_read_refuses_the_file(tmp_path, grain):
    rows = [a_row("1"), a_row("2", BillingPeriodEnd="31/1/25")]
    with pytest.raises(ImportRefused) as refused:
        delivered(tmp_path, rows, source=build.a_source("aws", grain=grain))
    assert [(each["line"], each["column"]) for each in refused.value.errors] == [(3, "BillingPeriodEnd")]
    assert not Charge.objects.exists()


def test_every_reason_is_kept(tmp_path):
    build.a_policy(flag_patterns=["gpu"], fund_org_patterns=["[A-Z]{3}-[0-9]{3}"])
    result = delivered(
        tmp_path,
        [a_row(ServiceName="GPU time", ResourceName="gpu-1", tags={"pi_email": "a@u.edu", "fund_org": "x"})],
        period="2025-02",
    )
    assert result.flags == {"invalid_fund_org": 1, "missing_project": 1, "pattern_match": 2, "period_mismatch": 1}
    assert result.flagged == 1


def test_a_fund_is_held_against_the_dates_of_service_and_not_of_the_run(tmp_path):
    build.a_fund("BIO-001", valid_until=datetime.date(2025, 1, 5))
    rows = [a_row(), a_row(ChargePeriodStart="2025-01-06", ChargePeriodEnd="2025-01-07")]
    result = delivered(tmp_path, rows)
    assert result.flags == {"fund_not_valid": 1}


def test_a_dated_split_of_a_project_takes_the_place_of_a_fund(tmp_path):
    split = build.a_split(
        {"A": "60", "B": "40"}, project=build.a_project("genomics"), valid_from=datetime.date(2025, 1, 1)
    )
    delivered(tmp_path, [a_row(tags={"pi_email": "ada@u.edu", "project_id": "genomics"})])
    charge = Charge.objects.get()
    assert (charge.payer_split, charge.state) == (split, "clear")


# Periods, sources and currencies -----------------------------------------------------------------


def test_several_periods_in_one_file_each_get_their_rows(tmp_path):
    rows = [a_row("1"), a_row("2", BillingPeriodStart="2025-02-01", BillingPeriodEnd="2025-03-01")]
    result = delivered(tmp_path, rows, name="aws.csv")
    assert result.periods == ("2025-01", "2025-02")
    assert {charge.period.iso_month: charge.billed_cost for charge in Charge.objects.all()} == {
        "2025-01": 1,
        "2025-02": 2,
    }


def test_the_period_fills_in_only_where_it_is_absent(tmp_path):
    rows = [a_row("1", BillingPeriodStart=""), a_row("2")]
    delivered(tmp_path, rows, name="x.csv", period="2025-03")
    assert {charge.billed_cost: charge.period.iso_month for charge in Charge.objects.all()} == {
        1: "2025-03",
        2: "2025-01",
    }
    assert Flag.objects.get().code == "period_mismatch"


def test_a_row_without_any_period_is_an_error_with_its_line(tmp_path):
    with pytest.raises(ImportRefused) as refused:
        delivered(tmp_path, [a_row(), a_row(BillingPeriodStart="")], name="x.csv")
    (error,) = refused.value.errors
    assert (error["line"], error["column"]) == (3, "BillingPeriodStart")


@pytest.mark.parametrize(
    ("name", "period"),
    [
        ("aws_2025-01.csv", "2025-01"),
        ("aws_2025_01.csv", "2025-01"),
        ("202501-aws.csv", "2025-01"),
        ("aws-2025-Q1.csv", "2025-Q1"),
        ("aws_2025-01-15.csv", "2025-01"),
        ("aws.csv", ""),
        ("aws_2025-01_2025-02.csv", ""),
        ("123456789012.csv", ""),
    ],
)
def test_a_period_is_guessed_from_a_name(name, period):
    assert expected_periods.period_in_name(name) == period


def test_a_quarter_expects_one_of_three_months():
    assert sorted(month.month for month in expected_periods.expected_months("2025-Q2")) == [4, 5, 6]


def test_the_longest_pattern_decides_the_source(tmp_path):
    build.a_source("storage")
    build.a_source("it_storage")
    path = a_file(tmp_path, [a_row()], "it_storage_2025-01.csv")
    result = ingest(paths=[path], actor=build.SOMEBODY, now=build.NOW)
    assert result.source.name == "it_storage"


def test_a_name_that_fits_no_source_lists_what_there_is(tmp_path):
    build.a_source("aws")
    path = a_file(tmp_path, [a_row()], "unknown.csv")
    with pytest.raises(ImportRefused, match=r"No source's pattern fits .*aws"):
        ingest(paths=[path], actor=build.SOMEBODY, now=build.NOW)


def test_currencies_are_never_added(tmp_path):
    result = delivered(tmp_path, [a_row("1"), a_row("2", BillingCurrency="EUR"), a_row("4", BillingCurrency=" usd")])
    assert {currency: totals["BilledCost"] for currency, totals in result.totals.items()} == {
        "EUR": "2.00",
        "USD": "5.00",
    }


# Totals ------------------------------------------------------------------------------------------


def test_exact_totals_and_what_is_stored_both_stand_on_the_import(tmp_path):
    rows = [a_row("0.123456785"), a_row("0.123456775"), a_row("0.000000001", BillingAccountId="acct-2")]
    result = delivered(tmp_path, rows)
    assert result.totals["USD"]["BilledCost"] == "0.246913561"
    assert result.stored["USD"]["BilledCost"] == "0.24691356"
    scopes = ImportTotal.objects.order_by("billing_account_id")
    assert [(total.billing_account_id, total.rows, total.billed_exact, total.billed_stored) for total in scopes] == [
        ("acct-1", 2, "0.24691356", Decimal("0.24691356")),
        ("acct-2", 1, "0.000000001", 0),
    ]


# Again, and again --------------------------------------------------------------------------------


def test_importing_twice_changes_nothing(tmp_path):
    rows = [a_row("50", ResourceId=""), a_row("50", ResourceId=""), a_row("7")]
    delivered(tmp_path, rows)
    before = list(Charge.objects.order_by("pk").values())
    result = delivered(tmp_path, rows)
    assert counts(result) == (0, 0, 3, 0)
    assert list(Charge.objects.order_by("pk").values()) == before


def test_the_same_values_written_otherwise_are_the_same_rows(tmp_path):
    delivered(tmp_path, [a_row("50.00", tags={"a": "1", "pi_email": "a@u.edu"})])
    row = a_row("50", tags={"pi_email": "a@u.edu", "a": "1"}, ChargePeriodStart="2025-01-05 00:00:00")
    result = delivered(tmp_path, [dict(reversed(row.items()))])
    assert counts(result) == (0, 0, 1, 0)


def test_a_corrected_amount_replaces_the_charge_and_links_to_it(tmp_path):
    delivered(tmp_path, [a_row("50"), a_row("1", ResourceId="i-2")])
    result = delivered(tmp_path, [a_row("60"), a_row("1", ResourceId="i-2")])
    assert counts(result) == (0, 1, 1, 0)
    new = Charge.objects.live().get(resource__resource_id="i-1")
    assert (new.billed_cost, new.replaces.billed_cost, new.replaces.withdrawn_in_id) == (60, 50, result.imported.pk)


def test_a_corrected_tag_takes_effect(tmp_path):
    delivered(tmp_path, [a_row(tags={"pi_email": "a@u.edu"})])
    delivered(tmp_path, [a_row()])
    charge = Charge.objects.live().get()
    assert (charge.pi.email, charge.state, charge.replaces_id is not None) == ("ada@u.edu", "clear", True)


def test_a_snapshot_withdraws_what_is_gone(tmp_path):
    rows = [a_row(str(amount), ResourceId=f"i-{amount}") for amount in (1, 2, 3)]
    delivered(tmp_path, rows)
    result = delivered(tmp_path, rows[:2])
    assert counts(result) == (0, 0, 2, 1)
    assert live_billed() == [1, 2]


def test_a_snapshot_that_would_withdraw_more_than_half_stops_until_told(tmp_path):
    rows = [a_row(str(amount), ResourceId=f"i-{amount}") for amount in (1, 2, 3)]
    delivered(tmp_path, rows)
    with pytest.raises(WouldWithdraw, match="2 of 3 charges"):
        delivered(tmp_path, rows[:1])
    assert live_billed() == [1, 2, 3]
    delivered(tmp_path, rows[:1], replace=True)
    assert live_billed() == [1]


def test_an_account_that_is_missing_from_a_snapshot_stops_it(tmp_path):
    rows = [a_row("1"), a_row("2", BillingAccountId="acct-2")]
    delivered(tmp_path, rows)
    with pytest.raises(WouldWithdraw, match="acct-2"):
        delivered(tmp_path, rows[:1])
    delivered(tmp_path, rows[:1], replace=True)
    assert live_billed() == [1]


def test_accounts_that_come_in_files_of_their_own_leave_each_other_alone(tmp_path):
    one, other = a_row("1"), a_row("2", BillingAccountId="acct-2")
    unseen = [delivered(tmp_path, [row], force=row is other).counts.unseen for row in (one, other)]
    # Once both are known as the source's own, neither has to be confirmed.
    unseen += [delivered(tmp_path, [row]).counts.unseen for row in (one, other)]
    assert live_billed() == [1, 2]
    # That the other account stays is said: its name may have changed.
    assert unseen == [0, 1, 1, 1]


def test_merge_adds_and_updates_and_withdraws_nothing(tmp_path):
    source = build.a_source("misc", import_mode=Source.ImportMode.MERGE)
    delivered(tmp_path, [a_row("1"), a_row("2", ResourceId="i-2"), a_row("5", ResourceId="")], source=source)
    result = delivered(tmp_path, [a_row("3"), a_row("6", ResourceId="")], source=source)
    assert (counts(result), result.counts.unseen) == ((1, 1, 0, 0), 2)
    assert live_billed() == [2, 3, 5, 6]


def test_append_adds_and_knows_a_file_it_has_seen(tmp_path):
    source = build.a_source("oci", import_mode=Source.ImportMode.APPEND)
    delivered(tmp_path, [a_row("1")], name="a.csv", source=source)
    delivered(tmp_path, [a_row("1"), a_row("2")], name="b.csv", source=source)
    again = delivered(tmp_path, [a_row("1")], name="a-again.csv", source=source)
    assert live_billed() == [1, 1, 2]
    assert again.seen_before
    assert again.rows == 0


def test_the_parts_of_a_delivery_in_any_cut_make_the_same_charges(tmp_path):
    rows = [a_row(str(amount), ResourceId=f"i-{amount % 3}") for amount in range(1, 8)]
    whole = delivered(tmp_path, rows)
    charges = sorted(Charge.objects.live().values_list("billed_cost", "resource__resource_id"))
    withdraw(imported=whole.imported, actor=build.SOMEBODY, now=build.NOW)
    paths = [a_file(tmp_path, part, f"aws_2025-01_{number}.csv") for number, part in enumerate((rows[:2], rows[2:]))]
    ingest(paths=paths, source=build.a_source("aws"), actor=build.SOMEBODY, now=build.NOW)
    assert sorted(Charge.objects.live().values_list("billed_cost", "resource__resource_id")) == charges


# Decisions ---------------------------------------------------------------------------------------


def approved(charge):
    review.approve(charges=[charge.pk], note="", actor=build.SOMEBODY, now=build.NOW)
    return charge


def test_an_approval_survives_the_same_file(tmp_path):
    row = a_row(tags={"pi_email": "a@u.edu", "fund_org": "F"})
    delivered(tmp_path, [row])
    approved(Charge.objects.get())
    delivered(tmp_path, [row])
    assert Charge.objects.get().state == "approved"


def test_an_approval_survives_a_small_change_and_not_a_large_one(tmp_path):
    build.a_policy(amount_tolerance=Decimal(1))
    tags = {"pi_email": "a@u.edu", "fund_org": "F"}
    delivered(tmp_path, [a_row("100", tags=tags)])
    approved(Charge.objects.get())
    delivered(tmp_path, [a_row("101", tags=tags)])
    charge = Charge.objects.live().get()
    assert (charge.state, charge.billed_cost) == ("approved", 101)
    assert charge.decisions.get().action == "inherit"
    delivered(tmp_path, [a_row("102.01", tags=tags)])
    charge = Charge.objects.live().get()
    assert charge.state == "held"
    flag = charge.flags.get(code="amount_changed")
    assert flag.detail == "101.00 when decided, 102.01 now"
    assert not flag.is_resolved


def test_who_pays_survives_a_re_delivery_whatever_the_amount(tmp_path):
    delivered(tmp_path, [a_row("100", tags={})])
    review.reattribute(
        create=True,
        charges=[Charge.objects.get().pk],
        reassignment=review.Reassignment(pi="grace@u.edu", project="ships", fund_org="NAVY-1"),
        approve=True,
        note="hers",
        actor=build.SOMEBODY,
        now=build.NOW,
    )
    delivered(tmp_path, [a_row("900", tags={})])
    charge = Charge.objects.live().get()
    assert (charge.pi.email, charge.project.code, charge.fund_org) == ("grace@u.edu", "ships", "NAVY-1")
    assert (charge.state, charge.attributed_by) == ("held", "decision")
    unresolved = set(charge.flags.filter(is_resolved=False).values_list("code", flat=True))
    assert unresolved == {"amount_changed"}


def test_a_charge_held_for_its_amount_keeps_that_reason_through_the_next_change(tmp_path):
    tags = {"pi_email": "a@u.edu", "fund_org": "F"}
    delivered(tmp_path, [a_row("100", tags=tags)])
    approved(Charge.objects.get())
    for amount in ("200", "300"):
        delivered(tmp_path, [a_row(amount, tags=tags)])
    flag = Charge.objects.live().get().flags.get(code="amount_changed")
    assert (flag.is_resolved, flag.detail) == (False, "100.00 when decided, 300.00 now")


@pytest.mark.parametrize("address", ["m@u..edu", "[x]@u.edu", "a:b@u.edu", "x(y@u.edu"])
def test_an_address_that_no_mail_can_be_sent_to_is_flagged(tmp_path, address):
    delivered(tmp_path, [a_row(tags={"pi_email": address, "fund_org": "F"})])
    assert {"invalid_tags", "missing_pi"} <= set(Flag.objects.values_list("code", flat=True))


def test_a_tag_with_an_escaped_nul_is_flagged_and_stops_no_file(tmp_path):
    tags = '{"pi_email": "a\\u0000@u.edu", "fund_org": "F\\u0000", "project\\u0000_id": ["p", "q"]}'
    assert delivered(tmp_path, [a_row(tags=tags)]).rows == 1
    assert {"invalid_tags", "missing_pi", "missing_fund_org"} <= set(Flag.objects.values_list("code", flat=True))
    assert Charge.objects.get().tags == tags


@pytest.mark.parametrize("address", ["ada@u.edu\u200b", "\ufeffAda@u.edu", "ada@\u00adu.edu", "\u202aada@u.edu\u202c"])
def test_what_nobody_sees_in_an_address_makes_no_other_pi(tmp_path, address):
    delivered(tmp_path, [a_row(tags={"pi_email": address, "fund_org": "F"})])
    assert Person.objects.get().email == "ada@u.edu"


# Taking back -------------------------------------------------------------------------------------


def test_withdrawing_an_import_revives_what_it_replaced(tmp_path):
    delivered(tmp_path, [a_row("50"), a_row("1", ResourceId="i-2"), a_row("2", ResourceId="i-3")])
    before = list(Charge.objects.live().order_by("pk").values())
    second = delivered(tmp_path, [a_row("60"), a_row("1", ResourceId="i-2"), a_row("3", ResourceId="i-4")])
    result = withdraw(imported=second.imported, actor=build.SOMEBODY, now=build.NOW)
    assert list(Charge.objects.live().order_by("pk").values()) == before
    assert (result.withdrawn, result.revived) == (2, 2)


def test_only_the_latest_import_of_a_scope_can_be_withdrawn(tmp_path):
    first = delivered(tmp_path, [a_row("50")])
    delivered(tmp_path, [a_row("60")])
    with pytest.raises(NotWithdrawable, match="Withdraw the latest first"):
        withdraw(imported=first.imported, actor=build.SOMEBODY, now=build.NOW)


def test_a_delivery_that_a_later_one_overtook_is_refused(tmp_path, monkeypatch):
    source = build.a_source("aws")
    delivered(tmp_path, [a_row("5")])
    kept_months = figures.kept_months

    def overtaken(stage):
        # One that was received after this one, and applied before this one was matched.
        build.an_import(source)
        return kept_months(stage)

    monkeypatch.setattr(live_charges, "imports_so_far", lambda _: {})
    monkeypatch.setattr(figures, "kept_months", overtaken)
    with pytest.raises(ImportRefused, match="came after this one"):
        delivered(tmp_path, [a_row("6")])
    assert live_billed() == [5]


def test_an_import_whose_charges_another_replaced_cannot_be_withdrawn(tmp_path):
    first = delivered(tmp_path, [a_row("5")])
    build.a_charge("7", replaces=Charge.objects.get())
    Charge.objects.filter(billed_cost=5).update(withdrawn_in=build.an_import(build.a_source("aws")))
    ImportTotal.objects.exclude(imported_in=first.imported).delete()
    with pytest.raises(NotWithdrawable, match="Withdraw it first"):
        withdraw(imported=first.imported, actor=build.SOMEBODY, now=build.NOW)


def test_a_failed_import_cannot_be_withdrawn(tmp_path):
    with pytest.raises(ImportRefused):
        delivered(tmp_path, [a_row("x")])
    with pytest.raises(NotWithdrawable):
        withdraw(imported=Import.objects.get(), actor=build.SOMEBODY, now=build.NOW)


# Refusals ----------------------------------------------------------------------------------------


def test_every_bad_value_is_named_with_line_and_column_and_nothing_is_stored(tmp_path):
    rows = [a_row(), a_row("ten", PricingQuantity="2"), a_row(ChargePeriodStart="4/1/25", PricingQuantity="$3")]
    with pytest.raises(ImportRefused) as refused:
        delivered(tmp_path, rows)
    places = {(error["line"], error["column"]) for error in refused.value.errors}
    assert (3, "BilledCost") in places
    assert (4, "ChargePeriodStart") in places
    assert (4, "PricingQuantity") in places
    assert {error["file"] for error in refused.value.errors} == {"aws_2025-01.csv"}
    imported = Import.objects.get()
    assert (imported.state, Charge.objects.count(), BillingPeriod.objects.count()) == ("failed", 0, 0)
    assert imported.errors == refused.value.errors
    assert AuditEvent.objects.filter(action="import.failed").count() == 1


def test_a_closed_period_keeps_its_charges_and_the_delivery_waits(tmp_path):
    delivered(tmp_path, [a_row("10")])
    closing.close(period=BillingPeriod.objects.get(), actor=build.SOMEBODY, now=build.NOW)
    result = delivered(tmp_path, [a_row("10000")])
    assert live_billed() == [10]
    assert (result.state, Import.objects.latest("pk").state) == ("deferred", "deferred")


def test_the_same_file_again_is_no_change_of_a_closed_period(tmp_path):
    delivered(tmp_path, [a_row("10")])
    closing.close(period=BillingPeriod.objects.get(), actor=build.SOMEBODY, now=build.NOW)
    assert counts(delivered(tmp_path, [a_row("10")])) == (0, 0, 1, 0)


def test_a_crash_while_applying_leaves_no_charge_behind(tmp_path, monkeypatch):
    def broken(*_args, **_options):
        raise RuntimeError("power cut")

    monkeypatch.setattr(ImportTotal.objects, "bulk_create", broken)
    with pytest.raises(RuntimeError):
        delivered(tmp_path, [a_row()])
    assert (Charge.objects.count(), Person.objects.count(), Import.objects.get().state) == (0, 0, "failed")
    monkeypatch.undo()
    assert counts(delivered(tmp_path, [a_row()])) == (1, 0, 0, 0)


def test_the_audit_log_holds_the_hash_of_each_file_that_was_applied(tmp_path):
    delivered(tmp_path, [a_row("7.00")])
    after = AuditEvent.objects.get(action="import.applied").after
    assert after["sha256"] == [hashlib.sha256((tmp_path / "aws_2025-01.csv").read_bytes()).hexdigest()]


def test_what_breaks_off_after_the_commit_leaves_the_import_applied(tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(upkeep, "after_import", broken)
    with pytest.raises(RuntimeError):
        delivered(tmp_path, [a_row("1")])
    imported = Import.objects.get()
    assert (imported.state, imported.errors, Charge.objects.live().get().imported_in) == ("applied", [], imported)
    assert not AuditEvent.objects.filter(action="import.failed").exists()


def test_a_database_that_another_process_writes_to_is_tidied_up_later(monkeypatch):
    class Locked:
        vendor, in_atomic_block = "sqlite", False

        def cursor(self):
            raise OperationalError("database is locked")

    monkeypatch.setattr(upkeep, "connection", Locked())
    upkeep.after_import(0)


def test_a_delivery_applied_meanwhile_is_noticed(tmp_path, monkeypatch):
    delivered(tmp_path, [a_row("1")])
    settle = figures.kept_months

    def meanwhile(stage):
        monkeypatch.setattr(figures, "kept_months", settle)
        build.an_import(build.a_source("aws"))
        return settle(stage)

    monkeypatch.setattr(figures, "kept_months", meanwhile)
    with pytest.raises(ImportRefused, match="came after this one, was applied while this one was read"):
        delivered(tmp_path, [a_row("2")])
    assert live_billed() == [1]


def test_a_file_of_a_source_that_adds_up_counts_once_where_two_bring_it_in(tmp_path, monkeypatch):
    source = build.a_source("oci", import_mode=Source.ImportMode.APPEND)
    path = a_file(tmp_path, [a_row("1")], "oci_2025-01.csv")
    is_matched = comparing.is_matched

    def meanwhile(received):
        monkeypatch.setattr(comparing, "is_matched", is_matched)
        # The file of the first is known not to be there yet, when the second begins and ends.
        ingest(paths=[path], source=source, actor=build.SOMEBODY, now=build.NOW)
        return is_matched(received)

    monkeypatch.setattr(comparing, "is_matched", meanwhile)
    result = ingest(paths=[path], source=source, actor=build.SOMEBODY, now=build.NOW)
    assert (result.counts.new, result.seen_before != ()) == (0, True)
    assert live_billed() == [1]


def test_a_dry_run_says_all_and_stores_nothing(tmp_path):
    result = delivered(tmp_path, [a_row("1"), a_row("2", tags={})], dry_run=True)
    assert (counts(result), result.flagged, result.imported) == ((2, 0, 0, 0), 1, None)
    for model in (Import, Charge, Person, BillingPeriod, AuditEvent):
        assert not model.objects.exists()


def test_files_are_kept_once_by_their_hash(tmp_path, settings):
    for _ in range(2):
        result = delivered(tmp_path, [a_row()])
    kept = [path for path in (settings.MEDIA_ROOT / "received").rglob("*") if path.is_file()]
    assert len(kept) == 1
    assert kept[0].name == result.imported.files.get().sha256
    assert not list((settings.MEDIA_ROOT / "incoming").iterdir())


def test_an_archive_of_a_source_that_adds_up_is_known_again_by_its_members(tmp_path):
    path = zipped(tmp_path, [[a_row("1")], [a_row("2")]])
    source = build.a_source("oci", import_mode=Source.ImportMode.APPEND)
    for expected in (2, 0):
        result = ingest(paths=[path], source=source, actor=build.SOMEBODY, now=build.NOW)
        assert result.rows == expected
    assert len(result.seen_before) == 2


def test_an_archive_with_a_closed_and_an_open_month_waits_in_part(tmp_path):
    closed, open_ = a_row("1"), a_row("2", BillingPeriodStart="2025-02-01", BillingPeriodEnd="2025-03-01")
    delivered(tmp_path, [a_row("9")])
    closing.close(period=BillingPeriod.objects.get(), actor=build.SOMEBODY, now=build.NOW)
    path = zipped(tmp_path, [[closed], [open_]])
    result = ingest(paths=[path], source=build.a_source("aws"), actor=build.SOMEBODY, now=build.NOW)
    assert live_billed() == [2, 9]
    members = [each.member for each in result.deferred.imported_files.order_by("number")]
    assert members == ["part-1.csv", "part-2.csv"]
    booked = booking.book(
        imported=result.deferred, into=BillingPeriod.objects.named("2025-02"), actor=build.SOMEBODY, now=build.NOW
    )
    assert (booked.charged, booked.taken_back) == (1, 1)


# Other forms of a delivery -----------------------------------------------------------------------


def zipped(tmp_path, parts):
    path = tmp_path / "aws_2025-01.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, rows in enumerate(parts, start=1):
            archive.write(a_file(tmp_path, rows, f"part-{number}.csv"), f"part-{number}.csv")
    return path


def test_a_zip_of_several_files_is_one_delivery_whose_charges_know_their_file(tmp_path):
    path = zipped(tmp_path, [[a_row("1")], [a_row("2", ResourceId="i-2"), a_row("3", ResourceId="i-3")]])
    result = ingest(paths=[path], source=build.a_source("aws"), actor=build.SOMEBODY, now=build.NOW)
    charges = {charge.billed_cost: (charge.file_number, charge.line_number) for charge in Charge.objects.all()}
    assert charges == {1: (1, 2), 2: (2, 2), 3: (2, 3)}
    files = result.imported.imported_files.order_by("number")
    assert [(each.name, each.member, each.rows) for each in files] == [
        ("aws_2025-01.zip/part-1.csv", "part-1.csv", 1),
        ("aws_2025-01.zip/part-2.csv", "part-2.csv", 2),
    ]
    assert result.imported.files.values("pk").distinct().count() == 1


def test_a_compressed_file_holds_the_same_rows(tmp_path):
    path = a_file(tmp_path, [a_row("1"), a_row("2")])
    packed = tmp_path / "aws_2025-01.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    delivered(tmp_path, [a_row("1"), a_row("2")])
    result = ingest(paths=[packed], source=build.a_source("aws"), actor=build.SOMEBODY, now=build.NOW)
    assert counts(result) == (0, 0, 2, 0)


def test_a_folder_is_one_delivery(tmp_path):
    folder = tmp_path / "aws_2025-01"
    folder.mkdir()
    a_file(folder, [a_row("1")], "a.csv")
    a_file(folder, [a_row("2")], "b.csv")
    result = ingest(paths=[folder], source=build.a_source("aws"), actor=build.SOMEBODY, now=build.NOW)
    assert (result.rows, live_billed()) == (2, [1, 2])


def test_an_export_of_a_month_that_just_began_is_empty_and_changes_nothing(tmp_path):
    delivered(tmp_path, [a_row("1")])
    folder = tmp_path / "azure"
    folder.mkdir()
    (folder / "part_0_0001.csv").write_text(",".join(a_row()) + "\n")
    blobs = [{"blobName": "focus/part_0_0001.csv", "dataRowCount": 0}]
    (folder / "manifest.json").write_text(json.dumps({"blobCount": 1, "dataRowCount": 0, "blobs": blobs}))
    result = ingest(paths=[folder], source=build.a_source("aws"), actor=build.SOMEBODY, now=build.NOW)
    assert "0 rows of aws: the file is empty, nothing changes." in result.as_text()
    assert (result.state, live_billed()) == ("applied", [1])


# Properties --------------------------------------------------------------------------------------

small_rows = st.lists(
    st.tuples(st.sampled_from(["1", "2.5", "-3", "0.000000015"]), st.sampled_from(["i-1", "i-2", ""])), max_size=6
)


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(small_rows.filter(bool), st.lists(st.integers(0, 3), min_size=6, max_size=6), st.randoms(use_true_random=False))
def test_any_cut_into_files_in_any_order_and_packing_is_the_same_delivery(tmp_path, values, cut, shuffle):
    source = build.a_source(f"s{Source.objects.count()}")
    rows = [a_row(amount, ResourceId=resource) for amount, resource in values]
    whole = delivered(tmp_path, rows, source=source)
    before = list(Charge.objects.live().filter(source=source).order_by("pk").values())
    parts: dict[int, list[dict[str, str]]] = {}
    for row, part in zip(shuffle.sample(rows, len(rows)), cut, strict=False):
        parts.setdefault(part, []).append(row)
    # Two parts of the same rows are one file that was copied twice, and refused.
    said = [sorted((row["BilledCost"], row["ResourceId"]) for row in part) for part in parts.values()]
    assume(all(said.count(each) == 1 for each in said))
    folder = tmp_path / source.name
    folder.mkdir()
    for number, part in parts.items():
        path = a_file(folder, part, f"part-{number}.csv")
        if shuffle.random() < 0.5:
            path.with_suffix(".csv.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    again = ingest(paths=[folder], source=source, actor=build.SOMEBODY, now=build.NOW)
    assert (counts(again), again.totals) == ((0, 0, len(rows), 0), whole.totals)
    assert list(Charge.objects.live().filter(source=source).order_by("pk").values()) == before


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(small_rows.filter(bool), small_rows.filter(bool), st.randoms(use_true_random=False))
def test_what_is_live_is_what_the_last_snapshot_says_in_any_order(tmp_path, first, second, shuffle):
    source = build.a_source(f"s{Source.objects.count()}")
    live = Charge.objects.live().filter(source=source).order_by("pk")
    rows = [a_row(amount, ResourceId=resource) for amount, resource in second]
    delivered(tmp_path, [a_row(amount, ResourceId=resource) for amount, resource in first], source=source)
    before = list(live.values())
    result = delivered(tmp_path, rows, replace=True, source=source)
    shuffle.shuffle(rows)
    again = delivered(tmp_path, rows, replace=True, source=source)
    assert counts(again) == (0, 0, len(rows), 0)
    stored = {"0.000000015": Decimal("0.00000002")}
    assert sorted(live.values_list("billed_cost", "resource__resource_id")) == sorted(
        (stored.get(amount, Decimal(amount)), resource) for amount, resource in second
    )
    assert Decimal(result.totals["USD"]["BilledCost"]) == sum(Decimal(amount) for amount, _ in second)
    withdraw(imported=again.imported, actor=build.SOMEBODY, now=build.NOW)
    withdraw(imported=result.imported, actor=build.SOMEBODY, now=build.NOW)
    assert list(live.values()) == before


def ended(tmp_path, end_date, **fields):
    tags = {"pi_email": "ada@u.edu", "project_id": "genomics", "fund_org": "BIO-001", "end_date": end_date}
    delivered(tmp_path, [a_row("1.00", tags=tags, **fields)])
    return Charge.objects.live().get()


@pytest.mark.parametrize(
    ("end_date", "flags"),
    [
        ("2025-01-05", []),
        ("2025-01-04", [("project_ended", "genomics on Jan 4, 2025, by its tag")]),
        ("2025-01-04T00:00:00Z", [("project_ended", "genomics on Jan 4, 2025, by its tag")]),
        ("", []),
    ],
)
def test_service_after_the_end_date_of_its_tags_is_held(tmp_path, end_date, flags):
    charge = ended(tmp_path, end_date)
    assert list(charge.flags.values_list("code", "detail")) == flags
    assert charge.state == ("held" if flags else "clear")


def test_an_end_date_that_is_none_is_a_tag_that_cannot_be_read(tmp_path):
    [flag] = ended(tmp_path, "6/30/25").flags.all()
    assert flag.code == "invalid_tags"
    assert "“6/30/25”, which is not a date such as 2026-06-30" in flag.detail


def test_the_end_date_of_the_project_goes_before_that_of_tags(tmp_path):
    Project.objects.create(code="genomics", end_date=datetime.date(2025, 12, 31))
    assert ended(tmp_path, "2025-01-04").state == "clear"


def test_saying_who_pays_answers_the_end_date_of_the_tags(tmp_path):
    charge = ended(tmp_path, "2025-01-04")
    by = {"actor": build.SOMEBODY, "now": build.NOW}
    review.reattribute(charges=[charge.pk], reassignment=review.Reassignment(natural_account="7480"), **by)
    assert not charge.flags.filter(is_resolved=False).exists()

"""Charging: exact charges become cents once, and every payer's cents add up to them."""

import datetime
import re
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import charging
from billing.charging import (
    BrokenSplit,
    MissingEffectiveCost,
    MissingFundOrg,
    MissingPI,
    MissingRate,
    payer_key,
    resources_of,
    splits,
)
from billing.charging.month import Month
from billing.errors import MissingCenterFundOrg
from billing.fields import AmountSum
from billing.models import (
    AuditEvent,
    BillingPeriod,
    BillingReference,
    Charge,
    CostMeasureChange,
    ExchangeRate,
    PayerLine,
    PayerSplit,
    Source,
)
from billing.moments import one_moment
from billing.money import to_cents
from billing.months import closing
from tests import build

pytestmark = pytest.mark.django_db

LATER = build.NOW + datetime.timedelta(hours=1)


def charge_it(period="2025-01", now=build.NOW):
    return charging.make_payer_lines(period=build.a_period(period), actor=build.SOMEBODY, now=now)


def the_lines(**only):
    return list(PayerLine.objects.filter(**only).order_by("key"))


def by_fund(**only):
    return {line.fund_org: line.charged for line in the_lines(**only)}


# The worked cents


def test_103_lines_below_a_cent_are_summed_exactly_and_rounded_once():
    for _ in range(103):
        build.a_charge("0.32378641")
    charge_it()
    (line,) = the_lines()
    assert (line.charged, line.charge_count) == (Decimal("33.35"), 103)
    assert line.rounding == Decimal("33.35000023") - Decimal("33.35")
    shares = resources_of(line.period, [line])[line.key]
    assert len(shares) == 103
    assert sum(share.charged for share in shares) == Decimal("33.35")


def test_five_pis_at_half_a_cent_owe_what_their_lines_say():
    for name in "abcde":
        build.a_charge("10.005", pi=f"{name}@u.edu", project=name)
    charged = charge_it()
    assert [line.charged for line in the_lines()] == [Decimal("10.01")] * 5
    assert (charged.charged, charged.rounding) == (Decimal("50.05"), Decimal("-0.025"))


def test_a_line_is_rounded_before_it_is_split():
    split = build.a_split({"A": "60", "B": "40"})
    build.a_charge("10.0125", payer_split=split)
    charge_it()
    assert by_fund() == {"A": Decimal("6.01"), "B": Decimal("4.00")}
    first, second = the_lines()
    assert (first.rounding, second.rounding) == (Decimal("0.0025"), 0)


def test_a_project_on_two_funds_has_a_line_for_each():
    build.a_charge("100", fund_org="BIO-001")
    build.a_charge("900", fund_org="BIO-002")
    charge_it()
    assert by_fund() == {"BIO-001": Decimal(100), "BIO-002": Decimal(900)}
    assert len({line.reference_id for line in the_lines()}) == 1


def test_a_net_credit_stays_negative():
    build.a_charge("75")
    build.a_charge("-100", charge_category="Credit")
    charge_it()
    assert [line.charged for line in the_lines()] == [Decimal(-25)]


def test_a_fully_subsidized_line_is_kept_with_its_price():
    build.a_charge("0", list_cost=Decimal(800), contracted_cost=Decimal(800))
    charge_it()
    (line,) = the_lines()
    assert (line.list_cost, line.discount, line.subsidy, line.charged) == (800, 0, 800, 0)


def test_usage_tax_and_credit_of_one_resource_are_all_charged():
    for billed, category in (("100", "Usage"), ("8.25", "Tax"), ("-20", "Credit")):
        build.a_charge(billed, charge_category=category, resource_id="i-1")
    charge_it()
    (line,) = the_lines()
    assert line.charged == Decimal("88.25")
    (share,) = resources_of(line.period, [line])[line.key]
    assert (share.resource_id, share.count, share.charged) == ("i-1", 3, Decimal("88.25"))


# What prices are known


@pytest.mark.parametrize(
    ("billed", "contracted", "listed", "discount", "subsidy"),
    [
        ("70", "70", "100", "30", "0"),
        ("20", "70", "100", "30", "50"),
        ("70", None, None, "0", "0"),
        ("70", "0", "0", "0", "0"),
        ("70", None, "100", "30", "0"),
        ("50", "70", "0", "0", "20"),
        ("-20", "0", "0", "0", "0"),
        ("0", "0", "0", "0", "0"),
        ("0", "40", "100", "60", "40"),
    ],
)
def test_an_unknown_price_is_not_a_discount(billed, contracted, listed, discount, subsidy):
    build.a_charge(
        billed,
        contracted_cost=None if contracted is None else Decimal(contracted),
        list_cost=None if listed is None else Decimal(listed),
    )
    charge_it()
    (line,) = the_lines()
    assert (line.discount, line.subsidy) == (Decimal(discount), Decimal(subsidy))


def test_what_an_internal_service_lists_and_does_not_charge_is_a_subsidy():
    build.a_source("hpc", kind="internal")
    build.a_charge("0", source="hpc", list_cost=Decimal(800), contracted_cost=None)
    build.a_charge("0", source="aws", list_cost=Decimal(800), contracted_cost=None)
    lines = {line.source.name: line for line in charging.compute(build.a_period())}
    assert (lines["hpc"].discount, lines["hpc"].subsidy) == (0, 800)
    assert (lines["aws"].discount, lines["aws"].subsidy) == (800, 0)


def test_an_unknown_price_is_judged_row_by_row():
    build.a_charge("10", list_cost=Decimal(15))
    build.a_charge("10", list_cost=None)
    charge_it()
    assert [line.list_cost for line in the_lines()] == [Decimal(25)]


# Which cost


def test_a_source_is_charged_by_the_measure_in_force_in_the_month_of_delivery():
    source = build.a_source()
    CostMeasureChange.objects.create(source=source, from_month=datetime.date(2025, 2, 1), measure="effective")
    for month in ("2025-01", "2025-02"):
        build.a_charge("100", effective_cost=Decimal(40), period=month)
    # Carried over: its cost is still January's.
    build.a_charge("7", effective_cost=Decimal(1), period="2025-01", charged_in=build.a_period("2025-02"))
    charge_it("2025-01")
    charge_it("2025-02")
    charged = {(line.period.iso_month, line.for_period.iso_month): line.charged for line in PayerLine.objects.all()}
    assert charged == {
        ("2025-01", "2025-01"): Decimal(100),
        ("2025-02", "2025-02"): Decimal(40),
        ("2025-02", "2025-01"): Decimal(7),
    }


def test_a_row_without_effective_cost_is_never_charged_by_another_cost():
    build.a_source(cost_measure=Source.Measure.EFFECTIVE)
    build.a_charge("100", effective_cost=None)
    build.a_charge("100", effective_cost=Decimal(40))
    with pytest.raises(MissingEffectiveCost, match=r"January 2025 has 1 charge \(aws 1\) without EffectiveCost"):
        charge_it()
    assert not PayerLine.objects.exists()


def test_what_is_held_or_rejected_is_not_charged():
    build.a_charge("1")
    build.a_charge("2", flags=("pattern_match",))
    build.a_charge("4", state=Charge.State.REJECTED)
    build.a_charge("8", state=Charge.State.APPROVED)
    build.a_charge("16", withdrawn_in=build.an_import())
    build.a_charge("32", flags=("pattern_match",), currency="EUR")
    charged = charge_it()
    assert (charged.charged, charged.lines) == (Decimal(9), 1)
    assert (charged.held_count, charged.held_billed, charged.held_foreign) == (2, Decimal(2), {"EUR": Decimal(32)})


# Currencies


def test_a_foreign_currency_is_converted_exactly_and_rounded_once():
    ExchangeRate.objects.create(period=build.a_period(), currency="EUR", rate=Decimal("1.0345678901"))
    for _ in range(3):
        build.a_charge("33.33333333", currency="EUR")
    build.a_charge("1", currency="USD")
    charge_it()
    lines = {line.key.rsplit("|", 1)[1]: line for line in the_lines()}
    exact = Decimal("99.99999999") * Decimal("1.0345678901")
    assert lines["EUR"].charged == to_cents(exact, "USD") == Decimal("103.46")
    assert {line.currency for line in lines.values()} == {"USD"}
    assert lines["USD"].charged == 1
    shares = resources_of(build.a_period(), [lines["EUR"]])[lines["EUR"].key]
    assert sum(share.charged for share in shares) == Decimal("103.46")


def test_a_missing_rate_is_named_with_its_month():
    build.a_charge("1", currency="EUR")
    build.a_charge("1", currency="CHF")
    with pytest.raises(MissingRate, match=r"CHF in January 2025, EUR in January 2025"):
        charge_it()


# Who pays


def test_charges_to_the_center_are_its_own():
    build.a_policy(center_fund_org="CENTER-1")
    build.a_charge("5", state=Charge.State.CHARGED_TO_CENTER)
    build.a_charge("7", state=Charge.State.CHARGED_TO_CENTER, pi="bob@u.edu", project="other", fund_org="")
    build.a_charge("1")
    charge_it()
    (line,) = the_lines(kind=PayerLine.Kind.CHARGED_TO_CENTER)
    assert (line.pi, line.project, line.fund_org, line.charged) == (None, None, "CENTER-1", Decimal(12))
    assert (line.reference.pi, line.reference.number) == (None, 2)
    shares = resources_of(line.period, [line])[line.key]
    assert sorted(share.charged for share in shares) == [5, 7]


def test_charging_to_the_center_needs_a_fund_of_the_centers():
    build.a_charge("5", state=Charge.State.CHARGED_TO_CENTER)
    with pytest.raises(MissingCenterFundOrg, match=r"aws 1.*policy"):
        charge_it()


def test_a_charge_nobody_answers_for_is_named():
    build.a_charge("5", pi=None)
    with pytest.raises(MissingPI, match=r"January 2025 has 1 charge \(aws 1\) without a PI"):
        charge_it()


def test_a_charge_without_pi_falls_to_the_default_of_its_source():
    build.a_source(default_pi=build.a_pi("center@u.edu"), default_project=build.a_project("overhead"))
    build.a_charge("5", pi=None, project=None)
    build.a_charge("6", pi="center@u.edu", project="overhead")
    charge_it()
    (line,) = the_lines()
    assert (line.pi.email, line.project.code, line.charged) == ("center@u.edu", "overhead", Decimal(11))
    assert sum(share.charged for share in resources_of(line.period, [line])[line.key]) == 11


def test_a_charge_no_fund_pays_is_named():
    build.a_charge("5", fund_org="")
    with pytest.raises(MissingFundOrg, match=r"default fund/org"):
        charge_it()


def test_the_overflow_fund_is_rounded_together_with_charges_that_name_it():
    build.a_source(overflow_fund_org="BIO-001")
    build.a_charge("0.005", fund_org="")
    build.a_charge("0.005", fund_org="BIO-001")
    charge_it()
    assert by_fund() == {"BIO-001": Decimal("0.01")}


def test_a_rows_own_natural_account_goes_before_the_sources():
    build.a_charge("1")
    build.a_charge("2", natural_account="7100")
    charge_it()
    assert {line.natural_account: line.charged for line in the_lines()} == {"6500": 1, "7100": 2}


def test_a_funded_subsidy_is_a_line_of_its_own_and_hidden_nowhere():
    build.a_source("hpc", subsidy_fund_org="PROVOST-9")
    build.a_charge("25", source="hpc", list_cost=Decimal(120), contracted_cost=Decimal(100))
    charge_it()
    own, funded = the_lines(kind="charge") + the_lines(kind="subsidy")
    assert (own.list_cost, own.discount, own.subsidy, own.charged) == (120, 20, 75, 25)
    assert (funded.fund_org, funded.list_cost, funded.contracted_cost, funded.charged) == ("PROVOST-9", 75, 75, 75)
    assert (funded.pi, funded.discount, funded.subsidy, funded.rounding) == (own.pi, 0, 0, 0)
    (share,) = resources_of(funded.period, [funded])[funded.key]
    assert share.charged == 75


def test_a_source_without_subsidy_fund_forgoes_it():
    build.a_charge("25", list_cost=Decimal(120), contracted_cost=Decimal(100))
    charge_it()
    assert [line.kind for line in the_lines()] == ["charge"]


def test_a_fund_paid_by_tag_and_by_share_is_one_line():
    build.a_charge("10", fund_org="A")
    build.a_charge("10", payer_split=build.a_split({"A": "60", "B": "40"}))
    build.a_charge("10", payer_split=build.a_split({"A": "50", "B": "50"}))
    charge_it()
    assert by_fund() == {"A": Decimal(21), "B": Decimal(9)}
    lines = the_lines()
    for key, shares in resources_of(build.a_period(), lines).items():
        assert sum(share.charged for share in shares) == {line.key: line.charged for line in lines}[key]


def test_charges_of_one_split_are_rounded_together_whatever_fund_their_tags_name():
    split = build.a_split({"A": "100"})
    build.a_charge("0.005", payer_split=split, fund_org="X")
    build.a_charge("0.005", payer_split=split, fund_org="")
    charge_it()
    assert by_fund() == {"A": Decimal("0.01")}


def test_a_split_that_is_not_100_percent_is_refused():
    build.a_charge("10", payer_split=build.a_split({"A": "60", "B": "30"}))
    with pytest.raises(BrokenSplit, match="sum to 90 percent"):
        charge_it()


# Splits of projects


def dated(day):
    return datetime.datetime(2025, 1, day, 12, tzinfo=datetime.UTC)


def test_a_projects_split_holds_on_its_days_of_service():
    project = build.a_project()
    build.a_split(
        {"A": "60", "B": "40"},
        project=project,
        valid_from=datetime.date(2025, 1, 10),
        valid_until=datetime.date(2025, 1, 20),
    )
    for day in (9, 10, 20, 21):
        build.a_charge("100", charge_period_start=dated(day))
    dry = {line.key: line.charged for line in charging.compute(build.a_period())}
    charge_it()
    assert by_fund() == {"BIO-001": Decimal(200), "A": Decimal(120), "B": Decimal(80)}
    assert dry == {line.key: line.charged for line in the_lines()}


def test_a_split_that_begins_later_takes_the_place_of_the_one_before():
    project = build.a_project()
    build.a_split({"A": "60", "B": "40"}, project=project)
    build.a_split({"C": "100"}, project=project, valid_from=datetime.date(2025, 1, 15))
    build.a_charge("100", charge_period_start=dated(14))
    build.a_charge("10", charge_period_start=dated(15))
    charge_it()
    assert by_fund() == {"A": Decimal(60), "B": Decimal(40), "C": Decimal(10)}
    assert {line.fund_org: line.charged for line in charging.compute(build.a_period())} == by_fund()
    assert charging.stamp_project_splits(build.a_period()) == 0, "what is stamped stays"


def test_a_later_split_of_another_project_changes_nothing():
    build.a_split({"A": "60", "B": "40"}, project=build.a_project())
    build.a_split({"C": "100"}, project=build.a_project("other"), valid_from=datetime.date(2025, 1, 1))
    build.a_charge("100")
    charge_it()
    assert by_fund() == {"A": Decimal(60), "B": Decimal(40)}


def test_a_decision_is_not_overruled_by_the_projects_split():
    split = build.a_split({"A": "60", "B": "40"}, project=build.a_project())
    build.a_charge("10", attributed_by=Charge.AttributedBy.DECISION)
    decided = build.a_charge("3", attributed_by=Charge.AttributedBy.DECISION, payer_split=split, project="other")
    charge_it()
    assert by_fund(project__code="genomics") == {"BIO-001": Decimal(10)}
    decided.refresh_from_db()
    assert decided.payer_split == split


def test_a_split_that_was_shortened_gives_its_charges_back():
    split = build.a_split({"A": "60", "B": "40"}, project=build.a_project())
    charge = build.a_charge("10", charge_period_start=dated(20))
    charge_it()
    assert by_fund() == {"A": Decimal(6), "B": Decimal(4)}
    split.valid_until = datetime.date(2025, 1, 19)
    split.save()
    assert {line.fund_org for line in charging.compute(build.a_period())} == {"BIO-001"}
    charge.refresh_from_db()
    assert charge.payer_split == split, "computing writes nothing"
    charge_it()
    assert by_fund() == {"BIO-001": Decimal(10)}


def test_more_splits_than_a_condition_has_terms(monkeypatch):
    monkeypatch.setattr(splits, "BATCH", 2)
    for code in "abcde":
        build.a_split({code.upper(): "100"}, project=build.a_project(code), valid_until=datetime.date(2025, 1, 9))
        build.a_charge("1", project=code, charge_period_start=dated(9))
    charge_it()
    assert set(by_fund()) == set("ABCDE")
    PayerSplit.objects.update(valid_until=datetime.date(2025, 1, 8))
    charge_it()
    assert by_fund() == {"BIO-001": Decimal(1)}


def test_a_closed_month_keeps_the_splits_it_was_closed_with():
    build.a_charge("10")
    charge_it()
    build.a_split({"A": "60", "B": "40"}, project=build.a_project())
    closing.close(period=build.a_period(), actor=build.SOMEBODY, now=LATER)
    assert [line.fund_org for line in charging.compute(build.a_period())] == ["BIO-001"]
    charged = charge_it()
    assert (charged.created, charged.changed, charged.deleted) == (0, 0, 0)
    assert by_fund() == {"BIO-001": Decimal(10)}


# References, and running again


def test_references_are_numbered_by_code_point_and_never_again():
    build.a_policy(center_fund_org="CENTER-1")
    build.a_charge("1", pi="b@u.edu", project="zeta")
    build.a_charge("1", pi="b@u.edu", project="Zeta2")
    build.a_charge("1", pi="b@u.edu", project=None)
    build.a_charge("1", pi="a@u.edu", project="x")
    build.a_charge("1", state=Charge.State.CHARGED_TO_CENTER)
    charge_it()
    build.a_charge("1", pi="a@u.edu", project="a")
    charge_it()
    assert [
        (each.text, each.pi and each.pi.email, each.project and each.project.code)
        for each in BillingReference.objects.order_by("number")
    ] == [
        ("2025-01-0001", "a@u.edu", "x"),
        ("2025-01-0002", "b@u.edu", None),
        ("2025-01-0003", "b@u.edu", "Zeta2"),
        ("2025-01-0004", "b@u.edu", "zeta"),
        ("2025-01-0005", None, None),
        ("2025-01-0006", "a@u.edu", "a"),
    ]


def test_a_second_run_changes_nothing():
    build.a_charge("1")
    build.a_charge("2", payer_split=build.a_split({"A": "60", "B": "40"}))
    first = charge_it()
    before = list(PayerLine.objects.order_by("key").values())
    second = charge_it(now=LATER)
    assert (first.created, second.created, second.changed, second.deleted) == (3, 0, 0, 0)
    assert list(PayerLine.objects.order_by("key").values()) == before
    assert AuditEvent.objects.filter(action="payer_lines.made").count() == 1


def test_a_changed_charge_changes_its_line_alone():
    build.a_charge("1", fund_org="A")
    gone = build.a_charge("2", fund_org="B")
    moved = build.a_charge("4", fund_org="C")
    charge_it()
    ids = {line.fund_org: line.pk for line in the_lines()}
    Charge.objects.filter(pk=gone.pk).update(withdrawn_in=build.an_import())
    Charge.objects.filter(pk=moved.pk).update(billed_cost=Decimal("4.50"))
    build.a_charge("8", fund_org="D")
    charged = charge_it(now=LATER)
    assert (charged.created, charged.changed, charged.deleted) == (1, 1, 1)
    lines = {line.fund_org: line for line in the_lines()}
    assert {fund: line.charged for fund, line in lines.items()} == {"A": 1, "C": Decimal("4.5"), "D": 8}
    assert (lines["A"].computed_at, lines["C"].computed_at) == (build.NOW, LATER)
    assert (lines["A"].pk, lines["C"].pk) == (ids["A"], ids["C"])


def test_a_finalized_month_stands():
    build.a_charge("1")
    period = build.a_period()
    BillingPeriod.objects.update(status="finalized", closed_at=build.NOW, finalized_at=build.NOW)
    with pytest.raises(closing.PeriodFinalized, match="its payer lines are locked"):
        charging.make_payer_lines(period=period, actor=build.SOMEBODY, now=LATER)


def test_computing_writes_nothing():
    build.a_charge("1")
    period = build.a_period()
    with CaptureQueriesContext(connection) as queries:
        (line,) = charging.compute(period)
    assert (line.charged, line.pk, line.reference_id) == (Decimal(1), None, None)
    # On PostgreSQL rows are read through a cursor.
    reads = re.compile(r"SELECT |DECLARE \S+ NO SCROLL CURSOR FOR SELECT ")
    assert [query["sql"] for query in queries if not reads.match(query["sql"])] == []
    assert len(queries) < 15


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="In memory SQLite has one reader or writer of a table")
@pytest.mark.parametrize(
    "read",
    [
        lambda line: [(each.key, each.charged) for each in charging.compute(line.period)],
        lambda line: resources_of(line.period, [line]),
        lambda line: [(each.count, each.charged) for each in charging.makings_of(line)],
        lambda line: charging.keys_of(Charge.objects.get(pi=line.pi)),
    ],
    ids=["compute", "resources", "makings", "keys"],
)
def test_what_is_committed_while_a_month_is_read_is_of_another_moment(read, monkeypatch):
    build.a_charge("1")
    charge_it()
    (line,) = the_lines()
    looked_up = Month.__init__

    def import_meanwhile():
        # Somebody who was not there when people were looked up, in the month and in the place of who was.
        pi = build.a_pi("new@u.edu")
        build.a_charge("2", pi=pi.email)
        Charge.objects.filter(pi=line.pi).update(pi=pi)
        connection.close()

    def then_somebody_comes(month, period):
        looked_up(month, period)
        with ThreadPoolExecutor(1) as another:
            another.submit(import_meanwhile).result()

    before = read(line)
    monkeypatch.setattr(Month, "__init__", then_somebody_comes)
    assert read(line) == before
    assert Charge.objects.filter(pi__email="new@u.edu").count() == 2


def test_reading_one_moment_leaves_writing_as_it_was():
    mode = getattr(connection, "transaction_mode", None)
    with pytest.raises(ZeroDivisionError), one_moment():
        raise ZeroDivisionError
    assert getattr(connection, "transaction_mode", None) == mode


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_two_runs_at_once_wait_for_each_other():
    for name in "abcdef":
        build.a_charge("1", pi=f"{name}@u.edu", project=name)
    period, start = build.a_period(), Barrier(2)

    def run(_):
        start.wait()
        try:
            return charging.make_payer_lines(period=period, actor=build.SOMEBODY, now=build.NOW)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        created = sorted(charged.created for charged in pool.map(run, range(2)))
    assert created == [0, 6]
    assert sorted(BillingReference.objects.values_list("number", flat=True)) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("storage", ["dense", "sparse"])
def test_a_month_is_read_whole_wherever_its_rows_lie(storage, monkeypatch):
    monkeypatch.setattr("billing.charging.storage.SPARSE", 0 if storage == "sparse" else 100)
    for number in range(6):
        build.a_charge("1", period="2025-02" if number % 2 else "2025-01")
    assert [charge_it(month).charged for month in ("2025-01", "2025-02")] == [3, 3]


def queries_of(work):
    with CaptureQueriesContext(connection) as queries:
        work()
    return len(queries)


def test_resources_of_many_lines_take_as_many_queries_as_of_one():
    for number in range(8):
        build.a_charge("1", pi=f"{number}@u.edu", payer_split=build.a_split({"A": "60", "B": "40"}))
    charge_it()
    period, lines = build.a_period(), the_lines()
    assert queries_of(lambda: resources_of(period, lines)) == queries_of(lambda: resources_of(period, lines[:1]))


def test_resources_are_only_the_asked_owners_with_the_costliest_first():
    build.a_charge("1", resource_id="small")
    build.a_charge("5", resource_id="big", resource_name="Big one")
    build.a_charge("9", pi="bob@u.edu")
    charge_it()
    (line,) = the_lines(pi__email="ada@u.edu")
    shares = resources_of(line.period, [line])
    assert set(shares) == {line.key}
    assert [(share.name, share.resource_id) for share in shares[line.key]] == [("Big one", "big"), ("small", "small")]


# The natural key

names = (
    "for_period",
    "kind",
    "pi_email",
    "project_code",
    "fund_org",
    "source_name",
    "natural_account",
    "service_name",
    "currency",
)
parts = st.fixed_dictionaries(dict.fromkeys(names, st.text(alphabet="ab|\\", max_size=4)))


@given(parts, parts)
@settings(max_examples=300)
def test_two_payers_never_share_a_key(one, other):
    assert (payer_key(**one) == payer_key(**other)) == (one == other)


def test_a_key_of_names_made_of_bars_still_fits():
    whole = dict.fromkeys(("for_period", "kind", "pi_email", "fund_org", "source_name", "natural_account"), "")
    one = payer_key(**whole, project_code="|" * 128, service_name="|" * 254, currency="USD")
    other = payer_key(**whole, project_code="|" * 128, service_name="|" * 253 + "\\", currency="USD")
    assert len(one) <= charging.KEY_LENGTH == PayerLine._meta.get_field("key").max_length
    assert payer_key(**whole, project_code="|" * 128, service_name="\\" * 254, currency="USD" * 200) != one != other


def test_a_key_says_what_it_is_of():
    build.a_charge("1", service_name="A|B")
    charge_it()
    (line,) = the_lines()
    assert line.key == "2025-01|charge|ada@u.edu|genomics|BIO-001|aws|6500|A\\|B|USD"


# Whatever comes in


units = st.integers(-(10**12), 10**12).map(lambda number: Decimal(number).scaleb(-8))
rows = st.lists(
    st.fixed_dictionaries(
        {
            "billed": units,
            "list_cost": st.none() | units,
            "contracted_cost": st.none() | units,
            "pi": st.sampled_from(["ada@u.edu", "bob@u.edu"]),
            "payer": st.sampled_from(["A", "B", "60/40", "thirds"]),
            "service_name": st.sampled_from(["Compute", "Storage"]),
            "source": st.sampled_from(["aws", "hpc"]),
            "currency": st.sampled_from(["USD", "EUR"]),
            "state": st.sampled_from(["clear", "approved", "charged_to_center", "held", "rejected"]),
            "resource_id": st.sampled_from(["r1", "r2", "r3"]),
        }
    ),
    min_size=1,
    max_size=14,
)


@given(rows)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_payer_lines_add_up_to_each_groups_exact_sum_rounded_once(rows):
    Charge.objects.all().delete()
    PayerLine.objects.all().delete()
    period = build.a_period()
    build.a_policy(center_fund_org="CENTER")
    build.a_source("hpc", subsidy_fund_org="PROVOST")
    ExchangeRate.objects.get_or_create(period=period, currency="EUR", defaults={"rate": Decimal("1.0712345678")})
    splits = {
        "60/40": build.a_split({"A": "60", "B": "40"}),
        "thirds": build.a_split({"A": "33.333333", "B": "33.333333", "C": "33.333334"}),
    }
    groups: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
    for row in rows:
        fields = dict(row)
        payer, billed = fields.pop("payer"), fields.pop("billed")
        build.a_charge(
            str(billed),
            **fields,
            fund_org="" if payer in splits else payer,
            payer_split=splits.get(payer),
        )
        if row["state"] in ("held", "rejected"):
            continue
        payers = ("center",) if row["state"] == "charged_to_center" else (row["pi"], payer)
        groups[*payers, row["source"], row["service_name"], row["currency"]] += billed

    rate = {"USD": Decimal(1), "EUR": Decimal("1.0712345678")}
    expected: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
    for (name, *_, source, service, currency), exact in groups.items():
        expected[name, source, service, currency] += to_cents(exact * rate[currency], "USD")

    charged = charge_it()
    made: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
    for line in PayerLine.objects.exclude(kind="subsidy").select_related("pi", "source"):
        owner = line.pi.email if line.pi else "center"
        made[owner, line.source.name, line.service_name, line.key.rsplit("|", 1)[1]] += line.charged
    assert made == expected
    # What rounding left behind is reported to the last digit that an amount holds, group by group.
    left = sum(exact * rate[group[-1]] for group, exact in groups.items()) - sum(expected.values())
    lines = the_lines()
    rounding = sum(line.rounding for line in lines if line.kind != PayerLine.Kind.SUBSIDY)
    assert abs(rounding - left) <= Decimal("0.00000001") * len(groups)
    assert abs(rounding) <= Decimal("0.005") * len(groups)
    assert charged.rounding == sum(line.rounding for line in lines)

    for key, shares in resources_of(period, lines).items():
        (line,) = (line for line in lines if line.key == key)
        for figure in ("list_cost", "contracted_cost", "charged"):
            assert sum(getattr(share, figure) for share in shares) == getattr(line, figure)

    again = charge_it(now=LATER)
    assert (again.created, again.changed, again.deleted) == (0, 0, 0)
    total = PayerLine.objects.aggregate(total=AmountSum("charged"))["total"] or 0
    assert total == again.charged == charged.charged

"""Subsidies of one source that several funds pay, or nobody: from the row of the file to the journal and the proof."""

import datetime
from collections import defaultdict
from decimal import Decimal

import pytest
from django.db import transaction
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import proof, review, tracing
from billing.importing import booking
from billing.importing.outcomes import ImportRefused
from billing.models import BillingPeriod, Charge, ExchangeRate, Flag, Import, PayerLine, Product, Source
from billing.months import closing
from billing.readers.subsidies import FORGONE, funder_of, payer_of
from billing.readers.values import BadValue
from billing.review import Reassignment, reattribution
from billing.setup import funding
from journals import posting
from journals.models import Journal, JournalLine
from statements import issuing
from statements.models import Statement
from tests import build
from tests.billing.deliveries import a_row, delivered

pytestmark = pytest.mark.django_db

DONE = {"actor": build.SOMEBODY, "now": build.NOW}
COLUMN = "x_SubsidyFundOrg"


def a_priced_row(billed, full, funder=None, **columns):
    """Make a row whose full rate is known; what the user does not pay is its subsidy."""
    named = {} if funder is None else {COLUMN: funder}
    return a_row(billed, ListCost=full, ContractedCost=full, **named | columns)


def hpc(**fields):
    return build.a_source("hpc", kind=Source.Kind.INTERNAL, **fields)


def bring(tmp_path, rows, source=None, **options):
    return delivered(tmp_path, rows, name="hpc_2025-01.csv", source=source or hpc(), **options)


def issue(month="2025-01"):
    issuing.generate(period=BillingPeriod.objects.named(month), **DONE)


def funded(**of):
    """Return what each fund/org pays of subsidies."""
    found: dict[str, Decimal] = defaultdict(Decimal)
    for line in PayerLine.objects.filter(kind="subsidy", **of):
        found[line.fund_org] += line.charged
    return dict(found)


def told(month="2025-01", source="hpc"):
    found = proof.prove(BillingPeriod.objects.named(month))
    assert found.reconciles, found.problems()
    (equation,) = [each for each in found.equations if (each.code, each.source) == ("charged", source)]
    return {term.code: (proof.exact_text(term.amount, "USD"), term.count) for term in (*equation.left, *equation.right)}


# The column


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("PROV-1", "PROV-1"),
        (" PROV–1 ", "PROV-1"),
        ("", ""),
        ("none", ""),
        ("Forgone", FORGONE),
        ("FORGONE", FORGONE),
        ("'0042", "0042"),
    ],
)
def test_a_funder_is_read_as_other_codes_are(text, said):
    assert funder_of(text) == said


@pytest.mark.parametrize(("text", "why"), [("x" * 65, "64 is the limit"), ("1.00E+11", "digits of the code are lost")])
def test_a_text_that_is_no_fund_org_refuses_the_file_by_line_and_column(tmp_path, text, why):
    with pytest.raises(BadValue, match=why):
        funder_of(text)
    with pytest.raises(ImportRefused) as refused:
        bring(tmp_path, [a_priced_row("1", "2", "PROV-1"), a_priced_row("1", "2", text, ResourceId="i-2")])
    assert "line 3" in str(refused.value)
    assert COLUMN in str(refused.value)


def test_what_a_row_names_goes_before_what_its_source_says():
    assert [payer_of(named, by_source="OURS") for named in ("", "PROV-1", FORGONE)] == ["OURS", "PROV-1", ""]
    assert [payer_of(named, by_source="") for named in ("", "PROV-1", FORGONE)] == ["", "PROV-1", ""]


def test_another_funder_is_a_change_of_the_same_charge(tmp_path):
    bring(tmp_path, [a_priced_row("10", "30", "PROV-1"), a_priced_row("5", "9", ResourceId="i-2")])
    assert (
        bring(tmp_path, [a_priced_row("10", "30", "PROV-1"), a_priced_row("5", "9", ResourceId="i-2")]).counts.new == 0
    )
    result = bring(tmp_path, [a_priced_row("10", "30", "DEAN-2"), a_priced_row("5", "9", ResourceId="i-2")])
    assert (result.counts.changed, result.counts.unchanged, result.counts.new) == (1, 1, 0)
    charge = Charge.objects.live().get(resource__resource_id="i-1")
    assert (charge.subsidy_fund_org, charge.replaces.subsidy_fund_org) == ("DEAN-2", "PROV-1")


def test_an_empty_column_is_as_good_as_none(tmp_path):
    bring(tmp_path, [a_priced_row("10", "30")])
    assert bring(tmp_path, [a_priced_row("10", "30", "")]).counts.unchanged == 1
    assert Product.objects.count() == 1


def test_a_decision_about_who_pays_leaves_the_funder_to_the_file(tmp_path):
    bring(tmp_path, [a_priced_row("10", "30", "PROV-1")])
    charge = Charge.objects.get()
    review.reattribute(charges=[charge.pk], reassignment=Reassignment(fund_org="GIFT-2"), create=True, **DONE)
    bring(tmp_path, [a_priced_row("10", "30", "DEAN-2")])
    issue()
    assert funded() == {"DEAN-2": 20}
    assert {line.fund_org for line in PayerLine.objects.filter(kind="charge")} == {"GIFT-2"}


# Who pays


def three_ways(tmp_path, **source):
    """Deliver what two funds pay, what is forgone, and what is left to the source; all for one PI and service."""
    rows = [
        a_priced_row("10", "30", "PROV-1", ResourceId="i-1"),
        a_priced_row("5.005", "9", "DEAN-2", ResourceId="i-2"),
        a_priced_row("1", "8", "forgone", ResourceId="i-3"),
        a_priced_row("2", "4.5", "", ResourceId="i-4"),
    ]
    bring(tmp_path, rows, hpc(**source))
    issue()


def test_each_fund_pays_its_own_part_and_the_source_what_no_row_names(tmp_path):
    three_ways(tmp_path, subsidy_fund_org="OURS-9")
    assert funded() == {"PROV-1": 20, "DEAN-2": Decimal("3.99"), "OURS-9": Decimal("2.5")}
    assert told()["subsidies"] == ("26.495", 3)
    # Of one PI, service and fund/org there is one line, whoever pays the subsidy.
    (line,) = PayerLine.objects.filter(kind="charge")
    assert (line.contracted_cost, line.charged, line.charge_count) == (Decimal("51.5"), Decimal("18.01"), 4)


def test_what_no_row_names_is_forgone_where_the_source_has_no_fund(tmp_path):
    three_ways(tmp_path)
    assert funded() == {"PROV-1": 20, "DEAN-2": Decimal("3.99")}
    assert told()["subsidies"] == ("23.995", 2)


def test_the_statement_shows_the_subsidy_whoever_pays_it(tmp_path):
    three_ways(tmp_path, subsidy_fund_org="OURS-9")
    statement = Statement.objects.get()
    assert (statement.list_cost, statement.subsidy, statement.charged) == (
        Decimal("51.5"),
        Decimal("33.49"),
        Decimal("18.01"),
    )
    assert {line.kind for line in statement.lines.all()} == {"charge"}


def test_the_journal_debits_each_fund_and_credits_recovery(tmp_path):
    three_ways(tmp_path, subsidy_fund_org="OURS-9")
    posting.export(period=build.a_period(), format="standard", submit=True, **DONE)
    debited = {line.fund_org: line.debit for line in JournalLine.objects.filter(side="payer")}
    assert debited == {"BIO-001": Decimal("18.01"), "PROV-1": 20, "DEAN-2": Decimal("3.99"), "OURS-9": Decimal("2.5")}
    journal = Journal.objects.get()
    assert journal.debits == journal.credits == Decimal("44.50")
    assert proof.prove(build.a_period()).is_complete


def test_less_than_a_cent_of_subsidy_is_a_line_that_bears_its_rounding(tmp_path):
    bring(tmp_path, [a_priced_row("10.001", "10.004", "PROV-1")])
    issue()
    (line,) = PayerLine.objects.filter(kind="subsidy")
    assert (line.charged, line.rounding) == (0, Decimal("0.003"))
    assert told()["subsidies"] == ("0.003", 1)


def test_a_shared_cost_has_several_funders_too(tmp_path):
    for pi, billed in (("ada@u.edu", "30"), ("bob@u.edu", "10")):
        build.a_charge(billed, pi=pi, source="hpc")
    shared = {"pi": None, "project": None, "fund_org": "", "shared_as": "Support", "source": "hpc"}
    build.a_charge("4", **shared, contracted_cost=Decimal(8), subsidy_fund_org="PROV-1")
    build.a_charge("8", **shared, contracted_cost=Decimal(16), subsidy_fund_org="DEAN-2")
    issue()
    assert funded() == {"PROV-1": 4, "DEAN-2": 8}
    lines = PayerLine.objects.filter(kind="shared").order_by("key")
    assert [(line.charged, line.shared_total) for line in lines] == [(9, 12), (3, 12)]


def test_a_funder_changed_after_the_close_moves_by_late_change(tmp_path):
    bring(tmp_path, [a_priced_row("10", "30", "PROV-1")])
    issue()
    closing.close(period=build.a_period(), **DONE)
    build.a_period("2025-02")
    bring(tmp_path, [a_priced_row("10", "30", "DEAN-2")])
    deferred = Import.objects.get(state=Import.State.DEFERRED)
    booking.book(imported=deferred, into=build.a_period("2025-02"), **DONE)
    issue("2025-02")
    february = build.a_period("2025-02")
    assert funded(period=february) == {"PROV-1": -20, "DEAN-2": 20}
    assert proof.prove(february).reconciles


def test_why_this_number_names_who_pays_the_subsidy(tmp_path):
    three_ways(tmp_path, subsidy_fund_org="OURS-9")
    line = PayerLine.objects.get(fund_org="DEAN-2")
    traced = tracing.line_of(line.period, line.key)
    assert traced.is_current
    assert "DEAN-2 pays the subsidy" in " ".join(step for steps in traced.steps for step in steps)


# Is it a fund/org that may pay?


def flags(**of):
    return sorted(Flag.objects.filter(is_resolved=False, **of).values_list("code", "detail"))


@pytest.fixture
def listed():
    """A list of funds, on which DEAN-2 ended before January."""
    build.a_fund("BIO-001")
    build.a_fund("PROV-1")
    return build.a_fund("DEAN-2", valid_until=datetime.date(2024, 12, 31))


def test_a_funder_is_checked_as_any_fund_org(tmp_path, listed):
    build.a_policy(fund_org_patterns=["[A-Z]+-[0-9]+"])
    rows = [
        a_priced_row("1", "2", funder, ResourceId=f"i-{number}")
        for number, funder in enumerate(("PROV-1", "DEAN-2", "odd", FORGONE, ""))
    ]
    bring(tmp_path, rows)
    assert flags() == [
        ("fund_not_valid", "Subsidy: DEAN-2 is valid until Dec 31, 2024"),
        ("invalid_fund_org", "Subsidy: odd"),
        ("unknown_fund_org", "Subsidy: odd"),
    ]
    assert {charge.subsidy_fund_org for charge in Charge.objects.held()} == {"DEAN-2", "odd"}


def test_saying_who_pays_does_not_answer_a_funder_whose_dates_are_over(tmp_path, listed):
    bring(tmp_path, [a_priced_row("1", "2", "DEAN-2")])
    charge = Charge.objects.get()
    review.reattribute(charges=[charge.pk], reassignment=Reassignment(fund_org="PROV-1"), create=True, **DONE)
    charge.refresh_from_db()
    assert (charge.state, charge.fund_org) == ("held", "PROV-1")
    assert [code for code, _ in flags()] == ["fund_not_valid"]
    assert "exception" in review.approve(charges=[charge.pk], **DONE).why_skipped[charge.pk]


def test_an_exception_for_the_funder_releases_its_charges(tmp_path, listed):
    bring(tmp_path, [a_priced_row("1", "2", "DEAN-2")])
    funding.record_exception(fund=listed, valid_until=datetime.date(2025, 6, 30), reason="Extended", **DONE)
    assert Charge.objects.get().state == "clear"
    assert flags() == []


def test_attributing_a_month_again_keeps_the_reason(tmp_path, listed):
    bring(tmp_path, [a_priced_row("1", "2", "DEAN-2")])
    before = flags()
    assert reattribution.reapply(period=build.a_period(), **DONE).is_idle
    assert flags() == before


def test_the_charge_says_who_pays_its_subsidy(tmp_path, client, cast):
    bring(tmp_path, [a_priced_row("10", "30", "PROV-1")])
    client.force_login(cast.viewer)
    page = client.get(reverse("admin:billing_charge_change", args=[Charge.objects.get().pk]), {"tab": "delivered"})
    assert "Subsidy fund/org" in page.content.decode()
    assert "PROV-1" in page.content.decode()


# The proof


@pytest.mark.bends_charges
def test_a_subsidy_that_is_changed_behind_its_back_is_found(tmp_path):
    three_ways(tmp_path, subsidy_fund_org="OURS-9")
    period = build.a_period()
    posting.export(period=period, format="standard", submit=True, **DONE)
    PayerLine.objects.filter(fund_org="DEAN-2").update(charged=Decimal("3.98"))
    assert any("hpc" in each for each in proof.prove(period).problems())
    PayerLine.objects.filter(fund_org="DEAN-2").update(charged=Decimal("3.99"))
    assert proof.prove(period).reconciles
    # Whom the charges name is what counts, not what the lines say.
    charge = Charge.objects.get(resource__resource_id="i-1")
    build.resaid([charge], subsidy_fund_org=FORGONE)
    (of_source,) = [each for each in proof.prove(period).open if each.code == "charged"]
    assert (of_source.difference, of_source.note) == (-20, "Payer lines are older than the last change.")


def test_a_finalized_month_stands_whatever_its_source_says_since(tmp_path):
    build.a_policy(requires_ledger_answer=False)
    three_ways(tmp_path)
    period = build.a_period()
    closing.close(period=period, **DONE)
    issue()
    posting.export(period=build.a_period(), format="standard", submit=True, **DONE)
    closing.finalize(period=build.a_period(), notes="Done", **DONE)
    for fund_org in ("LATER-1", "PROV-1", ""):
        Source.objects.filter(name="hpc").update(subsidy_fund_org=fund_org)
        assert told()["subsidies"] == ("23.995", 2)
        assert proof.prove(build.a_period()).is_complete


units = st.integers(0, 10**11).map(lambda number: Decimal(number).scaleb(-8))
charges = st.lists(
    st.fixed_dictionaries(
        {
            "billed": units,
            "contracted_cost": st.none() | units,
            "pi": st.sampled_from(["ada@u.edu", "bob@u.edu"]),
            "payer": st.sampled_from(["A", "B", "60/40"]),
            "service_name": st.sampled_from(["Compute", "Storage"]),
            "source": st.sampled_from(["hpc", "aws"]),
            "currency": st.sampled_from(["USD", "EUR"]),
            "state": st.sampled_from(["clear", "approved", "held", "rejected", "charged_to_center"]),
            "subsidy_fund_org": st.sampled_from(["", FORGONE, "PROV-1", "DEAN-2", "OURS-9"]),
        }
    ),
    min_size=1,
    max_size=12,
)


@given(charges)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_in_any_month_each_fund_pays_what_its_rows_come_to_and_all_of_it_reconciles(charges):
    with transaction.atomic():
        require_that_it_reconciles(charges)
        transaction.set_rollback(True)


def require_that_it_reconciles(charges):
    period = build.a_period()
    build.a_policy(center_fund_org="CENTER")
    hpc(subsidy_fund_org="OURS-9")
    rate = {"USD": Decimal(1), "EUR": Decimal("1.0712345678")}
    ExchangeRate.objects.get_or_create(period=period, currency="EUR", defaults={"rate": rate["EUR"]})
    split = build.a_split({"A": "60", "B": "40"})
    expected: dict[str, Decimal] = defaultdict(Decimal)
    for row in charges:
        fields = dict(row)
        payer, billed = fields.pop("payer"), fields.pop("billed")
        paid = {"fund_org": "", "payer_split": split} if payer == "60/40" else {"fund_org": payer}
        build.a_charge(str(billed), **fields, **paid)
        contracted = fields["contracted_cost"]
        if fields["state"] in ("held", "rejected"):
            continue
        if contracted is None and fields["source"] == "hpc":
            contracted = billed  # the list price, which is what was billed
        named = fields["subsidy_fund_org"] or ("OURS-9" if fields["source"] == "hpc" else FORGONE)
        if named != FORGONE and contracted:
            expected[named] += (contracted - billed) * rate[fields["currency"]]
    issuing.generate(period=period, **DONE)
    paid = funded()
    for fund_org in {*paid, *expected}:
        # A cent at most for each group of charges: those that are rounded together.
        assert abs(paid.get(fund_org, 0) - expected[fund_org]) <= Decimal("0.01") * len(charges), fund_org
    found = proof.prove(period)
    assert found.reconciles, found.problems()
    assert not [each for each in found.open if each.code == "charged"]
    exported = posting.export(period=period, format="gl", submit=False, **DONE)
    assert exported.debits == exported.credits

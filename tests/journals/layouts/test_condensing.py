"""Several journal lines as one line of a file: what is put together, and what never is."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journals.formats.layouts.condensing import condensed, regrouped
from journals.formats.layouts.terms import Condense
from tests.journals.layouts.made import (
    PRESETS,
    a_journal,
    chartstrings,
    of_preset,
    read_support,
)

ONE_EACH = Condense("chartstring", "source")
BY_STATEMENT = Condense("chartstring_and_reference", "source")
BY_SOURCE = Condense("chartstring_and_source", "source")
CONDENSES = [
    {"payers": payers, "recoveries": recoveries}
    for payers, recoveries in (
        ("chartstring", "source"),
        ("chartstring_and_reference", "source"),
        ("chartstring_and_source", "source"),
        ("line", "source"),
        ("chartstring", "line"),
    )
]


def figures(lines):
    return [(line.common("fund_org"), line.debit, line.credit, line.numbers) for line in lines]


def put_together(document, condense=ONE_EACH):
    return condensed(document.ledger_lines, condense)


def test_one_debit_for_each_chartstring_and_one_credit_for_each_source():
    document = a_journal("10.00", "2.50", ("5.00", {"fund_org": "CHEM-014"}), ("1.00", {"source": "aws"}))

    assert figures(put_together(document)) == [
        ("BIO-001", Decimal("13.50"), 0, (1, 3, 7)),
        ("CHEM-014", Decimal("5.00"), 0, (5,)),
        ("RC-100", 0, Decimal("17.50"), (2, 4, 6)),
        ("RC-100", 0, Decimal("1.00"), (8,)),
    ]


def test_one_debit_for_each_fund_and_source():
    document = a_journal("10.00", "2.50", ("1.00", {"source": "aws"}))

    assert [(line.common("source"), line.debit) for line in put_together(document, BY_SOURCE) if line.is_payer] == [
        ("cluster", Decimal("12.50")),
        ("aws", Decimal("1.00")),
    ]


def test_one_debit_for_each_statement_reference_by_choice():
    document = a_journal("10.00", "2.50", ("1.00", {"reference": "2025-01-0009"}))

    assert [line.numbers for line in put_together(document, BY_STATEMENT) if line.is_payer] == [(1, 3), (5,)]


def test_sponsored_funds_keep_a_line_for_each_statement():
    document = a_journal(
        ("10.00", {"is_sponsored": True}), ("2.50", {"is_sponsored": True, "reference": "2025-01-0009"}), "1.00"
    )

    assert [line.numbers for line in put_together(document) if line.is_payer] == [(1,), (3,), (5,)]
    as_others = Condense("chartstring", "source", "as_others")
    assert [line.numbers for line in put_together(document, as_others) if line.is_payer] == [(1, 3, 5)]


@pytest.mark.parametrize(
    "apart",
    [
        ("-2.50", {}),
        ("2.50", {"month": "2024-12"}),
        ("2.50", {"kind": "late"}),
        ("2.50", {"kind": "subsidy"}),
        ("2.50", {"kind": "transfer"}),
        ("2.50", {"kind": "refund"}),
        ("2.50", {"natural_account": "6600"}),
        ("2.50", {"fund_org": "BIO-002"}),
    ],
    ids=str,
)
def test_what_is_of_another_side_month_kind_or_chartstring_stays_apart(apart):
    document = a_journal("10.00", apart)

    assert [line.numbers for line in put_together(document) if line.is_payer] == [(1,), (3,)]


def test_a_share_of_a_shared_cost_is_a_charge_like_others():
    assert [line.numbers for line in put_together(a_journal("1.00", ("2.00", {"kind": "shared"})))] == [(1, 3), (2, 4)]


def test_corrections_of_one_kind_are_put_together_and_two_kinds_are_not():
    document = a_journal(*[("1.00", {"kind": kind}) for kind in ("refund", "refund", "write_off")])

    assert [line.numbers for line in put_together(document) if line.is_payer] == [(1, 3), (5,)]


def test_what_a_condensed_line_says_is_what_all_its_lines_say():
    (payer, _) = put_together(a_journal("1.00", ("2.00", {"project": "other"})))

    assert (payer.common("source"), payer.common("project")) == ("cluster", "")


def test_a_file_that_was_written_before_is_grouped_as_it_was():
    document = a_journal("1.00", "2.00")
    lines = put_together(document)

    assert regrouped(document.lines, [line.numbers for line in lines]) == lines


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("condense", CONDENSES, ids=str)
def test_a_preset_that_condenses_says_the_same_on_every_chartstring(name, condense):
    document = a_journal(
        "1250.40", "-25.00", ("3.10", {"fund_org": "CHEM-014"}), ("0.01", {"source": "aws"}), ("7.00", {"kind": "late"})
    )
    plain, short = of_preset(name).write(document), of_preset(name, condense=condense).write(document)

    assert short.rows < plain.rows
    assert {number for group in short.groups for number in group} == {line.number for line in document.ledger_lines}
    rows = read_support(short)
    assert sum(Decimal(row["debit"]) - Decimal(row["credit"]) for row in rows) == 0
    sums = {}
    for row in rows:
        key = (row["fund_org"], row["account"])
        sums[key] = sums.get(key, Decimal(0)) + Decimal(row["debit"]) - Decimal(row["credit"])
    assert {key: amount for key, amount in sums.items() if amount} == chartstrings(document.lines)


AMOUNTS = st.lists(
    st.tuples(
        st.integers(-(10**6), 10**6),
        st.sampled_from(["BIO-001", "CHEM-014"]),
        st.sampled_from(["charge", "shared", "late", "subsidy", "refund"]),
        st.sampled_from(["2025-01", "2024-12"]),
        st.sampled_from(["cluster", "aws"]),
        st.booleans(),
    ),
    max_size=20,
)


@given(AMOUNTS, st.sampled_from(CONDENSES), st.sampled_from(["statement", "as_others"]))
@settings(deadline=None)
def test_condensing_conserves_every_side_of_every_chartstring(pairs, condense, sponsored):
    document = a_journal(
        *[
            (
                Decimal(cents).scaleb(-2),
                {"fund_org": fund, "kind": kind, "month": month, "source": source, "is_sponsored": is_sponsored},
            )
            for cents, fund, kind, month, source, is_sponsored in pairs
        ]
    )

    lines = put_together(document, Condense(**condense, sponsored=sponsored))

    assert sorted(number for line in lines for number in line.numbers) == [
        line.number for line in document.ledger_lines
    ]
    assert sum(line.debit for line in lines) == document.debits
    assert sum(line.credit for line in lines) == document.credits
    for line in lines:
        # A line is a debit or a credit, and so is each that it stands for: nothing is netted.
        assert {bool(each.debit) for each in line.lines} == {line.is_debit}
        assert bool(line.debit) != bool(line.credit)
        assert len({(each.is_payer, each.month) for each in line.lines}) == 1

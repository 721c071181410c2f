"""Why a row costs what it does: what is kept of each row comes to its list, contracted and billed cost, exactly."""

from dataclasses import replace
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings

from billing.usage.equations import sentences
from billing.usage.funders import with_funders
from billing.usage.pricing.exact import decimal
from billing.usage.pricing.explaining import NoSuchRate, explained
from billing.usage.pricing.terms import Balance, Count, Schedule, Scope, Span, Subsidy, Tier
from tests.billing.usage.pricing import ADA, CLASSES, COMPANY, HOUR, MONTH, a_rate, a_record, priced

from .test_pricing import PAYERS, TERMS

AMOUNTS = ("list", "contracted", "billed")


def rows_of(made):
    """Return the rows of a priced month, each with how it came about, as they are kept."""
    lines = pa.concat_tables(
        with_funders(made.lines, made.reductions), promote_options="permissive"
    ).unify_dictionaries()
    workings = made.workings.take(lines["line"]).to_pylist()
    return [
        (row, working | {name: row[name] for name in ("rate", "rate_class", "kind", "fund_org")})
        for row, working in zip(lines.to_pylist(), workings, strict=True)
    ]


def why(working, *rates, classes=(), **terms):
    return explained(working, Schedule("Rates", 1, rates, classes), **terms)


def told(made, *rates, classes=(), currency="USD", **terms):
    """Return the sentences about each row of a month."""
    return [
        sentences(why(working, *rates, classes=classes, **terms), currency=currency, reason=row["free"])
        for row, working in rows_of(made)
    ]


@settings(max_examples=100, deadline=None)
@given(**TERMS)
def test_every_row_is_explained_to_its_last_digit(records, first, second, subsidies, balances):
    subsidies = [replace(each, fund_org=f"{each.code}-1" if each.code != "dean" else "") for each in subsidies]
    terms = {"subsidies": subsidies, "balances": balances}
    before = priced(records, first, second, payers=PAYERS, classes=CLASSES, **terms).used
    month = MONTH.replace(month=MONTH.month + 1)
    made = priced(records, first, second, payers=PAYERS, classes=CLASSES, before=before, month=month, **terms)
    for row, working in rows_of(made):
        found = why(working, first, second, classes=CLASSES, **terms)
        assert found.adds_up(*(decimal(row[name]) for name in AMOUNTS)), (row, working, found)
        assert abs(sum((each.amount for each in found.tiers), Decimal(0)) - found.listed) <= Decimal("0.0000001")
        assert sentences(found, currency="USD", reason=row["free"])


def test_a_job_over_a_free_amount_and_two_tiers_is_told_step_by_step():
    rate = a_rate(("0.10", 1000), "0.05", free=Decimal(100))
    made = priced([a_record(1, core_seconds=900 * HOUR), a_record(2, core_seconds=300 * HOUR)], rate)
    first, second = told(made, rate)
    assert first == [
        "900 core-hours of ada@u.edu, for each PI and month: 0 core-hours used before, 900 core-hours with it.",
        "List price: 900 core-hours × 0.1 (tier 1, up to 1,000) = 90.00.",
        "Free amount: the first 100 core-hours of ada@u.edu, for each PI and month; 0 core-hours used before and "
        "100 core-hours with it, so 100 core-hours of it are free.",
        "Billed: 90.00 − 10.00 (free: 100 core-hours) = 80.00.",
    ]
    assert second[1:] == [
        "List price: 100 core-hours × 0.1 (tier 1, up to 1,000) = 10.00 + 200 core-hours × 0.05 (tier 2, above the "
        "others) = 10.00 = 20.00.",
        "Free amount: the first 100 core-hours of ada@u.edu, for each PI and month; 100 core-hours used before and "
        "100 core-hours with it, so 0 core-hours of it are free.",
        "Billed: 20.00.",
    ]


def test_started_steps_are_told():
    rate = a_rate("2", code="disk", step=Decimal(5))
    ((_, *listed),) = told(priced([a_record(1, core_seconds=6 * HOUR)], rate), rate)
    assert listed == [
        "Charged by started steps of 5 core-hours: from 0 core-hours to 10 core-hours.",
        "List price: 10 core-hours × 2 = 20.00.",
        "Billed: 20.00.",
    ]


def test_a_minimum_says_what_is_missing_to_it():
    rate = a_rate("2", minimum=Decimal(20))
    made = priced([a_record(1, core_seconds=6 * HOUR)], rate)
    _, minimum = told(made, rate)
    assert minimum == [
        "At least 20.00 a month of ada@u.edu, for each PI and month; its use came to 12.00: 20.00 − 12.00 = 8.00.",
        "Billed: 8.00.",
    ]


def test_a_class_with_a_surcharge_and_indirect_cost_has_a_row_for_each():
    rate = a_rate("1")
    made = priced([a_record(1, core_seconds=100 * HOUR)], rate, payers=(COMPANY,), classes=CLASSES)
    use, surcharge, *indirect = told(made, rate, classes=CLASSES)
    assert use[-2:] == [
        "Rate class company pays 133.3% of the list price, as an external payer: contracted 100.00, and a surcharge of "
        "33.30.",
        "Billed: 100.00.",
    ]
    assert surcharge[-1] == "Billed: 33.30."
    assert [each[0] for each in indirect] == [
        "Rate class company pays 26.5% indirect cost of 100.00: 26.50.",
        "Rate class company pays 26.5% indirect cost of 33.30: 8.8245.",
    ]


def test_what_is_left_of_a_cap_and_of_a_balance_is_told():
    rate = a_rate("1")
    subsidy = Subsidy("start", "Start-up", Decimal(50), cap=Decimal(40), span=Span.FISCAL_YEAR, fund_org="PRO-1")
    balance = Balance("one", Scope.PI, ADA.pi, size=Decimal(500), left=Decimal(200), unit="core-hour")
    terms = {"subsidies": [subsidy], "balances": [balance]}
    made = priced([a_record(1, core_seconds=260 * HOUR)], rate, **terms)
    own, paid = told(made, rate, **terms)
    assert own[-1] == (
        "Billed: 260.00 − 200.00 (balance one, 200 core-hours; 500 core-hours of 500 core-hours used with it, "
        "0 core-hours left) − 30.00 (subsidy Start-up, 50% of what was left, paid by PRO-1; 30.00 of 40.00 used with "
        "it, 10.00 left) = 30.00; 30.00 of it stands on a row of its own for each further fund/org."
    )
    assert paid == [
        "What PRO-1 pays of a row: listed and contracted here, and billed to nobody else.",
        "Billed: 30.00 − 30.00 (PRO-1) = 0.",
    ]


def test_a_failed_job_has_no_price():
    rate = a_rate("1")
    ((use, why_not, billed),) = told(priced([a_record(1, core_seconds=HOUR, free="failed")], rate), rate)
    assert use.startswith("1 core-hour of ada@u.edu")
    assert why_not == "Nobody pays for it, and it has no list price: failed."
    assert billed == "Billed: 0.00."


def test_a_row_that_was_changed_does_not_add_up():
    rate = a_rate("1")
    ((row, working),) = rows_of(priced([a_record(1, core_seconds=HOUR)], rate))
    assert why(working, rate).adds_up(Decimal(1), Decimal(1), Decimal(1))
    assert not why(working, rate).adds_up(Decimal(1), Decimal(1), Decimal("0.99999999"))
    assert not why(working, replace(rate, tiers=(Tier(Decimal(2)),))).adds_up(Decimal(1), Decimal(1), Decimal(1))
    with pytest.raises(NoSuchRate, match="has no rate cpu"):
        why(working, replace(rate, code="gpu"))


def test_numbers_beyond_64_bits_are_kept_as_texts():
    tiny = (Count("core_seconds", "core-hour", factor=Decimal("0.000000000001")),)
    rate, use = a_rate("1", counts=tiny), 2**62
    made = priced([a_record(1, core_seconds=use), a_record(2, core_seconds=use)], rate)
    assert [each["before"] for each in made.workings.to_pylist()] == ["0", str(use)]
    for row, working in rows_of(made):
        assert why(working, rate).adds_up(*(decimal(row[name]) for name in AMOUNTS))

"""Pricing is exact: against an independent pricing in fractions, in any order, and from month to month."""

import datetime
import json
from collections import Counter, defaultdict
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from billing.usage.pricing.terms import (
    Balance,
    Combine,
    Count,
    Scope,
    Span,
    Subsidy,
    Threshold,
    Tier,
    Tiering,
)
from billing.usage.pricing.uses import Before, before_from_data
from tests.billing.usage.pricing import (
    ADA,
    AFFILIATE,
    BOB,
    CLASSES,
    COMPANY,
    JOBS,
    STRANGER,
    a_rate,
    a_record,
    cents,
    cost,
    is_priced,
    priced,
    quantity_of,
    slowly,
    start_of,
    whole_steps,
)

PAYERS = (ADA, BOB, STRANGER, COMPANY, AFFILIATE)
PRICES = st.decimals(min_value="0", max_value="3", places=3)
COSTS = st.decimals(min_value="0.001", max_value="3", places=3)


@st.composite
def tiers(draw, prices=PRICES):
    ends = sorted(draw(st.lists(st.integers(1, 60), max_size=3, unique=True)))
    return tuple(Tier(draw(prices), Decimal(end)) for end in ends) + (Tier(draw(prices)),)


@st.composite
def rates(draw, code="cpu", when=None):
    is_money = draw(st.booleans())
    counts = draw(
        st.sampled_from(
            [
                (Count("core_seconds", "core-hour"),),
                (
                    Count("core_seconds", "core-hour"),
                    Count("gpu_seconds", "GPU-hour", factor=Decimal(10), when={"partition": ("gpu",)}),
                ),
                (
                    Count("core_seconds", "core-hour"),
                    Count("memory", "GiB-hour", per=Decimal("3.85"), step=Decimal("3.85")),
                ),
                (Count("memory", "GiB-hour", factor=Decimal("0.3"), at_least=Decimal(2)),),
            ]
        )
    )
    prices = {"company": draw(tiers(COSTS))} if draw(st.booleans()) else {}
    return a_rate(
        code=code,
        tiers=draw(tiers(COSTS if is_money else PRICES)),
        counts=counts,
        combine=draw(st.sampled_from(Combine)),
        when=draw(st.sampled_from([{}, {"partition": ("g*",)}])) if when is None else when,
        per=draw(st.sampled_from([Decimal(1), Decimal(12)])),
        tiering=Tiering.GRADUATED if is_money else draw(st.sampled_from(Tiering)),
        threshold=Threshold.AMOUNT if is_money else Threshold.QUANTITY,
        scope=draw(st.sampled_from([Scope.PI, Scope.PROJECT, Scope.FEED])),
        span=draw(st.sampled_from([Span.MONTH, Span.QUARTER, Span.FISCAL_YEAR])),
        free=Decimal(0) if is_money else draw(st.sampled_from([Decimal(0), Decimal("7.5"), Decimal(40)])),
        step=None if is_money else draw(st.sampled_from([None, Decimal(5)])),
        minimum=draw(st.sampled_from([None, Decimal("12.34")])),
        prices=prices,
    )


@st.composite
def record_lists(draw, size=12):
    count = draw(st.integers(1, size))
    return [
        a_record(
            number,
            start=draw(st.integers(0, 3)) * 900 + 1_782_864_000,
            seconds=draw(st.sampled_from([0, 1, 900, 3601])),
            payer=draw(st.integers(0, len(PAYERS) - 1)),
            free=draw(st.sampled_from(["", "", "", "", "failed", "internal"])),
            partition=draw(st.sampled_from(["cpu", "gpu"])),
            core_seconds=draw(st.integers(0, 200_000)),
            gpu_seconds=draw(st.sampled_from([0, 0, 7200])),
            memory=draw(st.integers(0, 10**7)),
        )
        for number in range(count)
    ]


SUBSIDIES = st.lists(
    st.builds(
        Subsidy,
        code=st.sampled_from(["dean", "start-up", "center"]),
        name=st.just("Subsidy"),
        percent=st.sampled_from([Decimal(33), Decimal("12.5"), Decimal(100)]),
        order=st.integers(0, 2),
        cap=st.sampled_from([None, Decimal("3.21"), Decimal(50)]),
        scope=st.sampled_from([Scope.PI, Scope.PROJECT, Scope.FEED]),
        scopes=st.sampled_from([frozenset(), frozenset({ADA.pi, BOB.project})]),
        rates=st.sampled_from([frozenset(), frozenset({"cpu"})]),
        classes=st.sampled_from([frozenset(), frozenset({"company"})]),
    ),
    max_size=3,
    unique_by=lambda each: each.code,
)
BALANCES = st.lists(
    st.builds(
        lambda code, of, left, unit, rates: Balance(
            code, of[0], of[1], size=Decimal(100), left=left, unit=unit, rates=rates
        ),
        code=st.sampled_from(["one", "two", "three"]),
        of=st.sampled_from(
            [(Scope.PI, ADA.pi), (Scope.PI, COMPANY.pi), (Scope.PROJECT, BOB.project), (Scope.FEED, "")]
        ),
        left=st.sampled_from([Decimal(0), Decimal("7.25"), Decimal(90)]),
        unit=st.sampled_from(["", "core-hour"]),
        rates=st.sampled_from([frozenset(), frozenset({"cpu"})]),
    ),
    max_size=3,
    unique_by=lambda each: each.code,
)
TERMS = {
    "records": record_lists(),
    "first": rates(),
    "second": rates(code="all", when={}),
    "subsidies": SUBSIDIES,
    "balances": BALANCES,
}


def told(made, records):
    """Return what lines are of and come to, but for those of nothing."""
    found = []
    for each in made.lines.to_pylist():
        name = records[each["record"]]["id"] if each["record"] is not None else ""
        amounts = (each["list"], each["contracted"], each["billed"])
        found += [(name, each["rate"], each["kind"], *amounts)] if any(amounts) else []
    return sorted(found)


def told_slowly(made):
    found = []
    for (name, rate, kind), amounts in made.lines.items():
        name = "" if name.startswith("minimum") else name
        found += [(name, rate, kind.split()[0], *amounts)] if any(amounts) else []
    return sorted(found)


@settings(max_examples=120, deadline=None)
@given(**TERMS)
def test_every_line_is_what_an_independent_pricing_makes_of_it(records, first, second, subsidies, balances):
    terms = {"payers": PAYERS, "classes": CLASSES, "subsidies": subsidies, "balances": balances}
    made = priced(records, first, second, **terms)
    slow = slowly(records, first, second, **terms)
    assert told(made, records) == told_slowly(slow)
    assert {each.code: cents(each.left) for each in made.balances} == {
        code: int(left * 10**8 // 1) for code, left in slow.balances.items()
    }


@settings(max_examples=30, deadline=None)
@given(**TERMS, seed=st.randoms())
def test_no_order_of_records_changes_a_line(records, first, second, subsidies, balances, seed):
    terms = {"payers": PAYERS, "classes": CLASSES, "subsidies": subsidies, "balances": balances}
    shuffled = seed.sample(records, len(records))
    some, others = priced(records, first, second, **terms), priced(shuffled, first, second, **terms)
    assert told(some, records) == told(others, shuffled)
    assert some.used == others.used


@settings(max_examples=50, deadline=None)
@given(**TERMS)
def test_amounts_and_units_add_up(records, first, second, subsidies, balances):
    terms = {"payers": PAYERS, "classes": CLASSES, "subsidies": subsidies, "balances": balances}
    made = priced(records, first, second, **terms)
    lines = made.lines.to_pylist()
    reduced = Counter()
    for each in made.reductions.to_pylist():
        assert each["amount"] >= 0
        reduced[each["line"]] += each["amount"]
    for place, each in enumerate(lines):
        assert each["list"] >= each["contracted"] >= each["billed"] >= 0
        assert each["contracted"] - each["billed"] == reduced[place]
    # Every record has a line, of every rate that counts any use of it.
    assert {each["record"] for each in lines if each["record"] is not None} == set(range(len(records)))
    for units, rate in zip(made.units, (first, second), strict=True):
        assert units.difference == 0
        fitting = [each for each in records if is_priced(rate, each)]
        assert units.records == len(fitting)
        assert units.counted == sum(quantity_of(rate, each, JOBS) for each in fitting)
        assert units.charged >= 0
        assert units.held >= 0
        assert all(parts > 0 for parts in units.free.values())
        shown = sum(each["quantity"] for each in lines if each["rate"] == rate.code)
        assert abs(Fraction(shown, 10**8) - units.counted) <= Fraction(len(records), 10**8)


@settings(max_examples=50, deadline=None)
@given(record_lists(), rates(when={}))
def test_the_lines_of_a_scope_add_up_to_the_price_of_its_total_rounded_once(records, rate):
    records = [each | {"free": ""} for each in records]
    payers = (ADA, BOB, STRANGER, replace(COMPANY, rate_class=""), replace(AFFILIATE, rate_class=""))
    made = priced(records, rate, payers=payers, classes=CLASSES)
    by_scope = defaultdict(list)
    for each in made.lines.to_pylist():
        if each["kind"] == "usage":
            by_scope[payers[each["payer"]].scope(rate.scope)].append(each)
    for scope, lines in by_scope.items():
        used = sum(quantity_of(rate, records[each["record"]], JOBS) for each in lines)
        free = Fraction(rate.free) if scope or rate.scope is Scope.FEED else Fraction(0)
        end = whole_steps(rate, used, free)
        whole, gift = cents(cost(rate, rate.tiers, end, end)), cents(cost(rate, rate.tiers, min(used, free), end))
        assert sum(each["list"] for each in lines) == whole
        assert sum(each["billed"] for each in lines) == whole - gift


def cut(record, at):
    """Return a record cut in two after so many seconds, each with its share of what it counts."""
    first = {
        name: value * at // record["elapsed_seconds"]
        for name, value in record.items()
        if name in ("core_seconds", "gpu_seconds", "memory")
    }
    rest = {name: record[name] - value for name, value in first.items()}
    middle = record["start"] + at
    return [
        record | first | {"end": middle, "elapsed_seconds": at},
        record | rest | {"start": middle, "elapsed_seconds": record["elapsed_seconds"] - at},
    ]


def by_payer(made, *kinds):
    found = defaultdict(lambda: [0, 0, 0])
    for each in made.lines.to_pylist():
        for place, name in enumerate(("list", "contracted", "billed")):
            found[each["payer"]][place] += each[name] if not kinds or each["kind"] in kinds else 0
    return {payer: amounts for payer, amounts in found.items() if any(amounts)}


@settings(max_examples=50, deadline=None)
@given(rate=rates(when={}), subsidies=SUBSIDIES, balances=BALANCES, data=st.data())
def test_no_cut_of_jobs_changes_what_a_pi_is_charged(rate, subsidies, balances, data):
    """Of one rate whose use, subsidies and balances are the PI's: what was used counts, not in which jobs."""
    rate = replace(rate, scope=Scope.PI, prices={})
    subsidies = [replace(each, scope=Scope.PI, scopes=frozenset()) for each in subsidies]
    balances = [each for each in balances if each.scope is Scope.PI]
    whole, parts = [], []
    for number in range(data.draw(st.integers(1, 6))):
        seconds, each = data.draw(st.integers(2, 9_000)), st.integers(0, 60)
        record = a_record(
            number,
            start=1_782_864_000 + data.draw(st.integers(0, 9_000)),
            seconds=seconds,
            payer=data.draw(st.sampled_from([0, 1, 3, 4])),
            free=data.draw(st.sampled_from(["", "", "failed"])),
            # Whole numbers a second, so that they can be cut anywhere.
            core_seconds=seconds * data.draw(each),
            gpu_seconds=seconds * data.draw(each),
            memory=seconds * 1024 * data.draw(each),
        )
        whole.append(record)
        parts += cut(record, data.draw(st.integers(1, seconds - 1)))
    terms = {"payers": PAYERS, "classes": CLASSES, "subsidies": subsidies, "balances": balances}
    some, others = priced(whole, rate, **terms), priced(parts, rate, **terms)
    assert by_payer(some) == by_payer(others)
    assert some.balances == others.balances
    assert some.used == others.used
    assert [each.counted for each in some.units] == [each.counted for each in others.units]


@settings(max_examples=50, deadline=None)
@given(first=rates(), second=rates(code="all", when={}), subsidies=SUBSIDIES, data=st.data())
def test_months_of_a_fiscal_year_come_to_the_same_one_by_one_and_at_once(first, second, subsidies, data):
    some = [
        replace(each, span=Span.FISCAL_YEAR, scope=Scope.PI, minimum=None, tiering=Tiering.GRADUATED)
        for each in (first, second)
    ]
    subsidies = [replace(each, span=Span.FISCAL_YEAR, scope=Scope.PI, scopes=frozenset()) for each in subsidies]
    terms = {"payers": PAYERS, "classes": CLASSES, "subsidies": subsidies}
    months = [datetime.date(2026, 7, 1), datetime.date(2026, 9, 1), datetime.date(2027, 6, 1)]
    before, everything, one_by_one = Before(), [], []
    for number, month in enumerate(months):
        records = [
            each | {"id": f"{number}-{each['id']}", "start": each["start"] + shift, "end": each["end"] + shift}
            for shift in [start_of(month) - start_of(months[0])]
            for each in data.draw(record_lists(6))
            # Use of nobody known is added up for the month alone.
            if PAYERS[each["payer"]] != STRANGER
        ]
        everything += records
        made = priced(records, *some, month=month, before=before, **terms)
        one_by_one.append(made)
        before = before_from_data(json.loads(json.dumps(made.used.as_data())))
        assert before == made.used
    at_once = priced(everything, *some, month=months[-1], **terms)
    added = Counter()
    for made in one_by_one:
        for payer, amounts in by_payer(made, "usage", "surcharge").items():
            added.update({(payer, place): amount for place, amount in enumerate(amounts)})
    expected = {
        (payer, place): amount
        for payer, amounts in by_payer(at_once, "usage", "surcharge").items()
        for place, amount in enumerate(amounts)
    }
    assert +added == +Counter(expected)
    taken = Counter()
    for made in one_by_one:
        lines = made.lines.to_pylist()
        for each in made.reductions.to_pylist():
            taken[each["code"], PAYERS[lines[each["line"]]["payer"]].pi] += each["amount"]
    for subsidy in subsidies:
        if subsidy.cap is not None:
            assert all(taken[subsidy.code, payer.pi] <= cents(subsidy.cap) for payer in PAYERS)

"""Pricing is exact: against an independent pricing in fractions, in any order, and from month to month."""

from decimal import Decimal

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
from tests.billing.usage.pricing import (
    ADA,
    AFFILIATE,
    BOB,
    CLASSES,
    COMPANY,
    STRANGER,
    a_rate,
    a_record,
    cents,
    priced,
    slowly,
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
                (Count("core_seconds", "core-hour"), Count("gpu_seconds", "GPU-hour", factor=Decimal(10))),
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


@settings(max_examples=400, deadline=None)
@given(**TERMS)
def test_every_line_is_what_an_independent_pricing_makes_of_it(records, first, second, subsidies, balances):
    terms = {"payers": PAYERS, "classes": CLASSES, "subsidies": subsidies, "balances": balances}
    made = priced(records, first, second, **terms)
    slow = slowly(records, first, second, **terms)
    assert told(made, records) == told_slowly(slow)
    assert {each.code: cents(each.left) for each in made.balances} == {
        code: int(left * 10**8 // 1) for code, left in slow.balances.items()
    }

"""What each term of a rate schedule does, with figures worked out by hand."""

import datetime
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from billing.usage.pricing.counting import NegativeUse
from billing.usage.pricing.fitting import NoRate
from billing.usage.pricing.lines import TooLarge
from billing.usage.pricing.payers import UnknownClass
from billing.usage.pricing.schedules import ScheduleNotUnderstood
from billing.usage.pricing.terms import (
    Balance,
    ClassKind,
    Combine,
    Count,
    Payer,
    RateClass,
    Schedule,
    Scope,
    Span,
    Subsidy,
    Threshold,
    Tiering,
)
from billing.usage.pricing.uses import Key
from billing.usage.records import RecordsInMemory, Shape
from tests.billing.usage.pricing import (
    ADA,
    BOB,
    CLASSES,
    COMPANY,
    HOUR,
    JOBS,
    a_rate,
    a_record,
    money,
    priced,
    table_of,
    totals,
    whole,
)

D = Decimal
EXTERNAL = RateClass("company", ClassKind.EXTERNAL, D(150), D(26))


def hours(number, count, **fields):
    """Return a job of so many core-hours."""
    return a_record(number, core_seconds=int(count * HOUR), **fields)


def lines(made, *names):
    """Return columns of lines, amounts as Decimals."""
    amounts = ("quantity", "list", "contracted", "billed")
    return [
        tuple(money(each[name]) if name in amounts else each[name] for name in names) for each in made.lines.to_pylist()
    ]


def reductions(made):
    return [
        (each["line"], each["by"], each["code"], each["fund_org"], money(each["quantity"]), money(each["amount"]))
        for each in made.reductions.to_pylist()
    ]


# ---- Tiers


def test_a_tier_reaches_up_to_its_end_and_with_it():
    made = priced([hours(1, 10), hours(2, 1)], a_rate(("2", "10"), "1"))
    assert lines(made, "list", "first_tier", "last_tier") == [(D(20), 0, 0), (D(1), 1, 1)]


def test_a_job_can_be_in_several_tiers():
    made = priced([hours(1, 8), hours(2, 4)], a_rate(("2", "10"), "1"))
    # 8 at 2; then 2 at 2 and 2 at 1.
    assert lines(made, "list", "first_tier", "last_tier") == [(D(16), 0, 0), (D(6), 0, 1)]


def test_volume_prices_apply_to_all_use():
    rate = a_rate(("2", "10"), "1", tiering=Tiering.VOLUME)
    assert lines(priced([hours(1, 8), hours(2, 2)], rate), "list", "last_tier") == [(D(16), 0), (D(4), 0)]
    assert lines(priced([hours(1, 8), hours(2, 3)], rate), "list", "last_tier") == [(D(8), 1), (D(3), 1)]


def test_volume_prices_of_a_year_do_not_change_what_earlier_months_paid():
    rate = a_rate(("2", "10"), "1", tiering=Tiering.VOLUME, span=Span.FISCAL_YEAR)
    july = priced([hours(1, 8)], rate)
    august = priced([hours(2, 3)], rate, month=datetime.date(2026, 8, 1), before=july.used)
    assert (totals(july)[0], totals(august)[0]) == (16, 3)


def test_tiers_count_each_pi_apart():
    made = priced([hours(1, 10), hours(2, 10, payer=1)], a_rate(("2", "10"), "1"))
    assert lines(made, "list") == [(D(20),), (D(20),)]


def test_tiers_of_a_feed_count_everybody():
    made = priced([hours(1, 10), hours(2, 10, payer=1)], a_rate(("2", "10"), "1", scope=Scope.FEED))
    assert lines(made, "list") == [(D(20),), (D(10),)]


def test_a_price_can_be_for_many_units():
    made = priced([hours(1, 250)], a_rate("3", per=D(1000)))
    assert totals(made)[0] == D("0.75")


# ---- Months


@pytest.mark.parametrize(
    ("span", "second", "listed"),
    [
        (Span.MONTH, datetime.date(2026, 8, 1), 20),
        (Span.QUARTER, datetime.date(2026, 9, 1), 10),
        (Span.QUARTER, datetime.date(2026, 10, 1), 20),
        (Span.FISCAL_YEAR, datetime.date(2027, 6, 1), 10),
        (Span.FISCAL_YEAR, datetime.date(2027, 7, 1), 20),
    ],
)
def test_what_was_used_before_in_the_same_span_counts(span, second, listed):
    rate = a_rate(("2", "10"), "1", span=span)
    first = priced([hours(1, 10)], rate)
    made = priced([hours(2, 10)], rate, month=second, before=first.used)
    assert totals(made)[0] == listed


def test_quarters_are_those_of_the_fiscal_year():
    rate = a_rate(("2", "10"), "1", span=Span.QUARTER)
    first = priced([hours(1, 10)], rate, month=datetime.date(2026, 9, 1), fiscal_year_start=9)
    made = priced([hours(2, 10)], rate, month=datetime.date(2026, 11, 1), before=first.used, fiscal_year_start=9)
    assert totals(made)[0] == 10


def test_a_change_of_the_span_begins_anew():
    july = priced([hours(1, 10)], a_rate(("2", "10"), "1", span=Span.QUARTER))
    year = a_rate(("2", "10"), "1", span=Span.FISCAL_YEAR)
    assert totals(priced([hours(2, 10)], year, month=datetime.date(2026, 8, 1), before=july.used))[0] == 20


def test_a_change_of_prices_goes_on_from_the_money_that_was_charged():
    terms = {"threshold": Threshold.AMOUNT, "span": Span.FISCAL_YEAR}
    july = priced([hours(1, 10)], a_rate(("2", "30"), "1", **terms))
    # 20 of 30 are charged. At the new price of 4, 2.5 hours more reach 30, and 7.5 cost 1 each.
    made = priced([hours(2, 10)], a_rate(("4", "30"), "1", **terms), month=datetime.date(2026, 8, 1), before=july.used)
    assert totals(made)[0] == D("17.5")
    assert made.used.used[Key("cpu", ADA.pi)].amount == Fraction(75, 2)


# ---- What is free


def test_the_first_units_are_free_and_keep_their_list_price():
    made = priced([hours(1, 8), hours(2, 4), hours(3, 1)], a_rate("2", free=D(10)))
    assert lines(made, "list", "contracted", "billed", "free") == [
        (D(16), D(16), D(0), "free_amount"),
        (D(8), D(8), D(4), ""),
        (D(2), D(2), D(2), ""),
    ]
    assert reductions(made) == [(0, "free", "cpu", "", D(8), D(16)), (1, "free", "cpu", "", D(2), D(4))]
    (units,) = made.units
    assert (units.counted, units.charged, units.free) == (13, 3, {"free_amount": 10})


def test_tiers_count_what_is_free():
    assert totals(priced([hours(1, 12)], a_rate(("2", "10"), "1", free=D(5))))[::2] == (22, 12)


def test_what_is_left_of_a_free_amount_lapses_or_carries_over():
    months = [datetime.date(2026, month, 1) for month in (7, 8, 9)]
    charged = []
    for carries_over in (False, True):
        rate, before = a_rate("1", free=D(10), carries_over=carries_over), None
        for month, used in zip(months, (4, 12, 15), strict=True):
            made = priced([hours(1, used)], rate, month=month, before=before)
            before = made.used
            charged.append(totals(made)[2])
    # With carry-over, 10 − 4 = 6 are left in July, 16 − 12 = 4 in August, and 14 are free in September.
    assert charged == [0, 2, 5, 0, 0, 1]


def test_who_used_nothing_carries_over_all_until_the_fiscal_year_ends():
    rate = a_rate("1", free=D(10), carries_over=True)
    july = priced([hours(1, 5, payer=1)], rate)
    september = priced([hours(1, 35)], rate, month=datetime.date(2026, 9, 1), before=july.used)
    assert totals(september)[2] == 5
    assert totals(priced([hours(1, 35)], rate, month=datetime.date(2027, 7, 1), before=september.used))[2] == 25
    october = priced([hours(1, 35)], rate, month=datetime.date(2027, 10, 1), before=september.used)
    assert totals(october)[2] == 0


def test_nothing_carries_over_from_before_the_first_month_that_was_priced():
    rate = a_rate("1", free=D(10), carries_over=True)
    august = priced([hours(1, 5, payer=1)], rate, month=datetime.date(2026, 8, 1))
    assert totals(priced([hours(1, 35)], rate, month=datetime.date(2026, 9, 1), before=august.used))[2] == 15


def test_a_quarter_carries_over_to_the_next_one():
    rate, before = a_rate("1", free=D(10), carries_over=True, span=Span.QUARTER), None
    charged = []
    for month, used in ((7, 4), (8, 4), (10, 11), (11, 3)):
        made = priced([hours(1, used)], rate, month=datetime.date(2026, month, 1), before=before)
        charged.append(totals(made)[2])
        before = made.used
    # 8 of the first quarter's 10 were used, so that the second has 12: 11 and 1, and 2 are charged.
    assert charged == [0, 0, 0, 2]


def test_a_free_amount_of_a_day_is_each_days_own():
    rate = a_rate("1", free=D(10), span=Span.DAY)
    day = 24 * HOUR
    first = a_record(start=1_782_864_000, core_seconds=14 * HOUR)
    records = [first, first | {"id": "b", "start": first["start"] + day, "end": first["end"] + day}]
    assert totals(priced(records, rate))[2] == 8
    # In New York, 00:00 UTC of July 1 is still June: both of the first day, cut to it, and of the second.
    early = [first | {"start": first["start"] + 3 * HOUR}, first | {"id": "b", "start": first["start"] + 5 * HOUR}]
    assert totals(priced(early, rate))[2] == 18
    zone = ZoneInfo("America/New_York")
    late = [
        early[1],
        first | {"id": "c", "start": first["start"] + 25 * HOUR},
        early[1] | {"start": first["start"] + 29 * HOUR},
    ]
    assert totals(priced(late, rate, zone=zone))[2] == 22


def test_nothing_is_free_before_somebody_is_found():
    rate = a_rate("2", free=D(10), minimum=D(100), span=Span.FISCAL_YEAR)
    made = priced([hours(1, 8, payer=2)], rate, balances=[balance("grant", 9, owner="")])
    assert totals(made) == (16, 16, 16)
    (units,) = made.units
    assert (units.held, units.charged, units.difference) == (8, 0, 0)
    # Whoever is found later begins without it.
    assert made.used.used == {}


def test_a_failed_job_has_no_value_and_an_internal_one_its_list_price():
    records = [hours(1, 8, free="failed"), hours(2, 8, free="internal"), hours(3, 8), hours(4, 8, free="preempted")]
    made = priced(records, a_rate(("2", "10"), "1", free=D(1)))
    # Neither moves what is charged to another tier, nor has or uses up what is free.
    assert lines(made, "quantity", "list", "contracted", "billed", "free") == [
        (D(8), D(0), D(0), D(0), "failed"),
        (D(8), D(16), D(16), D(0), "internal"),
        (D(8), D(16), D(16), D(14), ""),
        (D(8), D(0), D(0), D(0), "preempted"),
    ]
    (units,) = made.units
    assert (units.charged, units.free) == (7, {"failed": 8, "free_amount": 1, "internal": 8, "preempted": 8})
    assert (1, "free", "internal", "", D(8), D(16)) in reductions(made)


def test_a_rate_of_nothing_says_what_is_free():
    made = priced([hours(1, 8, payer=2)], a_rate("0"))
    assert lines(made, "quantity", "list", "free") == [(D(8), D(0), "no_charge")]
    assert (made.units[0].free, made.units[0].held) == ({"no_charge": 8}, 0)


# ---- Steps, minimums, combinations


def test_what_is_begun_of_a_step_is_charged():
    rate = a_rate("40", free=D(10), step=D(5))
    assert totals(priced([hours(1, 10)], rate))[2] == 0
    assert totals(priced([hours(1, 10.5)], rate))[2] == 200
    made = priced([hours(1, 12), hours(2, 2), hours(3, 2)], rate)
    # 2 beyond 10 begin the first five, 2 more are in it, and with 6 the second five begins.
    assert lines(made, "list", "billed") == [(D(600), D(200)), (D(0), D(0)), (D(200), D(200))]


def test_a_minimum_is_a_line_of_its_own():
    made = priced([hours(1, 3), hours(2, 4), hours(3, 30, payer=1)], a_rate("1", minimum=D(20)))
    assert lines(made, "record", "payer", "kind", "list", "billed")[-1] == (None, 0, "minimum", D(13), D(13))
    assert totals(made) == (50, 50, 50)


def test_whoever_used_most_of_a_scope_is_charged_the_minimum():
    payers = (ADA, Payer(pi=ADA.pi, project="climate"))
    made = priced([hours(1, 3), hours(2, 4, payer=1)], a_rate("1", minimum=D(20)), payers=payers)
    assert lines(made, "payer", "kind", "billed")[-1] == (1, "minimum", D(13))


def test_there_is_no_minimum_for_what_is_free():
    made = priced([hours(1, 3), hours(2, 4, payer=1, free="failed")], a_rate("1", minimum=D(20), free=D(5)))
    assert totals(made)[2] == 0


def test_the_larger_share_of_cores_and_memory_is_charged():
    share = Count("memory", "GiB-hour", per=D(4), step=D(4))
    rate = a_rate("1", counts=(Count("core_seconds", "core-hour"), share), combine=Combine.MAX)
    memory = 1024 * 2 * HOUR
    records = [
        a_record(1, seconds=2 * HOUR, core_seconds=4 * 2 * HOUR, memory=16 * memory),
        a_record(2, seconds=2 * HOUR, core_seconds=4 * 2 * HOUR, memory=17 * memory),
    ]
    # 16 GiB are the share of 4 cores, and 17 GiB begin that of a fifth, each for 2 hours.
    assert lines(priced(records, rate), "quantity") == [(D(8),), (D(10),)]


def test_a_level_counts_at_least_so_much():
    rate = a_rate("1", counts=(Count("memory", "GiB-hour", at_least=D(2)),), unit="GiB-hour")
    made = priced([a_record(1, memory=1024 * HOUR), a_record(2, memory=5 * 1024 * HOUR)], rate)
    assert lines(made, "quantity") == [(D(2),), (D(5),)]


def test_hours_of_a_gpu_can_count_by_its_type():
    counts = (
        Count("core_seconds", "core-hour", when={"partition": ("cpu",)}),
        Count("gpu_seconds", "GPU-hour", factor=D(10), when={"partition": ("a100",)}),
        Count("gpu_seconds", "GPU-hour", factor=D(25), when={"partition": ("h*",)}),
    )
    rate = a_rate("0.01", counts=counts, unit="unit")
    records = [
        a_record(at, partition=each, core_seconds=HOUR, gpu_seconds=HOUR)
        for at, each in enumerate(["cpu", "a100", "h200"])
    ]
    assert lines(priced(records, rate), "quantity", "list") == [
        (D(1), D("0.01")),
        (D(10), D("0.1")),
        (D(25), D("0.25")),
    ]
    # What no count is of is not priced at nothing.
    with pytest.raises(NoRate):
        priced([a_record(1, partition="v100", gpu_seconds=HOUR)], rate)


# ---- Which rate


def test_every_rate_that_counts_something_has_a_line():
    gpu = a_rate("0.5", code="gpu", counts=(Count("gpu_seconds", "GPU-hour"),), unit="GPU-hour")
    records = [hours(1, 2), hours(2, 3, gpu_seconds=HOUR), a_record(3)]
    made = priced(records, a_rate("1"), gpu)
    assert lines(made, "record", "rate", "quantity", "unit") == [
        (0, "cpu", D(2), "core-hour"),
        (1, "cpu", D(3), "core-hour"),
        (1, "gpu", D(1), "GPU-hour"),
        # It used nothing, and is told.
        (2, "cpu", D(0), "core-hour"),
    ]


def test_of_a_group_the_first_rate_that_fits_prices():
    rates = [
        a_rate("3", code="rest", group="cpu", order=9),
        a_rate("1", code="debug", group="cpu", order=1, when={"partition": ("debug*",)}),
        a_rate("2", code="long", group="cpu", order=2, when={"partition": ("*-long", "debug-slow")}),
    ]
    partitions = ["debug", "cpu-long", "cpu", "debug-slow"]
    records = [hours(at, 1, partition=each) for at, each in enumerate(partitions)]
    assert lines(priced(records, *rates), "rate") == [("debug",), ("long",), ("rest",), ("debug",)]


def test_what_no_rate_fits_is_refused_in_words():
    records = [hours(1, 1), hours(2, 1, partition="gpu"), hours(3, 1, partition="gpu"), hours(4, 1, partition="")]
    with pytest.raises(NoRate) as caught:
        priced(records, a_rate("1", when={"partition": ("cpu",)}))
    assert caught.value.count == 3
    assert str(caught.value) == (
        "3 records have no rate in Rates, version 1: resource hpc/gpu, partition gpu (2); "
        "resource hpc/, partition (empty) (1). Add a rate for them. Where they are free, give it the price 0."
    )


# ---- Classes


def test_a_class_pays_a_percentage_of_the_list_price():
    payers = (ADA, Payer(pi="dee@lab.org", rate_class="affiliate"))
    classes = (RateClass("affiliate", ClassKind.AFFILIATE, D(80)),)
    made = priced([hours(1, 10), hours(2, 10, payer=1)], a_rate("2"), payers=payers, classes=classes)
    assert lines(made, "list", "contracted", "billed", "rate_class") == [
        (D(20), D(20), D(20), ""),
        (D(20), D(16), D(16), "affiliate"),
    ]


def test_what_an_external_payer_pays_above_list_is_apart():
    made = priced([hours(1, 10)], a_rate("2", free=D(5)), payers=(COMPANY,), classes=(EXTERNAL,))
    # Free amounts are for internal users. 150% of 20 are 30, and 26% of that 7.80.
    assert lines(made, "kind", "list", "contracted", "billed") == [
        ("usage", D(20), D(20), D(20)),
        ("surcharge", D(10), D(10), D(10)),
        ("indirect", D("5.2"), D("5.2"), D("5.2")),
        ("indirect", D("2.6"), D("2.6"), D("2.6")),
    ]


def test_a_class_can_have_prices_of_its_own():
    rate = a_rate("2", prices={"company": a_rate(("5", "4"), "1").tiers})
    made = priced([hours(1, 10)], rate, payers=(COMPANY,), classes=(RateClass("company", ClassKind.EXTERNAL),))
    # 4 at 5 and 6 at 1 are 26, of which 20 are the list price.
    assert lines(made, "kind", "list", "billed") == [("usage", D(20), D(20)), ("surcharge", D(6), D(6))]


def test_external_use_moves_no_internal_use_to_another_tier():
    payers = (ADA, Payer(pi=ADA.pi, project="spin-off", rate_class="company"))
    made = priced([hours(1, 10, payer=1), hours(2, 10)], a_rate(("2", "10"), "1"), payers=payers, classes=(EXTERNAL,))
    assert lines(made, "list")[-1] == (D(20),)


def test_an_unknown_class_is_refused_in_words():
    with pytest.raises(UnknownClass) as caught:
        priced([hours(1, 1)], a_rate("2"), payers=(COMPANY,), classes=CLASSES[:1])
    assert str(caught.value) == (
        "cyd@corp.com has the rate class company, which Rates, version 1, does not have. Allowed: affiliate."
    )


# ---- Subsidies


def subsidy(code, percent, **fields):
    return Subsidy(code, code, D(percent), **fields)


def test_subsidies_apply_in_order_each_to_what_is_left():
    some = [
        subsidy("dean", 50, order=2, fund_org="DEAN-1"),
        subsidy("start-up", 20, order=1, cap=D(3)),
        subsidy("other", 100, scopes=frozenset({BOB.pi})),
    ]
    made = priced([hours(1, 10), hours(2, 10)], a_rate("1"), subsidies=some)
    # 20% of 10 are 2, then 1 is left of the cap. Half of 8, and of 9.
    assert lines(made, "contracted", "billed") == [(D(10), D(4)), (D(10), D("4.5"))]
    assert reductions(made) == [
        (0, "subsidy", "start-up", "", D(0), D(2)),
        (0, "subsidy", "dean", "DEAN-1", D(0), D(4)),
        (1, "subsidy", "start-up", "", D(0), D(1)),
        (1, "subsidy", "dean", "DEAN-1", D(0), D("4.5")),
    ]


def test_a_cap_holds_over_the_months_of_its_span():
    some = [subsidy("dean", 50, cap=D(7), span=Span.FISCAL_YEAR)]
    july = priced([hours(1, 10)], a_rate("1"), subsidies=some)
    august = priced([hours(2, 10)], a_rate("1"), subsidies=some, month=datetime.date(2026, 8, 1), before=july.used)
    assert [totals(each)[2] for each in (july, august)] == [5, 8]
    assert [(each.percent, each.owner, each.used, each.of) for each in august.notices] == [(100, ADA.pi, D(7), D(7))]
    new_year = priced([hours(2, 10)], a_rate("1"), subsidies=some, month=datetime.date(2027, 7, 1), before=august.used)
    assert totals(new_year)[2] == 5


def test_a_subsidy_pays_its_part_of_a_minimum():
    made = priced([hours(1, 3)], a_rate("1", minimum=D(20)), subsidies=[subsidy("dean", 50)])
    assert lines(made, "kind", "billed") == [("usage", D("1.5")), ("minimum", D("8.5"))]


def test_a_cap_that_was_lowered_takes_nothing_back():
    some = [subsidy("dean", 50, cap=D(7), span=Span.FISCAL_YEAR)]
    july = priced([hours(1, 10)], a_rate("1"), subsidies=some)
    lower = [subsidy("dean", 50, cap=D(2), span=Span.FISCAL_YEAR)]
    august = priced([hours(2, 10)], a_rate("1"), subsidies=lower, month=datetime.date(2026, 8, 1), before=july.used)
    assert totals(august)[2] == 10
    (granted,) = august.subsidies
    assert (granted.owner, granted.amount, granted.in_span, granted.left) == (ADA.pi, 0, 5, 0)


@pytest.mark.parametrize(
    ("span", "elsewhere", "charged", "left"),
    [(Span.MONTH, "4", 7, 0), (Span.FISCAL_YEAR, "4", 7, 0), (Span.MONTH, "1", 5, 1), (Span.MONTH, "9", 10, 0)],
)
def test_what_other_feeds_had_of_a_cap_is_gone(span, elsewhere, charged, left):
    some = [subsidy("dean", 50, cap=D(7), span=span, elsewhere={ADA.pi: D(elsewhere), BOB.pi: D(7)})]
    made = priced([hours(1, 10)], a_rate("1"), subsidies=some)
    (granted,) = made.subsidies
    assert (totals(made)[2], granted.amount, granted.left) == (charged, 10 - charged, left)


def test_what_everybody_had_of_a_subsidy_is_told():
    some = [subsidy("dean", 50, cap=D(7)), subsidy("start-up", 10, order=1, scopes=frozenset({BOB.pi}))]
    made = priced([hours(1, 10), hours(2, 20, payer=1)], a_rate("1"), subsidies=some)
    assert [(each.code, each.owner, each.amount, each.left) for each in made.subsidies] == [
        ("dean", ADA.pi, 5, 2),
        ("dean", BOB.pi, 7, 0),
        ("start-up", BOB.pi, D("1.3"), None),
    ]


def test_a_cap_of_a_day_is_each_days_own():
    records = [hours(1, 10), hours(2, 10), hours(30, 10)]
    made = priced(records, a_rate("1"), subsidies=[subsidy("dean", 50, cap=D(7), span=Span.DAY)])
    assert totals(made)[2] == 30 - 7 - 5


def test_a_percentage_of_many_small_charges_loses_no_part_of_a_cent():
    made = priced([a_record(at, core_seconds=1) for at in range(3000)], a_rate("0.01"), subsidies=[subsidy("dean", 33)])
    # 3,000 seconds at 0.01 an hour are 0.00833333, of which 33% are 0.00275.
    assert totals(made)[2] == D("0.00833333") - D("0.00275")


def test_external_payers_have_no_subsidy_that_does_not_name_them():
    payers = (COMPANY,)
    classes = (RateClass("company", ClassKind.EXTERNAL),)
    terms = {"payers": payers, "classes": classes}
    assert totals(priced([hours(1, 10)], a_rate("1"), subsidies=[subsidy("dean", 50)], **terms))[2] == 10
    named = [subsidy("dean", 50, classes=frozenset({"company"}))]
    assert totals(priced([hours(1, 10)], a_rate("1"), subsidies=named, **terms))[2] == 5


# ---- Balances


def balance(code, left, *, size="100", unit="core-hour", owner=ADA.pi, scope=Scope.PI, **fields):
    return Balance(code, scope, owner, size=D(size), left=D(left), unit=unit, **fields)


def test_a_balance_of_hours_is_drawn_down_before_anything_is_charged():
    some = [balance("grant", 15, size="20"), balance("bought", 2, order=1, is_prepaid=True)]
    made = priced([hours(1, 10), hours(2, 10), hours(3, 5, payer=1)], a_rate("2"), balances=some)
    assert lines(made, "billed") == [(D(0),), (D(6),), (D(10),)]
    assert reductions(made) == [
        (0, "drawdown", "grant", "", D(10), D(20)),
        (1, "drawdown", "grant", "", D(5), D(10)),
        (1, "drawdown", "bought", "", D(2), D(4)),
    ]
    assert [(each.code, each.drawn, each.left) for each in made.balances] == [("grant", 15, 0), ("bought", 2, 0)]
    assert [(each.code, each.percent) for each in made.notices] == [("grant", 100), ("bought", 100)]


def test_a_notice_is_given_once_at_80_and_once_at_100_percent():
    def noticed(left, used):
        return [
            (each.percent, each.used, each.of, each.unit)
            for each in priced([hours(1, used)], a_rate("2"), balances=[balance("b", left)]).notices
        ]

    assert noticed(100, 79) == []
    assert noticed(100, 80) == [(80, 80, 100, "core-hour")]
    assert noticed(20, 10) == []
    assert noticed(20, 30) == [(100, 100, 100, "core-hour")]


def test_a_balance_pays_for_the_first_units_of_a_job_at_their_price():
    made = priced([hours(1, 20)], a_rate(("2", "10"), "1"), balances=[balance("grant", 15)])
    # 10 at 2 and 5 at 1 are drawn; 5 at 1 are charged.
    assert lines(made, "billed") == [(D(5),)]


def test_what_costs_nothing_draws_on_no_balance():
    made = priced([hours(1, 10), hours(2, 10)], a_rate(("0", "10"), "1"), balances=[balance("grant", 100)])
    assert made.balances[0].drawn == 10


def test_what_is_free_draws_on_no_balance():
    made = priced([hours(1, 10)], a_rate("2", free=D(4)), balances=[balance("grant", 100)])
    assert made.balances[0].drawn == 6


def test_a_prepaid_hour_of_an_external_payer_covers_its_surcharge():
    made = priced(
        [hours(1, 10)],
        a_rate("2"),
        payers=(COMPANY,),
        classes=(EXTERNAL,),
        balances=[balance("bought", 5, owner=COMPANY.pi, is_prepaid=True)],
    )
    # Half of 20 and 10, and 26% of what is left of each.
    assert lines(made, "kind", "billed") == [
        ("usage", D(10)),
        ("surcharge", D(5)),
        ("indirect", D("2.6")),
        ("indirect", D("1.3")),
    ]


def test_a_balance_of_money_pays_after_subsidies_and_indirect_costs():
    made = priced(
        [hours(1, 10)],
        a_rate("2"),
        payers=(COMPANY,),
        classes=(EXTERNAL,),
        balances=[balance("deposit", 33, unit="", owner=COMPANY.pi, is_prepaid=True)],
    )
    # 20 + 10 + 5.20 + 2.60 are 37.80.
    assert totals(made)[2] == D("4.8")
    assert made.balances[0].left == 0
    dean = subsidy("dean", 50)
    made = priced([hours(1, 10)], a_rate("2"), subsidies=[dean], balances=[balance("deposit", 33, unit="")])
    assert made.balances[0].drawn == 10


def test_a_balance_pays_for_its_own_rates_and_unit():
    rates = [a_rate("1"), a_rate("1", code="gpu", counts=(Count("gpu_seconds", "GPU-hour"),), unit="GPU-hour")]
    record = hours(1, 3, gpu_seconds=2 * HOUR)
    drawn = []
    for some in (
        balance("a", 9),
        balance("a", 9, unit="GPU-hour"),
        balance("a", 9, unit=""),
        balance("a", 9, unit="", rates=frozenset({"gpu"})),
        balance("a", 9, unit="", scope=Scope.PROJECT, owner=ADA.project),
        balance("a", 9, unit="", scope=Scope.FEED, owner=""),
        balance("a", 9, unit="", owner=""),
    ):
        drawn.append(priced([record], *rates, balances=[some]).balances[0].drawn)
    assert drawn == [3, 2, 5, 2, 5, 5, 0]


# ---- Large and small


def test_numbers_of_more_than_64_bits_are_exact():
    """The same use a billion times as large, in parts that no 64 bits hold, costs a billion times as much."""
    counts = (Count("memory", "GiB-hour", factor=D("0.123456789"), per=D("0.987654321")),)
    rate = a_rate(("0.000001", "70"), "0.000003", counts=counts, unit="unit", free=D("1.5"))
    some = [a_record(at, memory=1024 * HOUR * at + at) for at in range(1, 200)]
    large = [each | {"memory": each["memory"] * 10**9} for each in some]
    thousandth = a_rate(("0.000001", "70000000000"), "0.000003", counts=counts, unit="unit", free=D(1_500_000_000))
    wide = priced(large, thousandth)
    exact = priced(some, a_rate(("1000", "70"), "3000", counts=counts, unit="unit", free=D("1.5")))
    assert [each["list"] for each in wide.lines.to_pylist()] == [each["list"] for each in exact.lines.to_pylist()]
    assert wide.units[0].counted == exact.units[0].counted * 10**9
    assert priced(some, rate).units[0].difference == 0


def test_what_no_system_can_have_used_is_refused_in_words():
    with pytest.raises(TooLarge):
        priced([a_record(1, core_seconds=2**62)], a_rate("1000000"))


def test_less_than_nothing_is_refused_in_words():
    with pytest.raises(NegativeUse) as caught:
        priced([hours(1, 1), hours(2, -1)], a_rate("1"))
    assert str(caught.value) == (
        "Record job-2 has -3600 as core_seconds. Less than nothing cannot be priced: correct the file, and import it "
        "again."
    )


def test_no_records_cost_nothing():
    made = priced([], a_rate("1", minimum=D(5)), subsidies=[subsidy("dean", 50)], balances=[balance("b", 5)])
    assert (made.lines.num_rows, made.reductions.num_rows, made.units[0].counted) == (0, 0, 0)
    assert made.balances[0].left == 5


def test_a_schedule_that_does_not_fit_the_records_is_refused():
    with pytest.raises(ScheduleNotUnderstood):
        priced([hours(1, 1)], a_rate("1", counts=(Count("watts", "kWh"),)))


def test_levels_are_not_priced():
    with pytest.raises(ValueError, match="Levels are made into amounts"):
        priced([], a_rate("1"), shape=Shape((), (), are_levels=True))


def test_records_in_several_chunks_are_one_table():
    some, others = (table_of([hours(at, 5, partition=each)]) for at, each in enumerate(["cpu", "gpu"]))
    made = whole(
        RecordsInMemory(pa.concat_tables([some, others])),
        shape=JOBS,
        payers=(ADA,),
        schedule=Schedule(
            "Rates",
            1,
            (a_rate("1", when={"partition": ("cpu",)}), a_rate("2", code="gpu", when={"partition": ("gpu",)})),
        ),
        month=datetime.date(2026, 7, 1),
    )
    assert lines(made, "rate", "list") == [("cpu", D(5)), ("gpu", D(10))]

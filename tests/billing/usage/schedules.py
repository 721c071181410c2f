"""Rate schedules for tests: any that the rules allow, and a small one of a cluster."""

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from billing.models import RateSchedule
from billing.models.periods import parse_month
from billing.usage import rate_schedules
from billing.usage.pricing.terms import (
    ClassKind,
    Combine,
    Count,
    Rate,
    RateClass,
    Schedule,
    Scope,
    Span,
    Threshold,
    Tier,
    Tiering,
)
from tests.build import NOW, SOMEBODY

CPU = Rate(
    code="cpu",
    service="HPC compute",
    counts=(Count("core_seconds", "core-hour"), Count("gpu_seconds", "gpu-hour", factor=Decimal(10))),
    unit="core-hour",
    tiers=(Tier(Decimal("0.014"), Decimal(50000)), Tier(Decimal("0.008"))),
    when={"partition": ("cpu*", "long")},
    free=Decimal(1000),
    span=Span.FISCAL_YEAR,
    prices={"external": (Tier(Decimal("0.05")),)},
)
HOME = Rate(
    code="home",
    service="Storage",
    counts=(Count("bytes", "TB-month"),),
    unit="TB-month",
    tiers=(Tier(Decimal("5")),),
    step=Decimal(5),
)
EXTERNAL = RateClass("external", ClassKind.EXTERNAL, Decimal(150), Decimal("26.5"))


def a_schedule(*rates: Rate, classes: tuple[RateClass, ...] = (EXTERNAL,), name: str = "hpc") -> Schedule:
    return Schedule(name, 1, rates or (CPU, HOME), classes)


def a_version(
    *rates: Rate, name: str = "hpc", month: str = "2025-01", released: bool = True, note: str = ""
) -> RateSchedule:
    """Add a version of a schedule, in force unless it is to stay a draft."""
    by: Any = {"actor": SOMEBODY, "now": NOW}
    drafted = rate_schedules.draft(
        name=name, valid_from=parse_month(month), rates=a_schedule(*rates, name=name), note=note, **by
    )
    if released:
        return rate_schedules.release(schedule=drafted.schedule, **by).schedule
    return drafted.schedule


# Any schedule ------------------------------------------------------------------------------------

# As short as people's, and as long as a number may be.
_numbers = st.one_of(
    st.integers(1, 10**6).map(Decimal),
    st.decimals(Decimal("0.000000000001"), Decimal("999999999999999.999999999999"), places=12),
    st.decimals("0.01", 1000, places=2),
)
# Texts that mean something in a table, or to a spreadsheet.
_odd = st.sampled_from(
    [",", ";", ":", '"', "=", "+", "-", "@", " of ", " and ", " where ", "up to", "above", "1", "1.5", "é", "*", "/"]
)
_words = st.one_of(
    st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True),
    st.lists(st.one_of(_odd, st.from_regex(r"[a-z0-9]{1,4}", fullmatch=True)), min_size=1, max_size=4).map("".join),
).map(str.strip)
_texts = _words.filter(bool)
_whens = st.dictionaries(_texts, st.lists(_words, min_size=1, max_size=2).map(tuple), max_size=2)
# What spreadsheets may have spoiled is refused as a code.
_codes = st.from_regex(r"[a-z][a-z_-]{1,8}x", fullmatch=True)


@st.composite
def _tiers(draw):
    limits = sorted(draw(st.sets(_numbers, max_size=3)))
    return tuple(Tier(draw(_numbers), limit) for limit in [*limits, None])


@st.composite
def _rates(draw, code, classes):
    of_classes = draw(st.lists(st.sampled_from(classes), unique=True, max_size=2)) if classes else []
    carries = draw(st.booleans())
    amount = draw(st.booleans()) and not carries
    return Rate(
        code=code,
        service=draw(_texts),
        counts=tuple(
            draw(
                st.lists(
                    st.builds(
                        Count, _texts, _texts, _numbers, _numbers, st.none() | _numbers, st.none() | _numbers, _whens
                    ),
                    min_size=1,
                    max_size=2,
                )
            )
        ),
        unit=draw(_texts),
        tiers=draw(_tiers()),
        when=draw(_whens),
        per=draw(_numbers),
        combine=draw(st.sampled_from(Combine)),
        tiering=Tiering.GRADUATED if amount else draw(st.sampled_from(Tiering)),
        threshold=Threshold.AMOUNT if amount else Threshold.QUANTITY,
        scope=draw(st.sampled_from(Scope)),
        span=Span.MONTH if carries else draw(st.sampled_from(Span)),
        group=draw(st.just("") | _texts),
        order=draw(st.integers(0, 2**31 - 1)),
        free=draw(_numbers) if carries else Decimal(0) if amount else draw(st.just(Decimal(0)) | _numbers),
        carries_over=carries,
        step=None if amount else draw(st.none() | _numbers),
        minimum=draw(st.none() | _numbers),
        prices={name: draw(_tiers()) for name in of_classes},
    )


@st.composite
def schedules(draw):
    """Any schedule that the rules allow."""
    names = draw(st.lists(_texts, unique=True, max_size=2))
    classes = tuple(
        RateClass(
            name,
            kind := draw(st.sampled_from(ClassKind)),
            draw(st.integers(0, 100).map(Decimal)),
            Decimal(0) if kind is ClassKind.INTERNAL else draw(st.just(Decimal(0)) | _numbers),
        )
        for name in names
    )
    codes = draw(st.lists(_codes, unique=True, min_size=1, max_size=3))
    return Schedule("hpc", 1, tuple(draw(_rates(code, names)) for code in codes), classes)

"""Rate schedules that research computing centers publish, as data, and the figures they come to.

Each test names the page. Where a page works out a figure itself, the test reproduces it to the cent. Where it gives
prices alone, the figure is worked out by hand from them. Where it gives a rule without a price, the price is ours,
and the docstring says so.
"""

import calendar
import datetime
from decimal import ROUND_HALF_UP, Decimal

import pytest

from billing.usage.pricing.schedules import schedule_from_data
from billing.usage.pricing.terms import Payer, RateClass, Subsidy
from billing.usage.records import Measure, Shape
from tests.billing.usage.pricing import HOUR, JOBS, a_record, priced, start_of

JUNE, JULY = datetime.date(2026, 6, 1), datetime.date(2026, 7, 1)
DAY = 24 * HOUR
TB, TIB = 10**12, 2**40


def rates_of(*rates, shape, classes=()):
    """Return rates of a schedule that is written as data."""
    data = {"name": "Published", "version": 1, "rates": list(rates), "classes": list(classes)}
    return schedule_from_data(data, shape).rates


def to_the_cent(made):
    """Return what is billed, rounded once, as a statement does."""
    exact = Decimal(sum(made.lines.column("billed").to_pylist())).scaleb(-8)
    return exact.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)


def storage(month):
    """Return what storage has in a month: TB-months and TiB-days, of byte-days.

    A TB-month is a TB over all days of the month, and a TiB-quarter a TiB over all days of its calendar quarter.
    """
    days = calendar.monthrange(month.year, month.month)[1]
    first = 3 * ((month.month - 1) // 3) + 1
    quarter = sum(calendar.monthrange(month.year, each)[1] for each in range(first, first + 3))
    units = {"TB-month": TB * days, "TiB-day": TIB, "GB-month": 10**9 * days, "TiB-quarter": TIB * quarter}
    return Shape(("tier",), (Measure("used", units), Measure("quota", units)))


def a_volume(number, month, *, days, first_day=1, payer=0, tier="fast", used=0, quota=0):
    """Return a volume of so many bytes over some days of a month."""
    start = start_of(month) + (first_day - 1) * DAY
    return a_record(number, start=start, seconds=days * DAY, payer=payer, resource=f"volume-{number}") | {
        "tier": tier,
        "used": used * days,
        "quota": quota * days,
    }


def quota(number, month, terabytes, **fields):
    """Return a volume with a quota of so many TB for a whole month."""
    days = calendar.monthrange(month.year, month.month)[1]
    return a_volume(number, month, days=days, quota=int(terabytes * TB), **fields)


PI = (Payer(pi="ada@u.edu"),)


# ---- Caltech

CALTECH = {
    "code": "compute",
    "service": "HPC compute",
    "unit": "compute unit",
    "counts": [
        {"measure": "core_seconds", "unit": "core-hour", "when": {"partition": ["cpu"]}},
        {"measure": "gpu_seconds", "unit": "GPU-hour", "factor": "10"},
    ],
    "tiers": [{"price": "0.014", "up_to": "6500"}, {"price": "0.008", "up_to": "24000"}, {"price": "0.005"}],
    "threshold": "amount",
    "span": "fiscal_year",
}


@pytest.mark.parametrize(
    ("core_hours", "gpu_hours", "billed"),
    [
        (100_000, 0, "1400.00"),
        # 100,000 units, too: a GPU hour is ten.
        (0, 10_000, "1400.00"),
        # 6,500 at 0.014 are 464,285.714… units; the other 635,714.286 cost 5,085.714….
        (1_000_000, 10_000, "11585.71"),
        # 17,500 at 0.008 are 2,187,500 units; 348,214.286 are left at 0.005.
        (3_000_000, 0, "25741.07"),
    ],
)
def test_caltech_compute(core_hours, gpu_hours, billed):
    """Caltech: tiers by what a group spent in the fiscal year, and a GPU hour as ten units.

    Prices: https://www.hpc.caltech.edu/rates (read from a stored copy). The page has no worked figure; these are
    worked out by hand. Its fiscal year starts in October.
    """
    records = [
        a_record(1, core_seconds=core_hours * HOUR),
        a_record(2, partition="gpu", core_seconds=8 * HOUR, gpu_seconds=gpu_hours * HOUR),
    ]
    made = priced(records, *rates_of(CALTECH, shape=JOBS), payers=PI, fiscal_year_start=10)
    assert to_the_cent(made) == Decimal(billed)


def test_caltech_tiers_are_reset_every_fiscal_year():
    """Caltech: the same year in three months, and the first month of the next. As `test_caltech_compute`."""
    rates, before, billed = rates_of(CALTECH, shape=JOBS), None, []
    for year, month, core_hours in ((2025, 10, 400_000), (2026, 1, 100_000), (2026, 9, 600_000), (2026, 10, 100_000)):
        records = [a_record(1, core_seconds=core_hours * HOUR)]
        date = datetime.date(year, month, 1)
        made = priced(records, *rates, payers=PI, month=date, before=before, fiscal_year_start=10)
        billed.append(to_the_cent(made))
        before = made.used
    # 5,600; then 64,285.714 units to 6,500 and 35,714.286 at 0.008; then 600,000 at 0.008; and 0.014 anew.
    assert billed == [Decimal(each) for each in ("5600.00", "1185.71", "4800.00", "1400.00")]


@pytest.mark.parametrize(
    ("free", "price", "used", "billed"),
    [
        # VAST, 20 TB free; GPFS with 10 TB, and with the 30 TB that a PI may have upon request.
        ("20", "8.00", 25, "40.00"),
        ("20", "8.00", 20, "0.00"),
        ("10", "6.40", 12, "12.80"),
        ("30", "6.40", 32, "12.80"),
    ],
)
def test_caltech_storage(free, price, used, billed):
    """Caltech: so many TB for each group are free, and the others cost so much a TB and month.

    Prices: https://www.hpc.caltech.edu/rates. The figures are worked out by hand.
    """
    rate = {
        "code": "storage",
        "service": "Group storage",
        "unit": "TB-month",
        "counts": [{"measure": "quota", "unit": "TB-month"}],
        "tiers": [{"price": price}],
        "free": free,
    }
    shape = storage(JUNE)
    made = priced([quota(1, JUNE, used)], *rates_of(rate, shape=shape), payers=PI, shape=shape, month=JUNE)
    assert to_the_cent(made) == Decimal(billed)


# ---- Princeton


def test_princeton_computer_science():
    """Princeton CS: each day the larger of quota and use of each space, added up for its PI, less a base subsidy.

    The rule: https://csguide.cs.princeton.edu/node/4736, "Storage - Project Space". Its rate sheet needs a login, so
    that the price of 0.30 a TiB and day, and the base of 2 TiB, are ours.
    """
    rate = {
        "code": "project-space",
        "service": "Project space",
        "unit": "TiB-day",
        "counts": [{"measure": "quota", "unit": "TiB-day"}, {"measure": "used", "unit": "TiB-day"}],
        "combine": "max",
        "tiers": [{"price": "0.30"}],
        "free": "2",
        "span": "day",
    }
    shape = storage(JUNE)
    records = []
    for day in range(1, 31):
        # One space with a quota of 1 TiB. One that is 3 TiB over its quota of 2 TiB for the last ten days.
        records.append(a_volume(10 + day, JUNE, days=1, first_day=day, quota=TIB, used=TIB // 2))
        used = 5 * TIB if day > 20 else TIB // 4
        records.append(a_volume(50 + day, JUNE, days=1, first_day=day, quota=2 * TIB, used=used))
        # Another PI stays below the base, on every day.
        records.append(a_volume(90 + day, JUNE, days=1, first_day=day, quota=2 * TIB, payer=1))
    payers = (*PI, Payer(pi="bob@u.edu"))
    made = priced(records, *rates_of(rate, shape=shape), payers=payers, shape=shape, month=JUNE)
    # 20 days of 3 − 2 TiB, and 10 days of 6 − 2 TiB: 60 TiB-days.
    assert to_the_cent(made) == Decimal("18.00")
    assert {each["payer"] for each in made.lines.to_pylist() if each["billed"]} == {0}


# ---- Hebrew University

HUJI = [
    {
        "code": code,
        "service": "Storage",
        "unit": "TB-month",
        "counts": [{"measure": "quota", "unit": "TB-month"}],
        "tiers": [{"price": price}],
        "when": {"tier": [code]},
    }
    for code, price in (("fast", "5"), ("archive", "2"), ("backup", "7.5"))
]


def test_hebrew_university_month():
    """Hebrew University: 10 TB fast, 30 TB archive and 5 TB with backup cost $147.50 a month.

    Published with its figure: https://wiki.rcs.huji.ac.il/en/hurcs/Administration/Financial/Storage_Costs
    """
    shape = storage(JUNE)
    records = [
        quota(number, JUNE, terabytes, tier=tier)
        for number, (terabytes, tier) in enumerate([(10, "fast"), (30, "archive"), (5, "backup")])
    ]
    made = priced(records, *rates_of(*HUJI, shape=shape), payers=PI, shape=shape, month=JUNE)
    assert to_the_cent(made) == Decimal("147.50")


def test_hebrew_university_change_of_quota():
    """Hebrew University: from 5 to 10 TB in the middle of a month of 30 days costs $37.50, and $50 the month after.

    Published with its figures: https://wiki.rcs.huji.ac.il/en/hurcs/Administration/Financial/Storage_Costs
    """
    shape = storage(JUNE)
    records = [
        a_volume(1, JUNE, days=15, quota=5 * TB),
        a_volume(1, JUNE, days=15, first_day=16, quota=10 * TB),
    ]
    made = priced(records, *rates_of(*HUJI, shape=shape), payers=PI, shape=shape, month=JUNE)
    assert [each["billed"] for each in made.lines.to_pylist()] == [1_250_000_000, 2_500_000_000]
    assert to_the_cent(made) == Decimal("37.50")
    shape = storage(JULY)
    made = priced([quota(1, JULY, 10)], *rates_of(*HUJI, shape=shape), payers=PI, shape=shape, month=JULY)
    assert to_the_cent(made) == Decimal("50.00")


# ---- Northeastern


@pytest.mark.parametrize(
    ("terabytes", "billed"),
    [(35, "0.00"), (35.5, "250.00"), (45, "250.00"), (45.1, "500.00"), (60, "750.00")],
)
def test_northeastern(terabytes, billed):
    """Northeastern: 35 TB for each PI are free, and more comes in steps of 10 TB at $300 a TB and year.

    Prices: https://rc.northeastern.edu/research-projects-storage-space-policy. The figures of a month, a twelfth of
    the year's, are worked out by hand.
    """
    rate = {
        "code": "active",
        "service": "Active storage",
        "unit": "TB-month",
        "counts": [{"measure": "used", "unit": "TB-month"}],
        "tiers": [{"price": "300"}],
        "per": "12",
        "free": "35",
        "step": "10",
    }
    shape = storage(JUNE)
    records = [a_volume(1, JUNE, days=30, used=int(terabytes * TB))]
    made = priced(records, *rates_of(rate, shape=shape), payers=PI, shape=shape, month=JUNE)
    assert to_the_cent(made) == Decimal(billed)


# ---- USC


@pytest.mark.parametrize(("terabytes", "billed"), [(10, "0.00"), (11, "200.00"), (20, "400.00"), (22, "600.00")])
def test_usc(terabytes, billed):
    """USC: 10 TB for each PI are free, and every started 5 TB more cost $200 a year: 20 TB are $400.

    Published with the figure of 20 TB: https://hpc-discourse.usc.edu/t/updates-to-project-file-system-storage-allocations/85
    """
    shape = Shape((), (Measure("allocated", {"TB-year": TB}),))
    rate = {
        "code": "project",
        "service": "Project file system",
        "unit": "TB-year",
        "counts": [{"measure": "allocated", "unit": "TB-year"}],
        "tiers": [{"price": "200"}],
        "per": "5",
        "free": "10",
        "step": "5",
        "span": "fiscal_year",
    }
    # Two projects of the PI, of which one has the 5 TB that every project has at least.
    records = [a_record(1) | {"allocated": 5 * TB}, a_record(2) | {"allocated": (terabytes - 5) * TB}]
    made = priced(records, *rates_of(rate, shape=shape), payers=PI, shape=shape, month=JULY)
    assert to_the_cent(made) == Decimal(billed)


# ---- Harvard Medical School


def test_harvard_medical_school():
    """HMS: the mean of daily use over a quarter, and $40 a year for access, from outsiders alone.

    The rule and the fee: https://it.hms.harvard.edu/rc/core/rates. The stored copy of the page has lost its prices a
    TiB, so that 30.00 a TiB and quarter is ours. HMS's fiscal year starts in July.
    """
    rate = {
        "code": "active-compute",
        "service": "Active Compute storage",
        "unit": "TiB-quarter",
        "counts": [{"measure": "used", "unit": "TiB-quarter"}],
        "tiers": [{"price": "30.00"}],
        "span": "quarter",
    }
    quad = RateClass("quad")
    school = Subsidy("school", "Paid by the school", Decimal(100), classes=frozenset({"quad"}))
    payers = (Payer(pi="outsider@hospital.org"), Payer(pi="ada@hms.harvard.edu", rate_class="quad"))
    billed, listed, before = [], [], None
    for month, tebibytes in (
        (datetime.date(2026, 7, 1), 4),
        (datetime.date(2026, 8, 1), 4),
        (datetime.date(2026, 9, 1), 10),
    ):
        shape = storage(month)
        days = calendar.monthrange(month.year, month.month)[1]
        records = [
            a_volume(100 * payer + day, month, days=1, first_day=day, used=tebibytes * TIB, payer=payer)
            for payer in (0, 1)
            for day in range(1, days + 1)
        ]
        rates = rates_of(rate, shape=shape, classes=[{"name": "quad"}])
        terms = {"payers": payers, "classes": (quad,), "subsidies": [school], "before": before}
        made = priced(records, *rates, shape=shape, month=month, **terms)
        before = made.used
        billed += [each["billed"] for each in made.lines.to_pylist()]
        listed += [each["list"] for each in made.lines.to_pylist()]
    # 62 days of 4 TiB and 30 of 10 are 548 TiB-days of 92 days, in the mean 5.95652…, at 30.00 are 178.695652….
    assert sum(billed) == 17_869_565_217
    # Who is on the Quad has the same list price, and pays nothing.
    assert sum(listed) == 2 * 17_869_565_217


def test_harvard_medical_school_fee():
    """HMS: $40.00 a year for each group, whatever it uses. Published: https://it.hms.harvard.edu/rc/core/rates"""
    shape = Shape((), (Measure("groups", {"group-year": 1}),))
    rate = {
        "code": "access",
        "service": "Access",
        "unit": "group-year",
        "counts": [{"measure": "groups", "unit": "group-year"}],
        "tiers": [{"price": "40.00"}],
    }
    made = priced([a_record(1) | {"groups": 1}], *rates_of(rate, shape=shape), payers=PI, shape=shape, month=JULY)
    assert to_the_cent(made) == Decimal("40.00")


# ---- Virginia Tech


@pytest.mark.parametrize(
    ("normal", "large_memory", "billed"),
    [(800_000, 0, "0.00"), (1_000_000, 0, "460.00"), (0, 10_000, "100.00"), (900_000, 10_000, "330.00")],
)
def test_virginia_tech_compute(normal, large_memory, billed):
    """Virginia Tech: 800,000 core-hours a month are free for each PI on TinkerCliffs, and not on other queues.

    The free amount: https://www.docs.arc.vt.edu/_sources/pi_info/costcenter.md.txt. The prices of its queues, from an
    earlier state of the same page (AdvancedResearchComputing/arc-rtd, docs/pi_info/costcenter.md): $0.0023 a core-hour
    of normal_q, and $0.01 of largemem_q. Figures are worked out by hand; that the free hours are those of normal_q is
    our reading.
    """
    rates = [
        {
            "code": code,
            "service": "TinkerCliffs",
            "unit": "core-hour",
            "counts": [{"measure": "core_seconds", "unit": "core-hour"}],
            "tiers": [{"price": price}],
            "free": free,
            "when": {"partition": [code]},
        }
        for code, price, free in (("normal_q", "0.0023", "800000"), ("largemem_q", "0.01", "0"))
    ]
    records = [
        a_record(1, partition="normal_q", core_seconds=normal * HOUR),
        a_record(2, partition="largemem_q", core_seconds=large_memory * HOUR),
        # Preempted jobs count against nothing.
        a_record(3, partition="normal_q", core_seconds=500_000 * HOUR, free="preempted", start=start_of(JULY)),
    ]
    made = priced(records, *rates_of(*rates, shape=JOBS), payers=PI)
    assert to_the_cent(made) == Decimal(billed)


def test_virginia_tech_storage():
    """Virginia Tech: 25 TB for each PI are free, and more is $2.1694 a TB and month, of the same two pages."""
    rate = {
        "code": "project",
        "service": "Project storage",
        "unit": "TB-month",
        "counts": [{"measure": "quota", "unit": "TB-month"}],
        "tiers": [{"price": "2.1694"}],
        "free": "25",
    }
    shape = storage(JUNE)
    made = priced([quota(1, JUNE, 35)], *rates_of(rate, shape=shape), payers=PI, shape=shape, month=JUNE)
    assert to_the_cent(made) == Decimal("21.69")


# ---- Cyfronet, and others that charge the larger share


def shares(memory_per_core):
    return {
        "code": "cpu",
        "service": "HPC compute",
        "unit": "CPU-hour",
        "counts": [
            {"measure": "core_seconds", "unit": "core-hour"},
            {"measure": "memory", "unit": "GiB-hour", "per": memory_per_core, "step": memory_per_core},
        ],
        "combine": "max",
        "tiers": [{"price": "1"}],
    }


def a_job(cores, gibibytes, hours, **fields):
    seconds = int(hours * HOUR)
    memory = int(gibibytes * 1024) * seconds
    return a_record(1, seconds=seconds, core_seconds=cores * seconds, memory=memory, **fields)


@pytest.mark.parametrize(
    ("cores", "gibibytes", "hours", "billed"),
    [
        # No more memory than 4 GiB a core: the cores count.
        (4, 16, 10, "40"),
        (4, 10, 10, "40"),
        # 17 GiB are the memory of 4.25 cores, and so of 5.
        (4, 17, 10, "50"),
        (1, 181, 0.5, "23"),
    ],
)
def test_cyfronet(cores, gibibytes, hours, billed):
    """Cyfronet: the larger of the cores and of the memory, in shares of a core that are rounded up, times the hours.

    The rule: https://docs.hpc.cyfronet.pl/environment/batch-system/billing/. It has no worked figure; these are worked
    out by hand, for 4 GiB a core.
    """
    made = priced([a_job(cores, gibibytes, hours)], *rates_of(shares("4"), shape=JOBS), payers=PI)
    assert to_the_cent(made) == Decimal(billed)


@pytest.mark.parametrize(
    ("gpus", "cores", "gibibytes", "billed"),
    [(1, 16, 125, "2"), (1, 17, 125, "4"), (2, 20, 251, "6"), (2, 20, 250, "4")],
)
def test_cyfronet_gpus(gpus, cores, gibibytes, billed):
    """Cyfronet: of GPUs, cores and memory the largest, the latter two in shares of a GPU that are rounded up.

    The rule: https://docs.hpc.cyfronet.pl/environment/batch-system/billing/. Worked out by hand for two hours, with 16
    cores and 125 GiB a GPU.
    """
    rate = shares("125") | {"unit": "GPU-hour"}
    cpus = {"measure": "core_seconds", "unit": "core-hour", "per": "16", "step": "16"}
    rate["counts"] = [{"measure": "gpu_seconds", "unit": "GPU-hour"}, cpus, rate["counts"][1]]
    made = priced([a_job(cores, gibibytes, 2, gpu_seconds=gpus * 2 * HOUR)], *rates_of(rate, shape=JOBS), payers=PI)
    assert to_the_cent(made) == Decimal(billed)


@pytest.mark.parametrize(("gibibytes", "billed"), [(4, "96"), (32, "384")])
def test_lumi(gibibytes, billed):
    """LUMI: 4 cores for a day are 96 core-hours with 4 GB of memory, and 384 with 32 GB: 2 GB are the share of a core.

    Published with its figures:
    https://lumi-supercomputer-docs-preview.rahtiapp.fi/origin/python_installation/computing/jobs/billing
    """
    made = priced([a_job(4, gibibytes, 24)], *rates_of(shares("2"), shape=JOBS), payers=PI)
    assert to_the_cent(made) == Decimal(billed)


# ---- Tel Aviv


@pytest.mark.parametrize(("gigabytes", "billed"), [(10, "20.00"), (80, "56.60"), (1000, "179.00")])
def test_tel_aviv(gigabytes, billed):
    """Tel Aviv University: backup by graduated tiers, with a minimum of 20 NIS a month.

    Published with its figures: https://computing-en.tau.ac.il/division_services/infrastructure_and_operation/backup_services?tab=2
    """
    rate = {
        "code": "backup",
        "service": "Backup",
        "unit": "GB-month",
        "counts": [{"measure": "used", "unit": "GB-month"}],
        "tiers": [{"price": "1.00", "up_to": "50"}, {"price": "0.22", "up_to": "500"}, {"price": "0.06"}],
        "minimum": "20",
    }
    shape = storage(JUNE)
    # The mean of daily readings.
    records = [a_volume(day, JUNE, days=1, first_day=day, used=gigabytes * 10**9) for day in range(1, 31)]
    made = priced(records, *rates_of(rate, shape=shape), payers=PI, shape=shape, month=JUNE)
    assert to_the_cent(made) == Decimal(billed)

"""Levels into amounts: what the days of a month count for, by hand, and against a plain count day by day."""

import calendar
import datetime
import random
from decimal import Decimal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.usage.level_policies import ByDay, Charge, Edges, Gaps, Method, Pick
from billing.usage.levels import amounts, amounts_shape
from billing.usage.readers.storage import SHAPE

NEW_YORK = ZoneInfo("America/New_York")
UTC = ZoneInfo("UTC")
TB = 10**12


def seconds(text, zone=NEW_YORK):
    return int(datetime.datetime.fromisoformat(text).replace(tzinfo=zone).timestamp())


def a_reading(at="2026-01-05T02:00", used=100, quota=0, *, id="/lab", account="lab", resource="fs1", zone=NEW_YORK):
    start = seconds(at, zone)
    return {
        **{"id": id, "start": start, "end": start, "account": account, "user": "", "resource": resource, "free": ""},
        **{"system": resource, "file_system": "", "tier": "", "quota_type": "directory"},
        **{"used_bytes": used, "quota_bytes": quota, "files": 1},
    }


def on(*days, **more):
    """Return one reading for each day of January 2026."""
    return [a_reading(f"2026-01-{day:02}T02:00", **more) for day in days]


def month_of(readings, month="2026-01", zone=NEW_YORK, **policy):
    first = datetime.date.fromisoformat(f"{month}-01")
    after = first + datetime.timedelta(calendar.monthrange(first.year, first.month)[1])
    table = pa.Table.from_pylist(readings, SHAPE.schema)
    found, notes = amounts(table, SHAPE, begin=first, end=after, policy=ByDay(**policy), zone=zone)
    assert found.schema == amounts_shape(SHAPE, ByDay(**policy), first, after).schema
    return found.to_pylist(), notes


def used_days(readings, *args, **policy):
    return [row["used_byte_days"] for row in month_of(readings, *args, **policy)[0]]


# ---- By hand


def test_a_month_of_daily_readings_is_one_record():
    (row,), notes = month_of(on(*range(1, 32), used=100, quota=500), charge=Charge.LARGER)
    assert notes == []
    assert row == {
        **{"id": "/lab", "account": "lab", "user": "", "resource": "fs1", "free": ""},
        **{"system": "fs1", "file_system": "", "tier": "", "quota_type": "directory"},
        **{"start": seconds("2026-01-01T00:00"), "end": seconds("2026-02-01T00:00")},
        **{"used_byte_days": 3100, "quota_byte_days": 15500, "file_days": 31, "charged_byte_days": 15500},
        "elapsed_seconds": 31 * 86400,
    }


@pytest.mark.parametrize(("method", "expected"), [(Method.MEAN, 60), (Method.MAXIMUM, 90), (Method.LAST, 30)])
def test_each_method_counts_the_days_its_own_way(method, expected):
    readings = on(1, used=20) + on(2, used=30) + on(3, used=10)
    assert used_days(readings, method=method) == [expected]


@pytest.mark.parametrize(
    ("charge", "expected"), [(Charge.USED, 15 + 80), (Charge.QUOTA, 50 + 50), (Charge.LARGER, 50 + 80)]
)
def test_what_is_charged_is_chosen_reading_by_reading(charge, expected):
    readings = on(1, used=15, quota=50) + on(2, used=80, quota=50)
    (row,), _ = month_of(readings, charge=charge)
    assert row["charged_byte_days"] == expected


def test_a_quota_that_changes_in_the_middle_of_a_month_counts_by_its_days():
    """10 TB for 15 days and 20 TB for 15 days of November are 15 TB-months."""
    readings = [
        a_reading(f"2026-11-{day:02}T12:00", quota=(10 if day <= 15 else 20) * TB, used=TB) for day in range(1, 31)
    ]
    (row,), _ = month_of(readings, "2026-11", charge=Charge.QUOTA)
    shape = amounts_shape(SHAPE, ByDay(), datetime.date(2026, 11, 1), datetime.date(2026, 12, 1))
    unit = shape.measure("charged_byte_days").units["TB-month"]
    assert Decimal(row["charged_byte_days"]) / unit == 15


@pytest.mark.parametrize(("month", "days"), [("2026-01", 31), ("2026-02", 28), ("2028-02", 29), ("2026-03", 31)])
def test_a_unit_of_a_month_has_the_days_of_that_month(month, days):
    first = datetime.date.fromisoformat(f"{month}-01")
    units = amounts_shape(SHAPE, ByDay(), first, first + datetime.timedelta(days)).measure("used_byte_days").units
    assert units["TB-month"] == days * TB
    assert units["TiB-month"] == days * 2**40
    assert units["TiB-day"] == 2**40
    assert units["GB-day"] == 10**9
    full = [a_reading(f"{month}-{day:02}T12:00", used=7 * TB) for day in range(1, days + 1)]
    (row,), _ = month_of(full, month)
    assert row["used_byte_days"] == 7 * units["TB-month"]


def test_the_level_while_it_was_there_is_that_of_its_days():
    """`step` and `at_least` of a Count divide by elapsed_seconds, in units of the same time."""
    (row,), _ = month_of(on(*range(10, 20), used=6 * TB))
    shape = amounts_shape(SHAPE, ByDay(), datetime.date(2026, 1, 1), datetime.date(2026, 2, 1))
    quantity = Decimal(row["used_byte_days"]) / shape.measure("used_byte_days").units["TB-month"]
    elapsed = Decimal(row["elapsed_seconds"]) / shape.measure("elapsed_seconds").units["month"]
    assert round(quantity / elapsed, 20) == 6


def test_days_are_those_of_the_zone_and_all_count_alike_when_clocks_change():
    """March 8, 2026 has 23 hours in New York, and November 1, 2026 has 25."""
    march = [a_reading(f"2026-03-{day:02}T23:30", used=1) for day in range(1, 32)]
    november = [a_reading(f"2026-11-{day:02}T00:30", used=1) for day in range(1, 31)]
    (row,), _ = month_of(march, "2026-03")
    assert (row["used_byte_days"], row["elapsed_seconds"]) == (31, 31 * 86400)
    assert row["end"] - row["start"] == 31 * 86400 - 3600
    (row,), _ = month_of(november, "2026-11")
    assert (row["used_byte_days"], row["elapsed_seconds"]) == (30, 30 * 86400)
    assert row["end"] - row["start"] == 30 * 86400 + 3600
    # In UTC the late readings of March are of the day after, and the last one of April.
    assert used_days(march, "2026-03", UTC) == [30]
    assert used_days(march, "2026-04", UTC) == [1]


@pytest.mark.parametrize(("pick", "expected"), [(Pick.FIRST, 5), (Pick.LAST, 3), (Pick.LARGEST, 9)])
def test_of_several_readings_of_a_day_one_counts(pick, expected):
    readings = [
        a_reading("2026-01-05T02:00", 5),
        a_reading("2026-01-05T12:00", 9),
        a_reading("2026-01-05T22:00", 3),
    ]
    for order in (readings, readings[::-1]):
        assert used_days(order, pick=pick) == [expected]


@pytest.mark.parametrize("pick", [Pick.FIRST, Pick.LAST])
def test_of_two_readings_of_one_moment_the_larger_counts_and_is_told(pick):
    readings = [a_reading(used=5), a_reading(used=7), a_reading(used=7)]
    rows, notes = month_of(readings, pick=pick)
    assert [row["used_byte_days"] for row in rows] == [7]
    assert "Two readings of the same object and moment differ, 1 times. The larger one counts." in notes
    assert not [note for note in month_of([a_reading(), a_reading()])[1] if "differ" in note]


# ---- Gaps


def test_a_gap_counts_as_the_reading_before_it_and_is_told():
    readings = on(1, 2, 5, 31, used=10) + on(3, 4, used=1, resource="fs2", id="/b")
    rows, notes = month_of(readings)
    assert {row["id"]: row["used_byte_days"] for row in rows} == {"/lab": 310, "/b": 2}
    days = "Jan 3, 2026 to Jan 4, 2026, Jan 6, 2026 to Jan 30, 2026"
    assert f"fs1: no reading on {days}. The reading before counts for 1 object." in notes
    assert "fs2: no reading on the days after Jan 4, 2026. Nothing is charged for them." in notes
    assert "fs2: no reading on the days before Jan 3, 2026. Nothing is charged for them." in notes


def test_an_object_that_is_missing_among_others_was_not_there():
    readings = on(*range(1, 32), id="/other", used=1) + on(1, 2, 30, 31, used=10)
    rows, notes = month_of(readings)
    assert {row["id"]: row["used_byte_days"] for row in rows} == {"/lab": 40, "/other": 31}
    assert notes == [
        "fs1: others were read, and 1 object not until later, such as “/lab” on Jan 3, 2026 to Jan 29, 2026. "
        "Nothing is charged for them."
    ]
    assert used_days(readings, gaps=Gaps.ALWAYS) == [310, 31]
    assert "The reading before counts for them." in month_of(readings, gaps=Gaps.ALWAYS)[1][0]


def test_gaps_are_left_open_where_the_policy_says_so():
    rows, notes = month_of(on(1, 3, 31, used=10), gaps=Gaps.NEVER)
    assert [row["used_byte_days"] for row in rows] == [30]
    assert "fs1: no reading on Jan 2, 2026, Jan 4, 2026 to Jan 30, 2026. Nothing is charged for 1 object." in notes


def test_a_gap_over_the_end_of_a_month_is_bridged_by_its_neighbors():
    readings = [*on(*range(1, 30), used=10), a_reading("2026-02-03T02:00", 50), a_reading("2025-12-30T02:00", 70)]
    assert used_days(readings[:-1]) == [310]
    assert used_days(readings, "2026-02") == [10 * 2 + 50]
    assert used_days(readings[1:], "2025-12") == [70 * 2]


def test_a_gap_that_is_too_long_counts_for_nothing():
    readings = on(1, 12, used=10)
    assert used_days(readings, longest_gap=10) == [120]
    assert used_days(readings, longest_gap=9) == [20]


def test_nothing_is_charged_before_the_first_and_after_the_last_reading_unless_the_month_counts():
    readings = on(10, used=10) + on(11, used=20)
    (row,), _ = month_of(readings)
    assert (row["used_byte_days"], row["start"], row["end"]) == (
        *(30, seconds("2026-01-10T00:00")),
        seconds("2026-01-12T00:00"),
    )
    rows, notes = month_of(readings, edges=Edges.MONTH)
    assert [row["used_byte_days"] for row in rows] == [10 * 10 + 20 * 21]
    assert notes == [
        "fs1: no reading on the days before Jan 10, 2026. The first one after counts for them.",
        "fs1: no reading on the days after Jan 11, 2026. The last one before counts for them.",
    ]
    assert month_of(readings, "2026-02", edges=Edges.MONTH)[0] == []


# ---- Owners


def test_a_new_owner_in_the_middle_of_a_month_gets_a_record_of_its_own():
    readings = on(*range(1, 11), used=1) + on(*range(11, 21), used=1, account="new") + on(*range(21, 32), used=1)
    rows, _ = month_of(readings)
    assert [(row["account"], row["used_byte_days"]) for row in rows] == [("lab", 10), ("new", 10), ("lab", 11)]
    assert [row["end"] for row in rows[:-1]] == [row["start"] for row in rows[1:]]
    assert len({(row["id"], row["start"]) for row in rows}) == 3


def test_objects_of_one_name_on_two_systems_are_two():
    assert used_days(on(1, used=1, resource="fs1") + on(1, used=2, resource="fs2")) == [1, 2]


def test_no_readings_are_no_records():
    assert month_of([]) == ([], [])
    assert month_of(on(5), "2026-09") == ([], [])


def test_the_largest_level_that_a_reader_takes_fits_a_month():
    assert used_days(on(*range(1, 32), used=2**58)) == [31 * 2**58]
    with pytest.raises(OverflowError):
        used_days(on(*range(1, 32), used=2**62))


# ---- Against a plain count

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["/a", "/b", "/c"]),
        st.sampled_from(["fs1", "fs2"]),
        st.integers(-40, 70),
        st.integers(0, 23),
        st.integers(0, 100),
        st.integers(0, 100),
        st.sampled_from(["lab", "other"]),
    ),
    max_size=40,
)
POLICIES = st.builds(
    ByDay,
    st.sampled_from(Method),
    st.sampled_from(Charge),
    st.sampled_from(Pick),
    st.sampled_from(Gaps),
    st.integers(0, 31),
    st.sampled_from(Edges),
)
DAYS = [datetime.date(2026, 3, 1) + datetime.timedelta(number) for number in range(31)]


def readings_of(rows):
    for path, resource, day, hour, used, quota, account in rows:
        at = datetime.datetime(2026, 3, 1, hour, tzinfo=NEW_YORK) + datetime.timedelta(day)
        yield a_reading(at.replace(tzinfo=None).isoformat(), used, quota, id=path, resource=resource, account=account)


def counted(readings, policy):
    """Count day by day: what each object is charged in March 2026, and its bytes used."""

    def charged(one):
        used, quota = one["used_bytes"], one["quota_bytes"]
        return {Charge.USED: used, Charge.QUOTA: quota, Charge.LARGER: max(used, quota)}[policy.charge]

    def size(one):
        return (charged(one), one["files"], one["quota_bytes"], one["used_bytes"], one["account"])

    days = {}
    for one in readings:
        on = datetime.datetime.fromtimestamp(one["start"], NEW_YORK).date()
        if DAYS[0] - datetime.timedelta(policy.longest_gap) <= on <= DAYS[-1] + datetime.timedelta(policy.longest_gap):
            days.setdefault((one["resource"], one["id"]), {}).setdefault(on, []).append(one)
    read = {(resource, on) for (resource, _), found in days.items() for on in found}
    result = {}
    for (resource, path), found in days.items():
        order = {
            Pick.FIRST: lambda one: (-one["start"], *size(one)),
            Pick.LAST: lambda one: (one["start"], *size(one)),
            Pick.LARGEST: lambda one: (*size(one)[:-1], one["start"], one["account"]),
        }[policy.pick]
        chosen = {on: max(ones, key=order) for on, ones in found.items()}
        filled = dict(chosen)
        for before, after in zip(sorted(chosen), sorted(chosen)[1:], strict=False):
            missing = (after - before).days - 1
            for number in range(1, missing + 1):
                on = before + datetime.timedelta(number)
                is_open = policy.gaps is Gaps.NEVER or policy.gaps is Gaps.SYSTEM and (resource, on) in read
                if missing <= policy.longest_gap and not is_open:
                    filled[on] = chosen[before]
        month = {on: filled[on] for on in DAYS if on in filled}
        if month and policy.edges is Edges.MONTH:
            for on in DAYS:
                earlier = [each for each in month if each <= on]
                month[on] = month[max(earlier)] if earlier else month[min(month)]
        runs = []
        for on in sorted(month):
            is_new = policy.method is Method.DAILY or runs and runs[-1][-1]["account"] != month[on]["account"]
            if not runs or is_new:
                runs.append([])
            runs[-1].append(month[on])
        for run in runs:
            for name, value in (("charged", charged), ("used", lambda one: one["used_bytes"])):
                values = list(map(value, run))
                level = {
                    Method.MEAN: sum(values),
                    Method.MAXIMUM: max(values) * len(values),
                    Method.LAST: values[-1] * len(values),
                    Method.DAILY: sum(values),
                }[policy.method]
                result.setdefault((resource, path), []).append((name, run[0]["account"], len(run), level))
    return result


@settings(max_examples=200)
@given(ROWS, POLICIES, st.randoms())
def test_amounts_are_what_a_plain_count_gives_in_any_order(rows, policy, shuffled: random.Random):
    readings = list(readings_of(rows))
    first = amounts(
        pa.Table.from_pylist(readings, SHAPE.schema),
        SHAPE,
        begin=DAYS[0],
        end=datetime.date(2026, 4, 1),
        policy=policy,
        zone=NEW_YORK,
    )
    found: dict = {}
    for row in first[0].to_pylist():
        days = row["elapsed_seconds"] // 86400
        for name, value in (("charged", row["charged_byte_days"]), ("used", row["used_byte_days"])):
            found.setdefault((row["resource"], row["id"]), []).append((name, row["account"], days, value))
    assert found == counted(readings, policy)
    shuffled.shuffle(readings)
    cut = shuffled.randint(0, len(readings))
    parts = [pa.Table.from_pylist(part, SHAPE.schema) for part in (readings[cut:], readings[:cut])]
    again = amounts(
        pa.concat_tables(parts), SHAPE, begin=DAYS[0], end=datetime.date(2026, 4, 1), policy=policy, zone=NEW_YORK
    )
    assert (again[0].to_pylist(), again[1]) == (first[0].to_pylist(), first[1])


@given(st.lists(st.integers(0, 2**58), min_size=31, max_size=31))
def test_the_mean_of_a_month_times_its_days_is_the_sum_of_its_readings(levels):
    readings = [a_reading(f"2026-01-{day:02}T02:00", used) for day, used in enumerate(levels, 1)]
    (row,), _ = month_of(readings)
    unit = amounts_shape(SHAPE, ByDay(), datetime.date(2026, 1, 1), datetime.date(2026, 2, 1))
    assert row["used_byte_days"] == sum(levels)
    assert unit.measure("used_byte_days").units["byte-month"] == 31

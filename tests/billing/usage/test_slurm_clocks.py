"""Local times of the hours that clocks skip and repeat, and the same job seen before and after it ended."""

import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.usage.cutting import standing
from billing.usage.readers.slurm.local_times import both_readings
from tests.billing.usage.jobs import HOUR, a_job, lines_of, read

NEW_YORK = "America/New_York"
# On November 1, 2026, clocks in New York go from 02:00 back to 01:00, at 06:00 UTC.
FOLD = int(datetime.datetime(2026, 11, 1, 5, tzinfo=datetime.UTC).timestamp())
EPOCH = datetime.datetime.fromisoformat("1970-01-01")
FIRST, LAST = (datetime.datetime.fromisoformat(day) for day in ("2000-01-01", "2100-12-31"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jobs.txt"


def clock(seconds):
    """Return what the clocks of New York show, as sacct writes it."""
    return datetime.datetime.fromtimestamp(seconds, ZoneInfo(NEW_YORK)).strftime("%Y-%m-%dT%H:%M:%S")


def spans(path, start, end, elapsed, **fields):
    job = a_job(Start=clock(start), End="Unknown" if end is None else clock(end), ElapsedRaw=str(elapsed), **fields)
    records, tally = read(path, lines_of(job), zone=NEW_YORK)
    return [(each["start"] - FOLD, each["end"] - FOLD) for each in records], tally


@pytest.mark.parametrize("start", range(-2 * HOUR, 3 * HOUR, HOUR // 2))
@pytest.mark.parametrize("elapsed", [60, HOUR // 2, HOUR, 3 * HOUR])
def test_how_long_a_job_ran_tells_which_hour_is_meant(path, start, elapsed):
    begin, end = FOLD + start, FOLD + start + elapsed
    ((found_start, found_end),), _ = spans(path, begin, end, elapsed)
    assert found_end - found_start == elapsed
    # Within the repeated hour nobody can tell: the first is meant.
    is_untold = clock(begin) == clock(begin - HOUR) and clock(end) == clock(end - HOUR)
    assert found_start == (start - HOUR if is_untold else start)


def test_suspended_time_is_counted_to_tell_the_hour(path):
    start, end = FOLD + HOUR + 600, FOLD + 5 * HOUR
    found, _ = spans(path, start, end, end - start - 900, Suspended="00:15:00")
    assert found == [(HOUR + 600, 5 * HOUR)]
    # Without it, the first hour is meant, in which there is time enough.
    found, _ = spans(path, start, end, end - start - 900)
    assert found == [(600, 5 * HOUR)]
    found, _ = spans(path, FOLD - HOUR, FOLD + HOUR + 600, 2 * HOUR, Suspended="00:10:00")
    assert found == [(-HOUR, HOUR + 600)]


def test_a_running_job_of_that_hour_waits_until_it_has_ended(path):
    found, tally = spans(path, FOLD + HOUR + 600, None, HOUR)
    assert found == []
    assert tally.left_out == {"running jobs whose start the clocks showed twice": 1}
    # So that no start is guessed, that would be another once the job has ended.
    found, _ = spans(path, FOLD + HOUR + 600, FOLD + 9 * HOUR, 8 * HOUR - 600)
    assert found == [(HOUR + 600, 9 * HOUR)]


def test_a_job_that_ran_over_the_hour_keeps_its_start_when_it_ends(path):
    settings = {"zone": NEW_YORK, "batches": True}
    start = FOLD - 5 * HOUR
    running = a_job(Start=clock(start), End="Unknown", ElapsedRaw=str(6 * HOUR + 600), State="RUNNING")
    ended = a_job(Start=clock(start), End=clock(FOLD + 2 * HOUR), ElapsedRaw=str(7 * HOUR))
    tables = [pa.Table.from_batches(read(path, lines_of(job), **settings)[0]) for job in (ended, running)]
    (record,) = standing(tables).to_pylist()
    assert (record["state"], record["elapsed_seconds"]) == ("COMPLETED", 7 * HOUR)


def test_a_time_that_no_clock_showed_is_refused_by_line(refusal):
    # Clocks went from 02:00 to 03:00 on March 8, 2026.
    job = a_job(Start="2026-03-08T02:30:00", End="2026-03-08T04:30:00", ElapsedRaw="7200")
    problem = refusal(lines_of(a_job(), job), zone=NEW_YORK)
    assert (problem.line, problem.column) == (3, "Start")
    assert problem.message == (
        "“2026-03-08T02:30:00” is no time in America/New_York, whose clocks skip that hour. The file was written in "
        "another time zone than the feed's."
    )


ZONES = ("America/New_York", "Europe/London", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu", "UTC")


@given(st.lists(st.datetimes(FIRST, LAST), max_size=20))
@pytest.mark.parametrize("name", ZONES)
def test_both_readings_are_those_of_python(name, times):
    zone = ZoneInfo(name)
    times = [each.replace(microsecond=0, fold=0) for each in times]
    local = np.array([(each - EPOCH).total_seconds() for each in times], dtype=np.int64)
    for fold, found in enumerate(both_readings(local, zone)):
        assert found.tolist() == [int(each.replace(tzinfo=zone, fold=fold).timestamp()) for each in times]


@pytest.mark.parametrize(("name", "year"), [("Africa/Casablanca", 2062), ("Asia/Dhaka", 2009), (NEW_YORK, 2100)])
@pytest.mark.parametrize(("month", "day"), [(12, 31), (1, 1)])
def test_clocks_may_change_on_the_last_day_of_a_year(name, year, month, day):
    zone = ZoneInfo(name)
    times = [datetime.datetime.fromisoformat(f"{year}-{month:02}-{day:02}T{hour:02}:30") for hour in range(24)]
    local = np.array([(each - EPOCH).total_seconds() for each in times], dtype=np.int64)
    for fold, found in enumerate(both_readings(local, zone)):
        assert found.tolist() == [int(each.replace(tzinfo=zone, fold=fold).timestamp()) for each in times]


@pytest.mark.parametrize("name", ZONES)
def test_both_readings_are_those_of_python_around_every_change(name):
    zone = ZoneInfo(name)
    starts = [FIRST.replace(year=year) for year in (2007, 2023, 2026, 2027)]
    times = [start + datetime.timedelta(minutes=30 * n) for start in starts for n in range(366 * 48)]
    local = np.array([(each - EPOCH).total_seconds() for each in times], dtype=np.int64)
    for fold, found in enumerate(both_readings(local, zone)):
        assert found.tolist() == [int(each.replace(tzinfo=zone, fold=fold).timestamp()) for each in times]

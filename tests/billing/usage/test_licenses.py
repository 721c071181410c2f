"""Licenses: what lmstat says of seats, and how long each is held between two reports."""

import datetime
import random
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.readers import FileError
from billing.usage.level_policies import ByTime
from billing.usage.levels import amounts, amounts_shape
from billing.usage.readers import KINDS, BadSettings, Tally
from billing.usage.readers.licenses import SHAPE
from tests.billing.usage.reading import SAMPLES, needs_samples
from tests.billing.usage.snapshots import read, written

CHICAGO = ZoneInfo("America/Chicago")
UTC = ZoneInfo("UTC")
BEGIN, END = datetime.date(2026, 1, 1), datetime.date(2026, 2, 1)


def a_report(at="1/5/2026 10:00", users=(), feature="MATLAB", issued=50, in_use=None, server="27000@lic1"):
    """Return what lmstat -a prints; `users` are names, or names with seats."""
    lines = []
    for each in users:
        user, seats = each if isinstance(each, tuple) else (each, 1)
        suffix = f", {seats} licenses" if seats != 1 else ""
        lines.append(f"    {user} host1 /dev/pts/1 (v50) (lic1/27000 401), start Mon 1/5 0:10{suffix}\n")
    said = sum(each[1] if isinstance(each, tuple) else 1 for each in users) if in_use is None else in_use
    return (
        "lmutil - Copyright (c) 1989-2024 Flexera. All Rights Reserved.\n"
        f"Flexible License Manager status on Mon {at}\n\n"
        f"License server status: {server}\n"
        "    License file(s) on lic1: /opt/license.lic:\n\n"
        f"Users of {feature}:  (Total of {issued} licenses issued;  Total of {said} licenses in use)\n\n"
        f'"{feature}" v52, vendor: MLM, expiry: 30-dec-2026\n  vendor_string: x\n  floating license\n\n'
        f"{''.join(lines)}\n"
    )


def rows_of(folder, *reports, tally=None, name="lmstat.txt", **settings):
    return read("licenses", written(folder, "".join(reports), name), tally, **settings).to_pylist()


def seats(rows):
    return {(row["feature"], row["user"]): row["seats"] for row in rows if row["use"] == "checkout"}


def refused(folder, content, name="lmstat.txt", **settings):
    with pytest.raises(FileError) as caught:
        rows_of(folder, content, name=name, **settings)
    return str(caught.value)


# ---- Reading


@needs_samples
def test_the_seats_of_a_real_report_are_those_that_it_lists():
    tally = Tally()
    path = SAMPLES / "flexlm" / "lmstat_app1.txt"
    table = read("licenses", path, tally, time_zone="America/Chicago").to_pandas()
    at = int(datetime.datetime(2017, 10, 20, 17, 2, tzinfo=CHICAGO).timestamp())
    assert set(table["start"]) == set(table["end"]) == {at}
    # Counted in the text with grep, awk and a pencil.
    sums = table.groupby(["feature", "use"], observed=True)["seats"].sum()
    assert sums["feature11", "checkout"] == 80
    assert sums["feature30", "reservation"] == 169
    assert (sums["feature31", "checkout"], sums["feature31", "reservation"]) == (147, 169)
    user2 = table[(table["feature"] == "feature1") & (table["user"] == "user2")]
    assert user2["seats"].tolist() == [64]
    assert table[table["feature"] == "feature11"]["issued"].max() == 16384
    assert set(table["system"]) == {"host-1.domain.net"}
    assert set(table[table["use"] == "reservation"]["free"]) == {"reserved"}
    assert tally.left_out == {"user who waits for a license": 2}
    assert tally.lines == len(path.read_text().splitlines())
    # Nothing of where somebody sits is kept.
    kept = {text for name in table for text in map(str, table[name])}
    assert not [text for text in kept if "server0" in text or "/dev/" in text or "pts" in text]


@needs_samples
def test_the_capacity_of_a_license_file_is_added_up_by_feature():
    path = SAMPLES / "flexlm" / "lmstat_i_app1.txt"
    rows = read("licenses", path, name="lmstat_i_2018-03-01.txt").to_pylist()
    issued = {row["feature"]: row["issued"] for row in rows}
    assert issued["feature7"] == 600
    assert issued["feature12"] == 52
    assert {(row["use"], row["free"], row["seats"]) for row in rows} == {("capacity", "capacity", 0)}


def test_reports_of_several_moments_may_stand_in_one_file(tmp_path):
    reports = [a_report(users=["ada", "ada", ("bob", 3)]), a_report("1/5/2026 10:15", ["ada"])]
    rows = rows_of(tmp_path, *reports, time_zone="America/Chicago", system="matlab")
    ten = int(datetime.datetime(2026, 1, 5, 10, tzinfo=CHICAGO).timestamp())
    found = {(row["start"] - ten, row["user"], row["seats"], row["issued"]) for row in rows}
    assert found == {(0, "", 0, 50), (0, "ada", 2, 0), (0, "bob", 3, 0), (900, "", 0, 50), (900, "ada", 1, 0)}
    assert {row["resource"] for row in rows} == {"matlab/MATLAB"}
    assert len({(row["id"], row["start"]) for row in rows}) == len(rows)


@pytest.mark.parametrize(
    ("line", "user", "expected"),
    [
        ("    ada host-01 host-01:0.0 lc80a_1 (v2022.09) (S1/27020 24464), start Thu 9/24 22:16, PID: 259 ", "ada", 1),
        ("    ada host-01 (v2026.03) (S1/27020 19210), start Fri 9/25 11:44, PID: 310056 ", "ada", 1),
        ("    ada h UF0.0 (v1.00) (h3/28000 1401), start Wed 5/23 5:59, 16 licenses  (linger: 88 / 134)", "ada", 16),
        ("    ada h UF0.0 (v1.00) (h3/28000 1401), start Wed 5/23 5:59  (linger: 885098 / 1340160)", "ada", 1),
        ("    ada h |)8<fZ)=Y[<7L$lY-p\\<6nn^Y (v61.4) (h3/27002 3201), start Mon 6/11 11:01", "ada", 1),
        ("    Jane Doe Jr. jane icc&f3rU7|<7R/oW (v10.1) (h3/27002 3404), start Wed 7/4 11:55", "Jane", 1),
    ],
)
def test_every_way_that_lmstat_writes_a_checkout_is_understood(tmp_path, line, user, expected):
    rows = rows_of(tmp_path, a_report(), line + "\n")
    assert seats(rows) == {("MATLAB", user): expected}


def test_reserved_seats_are_free_or_charged_to_their_group(tmp_path):
    reserved = "\t8 RESERVATIONs for GROUP chem lab (lic1/27000)\n\t1 RESERVATION for HOST pc (lic1/27000)\n"
    rows = rows_of(tmp_path, a_report(), reserved)
    assert {(row["account"], row["free"], row["seats"]) for row in rows if row["use"] == "reservation"} == {
        ("", "reserved", 8),
        ("", "reserved", 1),
    }
    rows = rows_of(tmp_path, a_report(), reserved, charges_reservations=True)
    assert {(row["account"], row["free"], row["seats"]) for row in rows if row["use"] == "reservation"} == {
        ("chem lab", "", 8),
        ("pc", "", 1),
    }


def test_a_server_that_did_not_answer_is_told_and_no_reading(tmp_path):
    down = "Flexible License Manager status on Mon 1/5/2026 10:15\n\nlic1: Cannot connect to license server system.\n"
    tally = Tally()
    rows = rows_of(tmp_path, a_report(users=["ada"]), down, tally=tally)
    assert len({row["start"] for row in rows}) == 1
    assert tally.notes == ["The license server did not answer: Jan 5, 2026, 10:15 UTC."]
    assert tally.left_out == {"report without an answer of the license server": 1}
    assert rows_of(tmp_path, down) == []


def test_seats_that_a_report_does_not_list_are_counted_as_left_out(tmp_path):
    tally = Tally()
    rows_of(tmp_path, a_report(users=["ada"], in_use=61), tally=tally)
    assert tally.left_out == {"seat in use that the report does not list": 60}


def test_a_year_that_the_report_lacks_is_that_of_the_name(tmp_path):
    report = a_report("1/5 10:00", ["ada"])
    at = int(datetime.datetime(2026, 1, 5, 10, tzinfo=CHICAGO).timestamp())
    for known in ({"name": "lmstat-2026-01-31.txt"}, {"taken_at": "2026-06-01"}):
        rows = rows_of(tmp_path, report, time_zone="America/Chicago", **known)
        assert {row["start"] for row in rows} == {at}
    assert refused(tmp_path, report).startswith("line 2: The report does not say its year.")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("hello\n", "The file has no report."),
        (a_report("13/45/2026 10:00"), "line 2: The time of the report is no time"),
        (a_report() + "\0\n", "line 14: The line has a NUL byte in it."),
        ("Feature  Version  #licenses  Expires  Vendor\n", "lmstat -i does not say when it ran."),
        ("", "The file is empty."),
    ],
)
def test_what_is_no_report_is_refused(tmp_path, content, message):
    assert message in refused(tmp_path, content)


def test_settings_that_are_wrong_are_named():
    with pytest.raises(BadSettings) as caught:
        KINDS["licenses"].settings({"longest_hold_minutes": 0, "servers": "a"})
    assert {problem.column for problem in caught.value.problems} == {"longest_hold_minutes", "servers"}


# ---- Seat-hours


def held(rows, begin=BEGIN, end=END, zone=UTC, **policy):
    table = pa.Table.from_pylist(rows, SHAPE.schema)
    found, notes = amounts(table, SHAPE, begin=begin, end=end, policy=ByTime(**policy), zone=zone)
    assert found.schema == amounts_shape(SHAPE, ByTime(), begin, end).schema
    return {row["user"] or row["use"]: row for row in found.to_pylist()}, notes


def test_a_seat_is_held_until_the_next_report_that_does_not_have_it(tmp_path):
    reports = [
        a_report("1/5/2026 10:00", ["ada", ("bob", 2)]),
        a_report("1/5/2026 10:15", [("ada", 3)]),
        a_report("1/5/2026 10:45", []),
        a_report("1/5/2026 11:00", ["ada"]),
    ]
    found, notes = held(rows_of(tmp_path, *reports))
    assert found["bob"]["seat_seconds"] == 2 * 900
    assert found["ada"]["seat_seconds"] == 900 + 3 * 1800
    assert found["ada"]["elapsed_seconds"] == 2700
    assert found["ada"]["end"] - found["ada"]["start"] == 2700
    assert (found["capacity"]["issued_seconds"], found["capacity"]["free"]) == (50 * 3600, "capacity")
    assert notes == []
    assert amounts_shape(SHAPE, ByTime(), BEGIN, END).measure("seat_seconds").units == {
        "seat-hour": 3600,
        "seat-day": 86400,
    }


def test_reports_that_are_too_far_apart_count_for_an_hour_and_are_told(tmp_path):
    reports = [a_report("1/5/2026 10:00", ["ada"]), a_report("1/6/2026 10:00", ["ada"]), a_report("1/6/2026 10:10")]
    found, notes = held(rows_of(tmp_path, *reports))
    assert found["ada"]["seat_seconds"] == 3600 + 600
    told = "no reading from Jan 5, 2026, 10:00 UTC to Jan 6, 2026, 10:00 UTC"
    assert notes == [f"lic1: {told}. What was in use counts for 60 minutes of it."]
    assert held(rows_of(tmp_path, *reports), longest_hold=86400)[0]["ada"]["seat_seconds"] == 87000


def test_a_seat_held_over_the_end_of_a_month_is_split_by_the_second(tmp_path):
    reports = [a_report("1/31/2026 23:50", ["ada"]), a_report("2/1/2026 0:20")]
    rows = rows_of(tmp_path, *reports, time_zone="America/Chicago")
    january, _ = held(rows, zone=CHICAGO)
    february, _ = held(rows, END, datetime.date(2026, 3, 1), zone=CHICAGO)
    assert (january["ada"]["seat_seconds"], february["ada"]["seat_seconds"]) == (600, 1200)
    assert january["ada"]["end"] == february["ada"]["start"]


def test_two_servers_are_read_each_at_its_own_times(tmp_path):
    one = [a_report(f"1/5/2026 10:{minute:02}", ["ada"], server="1@a") for minute in (0, 30)]
    other = [a_report(f"1/5/2026 10:{minute:02}", ["bob"], server="2@b") for minute in (10, 20)]
    found, _ = held(rows_of(tmp_path, *one, *other))
    assert (found["ada"]["seat_seconds"], found["bob"]["seat_seconds"]) == (1800, 600)


def test_no_reports_are_no_records():
    assert held([]) == ({}, [])


REPORTS = st.lists(
    st.tuples(
        st.integers(-90, 40 * 24 * 60),
        st.dictionaries(st.sampled_from(["ada", "bob"]), st.integers(1, 9)),
        st.sampled_from(["s1", "s2"]),
    ),
    max_size=25,
    unique_by=lambda each: (each[0], each[2]),
)


def readings_of(reports):
    begin = int(datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC).timestamp())
    for minute, users, system in reports:
        common = {"start": begin + 60 * minute, "end": begin + 60 * minute, "account": "", "free": ""}
        common |= {"system": system, "feature": "f", "vendor": "", "resource": f"{system}/f", "issued": 0, "seats": 0}
        yield common | {"id": system, "user": "", "use": "capacity", "issued": 9, "free": "capacity"}
        for user, count in users.items():
            yield common | {"id": f"{system}:{user}", "user": user, "use": "checkout", "seats": count}


@given(REPORTS, st.integers(1, 5000), st.randoms())
def test_seat_seconds_are_what_a_walk_by_the_minute_counts(reports, minutes, shuffled: random.Random):
    rows = list(readings_of(reports))
    table = pa.Table.from_pylist(rows, SHAPE.schema)
    policy = ByTime(60 * minutes)
    found, notes = amounts(table, SHAPE, begin=BEGIN, end=END, policy=policy, zone=UTC)
    expected: dict = {}
    for system in ("s1", "s2"):
        ordered = sorted(each for each in reports if each[2] == system)
        for (minute, users, _), after in zip(ordered, ordered[1:], strict=False):
            for each in range(max(minute, 0), min(after[0], minute + minutes, 31 * 24 * 60)):
                assert each >= 0
                for user, count in users.items():
                    expected[system, user] = expected.get((system, user), 0) + 60 * count
    assert {(row["system"], row["user"]): row["seat_seconds"] for row in found.to_pylist() if row["user"]} == expected
    shuffled.shuffle(rows)
    again = amounts(
        pa.Table.from_pylist(rows + rows, SHAPE.schema), SHAPE, begin=BEGIN, end=END, policy=policy, zone=UTC
    )
    assert (again[0].to_pylist(), again[1]) == (found.to_pylist(), notes)

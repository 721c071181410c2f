"""Ceph's traffic: added up by bucket, user and day, and no operation that failed."""

import datetime
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.readers import FileError
from billing.usage.readers import KINDS, BadSettings
from tests.billing.usage.reading import SAMPLES, needs_samples
from tests.billing.usage.snapshots import read, written

MEASURES = ("bytes_sent", "bytes_received", "operations")


def an_hour(bucket="data", time="2026-03-31T10:00:00.000000Z", sent=10, received=5, operations=3, tried=4):
    category = {"category": "get_obj", "bytes_sent": sent, "bytes_received": received}
    category |= {"ops": tried, "successful_ops": operations}
    return {"bucket": bucket, "time": time, "epoch": 1, "owner": "ada", "categories": [category, category]}


def entries(*hours, user="ada"):
    return {"entries": [{"user": user, "buckets": list(hours)}], "summary": [{"user": user}]}


def seconds(text):
    return int(datetime.datetime.fromisoformat(text).timestamp())


@needs_samples
def test_the_traffic_of_a_real_report_is_that_of_its_categories():
    table = read("ceph_traffic", SAMPLES / "ceph" / "radosgw_admin_usage_show.json", system="rgw1")
    (row,) = table.to_pylist()
    start = seconds("2026-03-31T10:00:00+00:00")
    assert row == {
        **{"id": "alice/mybucket", "start": start, "end": start + 3600, "account": "alice", "user": "", "free": ""},
        **{"resource": "rgw1", "system": "rgw1"},
        **{"bytes_sent": 10485760, "bytes_received": 52428800, "operations": 598},
    }


def test_hours_are_added_up_by_day_unless_hours_are_wanted(tmp_path):
    hours = [an_hour(), an_hour(time="2026-03-31T23:00:00Z"), an_hour(time="2026-04-01T00:00:00Z"), an_hour("other")]
    path = written(tmp_path, entries(*hours))
    rows = read("ceph_traffic", path).to_pylist()
    assert [(row["id"], row["bytes_sent"], row["operations"]) for row in rows] == [
        *(("ada/data", 40, 12), ("ada/data", 20, 6)),
        ("ada/other", 20, 6),
    ]
    assert (rows[0]["start"], rows[0]["end"]) == (seconds("2026-03-31T10:00:00Z"), seconds("2026-04-01T00:00:00Z"))
    assert read("ceph_traffic", path, by_hour=True).num_rows == 4


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 71), st.integers(0, 10**12)), min_size=1), st.randoms())
def test_no_order_changes_a_sum(tmp_path_factory, rows, shuffled: random.Random):
    folder = tmp_path_factory.mktemp("orders")
    begin = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
    hours = [an_hour(name, (begin + datetime.timedelta(hours=n)).isoformat(), sent) for name, n, sent in rows]

    def found():
        read_rows = read("ceph_traffic", written(folder, entries(*hours))).to_pylist()
        return sorted((row["id"], row["start"], row["end"], *(row[each] for each in MEASURES)) for row in read_rows)

    first = found()
    shuffled.shuffle(hours)
    assert found() == first
    assert sum(row[3] for row in first) == 2 * sum(sent for _, _, sent in rows)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (entries(an_hour(sent=-1)), "column bytes_sent: Object 1: “-1” is negative."),
        (entries(an_hour(time="soon")), "column time: "),
        ({"entries": [{"user": "ada"}]}, "column buckets: Object 1: The entry has no list of buckets."),
        ({"entries": []}, "The file has no traffic."),
        ({"summary": []}, "column buckets: "),
        ('{"entries": [\n{"user": "ada", "buckets": [', "line 2"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, content, message):
    with pytest.raises(FileError) as caught:
        read("ceph_traffic", written(tmp_path, content))
    assert message in str(caught.value)


def test_settings_that_nobody_knows_are_named():
    with pytest.raises(BadSettings) as caught:
        KINDS["ceph_traffic"].settings({"hourly": True})
    assert [problem.column for problem in caught.value.problems] == ["hourly"]

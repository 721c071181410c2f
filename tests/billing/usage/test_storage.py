"""Storage: what each system writes of its quotas, and that each byte is counted once."""

import datetime
import gzip
import random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.readers import FileError
from billing.usage.readers import KINDS, BadSettings, Tally
from billing.usage.readers.storage.nesting import counted_once
from billing.usage.readers.storage.readings import Nested, Reading
from tests.billing.usage.reading import SAMPLES, needs_samples
from tests.billing.usage.snapshots import by_id, read, written

NEW_YORK = ZoneInfo("America/New_York")
TB, KIB = 10**12, 1024


def a_qumulo_quota(path="/lab/", used="1000", limit="5000", **more):
    return {"id": "1", "path": path, "limit": limit, "capacity_usage": used, **more}


def a_powerscale_quota(path="/ifs/lab", used=1000, hard=5000, **more):
    thresholds = {"hard": hard, "soft": None, "advisory": None}
    usage = {"fslogical": used, "fsphysical": 2 * used, "inodes": 7}
    return {"path": path, "type": "directory", "thresholds": thresholds, "usage": usage, "persona": None} | more


def a_bucket(bucket="data", owner="alice", size=4096, **more):
    usage = {"rgw.main": {"size": size - 1, "size_actual": size, "num_objects": 3}}
    return {"bucket": bucket, "tenant": "", "owner": owner, "placement_rule": "default", "usage": usage} | more


def refused(kind, path, **settings):
    with pytest.raises(FileError) as caught:
        read(kind, path, **settings)
    return str(caught.value)


# ---- The samples


@needs_samples
def test_xdmod_says_when_and_who():
    (first, *_) = read("storage", SAMPLES / "storage_xdmod" / "recex-data-2018-12-27.json").to_pylist()
    at = datetime.datetime(2018, 12, 27, 11, 12, 22, tzinfo=datetime.UTC).timestamp()
    assert first == {
        **{"id": "/data:ibech", "start": at, "end": at, "account": "ibech", "user": "ibech", "free": ""},
        **{"resource": "recex", "system": "recex", "file_system": "", "tier": "", "quota_type": "user"},
        **{"used_bytes": 491007360000, "quota_bytes": 25000001536000, "files": 796285},
    }


@needs_samples
def test_gpfs_reports_kib_of_filesets_by_file_system():
    tally = Tally()
    table = read("storage", SAMPLES / "gpfs" / "mmrepquota_Y.txt", tally, taken_at="2026-01-31", system="ess")
    assert by_id(table, "used_bytes", "quota_bytes", "files", "account", "resource") == {
        "project/root": (337419744 * KIB, 0, 1395, "root", "ess/project"),
        "project/PZS1003": (341467872 * KIB, 2147483648 * KIB, 6286, "PZS1003", "ess/project"),
        "scratch/root": (928235294208 * KIB, 0, 141909093, "root", "ess/scratch"),
    }
    assert (tally.lines, tally.records, tally.left_out) == (7, 3, {})


@needs_samples
def test_powerscale_counts_what_its_limits_apply_to():
    path = SAMPLES / "isilon" / "platform_quota_quotas.json"
    table = read("storage", path, name="isilon_2026-01-31.json")
    assert by_id(table, "used_bytes", "quota_bytes", "files") == {
        "/test/path/to/somewhere": (912681145347068, 2046612346312723, 60632562)
    }
    physical = read("storage", path, name="isilon_2026-01-31.json", used="fsphysical", limits="advisory")
    assert by_id(physical, "used_bytes", "quota_bytes") == {
        "/test/path/to/somewhere": (1112498543218672, 1688842346263936)
    }


@needs_samples
def test_qumulo_counts_nested_quotas_once():
    path = SAMPLES / "qumulo" / "quotas_status_washu_excerpt.json"
    tally = Tally()
    own = by_id(read("storage", path, tally, taken_at="2026-01-31"), "used_bytes")
    assert own["/storage2/fs1/btc"] == 19199531061248 - 16665915707392 - 2298337992704
    outer = by_id(read("storage", path, taken_at="2026-01-31", nested="outer"), "used_bytes")
    assert outer["/storage2/fs1/btc"] == 19199531061248
    assert len(outer) == len(own) - 2
    assert sum(own.values()) == sum(outer.values())
    assert any("are larger than its own together" in note for note in tally.notes)


# ---- Each format by itself


def test_amounts_of_qumulo_may_be_texts_or_numbers(tmp_path):
    quotas = [a_qumulo_quota("/a", "17", "0"), a_qumulo_quota("/b", 18, 99), a_qumulo_quota("/c", "19", None)]
    table = read("storage", written(tmp_path, {"quotas": quotas}))
    assert by_id(table, "used_bytes", "quota_bytes") == {"/a": (17, 0), "/b": (18, 99), "/c": (19, 0)}


def test_pages_of_an_answer_may_stand_in_one_file(tmp_path):
    pages = (
        '{"quotas": [{"path": "/a", "limit": "0", "capacity_usage": "1"}], "paging": {"next": "/v1/?after=1"}}\n'
        '{"quotas": [{"path": "/b", "limit": "0", "capacity_usage": "2"}], "paging": {"next": ""}}\n'
    )
    assert by_id(read("storage", written(tmp_path, pages)), "used_bytes") == {"/a": 1, "/b": 2}


@pytest.mark.parametrize(
    "page",
    [
        {"quotas": [a_qumulo_quota()], "paging": {"next": "/v1/files/quotas/status/?after=1"}},
        {"quotas": [a_powerscale_quota()], "resume": "1-1-MAAA"},
        {"resume": "1-1-MAAA", "quotas": [a_powerscale_quota()]},
    ],
)
def test_a_page_that_is_not_the_last_is_refused(tmp_path, page):
    assert "a page of several" in refused("storage", written(tmp_path, page))


def test_powerscale_counts_a_path_with_two_quotas_once(tmp_path):
    quotas = [
        a_powerscale_quota("/ifs/a", 10, include_snapshots=True),
        a_powerscale_quota("/ifs/a", 8, include_snapshots=False),
        a_powerscale_quota("/ifs/b", 5, include_snapshots=True, ready=False),
        a_powerscale_quota("/ifs/a", 3, type="user", persona={"id": "UID:7", "name": "ada", "type": "user"}),
    ]
    tally = Tally()
    for order in (quotas, quotas[::-1]):
        tally = Tally()
        table = read("storage", written(tmp_path, {"quotas": order, "resume": None}), tally)
        assert by_id(table, "used_bytes") == {"/ifs/a": 8, "/ifs/b": 5}
    assert tally.left_out == {"quota of the type user": 1, "the same path, with snapshots": 1}
    assert tally.notes == ["The system was still counting for 1 of the quotas. Their use may be too low."]


def test_powerscale_quotas_of_users_are_counted_where_they_are_asked_for(tmp_path):
    persona = {"id": "UID:7", "name": "ada", "type": "user"}
    quotas = [a_powerscale_quota("/ifs/home", 3, type="user", persona=persona), a_powerscale_quota("/ifs/home", 9)]
    table = read("storage", written(tmp_path, {"quotas": quotas}), quota_types=["user"])
    assert by_id(table, "used_bytes", "user") == {"/ifs/home:ada": (3, "ada")}


def test_gpfs_fields_are_found_by_their_header_and_decoded(tmp_path):
    header = (
        "mmrepquota::HEADER:version:reserved:reserved:quotaType:name:filesystemName:"
        "blockUsage:blockQuota:blockLimit:filesUsage:filesetname:"
    )
    report = (
        f"*** Report for USR GRP FILESET quotas on fs1\n{header}\n"
        "mmrepquota::0:1:::FILESET:lab%3Aa:fs1:2:0:8:5::\n"
        "mmrepquota::0:1:::USR:ada:fs1:1:4:0:3:root:\n"
    )
    path = written(tmp_path, report, "mmrepquota_2026-01-31.txt")
    tally = Tally()
    assert by_id(read("storage", path, tally), "used_bytes", "quota_bytes") == {"fs1/lab:a": (2 * KIB, 8 * KIB)}
    assert tally.left_out == {"quota of the type USR": 1}
    users = read("storage", path, quota_types="USR", account="fileset", user="owner", limits=["hard", "soft"])
    assert by_id(users, "account", "user", "quota_bytes") == {"fs1/root:ada": ("root", "ada", 4 * KIB)}
    cut = written(tmp_path, report[:-20], "mmrepquota_2026-01-31.txt")
    assert refused("storage", cut).startswith("line 4: The line has")


def test_ceph_adds_up_what_a_bucket_holds(tmp_path):
    parts = {"size_actual": 100, "num_objects": 9}
    usage = {
        "rgw.main": {"size_actual": 4096, "num_objects": 2},
        "rgw.multimeta": parts,
        "rgw.none": {"size_actual": 7},
    }
    quota = {"enabled": True, "max_size": 10**9, "max_size_kb": 976563}
    buckets = [
        a_bucket("a", usage=usage, bucket_quota=quota),
        a_bucket("b", tenant="lab", bucket_quota={"enabled": False, "max_size": -1}),
        a_bucket("old", usage={"rgw.main": {"size_kb": 3, "size_kb_actual": 4, "num_objects": 1}}),
        a_bucket("empty", usage={}),
    ]
    table = read("storage", written(tmp_path, buckets))
    assert by_id(table, "used_bytes", "quota_bytes", "files", "account") == {
        "a": (4196, 10**9, 2, "alice"),
        "lab/b": (4096, 0, 3, "alice"),
        "old": (4096, 0, 1, "alice"),
        "empty": (0, 0, 0, "alice"),
    }
    assert by_id(read("storage", written(tmp_path, buckets[1:3]), used="size"), "used_bytes") == {
        "lab/b": 4095,
        "old": 3072,
    }


def test_zfs_list_counts_children_once(tmp_path):
    listed = "tank\t600\t99\t24\t/tank\ntank/lab\t500\t99\t100\t/tank/lab\ntank/lab/x\t300\t99\t300\tlegacy\n"
    table = read("storage", written(tmp_path, listed, "zfs-2026-01-31.tsv"), system="nas1")
    assert by_id(table, "used_bytes", "account", "resource") == {
        "tank": (100, "tank", "nas1/tank"),
        "tank/lab": (200, "lab", "nas1/tank"),
        "tank/lab/x": (300, "x", "nas1/tank"),
    }
    more = written(tmp_path, "tank/lab\t500\t700\ntank/lab@mon\t1\t0\n", "zfs-2026-01-31.tsv")
    tally = Tally()
    named = {"format": "zfs", "zfs_columns": ["name", "used", "refquota"]}
    assert by_id(read("storage", more, tally, **named), "used_bytes", "quota_bytes") == {"tank/lab": (500, 700)}
    assert tally.left_out == {"snapshot or bookmark": 1}
    assert "line 1: The line has 3 fields, and zfs_columns names 5." in refused("storage", more, format="zfs")


def test_zfs_get_has_its_own_properties_for_who_pays(tmp_path):
    got = (
        "tank/lab\tused\t500\t-\ntank/lab\tquota\t900\tlocal\ntank/lab\torg:pi\tada@example.edu\tinherited from tank\n"
        "tank/b\tused\t7\t-\ntank/b\tquota\t0\tdefault\ntank/b\torg:pi\t-\t-\n"
    )
    table = read("storage", written(tmp_path, got, "zfs-2026-01-31.tsv"), account="org:pi")
    assert by_id(table, "used_bytes", "quota_bytes", "account") == {
        "tank/lab": (500, 900, "ada@example.edu"),
        "tank/b": (7, 0, ""),
    }


def test_a_table_of_any_system_is_read_by_its_columns(tmp_path):
    text = 'Volume;Zone;Size TB;Owner;When\n"/a; b";fast;1.5;ada;2026-01-30\n\n/c;slow;0.25;bob;2026-01-30T12:00:00Z\n'
    columns = {"path": "volume", "used": "size tb", "account": "Owner", "tier": "Zone", "time": "When"}
    path = written(tmp_path, text, "starfish.csv")
    table = read("storage", path, columns=columns, unit="TB", time_zone="America/New_York")
    midnight = datetime.datetime(2026, 1, 30, tzinfo=NEW_YORK).timestamp()
    noon = datetime.datetime(2026, 1, 30, 12, tzinfo=datetime.UTC).timestamp()
    assert by_id(table, "used_bytes", "account", "tier", "start") == {
        "/a; b": (3 * TB // 2, "ada", "fast", midnight),
        "/c": (TB // 4, "bob", "slow", noon),
    }
    assert "line 1: The table has no column Lab for account. Its columns: Volume, Zone" in refused(
        "storage", path, columns=columns | {"account": "Lab"}
    )


def test_du_is_read_by_the_numbers_of_its_columns(tmp_path):
    path = written(tmp_path, '700\t/data\n500\t/data/"lab" a\n', "du_20260131.txt")
    given = {"columns": {"used": "1", "path": "2"}, "has_header": False, "unit": "KiB", "strip": "/data"}
    assert by_id(read("storage", path, **given), "used_bytes", "account") == {
        "/data": (700 * KIB, "data"),
        '/"lab" a': (500 * KIB, '"lab" a'),
    }
    assert by_id(read("storage", path, nested="own", **given), "used_bytes")["/data"] == 200 * KIB


# ---- When, who, and what is kept of a path


@pytest.mark.parametrize(
    ("name", "zone", "moment"),
    [
        ("quotas-2026-01-31.json", "America/New_York", "2026-01-31T05:00:00Z"),
        ("quotas_20260131.json", "UTC", "2026-01-31T00:00:00Z"),
        ("isi.2026-01-31T02-15.json", "America/New_York", "2026-01-31T07:15:00Z"),
        ("isi.20260131T021500Z.json", "America/New_York", "2026-01-31T02:15:00Z"),
        ("2026-07-01/2026-07-01.json", "America/New_York", "2026-07-01T04:00:00Z"),
    ],
)
def test_a_file_that_says_no_time_takes_it_from_its_name(tmp_path, name, zone, moment):
    path = written(tmp_path, {"quotas": [a_qumulo_quota()]}, "upload")
    (row,) = read("storage", path, name=name, time_zone=zone).to_pylist()
    assert row["start"] == row["end"] == datetime.datetime.fromisoformat(moment).timestamp()


def test_a_file_without_any_time_is_refused(tmp_path):
    path = written(tmp_path, {"quotas": [a_qumulo_quota()]}, "quotas.json")
    assert "Put the day into its name" in refused("storage", path)
    assert "does not say when" in refused("storage", path, time_zone="UTC")
    assert "two dates" in refused("storage", written(tmp_path, {"quotas": [a_qumulo_quota()]}, "2026-01-30_2026-01-31"))
    (row,) = read("storage", path, taken_at="2026-01-31").to_pylist()
    assert row["start"] == datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC).timestamp()


def test_the_account_is_a_part_of_the_path_where_settings_say_so(tmp_path):
    path = written(tmp_path, {"quotas": [a_qumulo_quota("/fs1/physics/ada/")]})
    (row,) = read("storage", path, account="part:2", user="name", strip="/fs1").to_pylist()
    assert (row["id"], row["account"], row["user"]) == ("/physics/ada", "physics", "ada")
    assert "The setting account is owner, which the file does not have" in refused("storage", path, account="owner")


def test_a_path_is_cut_where_names_begin_and_stays_apart_from_others(tmp_path):
    quotas = [a_qumulo_quota(f"/home/{name}") for name in ("ada", "bob")] + [a_qumulo_quota("/home")]
    ids = by_id(read("storage", written(tmp_path, {"quotas": quotas}), keep_parts=1, account="none"), "used_bytes")
    assert len(ids) == 3
    assert not [each for each in ids if "ada" in each or "bob" in each]
    assert all(each.startswith("/home") for each in ids)


# ---- What is wrong


@pytest.mark.parametrize(
    ("quota", "message"),
    [
        (a_qumulo_quota(used="-1"), "column capacity_usage: Object 1: “-1” is negative."),
        (a_qumulo_quota(used="9.1E+14"), "column capacity_usage: Object 1: “9.1E+14” lacks its last digits."),
        (a_qumulo_quota(used="1.5"), "column capacity_usage: Object 1: “1.5” is not a whole number."),
        (a_qumulo_quota(used=None), "column capacity_usage: Object 1:"),
        (a_qumulo_quota(used=True), "column capacity_usage: Object 1:"),
        (a_qumulo_quota(used={"a": 1}), "column capacity_usage: Object 1:"),
        (a_qumulo_quota(used="9" * 30), "is out of range."),
        (a_qumulo_quota(used=2**58 + 1), "is out of range."),
        (a_qumulo_quota(limit="1,000"), "column limit: Object 1:"),
        (a_qumulo_quota(path="a\0b"), "column path: Object 1: The text has a NUL byte in it."),
        (a_qumulo_quota(path="a\ud800"), "column path: Object 1:"),
        (a_qumulo_quota(path="/" + "a" * 2000), "2,001 characters; 1,000 is the limit."),
        (a_qumulo_quota(path=""), "column path: The name of the object is missing."),
    ],
)
def test_a_value_that_is_wrong_is_named_by_its_column(tmp_path, quota, message):
    assert message in refused("storage", written(tmp_path, {"quotas": [quota]}))


def test_a_file_that_is_cut_off_is_refused_with_its_line(tmp_path):
    whole = '{"quotas": [\n' + ",\n".join(f'{{"path": "/{n}", "limit": "0", "capacity_usage": "1"}}' for n in range(9))
    assert refused("storage", written(tmp_path, whole)).startswith("line 10: ")
    assert refused("storage", written(tmp_path, whole[:-10])).startswith("line 10: ")
    assert refused("storage", written(tmp_path, whole.replace('"/4"', '"/4'))).startswith("line 6: ")


def test_the_same_path_twice_is_refused(tmp_path):
    quotas = [a_qumulo_quota("/a"), a_qumulo_quota("/a/")]
    assert "“/a/” is on line 1 already." in refused("storage", written(tmp_path, {"quotas": quotas}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "The file is empty."),
        ({"quotas": []}, "The file has no quotas and no buckets."),
        ([{"a": 1}], "The first has a."),
        ("path,used\n/a,1\n", "say in the settings which columns it has"),
        ({"entries": [{"user": "a", "buckets": []}]}, "a feed of the kind ceph_traffic"),
        (b"\xff\xfe[\x00", "UTF-16"),
        (b"PK\x03\x04", "zip archive"),
    ],
)
def test_a_file_of_another_kind_says_what_it_is(tmp_path, content, message):
    assert message in refused("storage", written(tmp_path, content))


@pytest.mark.parametrize("content", [b"path,used\n/a,1\n/\xff,2\n", b"path,used\n/a,1\n/\0,2\n"])
def test_a_line_that_is_no_text_is_named(tmp_path, content):
    path = written(tmp_path, content, "a-2026-01-31.csv")
    assert refused("storage", path, columns={"path": "path", "used": "used"}).startswith("line 3: ")


def test_what_is_not_counted_at_all_is_said(tmp_path):
    path = written(tmp_path, {"quotas": [a_powerscale_quota(type="user")]})
    assert "Left out: 1 × quota of the type user." in refused("storage", path)


def test_a_byte_order_mark_and_gzip_change_nothing(tmp_path):
    text = '{"quotas": [{"path": "/a", "limit": "0", "capacity_usage": "1"}]}'.encode("utf-8-sig")
    plain, packed = written(tmp_path, text), written(tmp_path, gzip.compress(text), "packed-2026-01-31.json.gz")
    assert read("storage", plain).equals(read("storage", packed))
    table = written(tmp_path, "path,used\r\n/a,1\r\n".encode("utf-8-sig"), "t-2026-01-31.csv")
    assert by_id(read("storage", table, columns={"path": "path", "used": "used"}), "used_bytes") == {"/a": 1}


@pytest.mark.parametrize(
    ("wrong", "column"),
    [
        ({"system": 7}, "system"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"taken_at": "yesterday"}, "taken_at"),
        ({"nested": "twice"}, "nested"),
        ({"unit": "GBit"}, "unit"),
        ({"columns": {"path": "p"}}, "columns"),
        ({"columns": {"path": "p", "used": "u", "size": "s"}}, "columns"),
        ({"columns": {"path": "p", "used": "u"}, "has_header": False}, "columns"),
        ({"account": "part:0"}, "account"),
        ({"format": "netapp"}, "format"),
        ({"keep_parts": -1}, "keep_parts"),
        ({"limits": [1]}, "limits"),
        ({"colums": {}}, "colums"),
    ],
)
def test_settings_that_cannot_be_read_by_are_named(wrong, column):
    with pytest.raises(BadSettings) as caught:
        KINDS["storage"].settings(wrong)
    assert {problem.column for problem in caught.value.problems} == {column}


# ---- Nesting


def test_three_deep_each_byte_is_counted_once(tmp_path):
    quotas = [
        a_qumulo_quota("/a/b/c", "100", "400"),
        a_qumulo_quota("/a", "1000", "9000"),
        a_qumulo_quota("/a/b", "300", "2000"),
        a_qumulo_quota("/a/bc", "50", "0"),
        a_qumulo_quota("/", "5000", "0"),
    ]
    table = read("storage", written(tmp_path, {"quotas": quotas}))
    assert by_id(table, "used_bytes", "quota_bytes") == {
        "/a/b/c": (100, 400),
        "/a/b": (200, 1600),
        "/a": (650, 7000),
        "/a/bc": (50, 0),
        "/": (4000, 0),
    }


def test_an_outer_quota_that_is_smaller_than_its_inner_ones_is_empty(tmp_path):
    tally = Tally()
    quotas = [a_qumulo_quota("/a", "10"), a_qumulo_quota("/a/b", "12")]
    table = read("storage", written(tmp_path, {"quotas": quotas}), tally)
    assert by_id(table, "used_bytes") == {"/a": 0, "/a/b": 12}
    assert "“/a” (line 1) uses less than the quotas within it" in tally.notes[0]


PATHS = st.lists(st.sampled_from("abc"), max_size=4).map(lambda parts: "/" + "/".join(parts))


@given(st.dictionaries(PATHS, st.integers(0, 1000), min_size=1), st.randoms())
def test_whatever_lies_in_what_the_sum_is_that_of_the_outermost(own, shuffled: random.Random):
    """Each directory has bytes of its own; a quota on it counts those of all quotas within it too."""

    def is_in(inner, outer):
        return outer == "/" or inner == outer or inner.startswith(f"{outer}/")

    order = list(own)
    shuffled.shuffle(order)
    totals = {path: sum(size for other, size in own.items() if is_in(other, path)) for path in own}
    readings = [Reading(path, line, totals[path]) for line, path in enumerate(order, 1)]
    found = {each.path: each.used for each in counted_once(readings, Nested.OWN, Tally())}
    assert found == own
    readings = [Reading(path, line, totals[path]) for line, path in enumerate(order, 1)]
    outer = list(counted_once(readings, Nested.OUTER, Tally()))
    assert sum(each.used for each in outer) == sum(own.values())

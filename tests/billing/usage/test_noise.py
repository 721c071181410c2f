"""Noise in files of readings: what comes of it is records, or the error that a file has, and never anything else."""

import contextlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing.readers import FileError
from tests.billing.usage.reading import written
from tests.billing.usage.snapshots import read
from tests.billing.usage.test_ceph_traffic import an_hour, entries
from tests.billing.usage.test_kubernetes import an_allocation, answer, as_parquet, idle
from tests.billing.usage.test_licenses import a_report
from tests.billing.usage.test_storage import a_bucket, a_powerscale_quota, a_qumulo_quota

GPFS = (
    "mmrepquota::HEADER:version:reserved:reserved:filesystemName:quotaType:id:name:blockUsage:blockQuota:blockLimit:"
    "filesUsage:filesetname:\nmmrepquota::0:1:::fs:FILESET:0:root:5:0:0:7::\n"
)
FILES = [
    ("storage", json.dumps({"quotas": [a_powerscale_quota(), a_powerscale_quota("/b")], "resume": None}), {}),
    ("storage", json.dumps({"quotas": [a_qumulo_quota(), a_qumulo_quota("/b")]}), {}),
    ("storage", json.dumps([a_bucket(), a_bucket("b")]), {}),
    ("storage", GPFS, {}),
    ("storage", "tank\t5\t6\t7\t/tank\ntank/a\t1\t2\t3\t/tank/a\n", {}),
    ("storage", "tank/a\tused\t5\t-\ntank/a\tquota\t0\tdefault\n", {}),
    ("storage", 'path,used\n"/a,b",5\n/c,6\n', {"columns": {"path": "path", "used": "used"}}),
    ("ceph_traffic", json.dumps(entries(an_hour(), an_hour("b"))), {}),
    ("licenses", a_report(users=["ada", ("bob", 3)]), {}),
    ("kubernetes", json.dumps(answer([an_allocation(), idle()])), {"idle": "spread"}),
    ("kubernetes", "Date,Namespace,TotalCost\n2026-01-05,a,1\n", {"hours": "none"}),
]
# What programs and people write where another value belongs.
SNIPPETS = st.sampled_from(
    [
        b"null",
        b"NaN",
        b"-1",
        b"1e400",
        b"[]",
        b"{}",
        b'"',
        b"\n",
        b"\t",
        b":",
        b"\\ud800",
        b"\0",
        b"9" * 40,
        b"2026-13-45",
    ]
)


def survives(kind, path, settings):
    """Read a file, under a name that says its day, or have it refused."""
    with contextlib.suppress(FileError):
        read(kind, path, name="noise-2026-01-31", **settings).validate(full=True)


@pytest.mark.parametrize("number", range(len(FILES)))
@given(
    st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 12), st.one_of(st.binary(max_size=6), SNIPPETS)),
        min_size=1,
        max_size=3,
    )
)
def test_a_file_that_noise_got_into_is_read_or_refused(tmp_path_factory, number, changes):
    kind, text, settings = FILES[number]
    content = text.encode()
    for place, removed, inserted in changes:
        at = int(place * len(content))
        content = content[:at] + inserted + content[at + removed :]
    survives(kind, written(tmp_path_factory.getbasetemp(), content, f"noise-{number}"), settings)


@pytest.mark.parametrize("kind", ["storage", "ceph_traffic", "licenses", "kubernetes"])
@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
@example(b"[" * 100_000)
@example(b'{"quotas": ' * 20_000)
@example(b'{"data": [{"a": 1' + b"0" * 5_000 + b"}]}")
@example(b"\x1f\x8b\x08\x00")
def test_noise_alone_is_refused_by_name(tmp_path_factory, kind, content):
    survives(kind, written(tmp_path_factory.getbasetemp(), content, f"noise-{kind}"), {})


@given(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=8))
@example(0.009765625, b"\x80")
def test_a_damaged_parquet_file_is_read_or_refused(tmp_path_factory, place, inserted):
    folder = tmp_path_factory.getbasetemp()
    whole = as_parquet(folder / "whole.parquet", [an_allocation(), idle()]).read_bytes()
    at = int(place * len(whole))
    survives("kubernetes", written(folder, whole[:at] + inserted + whole[at + len(inserted) :], "damaged"), {})


@pytest.mark.parametrize(
    "kind", [pa.int64(), pa.string(), pa.list_(pa.string()), pa.timestamp("us", "UTC"), pa.bool_()]
)
@pytest.mark.parametrize("column", ["name", "window.start", "totalCost", "cpuCoreHours", "properties.namespace"])
def test_a_parquet_column_of_another_type_is_read_or_refused(tmp_path, column, kind):
    path = as_parquet(tmp_path / "a.parquet", [an_allocation()])
    table = pq.read_table(path)
    values = {pa.list_(pa.string()): [["a"]], pa.bool_(): [True], pa.string(): ["x"]}.get(kind, [1])
    pq.write_table(table.set_column(table.schema.get_field_index(column), column, pa.array(values, kind)), path)
    survives("kubernetes", path, {})

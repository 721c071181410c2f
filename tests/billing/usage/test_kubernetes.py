"""Kubernetes: OpenCost's three ways to write allocations, and what becomes of use that belongs to nobody."""

import datetime
import json
import random
from decimal import Decimal
from fractions import Fraction

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.readers import FileError
from billing.usage.readers import KINDS, BadSettings, Tally
from billing.usage.readers.kubernetes import CPU, GPU, PV, RAM
from billing.usage.readers.kubernetes.sharing import Gathered, Key, spread
from tests.billing.usage.reading import SAMPLES, needs_samples
from tests.billing.usage.snapshots import by_id, read, written

PICO = 10**12
GIB = 2**30
DAY = int(datetime.datetime(2026, 1, 5, tzinfo=datetime.UTC).timestamp())


def an_allocation(namespace="physics", pod="pod-1", *, cost=1.5, team="", cluster="rke", start=5, hours=24, **more):
    begins = datetime.datetime(2026, 1, start, tzinfo=datetime.UTC)
    ends = begins + datetime.timedelta(hours=hours)
    labels = {"team": team, "app": "x"} if team else {"app": "x"}
    return {
        "name": f"{cluster}/{namespace}/{pod}",
        "properties": {
            **{"cluster": cluster, "namespace": namespace, "controller": "web", "pod": pod, "container": "main"},
            **{"labels": labels, "namespaceLabels": {"cost_center": "cc-7"}},
        },
        "window": {"start": f"{begins:%Y-%m-%dT%H:%M:%SZ}", "end": f"{ends:%Y-%m-%dT%H:%M:%SZ}"},
        "start": f"{begins:%Y-%m-%dT%H:%M:%SZ}",
        "end": f"{ends:%Y-%m-%dT%H:%M:%SZ}",
        "minutes": 1440.0,
        **{"cpuCoreHours": 2.5, "ramByteHours": 3.0 * GIB, "gpuHours": 1, "pvByteHours": 24.0 * GIB},
        "totalCost": cost,
    } | more


def idle(cost=4.0, cluster="rke", **more):
    properties = {"cluster": cluster}
    return an_allocation(cost=cost, cluster=cluster, **more) | {
        "name": f"{cluster}/__idle__",
        "properties": properties,
    }


def answer(*sets):
    return {"code": 200, "data": [{each["name"]: each for each in one} for one in sets]}


def as_parquet(path, allocations, joint=".", rename=None):
    """Write what OpenCost's Parquet exporter does: a column for each part of an allocation."""

    def flat(value, before=()):
        if not isinstance(value, dict):
            return {joint.join(before): value}
        return {name: each for key, part in value.items() for name, each in flat(part, (*before, key)).items()}

    renamed = {"start": "running_start_time", "end": "running_end_time", "minutes": "running_minutes", **(rename or {})}
    rows = [{renamed.get(name, name): each for name, each in flat(one).items()} for one in allocations]
    names = dict.fromkeys(name for row in rows for name in row)
    pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in names}), path)
    return path


def refused(path, **settings):
    with pytest.raises(FileError) as caught:
        read("kubernetes", path, **settings)
    return str(caught.value)


def hours(row):
    return {
        "cpu": Fraction(row["cpu_millicore_seconds"], CPU.units["core-hour"]),
        "ram": Fraction(row["ram_kib_seconds"], RAM.units["GiB-hour"]),
        "gpu": Fraction(row["gpu_milliseconds"], GPU.units["gpu-hour"]),
        "pv": Fraction(row["pv_kib_seconds"], PV.units["GiB-day"]),
    }


# ---- The three formats


def test_json_is_added_up_by_namespace_and_day(tmp_path):
    path = written(tmp_path, answer([an_allocation(), an_allocation(pod="pod-2", cost=0.25)], [an_allocation(start=6)]))
    tally = Tally()
    rows = read("kubernetes", path, tally).to_pylist()
    assert [row["cost_pico"] for row in rows] == [7 * PICO // 4, 3 * PICO // 2]
    assert hours(rows[0]) == {"cpu": 5, "ram": 6, "gpu": 2, "pv": 2}
    first = {name: rows[0][name] for name in ("id", "start", "end", "account", "user", "resource", "free", "use")}
    assert first == {
        **{"id": "rke/physics", "start": DAY, "end": DAY + 86400, "account": "physics", "user": "", "free": ""},
        **{"resource": "rke/physics", "use": "workload"},
    }
    assert tally.lines == 3


@pytest.mark.parametrize("joint", [".", "_"])
def test_parquet_says_the_same_as_json(tmp_path, joint):
    allocations = [
        an_allocation(team="atlas"),
        an_allocation("chem", team="atlas", cost=0.1),
        idle(),
        an_allocation("x"),
    ]
    settings = {"account": "label:team"}
    of_json = read("kubernetes", written(tmp_path, answer(allocations)), **settings)
    rename = {f"properties{joint}labels{joint}team": "label.team"} if joint == "." else None
    of_parquet = read("kubernetes", as_parquet(tmp_path / "a.parquet", allocations, joint, rename), **settings)
    assert of_parquet.to_pylist() == of_json.to_pylist()
    assert of_json.num_rows == 4


def test_values_that_a_data_frame_lacks_are_none(tmp_path):
    allocations = [an_allocation(gpuHours=float("nan")), an_allocation(pod="b", gpuHours=None)]
    (row,) = read("kubernetes", as_parquet(tmp_path / "a.parquet", allocations)).to_pylist()
    assert hours(row)["gpu"] == 0


@needs_samples
def test_the_columns_of_the_real_parquet_exporter_are_known(tmp_path):
    types = json.loads((SAMPLES / "opencost" / "parquet_exporter_data_types.json").read_text())
    renames = json.loads((SAMPLES / "opencost" / "parquet_exporter_rename_cols.json").read_text())
    allocation = {**dict.fromkeys(types, 1.0), **an_allocation(team="atlas")}
    path = as_parquet(tmp_path / "a.parquet", [allocation], rename=renames)
    assert {"label.team", "running_start_time", "cpuCoreHours"} <= set(pq.read_schema(path).names)
    (row,) = read("kubernetes", path, account="label:team").to_pylist()
    assert (row["account"], row["cost_pico"]) == ("atlas", 3 * PICO // 2)


@needs_samples
def test_the_daily_csv_has_costs_and_no_hours():
    path = SAMPLES / "opencost" / "opencost_csv_export.csv"
    assert "line 2: OpenCost's daily CSV does not say how long a pod ran." in refused(path)
    (row,) = read("kubernetes", path, hours="none").to_pylist()
    assert row["cost_pico"] == 4600000000000
    assert (row["id"], row["account"], row["end"] - row["start"]) == (
        *("kubernetes/test-namespace", "test-namespace"),
        86400,
    )
    assert "cpu_millicore_seconds" not in row
    (row,) = read("kubernetes", path, hours="whole_day").to_pylist()
    # The larger of what was requested and what was used: 0.2 cores, and half a byte.
    assert hours(row)["cpu"] == Fraction("4.8")
    assert (hours(row)["gpu"], row["ram_kib_seconds"]) == (48, 42)


def test_labels_of_the_csv_say_who_pays(tmp_path):
    text = (
        "Date,Namespace,Pod,Labels,TotalCost\n"
        '2026-01-05,a,p,"{""team"":""atlas"",""x"":""y""}",1\n2026-01-05,a,q,,2\n2026-01-06,a,q,{},3\n'
    )
    path = written(tmp_path, text, "opencost.csv")
    table = read("kubernetes", path, hours="none", account="label:team")
    assert [(row["account"], row["cost_pico"] // PICO, row["use"]) for row in table.to_pylist()] == [
        ("", 2, "unallocated"),
        ("atlas", 1, "workload"),
        ("", 3, "unallocated"),
    ]
    damaged = written(tmp_path, text.replace(",{},", ",[],"), "opencost.csv")
    assert refused(damaged, hours="none", account="label:team").startswith("line 4, column Labels: ")


# ---- Detail and owners


def test_detail_and_owners_keep_records_apart(tmp_path):
    allocations = [
        an_allocation(pod="a", team="atlas"),
        an_allocation(pod="b", team="cms"),
        an_allocation("chem", pod="c", team="cms"),
    ]
    path = written(tmp_path, answer(allocations))
    assert list(by_id(read("kubernetes", path, account="label:team"), "cost_pico")) == [
        *("rke/chem:cms", "rke/physics:atlas"),
        "rke/physics:cms",
    ]
    assert list(by_id(read("kubernetes", path, detail="pod"), "cost_pico")) == [
        *("rke/chem/web/c", "rke/physics/web/a"),
        "rke/physics/web/b",
    ]
    by_namespace = by_id(read("kubernetes", path, account="namespace_label:cost_center", user="pod"), "account", "user")
    assert by_namespace["rke/physics:cc-7:a"] == ("cc-7", "a")
    assert {row["account"] for row in read("kubernetes", path, account="none").to_pylist()} == {""}
    assert {row["use"] for row in read("kubernetes", path, account="none").to_pylist()} == {"workload"}


# ---- What belongs to nobody


def a_cluster():
    nobodys = an_allocation("__unallocated__", cost=2.0) | {"name": "rke/__unallocated__/__unallocated__"}
    return [an_allocation(cost=1.0), an_allocation("chem", cost=3.0), idle(4.0), nobodys, idle(8.0, cluster="other")]


def costs(table):
    return {
        (row["cluster"], row["account"], row["free"]): Decimal(row["cost_pico"]) / PICO for row in table.to_pylist()
    }


def test_idle_capacity_is_free_and_what_nobody_is_named_for_waits(tmp_path):
    table = read("kubernetes", written(tmp_path, answer(a_cluster())))
    assert costs(table) == {
        ("rke", "physics", ""): 1,
        ("rke", "chem", ""): 3,
        ("rke", "", "idle"): 4,
        ("rke", "", ""): 2,
        ("other", "", "idle"): 8,
    }
    assert set(by_id(table, "use")) >= {"rke/__idle__", "rke/__unallocated__"}


def test_idle_capacity_is_charged_to_a_team(tmp_path):
    settings = {"idle": "charge", "idle_account": "center", "unallocated": "charge", "unallocated_account": "ops"}
    table = read("kubernetes", written(tmp_path, answer(a_cluster())), **settings)
    assert costs(table) == {
        ("rke", "physics", ""): 1,
        ("rke", "chem", ""): 3,
        ("rke", "center", ""): 4,
        ("rke", "ops", ""): 2,
        ("other", "center", ""): 8,
    }


def test_idle_capacity_is_spread_over_its_cluster_by_what_each_has(tmp_path):
    table = read("kubernetes", written(tmp_path, answer(a_cluster())), idle="spread", unallocated="free")
    assert costs(table) == {
        ("rke", "physics", ""): 2,
        ("rke", "chem", ""): 6,
        ("rke", "", "unallocated"): 2,
        # Nobody had anything there.
        ("other", "", "idle"): 8,
    }
    assert sum(hours(row)["cpu"] for row in table.to_pylist()) == 5 * Fraction("2.5")


AMOUNTS = st.lists(st.integers(0, 10**15), min_size=2, max_size=2)


@given(st.dictionaries(st.tuples(st.integers(0, 2), st.sampled_from("abcdef")), AMOUNTS), st.lists(AMOUNTS, max_size=3))
def test_spreading_keeps_every_unit(workloads, idles):
    sums = {
        Key(day, "c", name, "", "", name, "", "workload"): Gathered(0, 1, each)
        for (day, name), each in workloads.items()
    }
    sums |= {Key(day, "c", "", "", "", "", "", "idle"): Gathered(0, 1, each) for day, each in enumerate(idles)}
    found = spread(sums, ["idle"])
    for measure in range(2):
        before = sum(each.amounts[measure] for each in sums.values())
        assert sum(each.amounts[measure] for each in found.values()) == before
    for key, each in found.items():
        if key.use == "workload":
            assert all(now >= then for now, then in zip(each.amounts, sums[key].amounts, strict=True))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1e6), st.integers(5, 7)), min_size=1), st.randoms())
def test_no_order_changes_a_sum(tmp_path_factory, rows, shuffled: random.Random):
    folder = tmp_path_factory.mktemp("orders")
    allocations = [an_allocation(name, f"p{n}", cost=cost, start=day) for n, (name, cost, day) in enumerate(rows)]
    first = read("kubernetes", written(folder, answer(allocations)))
    shuffled.shuffle(allocations)
    cut = shuffled.randint(0, len(allocations))
    again = read("kubernetes", written(folder, answer(allocations[:cut], allocations[cut:])))
    assert again.to_pylist() == first.to_pylist()
    exact = sum(Decimal(repr(cost)) for _, cost, _ in rows)
    assert abs(sum(row["cost_pico"] for row in first.to_pylist()) - exact * PICO) <= len(rows)


# ---- What is wrong


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cpuCoreHours": -1}, "column cpu: Object 1: rke/physics/pod-1: “-1” is negative."),
        ({"totalCost": None}, "column cost: Object 1: rke/physics/pod-1: "),
        ({"totalCost": "much"}, "column cost: "),
        ({"totalCost": 1e30}, "out of range"),
        ({"totalCost": -1}, "The costs of “rke/physics” add up to less than zero"),
        ({"window": {"start": "noon"}}, "column start: "),
        ({"window": {}, "end": "2025-01-01T00:00:00Z"}, "The window ends before it begins."),
        ({"properties": {"namespace": "a\0"}}, "column namespace: "),
        ({"properties": {"namespace": "a" * 300}}, "column namespace: "),
    ],
)
def test_a_value_that_is_wrong_is_named(tmp_path, change, message):
    assert message in refused(written(tmp_path, answer([an_allocation(**change)])))


def test_a_correction_below_zero_is_added_up(tmp_path):
    path = written(tmp_path, answer([an_allocation(), an_allocation(pod="b", cost=-0.5)]))
    (row,) = read("kubernetes", path).to_pylist()
    assert row["cost_pico"] == PICO


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"code": 500, "message": "no data"}, "OpenCost answered with an error: no data."),
        ({"code": 200, "data": []}, "The file has no allocations."),
        ({"code": 200, "data": [{"a": 1}]}, "a: It is no allocation."),
        ("a,b\n1,2\n", "line 1: The file has no column Date."),
        ("Date,Namespace,TotalCost\n2026-01-05,a\n", "line 2: The row has 2 fields"),
        (b"", "The file is empty."),
        (b"PAR1xxxxPAR1", "damaged"),
    ],
)
def test_a_file_of_another_kind_says_what_it_is(tmp_path, content, message):
    assert message in refused(written(tmp_path, content), hours="none")


def test_a_parquet_file_without_costs_is_refused(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"name": ["a"]}), path)
    assert "The file has no column window.start." in refused(path)
    as_parquet(path, [an_allocation()])
    assert "The file has no column of label:team." in refused(path, account="label:team")


def test_a_file_that_is_cut_off_is_refused(tmp_path):
    text = json.dumps(answer([an_allocation(pod=f"p{n}") for n in range(9)]), indent=1)
    assert refused(written(tmp_path, text[:-300])).startswith("line ")


@pytest.mark.parametrize(
    ("wrong", "column"),
    [
        ({"account": "team"}, "account"),
        ({"user": "label:"}, "user"),
        ({"idle": "charge"}, "idle_account"),
        ({"idle_account": "center"}, "idle_account"),
        ({"hours": "24"}, "hours"),
        ({"shared": "free"}, "shared"),
    ],
)
def test_settings_that_cannot_be_read_by_are_named(wrong, column):
    with pytest.raises(BadSettings) as caught:
        KINDS["kubernetes"].settings(wrong)
    assert {problem.column for problem in caught.value.problems} == {column}

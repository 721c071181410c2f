"""CPUs, GPUs, nodes, billing and memory, in every spelling that sacct has had for them."""

import json
from pathlib import Path

import pytest
from django.conf import settings as django_settings

from billing.readers.values import BadValue
from billing.usage.readers.slurm.resources import UNTOLD, Memory, Resources, gpus_of, memory_of, resources_of
from tests.billing.usage.jobs import HOUR, a_job, lines_of, read, record_of

SAMPLES = Path(django_settings.BASE_DIR).parent / "shared" / "samples" / "usage"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jobs.txt"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Resources()),
        ("cpu=8,node=1", Resources(cpus=8, nodes=1)),
        ("billing=12,cpu=12,mem=31000M,node=2", Resources(12, 31_000, UNTOLD, 2, 12)),
        ("mem=62.50G", Resources(memory=64_000)),
        ("mem=1T", Resources(memory=1_048_576)),
        ("mem=2000", Resources(memory=2_000)),
        ("mem=1536K", Resources(memory=2)),
        ("mem=0", Resources(memory=0)),
        ("cpu=2K", Resources(cpus=2_048)),
        ("gres/gpu=4", Resources(gpus=4)),
        ("gres/gpu:a100=4", Resources(gpus=4, gpu_type="a100")),
        ("gres/gpu=4,gres/gpu:a100=4", Resources(gpus=4, gpu_type="a100")),
        ("gres/gpu:v100=1,gres/gpu:a100=2", Resources(gpus=3, gpu_type="a100+v100")),
        ("gres/gpu:1g.5gb=1,gres/gpu=1", Resources(gpus=1, gpu_type="1g.5gb")),
        # A type set up not to be consumed is printed with 0.
        ("gres/gpu:a100=0,gres/gpu=2", Resources(gpus=2)),
        ("gres/gpumem=80G,gres/gpuutil=99,gres/shard=3,license/matlab=1,energy=99,fs/disk=1", Resources()),
    ],
)
def test_resources_are_read_once_each(text, expected):
    assert resources_of(text) == expected


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the shared samples are not on this machine")
def test_gpus_of_others_samples_are_counted_as_they_count():
    pairs = json.loads((SAMPLES / "slurm_xdmod" / "alloc-tres-gpu-count.json").read_text())
    assert len(pairs) == 9
    for text, count in pairs:
        assert max(resources_of(text).gpus, 0) == count


@pytest.mark.parametrize("text", ["cpu", "cpu=", "cpu=x", "cpu=-1", "cpu=1.5", "cpu=1000000000", "mem=64X", "node=1E"])
def test_resources_that_cannot_be_are_refused(text):
    with pytest.raises(BadValue):
        resources_of(text)


@pytest.mark.parametrize(
    ("text", "gpus", "kind"),
    [
        ("", UNTOLD, ""),
        ("gpu:2", 2, ""),
        ("gpu:tesla:4", 4, "tesla"),
        ("gpu:a100:4(S:0-1),craynetwork:1", 4, "a100"),
        ("gpu:a100:2(IDX:0,3),gpu:v100:1(IDX:1)", 3, "a100+v100"),
        ("7696487:2", 2, ""),
        ("gres:gpu:2", 2, ""),
        ("mic:1", UNTOLD, ""),
    ],
)
def test_generic_resources_are_counted_over_all_nodes(text, gpus, kind):
    assert gpus_of(text) == Resources(gpus=gpus, gpu_type=kind)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Memory()),
        ("0n", Memory(0, "n")),
        ("4Gn", Memory(4096, "n")),
        ("3000Mc", Memory(3000, "c")),
        ("2252800K", Memory(2200)),
        ("199G", Memory(203_776)),
        ("1.50T", Memory(1_572_864)),
        ("4Gc?", Memory(4096, "c")),
        # Slurm's marks for memory per CPU, before 17.11 and since.
        ("2147486648Mn", Memory(3000, "c", is_marked=True)),
        ("2147486648Mc", Memory(3000, "c", is_marked=True)),
        ("9223372036854779808M", Memory(4000, "c", is_marked=True)),
        # Larger than anything, and rounded, so that nothing is left of what was meant.
        ("4En", Memory(UNTOLD, "n", is_marked=True)),
        ("2097154.93Gn", Memory(UNTOLD, "n", is_marked=True)),
        ("8388608.00Pc", Memory(UNTOLD, "c", is_marked=True)),
    ],
)
def test_memory_is_read_in_every_spelling(text, expected):
    assert memory_of(text) == expected


MEMORY = {"AllocTRES": "cpu=8,node=2"}


@pytest.mark.parametrize(
    ("fields", "mebibytes"),
    [
        ({"ReqMem": "4Gn"}, 2 * 4096),
        ({"ReqMem": "3000Mc"}, 8 * 3000),
        ({"ReqMem": "64G"}, 64 * 1024),
        ({"ReqMem": "0n"}, 0),
        ({"ReqMem": "4Gn", "ReqTRES": "mem=10G"}, 10 * 1024),
        ({"ReqMem": "4Gn", "AllocTRES": "cpu=8,mem=1G,node=2"}, 1024),
        ({"ReqMem": "2147486648Mn"}, 8 * 3000),
        ({"ReqMem": "2147486648Mn", "AllocTRES": "cpu=8,mem=1G,node=2"}, 1024),
        # More than 2 PiB for each node is no memory, wherever it stands.
        ({"ReqMem": "1Gn", "AllocTRES": "cpu=8,mem=4E,node=2"}, 2048),
        ({"ReqMem": "1Gn", "AllocTRES": "cpu=8,mem=4E,node=2", "ReqTRES": "mem=8192P"}, 2048),
        ({"ReqMem": "4En"}, 0),
        ({"ReqMem": "much", "AllocTRES": "cpu=8,mem=1G,node=2"}, 1024),
        # Thousands of nodes do have more.
        ({"ReqMem": "1Gn", "AllocTRES": "cpu=8,mem=4608T,node=9408"}, 4608 * 1024**2),
    ],
)
def test_memory_comes_from_what_is_memory(path, fields, mebibytes):
    assert record_of(path, **{**MEMORY, **fields})["memory_mib_seconds"] == mebibytes * 2 * HOUR


def test_what_was_done_about_memory_is_told(path):
    marked = a_job(ReqMem="2147486648Mn")
    _, tally = read(path, lines_of(marked, a_job(JobIDRaw="1002", ReqMem="2147486648Mn"), a_job(ReqMem="1Gn")))
    assert tally.notes == [
        "ReqMem that is no amount of memory, such as “2147486648Mn”: 2 jobs. The number holds Slurm's mark for memory "
        "per CPU. Memory is taken from AllocTRES, or else from the number without the mark."
    ]
    _, tally = read(path, lines_of(a_job(AllocTRES="cpu=1,node=1", ReqMem="4En")))
    assert tally.notes[1:] == [
        "No memory in the file: 1 job, with 0 GiB-hours.",
        "No billing in the file: 1 job, with 0 billing-hours.",
    ]


@pytest.mark.parametrize(
    ("fields", "cpus", "gpus", "nodes", "kind"),
    [
        ({"AllocTRES": None, "TRES": "cpu=4,gres/gpu=1,node=2"}, 4, 1, 2, ""),
        ({"AllocTRES": None, "NCPUS": "4", "NNodes": "2"}, 4, 0, 2, ""),
        ({"AllocTRES": "", "AllocCPUS": "4", "AllocNodes": "2"}, 4, 0, 2, ""),
        ({"AllocTRES": "mem=1G", "AllocCPUS": "6", "NCPUS": "4"}, 6, 0, 0, ""),
        ({"AllocTRES": "", "ReqTRES": "cpu=3,gres/gpu:v100=1,node=1"}, 3, 1, 1, ""),
        ({"AllocTRES": "cpu=4,node=1", "ReqTRES": "cpu=3,gres/gpu=1,node=1"}, 4, 0, 1, ""),
        ({"AllocTRES": "cpu=4,node=1", "AllocGRES": "gpu:tesla:2"}, 4, 2, 1, "tesla"),
        ({"AllocTRES": "cpu=4,gres/gpu=2,node=1", "AllocGRES": "gpu:tesla:2"}, 4, 2, 1, "tesla"),
    ],
)
def test_older_fields_tell_what_alloctres_does_not(path, fields, cpus, gpus, nodes, kind):
    record = record_of(path, **fields)
    found = tuple(record[name] // (2 * HOUR) for name in ("cpu_seconds", "gpu_seconds", "node_seconds"))
    assert (*found, record["gpu_type"]) == (cpus, gpus, nodes, kind)


def test_billing_of_nothing_is_no_fault(path):
    (record,), tally = read(path, lines_of(a_job(AllocTRES="billing=0,cpu=8,mem=0,node=1")))
    assert (record["billing_seconds"], tally.notes) == (0, [])

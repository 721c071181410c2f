"""Logs of real clusters that nobody here wrote, against what plain Python makes of their text; and logs cut anyhow."""

import datetime
import gzip
from collections import Counter, defaultdict
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from django.conf import settings as django_settings
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from billing.usage.cutting import standing, within
from billing.usage.readers import KINDS, Tally
from billing.usage.readers.slurm import SHAPE
from tests.billing.usage.jobs import HOUR, a_job, lines_of

SAMPLES = Path(django_settings.BASE_DIR).parent / "shared" / "samples" / "usage"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the shared samples are not on this machine")

PHILLIPS = SAMPLES / "slurm_xdmod" / "phillips.log.gz"
XDMOD_FIELDS = (
    "jobid,jobidraw,cluster,partition,qos,account,group,gid,user,uid,submit,eligible,start,end,elapsed,exitcode,state,"
    "nnodes,ncpus,reqcpus,reqmem,reqtres,alloctres,timelimit,nodelist,jobname"
)
HB_FIELDS = (
    "JobID,JobName,User,Partition,NodeList,NNodes,NCPUs,NTasks,State,Submit,Start,End,Timelimit,Elapsed,TotalCPU,"
    "CPUTime,UserCPU,SystemCPU,ReqMem,MaxRSS,MaxVMSize,ReqTRES,AllocTRES,TRESUsageInMax,TRESUsageInTot,"
    "TRESUsageOutTot,MaxDiskRead,MaxDiskWrite,MaxRSSNode,MaxRSSTask,MaxVMSizeNode,MaxVMSizeTask,MaxDiskReadNode,"
    "MaxDiskReadTask,MaxDiskWriteNode,MaxDiskWriteTask,Comment"
)


def table_of(path, **settings):
    kind, tally = KINDS["slurm"], Tally()
    batches = list(kind.read(path, path.name, kind.settings(settings), tally))
    return pa.Table.from_batches(batches, SHAPE.schema), tally


def seconds_in(text):
    """Return the seconds of `10-13:27:06`."""
    days, _, clock = text.rpartition("-")
    hours, minutes, seconds = clock.split(":")
    return int(days or 0) * 86_400 + int(hours) * 3_600 + int(minutes) * 60 + int(seconds)


def tres_in(text):
    return dict(each.split("=") for each in text.split(",") if each)


def mebibytes_in(text):
    return Fraction(text[:-1]) * {"M": 1, "G": 1024, "T": 1024**2}[text[-1]]


def phillips_jobs():
    """Yield what each line of the log says, by nothing but Python's own means."""
    for line in gzip.decompress(PHILLIPS.read_bytes()).decode().splitlines():
        fields = dict(zip(XDMOD_FIELDS.split(","), line.split("|"), strict=True))
        tres = tres_in(fields["alloctres"])
        yield fields | {
            "seconds": seconds_in(fields["elapsed"]),
            "begin": datetime.datetime.fromisoformat(fields["start"] + "+00:00").timestamp(),
            "tres": tres,
        }


# What the rate schedule of Caltech asked for a core-hour in its first tier; any flat price does.
PRICE = Decimal("0.014")


@needs_samples
def test_hours_and_dollars_by_account_are_those_of_plain_python():
    table, tally = table_of(PHILLIPS, format=XDMOD_FIELDS)
    expected = defaultdict(Counter)
    for job in phillips_jobs():
        sums, seconds, tres = expected[job["account"]], job["seconds"], job["tres"]
        sums["elapsed_seconds"] += seconds
        sums["cpu_seconds"] += seconds * int(tres["cpu"])
        sums["gpu_seconds"] += seconds * int(tres.get("gres/gpu", 0))
        sums["memory_mib_seconds"] += seconds * mebibytes_in(tres["mem"])
        sums["node_seconds"] += seconds * int(tres["node"])
        sums["billing_seconds"] += seconds * int(tres["billing"])
        sums["jobs"] += seconds > 0
    found = defaultdict(Counter)
    for row in table.to_pylist():
        found[row["account"]].update({measure.name: row[measure.name] for measure in SHAPE.measures})
    assert found == expected
    assert len(found) == 3
    hour = SHAPE.measure("cpu_seconds").units["core-hour"]
    dollars = {account: Fraction(sums["cpu_seconds"], hour) * Fraction(PRICE) for account, sums in found.items()}
    by_hand = Counter()
    for job in phillips_jobs():
        by_hand[job["account"]] += Fraction(job["seconds"] * int(job["ncpus"]), 3_600) * Fraction(14, 1_000)
    assert dollars == by_hand
    assert tally.lines == 4_285
    assert tally.records + tally.left_out.total() == 4_285
    assert tally.notes[1].startswith("ReqMem that is no amount of memory, such as “2147486648Mn”: 3,977 jobs.")


@needs_samples
def test_memory_without_the_mark_is_what_the_cluster_gave(tmp_path):
    """Of each of the 4,238 jobs with Slurm's mark, AllocTRES and the number without the mark say the same."""
    whole, _ = table_of(PHILLIPS, format=XDMOD_FIELDS)
    without = tmp_path / "without.log"
    with gzip.open(PHILLIPS, "rt") as lines, without.open("w") as out:
        for line in lines:
            fields = line.split("|")
            fields[21] = ""
            fields[22] = ",".join(each for each in fields[22].split(",") if not each.startswith("mem="))
            out.write("|".join(fields))
    table, _ = table_of(without, format=XDMOD_FIELDS)
    assert table["memory_mib_seconds"].equals(whole["memory_mib_seconds"])


@needs_samples
def test_months_of_the_log_add_up_to_it():
    table, _ = table_of(PHILLIPS, format=XDMOD_FIELDS)
    new_year = int(datetime.datetime(2017, 1, 1, tzinfo=datetime.UTC).timestamp())
    before, after = within(table, SHAPE, 0, new_year), within(table, SHAPE, new_year, 2**40)
    # Three jobs ran over the new year.
    assert before.num_rows + after.num_rows == table.num_rows + 3
    expected = sum(
        min(job["seconds"], max(0, new_year - int(job["begin"]))) * int(job["ncpus"]) for job in phillips_jobs()
    )
    assert sum(before["cpu_seconds"].to_pylist()) == expected
    assert sum(after["cpu_seconds"].to_pylist()) == sum(table["cpu_seconds"].to_pylist()) - expected


@needs_samples
def test_jobs_with_steps_and_an_unusual_delimiter():
    path = SAMPLES / "slurm_hb" / "sacct.txt"
    settings = {"format": HB_FIELDS, "delimiter": "☃", "cluster": "hb", "zone": "Europe/Amsterdam"}
    table, tally = table_of(path, **settings)
    names = HB_FIELDS.split(",")
    jobs = [dict(zip(names, line.split("☃"), strict=False)) for line in path.read_text().splitlines()]
    steps = [job for job in jobs if "." in job["JobID"]]
    assert tally.left_out["steps of jobs"] == len(steps) == 142
    used = [job for job in jobs if "." not in job["JobID"] and job["Elapsed"] != "00:00:00"]
    assert table["id"].to_pylist() == [job["JobID"] for job in used]
    for row, job in zip(table.to_pylist(), used, strict=True):
        tres, seconds = tres_in(job["AllocTRES"]), seconds_in(job["Elapsed"])
        gpus = sum(int(count) for name, count in tres.items() if name.startswith("gres/gpu:"))
        assert row["elapsed_seconds"] == seconds
        assert row["cpu_seconds"] == seconds * int(job["NCPUs"])
        assert row["gpu_seconds"] == seconds * max(gpus, int(tres.get("gres/gpu", 0)))
        assert row["memory_mib_seconds"] == seconds * mebibytes_in(tres["mem"])
        assert row["resource"] == f"hb/{job['Partition']}"
        start = datetime.datetime.fromtimestamp(row["start"], ZoneInfo("Europe/Amsterdam"))
        assert start.replace(tzinfo=None).isoformat() == job["Start"]


@needs_samples
def test_jobs_of_an_old_version_without_alloctres():
    table, tally = table_of(SAMPLES / "slurm2sql" / "test-data1.csv")
    rows = [(row["id"], row["state"], row["cpu_seconds"], row["end"] - row["start"]) for row in table.to_pylist()]
    assert rows == [("43974388", "CANCELLED", 2 * 12_805, 12_805), ("43977780", "CANCELLED", 17, 17)]
    assert tally.left_out == {"steps of jobs": 3}


@needs_samples
@pytest.mark.parametrize(
    ("name", "records", "left_out"),
    [
        ("unit_accounting-logs.log", 3, {"jobs that ran for no time": 1}),
        ("unit_accounting-logs-with-job-arrays.log", 6, {}),
        ("unit_non-ended-job-state.log", 1, {"jobs that never started": 1}),
        ("unit_unknown-job-state.log", 1, {"jobs that never started": 1}),
    ],
)
def test_logs_that_others_test_by(name, records, left_out):
    table, tally = table_of(SAMPLES / "slurm_xdmod" / name, format=XDMOD_FIELDS)
    assert (table.num_rows, tally.left_out) == (records, left_out)


# Logs cut anyhow -------------------------------------------------------------------------------------

BEGIN = int(datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC).timestamp())
YEAR = 366 * 86_400


def clock(seconds):
    return datetime.datetime.fromtimestamp(BEGIN + seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")


@st.composite
def logs(draw):
    """Return jobs, each as it was seen once or several times while it ran, and in the end."""
    found = []
    for number in range(draw(st.integers(1, 12))):
        # A requeued job has the same number, and a start of its own.
        start, elapsed = 100 * draw(st.integers(0, YEAR // 100)) + number, draw(st.integers(1, 90 * 86_400))
        suspended = draw(st.sampled_from([0, 0, 0, 1, 7, 86_400]))
        cpus, gpus = draw(st.integers(1, 100_000)), draw(st.integers(0, 9))
        job = {
            "JobIDRaw": str(draw(st.sampled_from([number, 1_000]))),
            "Account": draw(st.sampled_from(["genomics", "reef"])),
            "Start": clock(start),
            "AllocTRES": f"cpu={cpus},gres/gpu={gpus},mem={cpus * 1001}M,node=1",
            "Suspended": str(suspended),
        }
        seen = sorted({*draw(st.lists(st.integers(1, elapsed), max_size=2)), elapsed})
        found += [a_job(**job, ElapsedRaw=str(each), End="Unknown", State="RUNNING") for each in seen[:-1]]
        found.append(a_job(**job, ElapsedRaw=str(elapsed), End=clock(start + elapsed + suspended)))
    return found


@hypothesis_settings(suppress_health_check=[HealthCheck.too_slow])
@given(logs(), st.data())
def test_any_cut_into_files_any_order_and_any_month_give_the_same_seconds(tmp_path_factory, log, data):
    folder = tmp_path_factory.mktemp("log")
    lines = data.draw(st.permutations(log))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(lines)), max_size=4)))
    tables = []
    for number, (first, last) in enumerate(zip([0, *cuts], [*cuts, len(lines)], strict=True)):
        if part := lines[first:last]:
            (folder / f"{number}.txt").write_bytes(lines_of(*part))
            tables.append(table_of(folder / f"{number}.txt")[0])
    table = standing(tables)
    # By hand: of each job and start, the longest version; its seconds times what it held.
    last_seen = {}
    for job in log:
        key = job["JobIDRaw"], job["Start"]
        if int(job["ElapsedRaw"]) >= int(last_seen.get(key, job)["ElapsedRaw"]):
            last_seen[key] = job
    expected = Counter()
    for job in last_seen.values():
        tres = tres_in(job["AllocTRES"])
        expected["cpu_seconds"] += int(job["ElapsedRaw"]) * int(tres["cpu"])
        expected["gpu_seconds"] += int(job["ElapsedRaw"]) * int(tres["gres/gpu"])
        expected["memory_mib_seconds"] += int(job["ElapsedRaw"]) * int(tres["mem"][:-1])
        expected["elapsed_seconds"] += int(job["ElapsedRaw"])
    months = sorted(data.draw(st.sets(st.integers(BEGIN, BEGIN + 2 * YEAR), max_size=5)))
    bounds = [BEGIN - HOUR, *months, BEGIN + 3 * YEAR]
    found = Counter()
    for begin, end in zip(bounds, bounds[1:], strict=False):
        piece = within(table, SHAPE, begin, end)
        found.update({name: sum(piece[name].to_pylist()) for name in expected})
    assert found == expected

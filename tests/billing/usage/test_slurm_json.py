"""What `sacct --json` says is read as its lines are, whichever version of Slurm wrote it."""

import gzip
import json

import pytest

from tests.billing.usage.jobs import HOUR, lines_of, read, record_of


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jobs.json"


def a_json_job(**changes):
    """Return the job of `jobs.JOB` as sacct says it in JSON, with a step, and with what is never kept."""
    job = {
        "account": "genomics",
        "comment": {"administrator": "", "job": "geheim", "system": ""},
        "allocation_nodes": 1,
        "array": {"job_id": 0, "task_id": {"set": False, "infinite": False, "number": 0}, "task": ""},
        "association": {"account": "genomics", "cluster": "reef", "partition": "", "user": "ada", "id": 7},
        "cluster": "reef",
        "job_id": 1001,
        "name": "geheim",
        "nodes": "n[1-2]",
        "partition": "gpu",
        "qos": "normal",
        "required": {"CPUs": 8, "memory_per_node": {"set": True, "infinite": False, "number": 65536}},
        "reservation": {"id": 0, "name": ""},
        "state": {"current": ["COMPLETED"], "reason": "None"},
        "steps": [
            {"step": {"id": "1001.batch", "name": "batch"}, "tres": {"allocated": [{"type": "cpu", "count": 8}]}}
        ],
        "submit_line": "sbatch geheim.sh",
        "time": {"elapsed": 7200, "start": 1768032000, "end": 1768039200, "submission": 1768031000, "suspended": 0},
        "tres": {
            "allocated": [
                {"type": "cpu", "name": "", "id": 1, "count": 8},
                {"type": "mem", "name": "", "id": 2, "count": 65536},
                {"type": "node", "name": "", "id": 4, "count": 1},
                {"type": "billing", "name": "", "id": 5, "count": 8},
                {"type": "gres", "name": "gpu", "id": 1001, "count": 2},
                {"type": "gres", "name": "gpu:a100", "id": 1002, "count": 2},
            ],
            "requested": [{"type": "cpu", "name": "", "id": 1, "count": 1}],
        },
        "user": "ada",
        "working_directory": "/home/ada/geheim",
    }
    return {**job, **changes}


def a_file(*jobs, **others):
    return json.dumps({"meta": {"Slurm": {"release": "24.05"}}, "jobs": jobs, "errors": [], **others}).encode()


def test_json_says_what_the_lines_say(path):
    for content in (
        a_file(a_json_job()),
        json.dumps(json.loads(a_file(a_json_job())), indent=1).encode(),
        gzip.compress(a_file(a_json_job())),
        b"\xef\xbb\xbf\n" + a_file(a_json_job()),
    ):
        (record,), tally = read(path, content)
        assert record == record_of(path)
        assert (tally.records, tally.notes) == (1, [])


def test_names_commands_and_folders_are_not_kept(path):
    (batch,), _ = read(path, a_file(a_json_job()), batches=True)
    assert "geheim" not in str(batch.to_pydict())


def test_older_and_newer_versions_write_the_same_in_other_ways(path):
    older = a_json_job(state={"current": "COMPLETED"}, user="", account="", qos="normal")
    newer = a_json_job(
        state={"current": ["COMPLETED", "REQUEUED"]},
        time={
            **{name: {"set": True, "infinite": False, "number": number} for name, number in (("elapsed", 7200),)},
            **{"start": {"set": True, "number": 1768032000}, "end": {"set": True, "number": 1768039200}},
        },
    )
    for job in (older, newer):
        (record,), _ = read(path, a_file(job))
        assert record == record_of(path)


def test_running_and_waiting_jobs_have_no_end_and_no_start(path):
    times = a_json_job()["time"]
    running = a_json_job(state={"current": ["RUNNING"]}, time={**times, "end": 0})
    waiting = a_json_job(job_id=2, state={"current": ["PENDING"]}, time={**times, "start": 0, "end": 0, "elapsed": 0})
    (record,), tally = read(path, a_file(running, waiting))
    assert record["end"] - record["start"] == 2 * HOUR
    assert tally.left_out == {"jobs that never started": 1}
    suspended = a_json_job(state={"current": ["SUSPENDED"]}, time={**times, "end": 0, "suspended": HOUR})
    (record,), _ = read(path, a_file(suspended))
    assert (record["end"] - record["start"], record["elapsed_seconds"]) == (3 * HOUR, 2 * HOUR)


def test_many_jobs_come_in_several_batches(path):
    batches, tally = read(path, a_file(*(a_json_job(job_id=n) for n in range(5_000))), batches=True)
    assert len(batches) > 1
    assert tally.records == 5_000


def test_no_jobs_are_no_fault(path):
    assert read(path, a_file())[0] == []


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        (a_file(a_json_job(), a_json_job(time={})).replace(b'}, {"account', b'},\n{"account'), 2, "not a job of sacct"),
        (a_file(errors=[{"description": "Unable to query", "error": "x"}]), None, "“Unable to query”"),
        (a_file(a_json_job(account="\ud800")), 1, "half of a character"),
        (a_file(a_json_job(job_id="x")), 1, "is not the number of a job"),
        (a_file(a_json_job(tres={"allocated": [{"type": "cpu", "count": "x"}]})), 1, "is not a count"),
        (a_file(a_json_job())[:-200], 1, "ends in the middle"),
        (b"[" * 100_000, 1, "too many lists"),
        (b'{"meta": {}}', 1, "not a job of sacct"),
        (b"{}", 1, "not a job of sacct"),
    ],
)
def test_what_is_wrong_is_named_by_its_line(refusal, content, line, says):
    problem = refusal(content)
    assert problem.line == line
    assert says in problem.message


def test_json_and_lines_of_a_job_are_versions_of_one(path):
    early = {"JobIDRaw": "1001", "Start": "1768032000", "End": "Unknown", "Elapsed": "0:10:00", "NCPUS": "8"}
    by_lines, _ = read(path, lines_of(early))
    by_json, _ = read(path, a_file(a_json_job()))
    assert [(each["id"], each["start"]) for each in by_lines] == [(each["id"], each["start"]) for each in by_json]

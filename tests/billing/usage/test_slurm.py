"""Jobs as sacct writes them become records: of whom, of what, from when to when, and how much."""

import gzip

import pytest

from billing.usage.readers import BadSettings
from billing.usage.readers.slurm.settings import settings_of
from tests.billing.usage.jobs import HOUR, JOB, a_job, lines_of, read, record_of


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jobs.txt"


def test_a_job_becomes_a_record(path):
    assert record_of(path) == {
        "id": "1001",
        "start": 1768032000,
        "end": 1768032000 + 2 * HOUR,
        "account": "genomics",
        "user": "ada",
        "resource": "reef/gpu",
        "free": "",
        "cluster": "reef",
        "partition": "gpu",
        "qos": "normal",
        "gpu_type": "a100",
        "state": "COMPLETED",
        "reservation": "",
        "elapsed_seconds": 2 * HOUR,
        "cpu_seconds": 8 * 2 * HOUR,
        "gpu_seconds": 2 * 2 * HOUR,
        "memory_mib_seconds": 64 * 1024 * 2 * HOUR,
        "node_seconds": 2 * HOUR,
        "billing_seconds": 8 * 2 * HOUR,
        "jobs": 1,
    }


# How files are laid out ------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", ["|", "^", "☃", "\t", ";", "::", "\x1f"])
@pytest.mark.parametrize("closing", [False, True])
@pytest.mark.parametrize("header", [False, True])
def test_every_delimiter_reads_alike_with_and_without_header(path, delimiter, closing, header):
    job = a_job(Cluster="réef")
    content = lines_of(job, header=header, delimiter=delimiter, closing=delimiter if closing else "")
    records, tally = read(path, content, delimiter=delimiter, **({} if header else {"format": list(job)}))
    assert [(each["id"], each["cluster"], each["gpu_seconds"]) for each in records] == [("1001", "réef", 4 * HOUR)]
    assert tally.lines == 1 + header


def test_a_header_tells_the_delimiter(path):
    for delimiter in ("☃", "^", "\t", '"'):
        (record,), _ = read(path, lines_of(a_job(), delimiter=delimiter))
        assert record["account"] == "genomics"


def test_fields_come_in_any_order_and_case(path):
    turned = {name.upper(): text for name, text in reversed(JOB.items())}
    (record,), _ = read(path, lines_of(turned))
    assert record == record_of(path)


def test_the_format_of_a_feed_is_written_as_for_sacct(path):
    (record,), _ = read(path, lines_of(a_job(), header=False), format=",".join(f"{name.lower()}%40" for name in JOB))
    assert record == record_of(path)


def test_a_header_goes_before_the_format_of_the_feed(path):
    (record,), _ = read(path, lines_of(a_job()), format="JobID,Start,End,Elapsed,NCPUS")
    assert record == record_of(path)


def test_gzip_windows_line_ends_byte_order_mark_and_blank_lines_change_nothing(path):
    plain = lines_of(a_job(), a_job(JobIDRaw="1002"))
    expected, _ = read(path, plain)
    for content in (
        gzip.compress(plain),
        plain.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + plain,
        plain.replace(b"\n", b"\n\n"),
        plain + b"\r\n\n",
    ):
        assert read(path, content)[0] == expected


def test_files_that_were_joined_repeat_their_header(path):
    one, other = lines_of(a_job()), lines_of(a_job(JobIDRaw="1002"))
    records, tally = read(path, one + other)
    assert [each["id"] for each in records] == ["1001", "1002"]
    assert tally.left_out == {"headers within the file": 1}


def test_a_last_line_without_its_end_is_told(path):
    _, tally = read(path, lines_of(a_job()).rstrip(b"\n"))
    assert tally.notes == ["The last line has no line break at its end. If the file was cut off there, copy it again."]


def test_a_file_of_a_header_has_no_jobs(path):
    records, tally = read(path, lines_of(JOB).splitlines(keepends=True)[0])
    assert (records, tally.lines) == ([], 1)


def test_what_users_write_is_not_kept_and_need_not_be_utf8(path):
    content = lines_of(a_job(JobName="geheim", Comment="x", WorkDir="/home/ada", SubmitLine="sbatch --wrap secret"))
    batches, tally = read(path, content.replace(b"geheim", b"geheim\xfc"), batches=True)
    assert len(batches[0]) == 1
    for text in ("geheim", "/home", "sbatch"):
        assert text not in str(batches[0].to_pydict())
    assert tally.notes == [
        "Not kept: JobName, Comment, WorkDir, SubmitLine. Leave what users write out of the export: a text can be made "
        "to look like the line of another job."
    ]


def test_fields_that_are_missed_are_told(path):
    (record,), tally = read(path, lines_of(a_job(Account=None, State=None)))
    assert (record["account"], record["state"], record["free"]) == ("", "", "")
    assert tally.notes == [
        "No Account among the fields: only the user tells who is charged.",
        "No State among the fields: no job is free because of how it ended.",
    ]


# Which lines are usage -------------------------------------------------------------------------------


def test_steps_are_left_out_and_counted(path):
    steps = [a_job(JobIDRaw=f"1001.{step}", Account="", User="", Partition="") for step in ("batch", "extern", "0")]
    records, tally = read(path, lines_of(a_job(), *steps))
    assert [each["id"] for each in records] == ["1001"]
    assert tally.left_out == {"steps of jobs": 3}
    assert tally.notes == []


def test_a_file_of_steps_alone_is_refused(path, refusal):
    problem = refusal(lines_of(a_job(JobIDRaw="1001.batch"), a_job(JobIDRaw="1001.0")))
    assert problem.message.startswith("The file has only steps of jobs")


def test_steps_without_their_job_are_told(path):
    _, tally = read(path, lines_of(a_job(JobIDRaw="999.batch"), a_job(), a_job(JobIDRaw="1002.0")))
    assert tally.notes == [
        "Steps that do not follow the line of their job: 2. Steps are not counted, so check that the export has the "
        "jobs too."
    ]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"Start": "Unknown", "End": "Unknown", "ElapsedRaw": "0", "State": "PENDING"}, "jobs that never started"),
        ({"Start": "None", "ElapsedRaw": "0", "State": "CANCELLED by 12"}, "jobs that never started"),
        ({"End": JOB["Start"], "ElapsedRaw": "0", "State": "FAILED"}, "jobs that ran for no time"),
    ],
)
def test_jobs_that_used_nothing_are_left_out_and_counted(path, fields, reason):
    records, tally = read(path, lines_of(a_job(**{**fields, "AllocTRES": ""})))
    assert (records, tally.left_out) == ([], {reason: 1})


def test_arrays_heterogeneous_and_requeued_jobs_are_jobs_of_their_own(path):
    ids = ["7_1", "7_2", "7_[3-9%2]", "8+0", "8+1", "9", "9"]
    jobs = [a_job(JobIDRaw=None, JobID=each) for each in ids]
    # Of a requeued job, each run has a start of its own.
    jobs[-1]["Start"], jobs[-1]["ElapsedRaw"] = "2026-01-10T09:00:00", "3600"
    records, _ = read(path, lines_of(*jobs))
    assert [each["id"] for each in records] == ids
    assert len({(each["id"], each["start"]) for each in records}) == 7


@pytest.mark.parametrize(
    ("state", "kept", "free"),
    [
        ("COMPLETED", "COMPLETED", ""),
        ("CANCELLED by 10304007", "CANCELLED", ""),
        ("CANCELLED+", "CANCELLED", ""),
        ("FAILED", "FAILED", ""),
        ("TIMEOUT", "TIMEOUT", ""),
        ("OUT_OF_MEMORY", "OUT_OF_MEMORY", ""),
        ("NODE_FAIL", "NODE_FAIL", "node_failed"),
        ("BOOT_FAIL", "BOOT_FAIL", "node_failed"),
        ("PREEMPTED", "PREEMPTED", "preempted"),
    ],
)
def test_the_state_decides_who_is_charged(path, state, kept, free):
    record = record_of(path, State=state)
    assert (record["state"], record["free"], record["jobs"]) == (kept, free, 1)


def test_a_feed_decides_which_states_are_free(path):
    content = lines_of(a_job(State="PREEMPTED"), a_job(State="FAILED"), a_job(State="NODE_FAIL"))
    records, _ = read(path, content, free_states={"failed": "failed"})
    assert [each["free"] for each in records] == ["", "failed", ""]
    records, _ = read(path, content, free_states={})
    assert [each["free"] for each in records] == ["", "", ""]


def test_a_state_that_nobody_knows_is_charged_and_told(path):
    (record,), tally = read(path, lines_of(a_job(State="FOO")))
    assert (record["state"], record["free"]) == ("FOO", "")
    assert tally.notes == ["In the state “FOO”, which is not known here: 1 job. It is charged as any other state."]


# From when to when -----------------------------------------------------------------------------------


def test_a_running_job_ends_when_the_file_was_made(path):
    (record,), tally = read(path, lines_of(a_job(State="RUNNING", End="Unknown")))
    assert record["end"] - record["start"] == 2 * HOUR
    assert tally.notes == ["Still running: 1 job. Use so far is read, and a later file replaces it."]


def test_suspended_time_is_part_of_the_span_and_not_of_the_use(path):
    ended = record_of(path, End="2026-01-10T13:00:00", Suspended="03:00:00")
    assert (ended["end"] - ended["start"], ended["elapsed_seconds"]) == (5 * HOUR, 2 * HOUR)
    assert ended["cpu_seconds"] == 8 * 2 * HOUR
    running = record_of(path, State="SUSPENDED", End="Unknown", Suspended="03:00:00")
    assert (running["start"], running["end"]) == (ended["start"], ended["end"])


def test_what_sacct_says_a_job_ran_counts_even_if_its_times_say_less(path):
    (record,), tally = read(path, lines_of(a_job(End=JOB["Start"], State="RUNNING")))
    assert (record["end"] - record["start"], record["elapsed_seconds"]) == (2 * HOUR, 2 * HOUR)
    assert tally.notes[0].startswith("Ran for longer than from start to end in the file: 1 job.")


@pytest.mark.parametrize(
    ("start", "end", "zone"),
    [
        ("2026-01-10T08:00:00", "2026-01-10T10:00:00", "UTC"),
        ("1768032000", "1768039200", "America/Chicago"),
        ("2026-01-10T02:00:00", "2026-01-10T04:00:00", "America/Chicago"),
        ("2026-01-10T02:00:00-0600", "2026-01-10T10:00:00Z", "Asia/Tokyo"),
        ("2026-01-10 09:00:00+01:00", "2026-01-10T13:30:00+0330", "UTC"),
    ],
)
def test_times_are_of_the_zone_of_the_feed_unless_they_say(path, start, end, zone):
    (record,), _ = read(path, lines_of(a_job(Start=start, End=end)), zone=zone)
    assert (record["start"], record["end"]) == (1768032000, 1768039200)


@pytest.mark.parametrize("elapsed", ["7200", "02:00:00", "0-02:00:00", " 2:00:00"])
def test_durations_are_written_in_several_ways(path, elapsed):
    assert record_of(path, ElapsedRaw=None, Elapsed=elapsed)["elapsed_seconds"] == 2 * HOUR


def test_days_count_in_durations(path):
    record = record_of(path, ElapsedRaw=None, Elapsed="10-13:27:06", End="Unknown")
    assert record["elapsed_seconds"] == 10 * 86_400 + 13 * HOUR + 27 * 60 + 6


# Of which cluster ------------------------------------------------------------------------------------


def test_a_feed_names_the_cluster_that_its_files_do_not(path):
    (record,), _ = read(path, lines_of(a_job(Cluster=None)), cluster="reef")
    assert (record["cluster"], record["resource"]) == ("reef", "reef/gpu")
    (record,), _ = read(path, lines_of(a_job(Cluster=None)))
    assert (record["cluster"], record["resource"]) == ("", "gpu")
    assert record_of(path, Partition="")["resource"] == "reef"


def test_jobs_of_another_cluster_are_refused_by_line(path, refusal):
    two = lines_of(a_job(), a_job(JobIDRaw="1002"), a_job(Cluster="atoll"))
    problem = refusal(two)
    assert (problem.line, problem.column) == (4, "Cluster")
    assert "others are of reef" in problem.message
    problem = refusal(lines_of(a_job()), cluster="atoll")
    assert (problem.line, problem.column) == (2, "Cluster")
    assert "the feed is of atoll" in problem.message


def test_jobs_of_several_clusters_are_told_apart_where_a_feed_has_them(path):
    records, _ = read(path, lines_of(a_job(), a_job(Cluster="atoll")), several_clusters=True)
    assert [each["id"] for each in records] == ["reef:1001", "atoll:1001"]
    assert [each["resource"] for each in records] == ["reef/gpu", "atoll/gpu"]


# Settings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "column", "says"),
    [
        ({"zone": "America/Nowhere"}, "zone", "is not a time zone"),
        ({"delimiter": "\n|"}, "delimiter", "cannot stand between fields"),
        ({"delimiter": "x" * 11}, "delimiter", "cannot stand between fields"),
        ({"format": "JobID,Start,End,Elapsed"}, "format", "no AllocTRES or TRES or AllocCPUS or NCPUS"),
        ({"format": ["JobID", "Start", "End", "NCPUS"]}, "format", "no ElapsedRaw or Elapsed"),
        ({"free_states": {"FAILED": ""}}, "free_states", "Each state needs a reason"),
        ({"free_states": 1}, "free_states", "is not a mapping"),
        ({"cluster": "reef", "several_clusters": True}, "several_clusters", "Leave one of the two out"),
        ({"fomat": "JobID"}, "fomat", "There is no such setting"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(given, column, says):
    with pytest.raises(BadSettings) as caught:
        settings_of(given)
    (problem,) = caught.value.problems
    assert problem.column == column
    assert says in problem.message

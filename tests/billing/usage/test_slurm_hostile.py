"""Files of jobs that are damaged, or made to do damage: an error that names the line, and nothing read silently."""

import gzip
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.readers import FileError
from billing.usage.readers.slurm import Settings
from tests.billing.usage.jobs import JOB, a_job, lines_of, read

GOOD = lines_of(a_job(), a_job(JobIDRaw="1002"))
NAMED = lines_of(a_job(JobName="x"), a_job(JobIDRaw="1002", JobName="NAME"), a_job(JobIDRaw="1003", JobName="y"))


def test_a_delimiter_in_a_name_is_refused_by_line(refusal):
    problem = refusal(NAMED.replace(b"NAME", b"a|b"))
    assert problem.line == 3
    assert problem.message == (
        "The line has 13 fields where the header has 12. A “|” or a line break in the name of a job is the usual "
        "cause: leave names and comments out of the export."
    )


def test_a_line_break_in_a_name_is_refused_by_line(refusal):
    assert refusal(NAMED.replace(b"NAME", b"a\nb")).line == 4
    first = NAMED.replace(b"JobIDRaw|", b"", 1)
    assert refusal(first.replace(b"NAME", b"a\nb")).line == 1
    # In a field in the middle, both halves are too short.
    middle = lines_of(dict(reversed(a_job(JobName="x").items())), dict(reversed(a_job(JobName="a\nb").items())))
    assert refusal(middle).line == 3


def test_a_carriage_return_in_a_name_is_refused_by_line(refusal):
    problem = refusal(NAMED.replace(b"NAME", b"a\rb"))
    assert problem.line == 3
    assert problem.message.startswith("The line has a carriage return in it.")


def test_every_wrong_line_is_named_up_to_a_hundred(tmp_path):
    with pytest.raises(FileError) as caught:
        read(tmp_path / "jobs.txt", GOOD + b"short\n" * 200)
    assert [problem.line for problem in caught.value.problems] == list(range(4, 104))


def test_lines_are_named_right_behind_blank_ones_and_in_later_pieces(refusal):
    assert refusal(GOOD + b"\n\n" + lines_of(a_job(State="x" * 300), header=False)).line == 6
    many = lines_of(*[a_job(JobIDRaw=str(n)) for n in range(60_000)])
    problem = refusal(many + lines_of(a_job(ElapsedRaw="-5"), header=False))
    assert (problem.line, problem.column) == (60_002, "ElapsedRaw")


@pytest.mark.parametrize(
    ("fields", "column", "says"),
    [
        ({"ElapsedRaw": "-5"}, "ElapsedRaw", "is less than nothing"),
        ({"ElapsedRaw": None, "Elapsed": "-00:00:05"}, "Elapsed", "is less than nothing"),
        ({"ElapsedRaw": None, "Elapsed": "INVALID"}, "Elapsed", "is not a duration"),
        ({"ElapsedRaw": ""}, "ElapsedRaw", "is not a duration"),
        ({"ElapsedRaw": "9" * 11}, "ElapsedRaw", "is not a duration"),
        ({"ElapsedRaw": "9" * 10}, "End", "after the year 2100"),
        ({"Start": "3026-01-10T08:00:00"}, "Start", "is out of range"),
        ({"Start": "1970-01-01T00:00:00"}, "Start", "is out of range"),
        ({"End": "2101-01-01T00:00:00"}, "End", "is out of range"),
        ({"Start": "9999999999"}, "Start", "is out of range"),
        ({"Start": "0000-00-00T00:00:00"}, "Start", "is not a time that can be read"),
        ({"Start": "2026-02-30T08:00:00"}, "Start", "is not a time that can be read"),
        ({"Start": "10 Jan 08:00"}, "Start", "Leave SLURM_TIME_FORMAT unset"),
        ({"Start": "Unknown"}, "Start", "has run, and has no start"),
        ({"AllocTRES": "cpu=1000000000"}, "AllocTRES", "more than any cluster has"),
        ({"AllocTRES": "8 CPUs"}, "AllocTRES", "is not written as name=count"),
        ({"AllocTRES": "billing=9007199254740992", "End": "Unknown"}, "AllocTRES", "more than can be counted"),
        ({"ReqMem": "much", "AllocTRES": "cpu=1"}, "ReqMem", "is not an amount of memory"),
        ({"AllocCPUS": "x", "AllocTRES": ""}, "AllocCPUS", "is not a count"),
        ({"JobIDRaw": "abc"}, "JobIDRaw", "is not the number of a job"),
        ({"JobIDRaw": ""}, "JobIDRaw", "is not the number of a job"),
        ({"JobIDRaw": "12x"}, "JobIDRaw", "is not the number of a job"),
        ({"Account": "x" * 300}, "Account", "200 is the limit"),
    ],
)
def test_values_that_cannot_be_are_refused_by_line_and_column(refusal, fields, column, says):
    good = a_job(**{name: "" for name, text in fields.items() if name not in JOB}) | {
        name: JOB.get(name, "60" if name == "Elapsed" else "") for name in fields if fields[name] is not None
    }
    bad = {name: fields.get(name) if fields.get(name) is not None else text for name, text in good.items()}
    if fields.get("ElapsedRaw", "") is None:
        del good["ElapsedRaw"], bad["ElapsedRaw"]
    problem = refusal(lines_of(good, bad))
    assert (problem.line, problem.column) == (3, column)
    assert says in problem.message


@pytest.mark.parametrize("column", ["Account", "User", "Partition", "Cluster", "State", "JobIDRaw", "Start"])
def test_texts_that_are_kept_have_to_be_utf8(refusal, column):
    content = lines_of(a_job(), a_job(**{column: "MARK"})).replace(b"MARK", b"m\xfcller")
    problem = refusal(content)
    assert (problem.line, problem.column, problem.message) == (3, column, "The text is not UTF-8.")


def test_a_nul_is_refused_by_line(refusal):
    assert refusal(GOOD + b"\0" * 4096).line == 4
    assert "NUL byte" in refusal(GOOD.replace(b"1002", b"10\0002")).message


def test_control_characters_that_stand_in_for_delimiters_change_nothing(refusal, tmp_path):
    odd = lines_of(a_job(JobName="\x1f\x1e"), delimiter="☃")
    assert len(read(tmp_path / "jobs.txt", odd)[0]) == 1
    problem = refusal(lines_of(a_job(JobName="\x1f\x1e\x1d\x1c"), delimiter="☃"))
    assert "control characters" in problem.message


def test_a_gzip_file_that_ends_in_the_middle_is_refused(refusal):
    dice = random.Random(1)
    many = lines_of(*[a_job(JobIDRaw=str(dice.randrange(10**9)), QOS=str(dice.random())) for _ in range(50_000)])
    packed = gzip.compress(many)
    for size in (len(packed) // 2, len(packed) - 9, 12):
        assert "ends in the middle" in refusal(packed[:size]).message
    assert "damaged" in refusal(packed[:2000] + b"\xff" * 100 + packed[2100:]).message


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "The file is empty."),
        (b"\n", "does not name the fields"),
        (b"PK\x03\x04", "zip archive"),
        (b"\xff\xfeJ\0o\0b\0", "UTF-16"),
        (b"<html><body>Sign in</body></html>", "does not name the fields"),
        (b"sacct: error: slurmdbd: Connection refused\n", "does not name the fields"),
        (lines_of(JOB, header=False), "does not name the fields"),
        (b"JobID           Start      End  Elapsed AllocCPUS\n------- -------\n", "Export with --parsable2"),
        (b"JobID,Start,End,Elapsed,NCPUS\n", "Export with --parsable2"),
        (b"JobID|Start|End|Elapsed\n", "There is no AllocTRES"),
        (b"JobID|End|Elapsed|NCPUS\n", "There is no Start"),
        (b"x" * 9_000_000, "longer than"),
        (GOOD + b"x" * 9_000_000, "longer than"),
    ],
)
def test_what_is_no_file_of_jobs_is_refused(refusal, content, says):
    assert says in refusal(content).message


def refused(path, content):
    """Return what a file is refused with, nothing if it is read; any other error is a failure."""
    try:
        read(path, content)
    except FileError as error:
        return error.problems
    return []


@given(st.binary(max_size=300))
def test_noise_is_refused_by_its_name_or_read(tmp_path_factory, noise):
    path = tmp_path_factory.mktemp("noise") / "jobs.txt"
    for content in (noise, GOOD + noise, GOOD[:60] + noise + GOOD[60:], b"{" + noise, gzip.compress(GOOD)[:40] + noise):
        assert not refused(path, content) or refused(path, content)[0].message


VALUES = (*JOB.values(), "", "0", "-1", "Unknown", "\x1b[31m", "2.5", "☃", "9" * 30)


@given(st.lists(st.sampled_from(VALUES), min_size=len(JOB)))
def test_any_values_are_refused_by_their_line_or_read(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("values") / "jobs.txt"
    job = dict(zip(JOB, values, strict=False))
    assert all(problem.line == 3 for problem in refused(path, lines_of(a_job(), job)))


def test_settings_have_the_defaults_that_the_documentation_tells():
    assert Settings().free_states == {"NODE_FAIL": "node_failed", "BOOT_FAIL": "node_failed", "PREEMPTED": "preempted"}
    assert Settings().zone.key == "UTC"

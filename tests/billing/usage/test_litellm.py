"""LiteLLM's spend logs: what a call costs whom, and that nothing of what was asked is kept."""

import contextlib
import csv
import gzip
import hashlib
import json
import tempfile
import tracemalloc
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.readers import FileError
from billing.usage.readers import Tally, calls, json_rows
from billing.usage.readers.litellm import WHO

from .reading import SAMPLES, needs_samples, problems_of, records_of, totals_of, written, wrong_settings

HASH = hashlib.sha256(b"sk-anything").hexdigest()
PROMPT, ANSWER = "How do I tell her?", "Gently."


def a_call(**fields):
    """A call as the table LiteLLM_SpendLogs has it, with all that nobody may see."""
    return {
        "request_id": "chatcmpl-1",
        "call_type": "acompletion",
        "api_key": HASH,
        "spend": 0.00033,
        "total_tokens": 30,
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "startTime": "2026-08-27T12:37:44.874000Z",
        "endTime": "2026-08-27T12:37:51.100000Z",
        "model": "anthropic/claude-sonnet",
        "model_group": "sonnet",
        "custom_llm_provider": "anthropic",
        "user": "ada",
        "end_user": "browser-17",
        "team_id": "t-1",
        "cache_hit": "False",
        "request_tags": ["env:prod", "pi:ada@example.edu", "User-Agent: curl/8"],
        "messages": [{"role": "user", "content": PROMPT}],
        "response": {"choices": [{"message": {"content": ANSWER}}]},
        "proxy_server_request": {"body": {"messages": [{"content": PROMPT}]}},
        "status": "success",
        "metadata": {
            "user_api_key_alias": "lab notebook",
            "user_api_key_team_alias": "chen-lab",
            "user_api_key_user_email": "ada@example.edu",
            "spend_logs_metadata": {"fund": "410211"},
            "additional_usage_values": {
                "prompt_tokens_details": {"cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 15},
            },
        },
        **fields,
    }


def file_of(folder, *rows, name="spend.json"):
    return written(folder, json.dumps(list(rows)), name)


def record_of(folder, given=None, tally=None, **fields):
    (record,) = records_of(file_of(folder, a_call(**fields)), "litellm", given, tally)
    return record


def test_a_call_is_what_it_used_and_by_whom(tmp_path):
    assert record_of(tmp_path) == {
        "id": "chatcmpl-1",
        "start": 1787834264,
        "end": 1787834271,
        "account": "chen-lab",
        "user": "ada",
        "resource": "sonnet",
        "free": "",
        "model": "sonnet",
        "provider": "anthropic",
        "key": "lab notebook",
        "call_type": "acompletion",
        "status": "success",
        "tier": "",
        "requests": 1,
        "input_tokens": 10,
        "uncached_tokens": 6,
        "cached_tokens": 4,
        "output_tokens": 20,
        "reasoning_tokens": 15,
        "cost_pico": 330_000_000,
    }


def test_nothing_of_what_was_asked_or_answered_is_in_a_record(tmp_path):
    record = record_of(tmp_path)
    for text in (PROMPT, ANSWER, HASH, "curl"):
        assert text not in json.dumps(record)


@needs_samples
def test_the_sample_has_its_cost_and_tokens_and_none_of_its_prompt():
    path = SAMPLES / "litellm" / "spend_logs_row.json"
    records = records_of(path, "litellm")
    (row,) = json.loads(path.read_text(), parse_float=Decimal)
    (record,) = records
    assert record["cost_pico"] == row["spend"] * 10**12
    assert (record["input_tokens"], record["output_tokens"]) == (row["prompt_tokens"], row["completion_tokens"])
    assert record["account"] == row["team_id"]
    assert "SECRET" not in json.dumps(records)
    assert row["api_key"] not in json.dumps(records)


def test_the_same_calls_come_out_of_every_form(tmp_path):
    rows = [a_call(request_id=f"c-{number}") for number in range(5)]
    expected = records_of(file_of(tmp_path, *rows), "litellm")
    lines = "\n".join(json.dumps(row) for row in rows)
    texts = [
        row | {"metadata": json.dumps(row["metadata"]), "request_tags": json.dumps(row["request_tags"])} for row in rows
    ]
    pages = "".join(json.dumps({"data": [row], "total": 5, "page": number}) for number, row in enumerate(rows, 1))
    for content in (lines, gzip.compress(lines.encode()), json.dumps(texts), pages, json.dumps(rows, indent=1)):
        assert records_of(written(tmp_path, content), "litellm") == expected


def test_a_log_of_a_bucket_is_a_call_too(tmp_path):
    """LiteLLM's StandardLoggingPayload names some fields otherwise, and has times in seconds."""
    row = {
        "id": "chatcmpl-1",
        "call_type": "completion",
        "response_cost": 0.25,
        "startTime": 1787834264.874,
        "endTime": 1787834271.1,
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "model": "openai/gpt",
        "metadata": {"user_api_key_hash": HASH, "user_api_key_team_id": "t-1", "user_api_key_user_id": "ada"},
        "messages": PROMPT,
    }
    (record,) = records_of(written(tmp_path, json.dumps(row)), "litellm")
    assert (record["start"], record["end"], record["cost_pico"]) == (1787834264, 1787834271, 250_000_000_000)
    assert (record["account"], record["user"], record["provider"]) == ("t-1", "ada", "openai")


# Who pays ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "account", "user"),
    [
        ({}, "chen-lab", "ada"),
        ({"account": "team_id", "user": "end_user"}, "t-1", "browser-17"),
        ({"account": ["tag.PI", "team_id"], "user": ["user_email"]}, "ada@example.edu", "ada@example.edu"),
        ({"account": ["tag.fund", "metadata.fund"]}, "410211", "ada"),
        ({"account": ["organization_id", "project_id"], "user": ["key_alias"]}, "", "lab notebook"),
    ],
)
def test_who_pays_is_the_first_field_that_says_something(tmp_path, given, account, user):
    record = record_of(tmp_path, given)
    assert (record["account"], record["user"]) == (account, user)


def test_the_gateways_own_administrator_is_no_user(tmp_path):
    assert record_of(tmp_path, user="default_user_id")["user"] == "browser-17"
    assert record_of(tmp_path, user=None, end_user="")["user"] == ""


def test_settings_that_nobody_knows_are_refused_with_what_there_is():
    wrong = wrong_settings("litellm", {"acount": "team_id", "user": ["team", "tag."], "charge_cache_hits": "yes"})
    assert wrong["acount"].startswith("There is no such setting. Did you mean account?")
    assert wrong["user"].endswith(
        " is no field of a call. There are " + ", ".join([*WHO, "tag.NAME", "metadata.NAME"]) + "."
    )
    assert wrong["charge_cache_hits"] == "“yes” is not true or false."


# Keys --------------------------------------------------------------------------------------------------


def test_a_key_is_its_name_and_its_hash_only_where_that_is_wanted(tmp_path):
    assert record_of(tmp_path, metadata={})["key"] == ""
    assert record_of(tmp_path, {"hashed_keys": True}, metadata={})["key"] == HASH
    assert record_of(tmp_path, {"hashed_keys": True})["key"] == "lab notebook"


def test_what_could_be_a_key_itself_is_never_kept(tmp_path):
    secret = "sk-proj-abcdefghijklmnop"
    tally = Tally()
    record = record_of(tmp_path, {"hashed_keys": True}, tally, metadata={"user_api_key_alias": secret}, api_key=secret)
    assert record["key"] == ""
    assert tally.notes == ["Names of keys that could be the key itself, which are left out: 1."]


# Free, and odd ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "free"),
    [
        ({"status": "failure", "spend": 0}, "failed"),
        ({"status": "failure", "spend": 0.0}, "failed"),
        ({"status": None, "metadata": {"status": "failure"}, "spend": None}, "failed"),
        ({"status": "failure", "spend": 1e-12}, ""),
        ({"status": "success", "spend": 0}, ""),
        ({"cache_hit": "True", "spend": 0.0}, "cached"),
        ({"cache_hit": True, "spend": 0}, "cached"),
        ({"cache_hit": "True", "spend": 0.1}, ""),
        ({"cache_hit": "None", "spend": 0.0}, ""),
    ],
)
def test_calls_are_free_that_failed_or_came_from_the_cache_unless_they_cost(tmp_path, fields, free):
    assert record_of(tmp_path, **fields)["free"] == free


def test_what_the_cache_answered_is_charged_where_settings_say_so(tmp_path):
    assert record_of(tmp_path, {"charge_cache_hits": True}, cache_hit="True", spend=0)["free"] == ""


def test_costs_are_exact_to_twelve_decimals_and_what_is_rounded_is_said(tmp_path):
    content = json.dumps([a_call(spend="SPEND")])
    for text, pico in (("7.25e-05", 72_500_000), ("0.1", 100_000_000_000), ("1E-12", 1), ('"0.25"', 250_000_000_000)):
        tally = Tally()
        path = written(tmp_path, content.replace('"SPEND"', text))
        assert [each["cost_pico"] for each in records_of(path, "litellm", tally=tally)] == [pico]
        assert tally.notes == []
    tally = Tally()
    path = written(tmp_path, content.replace('"SPEND"', "1.4999999999999999e-05"))
    assert [each["cost_pico"] for each in records_of(path, "litellm", tally=tally)] == [15_000_000]
    assert tally.notes == ["Costs of more than 12 decimals, which are rounded to them: 1."]


def test_what_is_odd_is_taken_and_said(tmp_path):
    tally = Tally()
    record = record_of(
        tmp_path,
        tally=tally,
        endTime="2026-08-27T12:37:00Z",
        metadata={"usage_object": {"cache_read_input_tokens": 25}},
    )
    assert record["end"] == record["start"]
    assert (record["input_tokens"], record["cached_tokens"], record["uncached_tokens"]) == (10, 25, 0)
    assert tally.notes == [
        "Calls that end before they start, which are taken as of no length: 1.",
        "Calls with more cached tokens than input tokens, all of whose input counts as cached: 1.",
    ]


def test_a_file_that_lacks_pages_says_so(tmp_path):
    tally = Tally()
    page = {"data": [a_call()], "total": 2345, "page": 1, "page_size": 1, "total_pages": 2345}
    records_of(written(tmp_path, json.dumps(page)), "litellm", tally=tally)
    assert tally.notes == ["The gateway has 2,345 calls, and the file 1 of them: it lacks pages."]


def test_no_text_of_a_client_stops_a_file(tmp_path):
    """Clients choose the end user and the tags: one of them must not keep everybody's calls from being read."""
    long = "x" * 5000
    record = record_of(tmp_path, {"user": "end_user"}, end_user=long)
    assert len(record["user"]) == 200
    assert record["user"] != record_of(tmp_path, {"user": "end_user"}, end_user=long + "y")["user"]
    assert record_of(tmp_path, {"user": "end_user"}, end_user="a\0b\ud800\u202e")["user"] == "ab?"
    assert record_of(tmp_path, request_tags=[None, 3, {"pi": 1}, "pi", ":x"])["account"] == "chen-lab"


# What is wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"request_id": ""}, "The call has no request_id. Is this a file of LiteLLM's spend logs?"),
        ({"startTime": None}, "The call does not say when it started."),
        ({"startTime": "27/08/2026"}, "“27/08/2026” can be read as more than one date."),
        ({"startTime": "1970-01-01T00:00:00Z"}, "“1970-01-01T00:00:00Z” is out of range"),
        ({"startTime": 10**30}, "is no moment in seconds since 1970."),
        ({"startTime": True}, "A date or time is expected."),
        ({"prompt_tokens": -1}, "“-1” is below zero."),
        ({"prompt_tokens": 1.5}, "“1.5” is not a whole number."),
        ({"completion_tokens": "many"}, "“many” is not a number."),
        ({"completion_tokens": 10**30}, "is larger than can be kept."),
        ({"spend": -0.1}, "“-0.1” is below zero."),
        ({"spend": [1]}, "A number is expected."),
        ({"spend": True}, "A number is expected."),
        ({"user": {"name": "ada"}}, "A text is expected, and not a list or an object."),
        ({"metadata": "{"}, "What it says is no JSON at character 2."),
        ({"metadata": '{"a": NaN}'}, "What it says is no JSON."),
    ],
)
def test_what_is_wrong_is_said_by_call_and_field(tmp_path, fields, says):
    path = file_of(tmp_path, a_call(), a_call(**fields))
    (problem,) = problems_of(path, "litellm")
    assert says in problem
    assert problem.startswith("line 1")
    assert "Object 2: " in problem


def test_a_number_too_large_to_write_out_is_refused_at_once(tmp_path):
    content = json.dumps([a_call(spend="SPEND", startTime="START")])
    path = written(tmp_path, content.replace('"SPEND"', "1e99999999").replace('"START"', "1e99999999"))
    assert "is not a number" in problems_of(path, "litellm")[0]


def test_all_that_is_wrong_is_said_up_to_a_hundred(tmp_path):
    path = written(tmp_path, "\n".join(json.dumps(a_call(spend=-1)) for _ in range(150)))
    problems = problems_of(path, "litellm")
    assert len(problems) == 100
    assert problems[99] == "line 100, column spend: Object 100: “-1” is below zero."


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([{"startTime": "2026-08-27", "spend": 0.1, "users": {"ada": 0.1}, "models": {}}], "Ask /spend/logs with summ"),
        ([{"group_by_day": "2026-08-27", "teams": []}], "Ask /spend/logs with summarize=false."),
        ({"error": {"message": "Authentication Error"}}, "This is an error message of the gateway"),
        ({"detail": "Not Found"}, "This is an error message of the gateway"),
    ],
)
def test_what_is_no_log_of_calls_is_refused_by_what_it_is(tmp_path, content, says):
    assert says in problems_of(written(tmp_path, json.dumps(content)), "litellm")[0]


# Properties ---------------------------------------------------------------------------------------------

amounts = st.decimals(0, 100, places=12, allow_nan=False, allow_infinity=False)
some_calls = st.lists(
    st.builds(
        lambda number, spend, tokens, failed: a_call(
            request_id=f"c-{number}",
            spend=str(spend),
            prompt_tokens=tokens,
            status="failure" if failed else "success",
            startTime=f"2026-08-{1 + number % 28:02}T00:00:00Z",
        ),
        st.integers(0, 10**6),
        amounts,
        st.integers(0, 10**9),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


@given(some_calls, st.data())
def test_any_order_and_any_cut_into_files_comes_to_the_same(tmp_path_factory, rows, data):
    folder = tmp_path_factory.mktemp("calls")
    expected = totals_of(records_of(file_of(folder, *rows), "litellm"), calls.SHAPE)
    assert expected["cost_pico"] == sum(Decimal(row["spend"]) for row in rows) * 10**12
    shuffled = data.draw(st.permutations(rows))
    cut = data.draw(st.integers(0, len(rows)))
    found = []
    for part in (shuffled[:cut], shuffled[cut:]):
        found += records_of(file_of(folder, *part), "litellm")
    assert totals_of(found, calls.SHAPE) == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(a_call())), json_values, max_size=6))
def test_any_values_are_taken_or_refused_by_name(tmp_path_factory, fields):
    folder = tmp_path_factory.mktemp("noise")
    path = file_of(folder, a_call(**fields))
    with contextlib.suppress(FileError):
        records_of(path, "litellm")


def test_a_csv_is_not_json(tmp_path):
    with (tmp_path / "x.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["request_id", "spend"], ["c-1", "0.1"]])
    assert problems_of(tmp_path / "x.csv", "litellm") == [
        "line 1: At character 1: This is not JSON. It has to begin with [ or {."
    ]


# What is left behind --------------------------------------------------------------------------------------


def test_nothing_is_written_to_a_temporary_file(tmp_path, monkeypatch):
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    opened = []
    monkeypatch.setattr(tempfile, "_get_candidate_names", lambda: opened.append(1) or iter(["x"]))
    records_of(written(tmp_path, gzip.compress(json.dumps([a_call()]).encode())), "litellm")
    assert opened == []
    assert list((tmp_path / "scratch").iterdir()) == []


def test_the_memory_is_that_of_one_call_and_not_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(json_rows, "BLOCK", 16 * 1024)
    one = json.dumps(a_call(messages=["x" * 8_000]))
    path = written(tmp_path, "[" + ",".join([one] * 600) + "]")
    assert path.stat().st_size > 5_000_000
    tracemalloc.start()
    try:
        numbers = [row.number for row in json_rows.JsonRows(path)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert numbers[-1] == 600
    assert peak < 1_000_000

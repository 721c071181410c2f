"""OpenAI's usage and costs, from its dashboard and its interfaces, and Azure OpenAI's calls by API Management."""

import csv
import io
import json

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.usage.readers import Tally, calls

from .reading import problems_of, records_of, totals_of, written, wrong_settings

DAY = 1759622400
USAGE = {
    "start_time": DAY,
    "end_time": DAY + 86_400,
    "start_time_iso": "2025-10-05T00:00:00+00:00",
    "end_time_iso": "2025-10-06T00:00:00+00:00",
    "project_id": "proj_1",
    "num_model_requests": "10.0",
    "user_id": "user-1",
    "api_key_id": "key_1",
    "model": "gpt-4o-2024-08-06",
    "batch": "FALSE",
    "service_tier": "default",
    "input_tokens": "59200.0",
    "output_tokens": "10646.0",
    "input_cached_tokens": "5760.0",
}
UNUSED = dict.fromkeys(USAGE, "") | {name: USAGE[name] for name in list(USAGE)[:4]}


def a_table(*rows, delimiter=","):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_a_row_of_the_dashboard_is_the_sum_of_a_day(tmp_path, delimiter):
    tally = Tally()
    path = written(tmp_path, "\ufeff" + a_table(USAGE, UNUSED, delimiter=delimiter))
    (record,) = records_of(path, "openai", tally=tally)
    assert record == {
        "id": "project_id=proj_1 user_id=user-1 api_key_id=key_1 model=gpt-4o-2024-08-06 batch=FALSE "
        "service_tier=default",
        "start": DAY,
        "end": DAY + 86_400,
        "account": "proj_1",
        "user": "user-1",
        "resource": "gpt-4o-2024-08-06",
        "free": "",
        "model": "gpt-4o-2024-08-06",
        "provider": "openai",
        "key": "key_1",
        "call_type": "",
        "status": "",
        "tier": "default",
        "requests": 10,
        "input_tokens": 59200,
        "uncached_tokens": 53440,
        "cached_tokens": 5760,
        "output_tokens": 10646,
        "reasoning_tokens": 0,
        "cost_pico": 0,
    }
    assert dict(tally.left_out) == {"hours or days without use": 1}


def test_rows_that_nothing_tells_apart_are_each_a_record(tmp_path):
    """The dashboard has rows that differ in nothing but their numbers."""
    records = records_of(written(tmp_path, a_table(USAGE, USAGE | {"num_model_requests": "1"}, USAGE)), "openai")
    assert len({record["id"] for record in records}) == 3
    assert [record["requests"] for record in records] == [10, 1, 10]


def test_a_batch_is_a_tier_of_its_own(tmp_path):
    (record,) = records_of(written(tmp_path, a_table(USAGE | {"batch": "TRUE"})), "openai")
    assert record["tier"] == "batch"


def test_the_answer_of_the_interface_is_the_same_usage(tmp_path):
    result = {
        "object": "organization.usage.completions.result",
        **{"input_tokens": 59200, "output_tokens": 10646, "input_cached_tokens": 5760, "num_model_requests": 10},
        **{"project_id": "proj_1", "user_id": "user-1", "api_key_id": "key_1", "model": "gpt-4o-2024-08-06"},
        "batch": False,
        "service_tier": "default",
    }
    bucket = {"object": "bucket", "start_time": DAY, "end_time": DAY + 86_400, "results": [result]}
    empty = {"object": "bucket", "start_time": DAY + 86_400, "end_time": DAY + 2 * 86_400, "results": []}
    page = {"object": "page", "data": [bucket, empty], "has_more": True, "next_page": "x"}
    tally = Tally()
    (record,) = records_of(written(tmp_path, json.dumps(page)), "openai", tally=tally)
    (from_table,) = records_of(written(tmp_path, a_table(USAGE)), "openai")
    assert record == from_table | {"id": record["id"]}
    assert dict(tally.left_out) == {"hours or days without use": 1}
    assert tally.notes == ["OpenAI has more than this: the file lacks the pages behind its last one."]


def test_costs_are_exact(tmp_path):
    cost = {
        "start_time": DAY,
        "end_time": DAY + 86_400,
        "amount_value": "0.8958740000000000",
        "amount_currency": "usd",
        "line_item": "gpt-4o, input",
        "project_id": "proj_1",
        "organization_id": "org-1",
    }
    (record,) = records_of(written(tmp_path, a_table(cost)), "openai")
    assert (record["cost_pico"], record["call_type"], record["model"]) == (895_874_000_000, "costs", "gpt-4o, input")
    result = {"amount": {"value": 0.06, "currency": "usd"}, "line_item": None, "project_id": "proj_1"}
    page = {"data": [{"start_time": DAY, "end_time": DAY + 86_400, "results": [result]}], "has_more": False}
    (record,) = records_of(written(tmp_path, json.dumps(page)), "openai")
    assert record["cost_pico"] == 60_000_000_000
    (problem,) = problems_of(written(tmp_path, a_table(cost, cost | {"amount_currency": "EUR"})), "openai")
    assert problem.startswith("line 3, column amount_currency: The cost is in EUR and others are in usd.")


def test_a_workbook_made_of_the_export_is_read_too(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(list(USAGE))
    book.active.append([float(value) if "tokens" in name else value for name, value in USAGE.items()])
    book.save(tmp_path / "usage.xlsx")
    assert records_of(tmp_path / "usage.xlsx", "openai") == records_of(written(tmp_path, a_table(USAGE)), "openai")


def test_who_pays_may_be_the_key(tmp_path):
    given = {"account": ["api_key_name", "api_key_id"], "user": []}
    assert "user" in wrong_settings("openai", given | {"user": ["nobody"]})
    (record,) = records_of(written(tmp_path, a_table(USAGE)), "openai", {"account": "api_key_id"})
    assert record["account"] == "key_1"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a,b\n1,2\n", "line 1: The table lacks the columns “start_time_iso”, “input_tokens”. It has “a”, “b”."),
        ("", "The file is empty."),
        (a_table(USAGE | {"start_time_iso": "", "start_time": ""}), "line 2, column start_time: The row does not say"),
        (a_table(USAGE | {"input_tokens": "1e3x"}), "line 2, column input_tokens: “1e3x” is not a number."),
        (
            a_table(USAGE | {"input_tokens": "#REF!"}),
            "line 2, column input_tokens: “#REF!” is an error of a spreadsheet",
        ),
        (
            a_table(USAGE | {"start_time_iso": "10/05/2025"}),
            "line 2, column start_time_iso: “10/05/2025” can be read as",
        ),
        ('{"error": {"message": "Incorrect API key"}}', "line 1: Object 1: This is an error message of OpenAI"),
        ('{"data": [{"results": [1]}]}', "line 1: Object 1: A result is no object in braces."),
        ('{"data": [{"results": [{"amount": 3, "input_tokens": 1}]}]}', "does not say when it starts."),
        (a_table(USAGE) + 'x,"y\n', "line 3: The line cannot be read as CSV"),
        (b"start_time,input_tokens\n1759622400,\xff\n", "line 2: The line is not UTF-8"),
    ],
)
def test_what_is_wrong_is_said_by_line_and_column(tmp_path, content, says):
    assert says in problems_of(written(tmp_path, content), "openai")[0]


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=10), st.data())
def test_any_order_and_any_cut_into_files_comes_to_the_same(tmp_path_factory, counts, data):
    folder = tmp_path_factory.mktemp("openai")
    rows = [USAGE | {"model": f"m{number % 3}", "output_tokens": count} for number, count in enumerate(counts)]
    expected = totals_of(records_of(written(folder, a_table(*rows)), "openai"), calls.SHAPE)
    shuffled = data.draw(st.permutations(rows))
    cut = data.draw(st.integers(1, len(rows)))
    found = []
    for part in filter(None, (shuffled[:cut], shuffled[cut:])):
        found += records_of(written(folder, a_table(*part)), "openai")
    assert totals_of(found, calls.SHAPE) == expected


# Azure OpenAI -------------------------------------------------------------------------------------------

CALL = {
    "TableName": "PrimaryResult",
    "TimeGenerated": "2026-08-27T12:37:44.874Z",
    "CorrelationId": "c-1",
    "RequestId": "r-1",
    "SequenceNumber": "0",
    "DeploymentName": "gpt-4o-prod",
    "ModelName": "gpt-4o",
    "OperationName": "ChatCompletions_Create",
    "PromptTokens": "120",
    "CompletionTokens": "30",
    "TotalTokens": "150",
    "ApimSubscriptionId": "chen-lab",
    "UserId": "ada",
    "ResponseCode": "200",
    "IsRequestSuccess": "True",
}
MESSAGE = CALL | {
    **{"SequenceNumber": "1", "DeploymentName": "", "ModelName": "", "PromptTokens": None, "CompletionTokens": None},
    "RequestMessages": "the secret prompt",
}


def azure(folder, *rows, given=None, tally=None):
    return records_of(written(folder, json.dumps(list(rows))), "azure_openai", given, tally)


def test_a_call_of_the_gateway_has_its_tokens_and_parts_of_messages_are_left_out(tmp_path):
    tally = Tally()
    (record,) = azure(tmp_path, CALL, MESSAGE, tally=tally)
    assert record == {
        "id": "c-1/r-1",
        "start": 1787834264,
        "end": 1787834264,
        "account": "chen-lab",
        "user": "ada",
        "resource": "gpt-4o",
        "free": "",
        "model": "gpt-4o",
        "provider": "azure",
        "key": "",
        "call_type": "ChatCompletions_Create",
        "status": "success",
        "tier": "",
        "requests": 1,
        "input_tokens": 120,
        "uncached_tokens": 120,
        "cached_tokens": 0,
        "output_tokens": 30,
        "reasoning_tokens": 0,
        "cost_pico": 0,
    }
    assert dict(tally.left_out) == {"parts of messages": 1}
    assert "secret" not in json.dumps(record)


def test_the_same_query_as_a_table_is_the_same_calls(tmp_path):
    rows = [{name + (" [UTC]" if name == "TimeGenerated" else ""): value for name, value in CALL.items()}]
    assert records_of(written(tmp_path, a_table(*rows)), "azure_openai") == azure(tmp_path, CALL)


@pytest.mark.parametrize(
    ("fields", "free", "status"),
    [
        ({"ResponseCode": "429", "PromptTokens": "0", "CompletionTokens": "0"}, "failed", "failure"),
        ({"IsRequestSuccess": "false", "PromptTokens": "", "CompletionTokens": ""}, "failed", "failure"),
        ({"ResponseCode": "500"}, "", "failure"),
        ({"ResponseCode": ""}, "", "success"),
    ],
)
def test_failed_calls_are_free_unless_they_used_tokens(tmp_path, fields, free, status):
    (record,) = azure(tmp_path, CALL | fields)
    assert (record["free"], record["status"]) == (free, status)


def test_who_pays_may_be_a_column_that_the_query_made(tmp_path):
    (record,) = azure(tmp_path, CALL | {"Department": "BIO"}, given={"account": ["column.Department"], "user": "ApiId"})
    assert (record["account"], record["user"]) == ("BIO", "")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"CorrelationId": "", "RequestId": None}, "The call has no CorrelationId and no RequestId."),
        ({"TimeGenerated": "8/27/2026, 12:37:44.874 PM"}, "can be read as more than one date."),
        ({"TimeGenerated": ""}, "The call does not say when it was."),
        ({"PromptTokens": "-3"}, "“-3” is below zero."),
    ],
)
def test_what_is_wrong_with_a_call_is_said_by_line(tmp_path, fields, says):
    (problem,) = problems_of(written(tmp_path, json.dumps([CALL | fields])), "azure_openai")
    assert problem.startswith("line 1, column ")
    assert says in problem

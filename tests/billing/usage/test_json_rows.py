"""Objects of JSON files: every form they come in, in little memory, and what is wrong by line and character."""

import contextlib
import gzip
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.readers import UnreadableFile
from billing.usage.readers import json_rows
from billing.usage.readers.json_rows import JsonRows, begins_json

from .reading import written


def values_of(path, **options):
    return [row.value for row in JsonRows(path, **options)]


def refusal(path, **options):
    with pytest.raises(UnreadableFile) as caught:
        values_of(path, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        '[{"a": 1}, {"a": 2}]',
        '\ufeff [\n{"a":1}\n,\n{"a":2}\n]\n',
        '{"a": 1}\n{"a": 2}\n',
        '{"a": 1}{"a": 2}',
        '[{"a": 1}]\n[{"a": 2}]',
        '{"total": 2, "data": [{"a": 1}, {"a": 2}], "page": 1}',
        '{"data": [{"a": 1}], "page": 1}\n{"data": [{"a": 2}], "page": 2}',
    ],
)
def test_objects_are_the_same_in_every_form(tmp_path, content):
    assert values_of(written(tmp_path, content), lists=("data",)) == [{"a": 1}, {"a": 2}]
    assert values_of(written(tmp_path, gzip.compress(content.encode())), lists=("data",)) == [{"a": 1}, {"a": 2}]


def test_what_pages_say_beside_their_objects_is_kept(tmp_path):
    rows = JsonRows(written(tmp_path, '{"data": [{"a": 1}], "page": 1}\n{"total": 9, "data": []}'), lists=("data",))
    assert [row.value for row in rows] == [{"a": 1}]
    assert rows.pages == [{"page": 1}, {"total": 9}]


def test_numbers_are_as_written_and_never_by_way_of_a_float(tmp_path):
    (row,) = values_of(written(tmp_path, '[{"cost": 0.1000000000000000055511151231257827, "n": 12345678901234567890}]'))
    assert row == {"cost": Decimal("0.1000000000000000055511151231257827"), "n": 12345678901234567890}


def test_rows_know_their_line_and_number(tmp_path):
    rows = list(JsonRows(written(tmp_path, '[\n{"a":\n1},\n\n{"a": 2}]')))
    assert [(row.line, row.number) for row in rows] == [(2, 1), (5, 2)]


@pytest.mark.parametrize("block", [1, 2, 3, 7])
def test_objects_are_the_same_wherever_a_block_of_the_file_ends(tmp_path, monkeypatch, block):
    monkeypatch.setattr(json_rows, "BLOCK", block)
    expected = [{"é": "“\\n☃”", "n": [1, -2.5e-7, True, None, {"x": {}}]}, {"s": '\\" 𝄞 \\'}]
    expected = json.loads(json.dumps(expected), parse_float=Decimal)
    for ascii_only in (True, False):
        plain = json.dumps(expected, ensure_ascii=ascii_only, default=str).replace('"-2.5E-7"', "-2.5e-7")
        assert values_of(written(tmp_path, plain)) == expected
        lines = "\n".join(
            json.dumps(each, ensure_ascii=ascii_only, default=str).replace('"-2.5E-7"', "-2.5e-7") for each in expected
        )
        assert values_of(written(tmp_path, lines), lists=("data",)) == expected


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "line 1: At character 1: The file is empty."),
        ("  \n ", "line 2: At character 5: The file is empty."),
        ("a,b\n1,2\n", "line 1: At character 1: This is not JSON. It has to begin with [ or {."),
        ('[{"a": 1}\n,{"a": 2', "line 2: At character 19: The file ends in the middle."),
        ('[{"a": 1},\n', "line 2: At character 12: The file ends in the middle."),
        ('[{"a": 1}', "line 1: At character 10: The file ends in the middle."),
        ('[{"a": "never closed]}', "line 1: At character 8: The file ends in the middle."),
        ('{"data": [{"a": 1}', "line 1: At character 19: The file ends in the middle."),
        ('{"data": [{"a": 1}]', "line 1: At character 20: The file ends in the middle."),
        ('{"a": 1,\n', "line 2: At character 10: The file ends in the middle."),
        ('[{"a": 1},]', "line 1: At character 11: A value is expected behind the comma."),
        ('[{"a": 1} {"a": 2}]', "line 1: At character 11: A comma or a closing bracket is expected."),
        ('[{"a": 1}]\nnull', "line 2: At character 12: Only objects and arrays can stand side by side in a file."),
        ("[1]", "line 1: Object 1: It is no object in braces."),
        ('[{"a": 1}, "text"]', "line 1: Object 2: It is no object in braces."),
        ('[{"a": NaN}]', "line 1: At character 2: NaN is no number."),
        ('[{"a": 1},\n{"a": -Infinity}]', "line 2: At character 12: -Infinity is no number."),
        ('[{"a": 1, "a": 2}]', "line 1: At character 2: The object has the same name twice"),
        ('{"a": 1, "a": 2}', "line 1: At character 13: The object has the same name twice"),
        ('[{"a": {"b": 1, "b": 1}}]', "line 1: At character 2: The object has the same name twice"),
        ('[{"a" 1, "b": "a long text behind it"}]', "line 1: At character 7: Expecting ':' delimiter."),
        ('{"a": 1,}', "line 1: At character 9: A name is expected behind the comma."),
        ("{1: 2}", "line 1: At character 2: A name in quotes is expected."),
        ('[{"a": "tab\there, and more of it"}]', "line 1: At character 12: Invalid control character at."),
        ('[{"a": ' + "9" * 5000 + "}]", "line 1: At character 2: A number has thousands of digits."),
        ('[{"a": ' + "[" * 100_000, "line 1: At character 2: The object has too many lists or objects"),
        (b'[{"a": "x"},\n{"a": "\xff"}]', "line 2: The line is not UTF-8. Export the file as UTF-8."),
        (b'[{"a": "\xe2\x98', "line 1: The line is not UTF-8."),
        (gzip.compress(b'[{"a": 1}]', mtime=0)[:-6], "The file ends in the middle: it was not copied completely."),
    ],
)
def test_what_is_wrong_is_said_by_line_and_character(tmp_path, content, says):
    assert refusal(written(tmp_path, content), lists=("data",)).startswith(says)


def test_no_message_repeats_what_the_file_says(tmp_path):
    secret = "the secret prompt"
    for content in (
        f'[{{"a": "{secret}',
        f'[{{"a": "{secret}" x}}]',
        f'[{{"{secret}": 1, "{secret}": 2}}]',
        f'["{secret}"]',
    ):
        assert secret not in refusal(written(tmp_path, content))


def test_an_object_longer_than_any_call_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(json_rows, "LONGEST", 1_000)
    monkeypatch.setattr(json_rows, "BLOCK", 100)
    content = json.dumps([{"a": "short"}, {"a": "x" * 5_000}])
    assert "At character 18: The object is longer than" in refusal(written(tmp_path, content))


def test_a_file_made_to_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("billing.readers.streams.SMALL_ENOUGH", 1024 * 1024)
    packed = gzip.compress(b"[" + b'{"a": 1}, ' * 1_000_000, mtime=0)
    assert "unpacks to more than 200 times its size" in refusal(written(tmp_path, packed))


def test_json_is_told_from_tables_by_its_beginning(tmp_path):
    for content, is_json in (("[", True), ("\ufeff\n {", True), ("a,b\n[1", False), ("", False), ("“[", False)):
        assert begins_json(written(tmp_path, content)) is is_json
        assert begins_json(written(tmp_path, gzip.compress(content.encode()))) is is_json


@given(st.binary(max_size=300))
def test_noise_is_refused_by_name(tmp_path_factory, noise):
    path = written(tmp_path_factory.mktemp("noise"), b'[{"a": ' + noise)
    with contextlib.suppress(UnreadableFile):
        values_of(path)

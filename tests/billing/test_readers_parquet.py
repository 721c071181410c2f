"""FOCUS as parquet: every physical type that providers and their users write."""

import datetime
import json
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.readers import FileError, open_delivery, read
from billing.readers.amount_columns import amount_column
from billing.readers.arrow_texts import number_texts
from billing.readers.parquet_footer import read_footer
from billing.readers.tags import tags_of

NAMES = ("BillingPeriodStart", "ChargePeriodStart", "BilledCost")


def a_table(**columns):
    """Make a table of FOCUS columns; each is an array or a list of texts."""
    size = len(next(iter(columns.values())))
    base = {"BillingPeriodStart": ["2025-01-01"] * size, "ChargePeriodStart": ["2025-01-01"] * size}
    base["BilledCost"] = ["1"] * size
    return pa.table(base | columns)


def rows_of(tmp_path, table, **options):
    path = tmp_path / "some.parquet"
    pq.write_table(table, path, **options)
    (part,) = open_delivery([path], ["some.parquet"])
    columns: dict[str, list[str]] = {}
    for batch in read(part):
        for name in batch.columns:
            columns.setdefault(name, []).extend(batch.texts(name))
    return columns


def refusal(tmp_path, table, **options):
    with pytest.raises(FileError) as caught:
        rows_of(tmp_path, table, **options)
    return caught.value.problems[0]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.none(), min_size=1, max_size=20))
def test_a_double_is_what_python_writes_for_it(values):
    texts = number_texts(pa.array(values, pa.float64())).tolist()
    for value, text in zip(values, texts, strict=True):
        assert text == "" if value is None else Decimal(text) == Decimal(repr(value))


@given(
    st.lists(st.decimals(-(10**19), 10**19, places=18), min_size=1, max_size=20),
    st.sampled_from([pa.decimal128(38, 18), pa.decimal256(60, 18), pa.decimal256(76, 30)]),
)
def test_a_decimal_keeps_every_digit(values, kind):
    texts = number_texts(pa.array(values, kind)).tolist()
    assert [Decimal(text) for text in texts] == values
    assert not any("E" in text for text in texts)


@pytest.mark.parametrize(
    ("array", "total"),
    [
        (pa.array([8e-7, 6.123e-7, None, 0.1]), "0.1000014123"),
        (pa.array([0.1, 0.2], pa.float32()), "0.3"),
        (pa.array([1, -2, 3], pa.int64()), "2"),
        (pa.array([Decimal("0.000000000000000001"), Decimal("0E-18")], pa.decimal128(38, 18)), "1e-18"),
        (pa.array([Decimal("12"), Decimal("-5")], pa.decimal128(5, 0)), "7"),
        (pa.array(["6.123E-7", "1"]), "1.0000006123"),
        (pa.array([None, None], pa.null()), "0"),
    ],
)
def test_costs_come_in_every_numeric_type(tmp_path, array, total):
    texts = rows_of(tmp_path, a_table(ListCost=array))["ListCost"]
    assert amount_column(pa.array(texts)).total() == Decimal(total)


def test_ids_are_texts_whatever_they_were_stored_as(tmp_path):
    rows = rows_of(
        tmp_path,
        a_table(
            SubAccountId=pa.array([51738928782, 42]),
            SkuId=pa.array([11472.0, None]),
            ResourceId=pa.array([b"i-1", "é".encode()], pa.binary()),
            InvoiceId=pa.array([Decimal("12.00"), Decimal("7.00")], pa.decimal128(20, 2)),
            RegionId=pa.array(["a", None]).dictionary_encode(),
            ServiceName=pa.array(["x", "y"], pa.large_string()),
            PricingCategory=pa.array([True, None]),
        ),
    )
    assert rows["SubAccountId"] == ["51738928782", "42"]
    assert rows["SkuId"] == ["11472", ""]
    assert rows["ResourceId"] == ["i-1", "é"]
    assert rows["InvoiceId"] == ["12", "7"]
    assert rows["RegionId"] == ["a", ""]
    assert rows["ServiceName"] == ["x", "y"]
    assert rows["PricingCategory"] == ["true", ""]


def test_an_id_that_a_double_has_rounded_is_refused(tmp_path):
    problem = refusal(tmp_path, a_table(SubAccountId=pa.array([1.2345678901234568e17, None])))
    assert (problem.column, "lost digits" in problem.message) == ("SubAccountId", True)


NOON = datetime.datetime(2025, 1, 31, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (pa.array([NOON.replace(tzinfo=None)], pa.timestamp("s")), "2025-01-31T12:00:00Z"),
        (pa.array([NOON.replace(tzinfo=None)], pa.timestamp("ns")), "2025-01-31T12:00:00Z"),
        (pa.array([NOON], pa.timestamp("us", "UTC")), "2025-01-31T12:00:00Z"),
        (pa.array([NOON], pa.timestamp("ms", "America/Los_Angeles")), "2025-01-31T12:00:00Z"),
        (pa.array([NOON.replace(microsecond=999000)], pa.timestamp("us", "UTC")), "2025-01-31T12:00:00.999000Z"),
        (pa.array([NOON.date()], pa.date32()), "2025-01-31"),
        (pa.array([NOON.date()], pa.date64()), "2025-01-31"),
        (pa.array(["2025-01-31 12:00:00 UTC"]), "2025-01-31 12:00:00 UTC"),
        (pa.array([None], pa.timestamp("us")), ""),
    ],
)
def test_times_come_in_every_temporal_type(tmp_path, array, text):
    assert rows_of(tmp_path, a_table(ChargePeriodEnd=array))["ChargePeriodEnd"] == [text]


def test_the_int96_of_aws_and_azure_is_a_time_like_any_other(tmp_path):
    far = pa.array([NOON.replace(year=2261, tzinfo=None), NOON.replace(tzinfo=None)], pa.timestamp("ns"))
    rows = rows_of(tmp_path, a_table(ChargePeriodEnd=far), use_deprecated_int96_timestamps=True)
    assert rows["ChargePeriodEnd"] == ["2261-01-31T12:00:00Z", "2025-01-31T12:00:00Z"]


MAP = pa.map_(pa.string(), pa.string())
PAIRS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())]))
ADA = {"pi_email": "ada@u.edu", "org": "x"}
LISTED = [{"key": key, "value": value} for key, value in ADA.items()]


@pytest.mark.parametrize(
    "array",
    [
        pa.array([list(ADA.items()), [], None], MAP),
        pa.array([LISTED, [], None], PAIRS),
        pa.array([LISTED, [], None], pa.large_list(PAIRS.value_type)),
        pa.array([ADA, {"pi_email": None, "org": None}, None], pa.struct([(key, pa.string()) for key in ADA])),
        pa.array([json.dumps(ADA), "{}", None]),
        pa.array([json.dumps(LISTED), "[]", None]),
    ],
)
def test_tags_come_as_map_list_struct_and_json(tmp_path, array):
    tags = [tags_of(text) for text in rows_of(tmp_path, a_table(Tags=array))["Tags"]]
    assert [tag.pairs for tag in tags] == [ADA, {}, {}]
    assert [tag.problem for tag in tags] == ["", "", ""]
    assert [tag.canonical for tag in tags] == [tags_of(json.dumps(ADA)).canonical, "", ""]


def test_tags_of_many_rows_and_row_groups_stay_with_their_rows(tmp_path):
    expected = [{"n": str(n % 7), "m": "x" * (n % 3)} if n % 5 else {} for n in range(1000)]
    table = a_table(Tags=pa.array([list(each.items()) for each in expected], MAP))
    texts = rows_of(tmp_path, table, row_group_size=130)["Tags"]
    assert [tags_of(text).pairs for text in texts] == expected


def test_values_of_tags_that_are_no_texts_become_texts(tmp_path):
    table = a_table(Tags=pa.array([[("a", True)], [("b", None)]], pa.map_(pa.string(), pa.bool_())))
    assert [tags_of(text).pairs for text in rows_of(tmp_path, table)["Tags"]] == [{"a": "true"}, {}]


def test_a_key_with_two_values_is_kept_and_flagged(tmp_path):
    double = [{"key": "pi", "value": "ada"}, {"key": "pi", "value": "bob"}, {"key": "org", "value": "x"}]
    same = [{"key": "pi", "value": "ada"}, {"key": "pi", "value": "ada"}]
    first, second = map(tags_of, rows_of(tmp_path, a_table(Tags=pa.array([double, same], PAIRS)))["Tags"])
    assert (first.pairs, first.problem) == ({"org": "x"}, "The tag “pi” holds more than one value: “ada” and “bob”.")
    assert (second.pairs, second.problem) == ({"pi": "ada"}, "")
    assert "bob" in first.canonical


@pytest.mark.parametrize(
    ("column", "array", "says"),
    [
        ("Tags", pa.array([["a"]], pa.list_(pa.string())), "a map, a list of keys and values, or JSON"),
        ("ServiceName", pa.array([["a"]], pa.list_(pa.string())), "one value is expected"),
        ("ListCost", pa.array([True]), "numbers are expected"),
        ("ResourceId", pa.array([b"\xff\xfe"], pa.binary()), "cannot be read"),
    ],
)
def test_a_column_of_another_type_is_named(tmp_path, column, array, says):
    problem = refusal(tmp_path, a_table(**{column: array}))
    assert (problem.column, says in problem.message) == (column, True)


def test_other_columns_are_not_even_decoded(tmp_path):
    extra = pa.array([[{"deep": [1, 2]}]], pa.list_(pa.struct([("deep", pa.list_(pa.int64()))])))
    assert set(rows_of(tmp_path, a_table(x_Credits=extra, oci_AttributedCost=pa.array([5.0])))) == set(NAMES)


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "lz4", "brotli"])
def test_every_compression_is_read(tmp_path, compression):
    assert rows_of(tmp_path, a_table(ServiceName=["x"] * 50), compression=compression)["ServiceName"] == ["x"] * 50


def test_another_export_is_refused_by_name_in_parquet_too(tmp_path):
    path = tmp_path / "cur.parquet"
    pq.write_table(pa.table({"line_item_unblended_cost": [1.0], "bill_payer_account_id": ["1"]}), path)
    with pytest.raises(FileError, match="Cost and Usage Report"):
        list(read(open_delivery([path], ["cur.parquet"])[0]))
    pq.write_table(pa.table({"billing_account_id": ["1"], "usage_start_time": [NOON], "cost": [1.0]}), path)
    with pytest.raises(FileError, match="Google Cloud"):
        list(read(open_delivery([path], ["gcp.parquet"])[0]))


def test_columns_and_no_rows_are_refused(tmp_path):
    assert "no rows" in refusal(tmp_path, a_table(ServiceName=pa.array([], pa.string()))).message


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def with_first_page(path, change):
    """Change the header of the file's first page: the value of its first field that holds a whole number."""
    content = bytearray(path.read_bytes())
    with path.open("rb") as binary:
        chunk = read_footer(binary, len(content)).groups[0].chunks[0]
    at = chunk.first_page
    # Fields 1 (type), 2 (unpacked size) and 3 (packed size) come first in every header.
    assert content[at] == content[at + 2] == 0x15
    end = at + 3
    while content[end] > 0x7F:
        end += 1
    path.write_bytes(content[: at + 3] + varint(2 * change) + content[end + 1 :])


@pytest.mark.parametrize("dictionary", [True, False])
def test_a_page_that_lies_about_its_size_is_refused_before_room_is_made_for_it(tmp_path, dictionary):
    path = tmp_path / "some.parquet"
    names = ("BilledCost", "BillingPeriodStart", "ChargePeriodStart")
    pq.write_table(a_table(BilledCost=["1", "2", "3"]).select(names), path, use_dictionary=dictionary)
    with_first_page(path, 2**31 - 1)
    (part,) = open_delivery([path], ["some.parquet"])
    peak = pa.default_memory_pool().max_memory()
    with pytest.raises(FileError, match="damaged"):
        list(read(part))
    assert pa.default_memory_pool().max_memory() - peak < 100 * 2**20


def test_pages_of_every_kind_and_size_are_walked(tmp_path):
    texts = [f"{n}" * 50 for n in range(5_000)]
    table = a_table(ResourceId=texts, ServiceName=[text[:1] for text in texts])
    for options in ({}, {"use_dictionary": False}, {"data_page_version": "2.0"}, {"data_page_size": 2_000}):
        assert rows_of(tmp_path, table, **options)["ResourceId"] == texts

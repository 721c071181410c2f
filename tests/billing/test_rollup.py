"""Sources kept by day or month: sums are exact and complete, whatever the format, the order and the number of files."""

import datetime
import io
import json
import random
from decimal import Decimal
from functools import reduce

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core import management
from hypothesis import given
from hypothesis import strategies as st

from billing.fields import WIDE
from billing.importing.ingestion import ingest
from billing.importing.outcomes import ImportRefused
from billing.importing.rollup import Rollup, adding
from billing.importing.rollup.exact import PLACES, plain_of
from billing.models import Charge, Import, ImportTotal
from billing.readers.columns import AMOUNTS
from billing.readers.values import BadValue
from tests import build
from tests.billing.deliveries import a_file, a_row

pytestmark = pytest.mark.django_db

HOUR = datetime.timedelta(hours=1)
START = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)


def an_hour(hour, billed="0.0416666667", **columns):
    """Make a row of one hour of January 2025."""
    start = START + hour * HOUR
    times = {
        "ChargePeriodStart": f"{start:%Y-%m-%dT%H:%M:%SZ}",
        "ChargePeriodEnd": f"{start + HOUR:%Y-%m-%dT%H:%M:%SZ}",
    }
    return a_row(billed, **times, **columns)


def brought_in(*paths, **options):
    return ingest(paths=paths, actor=build.SOMEBODY, now=build.NOW, **options)


def kept_by(grain, **fields):
    return build.a_source("aws", grain=grain, **fields)


def as_parquet(folder, rows, types, name="aws_2025-01.parquet"):
    columns = list(dict.fromkeys(column for row in rows for column in row))
    arrays = {}
    for column in columns:
        texts = [row.get(column) for row in rows]
        kind = types.get(column, pa.string())
        values = [None if text in (None, "") else text for text in texts]
        if pa.types.is_floating(kind):
            values = [None if text is None else float(text) for text in values]
        elif pa.types.is_decimal(kind):
            values = [None if text is None else Decimal(text) for text in values]
        elif pa.types.is_timestamp(kind):
            values = [None if text is None else datetime.datetime.fromisoformat(text) for text in values]
        arrays[column] = pa.array(values, kind)
    pq.write_table(pa.table(arrays), folder / name, row_group_size=37)
    return folder / name


def content(charges=None):
    return sorted(
        Charge.objects.live().values_list(
            "resource__resource_id",
            "charge_period_start",
            "charge_period_end",
            "billed_cost",
            "row_count",
            "consumed_quantity",
        )
        if charges is None
        else charges
    )


def test_the_hours_of_a_month_become_one_charge_with_the_exact_sum(tmp_path):
    kept_by("month")
    path = a_file(tmp_path, [an_hour(hour, ConsumedQuantity="0.1") for hour in range(744)])
    result = brought_in(path)
    charge = Charge.objects.get()
    # 744 × 0.0416666667 = 31.0000000248, which is rounded to 8 decimals once.
    assert charge.billed_cost == Decimal("31.00000002")
    assert charge.consumed_quantity == "74.4"
    assert charge.row_count == 744
    assert (charge.file_number, charge.line_number) == (1, 2)
    assert charge.charge_period_start == START
    assert charge.charge_period_end == START + 31 * 24 * HOUR
    assert result.rows == 744
    assert result.counts.new == 1
    total = ImportTotal.objects.get()
    assert (total.rows, total.billed_exact) == (744, "31.0000000248")
    assert total.billed_stored == Decimal("31.00000002")
    assert Import.objects.get().imported_files.get().rows == 744


def test_the_hours_of_a_day_become_one_charge_a_day(tmp_path):
    kept_by("day")
    brought_in(a_file(tmp_path, [an_hour(hour, "1") for hour in range(36)]))
    found = [
        (each.charge_period_start, each.charge_period_end, each.row_count) for each in Charge.objects.order_by("id")
    ]
    assert found == [(START, START + 24 * HOUR, 24), (START + 24 * HOUR, START + 48 * HOUR, 12)]


@pytest.mark.parametrize(
    ("column", "other"),
    [
        ("ResourceId", "i-2"),
        ("BillingAccountId", "acct-2"),
        ("SubAccountId", "sub-2"),
        ("InvoiceId", "inv-2"),
        ("ChargeCategory", "Credit"),
        ("ChargeClass", "Correction"),
        ("SkuId", "sku-2"),
        ("ListUnitPrice", "0.2"),
        ("ConsumedUnit", "GB"),
        ("RegionId", "eu-1"),
        ("CommitmentDiscountStatus", "Unused"),
        ("BillingCurrency", "EUR"),
        ("Tags", json.dumps({"pi_email": "bob@u.edu"})),
    ],
)
def test_rows_that_differ_in_anything_else_stay_apart(tmp_path, column, other):
    kept_by("month")
    columns = dict.fromkeys(("SubAccountId", "InvoiceId", "ChargeClass", "SkuId", "ConsumedUnit", "RegionId"), "x")
    columns |= {"ListUnitPrice": "0.1", "CommitmentDiscountStatus": "Used"}
    tags = {"tags": other} if column == "Tags" else {}
    plain = {column: other} if column != "Tags" else {}
    brought_in(a_file(tmp_path, [an_hour(0, "1", **columns), an_hour(1, "1", **tags, **(columns | plain))]))
    assert Charge.objects.count() == 2


def test_a_price_written_in_another_way_is_the_same_price(tmp_path):
    kept_by("month")
    brought_in(a_file(tmp_path, [an_hour(0, "1", ListUnitPrice="0.10"), an_hour(1, "1", ListUnitPrice="1E-1")]))
    assert Charge.objects.get().list_unit_price == "0.1"


def test_amounts_that_no_row_has_stay_unknown(tmp_path):
    kept_by("month")
    rows = [an_hour(hour, "1") | {"ListCost": "", "EffectiveCost": "" if hour else "2"} for hour in range(3)]
    brought_in(a_file(tmp_path, rows))
    charge = Charge.objects.get()
    assert charge.list_cost is None
    assert charge.effective_cost == 2


def test_days_before_a_dated_split_are_not_mixed_with_those_after(tmp_path):
    kept_by("month")
    build.a_split(
        {"BIO-001": "60", "CHEM-002": "40"}, project=build.a_project("genomics"), valid_from=datetime.date(2025, 1, 16)
    )
    brought_in(a_file(tmp_path, [an_hour(hour, "1") for hour in range(744)]))
    found = list(
        Charge.objects.order_by("line_number").values_list("row_count", "payer_split_id", "charge_period_start")
    )
    assert [(count, split is not None) for count, split, _ in found] == [(15 * 24, False), (16 * 24, True)]
    assert found[1][2] == START + 15 * 24 * HOUR


def test_days_on_which_a_fund_is_not_valid_are_held_and_the_others_not(tmp_path):
    kept_by("month")
    build.a_pi()
    build.a_project()
    build.a_fund("BIO-001", valid_from=datetime.date(2025, 1, 1), valid_until=datetime.date(2025, 1, 10))
    brought_in(a_file(tmp_path, [an_hour(hour, "1") for hour in range(744)]))
    assert sorted(Charge.objects.values_list("state", "row_count")) == [("clear", 240), ("held", 504)]


def test_a_row_that_matches_a_pattern_is_held_by_itself(tmp_path):
    kept_by("month")
    build.a_policy(flag_patterns=["test"])
    rows = [an_hour(0, "1"), an_hour(1, "1"), an_hour(2, "1", ChargeDescription="a test")]
    brought_in(a_file(tmp_path, rows))
    assert sorted(Charge.objects.values_list("state", "row_count")) == [("clear", 2), ("held", 1)]


@pytest.mark.parametrize("grain", ["day", "month"])
def test_a_second_delivery_in_another_order_and_format_changes_nothing(tmp_path, grain):
    kept_by(grain)
    rows = [
        an_hour(hour, f"{number}.{hour:03}1", ResourceId=f"i-{number}", ConsumedQuantity="1.5", ListUnitPrice="0.5")
        for hour in range(0, 744, 7)
        for number in range(5)
    ]
    first = brought_in(a_file(tmp_path, rows))
    before = content()
    random.Random(1).shuffle(rows)
    types = dict.fromkeys((*AMOUNTS, "ConsumedQuantity", "ListUnitPrice"), pa.float64())
    types |= {
        name: pa.timestamp("us", "UTC") for name in ("ChargePeriodStart", "ChargePeriodEnd", "BillingPeriodStart")
    }
    second = brought_in(as_parquet(tmp_path, rows, types))
    assert (second.counts.new, second.counts.changed, second.counts.withdrawn) == (0, 0, 0)
    assert second.counts.unchanged == first.counts.new
    assert second.totals == first.totals
    assert content() == before
    types |= dict.fromkeys(AMOUNTS, pa.decimal128(30, 18))
    third = brought_in(as_parquet(tmp_path, rows, types, "aws_2025-01_b.parquet"))
    assert third.counts.unchanged == first.counts.new


def test_what_a_later_delivery_adds_to_the_month_changes_the_same_charge(tmp_path):
    kept_by("month")
    brought_in(a_file(tmp_path, [an_hour(hour, "1") for hour in range(100)]))
    result = brought_in(a_file(tmp_path, [an_hour(hour, "1") for hour in range(744)]))
    assert (result.counts.changed, result.counts.new, result.counts.withdrawn) == (1, 0, 0)
    charge = Charge.objects.live().get()
    assert charge.billed_cost == 744
    assert charge.replaces is not None


def test_any_cut_into_files_gives_the_same_charges(tmp_path):
    kept_by("month")
    rows = [an_hour(hour, f"0.{hour:05}", ResourceId=f"i-{hour % 3}") for hour in range(300)]
    brought_in(a_file(tmp_path, rows))
    whole = content()
    parts = [a_file(tmp_path, rows[start::4], f"aws_2025-01_part{start}.csv") for start in range(4)]
    result = brought_in(*parts)
    assert result.counts.unchanged == 3
    assert content() == whole


def test_groups_beyond_the_memory_meant_for_them_go_to_the_disk_and_add_up_all_the_same(tmp_path, monkeypatch):
    kept_by("month")
    rows = [an_hour(hour, f"1.{hour:03}", ResourceId=f"i-{hour % 40}") for hour in range(600)]
    brought_in(a_file(tmp_path, rows))
    whole = content()
    monkeypatch.setattr(adding, "MAX_GROUPS", 10)
    parts = [a_file(tmp_path, rows[start : start + 50], f"aws_2025-01_{start}.csv") for start in range(0, 600, 50)]
    result = brought_in(*parts)
    assert result.counts.unchanged == 40
    assert content() == whole


def test_what_cannot_be_read_is_named_by_file_line_and_column(tmp_path):
    kept_by("month")
    with pytest.raises(ImportRefused) as refused:
        brought_in(a_file(tmp_path, [an_hour(0), an_hour(1, "12,5"), an_hour(2, ServiceName="x" * 300)]))
    assert {(each["line"], each["column"]) for each in refused.value.errors} >= {(3, "BilledCost"), (4, "ServiceName")}
    assert not Charge.objects.exists()


def test_what_cannot_be_read_of_parquet_is_named_by_row(tmp_path):
    kept_by("month")
    rows = [an_hour(0, "1"), an_hour(1, "2")]
    rows[1]["BilledCost"] = ""
    with pytest.raises(ImportRefused) as refused:
        brought_in(as_parquet(tmp_path, rows, dict.fromkeys(AMOUNTS, pa.float64())))
    assert [(each["line"], each["column"]) for each in refused.value.errors] == [(2, "BilledCost")]


def test_a_row_is_its_own_charge_where_every_row_is_kept(tmp_path):
    build.a_source("aws")
    brought_in(a_file(tmp_path, [an_hour(0, "1"), an_hour(1, "1")]))
    assert list(Charge.objects.values_list("row_count", flat=True)) == [1, 1]


amounts = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**10), max_value=10**10, places=12)
# Beyond 40 decimals doubles are refused.
doubles = st.floats(min_value=-1e10, max_value=1e10).filter(lambda value: not value or abs(value) > 1e-20)


def summed(values):
    columns = {"BilledCost": values, "ChargePeriodStart": ["2025-01-01"] * len(values)}
    each = Rollup(by_month=True)
    each.add(columns, range(1, len(values) + 1))
    (batch,) = each.batches()
    return Decimal(batch.columns["BilledCost"][0])


def sum_of(texts):
    return reduce(WIDE.add, map(Decimal, texts), Decimal(0))


@given(st.lists(amounts, min_size=1, max_size=50))
def test_texts_are_added_up_exactly(values):
    assert summed([str(value) for value in values]) == sum(values)


@given(st.lists(doubles, min_size=1, max_size=50))
def test_doubles_are_added_up_by_their_shortest_form(values):
    assert summed(pa.array(values, pa.float64())) == sum_of(repr(value) for value in values)


@given(st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=50))
def test_large_whole_numbers_do_not_overflow(values):
    assert summed(pa.array(values, pa.int64())) == sum(values)


@pytest.mark.parametrize("values", [pa.array([float("inf")]), ["1e-41"], ["abc"], [""], pa.array([None], pa.float64())])
def test_what_is_no_amount_is_refused(values):
    with pytest.raises(BadValue):
        summed(values)


@pytest.mark.parametrize("zero", ["0E+999", "-0E-999", "0e5"])
def test_a_zero_may_be_written_with_any_exponent(zero):
    assert summed([zero, "1"]) == 1


def test_sums_are_written_plainly():
    assert plain_of(-(10**PLACES) // 4) == "-0.25"
    assert plain_of(None) == ""
    assert plain_of(0) == "0"


def test_the_grain_of_a_source_is_set_by_command(tmp_path):
    source = build.a_source("aws")
    management.call_command("sources", "set", "aws", "--grain", "day", stdout=io.StringIO())
    source.refresh_from_db()
    assert source.grain == "day"

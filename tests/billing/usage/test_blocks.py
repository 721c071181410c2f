"""A month that is priced in blocks comes to what it does at once, whatever their size: rows, workings and figures."""

import datetime
import functools
from dataclasses import replace
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.replay.repricing import _plain
from billing.usage import cutting, file_records, making
from billing.usage.aside import Aside
from billing.usage.pricing.fitting import NoRate
from billing.usage.pricing.terms import Scope, Span, Subsidy, Tiering
from billing.usage.records import in_blocks
from billing.usage.terms import terms_of
from tests.stories.stage import command

from .pricing import CLASSES, HOUR, MONTH, a_rate, a_record, priced
from .test_bringing import DAY, FEBRUARY, JANUARY, job, jobs
from .test_cutting import a_table
from .test_kept_usage import _plain_lines, feed  # noqa: F401 (fixtures)
from .test_pricing import PAYERS, TERMS

TABLES = ("lines", "reductions", "workings")
FIGURES = ("units", "balances", "subsidies", "notices", "used", "reduced")
SPANS = st.sampled_from(Span)


def of(made):
    return [getattr(made, name).to_pylist() for name in TABLES], [getattr(made, name) for name in FIGURES]


@settings(max_examples=100, deadline=None)
@given(**TERMS, size=st.integers(1, 13), days=st.lists(st.integers(0, 30), min_size=12, max_size=12), data=st.data())
def test_no_cut_into_blocks_changes_a_line(records, first, second, subsidies, balances, size, days, data):
    for each, day in zip(records, days, strict=False):
        each["start"] += day * 86_400
        each["end"] = each["start"] + each["elapsed_seconds"]
    span = data.draw(SPANS)
    if first.tiering is Tiering.GRADUATED:
        first = replace(first, span=span)
    subsidies = [replace(each, span=data.draw(SPANS), fund_org=f"{each.code}-1") for each in subsidies]
    terms = {"payers": PAYERS, "classes": CLASSES, "subsidies": subsidies, "balances": balances}
    at_once = priced(records, first, second, **terms)
    in_parts = priced(records, first, second, size=size, **terms)
    assert of(in_parts) == of(at_once)
    following = {**terms, "month": MONTH.replace(month=MONTH.month + 1), "before": at_once.used}
    assert of(priced(records, first, second, size=size, **following)) == of(priced(records, first, second, **following))


def test_a_tier_by_volume_looks_at_blocks_to_come():
    rate = a_rate(("1", 10), "0.5", tiering=Tiering.VOLUME)
    records = [a_record(number, core_seconds=4 * HOUR) for number in range(5)]
    made = priced(records, rate, size=1)
    assert made.lines["billed"].to_pylist() == [2 * 10**8] * 5


def test_a_minimum_is_missed_once_and_by_who_used_most():
    rate = a_rate("1", minimum=Decimal(20), scope=Scope.FEED)
    records = [a_record(number, payer=number % 2, core_seconds=(number + 1) * HOUR) for number in range(4)]
    lines = priced(records, rate, size=1).lines.to_pylist()
    assert [(each["payer"], each["billed"]) for each in lines if each["kind"] == "minimum"] == [(1, 10 * 10**8)]


def test_records_without_a_rate_are_told_of_all_blocks():
    rate = a_rate("1", when={"partition": ("cpu",)})
    records = [a_record(number, partition="gpu" if number % 2 else "cpu") for number in range(6)]
    with pytest.raises(
        NoRate, match=r"^3 records have no rate in Rates, version 1: resource hpc/gpu, partition gpu \(3\)"
    ):
        priced(records, rate, size=2)


@given(st.lists(st.integers(0, 5), max_size=6), st.integers(1, 7))
def test_blocks_have_one_size_and_lack_nothing(sizes, size):
    tables = [pa.table({"n": pa.array(range(count), pa.int64())}) for count in [0, *sizes]]
    found = list(in_blocks(iter(tables), size))
    assert all(each.num_rows == size for each in found[:-1])
    assert found[-1].num_rows <= size
    assert pa.concat_tables(found).equals(pa.concat_tables(tables))


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.integers(0, 3)), max_size=30), st.integers(1, 9)
)
def test_what_stands_is_the_same_part_by_part(tmp_path_factory, records, size):
    table = a_table(*((id, start, start + length, place) for place, (id, start, length) in enumerate(records)))
    asked = table.select(["id", "start", "end"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "LOOKED_THROUGH", 2)
        stands = cutting.standing_rows(in_blocks([asked], size), len(records), tmp_path_factory.mktemp("aside"))
    assert table.filter(pa.array(stands)).equals(cutting.standing([table]).combine_chunks())


def test_pieces_are_given_back_by_part_in_the_order_they_came(tmp_path):
    aside = Aside(tmp_path)
    for first in (0, 10):
        numbers = pa.array(range(first, first + 5))
        aside.spread(numbers.to_numpy() % 2, pa.table({"n": numbers}))
    found = [[n for piece in aside.pieces(part) for n in piece["n"].to_pylist()] for part in range(3)]
    assert found == [[0, 2, 4, 10, 12, 14], [1, 3, 11, 13], []]


@pytest.mark.django_db
def test_files_of_a_month_are_the_same_in_blocks_of_any_size(feed, tmp_path, monkeypatch):  # noqa: F811 (the fixture)
    rows = [job(1, JANUARY, 10, 20), job(2, JANUARY, 5, 10, queue="failed"), job(3, JANUARY, 1, 7, account="mystery")]
    command("usage", jobs(tmp_path / "a.txt", *rows), "-f", "tiger")
    # The first job goes on, and so counts as it is in the second file.
    later = [job(1, JANUARY, 12, 20), job(4, JANUARY + DAY, 100, 10), job(5, FEBRUARY - DAY, 48, 2)]
    command("usage", jobs(tmp_path / "b.txt", *later), "-f", "tiger")
    month = datetime.date(2025, 1, 1)
    terms = replace(terms_of(feed, month), subsidies=(_half("dean", 0), _half("provost", 1)))

    def files(size):
        monkeypatch.setattr(file_records, "in_blocks", functools.partial(in_blocks, size=size))
        (folder := tmp_path / str(size)).mkdir()
        made = making.made(feed, month, terms, making.files_of(feed, month), folder)
        return made.paying, pq.read_table(made.rows), _plain(pq.read_table(made.workings))

    at_once = files(100)
    fund_orgs = at_once[1]["x_SubsidyFundOrg"].to_pylist()
    # What further fund/orgs pay comes after all lines.
    assert fund_orgs[-3:] == ["PROVOST-1"] * 3
    assert (fund_orgs.count("DEAN-1"), fund_orgs.count("PROVOST-1")) == (3, 3)
    for size in (1, 2, 3, 4):
        assert files(size) == at_once


def _half(code, order):
    return Subsidy(code=code, name=code, percent=Decimal(50), fund_org=f"{code.upper()}-1", order=order)

"""Records cut to months lose no second and double none, and of each record one version stands."""

import random
from fractions import Fraction
from math import floor

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.usage.cutting import LONGEST, standing, within
from billing.usage.records import Measure, Shape

SHAPE = Shape(attributes=("kind",), measures=(Measure("cpu_seconds", {}), Measure("jobs", {})))
LEVELS = Shape(attributes=("kind",), measures=SHAPE.measures, are_levels=True)


def a_table(*records):
    """Return records of (id, start, end, cpu_seconds)."""
    rows = [
        {
            **{"id": id, "start": start, "end": end, "account": f"a{id}", "user": "", "resource": "r", "free": ""},
            **{"kind": f"k{id}", "cpu_seconds": total, "jobs": 1},
        }
        for id, start, end, total in records
    ]
    return pa.Table.from_pylist(rows, SHAPE.schema)


def rows_of(table):
    return [tuple(row[name] for name in ("id", "start", "end", "cpu_seconds")) for row in table.to_pylist()]


def test_a_record_is_cut_at_both_ends_and_keeps_what_it_says():
    (row,) = within(a_table(("1", 100, 400, 7)), SHAPE, 200, 300).to_pylist()
    # Up to 200 it came to floor(7/3) = 2, up to 300 to floor(14/3) = 4.
    assert (row["start"], row["end"], row["cpu_seconds"], row["jobs"]) == (200, 300, 2, 0)
    assert (row["account"], row["kind"]) == ("a1", "k1")


def test_records_belong_to_the_months_that_they_overlap():
    table = a_table(("1", 0, 100, 5), ("2", 100, 200, 5), ("3", 50, 101, 51), ("4", 199, 300, 101), ("5", 200, 300, 5))
    assert rows_of(within(table, SHAPE, 100, 200)) == [("2", 100, 200, 5), ("3", 100, 101, 1), ("4", 199, 200, 1)]


def test_records_without_length_belong_where_they_start():
    table = a_table(("1", 99, 99, 5), ("2", 100, 100, 5), ("3", 200, 200, 5))
    assert rows_of(within(table, SHAPE, 100, 200)) == [("2", 100, 100, 5)]
    assert rows_of(within(table, LEVELS, 100, 200)) == [("2", 100, 100, 5)]


def test_a_job_is_counted_in_the_month_that_it_ends_in():
    table = a_table(("1", 50, 150, 100))
    assert [within(table, SHAPE, begin, begin + 100)["jobs"].to_pylist() for begin in (0, 100)] == [[0], [1]]


def test_nothing_stays_nothing():
    assert within(a_table(), SHAPE, 0, 1).num_rows == 0
    assert standing([a_table(), a_table()]).num_rows == 0


TOTALS = st.integers(-(2**63) + 1, 2**63 - 1)


@given(
    st.lists(st.tuples(st.integers(0, 10**10), st.integers(0, 2**34), TOTALS), max_size=6),
    st.lists(st.integers(0, 2 * 10**10), max_size=6),
)
def test_the_pieces_of_any_cuts_add_up_to_the_whole_exactly(spans, cuts):
    table = a_table(*((str(n), start, start + length, total) for n, (start, length, total) in enumerate(spans)))
    bounds = [-1, *sorted(set(cuts)), 10**11]
    sums = dict.fromkeys((str(n) for n in range(len(spans))), 0)
    for begin, end in zip(bounds, bounds[1:], strict=False):
        piece = within(table, SHAPE, begin, end)
        assert piece.schema == SHAPE.schema
        for id, start, stop, total in rows_of(piece):
            assert begin <= start <= stop <= end
            sums[id] += total
    assert list(sums.values()) == [total for _, _, total in spans]


@pytest.mark.parametrize("length", [1, 2, 3, 86_400, 2**31, LONGEST - 1, LONGEST, LONGEST + 1, 2**40])
def test_shares_are_rounded_down_exactly_however_large(length):
    dice = random.Random(length)
    for _ in range(50):
        total, time = dice.choice((1, -1)) * dice.randrange(2**63 - 1), dice.randrange(length + 1)
        piece = within(a_table(("1", 1000, 1000 + length, total)), SHAPE, 0, 1000 + time)
        expected = floor(Fraction(total) * time / length)
        assert (piece["cpu_seconds"].to_pylist() or [0]) == [expected]


def test_the_version_that_ends_last_stands():
    running, ended = a_table(("1", 0, 50, 5), ("2", 0, 9, 9)), a_table(("1", 0, 80, 8))
    for tables in ([running, ended], [ended, running]):
        assert sorted(rows_of(standing(tables))) == [("1", 0, 80, 8), ("2", 0, 9, 9)]


def test_of_versions_that_end_at_once_the_later_stands():
    assert rows_of(standing([a_table(("1", 0, 9, 1)), a_table(("1", 0, 9, 2), ("1", 0, 9, 3))])) == [("1", 0, 9, 3)]


def test_another_start_is_another_record():
    table = a_table(("1", 0, 9, 1), ("1", 20, 29, 2), ("2", 0, 9, 3))
    assert rows_of(standing([table])) == rows_of(table)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 3)), max_size=12), st.data())
def test_what_stands_does_not_hang_on_the_order_of_files(records, data):
    rows = [(id, start, start + length, length) for id, start, length in records]
    expected = {(id, start): max(row for row in rows if row[:2] == (id, start)) for id, start, _, _ in rows}
    shuffled = data.draw(st.permutations(rows))
    cut = data.draw(st.integers(0, len(rows)))
    found = rows_of(standing([a_table(*shuffled[:cut]), a_table(*shuffled[cut:])]))
    assert sorted(found) == sorted(expected.values())

"""A delivery against what is there, as multisets."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.importing import matching
from billing.importing.matching import HASH_BYTES, match


def hashes(values):
    return b"".join(value.to_bytes(HASH_BYTES, "big") for value in values)


def matched(rows, live, changeable=None):
    """Match rows given as (identity, amount) pairs."""
    content = [identity * 1000 + amount for identity, amount in rows]
    live_content = [identity * 1000 + amount for identity, amount in live]
    return match(
        hashes(content),
        hashes(identity for identity, _ in rows),
        hashes(live_content),
        hashes(identity for identity, _ in live),
        rows_changeable=None if changeable is None else np.array(changeable, dtype=bool),
    )


pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=12)


def test_the_same_delivery_again_changes_nothing():
    rows = [(1, 5), (2, 5), (1, 5)]
    found = matched(rows, rows[::-1])
    assert (found.unchanged, len(found.new_rows), len(found.gone_live), len(found.changed_rows)) == (3, 0, 0, 0)


def test_equal_rows_stay_as_many_as_they_are():
    found = matched([(1, 5), (1, 5), (1, 5)], [(1, 5)])
    assert found.unchanged == 1
    assert list(found.new_rows) == [1, 2]


def test_another_amount_of_the_same_identity_is_a_change():
    found = matched([(1, 5), (2, 7)], [(1, 5), (2, 6)])
    assert list(zip(found.changed_rows, found.changed_live, strict=True)) == [(1, 1)]


def test_changes_of_one_identity_pair_off_in_order():
    found = matched([(1, 7), (1, 8)], [(1, 5), (1, 6), (1, 9)])
    assert list(zip(found.changed_rows, found.changed_live, strict=True)) == [(0, 0), (1, 1)]
    assert list(found.gone_live) == [2]


def test_a_row_that_may_not_be_a_change_is_new():
    found = matched([(1, 7)], [(1, 5)], changeable=[False])
    assert list(found.new_rows) == [0]
    assert list(found.gone_live) == [0]


@given(pairs, pairs, st.integers(1, 5))
def test_pairing_in_parts_pairs_the_same(rows, live, part):
    whole = matched(rows, live)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "PART", part)
        in_parts = matched(rows, live)
    assert in_parts.unchanged == whole.unchanged
    assert list(in_parts.new_rows) == list(whole.new_rows)
    assert list(in_parts.changed_live) == list(whole.changed_live)
    assert list(in_parts.gone_live) == list(whole.gone_live)


@given(pairs, pairs)
def test_every_row_and_every_charge_is_accounted_for_once(rows, live):
    found = matched(rows, live)
    assert found.unchanged + len(found.changed_rows) + len(found.new_rows) == len(rows)
    assert found.unchanged + len(found.changed_live) + len(found.gone_live) == len(live)
    assert found.unchanged == (Counter(rows) & Counter(live)).total()
    assert len(set(found.changed_rows) | set(found.new_rows)) == len(found.changed_rows) + len(found.new_rows)
    for row, charge in zip(found.changed_rows, found.changed_live, strict=True):
        assert rows[row][0] == live[charge][0]
        assert rows[row] != live[charge]
    left_new = Counter(rows[row][0] for row in found.new_rows)
    left_gone = Counter(live[charge][0] for charge in found.gone_live)
    assert not left_new & left_gone


@given(pairs, pairs, st.randoms())
def test_the_order_of_rows_does_not_matter_to_the_counts(rows, live, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    one, other = matched(rows, live), matched(shuffled, live)
    assert one.unchanged == other.unchanged
    assert len(one.changed_rows) == len(other.changed_rows)
    assert Counter(live[charge] for charge in one.gone_live).total() == len(other.gone_live)

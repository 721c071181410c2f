"""A delivery against what is there, as multisets."""

from collections import Counter
from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.importing import partitions
from billing.importing.matching import further, match
from billing.importing.partitions import HASHED, Partitions, by_content, hashed, numbers_of, together
from billing.readers.dimensions import HASH_BYTES

from . import matching_in_memory

MONTH = 202501


def hashes(values):
    """As spread as those of rows are."""
    return b"".join(blake2b(repr(value).encode(), digest_size=HASH_BYTES).digest() for value in values)


def partitioned(rows, numbers, months, marks, pieces):
    """Hash rows given as (identity, amount) pairs, in so many pieces."""
    partitions = Partitions(HASHED, by_content)
    contents, identities = hashes(rows), hashes(identity for identity, _ in rows)
    records = hashed(numbers, contents, identities, months, marks)
    for some in np.array_split(records, pieces):
        partitions.add(some)
    return partitions


def ids_of(live):
    """Ids as a database has them: with gaps, and another order than that of months."""
    return [10 + 3 * place for place in range(len(live))]


def matched(rows, live, changeable=None, months=None, pieces=1):
    return match(
        partitioned(rows, range(1, len(rows) + 1), months or MONTH, True if changeable is None else changeable, pieces),
        # The database gives them in no order.
        partitioned(live[::-1], ids_of(live)[::-1], 0, True, pieces),
        months=[MONTH],
        only_with_resource=changeable is not None,
    )


def numbers(partitions):
    return [number for some in numbers_of(partitions) for number in some.tolist()]


def pairs_of(partitions):
    return [(row, other) for (some,) in together(partitions) for row, other in some.tolist()]


def told(found):
    return (
        found.unchanged,
        pairs_of(found.changed),
        numbers(found.new),
        numbers(found.gone),
        numbers(found.apart),
    )


pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=12)
# Of a month that is matched, and of another.
of_months = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 3), st.booleans(), st.sampled_from([MONTH, MONTH + 1])), max_size=30
)


@pytest.fixture(params=[1, 5, 200_000], ids=["a record a part", "few a part", "all in one"], autouse=True)
def _parts(request, monkeypatch):
    monkeypatch.setattr(partitions, "PART", request.param)
    if request.param == 1:
        monkeypatch.setattr(partitions, "IN_MEMORY", 1)


def test_the_same_delivery_again_changes_nothing():
    rows = [(1, 5), (2, 5), (1, 5)]
    assert told(matched(rows, rows[::-1])) == (3, [], [], [], [])


def test_equal_rows_stay_as_many_as_they_are():
    found = matched([(1, 5), (1, 5), (1, 5)], [(1, 5)])
    assert found.unchanged == 1
    assert numbers(found.new) == [2, 3]


def test_another_amount_of_the_same_identity_is_a_change():
    found = matched([(1, 5), (2, 7)], [(1, 5), (2, 6)])
    assert pairs_of(found.changed) == [(2, 13)]


def test_changes_of_one_identity_pair_off_in_order():
    found = matched([(1, 7), (1, 8)], [(1, 5), (1, 6), (1, 9)])
    assert pairs_of(found.changed) == [(1, 10), (2, 13)]
    assert numbers(found.gone) == [16]


def test_a_row_that_may_not_be_a_change_is_new():
    found = matched([(1, 7)], [(1, 5)], changeable=[False])
    assert numbers(found.new) == [1]
    assert numbers(found.gone) == [10]


@given(of_months, pairs, st.booleans(), st.integers(1, 4))
def test_parts_match_what_is_matched_in_memory(given_rows, live, only_with_resource, pieces):
    rows = [(identity, amount) for identity, amount, _, _ in given_rows]
    marks, months = [mark for _, _, mark, _ in given_rows], [month for _, _, _, month in given_rows]
    found = matched(rows, live, marks if only_with_resource else None, months, pieces)
    own = [place for place, month in enumerate(months) if month == MONTH]
    in_memory = matching_in_memory.match(
        hashes(rows[place] for place in own),
        hashes(rows[place][0] for place in own),
        hashes(live),
        hashes(identity for identity, _ in live),
        rows_changeable=np.array([marks[place] for place in own], dtype=bool) if only_with_resource else None,
    )
    row_numbers, ids = [place + 1 for place in own], ids_of(live)
    assert told(found) == (
        in_memory.unchanged,
        [
            (row_numbers[row], ids[charge])
            for row, charge in zip(in_memory.changed_rows, in_memory.changed_live, strict=True)
        ],
        [row_numbers[row] for row in in_memory.new_rows],
        [ids[charge] for charge in in_memory.gone_live],
        [place + 1 for place, month in enumerate(months) if month != MONTH],
    )


@given(pairs, pairs, st.lists(st.booleans(), min_size=12, max_size=12), st.booleans())
def test_keys_match_further_as_in_memory(rows, live, marks, only_with_resource):
    marks = marks[: len(rows)]
    changeable = marks if only_with_resource else None
    found = matched(rows, live, changeable)
    in_memory = matching_in_memory.match(
        hashes(rows),
        hashes(identity for identity, _ in rows),
        hashes(live),
        hashes(identity for identity, _ in live),
        rows_changeable=None if changeable is None else np.array(marks, dtype=bool),
    )

    # By other keys, in which fewer things differ.
    def key(row):
        return row[0] // 2, row[1]

    new, gone = in_memory.new_rows, in_memory.gone_live
    row_keys, live_keys = [key(rows[place]) for place in new], [key(live[place]) for place in gone]
    ids = ids_of(live)
    found = further(
        found,
        partitioned(row_keys, [place + 1 for place in new], 0, [marks[place] for place in new], 2),
        partitioned(live_keys, [ids[place] for place in gone], 0, True, 2),
        only_with_resource=only_with_resource,
    )
    in_memory = matching_in_memory.further(in_memory, new, gone, hashes(row_keys), hashes(live_keys))
    is_row = np.isin(new, in_memory.new_rows)
    if only_with_resource:
        is_row &= np.array(marks, dtype=bool)[new]
    is_live = np.isin(gone, in_memory.gone_live)
    in_memory = matching_in_memory.further(
        in_memory,
        new[is_row],
        gone[is_live],
        hashes(row_keys[place][0] for place in np.flatnonzero(is_row)),
        hashes(live_keys[place][0] for place in np.flatnonzero(is_live)),
    )
    assert told(found) == (
        in_memory.unchanged,
        [(row + 1, ids[of]) for row, of in zip(in_memory.changed_rows, in_memory.changed_live, strict=True)],
        [row + 1 for row in in_memory.new_rows],
        [ids[of] for of in in_memory.gone_live],
        [],
    )


@given(pairs, pairs)
def test_every_row_and_every_charge_is_accounted_for_once(rows, live):
    found = matched(rows, live)
    changed, new, gone = pairs_of(found.changed), numbers(found.new), numbers(found.gone)
    assert found.unchanged + len(changed) + len(new) == len(rows)
    assert found.unchanged + len(changed) + len(gone) == len(live)
    assert found.unchanged == (Counter(rows) & Counter(live)).total()
    assert len({row for row, _ in changed} | set(new)) == len(changed) + len(new)
    charges = dict(zip(ids_of(live), live, strict=True))
    for row, charge in changed:
        assert rows[row - 1][0] == charges[charge][0]
        assert rows[row - 1] != charges[charge]
    left_new = Counter(rows[row - 1][0] for row in new)
    left_gone = Counter(charges[charge][0] for charge in gone)
    assert not left_new & left_gone


@given(pairs, pairs, st.randoms())
def test_the_order_of_rows_does_not_matter_to_the_counts(rows, live, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    one, other = matched(rows, live), matched(shuffled, live)
    assert one.unchanged == other.unchanged
    assert len(one.changed) == len(other.changed)
    assert len(one.gone) == len(other.gone)


def test_a_few_stay_in_memory_and_many_leave_no_file_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(partitions.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(partitions, "IN_MEMORY", 1000)
    rows = [(number, 0) for number in range(100)]
    few, many = partitioned(rows[:10], range(10), 0, True, 1), partitioned(rows, range(100), 0, True, 3)
    assert (few._file._rolled, many._file._rolled) == (False, True)
    # Its file has no name: whoever is killed leaves nothing.
    assert not list(tmp_path.iterdir())
    file = many._file
    del many
    assert file.closed

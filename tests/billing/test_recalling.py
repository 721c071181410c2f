"""What came before is recalled under its number, and what was forgotten comes out the same under another."""

import pytest

from billing.readers import csv_blocks, read_csv, recalling
from billing.readers.coded import encoded
from billing.readers.recalling import Texts
from billing.readers.understanding import Understanding, Wanted
from billing.readers.values import BadValue, currency_of


def test_texts_are_converted_once_and_numbered_by_what_they_become():
    asked = []
    texts = Texts(lambda text: asked.append(text) or text.strip(), size=100)
    first = texts.of(encoded(["a", " a", "b", "a"]))
    assert (first.column(), first.texts, first.numbers.tolist()) == (["a", "a", "b", "a"], ["a", "b"], [0, 1])
    again = texts.of(encoded(["b ", "b", "c", "a"]))
    assert (again.column(), again.numbers.tolist()) == (["b", "b", "c", "a"], [1, 2, 0])
    assert asked == ["a", " a", "b", "b ", "c"]


def test_texts_that_were_forgotten_get_numbers_that_none_had():
    texts = Texts(str.strip, size=2)
    assert texts.of(encoded(["a", "b", " b"])).numbers.tolist() == [0, 1]
    again = texts.of(encoded(["b", "c"]))
    assert (again.column(), again.numbers.tolist()) == (["b", "c"], [2, 3])


def test_a_refused_text_is_refused_each_time_and_others_are_not():
    texts = Texts(currency_of, size=100)
    for _ in range(2):
        with pytest.raises(BadValue):
            texts.of(encoded(["usd", "dollars"]))
    assert texts.of(encoded(["usd", "EUR"])).column() == ["USD", "EUR"]


def test_pieces_say_the_same_whether_much_is_remembered_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    header = "BillingPeriodStart,ChargePeriodStart,BilledCost,ResourceId,ResourceName,ServiceName,Tags\n"
    rows = [
        f"2025-01-01,2025-01-02,{number},i-{number % 7},{' ' * (number % 3)}vm {number % 5},S3,tag {number % 4}\n"
        for number in range(300)
    ]
    path.write_text(header + "".join(rows))
    monkeypatch.setattr(csv_blocks, "FIRST_BLOCK", 2_000)
    monkeypatch.setattr(csv_blocks, "LARGEST_BLOCK", 2_000)

    def said():
        understanding = Understanding(Wanted(currency="USD"))
        pieces = [understanding.of(batch) for batch in read_csv(path)]
        assert len(pieces) > 5
        known = {
            (name, each.number): each.texts
            for piece in pieces
            for name in piece.dimensions
            for each in piece.dimensions[name]
        }
        texts = [
            known[name, number] for piece in pieces for name in piece.numbers for number in piece.numbers[name].tolist()
        ]
        return texts, [(piece.contents, piece.identities) for piece in pieces]

    remembered = said()
    monkeypatch.setattr(recalling, "REMEMBERED_BYTES", 1)
    assert said() == remembered

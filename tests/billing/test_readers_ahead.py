"""Reading ahead changes when pieces are read, and nothing else."""

import threading

import pytest

from billing.readers.ahead import ahead
from billing.readers.batches import UnreadableFile


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "reading ahead"]


def test_the_pieces_come_in_their_order_and_the_thread_ends():
    assert list(ahead(iter(range(1000)))) == list(range(1000))
    assert not threads()


def test_what_reading_raises_is_raised_after_the_pieces_before_it():
    def pieces():
        yield 1
        yield 2
        raise UnreadableFile("The file ends in the middle.", line=3)

    seen = []
    with pytest.raises(UnreadableFile, match="ends in the middle"):
        seen.extend(ahead(pieces()))
    reading = ahead(pieces())
    assert [next(reading), next(reading)] == [1, 2]
    with pytest.raises(UnreadableFile):
        next(reading)
    assert not threads()


def test_nobody_reads_on_once_the_pieces_are_not_wanted_any_more():
    read = []

    def pieces():
        for number in range(1000):
            read.append(number)
            yield number

    reading = ahead(pieces())
    assert next(reading) == 0
    reading.close()
    assert not threads()
    assert len(read) <= 4

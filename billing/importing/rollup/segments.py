"""Which days of a month may be added up: those that are all attributed, split and reviewed alike."""

import datetime
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ...readers.batches import BATCH_ROWS, Batch
from ...readers.coded import combined
from ...readers.dates import DAY, time_of
from .groups import KEYS, Group, Numbered

# For a batch of days, what must not be mixed: who pays, what is to be reviewed.
Segment = Callable[[Batch], Sequence[Any]]


class Segments:
    """Tells which days of a key may be added up; asks about each distinct combination once."""

    def __init__(
        self,
        segment: Segment | None,
        asked_columns: Iterable[str],
        *,
        columns: Mapping[str, Numbered],
        days: Numbered,
        given: Collection[str],
        zone: datetime.tzinfo,
    ) -> None:
        """`segment` is asked with the distinct values of `asked_columns`, as far as they are `given`."""
        self.segment = segment
        self.columns, self.days, self.given, self.zone = columns, days, given, zone
        self.places = [KEYS.index(name) for name in dict.fromkeys(asked_columns) if name in KEYS]
        self.known: dict[tuple[int, ...], Any] = {}
        self.month_spans: dict[int, int] = {}

    def of(self, groups: Mapping[bytes, Group]) -> Iterable[object]:
        """Return the segment of each group, in their order."""
        if self.segment is None or not groups:
            return [None] * len(groups)
        numbers = np.frombuffer(b"".join(groups), dtype=np.int32).reshape(len(groups), -1)
        asked = np.ascontiguousarray(numbers[:, [*self.places, -1]].T)
        positions, representatives = combined(list(asked))
        combinations = [tuple(each) for each in asked[:, representatives].T.tolist()]
        self._learn(combinations)
        found = [self.known[each] for each in combinations]
        return [found[position] for position in positions.tolist()]

    def _learn(self, combinations: Iterable[tuple[int, ...]]) -> None:
        wanted: dict[tuple[int, ...], None] = {}
        for asked in combinations:
            wanted[asked] = None
            # And about the month as a whole, into which its days may be widened.
            wanted[*asked[:-1], self._month_span(asked[0])] = None
        listed = [asked for asked in wanted if asked[-1] and asked not in self.known]
        segment = self.segment
        assert segment is not None  # noqa: S101 (asked by `of`)
        names = [KEYS[place] for place in self.places]
        for start in range(0, len(listed), BATCH_ROWS):
            part = listed[start : start + BATCH_ROWS]
            columns: dict[str, Sequence[str]] = {
                name: [self.columns[name].values[asked[place]] for asked in part]
                for place, name in enumerate(names)
                if name in self.given
            }
            spans = [self.days.values[asked[-1]] for asked in part]
            columns["ChargePeriodStart"] = [written(begin) for begin, _ in spans]
            columns["ChargePeriodEnd"] = [written(end) for _, end in spans]
            columns["BilledCost"] = ["0"] * len(part)
            batch = Batch(lines=[1] * len(part), columns=columns, bytes_read=0)
            self.known.update(zip(part, segment(batch), strict=True))

    def widened(
        self, stem: bytes, segment: object, span: tuple[datetime.datetime, datetime.datetime]
    ) -> tuple[datetime.datetime, datetime.datetime]:
        """Return the whole month, if its first day and its whole mean the same; else the days themselves."""
        numbers = np.frombuffer(stem, dtype=np.int32)
        asked = tuple(numbers[self.places].tolist())
        number = self._month_span(asked[0])
        month = self.days.values[number]
        if month is None or span[0] < month[0] or span[1] > month[1]:
            return span
        if self.segment is not None and self.known[*asked, number] != segment:
            return span
        whole: tuple[datetime.datetime, datetime.datetime] = month
        return whole

    def _month_span(self, month_number: int) -> int:
        """Return the number of the whole month that rows of a BillingPeriodStart (by its number) belong to."""
        known = self.month_spans.get(month_number)
        if known is None:
            known = self.month_spans[month_number] = self._find_month_span(month_number)
        return known

    def _find_month_span(self, month_number: int) -> int:
        text = self.columns["BillingPeriodStart"].values[month_number]
        if not text:
            # Without a month of its own the row says nothing about which days belong together.
            return 0
        start = time_of(text)
        assert start is not None  # noqa: S101 (written by _normalized)
        local = start.replace(tzinfo=self.zone)
        months = (local, (local + 31 * DAY).replace(day=1))
        return self.days.number(tuple(each.astimezone(datetime.UTC) for each in months))


def written(moment: datetime.datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment.year > 999 else moment.isoformat()

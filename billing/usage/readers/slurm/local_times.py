"""Local times into seconds since 1970: what each means where clocks are set forward and back."""

import datetime
from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

Seconds = Any

DAY = 86_400
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def both_readings(local: Seconds, zone: ZoneInfo) -> tuple[Seconds, Seconds]:
    """Return in UTC what clocks of a zone show, for each time twice: before and after a change of the clocks.

    `local` are whole seconds since 1970-01-01T00:00 of that clock. The two differ only next to a change. In the hour
    that clocks show twice, the first is earlier; in the hour that they skip, which no clock shows, it is later.
    """
    if not len(local):
        return local, local
    # With the year after: changes of December 31, as in Casablanca in 2062, are among its own.
    years = range(_year_of(int(local.min())), _year_of(int(local.max())) + 2)
    at, before, after = (np.array([change[n] for change in _changes(zone, years)], dtype=np.int64) for n in range(3))
    offsets = np.append(np.int64(_offset(zone, (datetime.date(years[0], 1, 1) - EPOCH.date()).days * DAY - DAY)), after)
    # Until when the clock's time is read by the offset before a change: as PEP 495 has it for fold 0 and 1.
    first = local - offsets[np.searchsorted(at + np.maximum(before, after), local, side="right")]
    second = local - offsets[np.searchsorted(at + np.minimum(before, after), local, side="right")]
    return first, second


def _year_of(seconds: int) -> int:
    return (EPOCH + datetime.timedelta(seconds=seconds)).year


def _changes(zone: ZoneInfo, years: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return when the offset of a zone changes in some years, from which to which, in order."""
    return [change for year in years for change in _changes_of_year(zone, year)]


@lru_cache(maxsize=1_000)
def _changes_of_year(zone: ZoneInfo, year: int) -> list[tuple[int, int, int]]:
    """Return the changes from the day before a year to the day before the next."""
    first, last = (((datetime.date(each, 1, 1) - EPOCH.date()).days - 1) * DAY for each in (year, year + 1))
    found = []
    before = _offset(zone, first)
    for day in range(first, last, DAY):
        after = _offset(zone, day + DAY)
        if after != before:
            low, high = day, day + DAY
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if _offset(zone, middle) == before else (low, middle)
            found.append((high, before, after))
            before = after
    return found


def _offset(zone: ZoneInfo, seconds: int) -> int:
    """Return how many seconds the clocks of a zone are ahead of UTC at a moment."""
    offset = (EPOCH + datetime.timedelta(seconds=seconds)).astimezone(zone).utcoffset()
    return int((offset or datetime.timedelta()).total_seconds())

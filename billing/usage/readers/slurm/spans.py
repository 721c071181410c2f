"""From when to when jobs ran, in seconds since 1970, whatever clock sacct wrote by."""

from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from ....readers.dates import SERVICE_YEARS
from ....readers.values import BadValue
from ....texts import quoted
from .local_times import both_readings
from .pieces import Mask, Piece
from .times import Moments, moment_of, moments_of

Seconds = Any

_FIRST = moment_of(f"{SERVICE_YEARS[0]}-01-01T00:00:00Z")[0]
_LAST = moment_of(f"{SERVICE_YEARS[-1]}-12-31T00:00:00Z")[0]


@dataclass(frozen=True)
class Spans:
    """When jobs ran: from `start` until `end`.

    `is_running` are those without an end in the file: for them it is when sacct was called. `is_late` are those that
    ran for longer than from their start to their end in the file: they end when they had run for so long.
    `is_undated` are those whose start nobody can tell yet.
    """

    start: Seconds
    end: Seconds
    is_running: Mask
    is_late: Mask
    is_undated: Mask


def moments(piece: Piece, name: str) -> Moments:
    """Return the times of a column; raises FileError with the lines of what is no time."""
    try:
        return moments_of(piece.columns[name])
    except BadValue:
        piece.converted(name, moment_of)
        raise


def spans_of(piece: Piece, started: Moments, *, elapsed: Seconds, suspended: Seconds, zone: ZoneInfo) -> Spans:
    """Return when jobs ran that have all started; `started` are their starts as the file has them.

    In the hour that clocks show twice, how long the job ran tells which time is meant, if its other time is known.
    Where it does not tell, the first is meant. A job without an end could get another start once it has ended, and
    would count twice: it is undated until then. Raises FileError for times that no clock of the zone showed, and for
    years that no cluster is of.
    """
    ended = moments(piece, "End")
    start, other_start = _readings(piece, "Start", started, zone)
    end, other_end = _readings(piece, "End", ended, zone)
    is_running = ~ended.known
    taken = elapsed + suspended
    fits = (start + taken == end) | (start + taken == other_end)
    other_fits = (other_start + taken == end) | (other_start + taken == other_end)
    begin: Seconds = np.where(other_fits & ~fits & ~is_running, other_start, start)
    is_other = (begin + taken == other_end) | (end < begin + elapsed)
    finish: Seconds = np.where(is_other & (begin + taken != end), other_end, end)
    finish = np.where(is_running, begin + taken, finish)
    is_late = finish < begin + elapsed
    finish = np.where(is_late, begin + elapsed, finish)
    piece.refuse("End", finish > _LAST, lambda row: "The job would end after the year 2100: its times are wrong.")
    return Spans(begin, finish, is_running, is_late, is_running & (start != other_start))


def _readings(piece: Piece, name: str, given: Moments, zone: ZoneInfo) -> tuple[Seconds, Seconds]:
    """Return the times of a column in UTC, and again where the clocks showed one twice."""
    wrong = given.known & ((given.seconds < _FIRST) | (given.seconds > _LAST))
    piece.refuse(
        name,
        wrong,
        lambda row: f"{quoted(piece.text(name, row))} is out of range: no cluster ran then. Correct the line.",
    )
    if zone.key == "UTC" or not given.is_local.any():
        return given.seconds, given.seconds
    first, second = given.seconds.copy(), given.seconds.copy()
    first[given.is_local], second[given.is_local] = both_readings(given.seconds[given.is_local], zone)
    piece.refuse(
        name,
        second < first,
        lambda row: (
            f"{quoted(piece.text(name, row))} is no time in {zone.key}, whose clocks skip that hour. The file was "
            "written in another time zone than the feed's."
        ),
    )
    return first, second

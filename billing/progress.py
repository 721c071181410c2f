"""How far slow work has come: a bar on a terminal, figures on a job."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

from .texts import shown

# Called with what is done, the total (0 while unknown) and what is being done.
Progress = Callable[[int, int, str], None]

INTERVAL = 0.2
WIDTH = 24


def unwatched(done: int, total: int, doing: str) -> None:
    """The progress of work that nobody watches."""


class Pace:
    """How fast one step of slow work goes, told in words; a new step begins anew."""

    def __init__(self) -> None:
        self.doing = ""
        self.began_at = 0.0
        self.began_with = 0

    def told(self, done: int, total: int, doing: str, now: float) -> str:
        """Say how much is done, of how much, in percent, how much a second, and how long it still takes.

        `now` is in seconds of any clock that only goes forward.
        """
        if doing != self.doing:
            self.doing, self.began_at, self.began_with = doing, now, done
        took, came = now - self.began_at, done - self.began_with
        told = [f"{done:,} of {total:,} ({min(100, done * 100 // total)}%)" if total else f"{done:,}"] if done else []
        if took > 1 and came > 0:
            rate = came / took
            told.append(f"{rate:,.0f}/s")
            if total > done:
                told.append(f"{_duration((total - done) / rate)} left")
        return ", ".join(told)


def _duration(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60} s"


class TerminalProgress:
    """A bar on standard error, redrawn a few times a second; nothing where that is no terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.is_shown = self.stream.isatty()
        self.shown_at = 0.0
        self.pace = Pace()
        self.width = 0

    def __call__(self, done: int, total: int, doing: str) -> None:
        now = time.monotonic()
        if not self.is_shown or (now - self.shown_at < INTERVAL and done < total):
            return
        self.shown_at = now
        filled = min(WIDTH, done * WIDTH // total) if total else 0
        bar = f" [{'#' * filled:{WIDTH}}]" if total else ""
        text = f"{shown(doing)}{bar} {self.pace.told(done, total, doing, now)}".rstrip()
        self.stream.write("\r" + text.ljust(self.width))
        self.stream.flush()
        self.width = len(text)

    def close(self) -> None:
        """Take the bar away, so that the next line starts clean."""
        if self.width:
            self.stream.write("\r" + " " * self.width + "\r")
            self.stream.flush()
            self.width = 0

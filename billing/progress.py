"""How far slow work has come: a bar on a terminal, figures on a job."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

# Called with what is done, the total (0 while unknown) and what is being done.
Progress = Callable[[int, int, str], None]

INTERVAL = 0.2
WIDTH = 24


def unwatched(done: int, total: int, doing: str) -> None:
    """The progress of work that nobody watches."""


class TerminalProgress:
    """A bar on standard error, redrawn a few times a second; nothing where that is no terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.shown_at = 0.0
        self.started_at = time.monotonic()
        self.width = 0

    def __call__(self, done: int, total: int, doing: str) -> None:
        now = time.monotonic()
        if not self.stream.isatty() or (now - self.shown_at < INTERVAL and done < total):
            return
        self.shown_at = now
        rate = done / max(now - self.started_at, 0.001)
        if total:
            filled = min(WIDTH, done * WIDTH // total)
            left = max(total - done, 0) / rate if rate else 0
            text = f"{doing} [{'#' * filled:{WIDTH}}] {done * 100 // total:3d} %  {rate:,.0f}/s  {left:,.0f} s left"
        else:
            text = f"{doing} {done:,}  {rate:,.0f}/s"
        self.stream.write("\r" + text.ljust(self.width))
        self.stream.flush()
        self.width = len(text)

    def close(self) -> None:
        """Take the bar away, so that the next line starts clean."""
        if self.width:
            self.stream.write("\r" + " " * self.width + "\r")
            self.stream.flush()
            self.width = 0

"""What nobody works on any more ends as failed, and what waits for the queue is handed to it: looked after by all.

The worker calls it every few seconds, cron where no worker runs, and whoever opens a page of jobs or imports.
"""

import contextlib
import datetime
from dataclasses import dataclass

from django.db import OperationalError

from ..audit import Actor
from ..background import jobs
from . import abandoned

SYSTEM = Actor(name="system", via="task")


@dataclass(frozen=True)
class Tended:
    """How many jobs and imports were closed because nobody worked on them, and whether the queue took what waits."""

    jobs: int
    imports: int
    queue_answers: bool


def tend(*, now: datetime.datetime) -> Tended:
    """Close what was left, and hand over what is kept."""
    closed = jobs.close_abandoned(now=now)
    imports = abandoned.close_left(actor=SYSTEM, now=now)
    return Tended(closed, imports, jobs.hand_over_kept())


def close_left(*, now: datetime.datetime) -> None:
    """Close what was left, for a page that is about to show it; where somebody is writing for long, not now."""
    with contextlib.suppress(OperationalError), jobs.briefly():
        jobs.close_abandoned(now=now)
        abandoned.close_left(actor=SYSTEM, now=now)

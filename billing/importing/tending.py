"""What nobody works on any more ends as failed, and what waits for the queue is handed to it: looked after by all.

The worker calls it every few seconds, cron where no worker runs, and whoever opens a page of jobs or imports.
"""

import contextlib
import datetime
from dataclasses import dataclass

from django.db import OperationalError

from ..audit import Actor
from ..background import jobs
from ..errors import NextStep
from ..models import User
from ..notices import Notice
from . import abandoned

SYSTEM = Actor(name="system", via="task")
QUEUE_AWAY = (
    "The queue of background jobs cannot be reached. What is asked for is kept, and starts by itself when the queue is "
    "back. Ask your administrator: the server of the queue does not answer."
)


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


def notice(user: User) -> Notice | None:
    """Say on every staff page that the queue is away, with a link to what waits for it."""
    if not jobs.is_kept_from_queue():
        return None
    return Notice(QUEUE_AWAY, then=NextStep("list_jobs"))

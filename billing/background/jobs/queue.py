"""Handing jobs to the queue: again, where it has lost them or could not be reached."""

import contextlib
import datetime
import logging
from collections.abc import Iterator

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django_q.tasks import async_task

from ...models import Job
from .. import heartbeat, working

log = logging.getLogger(__name__)

# A queue that was restarted may have lost what it had taken. Then it is handed over again: soon where nothing runs
# that it could be waiting for, else once in a while.
LOST_WHEN_IDLE_AFTER = datetime.timedelta(seconds=30)
LOST_AFTER = datetime.timedelta(minutes=5)
# As many are handed over at a time: somebody may be waiting for a page.
TOGETHER = 50
# How long the queue may take to answer, where it is a table of the database.
PATIENCE = datetime.timedelta(seconds=5)


def hand_over_kept() -> bool:
    """Hand to the queue what it has not taken yet and what it lost; return whether it could be reached."""
    try:
        is_idle = not Job.objects.filter(state=Job.State.RUNNING).exists()
        due = Q(handed_at=None)
        # While nobody works, what the queue has lies in it untouched: handed over again, it would lie in it twice.
        if heartbeat.is_worker_alive():
            due |= Q(handed_at__lt=working.ago(LOST_WHEN_IDLE_AFTER if is_idle else LOST_AFTER))
        waiting = Job.objects.filter(due, state=Job.State.QUEUED).order_by("pk")
        for number in list(waiting.values_list("pk", flat=True)[:TOGETHER]):
            if not hand_over("billing.tasks.run_job", number):
                return False
            # Only now: who is killed in between has it handed over twice, and not never.
            with briefly():
                Job.objects.filter(pk=number).update(handed_at=Now())
    except DatabaseError as error:
        # What called this has committed its work. The next one hands over what is left.
        log.warning("Jobs could not be handed to the queue: %s", error)
        return False
    return True


def hand_over(task: str, number: int) -> bool:
    """Give the queue a task about the row of this number; return False, having logged why, where it takes none."""
    try:
        with briefly():
            async_task(task, number)
    except Exception as error:
        # Whatever the queue's client raises: the address may be wrong, its server down, its table locked.
        log.warning("The queue cannot be reached (%s %s is kept): %s", task, number, error)
        return False
    return True


@contextlib.contextmanager
def briefly() -> Iterator[None]:
    """Wait only a little for whoever else is writing to the database."""
    milliseconds = int(PATIENCE.total_seconds() * 1000)
    if connection.vendor != "sqlite":
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = {milliseconds}")
            yield
        return
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA busy_timeout = {milliseconds}")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {settings.DATABASES['default']['OPTIONS']['timeout'] * 1000}")


def kept_from_queue() -> QuerySet[Job]:
    """Return the jobs that wait because the queue could not be reached."""
    waiting = Job.objects.filter(state=Job.State.QUEUED, handed_at=None)
    return waiting.filter(created_at__lt=working.ago(PATIENCE))


def is_kept_from_queue() -> bool:
    """Tell whether jobs wait because the queue could not be reached."""
    return kept_from_queue().exists()

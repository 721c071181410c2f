"""Why queued work does not begin: no worker runs, or the queue cannot be reached. Pages that queue work say so."""

from django.db import connection
from django.db.models import Exists
from django.db.models.functions import Now

from ..errors import NextStep
from ..models import User, Worker
from ..notices import Notice
from . import heartbeat, jobs

NOBODY_WORKS = (
    "No background worker has run for a minute or longer. Imports and other background jobs wait until one runs. "
    "Ask your administrator: the worker process is not running."
)
QUEUE_AWAY = (
    "The queue of background jobs cannot be reached. What is asked for is kept, and starts by itself when the queue is "
    "back. Ask your administrator: the server of the queue does not answer."
)


def notice(user: User) -> Notice | None:
    """Say that what this page queues will not begin, and where to read how to mend it. It takes one query at most."""
    is_alive, is_kept = _known()
    if not is_alive:
        return Notice(NOBODY_WORKS, then=NextStep("start_worker"))
    return Notice(QUEUE_AWAY, then=NextStep("list_jobs")) if is_kept else None


def _known() -> tuple[bool, bool]:
    """Return whether a worker is alive and, only then, whether jobs are kept from the queue."""
    if connection.vendor == "sqlite":
        # A look at a file; where nobody works, nothing is asked.
        is_alive = heartbeat.is_worker_alive()
        return is_alive, is_alive and jobs.is_kept_from_queue()
    alive = Worker.objects.filter(seen_at__gt=Now() - heartbeat.SILENT)
    found = alive.values_list(Exists(jobs.kept_from_queue()), flat=True).first()
    return found is not None, bool(found)

"""Slow work in the background: asked for once, claimed once, with its progress readable while it runs."""

import datetime
import logging
import time
from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django_q.tasks import async_task

from .audit import Actor
from .errors import BillingError
from .models import Job
from .progress import INTERVAL

log = logging.getLogger(__name__)

# Called with the job, its arguments, who asked, the time and a progress; returns what the job's page shows.
Work = Callable[..., dict[str, Any]]

_works: dict[str, Work] = {}


def register(kind: str, work: Work) -> None:
    """Say what a kind of job does; apps call this when they are ready."""
    _works[kind] = work


def enqueue(*, kind: str, arguments: dict[str, Any], actor: Actor, now: datetime.datetime) -> Job:
    """Note a job and hand its id to the worker once this transaction is committed."""
    job = Job.objects.create(kind=kind, arguments=arguments, created_at=now, created_by=actor.user)
    transaction.on_commit(lambda: async_task("billing.tasks.run_job", job.pk))
    return job


def run(job_id: int) -> str:
    """Do a job, unless another worker has claimed it: the queue delivers at least once.

    A refusal or a crash is recorded on the job with its message; neither is tried again by itself,
    because the person who asked reads the page and decides.
    """
    now = timezone.now()
    claimed = Job.objects.filter(pk=job_id, state=Job.State.QUEUED).update(state=Job.State.RUNNING, started_at=now)
    if not claimed:
        return "claimed already"
    job = Job.objects.select_related("created_by").get(pk=job_id)
    actor = Actor.from_user(job.created_by, via="task") if job.created_by else Actor(name="system", via="task")
    try:
        result = _works[job.kind](job=job, arguments=job.arguments, actor=actor, now=now, progress=JobProgress(job_id))
    except BillingError as error:
        _finish(job_id, state=Job.State.FAILED, message=str(error), result=getattr(error, "result", None))
    except Exception:
        log.exception("job %s (%s) broke off", job_id, job.kind)
        _finish(
            job_id,
            state=Job.State.FAILED,
            message="The program broke off; nothing was changed. The log of the worker says why.",
            result=None,
        )
        raise
    else:
        _finish(job_id, state=Job.State.DONE, message=str(result.pop("message", "")), result=result)
    return "done"


def _finish(job_id: int, *, state: str, message: str, result: dict[str, Any] | None) -> None:
    # The progress is written a few times a second only: its last words may be from before the end.
    done = F("total") if state == Job.State.DONE else F("done")
    Job.objects.filter(pk=job_id, state=Job.State.RUNNING).update(
        state=state, done=done, message=message[:500], result=result, finished_at=timezone.now()
    )


class JobProgress:
    """Writes how far a job has come to its row, a few times a second, never inside a transaction.

    Inside one, the write would wait for the commit to be seen, and on SQLite hold back other writers.
    """

    def __init__(self, job_id: int) -> None:
        self.job_id = job_id
        self.shown_at = 0.0

    def __call__(self, done: int, total: int, doing: str) -> None:
        now = time.monotonic()
        if now - self.shown_at < INTERVAL or transaction.get_connection().in_atomic_block:
            return
        self.shown_at = now
        Job.objects.filter(pk=self.job_id).update(done=done, total=total, message=doing[:500])

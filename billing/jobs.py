"""Slow work in the background: asked for once, claimed once, its progress readable, left running by nobody."""

import contextlib
import datetime
import logging
import time
from collections.abc import Callable, Collection
from typing import Any

from django.conf import settings
from django.db import DatabaseError, IntegrityError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F
from django.utils import timezone
from django_q.tasks import async_task

from . import audit, working
from .audit import Actor
from .errors import BillingError
from .models import Job
from .progress import INTERVAL, Pace

log = logging.getLogger(__name__)

# Called with the job, its arguments, who asked, the time and a progress; returns what the job's page shows.
Work = Callable[..., dict[str, Any]]

_works: dict[str, Work] = {}
_permissions: dict[str, str] = {}

UNFINISHED = (Job.State.QUEUED, Job.State.RUNNING)
# Charges beyond which what the web asks for is done in the background.
LARGE = 5_000
# The queue ends a worker that takes longer.
LONGEST = datetime.timedelta(seconds=int(settings.Q_CLUSTER["timeout"]), minutes=5)
NEVER_TAKEN_AFTER = datetime.timedelta(days=7)
LEFT = "The worker was stopped while it worked on this: nothing of it was applied that is not shown. Ask for it again."
NEVER_TAKEN = "No worker took this in a week. See that one runs, and ask for it again."


class NoLongerAllowed(BillingError):
    """Who asked for a job was switched off, or lost the role it takes, before a worker took it."""


def register(kind: str, work: Work, *, permission: str) -> None:
    """Say what a kind of job does, and what it takes to have it done; apps call this when they are ready."""
    _works[kind] = work
    _permissions[kind] = permission


def enqueue(
    *,
    kind: str,
    arguments: dict[str, Any],
    subject: str = "",
    untold: Collection[str] = (),
    actor: Actor,
    now: datetime.datetime,
) -> Job:
    """Note a job and hand its id to the worker once this transaction is committed.

    Of a `subject` only one job of a kind is unfinished at a time: who asks twice gets the one that was asked for.
    The audit trail says the arguments, but for those `untold`.
    """
    close_abandoned(now=now)
    unfinished = Job.objects.filter(kind=kind, subject=subject, state__in=UNFINISHED)
    try:
        with transaction.atomic(), audit.gesture(actor=actor, now=now) as gesture:
            job = Job.objects.create(
                kind=kind, subject=subject, arguments=arguments, created_at=now, created_by=actor.user
            )
            told = {name: value for name, value in arguments.items() if name not in untold}
            gesture.record("job.queued", job, after={"kind": kind, **told})
    except IntegrityError:
        known = unfinished.first() if subject else None
        if known is None:
            raise
        return known
    transaction.on_commit(lambda: async_task("billing.tasks.run_job", job.pk))
    return job


def close_abandoned(*, now: datetime.datetime) -> int:
    """Mark jobs as failed whose worker is gone, and those that no worker ever took; return how many.

    They are not begun again by themselves: what they do is done as a whole or not at all, and the person who
    asked decides with what is there by now. A worker of another machine leaves no mark here; then the time tells
    after which the queue ends it.
    """
    closed = _close_left(now)
    untaken = Job.objects.filter(state=Job.State.QUEUED, created_at__lt=now - NEVER_TAKEN_AFTER)
    return closed + sum(_end(job, NEVER_TAKEN, now) for job in untaken)


def _close_left(now: datetime.datetime) -> int:
    closed = 0
    for job in Job.objects.filter(state=Job.State.RUNNING):
        gone = working.was_abandoned(_mark(job.pk))
        if gone or (gone is None and job.started_at and job.started_at < now - LONGEST):
            closed += _end(job, LEFT, now)
            working.forget(_mark(job.pk))
    return closed


def _end(job: Job, why: str, now: datetime.datetime) -> int:
    system = Actor(name="system", via="task")
    with audit.gesture(actor=system, now=now):
        # It may have ended, or been taken, between the two looks.
        same = Job.objects.filter(pk=job.pk, state=job.state)
        ended = same.update(state=Job.State.FAILED, message=why, finished_at=now)
        if ended:
            _tell_failed(job, why, system)
    return ended


def _mark(job_id: int) -> str:
    return f"job-{job_id}"


def run(job_id: int) -> str:
    """Do a job, unless another worker has claimed it: the queue delivers at least once.

    A job whose worker is gone is not done once more, but ends as failed. A refusal or a crash is recorded on the
    job with its message. None of them is tried again by itself, because the person who asked reads the page
    and decides.
    """
    now = timezone.now()
    _close_left(now)
    mark = working.begin(_mark(job_id))
    if not mark.is_held:
        return "claimed already"
    claimed = Job.objects.filter(pk=job_id, state=Job.State.QUEUED).update(state=Job.State.RUNNING, started_at=now)
    if not claimed:
        working.end(mark)
        return "claimed already"
    try:
        return _run(job_id, now)
    finally:
        working.end(mark)


def _run(job_id: int, now: datetime.datetime) -> str:
    job = Job.objects.select_related("created_by").get(pk=job_id)
    actor = Actor.from_user(job.created_by, via="task") if job.created_by else Actor(name="system", via="task")
    try:
        _require_allowed(job)
        with contextlib.closing(JobProgress(job_id)) as progress:
            result = _works[job.kind](job=job, arguments=job.arguments, actor=actor, now=now, progress=progress)
    except BillingError as error:
        _finish(job_id, state=Job.State.FAILED, message=str(error), result=getattr(error, "result", None))
        _tell_failed(job, str(error), actor)
    except Exception:
        log.exception("job %s (%s) broke off", job_id, job.kind)
        _finish(
            job_id,
            state=Job.State.FAILED,
            message="The program broke off; the log of the worker says why. What it had finished before stands: "
            "look at it before you ask again.",
            result=None,
        )
        _tell_failed(job, "The program broke off.", actor)
        raise
    else:
        _finish(job_id, state=Job.State.DONE, message=str(result.pop("message", "")), result=result)
    return "done"


def _require_allowed(job: Job) -> None:
    """Ask again for what the page asked for: a queue may be long. What the system asked for needs nobody's right."""
    user, permission = job.created_by, _permissions[job.kind]
    if user is None or (user.is_active and user.has_perm(permission)):
        return
    raise NoLongerAllowed(
        f"{user} asked for this and is no longer allowed to ({permission}): nothing was done. "
        "Somebody who is may ask again."
    )


def _finish(job_id: int, *, state: str, message: str, result: dict[str, Any] | None) -> None:
    # The progress is written a few times a second only: its last words may be from before the end.
    done = F("total") if state == Job.State.DONE else F("done")
    Job.objects.filter(pk=job_id, state=Job.State.RUNNING).update(
        state=state, done=done, message=message[:500], result=result, finished_at=timezone.now()
    )


def _tell_failed(job: Job, why: str, actor: Actor) -> None:
    # What a job did is told by the verb it called; that nothing came of it, by nobody else.
    with audit.gesture(actor=actor, now=timezone.now()) as gesture:
        gesture.record("job.failed", job, after={"kind": job.kind}, note=why[:2_000])


class JobProgress:
    """Writes how far a job has come to its row, a few times a second.

    Inside a transaction nobody would see it before the commit, so there PostgreSQL is told by a connection beside it.
    On SQLite nothing is told then: the write would have to wait for the transaction that waits for it.
    """

    def __init__(self, job_id: int) -> None:
        self.job_id = job_id
        self.shown_at = 0.0
        self.pace = Pace()
        self._beside: BaseDatabaseWrapper | None = None

    def __call__(self, done: int, total: int, doing: str) -> None:
        now = time.monotonic()
        inside = connection.in_atomic_block
        if now - self.shown_at < INTERVAL or (inside and connection.vendor != "postgresql"):
            return
        self.shown_at = now
        message = ": ".join(filter(None, (doing[:300], self.pace.told(done, total, doing, now))))
        if inside:
            self._tell_beside(done, total, message)
        else:
            Job.objects.filter(pk=self.job_id).update(done=done, total=total, message=message)

    def _tell_beside(self, done: int, total: int, message: str) -> None:
        # Where there is no further connection, the job goes on untold.
        with contextlib.suppress(DatabaseError):
            if self._beside is None:
                self._beside = connections[connection.alias].copy()
            with self._beside.cursor() as cursor:
                # Should the transaction hold the job itself, neither must wait for the other.
                cursor.execute("SET lock_timeout = '50ms'")
                cursor.execute(
                    "UPDATE billing_job SET done = %s, total = %s, message = %s WHERE id = %s",
                    [done, total, message, self.job_id],
                )

    def close(self) -> None:
        """Let the connection beside go, if there is one."""
        if self._beside is not None:
            self._beside.close()

"""Doing a job: claimed once, and however it ends, that is written to its row."""

import contextlib
import datetime
import logging
import time
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F
from django.utils import timezone

from ... import audit, incidents
from ...audit import Actor
from ...errors import BillingError
from ...models import Job
from ...progress import INTERVAL, Pace
from .. import working
from ..working import Mark
from .abandoned import canceled_by, close_left, mark_of, tell_failed
from .cancellation import Canceled, can_be_canceled
from .kinds import permission_of, work_of

log = logging.getLogger(__name__)

# Waits between attempts to say how a job ended: a database that is restarted is back within these.
ATTEMPTS = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)

DATABASE_AWAY = "The database could not be reached any more while this ran. Nothing was left half-done: retry it."
BROKE_OFF = (
    "The program broke off; the log of the worker says why, with the reference {reference}. What it finished before "
    "stays done: look at it before you retry this."
)


class NoLongerAllowed(BillingError):
    """Who asked for a job was switched off, or lost the role it takes, before a worker took it."""


def run(job_id: int) -> str:
    """Do a job, unless another worker has claimed it: the queue delivers at least once.

    1. End what a worker that is gone left behind: it is not done once more, but ends as failed.
    2. Take the mark of who works on the job: nobody then says that its worker is gone while it runs.
    3. Set it running by a conditional update: of two workers who were given it, one does it.
    4. Do it. A refusal or a crash is recorded on the job with its message. None is tried again by itself, because the
       person who asked reads the page and decides.
    """
    now = timezone.now()
    close_left(now=now)
    waiting = Job.objects.filter(pk=job_id, state=Job.State.QUEUED)
    if not waiting.exists():
        return "claimed already"
    mark = working.begin(mark_of(job_id))
    if not mark.is_held:
        return "claimed already"
    try:
        if waiting.update(state=Job.State.RUNNING, started_at=now):
            return _run(job_id, mark, now)
        working.end(mark)
        return "claimed already"
    finally:
        # Where it could not be said how it ended, the mark stays and tells that nobody works on it.
        mark.release()


def _run(job_id: int, mark: Mark, now: datetime.datetime) -> str:
    job = Job.objects.select_related("created_by").get(pk=job_id)
    actor = Actor.from_user(job.created_by, via="task") if job.created_by else Actor(name="system", via="task")
    try:
        _require_allowed(job)
        with contextlib.closing(JobProgress(job_id)) as progress, can_be_canceled(job_id):
            result = work_of(job.kind)(job=job, arguments=job.arguments, actor=actor, now=now, progress=progress)
    except Canceled:
        _finish(job, state=Job.State.CANCELED, message="", result=None, actor=actor, mark=mark)
    except BillingError as error:
        _finish(job, state=Job.State.FAILED, message=str(error), result=_refused(error), actor=actor, mark=mark)
    except Exception as error:
        with incidents.named() as reference:
            log.exception("job %s (%s) broke off", job_id, job.kind)
        is_away = isinstance(error, OperationalError | InterfaceError)
        message = DATABASE_AWAY if is_away else BROKE_OFF.format(reference=reference)
        _finish(job, state=Job.State.FAILED, message=message, result=None, actor=actor, mark=mark)
        raise
    else:
        message = str(result.pop("message", ""))
        _finish(job, state=Job.State.DONE, message=message, result=result, actor=actor, mark=mark)
    return "done"


def _refused(error: BillingError) -> dict[str, Any] | None:
    """Return what a refused job leaves for its page: the result the error carries, and what to do next."""
    result = getattr(error, "result", None)
    if error.then is None:
        return result
    return {**(result or {}), "then": error.then.as_data()}


def _require_allowed(job: Job) -> None:
    """Check the permission of whoever asked, again: a queue may be long. Jobs of the system need none."""
    user, permission = job.created_by, permission_of(job.kind)
    if user is None or (user.is_active and (not permission or user.has_perm(permission))):
        return
    raise NoLongerAllowed(
        f"{user} asked for this and is no longer allowed to. Nothing was done. "
        "Ask someone who has this role to start it again."
    )


def _finish(job: Job, *, state: str, message: str, result: dict[str, Any] | None, actor: Actor, mark: Mark) -> None:
    """Say how a job ended, and take its mark away. A database that is away just now is waited for."""
    for attempt, wait in enumerate(ATTEMPTS, start=1):
        time.sleep(wait)
        try:
            _write_end(job, state=state, message=message, result=result, actor=actor)
            working.end(mark)
            return
        except (OperationalError, InterfaceError):
            if connection.in_atomic_block or attempt == len(ATTEMPTS):
                raise
            connection.close()


def _write_end(job: Job, *, state: str, message: str, result: dict[str, Any] | None, actor: Actor) -> None:
    # The progress is written a few times a second only: its last words may be from before the end.
    done = F("total") if state == Job.State.DONE else F("done")
    with audit.gesture(actor=actor, now=timezone.now()) as gesture:
        if state == Job.State.CANCELED:
            job.refresh_from_db()
            message = canceled_by(job)
        # What broke off keeps what it told of the parts that were done.
        told = {} if result is None else {"result": result}
        ended = Job.objects.filter(pk=job.pk, state=Job.State.RUNNING).update(
            state=state, done=done, message=message[:500], finished_at=timezone.now(), **told
        )
        if ended and state == Job.State.FAILED:
            tell_failed(job, message, actor)
        elif ended and state == Job.State.CANCELED:
            gesture.record("job.canceled", job, after={"kind": job.kind})


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

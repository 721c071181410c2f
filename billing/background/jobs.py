"""Slow work in the background: asked for once, handed over until it is taken, done once, left running by nobody.

A job's row is what is kept of it, whatever becomes of the queue: it is written together with what it follows from,
and handed to the queue after the commit. What the queue cannot take, and what it loses, is handed over again, by
whoever enqueues next and by the worker, which looks every few seconds. To be handed over twice does no harm, since
a job is claimed once.
"""

import contextlib
import datetime
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

from django.conf import settings
from django.db import (
    DatabaseError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connection,
    connections,
    transaction,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone
from django_q.tasks import async_task

from .. import audit
from ..audit import Actor
from ..errors import BillingError, NextStep
from ..models import Job, User
from ..progress import INTERVAL, Pace
from . import heartbeat, working
from .working import Mark

log = logging.getLogger(__name__)

# Called with the job, its arguments, who asked, the time and a progress; returns what the job's page shows.
Work = Callable[..., dict[str, Any]]

_works: dict[str, Work] = {}
_permissions: dict[str, str] = {}

UNFINISHED = (Job.State.QUEUED, Job.State.RUNNING)
# Charges beyond which what the web asks for is done in the background.
LARGE = 5_000
NEVER_TAKEN_AFTER = datetime.timedelta(days=7)
# A queue that was restarted may have lost what it had taken. Then it is handed over again: soon where nothing runs
# that it could be waiting for, else once in a while.
LOST_WHEN_IDLE_AFTER = datetime.timedelta(seconds=30)
LOST_AFTER = datetime.timedelta(minutes=5)
# As many are handed over at a time: somebody may be waiting for a page.
TOGETHER = 50
# How long the queue may take to answer, where it is a table of the database.
PATIENCE = datetime.timedelta(seconds=5)
# How often a running job looks whether somebody wants it ended, and how long it is given to end by itself.
LOOK = 5.0
GRACE = 30.0
# Waits between attempts to say how a job ended: a database that is restarted is back within these.
ATTEMPTS = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)

LEFT = (
    "The worker was stopped while it worked on this. What it finished before stays done, and nothing is half done. "
    "Look at what is there, and retry it."
)
NEVER_TAKEN = "No worker took this in a week. See that one runs, and retry it."
DATABASE_AWAY = "The database could not be reached any more while this ran. Nothing was left half-done: retry it."
BROKE_OFF = (
    "The program broke off; the log of the worker says why. What it finished before stays done: look at it before "
    "you retry this."
)
KEPT = "Kept: the queue cannot be reached now. It starts by itself when the queue is back; do not ask for it again."


class NoLongerAllowed(BillingError):
    """Who asked for a job was switched off, or lost the role it takes, before a worker took it."""


class NotAllowed(BillingError):
    """Somebody wants to cancel or retry a job of work that they may not ask for."""


class IsOver(BillingError):
    """A job that has ended cannot be canceled."""


class NotRetried(BillingError):
    """Only what failed or was canceled can be retried, and once: then the retry can be."""


class Canceled(KeyboardInterrupt):
    """Somebody ended a job while it ran. What it is doing ends as if it had been interrupted on a terminal."""


def register(kind: str, work: Work, *, permission: str) -> None:
    """Say what a kind of job does, and what it takes to have it done; apps call this when they are ready."""
    _works[kind] = work
    _permissions[kind] = permission


# Asking for it ---------------------------------------------------------------------------------------


def enqueue(
    *,
    kind: str,
    arguments: dict[str, Any],
    subject: str = "",
    untold: Collection[str] = (),
    retry_of: Job | None = None,
    actor: Actor,
    now: datetime.datetime,
) -> Job:
    """Note a job, and hand its id to the queue once this transaction is committed.

    Where the queue is away the job is kept, and handed over later. Of a `subject` only one job of a kind is
    unfinished at a time: who asks twice gets the one that was asked for. The audit log says the arguments, but for
    those `untold`.
    """
    close_abandoned(now=now)
    unfinished = Job.objects.filter(kind=kind, subject=subject, state__in=UNFINISHED)
    try:
        with transaction.atomic(), audit.gesture(actor=actor, now=now) as gesture:
            job = Job.objects.create(
                kind=kind,
                subject=subject,
                arguments=arguments,
                retry_of=retry_of,
                created_at=now,
                created_by=actor.user,
            )
            told = {name: value for name, value in arguments.items() if name not in untold}
            gesture.record("job.queued", job, after={"kind": kind, **told})
    except IntegrityError:
        known = unfinished.first() if subject else None
        if known is None:
            raise
        job = known
    transaction.on_commit(hand_over_kept)
    return job


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


def is_kept_from_queue() -> bool:
    """Tell whether jobs wait because the queue could not be reached."""
    waiting = Job.objects.filter(state=Job.State.QUEUED, handed_at=None)
    return waiting.filter(created_at__lt=working.ago(PATIENCE)).exists()


def told(job: Job) -> str:
    """Return what a job says of itself, or why it does not begin or end."""
    if job.is_kept:
        return KEPT
    if job.state == Job.State.QUEUED and not heartbeat.is_worker_alive():
        return heartbeat.WAITS
    if job.state == Job.State.RUNNING and job.cancel_asked_at:
        return f"{job.cancel_asked_by} canceled it: the worker is ending it."
    return job.message or job.get_state_display()


# Changing one's mind ---------------------------------------------------------------------------------


def cancel(*, job: Job, actor: Actor, now: datetime.datetime) -> str:
    """Cancel a job that waits, or have one ended that runs; return what became of it.

    A worker that has it ends it within seconds, as if it had been interrupted: what is one transaction is undone. An
    e-mail that was being sent is one of which a person decides whether it arrived.

    Raises NotAllowed or IsOver.
    """
    _require_may(actor.user, job, "cancel")
    close_abandoned(now=now)
    with audit.gesture(actor=actor, now=now) as gesture:
        same = Job.objects.filter(pk=job.pk)
        canceled = {"state": Job.State.CANCELED, "message": f"Canceled by {actor.name}.", "finished_at": now}
        # A worker may take it at this moment: either it is canceled here, or it is running for the next line.
        if same.filter(state=Job.State.QUEUED).update(**canceled):
            gesture.record("job.canceled", job, after={"kind": job.kind})
            return f"Job {job.pk} is canceled. It had not begun."
        asked = same.filter(state=Job.State.RUNNING)
        if asked.filter(cancel_asked_at=None).update(cancel_asked_at=now, cancel_asked_by=actor.name[:254]):
            gesture.record("job.cancel_asked", job, after={"kind": job.kind})
        elif not asked.exists():
            job.refresh_from_db()
            raise IsOver(f"Job {job.pk} is over ({job.get_state_display().lower()}): there is nothing to cancel.")
    return f"Job {job.pk} is running. Its worker has been asked to end it, which takes up to a minute."


def retry(*, job: Job, actor: Actor, now: datetime.datetime) -> Job:
    """Ask again for what failed or was canceled, in one's own name; return the new job.

    Raises NotAllowed or NotRetried.
    """
    _require_may(actor.user, job, "retry")
    close_abandoned(now=now)
    with transaction.atomic():
        # Two who ask at the same time make one retry.
        job = Job.objects.select_for_update(no_key=True).get(pk=job.pk)
        if job.state not in (Job.State.FAILED, Job.State.CANCELED):
            state = job.get_state_display().lower()
            raise NotRetried(f"Job {job.pk} is {state}. Only what failed or was canceled can be retried.")
        if again := Job.objects.filter(retry_of=job).first():
            then = NextStep("show_job", {"job": str(again.pk)})
            raise NotRetried(f"Job {job.pk} was retried already, as job {again.pk}.", then=then)
        with audit.gesture(actor=actor, now=now) as gesture:
            # The event of the first attempt says its arguments.
            again = enqueue(
                kind=job.kind,
                subject=job.subject,
                arguments=job.arguments,
                untold=job.arguments,
                retry_of=job,
                actor=actor,
                now=now,
            )
            gesture.record("job.retried", job, after={"kind": job.kind, "job": again.pk})
    return again


def _require_may(user: User | None, job: Job, what: str) -> None:
    permission = _permissions[job.kind]
    if user and not user.has_perm(permission):
        raise NotAllowed(
            f"Job {job.pk} ({job.get_kind_display()}) takes a role that {user} does not have ({permission}): "
            f"{user} may not {what} it."
        )


# What nobody works on any more -----------------------------------------------------------------------


def close_abandoned(*, now: datetime.datetime) -> int:
    """Mark jobs as failed whose worker is gone, and those that no worker ever took; return how many.

    They are not begun again by themselves: what they do is done as a whole or not at all, and the person who
    asked decides with what is there by now.
    """
    untaken = Q(state=Job.State.QUEUED, created_at__lt=now - NEVER_TAKEN_AFTER)
    return _close(_RUNNING | untaken, now)


_RUNNING = Q(state=Job.State.RUNNING)


def _close(which: Q, now: datetime.datetime) -> int:
    """End what of these nobody works on; one that waits is not begun, and nobody does."""
    closed = 0
    for job in Job.objects.filter(which).order_by("pk"):
        if job.state == Job.State.QUEUED:
            closed += _end(job, NEVER_TAKEN, now)
        elif working.is_gone(_mark(job.pk)):
            closed += _end(job, LEFT, now)
            working.forget(_mark(job.pk))
    return closed


def _end(job: Job, why: str, now: datetime.datetime) -> int:
    system = Actor(name="system", via="task")
    with audit.gesture(actor=system, now=now) as gesture:
        # It may have ended, or been taken, between the two looks.
        same = Job.objects.filter(pk=job.pk, state=job.state, cancel_asked_at=job.cancel_asked_at)
        if job.cancel_asked_at:
            ended = same.update(state=Job.State.CANCELED, message=_canceled_by(job), finished_at=now)
            if ended:
                gesture.record("job.canceled", job, after={"kind": job.kind})
            return ended
        ended = same.update(state=Job.State.FAILED, message=why, finished_at=now)
        if ended:
            _tell_failed(job, why, system)
    return ended


def _canceled_by(job: Job) -> str:
    return f"Canceled by {job.cancel_asked_by} while it ran. What it finished before stays done."[:500]


def _mark(job_id: int) -> str:
    return f"job-{job_id}"


# Doing it --------------------------------------------------------------------------------------------


def run(job_id: int) -> str:
    """Do a job, unless another worker has claimed it: the queue delivers at least once.

    A job whose worker is gone is not done once more, but ends as failed. A refusal or a crash is recorded on the
    job with its message. None of them is tried again by itself, because the person who asked reads the page
    and decides.
    """
    now = timezone.now()
    _close(_RUNNING, now)
    waiting = Job.objects.filter(pk=job_id, state=Job.State.QUEUED)
    if not waiting.exists():
        return "claimed already"
    mark = working.begin(_mark(job_id))
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
        with contextlib.closing(JobProgress(job_id)) as progress, _can_be_canceled(job_id):
            result = _works[job.kind](job=job, arguments=job.arguments, actor=actor, now=now, progress=progress)
    except Canceled:
        _finish(job, state=Job.State.CANCELED, message="", result=None, actor=actor, mark=mark)
    except BillingError as error:
        _finish(job, state=Job.State.FAILED, message=str(error), result=_refused(error), actor=actor, mark=mark)
    except Exception as error:
        log.exception("job %s (%s) broke off", job_id, job.kind)
        is_away = isinstance(error, OperationalError | InterfaceError)
        message = DATABASE_AWAY if is_away else BROKE_OFF
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
    """Ask again for what the page asked for: a queue may be long. What the system asked for needs nobody's right."""
    user, permission = job.created_by, _permissions[job.kind]
    if user is None or (user.is_active and user.has_perm(permission)):
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
            message = _canceled_by(job)
        ended = Job.objects.filter(pk=job.pk, state=Job.State.RUNNING).update(
            state=state, done=done, message=message[:500], result=result, finished_at=timezone.now()
        )
        if ended and state == Job.State.FAILED:
            _tell_failed(job, message, actor)
        elif ended and state == Job.State.CANCELED:
            gesture.record("job.canceled", job, after={"kind": job.kind})


def _tell_failed(job: Job, why: str, actor: Actor) -> None:
    # What a job did is told by the verb it called; that nothing came of it, by nobody else.
    with audit.gesture(actor=actor, now=timezone.now()) as gesture:
        gesture.record("job.failed", job, after={"kind": job.kind}, note=why[:2_000])


@contextlib.contextmanager
def _can_be_canceled(job_id: int) -> Iterator[None]:
    """Raise Canceled in the block within seconds after somebody asked for the end of the job.

    By a signal, so that it also ends what waits: for a lock, or a mail server. What does not react to that, such as
    a library that never comes back, is ended with its process.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    over = threading.Event()

    def interrupt(*_: Any) -> None:
        if not over.is_set():
            raise Canceled

    def look() -> None:
        while not over.wait(LOOK):
            with contextlib.suppress(DatabaseError):
                if Job.objects.filter(pk=job_id, cancel_asked_at__isnull=False).exists():
                    break
            # Of this thread, and asked for seldom: no connection is kept for it.
            connection.close()
        connection.close()
        if not over.is_set():
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        if not over.wait(GRACE):
            os.kill(os.getpid(), signal.SIGKILL)

    before = signal.signal(signal.SIGUSR1, interrupt)
    watch = threading.Thread(target=look, name="cancel", daemon=True)
    watch.start()
    try:
        try:
            yield
        finally:
            over.set()
    finally:
        # Once more, should the signal have come between the two.
        over.set()
        watch.join()
        signal.signal(signal.SIGUSR1, before)


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

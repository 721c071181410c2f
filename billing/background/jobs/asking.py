"""Asking for a job, and changing one's mind about it."""

import datetime
from collections.abc import Collection
from typing import Any

from django.db import IntegrityError, transaction

from ... import audit
from ...audit import Actor
from ...errors import BillingError, NextStep
from ...models import Job, User
from .. import heartbeat
from .abandoned import close_abandoned
from .kinds import permission_of
from .queue import hand_over_kept

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
# Charges beyond which what the web asks for is done in the background.
LARGE = 5_000
KEPT = "Kept: the queue cannot be reached now. It starts by itself when the queue is back; do not ask for it again."


class NotAllowed(BillingError):
    """Somebody wants to cancel or retry a job of work that they may not ask for."""


class IsOver(BillingError):
    """A job that has ended cannot be canceled."""


class NotRetried(BillingError):
    """Only what failed or was canceled can be retried, and once: then the retry can be."""


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


def told(job: Job) -> str:
    """Return what a job says of itself, or why it does not begin or end."""
    if job.is_kept:
        return KEPT
    if job.state == Job.State.QUEUED and not heartbeat.is_worker_alive():
        return heartbeat.WAITS
    if job.state == Job.State.RUNNING and job.cancel_asked_at:
        return f"{job.cancel_asked_by} canceled it: the worker is ending it."
    return job.message or job.get_state_display()


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
    permission = permission_of(job.kind)
    if user and permission and not user.has_perm(permission):
        raise NotAllowed(
            f"Job {job.pk} ({job.get_kind_display()}) takes a role that {user} does not have ({permission}): "
            f"{user} may not {what} it."
        )

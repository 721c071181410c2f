"""Jobs that nobody works on any more: their worker is gone, or none ever took them."""

import datetime

from django.db.models import Q
from django.utils import timezone

from ... import audit
from ...audit import Actor
from ...models import Job
from .. import working

NEVER_TAKEN_AFTER = datetime.timedelta(days=7)
LEFT = (
    "The worker was stopped while it worked on this. What it finished before stays done, and nothing is half done. "
    "Look at what is there, and retry it."
)
NEVER_TAKEN = "No worker took this in a week. See that one runs, and retry it."

_RUNNING = Q(state=Job.State.RUNNING)


def close_abandoned(*, now: datetime.datetime) -> int:
    """Mark jobs as failed whose worker is gone, and those that no worker ever took; return how many.

    They are not begun again by themselves: what they do is done as a whole or not at all, and the person who
    asked decides with what is there by now.
    """
    untaken = Q(state=Job.State.QUEUED, created_at__lt=now - NEVER_TAKEN_AFTER)
    return _close(_RUNNING | untaken, now)


def close_left(*, now: datetime.datetime) -> int:
    """Mark jobs as failed whose worker is gone; return how many."""
    return _close(_RUNNING, now)


def _close(which: Q, now: datetime.datetime) -> int:
    """End what of these nobody works on; one that waits is not begun, and nobody does."""
    closed = 0
    for job in Job.objects.filter(which).order_by("pk"):
        if job.state == Job.State.QUEUED:
            closed += _end(job, NEVER_TAKEN, now)
        elif working.is_gone(mark_of(job.pk)):
            closed += _end(job, LEFT, now)
            working.forget(mark_of(job.pk))
    return closed


def _end(job: Job, why: str, now: datetime.datetime) -> int:
    system = Actor(name="system", via="task")
    with audit.gesture(actor=system, now=now) as gesture:
        # It may have ended, or been taken, between the two looks.
        same = Job.objects.filter(pk=job.pk, state=job.state, cancel_asked_at=job.cancel_asked_at)
        if job.cancel_asked_at:
            ended = same.update(state=Job.State.CANCELED, message=canceled_by(job), finished_at=now)
            if ended:
                gesture.record("job.canceled", job, after={"kind": job.kind})
            return ended
        ended = same.update(state=Job.State.FAILED, message=why, finished_at=now)
        if ended:
            tell_failed(job, why, system)
    return ended


def canceled_by(job: Job) -> str:
    """Say who canceled a job that ran."""
    return f"Canceled by {job.cancel_asked_by} while it ran. What it finished before stays done."[:500]


def mark_of(job_id: int) -> str:
    """Return the mark of who works on a job."""
    return f"job-{job_id}"


def tell_failed(job: Job, why: str, actor: Actor) -> None:
    """Record that nothing came of a job."""
    # What a job did is told by the verb it called; that nothing came of it, by nobody else.
    with audit.gesture(actor=actor, now=timezone.now()) as gesture:
        gesture.record("job.failed", job, after={"kind": job.kind}, note=why[:2_000])

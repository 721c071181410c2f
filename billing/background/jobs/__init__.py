"""Slow work in the background: asked for once, handed over until it is taken, done once, left running by nobody.

A job's row is what is kept of it, whatever becomes of the queue: it is written together with what it follows from,
and handed to the queue after the commit. What the queue cannot take, and what it loses, is handed over again, by
whoever enqueues next and by the worker, which looks every few seconds. To be handed over twice does no harm, since
a job is claimed once.
"""

from .abandoned import LEFT, NEVER_TAKEN, close_abandoned
from .asking import KEPT, LARGE, UNFINISHED, IsOver, NotAllowed, NotRetried, cancel, enqueue, retry, told
from .kinds import Work, permission_of, register
from .queue import briefly, hand_over, hand_over_kept, is_kept_from_queue, kept_from_queue
from .running import DATABASE_AWAY, JobProgress, NoLongerAllowed, run

__all__ = [
    "DATABASE_AWAY",
    "IsOver",
    "JobProgress",
    "KEPT",
    "LARGE",
    "LEFT",
    "NEVER_TAKEN",
    "NoLongerAllowed",
    "NotAllowed",
    "NotRetried",
    "UNFINISHED",
    "Work",
    "briefly",
    "cancel",
    "close_abandoned",
    "enqueue",
    "hand_over",
    "hand_over_kept",
    "is_kept_from_queue",
    "kept_from_queue",
    "permission_of",
    "register",
    "retry",
    "run",
    "told",
]

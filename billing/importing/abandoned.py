"""Imports whose process is gone: they end as failed, and nothing of them was applied."""

import datetime

from django.db import DatabaseError

from .. import audit
from ..audit import Actor
from ..background import jobs, working
from ..files.leftovers import clear_leftovers
from ..files.received import clear_unused
from ..models import Import, Job
from ..readers import FileError, Problem
from . import attempts

BROKEN_OFF = (
    "The program was stopped while it worked on this import; nothing of it was applied. "
    "Its files can be imported again."
)


class TakenForLeft(FileError):
    """The process was out of touch for so long that the import was taken for one whose process is gone."""


def close_broken_off(*, actor: Actor, now: datetime.datetime) -> int:
    """Mark imports whose process is gone as failed, and return how many; remove the files that nothing came of."""
    attempts.bring_in(actor=actor, now=now)
    clear_leftovers(now)
    jobs.close_abandoned(now=now)
    waiting = list(Job.objects.filter(state__in=jobs.UNFINISHED).values_list("arguments", flat=True))
    clear_unused(
        files=[number for each in waiting for number in each.get("files", [])],
        now=now,
    )
    return close_left(actor=actor, now=now)


def close_left(*, actor: Actor, now: datetime.datetime) -> int:
    """Mark imports whose process is gone as failed, and return how many; nothing of them was applied."""
    unfinished = Import.objects.filter(state__in=Import.UNFINISHED)
    gone = [number for number in unfinished.values_list("pk", flat=True) if working.is_gone(number)]
    if not gone:
        return 0
    closed = 0
    with audit.gesture(actor=actor, now=now) as gesture:
        # It may have ended between the two looks.
        for imported in unfinished.select_for_update(no_key=True).filter(pk__in=gone):
            imported.state = Import.State.FAILED
            imported.errors = [{"file": "", "line": None, "column": None, "message": BROKEN_OFF}]
            imported.save()
            gesture.record("import.failed", imported, note=BROKEN_OFF)
            closed += 1
    for number in gone:
        working.forget(number)
    return closed


def has_ended(imported: Import) -> bool:
    """Tell whether an import's state says how it ended; not where the database cannot be asked."""
    try:
        return not Import.objects.filter(pk=imported.pk, state__in=Import.UNFINISHED).exists()
    except DatabaseError:
        return False


def require_at_work(imported: Import) -> None:
    """Lock an import for the rest of the transaction, and raise TakenForLeft where somebody has closed it."""
    state = Import.objects.select_for_update(no_key=True).values_list("state", flat=True).get(pk=imported.pk)
    if state not in Import.UNFINISHED:
        raise TakenForLeft(
            [Problem("The database had not heard of this import for so long that it was given up. Import it again.")]
        )

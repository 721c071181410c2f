"""Importing the kept files of an import once more, as files of another source or month: nothing is uploaded anew."""

import datetime

from .. import audit
from ..audit import Actor
from ..background import jobs
from ..errors import BillingError
from ..files.received import display_name
from ..models import Import, Job, Source
from .withdrawing import withdraw

State = Import.State
# Of these nothing is charged. One that waits is dismissed first: it has an answer of its own.
SETTLED = (State.FAILED, State.WITHDRAWN, State.DISMISSED)


class NotRepeatable(BillingError):
    """An import whose files cannot be imported again as things are."""


def import_again(*, imported: Import, source: Source, period: str, actor: Actor, now: datetime.datetime) -> Job:
    """Have the worker import the kept files of an import, as of a source and an expected period (`2025-01`, or none).

    One that is applied is withdrawn first, in the same transaction, so that a cost is never charged under two sources.
    Who asks twice gets the same job.

    Raises NotRepeatable, NotWithdrawable or PeriodClosed.
    """
    uses = imported.imported_files.select_related("file").order_by("number")
    # An archive is one file of several parts.
    files = dict.fromkeys((display_name(use.name.removesuffix(f"/{use.member}")), use.file_id) for use in uses)
    if not files:
        raise NotRepeatable(f"No file of import {imported.pk} is kept. Choose the files again under Import files.")
    with audit.gesture(actor=actor, now=now) as gesture:
        imported = Import.objects.select_for_update(no_key=True, of=("self",)).get(pk=imported.pk)
        if imported.state == State.APPLIED:
            if (imported.source_id, imported.expected_period) == (source.pk, period):
                raise NotRepeatable(
                    f"Import {imported.pk} is of {source.label} already. Choose another source or period."
                )
            withdraw(imported=imported, actor=actor, now=now)
        elif imported.state == State.DEFERRED:
            raise NotRepeatable(f"Import {imported.pk} is waiting. Decide about it, or dismiss it, and try again.")
        elif imported.state not in SETTLED:
            raise NotRepeatable(f"Import {imported.pk} is {imported.get_state_display().lower()}. Leave it as it is.")
        numbers, names = [number for _, number in files], [name for name, _ in files]
        wanted = {"files": numbers, "names": names, "source": source.name, "period": period}
        job = jobs.enqueue(
            kind=Job.Kind.IMPORT,
            subject=f"again {imported.pk}",
            arguments={
                "imports": [{**wanted, "replace": False, "force": False}],
                "files": numbers,
                "names": names,
                "dry_run": False,
            },
            actor=actor,
            now=now,
        )
        after = {"source": source.name, "period": period, "job": job.pk}
        gesture.record("import.repeated", imported, after=after)
    return job

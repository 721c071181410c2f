"""Importing the kept files of an import once more, as files of another source or month: nothing is uploaded anew."""

import contextlib
import datetime
from collections.abc import Sequence
from pathlib import Path

from .. import audit
from ..audit import Actor
from ..background import jobs
from ..errors import BillingError
from ..files.received import display_name
from ..models import Import, Job, Source
from ..progress import Progress
from .ingestion import ingest
from .outcomes import WouldWithdraw
from .withdrawing import require_withdrawable, withdraw

State = Import.State
# Of these nothing is charged. One that waits is dismissed first: it has an answer of its own.
SETTLED = (State.FAILED, State.WITHDRAWN, State.DISMISSED)


class NotRepeatable(BillingError):
    """An import whose files cannot be imported again as things are."""


def import_again(*, imported: Import, source: Source, period: str, actor: Actor, now: datetime.datetime) -> Job:
    """Have the worker import the kept files of an import, as of a source and an expected period (`2025-01`, or none).

    One that is applied stays so until the worker knows that its files fit there (`make_way`). Who asks twice gets the
    same job.

    Raises NotRepeatable or NotWithdrawable.
    """
    uses = imported.imported_files.select_related("file").order_by("number")
    # An archive is one file of several parts.
    files = dict.fromkeys((display_name(use.name.removesuffix(f"/{use.member}")), use.file_id) for use in uses)
    if not files:
        raise NotRepeatable(f"No file of import {imported.pk} is kept. Choose the files again under Import files.")
    numbers, names = [number for _, number in files], [name for name, _ in files]
    wanted: dict[str, object] = {"files": numbers, "names": names, "source": source.name, "period": period}
    with audit.gesture(actor=actor, now=now) as gesture:
        imported = Import.objects.select_for_update(no_key=True, of=("self",)).get(pk=imported.pk)
        if imported.state == State.APPLIED:
            if (imported.source_id, imported.expected_period) == (source.pk, period):
                raise NotRepeatable(
                    f"Import {imported.pk} is of {source.label} already. Choose another source or period."
                )
            require_withdrawable(imported)
            # Whose the files are was said by hand: that their accounts are another's is why they move.
            wanted |= {"instead_of": imported.pk, "force": True}
        elif imported.state == State.DEFERRED:
            raise NotRepeatable(f"Import {imported.pk} is waiting. Decide about it, or dismiss it, and try again.")
        elif imported.state not in SETTLED:
            raise NotRepeatable(f"Import {imported.pk} is {imported.get_state_display().lower()}. Leave it as it is.")
        job = jobs.enqueue(
            kind=Job.Kind.IMPORT,
            subject=f"again {imported.pk}",
            arguments={
                "imports": [{"replace": False, "force": False, **wanted}],
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


def make_way(
    *,
    number: int,
    paths: Sequence[Path],
    names: Sequence[str],
    source: Source | None,
    period: str,
    actor: Actor,
    now: datetime.datetime,
    progress: Progress,
) -> None:
    """Withdraw an import whose files are about to be imported as another source or month, once they fit there.

    They are tried first, so that what is refused leaves everything as it was: no month lacks what it had. Between the
    two a cost is charged once or not at all, and never under two sources.

    Raises what refuses the files, NotWithdrawable or PeriodClosed.
    """
    imported = Import.objects.get(pk=number)
    if imported.state == State.WITHDRAWN:
        # A job that broke off after this, and is run again.
        return
    # What will wait for an answer is not refused.
    with contextlib.suppress(WouldWithdraw):
        ingest(
            paths=paths,
            names=names,
            source=source,
            period=period,
            dry_run=True,
            force=True,
            beside=False,
            actor=actor,
            now=now,
            progress=progress,
        )
    withdraw(imported=imported, actor=actor, now=now)

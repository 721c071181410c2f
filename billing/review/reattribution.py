"""Re-applying tags, rules and defaults to the charges of a month that nobody decided about."""

import datetime
from typing import Any

from .. import audit
from ..audit import Actor
from ..background import jobs
from ..errors import PreviewOutdated
from ..models import BillingPeriod, Job, Source
from ..months import closing
from ..progress import Progress, unwatched
from .comparison import Comparison
from .reapplied import Reapplied


def reapply(
    *,
    period: BillingPeriod,
    source: Source | None = None,
    dry_run: bool = False,
    expected: str = "",
    actor: Actor,
    now: datetime.datetime,
    progress: Progress = unwatched,
) -> Reapplied:
    """Attribute the charges of a month as an import would today, and check anew whether they must be held.

    It looks at clear and held charges that nobody ever decided about, of one source or of all. A held
    charge whose every open reason is answered becomes clear; one that has a reason now is held. With
    `expected`, the digest of a dry run, nothing is done unless it would do just that.

    Raises PeriodClosed, PreviewOutdated, and ChargesChanged where somebody decided meanwhile.
    """
    if dry_run:
        closing.require_open(period)
        return Comparison(period, source, progress).outcome(is_dry_run=True)
    with audit.gesture(actor=actor, now=now) as gesture:
        closing.require_open(period)
        work = Comparison(period, source, progress)
        outcome = work.outcome(is_dry_run=False)
        if expected and outcome.digest != expected:
            raise PreviewOutdated("Charges, rules or tags changed since this was shown. Look at it again, then apply.")
        work.save(gesture)
        if not outcome.is_idle:
            told = {name: value for name, value in outcome.as_data().items() if name not in ("examples", "dry_run")}
            gesture.record("period.attribution_reapplied", period, after=told)
        return outcome


def reapply_later(
    *,
    period: BillingPeriod,
    source: Source | None = None,
    dry_run: bool = False,
    expected: str = "",
    actor: Actor,
    now: datetime.datetime,
) -> Job:
    """Have the worker do what `reapply` does; who asks twice gets the same job. Raises PeriodClosed."""
    closing.require_open(period)
    of = f"{period.iso_month} {source.name if source else '*'}"
    return jobs.enqueue(
        kind=Job.Kind.ATTRIBUTE,
        subject=f"{'preview of ' if dry_run else ''}{of}"[:64],
        arguments={
            "period": period.iso_month,
            "source": source.name if source else "",
            "dry_run": dry_run,
            "expected": expected,
        },
        actor=actor,
        now=now,
    )


def run_job(
    *, job: Job, arguments: dict[str, Any], actor: Actor, now: datetime.datetime, progress: Progress
) -> dict[str, Any]:
    """Re-apply as a background job. `arguments`: period, source (a name, or ""), dry_run, expected."""
    done = reapply(
        period=BillingPeriod.objects.named(arguments["period"]),
        source=Source.objects.named(arguments["source"]) if arguments["source"] else None,
        dry_run=arguments["dry_run"],
        expected=arguments["expected"],
        actor=actor,
        now=now,
        progress=progress,
    )
    return {"message": done.summary, "digest": done.digest, **done.as_data()}


def shown_by(job: Job, period: BillingPeriod) -> Reapplied | None:
    """Return what a job found re-applying to a month would do, None where it is no such job or not done."""
    found = job.result or {}
    if job.kind != Job.Kind.ATTRIBUTE or job.state != Job.State.DONE or not found.get("dry_run"):
        return None
    return Reapplied.from_data(found) if found["period"] == period.iso_month else None

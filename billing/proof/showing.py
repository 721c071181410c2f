"""A proof as its page shows it, and as of when; in a large month the worker proves, and tells how far it is.

What was found stays what was found then. Rows that somebody changes behind the program's back leave no trace by which
it could be told that a proof is out of date, so that none is ever shown as if it were of now.
"""

import datetime
from dataclasses import dataclass
from typing import Any

from django.core.cache import caches
from django.utils import timezone
from django.utils.timesince import timesince

from ..audit import Actor
from ..background import jobs
from ..errors import NextStep
from ..models import BillingPeriod, Job
from ..moments import one_moment
from ..months import checklist
from ..progress import Progress, unwatched
from ..usage.reconciling import UnitsOfRate
from . import coverage, invoices, tieout
from .equations import Equation, Verdict
from .findings import Finding

# What the worker is doing, in the order in which it does that.
STEPS = ("Adding up the month", "Looking for the rows responsible", "Comparing with invoices and the month before")


@dataclass(frozen=True)
class Frozen:
    """By whom and when a proof was frozen, and the hashes of its files."""

    frozen_at: datetime.datetime
    frozen_by: str
    json_sha256: str
    pdf_sha256: str


@dataclass(frozen=True)
class Proven:
    """What a proof found at one moment: all that its page shows, and nothing that is looked up later."""

    at: datetime.datetime
    verdict: str
    reconciles: bool
    problems: tuple[str, ...]
    culprits: tuple[Finding, ...]
    equations: tuple[Equation, ...]
    amortized: tuple[invoices.Amortized, ...]
    invoices: tuple[invoices.Bridge, ...]
    uncharged: tuple[coverage.Uncharged, ...]
    frozen: Frozen | None
    units: tuple[UnitsOfRate, ...] = ()
    disposed: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether something is still to be charged, stated or journaled."""
        return any(each.verdict == Verdict.OPEN for each in self.equations)

    @property
    def ago(self) -> str:
        """How long ago that is, in words: 3 minutes ago."""
        is_now = timezone.now() - self.at < datetime.timedelta(minutes=1)
        return "just now" if is_now else f"{timesince(self.at, timezone.now(), depth=1)} ago"


def proven(period: BillingPeriod, *, now: datetime.datetime, progress: Progress = unwatched) -> Proven:
    """Prove a month anew, all of it at one moment of the database. Raises the errors of `prove`."""
    progress(0, len(STEPS), STEPS[0])
    with one_moment():
        report = tieout.report(period)
        progress(1, len(STEPS), STEPS[1])
        culprits = tuple(report.culprits)
        progress(2, len(STEPS), STEPS[2])
        frozen = report.proof.month.frozen
        return Proven(
            at=now,
            verdict=report.proof.verdict,
            reconciles=report.proof.reconciles,
            problems=tuple(report.proof.problems()),
            culprits=culprits,
            equations=tuple(report.proof.equations),
            amortized=tuple(report.amortized),
            invoices=tuple(report.invoices),
            uncharged=tuple(report.uncharged),
            frozen=Frozen(frozen.frozen_at, frozen.frozen_by, frozen.json_sha256, frozen.pdf_sha256)
            if frozen
            else None,
            units=tuple(report.proof.units),
            disposed=tuple(report.proof.disposed),
        )


@dataclass(frozen=True)
class Kept:
    """What the worker found last, however long ago, and whether anything was recorded since."""

    proven: Proven
    has_changed: bool


def kept(period: BillingPeriod) -> Kept | None:
    """Return what the worker found last; None where it never proved the month."""
    try:
        found = caches["months"].get(_key(period))
    except checklist.UNREADABLE:
        return None
    if not found:
        return None
    stamp, proven = found
    return Kept(proven, stamp != checklist.stamp_of(period))


def last_job(period: BillingPeriod) -> Job | None:
    """Return the job that proves the month, or that was the last to."""
    return Job.objects.filter(kind=Job.Kind.PROVE, subject=period.iso_month).order_by("-pk").first()


def prove_later(*, period: BillingPeriod, actor: Actor, now: datetime.datetime) -> Job:
    """Have the worker prove a month; who asks while it does gets the same job."""
    return jobs.enqueue(
        kind=Job.Kind.PROVE, subject=period.iso_month, arguments={"period": period.iso_month}, actor=actor, now=now
    )


def run_job(
    *, job: Job, arguments: dict[str, Any], actor: Actor, now: datetime.datetime, progress: Progress
) -> dict[str, Any]:
    """Prove the month of a job, and keep what was found for its page."""
    period = BillingPeriod.objects.named(arguments["period"])
    stamp = checklist.stamp_of(period)
    found = proven(period, now=timezone.now(), progress=progress)
    caches["months"].set(_key(period), (stamp, found), None)
    return {
        "message": found.verdict,
        "period": period.iso_month,
        "then": NextStep("proof", {"period": period.iso_month, "id": str(period.pk)}).as_data(),
    }


def _key(period: BillingPeriod) -> str:
    return f"proven-{period.pk}"

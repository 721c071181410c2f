"""Asking for a trial: on which months, by the worker where they are large, and kept until anything changes."""

import datetime
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.cache import caches

from ...audit import Actor
from ...background import jobs
from ...errors import BillingError
from ...models import BillingPeriod, Job, Policy, PricedMonth, RateSchedule, UsageFeed
from ...models.periods import parse_month
from ...months import checklist
from ...progress import Progress, unwatched
from ...texts import long_month
from ..making import files_of
from ..terms import standing_months
from .months import try_months
from .results import Tried
from .subjects import Subject, subject_in

# Records that are priced while somebody waits, of all months together.
MOST_PRICED = 50_000
# So many months of each feed are tried where nobody says which, and so many are offered.
TRIED, OFFERED = 3, 12


class NoMonths(BillingError):
    """There is no month to try rates on."""


class NotTried(BillingError):
    """A month that is not there, or was not priced yet, was to be tried."""


@dataclass(frozen=True)
class Triable:
    """A month of a feed that rates can be tried on."""

    feed: UsageFeed
    period: BillingPeriod
    priced_by: RateSchedule

    @property
    def name(self) -> str:
        """How an address names it: `tiger:2026-01`."""
        return f"{self.feed.name}:{self.period.iso_month}"


@dataclass(frozen=True)
class Asked:
    """What is tried, and the months to try it on, in order."""

    subject: Subject
    months: tuple[Triable, ...]

    @property
    def pairs(self) -> list[tuple[UsageFeed, datetime.date]]:
        return [(each.feed, each.period.month) for each in self.months]

    @property
    def key(self) -> str:
        """What a result is kept under: of the same rates on the same months."""
        said = [dict(self.subject.said), [each.name for each in self.months]]
        return f"tried-{hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]}"

    @property
    def job_subject(self) -> str:
        """What a job that tries it is about: the draft as it is, on these months."""
        return f"{self.key}-{self.subject.digest[:16]}"[:64]


def triable(subject: Subject) -> list[Triable]:
    """Return the months that something can be tried on, latest first: those of its feeds that were priced."""
    feeds = {feed.pk for feed in subject.feeds}
    found = [Triable(each.feed, each.period, each.schedule) for each in standing_months() if each.feed_id in feeds]
    return sorted(found, key=lambda each: (-each.period.month.toordinal(), each.feed.name))


def offered(asked: Asked) -> list[Triable]:
    """Return the months that a page offers: the last ones of each feed, and those that are asked for."""
    number: dict[int, int] = {}
    wanted, found = {each.name for each in asked.months}, []
    for each in triable(asked.subject):
        number[each.feed.pk] = number.get(each.feed.pk, 0) + 1
        found += [each] if number[each.feed.pk] <= OFFERED or each.name in wanted else []
    return found


def named_months(subject: Subject, names: Sequence[str] = ()) -> Asked:
    """Return what is to be tried: months named as `tiger:2026-01` or `2026-01`, else the last ones of each feed.

    Raises NoMonths, or NotTried with what there is.
    """
    found = triable(subject)
    if not found:
        raise NoMonths(
            f"There is no month to try {subject} on: no usage feed that it is for was priced yet. "
            "Read usage, and price a month first."
        )
    if not names:
        last: dict[int, int] = {}
        chosen = []
        for each in found:
            last[each.feed.pk] = last.get(each.feed.pk, 0) + 1
            chosen += [each] if last[each.feed.pk] <= TRIED else []
        return Asked(subject, _ordered(chosen))
    chosen = []
    for name in names:
        feed, _, month = name.rpartition(":")
        try:
            wanted = parse_month(month)
        except ValueError as error:
            raise NotTried(str(error)) from error
        fitting = [each for each in found if each.period.month == wanted and feed in ("", each.feed.name)]
        if not fitting:
            known = ", ".join(long_month(each) for each in sorted({one.period.month for one in found})[-OFFERED:])
            of = f" of {feed}" if feed else ""
            raise NotTried(f"{long_month(wanted)}{of} was not priced. These were: {known}.")
        chosen += fitting
    return Asked(subject, _ordered(chosen))


def _ordered(some: Sequence[Triable]) -> tuple[Triable, ...]:
    return tuple(sorted({each.name: each for each in some}.values(), key=lambda each: each.name))


def is_large(asked: Asked) -> bool:
    """Tell whether no page waits for it: the worker tries it."""
    records = 0
    for feed, month in asked.pairs:
        records += sum(file.records for file in files_of(feed, month))
    return records > MOST_PRICED


def try_now(asked: Asked, *, now: datetime.datetime, progress: Progress = unwatched) -> Tried:
    """Try it, and keep what came of it."""
    # Read first: what changes meanwhile is newer than the stamp.
    stamp = _stamp(asked)
    tried = try_months(asked.subject.other, asked.pairs, now=now, progress=progress)
    caches["months"].set(asked.key, (stamp, tried), None)
    return tried


def kept(asked: Asked) -> Tried | None:
    """Return what came of it last, if nothing changed since."""
    try:
        found = caches["months"].get(asked.key)
    except checklist.UNREADABLE:
        return None
    return found[1] if found and found[0] == _stamp(asked) else None


def _stamp(asked: Asked) -> tuple[object, ...]:
    stamps = checklist.stamps_of({each.period.pk: each.period for each in asked.months}.values())
    latest = PricedMonth.objects.order_by("-pk").values_list("pk", flat=True).first()
    return (asked.subject.digest, latest, Policy.objects.current().pk, sorted(stamps.items()))


def try_later(asked: Asked, *, actor: Actor, now: datetime.datetime) -> Job:
    """Have the worker try it; who asks twice gets the same job."""
    arguments = {**asked.subject.said, "months": [each.name for each in asked.months]}
    return jobs.enqueue(kind=Job.Kind.TRY, subject=asked.job_subject, arguments=arguments, actor=actor, now=now)


def job_of(asked: Asked) -> Job | None:
    """Return the last job that tries this, or tried it."""
    return Job.objects.filter(kind=Job.Kind.TRY, subject=asked.job_subject).order_by("-pk").first()


def run_job(
    *, job: Job, arguments: dict[str, Any], actor: Actor, now: datetime.datetime, progress: Progress
) -> dict[str, Any]:
    """Try something, as a background job. `arguments`: what says it (see `Subject.said`), and the names of `months`."""
    subject = subject_in(arguments)
    tried = try_now(named_months(subject, arguments["months"]), now=now, progress=progress)
    charged = tried.charged
    return {
        "message": f"{tried.what} was tried on {len(tried.found)} of {len(tried.months)} months.",
        "charged_now": str(charged.now),
        "charged_then": str(charged.then),
        "not_tried": [f"{each.feed}, {long_month(each.month)}: {each.problem}" for each in tried.problems],
    }

"""Asking for a trial: on which months, by the worker where they are large, and kept until anything changes."""

import datetime
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

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
from .subjects import Subject, arguments_kept, subject_in

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


class Trial(Protocol):
    """Something that is tried on months: now or by the worker, with a result that is kept until anything changes."""

    @property
    def key(self) -> str:
        """What a result is kept under: of the same on the same months."""

    @property
    def job_subject(self) -> str:
        """What a job that tries it is about."""

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What says it, as JSON, for `trial_in`."""

    def is_large(self) -> bool:
        """Tell whether no page waits for it."""

    def stamp(self) -> tuple[object, ...]:
        """Return what is equal as long as the same would come of it."""

    def run(self, *, now: datetime.datetime, progress: Progress) -> Tried:
        """Try it, and store nothing."""


@dataclass(frozen=True)
class Asked:
    """What is tried, and the months to try it on, in order: a Trial of rates or subsidies."""

    subject: Subject
    months: tuple[Triable, ...]

    @property
    def pairs(self) -> list[tuple[UsageFeed, datetime.date]]:
        return [(each.feed, each.period.month) for each in self.months]

    @property
    def arguments(self) -> Mapping[str, Any]:
        return {**self.subject.said, "months": [each.name for each in self.months]}

    @property
    def key(self) -> str:
        return key_of(self.arguments)

    @property
    def job_subject(self) -> str:
        """What a job that tries it is about: the draft as it is, on these months."""
        return f"{self.key}-{self.subject.digest[:16]}"[:64]

    def is_large(self) -> bool:
        """Tell whether no page waits for it, because of how many records its months have."""
        records = 0
        for feed, month in self.pairs:
            records += sum(file.records for file in files_of(feed, month))
        return records > MOST_PRICED

    def stamp(self) -> tuple[object, ...]:
        stamps = checklist.stamps_of({each.period.pk: each.period for each in self.months}.values())
        latest = PricedMonth.objects.order_by("-pk").values_list("pk", flat=True).first()
        return (self.subject.digest, latest, Policy.objects.current().pk, sorted(stamps.items()))

    def run(self, *, now: datetime.datetime, progress: Progress) -> Tried:
        return try_months(self.subject.other, self.pairs, now=now, progress=progress)


def key_of(arguments: Mapping[str, Any]) -> str:
    """Return the key of what `arguments` say."""
    return f"tried-{hashlib.sha256(json.dumps(dict(arguments), sort_keys=True).encode()).hexdigest()[:32]}"


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


# What makes a trial again of its arguments, by the name of one of them. Rates and subsidies need none.
_makers: dict[str, Callable[[Mapping[str, Any]], Trial]] = {}


def register_trial(name: str, maker: Callable[[Mapping[str, Any]], Trial]) -> None:
    """Have a trial whose arguments have this name be made by `maker`, which raises BillingError where it cannot."""
    _makers[name] = maker


def trial_in(arguments: Mapping[str, Any]) -> Trial:
    """Return what a job was asked to try. Raises BillingError where it is not there any more."""
    for name, maker in _makers.items():
        if name in arguments:
            return maker(arguments)
    return named_months(subject_in(arguments), arguments["months"])


def keep_arguments(asked: Trial) -> str:
    """Keep what says a trial, so that a page has an address; return the key for `trial_kept`."""
    caches["months"].set(f"to-try-{asked.key}", dict(asked.arguments), None)
    return asked.key


def trial_kept(key: str) -> Trial:
    """Return the trial that was kept under a key. Raises NothingToTry where it is kept no longer."""
    return trial_in(arguments_kept(key))


def is_large(asked: Trial) -> bool:
    """Tell whether no page waits for it: the worker tries it."""
    return asked.is_large()


def try_now(asked: Trial, *, now: datetime.datetime, progress: Progress = unwatched) -> Tried:
    """Try it, and keep what came of it."""
    # Read first: what changes meanwhile is newer than the stamp.
    stamp = asked.stamp()
    tried = asked.run(now=now, progress=progress)
    caches["months"].set(asked.key, (stamp, tried), None)
    return tried


def kept(asked: Trial) -> Tried | None:
    """Return what came of it last, if nothing changed since."""
    try:
        found = caches["months"].get(asked.key)
    except checklist.UNREADABLE:
        return None
    return found[1] if found and found[0] == asked.stamp() else None


def try_later(asked: Trial, *, actor: Actor, now: datetime.datetime) -> Job:
    """Have the worker try it; who asks twice gets the same job."""
    arguments = dict(asked.arguments)
    return jobs.enqueue(kind=Job.Kind.TRY, subject=asked.job_subject, arguments=arguments, actor=actor, now=now)


def job_of(asked: Trial) -> Job | None:
    """Return the last job that tries this, or tried it."""
    return Job.objects.filter(kind=Job.Kind.TRY, subject=asked.job_subject).order_by("-pk").first()


def run_job(
    *, job: Job, arguments: dict[str, Any], actor: Actor, now: datetime.datetime, progress: Progress
) -> dict[str, Any]:
    """Try something, as a background job. `arguments`: what says it (see `Trial.arguments`)."""
    tried = try_now(trial_in(arguments), now=now, progress=progress)
    charged = tried.charged
    return {
        "message": f"{tried.what} was tried on {len(tried.found)} of {len(tried.months)} months.",
        "charged_now": str(charged.now),
        "charged_then": str(charged.then),
        "not_tried": [f"{each.feed}, {long_month(each.month)}: {each.problem}" for each in tried.problems],
    }

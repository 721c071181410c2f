"""What can be tried: a version of a rate schedule, a subsidy that is not stored, or what another package registers.

A job and a page say it again by a few plain values, from which the same is made once more.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.cache import caches

from ...audit.snapshots import snapshot
from ...errors import BillingError
from ...models import RateSchedule, UsageFeed, UsageSubsidy
from ..rate_schedules import digest_of, feeds_of
from ..terms import subsidy_of
from .months import Other


class NothingToTry(BillingError):
    """What was to be tried is not there any more."""


@dataclass(frozen=True)
class Subject:
    """What is tried, and on which feeds it can be.

    `said` says it in JSON, as `{"schedule": 3}`; `digest` tells it from itself after a change.
    """

    other: Other
    said: Mapping[str, Any]
    digest: str
    feeds: tuple[UsageFeed, ...]

    def __str__(self) -> str:
        return str(self.other)


# What something to try is kept under: a digest, which `asking.key_of` marks.
KEY = re.compile(r"(?:tried-)?[0-9a-f]{32}")

# How a subject is made again of what says it, by the name of that.
Maker = Callable[[Any], Subject]
_makers: dict[str, Maker] = {}


def register(name: str, maker: Maker) -> None:
    """Have what `{name: value}` says be made by `maker`, which raises BillingError where it is not there any more."""
    _makers[name] = maker


def subject_in(arguments: Mapping[str, Any]) -> Subject:
    """Return what a job was asked to try. Raises NothingToTry."""
    name = next(name for name in _makers if name in arguments)
    return _makers[name](arguments[name])


def remember(subject: Subject) -> str:
    """Keep what says a subject, so that a page has an address; return the key that it is recalled by."""
    key = digest_of_data(dict(subject.said))[:32]
    caches["months"].set(f"to-try-{key}", dict(subject.said), None)
    return key


def recalled(key: str) -> Subject:
    """Return what was kept under a key. Raises NothingToTry where it is kept no longer."""
    return subject_in(arguments_kept(key))


def arguments_kept(key: str) -> Mapping[str, Any]:
    """Return what was kept under a key, as it says it. Raises NothingToTry where it is kept no longer."""
    # It comes from an address, where anything may stand.
    said = caches["months"].get(f"to-try-{key}") if KEY.fullmatch(key) else None
    if said is None:
        raise NothingToTry("What was to be tried is not kept any more. Fill in the form again, and try it from there.")
    return dict(said)


def digest_of_data(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def of_schedule(schedule: RateSchedule) -> Subject:
    """Return a version of a rate schedule as what is tried."""
    said = {"schedule": schedule.pk}
    return Subject(Other(schedule), said, digest_of(schedule), tuple(feeds_of(schedule.name)))


def of_subsidy(subsidy: UsageSubsidy) -> Subject:
    """Return a subsidy, stored or not, as what is tried: on any month, whatever its first and last ones are."""
    data = snapshot(subsidy)
    feeds = UsageFeed.objects.exclude(schedule="").order_by("name")
    if subsidy.feeds:
        feeds = feeds.filter(name__in=subsidy.feeds)
    other = Other(subsidy=subsidy_of(subsidy), feeds=tuple(subsidy.feeds))
    return Subject(other, {"subsidy": data}, digest_of_data(data), tuple(feeds))


def _schedule_said(number: int) -> Subject:
    schedule = RateSchedule.objects.filter(pk=number).first()
    if schedule is None:
        raise NothingToTry("Somebody discarded the draft meanwhile: there is nothing to try.")
    return of_schedule(schedule)


def _subsidy_said(data: Mapping[str, Any]) -> Subject:
    subsidy = UsageSubsidy(**data)
    # Makes numbers and months of their texts.
    subsidy.clean_fields()
    return of_subsidy(subsidy)


register("schedule", _schedule_said)
register("subsidy", _subsidy_said)

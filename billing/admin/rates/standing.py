"""How a version of a rate schedule stands today: in force, coming, replaced by a later one, a draft or retired."""

import datetime

from django.utils import timezone
from django.utils.safestring import SafeString

from ... import once_a_page
from ...models import RateSchedule, UsageFeed
from ...texts import long_month
from ..formatting import badge

State = RateSchedule.State


def this_month() -> datetime.date:
    return timezone.localdate().replace(day=1)


def feeds_by_schedule() -> dict[str, list[UsageFeed]]:
    """Return the usage feeds of each schedule, asked once for a page."""

    def read() -> dict[str, list[UsageFeed]]:
        found: dict[str, list[UsageFeed]] = {}
        for feed in UsageFeed.objects.exclude(schedule="").order_by("name"):
            found.setdefault(feed.schedule, []).append(feed)
        return found

    return once_a_page.value("feeds by schedule", read)


def _current() -> dict[str, int]:
    """Return which version of each schedule prices the present month, by name, asked once for a page."""

    def read() -> dict[str, int]:
        released = RateSchedule.objects.filter(state=State.RELEASED, valid_from__lte=this_month())
        # The last one of a name wins: the latest month, and of one month the latest version.
        return dict(released.order_by("valid_from", "version").values_list("name", "pk"))

    return once_a_page.value("rate schedules in force", read)


def state_words(schedule: RateSchedule) -> tuple[str, str]:
    """Return how a version stands, in a word or two, and its tone."""
    if schedule.state == State.DRAFT:
        return "Draft", "warn"
    if schedule.state == State.RETIRED:
        return "Retired", ""
    if schedule.valid_from > this_month():
        return f"From {long_month(schedule.valid_from)}", "info"
    if _current().get(schedule.name) == schedule.pk:
        return "In force", "good"
    return "Replaced", ""


def state_badge(schedule: RateSchedule) -> SafeString:
    return badge(*state_words(schedule))


def sentence(schedule: RateSchedule) -> str:
    """Say what a version is for now, and what it is waiting for."""
    first = long_month(schedule.valid_from)
    words = state_words(schedule)[0]
    if words == "Draft":
        return f"A draft. It prices nothing until it is put in force, from {first} on."
    if words == "Retired":
        return "It was retired, and prices no month any more."
    if words == "In force":
        return f"It prices months from {first} on, until a later version takes its place."
    if words == "Replaced":
        return f"It priced months from {first} on. A later version took its place."
    return f"It is in force from {first} on, and does not change any more."

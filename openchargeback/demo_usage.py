"""The usage of the sample institution: its rate schedules, feeds, subsidies and customers, and the files of a month."""

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from billing import audit
from billing.audit import Actor, Gesture
from billing.models import Customer, Person, RateClassMember, RateSchedule, Source, UsageFeed, UsageSubsidy
from billing.progress import Progress, unwatched
from billing.usage import bringing, feeds, grants, rate_schedules

# Where the files of usage lie in the folder of the sample.
USAGE = "usage"


def add_customers(data: Mapping[str, Any], gesture: Gesture) -> dict[str, Customer]:
    """Return the sample's customers by their numbers."""
    customers = {}
    for fields in data["customers"]:
        customers[fields["number"]], is_new = Customer.objects.get_or_create(number=fields["number"], defaults=fields)
        if is_new:
            gesture.record("customer.added", customers[fields["number"]], after=fields)
    return customers


def set_up(data: Mapping[str, Any], *, folder: Path, actor: Actor, now: datetime.datetime) -> None:
    """Put the sample's rates in force, and add its feeds, rate classes and subsidies, where they are missing."""
    with audit.gesture(actor=actor, now=now) as gesture:
        for name, given in data["schedules"].items():
            if not RateSchedule.objects.filter(name=name).exists():
                with (folder / given["file"]).open("rb") as file:
                    rates = rate_schedules.read(file, name=name)
                first = datetime.date.fromisoformat(given["valid_from"])
                rate_schedules.draft_and_release(
                    name=name, valid_from=first, rates=rates, note=given["note"], actor=actor, now=now
                )
        for name, given in data["feeds"].items():
            if not UsageFeed.objects.filter(name=name).exists():
                fields = {key: value for key, value in given.items() if key != "files"}
                fields["source"] = Source.objects.named(given["source"])
                feeds.add(name=name, fields=fields, actor=actor, now=now)
        _add_rate_classes(data, gesture)
        _add_subsidies(data, gesture)


def _add_rate_classes(data: Mapping[str, Any], gesture: Gesture) -> None:
    for fields in data["rate_classes"]:
        pi = Person.objects.named(fields["pi"])
        member, is_new = RateClassMember.objects.get_or_create(
            pi=pi, rate_class=fields["rate_class"], defaults=fields | {"pi": pi}
        )
        if is_new:
            gesture.record("rate_class_member.added", member, after=fields)


def _add_subsidies(data: Mapping[str, Any], gesture: Gesture) -> None:
    for fields in data["subsidies"]:
        if not UsageSubsidy.objects.filter(code=fields["code"]).exists():
            subsidy = UsageSubsidy(**fields)
            subsidy.full_clean()
            grants.check_subsidy(subsidy)
            subsidy.save()
            gesture.record("usage_subsidy.added", subsidy, after=fields)


def bring_in(
    data: Mapping[str, Any],
    month: str,
    *,
    folder: Path,
    actor: Actor,
    now: datetime.datetime,
    progress: Progress = unwatched,
) -> None:
    """Read a month's file of each feed, and price what it has usage of; one that was read before changes nothing."""
    for name, given in data["feeds"].items():
        path = folder / USAGE / given["files"].format(month=month)
        bringing.bring_in(
            paths=[path], names=[path.name], feed=feeds.named(name), actor=actor, now=now, progress=progress
        )

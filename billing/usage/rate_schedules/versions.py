"""Versions of rate schedules: drafted, changed while they are drafts, put in force, and retired.

A version that is in force never changes. A later one takes its place, from its first month on. Months that were closed
keep the version they were priced by, so that no version may start before them.
"""

import datetime
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Max

from ... import audit
from ...audit import Actor
from ...errors import BillingError, ReasonMissing, WrongState
from ...models import BillingPeriod, PricedMonth, RateSchedule, UsageFeed
from ...models.periods import SHUT
from ...texts import iso_month, long_month
from ..pricing.checks import problems_of
from ..pricing.schedules import ScheduleNotUnderstood, as_data, schedule_from_data
from ..pricing.terms import Schedule
from .changes import Change, changes

State = RateSchedule.State


class NoSuchSchedule(BillingError):
    """A rate schedule, or a version of one, was named that there is none of."""


class NoRates(BillingError):
    """A schedule that does not exist yet was to be drafted without rates."""


class DraftChanged(BillingError):
    """Somebody else changed a draft meanwhile."""


class CannotRelease(BillingError):
    """A version cannot be put in force from its first month on."""


class PricedClosedMonths(BillingError):
    """A version that closed months were priced by was to be retired."""


@dataclass(frozen=True)
class Drafted:
    """A draft, the version that it is compared with (None: it is the first), and what differs.

    A dry run has a draft that is not stored.
    """

    schedule: RateSchedule
    before: RateSchedule | None
    changes: tuple[Change, ...]
    is_dry_run: bool = False


@dataclass(frozen=True)
class Released:
    """A version in force, the one whose place it takes (None: no other priced that month), and months to price again.

    `months` are open months that another version priced, by feed.
    """

    schedule: RateSchedule
    replaces: RateSchedule | None
    months: tuple[tuple[UsageFeed, BillingPeriod], ...]


# Finding ----------------------------------------------------------------------------------------------


def named(name: str, version: int | None = None) -> RateSchedule:
    """Return a version of a schedule: the latest of all where none is given. Raises NoSuchSchedule with what exists."""
    versions = RateSchedule.objects.filter(name=name.strip().lower()).order_by("-version")
    if version is None:
        found = versions.first()
    else:
        found = versions.filter(version=version).first() if version < 2**31 else None
    if found:
        return found
    if version is not None and (known := sorted(versions.values_list("version", flat=True))):
        numbers = ", ".join(map(str, known))
        raise NoSuchSchedule(f"The rate schedule {name} has no version {version}. It has: {numbers}.")
    raise NoSuchSchedule(f"There is no rate schedule “{name}”. {_known_names()}")


def in_force(name: str, month: datetime.date) -> RateSchedule:
    """Return the version that prices a month; raise NoSuchSchedule with the first month that any prices."""
    latest = named(name)
    if found := RateSchedule.objects.in_force(latest.name, month):
        return found
    first = (
        RateSchedule.objects.filter(name=latest.name, state=State.RELEASED)
        .order_by("valid_from")
        .values_list("valid_from", flat=True)
        .first()
    )
    since = f"Its first version starts in {long_month(first)}." if first else "No version of it was put in force yet."
    raise NoSuchSchedule(f"No version of the rate schedule {name} is in force in {long_month(month)}. {since}")


def content_of(schedule: RateSchedule) -> Schedule:
    """Return what a version says, as pricing takes it. Raises ScheduleNotUnderstood."""
    return schedule_from_data({**schedule.content, "name": schedule.name, "version": schedule.version})


def before(schedule: RateSchedule) -> RateSchedule | None:
    """Return the version that another one follows: of those with a lower number, the one whose months it takes over.

    Where none is in force by then, it is the last that was put in force, or any.
    """
    earlier = RateSchedule.objects.filter(name=schedule.name, version__lt=schedule.version).order_by("-version")
    in_force = earlier.in_force(schedule.name, schedule.valid_from)
    return in_force or earlier.exclude(state=State.DRAFT).first() or earlier.first()


def compared(schedule: RateSchedule) -> Drafted:
    """Return a version with what differs from the one that it follows."""
    earlier = before(schedule)
    found = changes(content_of(earlier) if earlier else None, content_of(schedule))
    return Drafted(schedule, earlier, tuple(found))


def digest_of(schedule: RateSchedule) -> str:
    """Return what tells a draft from itself after a change."""
    said = [schedule.content, iso_month(schedule.valid_from), schedule.note]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


# Drafts -----------------------------------------------------------------------------------------------


def draft(
    *,
    name: str,
    valid_from: datetime.date,
    rates: Schedule | None = None,
    note: str = "",
    is_dry_run: bool = False,
    actor: Actor,
    now: datetime.datetime,
) -> Drafted:
    """Add a version as a draft: with these rates, or else those of the latest version, to be changed.

    A dry run stores nothing. Raises NoRates for a new schedule without rates, and ValidationError.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        versions = RateSchedule.objects.filter(name=name)
        if rates is None:
            latest = versions.order_by("-version").first()
            if latest is None:
                raise NoRates(f"There is no rate schedule “{name}” to take rates from. {_known_names()}")
            rates = content_of(latest)
        number = (versions.aggregate(last=Max("version"))["last"] or 0) + 1
        made = RateSchedule(
            name=name,
            version=number,
            valid_from=valid_from,
            content=_content(replace(rates, name=name, version=number)),
            note=note.strip(),
            created_at=now,
            created_by=actor.user,
        )
        made.full_clean()
        drafted = compared(made)
        if is_dry_run:
            return replace(drafted, is_dry_run=True)
        made.save()
        gesture.record("rate_schedule.drafted", made, after={**_facts(made), **_by_rate(made.content)}, note=made.note)
        return drafted


def draft_and_release(
    *,
    name: str,
    valid_from: datetime.date,
    rates: Schedule,
    note: str = "",
    is_dry_run: bool = False,
    actor: Actor,
    now: datetime.datetime,
) -> tuple[Drafted, Released | None]:
    """Add a version and put it in force, both or neither; raises what `draft` and `release` raise, a dry run too."""
    given: dict[str, Any] = {"name": name, "valid_from": valid_from, "rates": rates, "note": note}
    with audit.gesture(actor=actor, now=now):
        drafted = draft(**given, is_dry_run=is_dry_run, actor=actor, now=now)
        if is_dry_run:
            require_releasable(drafted.schedule)
            return drafted, None
        return drafted, release(schedule=drafted.schedule, actor=actor, now=now)


def change(
    *,
    schedule: RateSchedule,
    rates: Schedule | None = None,
    valid_from: datetime.date | None = None,
    note: str | None = None,
    seen: str = "",
    actor: Actor,
    now: datetime.datetime,
) -> Drafted:
    """Change a draft: its rates, its first month, its note, or several of these.

    `seen` is the digest of the draft that whoever asks looked at. Raises WrongState for a version that is no draft,
    DraftChanged where another is stored by now, and ValidationError.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        fresh = _locked(schedule)
        _require_draft(fresh)
        if seen and seen != digest_of(fresh):
            raise DraftChanged(f"Somebody changed {fresh} meanwhile. Look at it, and make your change again.")
        old_facts, old_rates = _facts(fresh), _by_rate(fresh.content)
        if rates is not None:
            fresh.content = _content(replace(rates, name=fresh.name, version=fresh.version))
        fresh.valid_from = valid_from or fresh.valid_from
        fresh.note = fresh.note if note is None else note.strip()
        fresh.full_clean()
        old, new = {**old_facts, **old_rates}, {**_facts(fresh), **_by_rate(fresh.content)}
        names = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        if names:
            fresh.save(update_fields=["content", "valid_from", "note"])
            gesture.record(
                "rate_schedule.changed",
                fresh,
                before={key: old.get(key) for key in names},
                after={key: new.get(key) for key in names},
            )
    return compared(fresh)


def discard(*, schedule: RateSchedule, actor: Actor, now: datetime.datetime) -> None:
    """Delete a draft; the audit log keeps what it said. Raises WrongState for a version that is none."""
    with audit.gesture(actor=actor, now=now) as gesture:
        fresh = _locked(schedule)
        _require_draft(fresh)
        gesture.record("rate_schedule.discarded", fresh, before={**_facts(fresh), **_by_rate(fresh.content)})
        fresh.delete()


# In force, and retired --------------------------------------------------------------------------------


def release(*, schedule: RateSchedule, actor: Actor, now: datetime.datetime) -> Released:
    """Put a draft in force from its first month on, until a later version takes its place.

    Raises WrongState for a version that is no draft. Raises CannotRelease where closed months from its first month on
    were priced by another version, where a later version starts in the same month, and where a feed that is priced by
    it has nothing that its rates could count.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        # All versions: of two that are put in force at once, the second looks at the first.
        list(RateSchedule.objects.select_for_update(no_key=True).filter(name=schedule.name).order_by("pk"))
        fresh = _locked(schedule)
        _require_draft(fresh)
        require_releasable(fresh)
        replaces = RateSchedule.objects.in_force(fresh.name, fresh.valid_from)
        fresh.state, fresh.released_at, fresh.released_by = State.RELEASED, now, actor.user
        fresh.save(update_fields=["state", "released_at", "released_by"])
        gesture.record("rate_schedule.released", fresh, before={"state": State.DRAFT}, after=_facts(fresh))
    return Released(fresh, replaces, tuple(_to_price_again(fresh)))


def require_releasable(schedule: RateSchedule) -> None:
    """Raise CannotRelease with why a draft cannot be put in force as it is."""
    if closed := closed_months(schedule):
        priced = "; ".join(
            f"{each.period} of {each.feed} by {each.schedule}"
            for each in sorted(closed, key=lambda each: each.period.month)
        )
        free = max(each.period.next_month for each in closed)
        raise CannotRelease(
            f"{schedule} starts in {long_month(schedule.valid_from)}, and closed months since were priced by another "
            f"version: {priced}. It can start in {long_month(free)} or later."
        )
    later = RateSchedule.objects.filter(
        name=schedule.name, state=State.RELEASED, valid_from=schedule.valid_from, version__gt=schedule.version
    ).first()
    if later:
        raise CannotRelease(
            f"{later} is in force from {long_month(later.valid_from)} on, and comes after {schedule}. "
            "Draft a new version instead."
        )
    try:
        content_of(schedule)
    except ScheduleNotUnderstood as error:
        raise CannotRelease(f"{schedule} cannot price anything: {error}") from error


def retire(*, schedule: RateSchedule, reason: str, actor: Actor, now: datetime.datetime) -> RateSchedule:
    """Have a version price no month any more; months it would have priced go by the version before it.

    Raises ReasonMissing, WrongState for a version that is not in force, and PricedClosedMonths.
    """
    if not reason.strip():
        raise ReasonMissing(f"Say why {schedule} is retired: the reason stays in the audit log.")
    with audit.gesture(actor=actor, now=now) as gesture:
        fresh = _locked(schedule)
        if fresh.state != State.RELEASED:
            raise WrongState(f"{fresh} is {_state_words(fresh)}: only a version in force is retired.")
        closed = PricedMonth.objects.filter(schedule=fresh, period__status__in=SHUT).select_related("period", "feed")
        if found := closed.order_by("period__month").first():
            raise PricedClosedMonths(
                f"{found.period} of {found.feed} was priced by {fresh} and is closed. Put a later version in its place."
            )
        fresh.state = State.RETIRED
        fresh.save(update_fields=["state"])
        gesture.record(
            "rate_schedule.retired",
            fresh,
            before={"state": State.RELEASED},
            after={"state": State.RETIRED},
            note=reason.strip(),
        )
    return fresh


def feeds_of(name: str) -> list[UsageFeed]:
    """Return the usage feeds that a schedule prices."""
    return list(UsageFeed.objects.filter(schedule=name).order_by("name"))


def class_names() -> list[str]:
    """Return the names of the rate classes that versions of any schedule have, but for retired ones."""
    contents = RateSchedule.objects.exclude(state=State.RETIRED).order_by().values_list("content", flat=True)
    return sorted({each["name"] for content in contents for each in content.get("classes", ())})


def closed_months(schedule: RateSchedule) -> list[PricedMonth]:
    """Return how closed months from a version's first month on were priced, where another version did."""
    of_schedule = _priced(schedule).filter(period__status__in=SHUT)
    return [each for each in _last_of_each(of_schedule) if each.schedule_id != schedule.pk]


def _to_price_again(schedule: RateSchedule) -> list[tuple[UsageFeed, BillingPeriod]]:
    """Return the open months that are priced by another version than the one that is in force there now."""
    found = []
    for each in _last_of_each(_priced(schedule).exclude(period__status__in=SHUT)):
        if RateSchedule.objects.in_force(schedule.name, each.period.month) == schedule != each.schedule:
            found.append((each.feed, each.period))
    return found


def _priced(schedule: RateSchedule) -> Any:
    months = PricedMonth.objects.filter(schedule__name=schedule.name, period__month__gte=schedule.valid_from)
    return months.select_related("feed", "period", "schedule").order_by("period__month", "feed__name", "pk")


def _last_of_each(months: Sequence[PricedMonth]) -> list[PricedMonth]:
    """Keep how each month of each feed was priced last."""
    return list({(each.feed_id, each.period_id): each for each in months}.values())


def _locked(schedule: RateSchedule) -> RateSchedule:
    try:
        return RateSchedule.objects.select_for_update(no_key=True).get(pk=schedule.pk)
    except RateSchedule.DoesNotExist:
        raise NoSuchSchedule(f"The draft {schedule} is not there any more: somebody discarded it.") from None


def _require_draft(schedule: RateSchedule) -> None:
    if schedule.state != State.DRAFT:
        raise WrongState(f"{schedule} is {_state_words(schedule)}, and does not change any more. Draft a new version.")


def _state_words(schedule: RateSchedule) -> str:
    return {State.DRAFT: "a draft", State.RELEASED: "in force", State.RETIRED: "retired"}[State(schedule.state)]


def _known_names() -> str:
    names = ", ".join(RateSchedule.objects.order_by("name").values_list("name", flat=True).distinct())
    return f"These exist: {names}." if names else "None exists yet."


def _content(rates: Schedule) -> dict[str, Any]:
    """Return what is stored of a schedule; raise ScheduleNotUnderstood where it could price nothing."""
    if problems := problems_of(rates):
        raise ScheduleNotUnderstood(problems)
    data = as_data(rates)
    return {name: value for name, value in data.items() if name not in ("name", "version")}


def _facts(schedule: RateSchedule) -> dict[str, Any]:
    return {"valid_from": iso_month(schedule.valid_from), "state": schedule.state, "note": schedule.note}


def _by_rate(content: dict[str, Any]) -> dict[str, Any]:
    """Return the rates and classes of a content, each under a name of its own, so that a change tells of it alone."""
    found = {f"rate {each['code']}": each for each in content.get("rates", ())}
    return found | {f"class {each['name']}": each for each in content.get("classes", ())}

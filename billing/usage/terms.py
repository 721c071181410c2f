"""The terms of a month: which schedule prices it, and which subsidies and balances apply, with what is left of them."""

import datetime
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from django.db.models import Q

from ..errors import BillingError, NextStep
from ..models import Allocation, BillingPeriod, Import, Policy, PricedMonth, RateSchedule, UsageFeed, UsageSubsidy
from ..texts import long_month
from . import prepaid, taking
from .focus_rows import Issuer
from .pricing import schedules
from .pricing.terms import Balance, Schedule, Scope, Span, Subsidy
from .pricing.uses import Before, Calendar, before_from_data

# Scopes that are the same in all feeds: an account or a user is of one.
SHARED = (Scope.PI, Scope.PROJECT, Scope.DEPARTMENT)


class NoSchedule(BillingError):
    """A month has no rate schedule that prices it."""


@dataclass(frozen=True)
class Terms:
    """What a month is priced by; `before` is what was used before it in its quarter and fiscal year."""

    schedule: RateSchedule
    subsidies: tuple[Subsidy, ...]
    balances: tuple[Balance, ...]
    before: Before
    fiscal_year_start: int
    currency: str
    # What its rows say of where they come from.
    issuer: Issuer
    # The priced month that `before` is of.
    came_after: PricedMonth | None


def terms_of(feed: UsageFeed, month: datetime.date, *, schedule: RateSchedule | None = None) -> Terms:
    """Return the terms of a feed's month, or those by another `schedule`.

    A month that is closed keeps the schedule that it was priced by. Raises NoSchedule.
    """
    policy = Policy.objects.current()
    schedule, came_after = schedule or schedule_of(feed, month), month_before(feed, month)
    return Terms(
        schedule=schedule,
        subsidies=tuple(subsidies_of(feed, month)),
        balances=tuple(balances_of(feed, month)),
        before=before_from_data(came_after.used) if came_after else Before(),
        fiscal_year_start=policy.fiscal_year_start,
        currency=policy.currency,
        issuer=issuer_of(feed, month, schedule, policy),
        came_after=came_after,
    )


def issuer_of(feed: UsageFeed, month: datetime.date, schedule: RateSchedule, policy: Policy) -> Issuer:
    """Return what the rows of a feed's month say of where they come from."""
    begins, ends = taking.bounds(month, "UTC")
    return Issuer(
        account=feed.name,
        account_name=feed.label,
        currency=policy.currency,
        issuer=policy.institution,
        provider=str(feed.settings.get("provider") or policy.institution),
        service_category=str(feed.settings.get("service_category") or taking.kind_of(feed).service_category),
        schedule=str(schedule),
        begins=begins,
        ends=ends,
    )


def schedule_of(feed: UsageFeed, month: datetime.date) -> RateSchedule:
    """Return the version of a feed's schedule that prices a month; raise NoSchedule."""
    if not feed.schedule:
        raise NoSchedule(
            f"The usage feed {feed} names no rate schedule.", then=NextStep("set_feed", {"feed": feed.name})
        )
    latest = latest_of(feed, month)
    if latest and latest.period.status not in (BillingPeriod.Status.OPEN, BillingPeriod.Status.REVIEW):
        return latest.schedule
    found = RateSchedule.objects.in_force(feed.schedule, month)
    if found is None:
        raise NoSchedule(
            f"No version of the rate schedule “{feed.schedule}” is in force in {long_month(month)}.",
            then=NextStep("list_rates", {"schedule": feed.schedule}),
        )
    return found


def rates_of(schedule: RateSchedule) -> Schedule:
    """Return a version of a schedule as pricing takes it; raises ScheduleNotUnderstood."""
    return schedules.schedule_from_data({**schedule.content, "name": schedule.name, "version": schedule.version})


def latest_of(feed: UsageFeed, month: datetime.date) -> PricedMonth | None:
    """Return how a month was priced last, None where it never was."""
    months = PricedMonth.objects.filter(feed=feed, period__month=month).select_related("period", "schedule")
    return months.order_by("-pk").first()


def waits(priced: PricedMonth) -> bool:
    """Tell whether what a pricing came to waits as a late change: it is not charged."""
    return bool(priced.imported and priced.imported.state == Import.State.DEFERRED)


def subsidy_of(subsidy: UsageSubsidy) -> Subsidy:
    """Return a subsidy as pricing takes it."""
    return Subsidy(
        code=subsidy.code,
        name=subsidy.name,
        percent=subsidy.percent,
        order=subsidy.order,
        cap=subsidy.cap,
        scope=Scope(subsidy.scope),
        span=Span(subsidy.span),
        scopes=frozenset(subsidy.recipients),
        rates=frozenset(subsidy.rates),
        classes=frozenset(subsidy.classes),
        fund_org=subsidy.fund_org,
    )


def subsidies_of(feed: UsageFeed, month: datetime.date) -> list[Subsidy]:
    """Return the subsidies of a feed in a month, in their order."""
    in_force = Q(valid_until__isnull=True) | Q(valid_until__gte=month)
    found = UsageSubsidy.objects.filter(in_force, valid_from__lte=month).order_by("order", "code")
    subsidies = [subsidy_of(each) for each in found if not each.feeds or feed.name in each.feeds]
    capped = {each.code: each for each in subsidies if each.cap is not None and each.scope in SHARED}
    had = _had_elsewhere(capped, feed, month) if capped else {}
    return [replace(each, elsewhere=had.get(each.code, {})) for each in subsidies]


def _had_elsewhere(
    subsidies: Mapping[str, Subsidy], feed: UsageFeed, month: datetime.date
) -> dict[str, dict[str, Decimal]]:
    """Return what was had of subsidies from other feeds in the span of a month, by code and the scope's value.

    Whichever feed is priced first has it, as with balances. So a cap holds over all feeds.
    """
    calendar = Calendar(month, Policy.objects.current().fiscal_year_start)
    had: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for priced in standing_months():
        if priced.feed_id == feed.pk:
            continue
        for each in priced.drawn:
            subsidy = subsidies.get(each.get("granted", ""))
            if subsidy and calendar.is_same_span(subsidy.span, priced.period.month):
                had[subsidy.code][each["owner"]] += Decimal(each["amount"])
    return had


def balances_of(feed: UsageFeed, month: datetime.date) -> list[Balance]:
    """Return the balances that use of a month may be drawn from, with what other months and feeds left of them."""
    in_force = Q(valid_until__isnull=True) | Q(valid_until__gte=month)
    found = list(
        Allocation.objects.filter(in_force, Q(feed__isnull=True) | Q(feed=feed), valid_from__lte=month)
        .select_related("pi", "project", "department")
        .order_by("order", "code")
    )
    drawn = drawn_from({each.code for each in found}, but=(feed, month)) if found else {}
    paid = prepaid.paid_of(found)
    # What was given back or expired is gone, and nothing is drawn from what is not approved.
    sizes = {each.pk: each.amount - (paid[each.pk].gone if each.pk in paid else Decimal(0)) for each in found}
    return [
        Balance(
            code=each.code,
            scope=Scope(each.scope),
            owner=each.owner,
            size=max(sizes[each.pk], Decimal(0)),
            left=max(sizes[each.pk] - drawn.get(each.code, Decimal(0)), Decimal(0)),
            unit=each.unit,
            rates=frozenset(each.rates),
            is_prepaid=each.is_prepaid,
            order=each.order,
        )
        for each in found
        if each.pk not in paid or not paid[each.pk].waits
    ]


def standing_months(feed: UsageFeed | None = None) -> list[PricedMonth]:
    """Return how each month of each feed stands: as it was priced last."""
    # What was used by its end may be large, and is asked for of one month at most.
    months = PricedMonth.objects.select_related("feed", "period", "schedule", "imported").defer("used").order_by("pk")
    if feed:
        months = months.filter(feed=feed)
    return list({(each.feed_id, each.period_id): each for each in months}.values())


def drawn_from(codes: set[str], *, but: tuple[UsageFeed, datetime.date] | None = None) -> dict[str, Decimal]:
    """Return what was drawn from balances, by their codes; `but` is a month of a feed that does not count."""
    drawn: dict[str, Decimal] = {}
    for priced in standing_months():
        if but and (priced.feed_id, priced.period.month) == (but[0].pk, but[1]):
            continue
        for each in priced.drawn:
            if each.get("balance") in codes:
                drawn[each["balance"]] = drawn.get(each["balance"], Decimal(0)) + Decimal(each["quantity"])
    return drawn


def month_before(feed: UsageFeed, month: datetime.date) -> PricedMonth | None:
    """Return the last month of a feed before a month that was priced: it has what was used until then."""
    earlier = [each for each in standing_months(feed) if each.period.month < month]
    return max(earlier, key=lambda each: each.period.month, default=None)

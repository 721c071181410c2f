"""The terms of a month: which schedule prices it, and which subsidies and balances apply, with what is left of them."""

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Q

from ..errors import BillingError, NextStep
from ..models import Allocation, BillingPeriod, Import, Policy, PricedMonth, RateSchedule, UsageFeed, UsageSubsidy
from ..texts import long_month
from .pricing import schedules
from .pricing.terms import Balance, Schedule, Scope, Span, Subsidy
from .pricing.uses import Before, before_from_data


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
    # The fund/org that the money of a prepaid balance lies on, by the balance's code.
    funds: Mapping[str, str]


def terms_of(feed: UsageFeed, month: datetime.date, *, schedule: RateSchedule | None = None) -> Terms:
    """Return the terms of a feed's month, or those by another `schedule`.

    A month that is closed keeps the schedule that it was priced by. Raises NoSchedule.
    """
    policy = Policy.objects.current()
    return Terms(
        schedule=schedule or schedule_of(feed, month),
        subsidies=tuple(subsidies_of(feed, month)),
        balances=tuple(balances_of(feed, month)),
        before=before_of(feed, month),
        fiscal_year_start=policy.fiscal_year_start,
        currency=policy.currency,
        funds=dict(
            Allocation.objects.filter(is_prepaid=True)
            .exclude(deferred_fund_org="")
            .values_list("code", "deferred_fund_org")
        ),
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


def kept_grants(priced: PricedMonth) -> tuple[tuple[Subsidy, ...], tuple[Balance, ...]]:
    """Return the subsidies and balances that a month was priced with, as it keeps them."""

    def named(found: Mapping[str, Any], numbers: Iterable[str]) -> dict[str, Any]:
        made: dict[str, Any] = {
            name: frozenset(value) if isinstance(value, list) else value for name, value in found.items()
        }
        made |= {name: Decimal(made[name]) for name in numbers if made[name] is not None}
        return made | {name: kind(made[name]) for name, kind in (("scope", Scope), ("span", Span)) if name in made}

    subsidies = (Subsidy(**named(each, ("percent", "cap"))) for each in priced.terms.get("subsidies", ()))
    balances = (Balance(**named(each, ("size", "left"))) for each in priced.terms.get("balances", ()))
    return tuple(subsidies), tuple(balances)


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
    return [subsidy_of(each) for each in found if not each.feeds or feed.name in each.feeds]


def balances_of(feed: UsageFeed, month: datetime.date) -> list[Balance]:
    """Return the balances that use of a month may be drawn from, with what other months and feeds left of them."""
    in_force = Q(valid_until__isnull=True) | Q(valid_until__gte=month)
    found = list(
        Allocation.objects.filter(in_force, valid_from__lte=month)
        .select_related("pi", "project", "department")
        .order_by("order", "code")
    )
    drawn = drawn_from({each.code for each in found}, but=(feed, month)) if found else {}
    return [
        Balance(
            code=each.code,
            scope=Scope(each.scope),
            owner=each.owner,
            size=each.amount,
            left=max(each.amount - drawn.get(each.code, Decimal(0)), Decimal(0)),
            unit=each.unit,
            rates=frozenset(each.rates),
            is_prepaid=each.is_prepaid,
            order=each.order,
        )
        for each in found
    ]


def standing_months(feed: UsageFeed | None = None) -> list[PricedMonth]:
    """Return how each month of each feed stands: as it was priced last."""
    months = PricedMonth.objects.select_related("feed", "period", "schedule", "imported").order_by("pk")
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


def before_of(feed: UsageFeed, month: datetime.date) -> Before:
    """Return what was used of a feed before a month, as its last month that was priced has it."""
    earlier = [each for each in standing_months(feed) if each.period.month < month]
    return before_from_data(max(earlier, key=lambda each: each.period.month).used) if earlier else Before()

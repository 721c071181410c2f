"""Rate studies: worked out from the ledger, and adopted."""

import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

from ... import audit
from ...audit import Actor
from ...errors import BillingError, WrongState
from ...models import CostPool, Policy, RateSchedule, RateStudy, SharedCost, YearCost
from ...money import ZERO, plain
from ...texts import long_month
from ..pricing.terms import Rate
from ..rate_schedules import content_of
from . import ledger, sharing
from .equation import Cost, Figures, Finding, as_data, depreciation, figures_from_data
from .findings import findings_of

State = RateStudy.State
Kind = CostPool.Kind
# Rates are reviewed at least every two years (2 CFR 200.468(b)(2)).
OLD_AFTER_YEARS = 2


class NoSuchStudy(BillingError):
    """A rate study was named that there is none of."""


class RateNotInForce(BillingError):
    """A study is of a rate that the feed's schedule does not have."""


class StudyFails(BillingError):
    """A study has findings that keep it from being adopted."""


@dataclass(frozen=True)
class Studied:
    """A study with its figures, and what is wrong with it."""

    study: RateStudy
    figures: Figures
    findings: tuple[Finding, ...]

    @property
    def is_failing(self) -> bool:
        return any(each.is_bad for each in self.findings)


def named(number: int) -> RateStudy:
    """Return the study of this number; raise NoSuchStudy."""
    found = RateStudy.objects.select_related("feed__source").filter(pk=number).first()
    if found is None:
        raise NoSuchStudy(f"There is no rate study {number}. Look for its number in the list of rate studies.")
    return found


def studied(study: RateStudy) -> Studied:
    """Return a study worked out from the ledger as it stands; of one that was adopted, as it was then."""
    figures = figures_from_data(study.figures) if study.figures else figures_of(study)
    return Studied(study, figures, tuple(findings_of(figures)))


def figures_of(study: RateStudy) -> Figures:
    """Work a study out. Raises RateNotInForce where the feed's schedule has no such rate."""
    policy = Policy.objects.current()
    first, last = policy.months_of_fiscal_year(study.fiscal_year)
    rate = rate_of(study)
    months = ledger.months_of(study.feed, first, last)
    sponsored, others = ledger.paid_by(study.feed, study.rate, months)
    priced = {each.period.month for each in months}
    return Figures(
        unit=rate.unit,
        currency=policy.currency,
        places=study.places,
        costs=tuple(costs_of(study)),
        use=tuple(ledger.use_of(study.feed, study.rate, months)),
        opening_balance=opening_balance(study),
        expected_units=study.expected_units,
        proposed=study.proposed_rate,
        present=rate.tiers[0].price / rate.per if len(rate.tiers) == 1 else None,
        sponsored=sponsored,
        others=others,
        missing=tuple(each for each in _every_month(first) if each not in priced),
    )


def costs_of(study: RateStudy) -> Iterator[Cost]:
    """Yield the cost pools of a study as they count in its year, then its parts of what it shares with others."""
    currency, counting = counting_in(study.fiscal_year)
    yield from map(counting, study.pools.all())
    yield from sharing.shared_with(study, counting, currency)


def taken_of(shared: SharedCost) -> list[sharing.Taken]:
    """Return each part of a shared cost, with the study that takes it."""
    currency, counting = counting_in(shared.fiscal_year)
    return sharing.taken(shared, counting, currency)


def counting_in(fiscal_year: int) -> tuple[str, Callable[[YearCost], Cost]]:
    """Return the currency, and how a cost counts in a fiscal year."""
    policy = Policy.objects.current()
    first, last = policy.months_of_fiscal_year(fiscal_year)

    def counted(pool: YearCost) -> Cost:
        amount, excluded = pool.amount or ZERO, ZERO
        if pool.kind == Kind.DEPRECIATION:
            assert pool.cost is not None
            months, life = pool.months_in(first, last), pool.life_years or 1
            amount = depreciation(pool.cost - pool.federally_funded, life, months, policy.currency)
            excluded = depreciation(pool.cost, life, months, policy.currency) - amount
            of_it = (pool.cost, pool.federally_funded, life, months)
            return Cost(pool.name, pool.kind, amount, excluded, pool.note, *of_it)
        if pool.kind == Kind.UNALLOWABLE:
            amount, excluded = ZERO, amount
        return Cost(pool.name, pool.kind, amount, excluded, pool.note)

    return policy.currency, counted


def before(study: RateStudy) -> RateStudy | None:
    """Return the adopted study of the year before."""
    return RateStudy.objects.filter(
        feed=study.feed_id, rate=study.rate, fiscal_year=study.fiscal_year - 1, state=State.ADOPTED
    ).first()


def opening_balance(study: RateStudy) -> Decimal:
    """Return what the years before leave: the balance of the study of the year before, else what was entered."""
    earlier = before(study)
    if earlier and earlier.figures:
        return figures_from_data(earlier.figures).balance
    return Decimal(study.opening_balance)


def adopt(*, study: RateStudy, actor: Actor, now: datetime.datetime) -> Studied:
    """Adopt a study: its figures are kept as they are, and it never changes.

    Raises WrongState, RateNotInForce, or StudyFails with what is wrong.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        locked = RateStudy.objects.select_for_update(no_key=True).select_related("feed__source").get(pk=study.pk)
        if locked.state == State.ADOPTED:
            raise WrongState(f"{locked} was adopted already.")
        sharing.lock_for(locked, now=now)
        done = studied(locked)
        if done.is_failing:
            wrong = " ".join(each.text for each in done.findings if each.is_bad)
            raise StudyFails(f"{locked} cannot be adopted. {wrong}")
        locked.figures, locked.state = as_data(done.figures), State.ADOPTED
        locked.adopted_at, locked.adopted_by = now, actor.user
        locked.save()
        rate, balance = done.figures.rate, done.figures.balance
        gesture.record(
            "rate_study.adopted",
            locked,
            after={"rate": plain(rate) if rate is not None else "", "balance": plain(balance)},
        )
    return replace(done, study=locked)


def rate_of(study: RateStudy) -> Rate:
    """Return the rate that a study is of, as its year has it.

    Raises RateNotInForce where no version of the feed's schedule is in force, or it lacks the rate.
    """
    version = version_of(study)
    rates = {each.code: each for each in content_of(version).rates}
    if study.rate not in rates:
        raise RateNotInForce(f"{version} has no rate “{study.rate}”. It has: {', '.join(sorted(rates))}.")
    return rates[study.rate]


def version_of(study: RateStudy) -> RateSchedule:
    """Return the version that prices the last month of a study's year, or the last one in force."""
    _, last = Policy.objects.current().months_of_fiscal_year(study.fiscal_year)
    released = RateSchedule.objects.filter(name=study.feed.schedule, state=RateSchedule.State.RELEASED)
    found = RateSchedule.objects.in_force(study.feed.schedule, last) or released.order_by("valid_from").first()
    if found is None:
        raise RateNotInForce(
            f"No version of the rate schedule of {study.feed.label} is in force. Put one in force first."
        )
    return found


def _every_month(first: datetime.date) -> list[datetime.date]:
    months = [first]
    while len(months) < 12:
        months.append((months[-1] + datetime.timedelta(days=32)).replace(day=1))
    return months


def age_of(version: RateSchedule, today: datetime.date) -> str:
    """Say that rates are older than two years and need a study; "" where they are not, or are not in force."""
    if version.state != RateSchedule.State.RELEASED:
        return ""
    due = version.valid_from.replace(year=version.valid_from.year + OLD_AFTER_YEARS)
    if today < due:
        return ""
    return (
        f"These rates are from {long_month(version.valid_from)}, and more than two years old. Federal rules "
        "(2 CFR 200.468) ask for a review at least every two years: study them."
    )

"""What PIs would have paid by the rate that a study proposes, in the last closed months; nothing is stored."""

import datetime
from dataclasses import replace
from decimal import Decimal

from ...models import PricedMonth, RateSchedule, RateStudy
from ...progress import Progress, unwatched
from .. import trying
from ..pricing.schedules import as_data as schedule_data
from ..pricing.terms import Tier
from ..rate_schedules import content_of, digest_of
from ..rate_schedules.words import number_text
from ..trying.months import Other
from ..trying.results import Tried
from ..trying.subjects import NothingToTry, Subject
from . import ledger
from .studying import Studied, named, studied, version_of

# Closed months that the proposed rate is tried on.
TRIED = 3


def closed_months(study: RateStudy) -> list[PricedMonth]:
    """Return the last closed months of the feed that were priced; of an adopted study those closed by then."""
    found = ledger.months_of(study.feed, datetime.date.min, datetime.date.max)
    return [each for each in found if _is_closed_for(study, each)][-TRIED:]


def _is_closed_for(study: RateStudy, priced: PricedMonth) -> bool:
    closed_at = priced.period.closed_at
    if priced.period.takes_changes:
        return False
    return study.adopted_at is None or (closed_at is not None and closed_at <= study.adopted_at)


def asked_of(studied_: Studied) -> trying.Asked | None:
    """Return the trial of a study's rate, None where there is no rate yet, or no closed month."""
    subject, months = _subject_of(studied_), closed_months(studied_.study)
    if subject is None or not months:
        return None
    return trying.Asked(subject, tuple(trying.Triable(each.feed, each.period, each.schedule) for each in months))


def try_proposed(studied_: Studied, *, now: datetime.datetime, progress: Progress = unwatched) -> Tried | None:
    """Return what the last closed months would have been charged at the proposed rate.

    None where there is no rate yet, or no closed month. In place of tiers, every unit has the proposed rate.
    """
    asked = asked_of(studied_)
    if asked is None:
        return None
    return trying.kept(asked) or trying.try_now(asked, now=now, progress=progress)


def version_with(study: RateStudy, price: Decimal) -> RateSchedule:
    """Return the feed's present rates with this price for the rate of a study, unsaved."""
    present = version_of(study)
    schedule = content_of(present)
    rates = tuple(
        replace(each, tiers=(Tier(price * each.per),)) if each.code == study.rate else each for each in schedule.rates
    )
    content = schedule_data(replace(schedule, rates=rates))
    return RateSchedule(
        name=present.name,
        version=present.version,
        valid_from=present.valid_from,
        state=RateSchedule.State.DRAFT,
        content=content,
    )


def _subject_of(studied_: Studied) -> Subject | None:
    study, rate = studied_.study, studied_.figures.rate
    if rate is None:
        return None
    version = version_with(study, rate)
    label = f"{number_text(rate)} for {study.rate} in {version}"
    return Subject(Other(version, label=label), {"study": study.pk}, digest_of(version), (study.feed,))


def _study_said(number: int) -> Subject:
    found = _subject_of(studied(named(number)))
    if found is None:
        raise NothingToTry("The study has no rate any more: there is nothing to try.")
    return found


trying.register("study", _study_said)

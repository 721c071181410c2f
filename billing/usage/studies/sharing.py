"""Costs that several rates share: the part that each study takes of them, and the lock once one of them is adopted."""

import datetime
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ...models import RateStudy, SharedCost, SharedCostPart, UsageFeed, YearCost
from .equation import Cost, Share, Shared

# What makes a cost as it counts of one that is stored.
Counting = Callable[[YearCost], Cost]


@dataclass(frozen=True)
class Taken:
    """A part of a shared cost, and the study of its rate and year that takes it: the adopted one, else the latest."""

    part: SharedCostPart
    cost: Cost
    study: RateStudy | None


def shared_with(study: RateStudy, counting: Counting, currency: str) -> Iterator[Cost]:
    """Yield the parts of shared costs that a study takes."""
    mine = SharedCostPart.objects.filter(feed=study.feed_id, rate=study.rate)
    for shared in SharedCost.objects.filter(fiscal_year=study.fiscal_year, pk__in=mine.values("shared_cost")):
        for part, cost in _divided(shared, counting, currency):
            if (part.feed_id, part.rate) == (study.feed_id, study.rate):
                yield cost


def taken(shared: SharedCost, counting: Counting, currency: str) -> list[Taken]:
    """Return each part of a shared cost, with the study that takes it. Together the parts are the cost."""
    found: dict[tuple[int, str], RateStudy] = {}
    for study in RateStudy.objects.filter(fiscal_year=shared.fiscal_year).order_by("pk"):
        there = found.get((study.feed_id, study.rate))
        if there is None or there.state != RateStudy.State.ADOPTED:
            found[study.feed_id, study.rate] = study
    return [
        Taken(part, cost, found.get((part.feed_id, part.rate))) for part, cost in _divided(shared, counting, currency)
    ]


def _divided(shared: SharedCost, counting: Counting, currency: str) -> Iterator[tuple[SharedCostPart, Cost]]:
    parts = list(shared.parts.select_related("feed"))
    shares = tuple(Share(str(part), part.share) for part in parts)
    whole = counting(shared)
    for own, part in enumerate(parts):
        yield part, Shared(whole, shared.base, shares, own).part(currency)


def lock_for(study: RateStudy, *, now: datetime.datetime) -> None:
    """Have the shared costs that a study has a part of never change: it is adopted now."""
    lock_feeds([study.feed_id])
    mine = SharedCostPart.objects.filter(feed=study.feed_id, rate=study.rate)
    SharedCost.objects.filter(
        fiscal_year=study.fiscal_year, pk__in=mine.values("shared_cost"), locked_at__isnull=True
    ).update(locked_at=now)


def lock_feeds(feeds: Iterable[int]) -> None:
    """Have nobody else adopt a study of these feeds, or share a cost with them, until this transaction ends."""
    list(UsageFeed.objects.select_for_update(no_key=True).filter(pk__in=feeds).order_by("pk"))

"""What has to hold of a rate schedule beyond the form of its fields, told in sentences."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

from ..records import Shape
from .terms import ClassKind, Count, Rate, RateClass, Schedule, Span, Threshold, Tier, Tiering

# What every record has, beside the attributes of its shape, and a rate may look at.
OF_EVERY_RECORD = ("resource", "account", "user")
# The measure that levels are made with: how long it ran.
ELAPSED = "elapsed_seconds"
_FULL = Decimal(100)


def problems_of(schedule: Schedule, shape: Shape | None = None) -> list[str]:
    """Return what is wrong with a schedule, in sentences; nothing where it can be used.

    With a `shape`, also whether records have the measures, units and attributes that its rates look at.
    """
    found = list(_of_the_schedule(schedule))
    for rate_class in schedule.classes:
        found += _of_a_class(rate_class)
    names = {each.name for each in schedule.classes}
    for rate in schedule.rates:
        found += (f"Rate {rate.code}: {each}" for each in _of_a_rate(rate, names, shape))
    return found


def _of_the_schedule(schedule: Schedule) -> Iterator[str]:
    if not schedule.name:
        yield "The schedule has no name. Enter one."
    if not schedule.rates:
        yield "The schedule has no rates. Add one."
    for code, count in Counter(each.code for each in schedule.rates).items():
        if not code:
            yield "A rate has no code. Enter one, such as cpu."
        elif count > 1:
            yield f"{count} rates have the code {code}. Give each its own."
    for name, count in Counter(each.name for each in schedule.classes).items():
        if not name:
            yield "A rate class has no name. Enter one, such as external."
        elif count > 1:
            yield f"{count} rate classes have the name {name}. Give each its own."


def _of_a_class(rate_class: RateClass) -> Iterator[str]:
    if rate_class.kind is not ClassKind.INTERNAL:
        return
    if rate_class.percent > _FULL:
        yield (
            f"Class {rate_class.name}: percent is {rate_class.percent}. Internal users pay at most 100, "
            "for the list price is their full cost."
        )
    if rate_class.indirect_percent:
        yield f"Class {rate_class.name}: internal users pay no indirect cost. Remove indirect_percent, or change kind."


def _of_a_rate(rate: Rate, classes: Iterable[str], shape: Shape | None) -> Iterator[str]:
    yield from _of_its_fields(rate)
    yield from _of_tiers(rate.tiers, "", rate)
    for name, tiers in rate.prices.items():
        if name not in classes:
            yield f"prices are for the class {name}, which the schedule does not have. Allowed: {_listed(classes)}."
        yield from _of_tiers(tiers, f"class {name}, ", rate)
    yield from _of_amount_thresholds(rate)
    for place, count in enumerate(rate.counts, 1):
        yield from (f"count {place}: {each}" for each in _of_a_count(count, shape))
    yield from _of_patterns(rate.when, shape)


def _of_patterns(when: Mapping[str, tuple[str, ...]], shape: Shape | None) -> Iterator[str]:
    known = (*shape.attributes, *OF_EVERY_RECORD) if shape is not None else tuple(when)
    for name in sorted(set(when) - set(known)):
        yield f"when looks at {name}, which records do not have. Allowed: {_listed(known)}."


def _of_its_fields(rate: Rate) -> Iterator[str]:
    for name in ("service", "unit", "counts", "tiers"):
        if not getattr(rate, name):
            yield f"{name} is empty. Enter it."
    for name, value in (("per", rate.per), ("step", rate.step)):
        if value is not None and value <= 0:
            yield f"{name} is {value}. Allowed: a number above 0."
    if rate.carries_over and not rate.free:
        yield "carries_over is set, but nothing is free. Enter free, or remove carries_over."
    if rate.carries_over and rate.span not in (Span.MONTH, Span.QUARTER):
        yield f"carries_over with span {rate.span} is not possible. Allowed: month, quarter."


def _of_tiers(tiers: Sequence[Tier], where: str, rate: Rate) -> Iterator[str]:
    before = Decimal(0)
    for place, tier in enumerate(tiers, 1):
        is_last = place == len(tiers)
        if tier.price < 0:
            yield f"{where}tier {place}: price is {tier.price}. Allowed: 0 or more."
        if is_last and tier.up_to is not None:
            yield f"{where}tier {place}: up_to is {tier.up_to}. The last tier has none, so that every use has a price."
        elif not is_last and tier.up_to is None:
            yield f"{where}tier {place}: up_to is missing. Only the last tier has none."
        elif tier.up_to is not None:
            if tier.up_to <= before:
                yield f"{where}tier {place}: up_to is {tier.up_to}. Allowed: more than {before}."
            before = tier.up_to
        if rate.threshold is Threshold.AMOUNT and not is_last and not tier.price:
            yield f"{where}tier {place}: price is 0, so that the amount charged never reaches up_to. Allowed: above 0."


def _of_amount_thresholds(rate: Rate) -> Iterator[str]:
    """What is free, steps and volume prices make an amount of another use than the one that tiers look at."""
    if rate.threshold is not Threshold.AMOUNT:
        return
    if rate.tiering is Tiering.VOLUME:
        yield "tiering volume with threshold amount is not possible. Allowed: graduated, or threshold quantity."
    for name in ("free", "step"):
        if getattr(rate, name):
            yield f"{name} with threshold amount is not possible. Remove it, or use threshold quantity."


def _of_a_count(count: Count, shape: Shape | None) -> Iterator[str]:
    for name in ("factor", "per", "at_least", "step"):
        value = getattr(count, name)
        if value is not None and value <= 0:
            yield f"{name} is {value}. Allowed: a number above 0."
    yield from _of_patterns(count.when, shape)
    if shape is None:
        return
    measures = {each.name: each for each in shape.measures}
    if count.measure not in measures:
        yield f"measure is {count.measure}, which records do not have. Allowed: {_listed(measures)}."
        return
    units = measures[count.measure].units
    if count.unit not in units:
        yield f"unit is {count.unit}. Allowed for {count.measure}: {_listed(units)}."
    if count.step is None and count.at_least is None:
        return
    if ELAPSED not in measures:
        yield f"step and at_least need the measure {ELAPSED}, which records do not have. Remove them."
    elif (time := count.unit.rpartition("-")[2]) not in measures[ELAPSED].units:
        yield f"step and at_least need a unit of time, such as GiB-hour. “{time}” of {count.unit} is none."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"

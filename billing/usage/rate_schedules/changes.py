"""What differs between two versions of a rate schedule, rate by rate, as people read it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ..pricing.terms import Rate, RateClass, Schedule
from . import words
from .words import number_text


@dataclass(frozen=True)
class Difference:
    """One part of a rate or class, before and after; "" where it had or has none."""

    part: str
    before: str
    after: str


@dataclass(frozen=True)
class Change:
    """A rate or a rate class that was added, removed or changed. `what` is `rate` or `class`."""

    what: str
    name: str
    how: str
    differences: tuple[Difference, ...]

    def __str__(self) -> str:
        """Return the change in a line, its prices first."""
        parts = "; ".join(f"{each.part}: {_line(each.before)} → {_line(each.after)}" for each in self.differences)
        noun = f"{self.what.capitalize()} {self.name}"
        return f"{noun} {self.how}" + (f": {parts}" if parts and self.how == "changed" else "")


def changes(before: Schedule | None, after: Schedule) -> list[Change]:
    """Return what differs between two versions: rates in the order of the later one, then those removed, then classes.

    Without an earlier one, everything is added.
    """
    old_rates = {each.code: each for each in before.rates} if before else {}
    new_rates = {each.code: each for each in after.rates}
    old_classes = {each.name: each for each in before.classes} if before else {}
    new_classes = {each.name: each for each in after.classes}
    return [
        *_compared("rate", old_rates, new_rates, RATE_PARTS),
        *_compared("class", old_classes, new_classes, CLASS_PARTS),
    ]


def told(found: Iterable[Change]) -> str:
    """Return how many rates and classes were added, changed and removed, in a sentence."""
    parts = []
    for what, plural in (("rate", "rates"), ("class", "classes")):
        for how in ("added", "changed", "removed"):
            if count := sum(each.what == what and each.how == how for each in found):
                parts.append(f"{count} {what if count == 1 else plural} {how}")
    return ", ".join(parts) if parts else "nothing differs"


Parts = Mapping[str, Callable[..., str]]


def _number(value: object) -> str:
    return "" if value is None else number_text(value, grouped=True)  # type: ignore[arg-type]


def _prices_of_classes(rate: Rate) -> str:
    return "\n".join(
        f"{name}: {each}" for name, tiers in rate.prices.items() for each in words.price_lines(rate, tiers)
    )


# What of a rate people read, by its name, in the order in which they ask.
RATE_PARTS: Parts = {
    "price": lambda rate: "\n".join(words.price_lines(rate, rate.tiers)),
    "prices of classes": _prices_of_classes,
    "free": lambda rate: _number(rate.free) if rate.free else "",
    "carries over": lambda rate: "yes" if rate.carries_over else "",
    "service": lambda rate: rate.service,
    "unit": lambda rate: rate.unit,
    "counts": lambda rate: words.counts_text(rate.counts),
    "counted together": lambda rate: words.COMBINES[rate.combine],
    "where": lambda rate: words.where_text(rate.when),
    "steps of": lambda rate: _number(rate.step),
    "minimum a month": lambda rate: _number(rate.minimum),
    "use is added up for": lambda rate: words.SCOPES[rate.scope],
    "over": lambda rate: words.SPANS[rate.span],
    "tiers": lambda rate: words.TIERINGS[rate.tiering].partition(":")[0],
    "tiers count": lambda rate: words.THRESHOLDS[rate.threshold],
    "group": lambda rate: rate.group,
    "order": lambda rate: str(rate.order) if rate.order else "",
}
# What most rates leave as it is: told of a rate that is added only where it differs.
_USUAL = Rate("", "", (), "", ())
CLASS_PARTS: Parts = {
    "kind": lambda each: words.CLASS_KINDS[each.kind],
    "pays": lambda each: f"{number_text(each.percent)}% of the list price",
    "indirect cost": lambda each: f"{number_text(each.indirect_percent)}%" if each.indirect_percent else "",
}


def _compared(
    what: str,
    old: Mapping[str, Rate] | Mapping[str, RateClass],
    new: Mapping[str, Rate] | Mapping[str, RateClass],
    parts: Parts,
) -> list[Change]:
    found = []
    for name in [*new, *(name for name in old if name not in new)]:
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        how = "added" if before is None else "removed" if after is None else "changed"
        said = [(part, say(before) if before else "", say(after) if after else "") for part, say in parts.items()]
        differences = [Difference(*each) for each in said if each[1] != each[2]]
        if how == "removed":
            # Its price says enough of what is gone.
            del differences[1:]
        elif how == "added" and what == "rate":
            differences = [each for each in differences if each.after != parts[each.part](_USUAL)]
        found.append(Change(what, name, how, tuple(differences)))
    return found


def _line(text: str) -> str:
    return ", ".join(text.splitlines()) or "none"

"""What was used before: the counters that tiers, free amounts and caps go on from, month after month."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

from ...fiscal_years import fiscal_year_of
from .terms import Span

# Spans of which no month has anything to go on from.
WITHIN_A_MONTH = (Span.DAY, Span.MONTH)


class Apart(NamedTuple):
    """Why use is counted apart from other use of the same scope: it moves no other use to another tier."""

    name: str
    # Whether it has a price at all.
    has_value: bool = True


CHARGED = Apart("")
# External payers neither use up the free amount of a scope nor have one.
EXTERNAL = Apart("external")
# The center's own use: at list price, and charged to nobody.
INTERNAL = Apart("internal")
# Failed, preempted, and every other reason: nobody got anything of value.
WORTHLESS = Apart("no value", has_value=False)
APARTS = (CHARGED, EXTERNAL, INTERNAL, WORTHLESS)


def apart_of(reason: str, *, is_external: bool) -> Apart:
    """Return how a record is counted, by the reason for which it is free, if any.

    This is the rule of free records: what is `internal` has its list price and is charged to nobody. For any other
    reason its list price is 0, because a job that failed or was preempted gave nothing of value.
    """
    if reason:
        return INTERNAL if reason == INTERNAL.name else WORTHLESS
    return EXTERNAL if is_external else CHARGED


class Key(NamedTuple):
    """Whose use of a rate is added up: the rate's code, the scope's value, and the name of what is counted apart."""

    rate: str
    scope: str
    apart: str = ""


@dataclass(frozen=True)
class Used:
    """What was used until the end of `month`: in units and, at list price, in money, of the `span` that month is in.

    `free_in_year` is how many units were free in its fiscal year, and `free_in_span` how many of them in its span.
    A rate that adds up over another span than it did begins anew.
    """

    month: datetime.date
    span: Span
    quantity: Fraction
    amount: Fraction
    free_in_year: Fraction = Fraction(0)
    free_in_span: Fraction = Fraction(0)

    @property
    def numbers(self) -> tuple[Fraction, ...]:
        return self.quantity, self.amount, self.free_in_year, self.free_in_span


@dataclass(frozen=True)
class Subsidized:
    """What a subsidy was applied to and what it came to, in 10^-8, until the end of `month` in the `span` it is in."""

    month: datetime.date
    span: Span
    base: int
    used: int


@dataclass(frozen=True)
class Before:
    """What earlier months used. `since` is the first month that was ever priced: free amounts carry over from then on.

    Of nobody's use before a month, there is nothing to know: `Before()`.
    """

    used: Mapping[Key, Used] = field(default_factory=dict)
    # By the subsidy's code and the scope's value.
    subsidized: Mapping[tuple[str, str], Subsidized] = field(default_factory=dict)
    since: datetime.date | None = None

    def as_data(self) -> dict[str, Any]:
        """Return this as JSON holds it, for `before_from_data`."""
        used, subsidized = sorted(self.used.items()), sorted(self.subsidized.items())
        return {
            "used": [[*key, each.month.isoformat(), each.span, *map(str, each.numbers)] for key, each in used],
            "subsidized": [[*key, each.month.isoformat(), each.span, each.base, each.used] for key, each in subsidized],
            "since": self.since.isoformat() if self.since else None,
        }


def before_from_data(data: Mapping[str, Any]) -> Before:
    """Return what earlier months used, as `Before.as_data` wrote it."""
    day = datetime.date.fromisoformat
    return Before(
        used={
            Key(rate, scope, apart): Used(day(month), Span(span), *map(Fraction, numbers))
            for rate, scope, apart, month, span, *numbers in data["used"]
        },
        subsidized={
            (code, scope): Subsidized(day(month), Span(span), base, used)
            for code, scope, month, span, base, used in data["subsidized"]
        },
        since=day(data["since"]) if data["since"] else None,
    )


@dataclass(frozen=True)
class Calendar:
    """The month that is priced, and which other months are in the same span."""

    month: datetime.date
    fiscal_year_start: int

    def goes_on(self, span: Span, earlier: Used | Subsidized) -> bool:
        """Tell whether what an earlier month left is of the same span as the priced month."""
        return earlier.span is span and span not in WITHIN_A_MONTH and self.is_same_span(span, earlier.month)

    def is_same_span(self, span: Span, month: datetime.date) -> bool:
        """Tell whether a month is in the span of the priced month: itself, its quarter or its fiscal year."""
        if span in WITHIN_A_MONTH:
            return month == self.month
        is_same = span is Span.FISCAL_YEAR or self._quarter(month) == self._quarter(self.month)
        return is_same and self.is_same_year(month)

    def is_same_year(self, month: datetime.date) -> bool:
        """Tell whether a month is in the fiscal year of the priced month."""
        start = self.fiscal_year_start
        return fiscal_year_of(month, start=start) == fiscal_year_of(self.month, start=start)

    def spans_since(self, span: Span, since: datetime.date | None) -> int:
        """Return how many spans of the fiscal year began, this one included, not before that of the month `since`."""
        first = since if since is not None and self.is_same_year(since) else None
        here, there = self._place(self.month), self._place(first) if first else 0
        return here // 3 - there // 3 + 1 if span is Span.QUARTER else here - there + 1

    def _place(self, month: datetime.date) -> int:
        """Return how many months of the fiscal year come before a month."""
        return (month.month - self.fiscal_year_start) % 12

    def _quarter(self, month: datetime.date) -> int:
        return self._place(month) // 3

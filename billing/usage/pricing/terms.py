"""The terms that usage is priced by, as plain values: rates with their tiers, classes, subsidies, and balances.

All amounts are of one currency. Prices, thresholds and quantities are exact Decimals in the unit of their rate.
A *scope* is whose use is added up: tiers and free amounts are counted for each PI, project or other scope apart.
A *span* is over which time: what was used before in the same month, quarter or fiscal year counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum


class Scope(StrEnum):
    PI = "pi"
    PROJECT = "project"
    DEPARTMENT = "department"
    ACCOUNT = "account"
    USER = "user"
    FEED = "feed"


class Span(StrEnum):
    """Over which time use is added up. Of several days, a record belongs to the day it starts on."""

    DAY = "day"
    MONTH = "month"
    QUARTER = "quarter"
    FISCAL_YEAR = "fiscal_year"


class Combine(StrEnum):
    """How several counted measures become one quantity."""

    SUM = "sum"
    MAX = "max"


class Tiering(StrEnum):
    """Graduated: each part of the use at the price of its tier. Volume: all of it at the price of the tier reached."""

    GRADUATED = "graduated"
    VOLUME = "volume"


class Threshold(StrEnum):
    """What the upper ends of tiers count: units used, or money charged at list price."""

    QUANTITY = "quantity"
    AMOUNT = "amount"


@dataclass(frozen=True)
class Count:
    """One measure that a quantity counts: `factor` units of the rate for every `per` `unit` of the measure.

    `when` says of which records, as that of a rate does: an hour of one type of GPU can count as 2 units, and of
    another as 5.

    `at_least` and `step` look at the level while it ran (the measure over `elapsed_seconds`): memory of 5 GiB at a step
    of 4 GiB counts as 8 GiB. Both are in `unit` without its time: in GiB where it is `GiB-hour`. None where they do not
    apply.
    """

    measure: str
    unit: str
    factor: Decimal = Decimal(1)
    per: Decimal = Decimal(1)
    at_least: Decimal | None = None
    step: Decimal | None = None
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Tier:
    """A price up to, and with, `up_to` of the threshold; None for the last one."""

    price: Decimal
    up_to: Decimal | None = None


@dataclass(frozen=True)
class Rate:
    """A line of a rate schedule: which usage it prices, what it counts, and at which prices.

    `when` maps attributes, `resource`, `account` or `user` to patterns (`gpu*`), of which one must fit; none:
    everything. Every rate that fits a record prices it, but of rates with the same `group` the first that fits, in
    `order`. `prices` holds prices of rate classes that have their own; others pay a percentage of the tiers (see
    RateClass). A rate whose prices are all 0 says that this use is free.

    Volume prices over a span of several months apply to what a month adds: earlier months keep their price.
    """

    code: str
    service: str
    counts: tuple[Count, ...]
    unit: str
    tiers: tuple[Tier, ...]
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # How many units a price is for: 12 for the price of a TB-year on TB-months, 1,000,000 for tokens.
    per: Decimal = Decimal(1)
    combine: Combine = Combine.SUM
    tiering: Tiering = Tiering.GRADUATED
    threshold: Threshold = Threshold.QUANTITY
    scope: Scope = Scope.PI
    span: Span = Span.MONTH
    group: str = ""
    order: int = 0
    # The first units of each scope and span are free. They count for the tiers, but not for external payers.
    free: Decimal = Decimal(0)
    # What is left of the free units is added to those of the next span, until the fiscal year ends.
    carries_over: bool = False
    # What is not free is priced by started steps of this many units: 5 for "per started 5 TB".
    step: Decimal | None = None
    # The least that a scope is charged in a month in which any of its use is not free.
    minimum: Decimal | None = None
    prices: Mapping[str, tuple[Tier, ...]] = field(default_factory=dict)


class ClassKind(StrEnum):
    INTERNAL = "internal"
    AFFILIATE = "affiliate"
    EXTERNAL = "external"


@dataclass(frozen=True)
class RateClass:
    """How a group of payers is charged: `percent` of the list price, and `indirect_percent` added apart.

    The list price is the full-cost rate for internal users. What a class pays above it is a line of its own (surcharge,
    indirect cost), so that it never passes for value that somebody was given.
    """

    name: str
    kind: ClassKind = ClassKind.INTERNAL
    percent: Decimal = Decimal(100)
    indirect_percent: Decimal = Decimal(0)


@dataclass(frozen=True)
class Subsidy:
    """What somebody need not pay: `percent` of the charges that fit, up to `cap` for each scope and span.

    Applied in `order`, each to what the ones before it left. `fund_org` pays it; empty: it is forgone, and shown.
    `scopes` names the PIs, projects or departments that have it; empty: all. `classes` names rate classes; empty: all
    that are not external. What was used of the cap in the span before this month is in `Before`. `elsewhere` is what
    other feeds had of it in the span, by the scope's value.
    """

    code: str
    name: str
    percent: Decimal
    order: int = 0
    cap: Decimal | None = None
    scope: Scope = Scope.PI
    span: Span = Span.MONTH
    scopes: frozenset[str] = frozenset()
    rates: frozenset[str] = frozenset()
    classes: frozenset[str] = frozenset()
    fund_org: str = ""
    elsewhere: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True)
class Balance:
    """An allocation or prepayment that use is drawn from before anything is charged.

    `size` is all that was granted or paid, and `left` what is there when the month begins. Both are in `unit` of the
    rates that fit, or in money where `unit` is empty. What is drawn from a prepaid balance was paid before, and is
    recovery now. A granted balance is free.
    """

    code: str
    scope: Scope
    owner: str
    size: Decimal
    left: Decimal
    unit: str = ""
    rates: frozenset[str] = frozenset()
    is_prepaid: bool = False
    order: int = 0


@dataclass(frozen=True)
class Schedule:
    """A version of the rates of a feed, with the classes that its payers may have. Codes are unique."""

    name: str
    version: int
    rates: tuple[Rate, ...]
    classes: tuple[RateClass, ...] = ()


@dataclass(frozen=True)
class Payer:
    """Who a record is charged to, as far as prices depend on it. Texts are empty where they are not known."""

    pi: str = ""
    project: str = ""
    department: str = ""
    account: str = ""
    user: str = ""
    rate_class: str = ""

    def scope(self, scope: Scope) -> str:
        """Return what this payer is in a scope."""
        return "" if scope is Scope.FEED else str(getattr(self, scope.value))

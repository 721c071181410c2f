"""What payer lines are made of: by resource, in cents that add up to the line, and in the currency of their charges."""

import datetime
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, TypeVar

from django.db.models import Q

from .. import money, quantities
from ..models import BillingPeriod, PayerLine, Policy
from ..moments import at_one_moment
from ..money import EXACT, ZERO
from ..quantities import Usage
from ..readers.spelling import same_resource
from ..readers.values import Memo
from .groups import RESOURCE, Groups
from .keys import SEPARATOR
from .lines import entered_lines
from .month import HUNDRED, Group, Month, Payer, Sums
from .sharing import cost_of_its_own

# A resource's name and id.
Resource = tuple[str, str]
Key = TypeVar("Key")


@dataclass(frozen=True)
class ResourceShare:
    """A resource's part of a payer line, in cents that add up to the line."""

    name: str
    resource_id: str
    count: int
    list_cost: Decimal
    contracted_cost: Decimal
    charged: Decimal
    # In each unit; of a resource whose cost is split it is the whole, with the percent beside it.
    usage: tuple[Usage, ...] = ()
    # When the service began, and when it ended (exclusive).
    began: datetime.datetime | None = None
    ended: datetime.datetime | None = None
    # Where only a part of its cost is this payer's: how much in percent, and the whole, exact and converted.
    percent: Decimal = HUNDRED
    whole: Decimal = ZERO


@dataclass(frozen=True)
class Original:
    """What a payer line comes to in the currency of its charges, one unit of which is worth `rate`."""

    currency: str
    rate: Decimal
    list_cost: Decimal
    charged: Decimal
    # By name and id, in cents that add up to `charged`.
    resources: Mapping[Resource, Decimal]


@at_one_moment
def resources_of(period: BillingPeriod, lines: Collection[PayerLine]) -> dict[str, list[ResourceShare]]:
    """Return what each of a month's payer lines is made of, by payer key, the costliest resources first.

    List, contracted and charged amounts each add up to the line's to the cent. A correction is made of its
    corrections, each under its printed text: the reason is for staff. Corrections, late changes and shared costs
    have no usage. One grouped query serves all the lines, so ask for many at once.
    """
    wanted = {line.key: line for line in lines}
    month = Month(period)
    spellings = Spellings()
    exact = {key: Resources(spellings) for key in wanted}
    for group, sums, resource, usage, days in Groups(month).resources(wanted.values()):
        for payer, part in exact_parts(month, group, sums):
            if payer.key in wanted:
                own = replace(usage, percent=payer.percent) if usage and payer.percent != HUNDRED else usage
                found = exact[payer.key].add(resource, part, own)
                found.days += days
                found.percents.add(payer.percent)
                found.whole += part.charged if payer.percent == HUNDRED else sums.times(month.rate(group)).charged
    for line, entered in entered_lines(month):
        if line.key in wanted:
            told = (" ".join(entered.correction.printed_text.split()), f"Correction {entered.correction_id}")
            exact[line.key].add(told, Sums(line.list_cost, line.contracted_cost, line.charged))
    return {key: _shares(wanted[key], resources) for key, resources in exact.items()}


@at_one_moment
def originals_of(period: BillingPeriod, lines: Iterable[PayerLine]) -> dict[str, Original]:
    """Return what lines of a month come to in the currency of their charges, where that is not the policy's.

    By payer key, in cents of that currency; of a line's resources too, which add up to it. A share of a
    shared cost is converted back, for it was shared after it was converted.
    Raises the errors of `make_payer_lines`.
    """
    home = Policy.objects.current().currency
    wanted = {
        line.key: line
        for line in lines
        if line.kind not in PayerLine.ENTERED and line.key.rpartition(SEPARATOR)[2] != home
    }
    if not wanted:
        return {}
    month = Month(period)
    found: dict[str, Original] = {}
    for key, (currency, rate, resources) in _delivered_parts(month, home, wanted.keys()).items():
        whole = Sums()
        for part in resources.values():
            whole.add(part)
        charged = money.to_cents(whole.charged, currency)
        shares = money.apportion(charged, {resource: part.charged for resource, part in resources.items()}, currency)
        found[key] = Original(currency, rate, money.to_cents(whole.list_cost, currency), charged, shares)
    for key, line in wanted.items():
        currency = key.rpartition(SEPARATOR)[2]
        if line.shared_total is not None and (worth := month.rates.get((line.for_period_id, currency))):
            listed, charged = (
                money.to_cents(EXACT.divide(each, worth), currency) for each in (line.list_cost, line.charged)
            )
            found[key] = Original(currency, worth, listed, charged, {})
    return found


def _delivered_parts(
    month: Month, home: str, wanted: Collection[str]
) -> dict[str, tuple[str, Decimal, dict[Resource, Sums]]]:
    """Return, by payer key, the currency charges were delivered in, its rate, and their exact sums by resource."""
    spellings = Spellings()
    exact: dict[str, Resources] = defaultdict(lambda: Resources(spellings))
    rates: dict[str, tuple[str, Decimal]] = {}
    for group, sums, more in Groups(month).rows(*RESOURCE, asked=~Q(currency=home)):
        month.refuse_what_is_missing([group])
        if group.kind == PayerLine.Kind.SHARED:
            continue
        for payer in month.payers(group):
            if payer.kind != PayerLine.Kind.SUBSIDY and payer.key in wanted:
                rates[payer.key] = group.currency, month.rate(group)
                resource = (more[1] or more[0], more[0])
                exact[payer.key].add(resource, sums.times(payer.percent.scaleb(-2)))
    return {key: (*rates[key], resources.sums) for key, resources in exact.items()}


def exact_parts(month: Month, group: Group, sums: Sums) -> Iterator[tuple[Payer, Sums]]:
    """Yield each payer of a group with what they bear of `sums`, exact and converted."""
    exact = sums.times(month.rate(group))
    for payer in month.payers(group):
        if payer.kind == PayerLine.Kind.SUBSIDY:
            yield payer, cost_of_its_own(exact.contracted_cost - exact.charged, sums.count)
        elif payer.percent == HUNDRED:
            yield payer, exact
        else:
            yield payer, exact.times(payer.percent.scaleb(-2))


class Spellings(Memo):
    """The one form of a resource's name and id; see `readers.spelling`."""

    def __init__(self) -> None:
        super().__init__(lambda resource: same_resource(*resource))


@dataclass
class _Found:
    """What is known of a resource: its name and id, exact sums, and usage by unit and percent."""

    shown: Resource
    sums: Sums = field(default_factory=Sums)
    usage: list[Usage] = field(default_factory=list)
    # When service began and ended.
    days: list[datetime.datetime] = field(default_factory=list)
    # What parts of its cost these sums are, and the cost itself.
    percents: set[Decimal] = field(default_factory=set)
    whole: Decimal = ZERO
    # The charges that it is made of, where they are asked for.
    charges: list[Any] = field(default_factory=list)


class Resources:
    """Sums by resource, name and id: one that is spelled in several ways once, as the first by code point."""

    def __init__(self, spellings: Spellings) -> None:
        self._spellings = spellings
        self._found: dict[Resource, _Found] = {}

    def add(self, resource: Resource, part: Sums, usage: Usage | None = None) -> _Found:
        same = self._spellings[resource]
        if (found := self._found.get(same)) is None:
            found = self._found[same] = _Found(resource)
        found.shown = min(found.shown, resource)
        found.sums.add(part)
        if usage:
            found.usage.append(usage)
        return found

    @property
    def sums(self) -> dict[Resource, Sums]:
        return {each.shown: each.sums for each in self._found.values()}

    @property
    def charges(self) -> dict[Resource, list[Any]]:
        return {each.shown: each.charges for each in self._found.values()}

    @property
    def all(self) -> "dict[Resource, _Found]":
        return {each.shown: each for each in self._found.values()}


def _shares(line: PayerLine, resources: Resources) -> list[ResourceShare]:
    """Round what a line's resources cost so that they add up to the line."""
    known, sums = resources.all, resources.sums
    if not sums:
        return []
    parts = apportioned(Sums(line.list_cost, line.contracted_cost, line.charged), sums, line.currency)
    shares = []
    for key, part in parts.items():
        found = known[key]
        shares.append(
            ResourceShare(
                *key,
                part.count,
                part.list_cost,
                part.contracted_cost,
                part.charged,
                usage=quantities.added(found.usage),
                began=min(found.days, default=None),
                ended=max(found.days, default=None),
                # Of what one payer bears by a split and by its tag as well, no one percentage is said.
                percent=min(found.percents) if len(found.percents) == 1 else HUNDRED,
                whole=found.whole,
            )
        )
    return sorted(shares, key=lambda share: (-share.list_cost, -share.charged, share.name, share.resource_id))


def apportioned(whole: Sums, exact: Mapping[Key, Sums], currency: str) -> dict[Key, Sums]:
    """Round each of `exact` to cents so that list, contracted and charged amounts each add up to the whole's."""
    listed, contracted, charged = (
        {key: getattr(sums, cost) for key, sums in exact.items()}
        for cost in ("list_cost", "contracted_cost", "charged")
    )
    paid = money.apportion(whole.charged, charged, currency)
    # Without a discount or a subsidy they are the same, and most charges have neither.
    full = paid if (whole.contracted_cost, contracted) == (whole.charged, charged) else None
    full = full or money.apportion(whole.contracted_cost, contracted, currency)
    most = full if (whole.list_cost, listed) == (whole.contracted_cost, contracted) else None
    most = most or money.apportion(whole.list_cost, listed, currency)
    return {key: Sums(most[key], full[key], paid[key], sums.count) for key, sums in exact.items()}

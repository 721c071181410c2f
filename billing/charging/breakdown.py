"""What payer lines are made of: by resource, in cents that add up to the line, and in the currency of their charges."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Q

from .. import money
from ..models import BillingPeriod, PayerLine, Policy
from ..moments import at_one_moment
from ..money import EXACT
from ..readers.spelling import same_resource
from ..readers.values import Memo
from .groups import RESOURCE, Groups
from .keys import SEPARATOR
from .lines import entered_lines
from .month import HUNDRED, Group, Month, Sums
from .sharing import cost_of_its_own

# A resource's name and id.
Resource = tuple[str, str]


@dataclass(frozen=True)
class ResourceShare:
    """A resource's part of a payer line, in cents that add up to the line."""

    name: str
    resource_id: str
    count: int
    list_cost: Decimal
    contracted_cost: Decimal
    charged: Decimal


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
    corrections, each under its printed text: the reason is for staff. One grouped query serves all the lines,
    so ask for many at once.
    """
    wanted = {line.key: line for line in lines}
    month = Month(period)
    spellings = Spellings()
    exact = {key: Resources(spellings) for key in wanted}
    for group, sums, resource in Groups(month).resources(wanted.values()):
        for key, part in _exact_parts(month, group, sums):
            if key in wanted:
                exact[key].add(resource, part)
    for line, entered in entered_lines(month):
        if line.key in wanted:
            told = (" ".join(entered.correction.printed_text.split()), f"Correction {entered.correction_id}")
            exact[line.key].add(told, Sums(line.list_cost, line.contracted_cost, line.charged))
    return {key: _shares(wanted[key], resources.sums) for key, resources in exact.items()}


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


def _exact_parts(month: Month, group: Group, sums: Sums) -> Iterator[tuple[str, Sums]]:
    """Yield what each payer of a group bears of `sums`, exact and converted, by payer key."""
    exact = sums.times(month.rate(group))
    for payer in month.payers(group):
        if payer.kind == PayerLine.Kind.SUBSIDY:
            yield payer.key, cost_of_its_own(exact.contracted_cost - exact.charged, sums.count)
        elif payer.percent == HUNDRED:
            yield payer.key, exact
        else:
            yield payer.key, exact.times(payer.percent.scaleb(-2))


class Spellings(Memo):
    """The one form of a resource's name and id; see `readers.spelling`."""

    def __init__(self) -> None:
        super().__init__(lambda resource: same_resource(*resource))


class Resources:
    """Sums by resource, name and id: one that is spelled in several ways once, as the first by code point."""

    def __init__(self, spellings: Spellings) -> None:
        self._spellings = spellings
        self._found: dict[Resource, tuple[Resource, Sums]] = {}

    def add(self, resource: Resource, part: Sums) -> None:
        same = self._spellings[resource]
        shown, sums = self._found.get(same, (resource, Sums()))
        sums.add(part)
        self._found[same] = min(shown, resource), sums

    @property
    def sums(self) -> dict[Resource, Sums]:
        return dict(self._found.values())


def _shares(line: PayerLine, resources: dict[Resource, Sums]) -> list[ResourceShare]:
    """Round what a line's resources cost so that they add up to the line."""
    if not resources:
        return []
    home = line.currency
    list_costs = money.apportion(line.list_cost, {key: sums.list_cost for key, sums in resources.items()}, home)
    contracteds = money.apportion(
        line.contracted_cost, {key: sums.contracted_cost for key, sums in resources.items()}, home
    )
    chargeds = money.apportion(line.charged, {key: sums.charged for key, sums in resources.items()}, home)
    shares = [
        ResourceShare(key[0], key[1], sums.count, list_costs[key], contracteds[key], chargeds[key])
        for key, sums in resources.items()
    ]
    return sorted(shares, key=lambda share: (-share.list_cost, -share.charged, share.name, share.resource_id))

"""Charging: exact charges become whole cents, and who pays which of them. The only place that rounds money."""

import datetime
import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Case, Count, Exists, Expression, F, Max, Min, OuterRef, Q, Value, When

from .. import audit, money
from ..attribution import holding
from ..audit import Actor
from ..clocks import Clocks
from ..errors import BillingError, MissingCenterFundOrg, NextStep
from ..fields import AmountSum, half_even
from ..models import (
    BillingPeriod,
    BillingReference,
    Charge,
    EntryLine,
    ExchangeRate,
    Flag,
    PayerLine,
    PayerSplit,
    PayerSplitShare,
    Person,
    Policy,
    Project,
    Source,
)
from ..models.charges import ChargeQuerySet, cost_charged
from ..models.periods import month_text
from ..money import EXACT, ZERO
from ..months import closing
from ..readers.spelling import same_resource
from ..readers.values import Memo

SEPARATOR = "|"
KEY_LENGTH = 1000
HUNDRED = Decimal(100)
BATCH = 500

# The columns that `_Month._rows` groups by, with the split that pays between them, before those a caller adds.
GROUPED_BEFORE_SPLIT = ("service_name", "pi_id", "project_id", "source_id", "fund_org")
GROUPED_AFTER_SPLIT = ("natural_account", "currency", "state", "period_id", "is_late", "shared_as")
GROUPED_BY = len(GROUPED_BEFORE_SPLIT) + 1 + len(GROUPED_AFTER_SPLIT)

# What tags name besides who pays, printed with a payer line: so many of each, and how many more there are.
REFERENCES = ("reference_1", "reference_2")
MOST_REFERENCES = 3

# A month whose rows lie among this many times as many others is read through an index.
SPARSE = 5

# Beyond this many owners one pass over the month is quicker than looking each of them up.
MANY_OWNERS = 200


class MissingRate(BillingError):
    """Charges in a foreign currency, and no exchange rate for their month."""


class MissingEffectiveCost(BillingError):
    """A source is charged by EffectiveCost, and rows of it have none."""


class MissingPI(BillingError):
    """Charges that nobody answers for."""


class MissingFundOrg(BillingError):
    """Charges that no fund/org pays."""


class NothingToShareOver(BillingError):
    """Costs to be shared over what their source charged, and it charged nobody."""


class BrokenSplit(BillingError):
    """A split whose shares are not 100 percent."""


@dataclass(frozen=True)
class Charged:
    """What a run of charging made of a month, in the policy's currency."""

    lines: int
    charged: Decimal
    rounding: Decimal
    held_count: int
    held_billed: Decimal
    created: int
    changed: int
    deleted: int
    # Amounts of different currencies are never added: what is held in others, as billed.
    held_foreign: dict[str, Decimal]


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
    resources: Mapping[tuple[str, str], Decimal]


@dataclass(frozen=True)
class PayerShare:
    """What one payer has of a group: by a split's percent, or of a shared cost by what its source charged them.

    With `is_subsidy` it is what a fund pays in the users' place, and no part of the group's cents.
    """

    key: str
    fund_org: str
    charged: Decimal
    percent: Decimal | None
    measure: Decimal | None
    is_subsidy: bool


@dataclass(frozen=True)
class Making:
    """A group of charges and the cents that one payer line has of it; amounts are exact.

    `charges` has each charge's own part of `charged_sum` as `counted`. The sums are in `currency` as
    delivered, one unit of which is worth `rate`; converted and rounded once they are `cents`, off the exact
    sum by `rounding`. `shares` are those among whom the cents were shared, `charged` is what of it is the line's.
    """

    charges: ChargeQuerySet
    count: int
    currency: str
    list_sum: Decimal
    contracted_sum: Decimal
    charged_sum: Decimal
    rate: Decimal
    converted: Decimal
    cents: Decimal
    rounding: Decimal
    split: int | None
    is_shared: bool
    shares: tuple[PayerShare, ...]
    charged: Decimal


def make_payer_lines(*, period: BillingPeriod, actor: Actor, now: datetime.datetime) -> Charged:
    """Bring a month's payer lines and references up to date with its charges.

    Lines are upserted by their natural key: those that did not change keep their row and time, those
    that nothing stands for any more are deleted. References are numbered in the order of PI e-mail
    and project code by code point; a number once given stays, later owners get the next.

    Raises PeriodFinalized, MissingRate, MissingEffectiveCost, MissingPI, MissingFundOrg,
    MissingCenterFundOrg, NothingToShareOver or BrokenSplit, each with what to do; then nothing is changed.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        period = closing.locked(period)
        if period.status == BillingPeriod.Status.FINALIZED:
            raise closing.PeriodFinalized(f"Billing period {period} is finalized: its payer lines are locked.")
        if period.takes_changes and stamp_project_splits(period):
            _hold_what_splits_reach(period, gesture)
        lines = _lines_of(_Month(period, is_stamped=True))
        references = _references(period, lines)
        for line in lines:
            line.reference = references[line.pi_id, line.project_id]
            line.computed_at = now
        created, changed, deleted = _store(period, lines)
        held = {
            currency: (count, billed)
            for currency, count, billed in Charge.objects.in_month(period)
            .held()
            .values_list("currency")
            .annotate(count=Count("*"), billed=AmountSum("billed_cost"))
        }
        home = Policy.objects.current().currency
        charged = Charged(
            lines=len(lines),
            charged=sum((line.charged for line in lines), ZERO),
            rounding=sum((line.rounding for line in lines), ZERO),
            held_count=sum(count for count, _ in held.values()),
            held_billed=held.pop(home, (0, ZERO))[1],
            created=created,
            changed=changed,
            deleted=deleted,
            held_foreign={currency: billed for currency, (_, billed) in sorted(held.items())},
        )
        if created or changed or deleted:
            gesture.record(
                "payer_lines.made",
                period,
                after={
                    "lines": charged.lines,
                    "charged": str(charged.charged),
                    "created": created,
                    "changed": changed,
                    "deleted": deleted,
                },
            )
        return charged


def _hold_what_splits_reach(period: BillingPeriod, gesture: audit.Gesture) -> None:
    """Hold charges that a split entered since their import gives to a fund/org whose dates are over."""
    checks = holding.Checks()
    dated = {fund_org for fund_org, days in (checks.reference.funds or {}).items() if any(days)}
    shares = PayerSplitShare.objects.filter(split__project__isnull=False)
    wanted = {*dated, *checks.reference.last_postings}
    splits = {split for split, fund_org in shares.values_list("split", "fund_org") if fund_org in wanted}
    # What was asked about a charge before, and answered, is not asked again.
    asked = Flag.objects.filter(charge=OuterRef("pk"), code__in=Flag.ANSWERED_ELSEWHERE)
    month = Charge.objects.in_month(period).exclude(attributed_by__in=Charge.SETTLED).exclude(Exists(asked))
    states = (Charge.State.CLEAR, Charge.State.APPROVED)
    for split in sorted(splits):
        holding.settle(month.filter(payer_split=split, state__in=states), gesture=gesture, checks=checks)


def compute(period: BillingPeriod) -> list[PayerLine]:
    """Return the payer lines a month's charges make, unsaved and without reference; write nothing.

    Each group's exact sums are converted, rounded to cents once, and then split among its payers; a
    shared cost's among all whom its source charged, in proportion.
    Raises the errors of `make_payer_lines`.
    """
    return _lines_of(_Month(period))


def changed_keys(period: BillingPeriod, lines: Iterable[PayerLine]) -> set[str]:
    """Return the keys of the payer lines that a run would make, change or delete to have these, from `compute`."""
    said = [name for name in _SAID if name != "reference_id"]
    stored = {
        key: tuple(values)
        for key, *values in PayerLine.objects.filter(period=period).order_by().values_list("key", *said)
    }
    today = {line.key: tuple(getattr(line, name) for name in said) for line in lines}
    return {key for key in {*stored, *today} if stored.get(key) != today.get(key)}


def resources_of(period: BillingPeriod, lines: Collection[PayerLine]) -> dict[str, list[ResourceShare]]:
    """Return what each of a month's payer lines is made of, by payer key, the costliest resources first.

    List, contracted and charged amounts each add up to the line's to the cent. A correction is made of its
    entries, each under its printed text: the reason is for staff. One grouped query serves all the lines,
    so ask for many at once.
    """
    wanted = {line.key: line for line in lines}
    month = _Month(period)
    spellings = _Spellings()
    exact = {key: _Resources(spellings) for key in wanted}
    for group, sums, resource in month.resources(wanted.values()):
        for key, part in month.exact_parts(group, sums):
            if key in wanted:
                exact[key].add(resource, part)
    for line, entered in month.entered():
        if line.key in wanted:
            told = (" ".join(entered.entry.printed_text.split()), f"Correction {entered.entry_id}")
            exact[line.key].add(told, _Sums(line.list_cost, line.contracted_cost, line.charged))
    return {key: _shares(wanted[key], resources.sums) for key, resources in exact.items()}


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
    month = _Month(period)
    spellings = _Spellings()
    exact: dict[str, _Resources] = defaultdict(lambda: _Resources(spellings))
    rates: dict[str, tuple[str, Decimal]] = {}
    for group, sums, more in month._rows("resource_id", "resource_name", asked=~Q(currency=home)):
        month._refuse_what_is_missing([group])
        if group.kind == PayerLine.Kind.SHARED:
            continue
        for payer in month._payers(group):
            if payer.kind != PayerLine.Kind.SUBSIDY and payer.key in wanted:
                rates[payer.key] = group.currency, month._rate(group)
                resource = (more[1] or more[0], more[0])
                exact[payer.key].add(resource, sums.times(payer.percent.scaleb(-2)))
    found = {}
    for key, of_line in exact.items():
        resources, whole = of_line.sums, _Sums()
        for part in resources.values():
            whole.add(part)
        currency, rate = rates[key]
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


def makings_of(line: PayerLine) -> list[Making]:
    """Return the groups of charges that a payer line is made of, and how each became its cents.

    One group, as a rule; two where a fund/org pays by its tag and by a share of a split as well. What
    comes out is what the charges, rates and splits make of the line now: `charged` of the makings adds
    up to the line's as long as nothing changed since it was made.

    Raises the errors of `make_payer_lines`.
    """
    month = _Month(line.period)
    groups: dict[_Group, _Sums] = {}
    for group, sums, _ in month._rows(asked=_may_be_of(line)):
        groups.setdefault(group, _Sums()).add(sums)
    made = [month.making(group, sums, line.key) for group, sums in groups.items()]
    month._refuse_what_is_missing(())
    return [making for making in made if any(share.key == line.key for share in making.shares)]


def entries_of(line: PayerLine) -> list[EntryLine]:
    """Return the lines of entries that a payer line is made of."""
    lines = EntryLine.objects.charged_in(line.period).filter(
        kind=line.kind, source=line.source_id, fund_org=line.fund_org, service_name=line.service_name
    )
    of_entries = lines.select_related("entry__charged_in", "entry__for_period", "pi", "project", "source")
    return [entered for entered in of_entries.order_by("entry", "number") if key_of_entry(entered) == line.key]


def keys_of(charge: Charge) -> list[str]:
    """Return the keys of the payer lines that a charge goes to: none while it is held, rejected or withdrawn."""
    month = _Month(charge.charged_in)
    keys: list[str] = []
    for group, _, _ in list(month._rows(asked=Q(pk=charge.pk))):
        if group.kind != PayerLine.Kind.SHARED:
            keys += [payer.key for payer in month._payers(group)]
            continue
        # Who bears a shared cost shows only at the whole of it.
        whole = _Sums()
        of_group = Q(source=group.source_id, period=group.for_period_id, shared_as=group.service_name)
        for other, sums, _ in month._rows(asked=of_group):
            if other == group:
                whole.add(sums)
        keys += [line.key for line in month.shared_lines(group, whole)]
    return keys


def missing_rates(period: BillingPeriod) -> str:
    """Say which exchange rates the charges of a month wait for; empty for none.

    A charge is converted with the rate of the month it was delivered for.
    """
    home = Policy.objects.current().currency
    known = set(ExchangeRate.objects.values_list("period", "currency"))
    wanted = (
        Charge.objects.in_month(period)
        .chargeable()
        .exclude(currency=home)
        .order_by()
        .values_list("period", "period__month", "currency")
        .distinct()
    )
    missing = {(month, currency) for period_id, month, currency in wanted if (period_id, currency) not in known}
    return _rates_to_enter(missing, home) if missing else ""


def payer_key(
    *,
    for_period: str,
    kind: str,
    pi_email: str,
    project_code: str,
    fund_org: str,
    source_name: str,
    natural_account: str,
    service_name: str,
    currency: str,
) -> str:
    """Return the natural key of a payer line in one text: its parts between bars, in this order.

    The same payer has the same key in every run, and two payers never share one: a bar or a
    backslash within a part is escaped. `for_period` is the month the charges were delivered for,
    `currency` the one they were delivered in. Nothing is null: no PI and no project are empty.
    """
    parts = (
        for_period,
        kind,
        pi_email,
        project_code,
        fund_org,
        source_name,
        natural_account,
        service_name,
        currency,
    )
    key = SEPARATOR.join(escaped(part) for part in parts)
    if len(key) > KEY_LENGTH:
        # Only names made of bars come here; a digest of the whole keeps them apart.
        digest = hashlib.sha256(key.encode()).hexdigest()
        key = f"{key[: KEY_LENGTH - len(digest)]}{digest}"
    return key


def escaped(part: str) -> str:
    """Return a part of a payer key as the key has it."""
    return part.replace("\\", "\\\\").replace(SEPARATOR, "\\" + SEPARATOR)


def key_as_charged(line: PayerLine) -> str:
    """Return the key that the same payer's plain charge has in the month that a late change is of."""
    month, _, rest = line.key.split(SEPARATOR, 2)
    return SEPARATOR.join((month, PayerLine.Kind.CHARGE.value, rest))


def key_of_entry(entered: EntryLine) -> str:
    """Return the key of the payer line that a line of an entry makes in the month that bears it."""
    return payer_key(
        for_period=str(entered.entry.for_period),
        kind=entered.kind,
        pi_email=entered.pi.email if entered.pi else "",
        project_code=entered.project.code if entered.project else "",
        fund_org=entered.fund_org,
        source_name=entered.source.name,
        natural_account=entered.natural_account,
        service_name=entered.service_name,
        currency=entered.entry.currency,
    )


def stamp_project_splits(period: BillingPeriod) -> int:
    """Give the live charges of a month the split their project has on their day of service.

    The day is that of the start of the charge period, by the clocks of its import. Where splits of a project
    overlap, the one that begins later holds; where none holds any more, the charge goes back to its own
    fund/org. What a decision attributed stays as decided, and late changes go to who was charged.
    Returns how many charges it touched.
    The caller holds the period open.
    """
    splits = _project_splits()
    if not splits:
        return 0
    stamped, clocks = 0, Clocks()
    month = Charge.objects.in_month(period).exclude(attributed_by__in=Charge.SETTLED)
    # One look through the index of the month tells which projects are in it, and with which PIs: with
    # both, each update below goes straight to its charges.
    owners: dict[int, list[int | None]] = defaultdict(list)
    of_projects = {split.project_id for split in splits}
    for project_id, pi_id in (
        Charge.objects.in_month(period).filter(project__in=of_projects).values_list("project", "pi").distinct()
    ):
        owners[project_id].append(pi_id)
    for split in splits:
        if split.project_id in owners:
            stamped += (
                month.filter(_owned_by(owners[split.project_id]), _holds(split, splits, clocks))
                .exclude(payer_split=split.pk)
                .update(payer_split=split.pk)
            )
    # In bunches: SQLite takes no condition of more than a thousand terms.
    for start in range(0, len(splits), BATCH):
        bunch = splits[start : start + BATCH]
        stale = in_storage_order(period).filter(payer_split__in=[split.pk for split in bunch])
        for split in bunch:
            stale = stale.exclude(_holds(split, splits, clocks), payer_split=split.pk)
        stamped += stale.exclude(attributed_by__in=Charge.SETTLED).update(payer_split=None)
    return stamped


@dataclass(slots=True)
class _Sums:
    """Exact amounts that belong together, in one currency."""

    list_cost: Decimal = ZERO
    contracted_cost: Decimal = ZERO
    charged: Decimal = ZERO
    count: int = 0

    def add(self, other: "_Sums") -> None:
        self.list_cost += other.list_cost
        self.contracted_cost += other.contracted_cost
        self.charged += other.charged
        self.count += other.count

    def times(self, factor: Decimal) -> "_Sums":
        if factor == 1:
            return self
        return _Sums(
            EXACT.multiply(self.list_cost, factor),
            EXACT.multiply(self.contracted_cost, factor),
            EXACT.multiply(self.charged, factor),
            self.count,
        )


class _Group(NamedTuple):
    """What is rounded together: everything of one payer (or split) for one service of a source."""

    for_period_id: int
    kind: str
    pi_id: int | None
    project_id: int | None
    fund_org: str
    split_id: int | None
    source_id: int
    natural_account: str
    service_name: str
    currency: str

    def borne_by(self, bearer: "_Bearer") -> "_Group":
        """Return it as a bearer's own."""
        return self._replace(pi_id=bearer.pi_id, project_id=bearer.project_id, fund_org=bearer.fund_org)


class _Bearer(NamedTuple):
    """Whose part in what a source charged is the measure of their share; without a PI it is the center."""

    pi_id: int | None
    project_id: int | None
    fund_org: str


class _Payer(NamedTuple):
    key: str
    kind: str
    fund_org: str
    percent: Decimal


class _Month:
    """A month being charged: its charges in groups, and all there is to look up for them."""

    def __init__(self, period: BillingPeriod, *, is_stamped: bool = False) -> None:
        self.period = period
        self.policy = Policy.objects.current()
        self.sources = Source.objects.prefetch_related("measure_changes").in_bulk()
        self.periods = BillingPeriod.objects.in_bulk()
        self.people = Person.objects.in_bulk()
        self.projects = Project.objects.in_bulk()
        self.rates = {(rate.period_id, rate.currency): rate.rate for rate in ExchangeRate.objects.order_by()}
        # A closed month keeps the splits it was closed with.
        self.paying_split = F("payer_split") if is_stamped or not period.takes_changes else _paying_split()
        self.payers_of_group: dict[_Group, list[_Payer]] = {}
        self._bearers_in: dict[int, dict[int, dict[_Bearer, Decimal]]] = {}
        # What the database groups by (see `_rows`), and the group it belongs to.
        self.resolved: dict[tuple[Any, ...], _Group] = {}
        # What is missing: a thing to name -> how many charges wait for it.
        self.without_effective: Counter[str] = Counter()
        self.without_pi: Counter[str] = Counter()
        self.without_fund_org: Counter[str] = Counter()
        self.without_center: Counter[str] = Counter()
        self.without_bearers: Counter[str] = Counter()

    def groups(self) -> dict[_Group, _Sums]:
        """Return the exact sums of the month's groups, in the currency delivered."""
        groups: dict[_Group, _Sums] = {}
        for group, sums, _ in self._rows():
            if known := groups.get(group):
                known.add(sums)
            else:
                groups[group] = sums
        self._refuse_what_is_missing(groups)
        return groups

    def references_named(self) -> dict[str, tuple[str, str]]:
        """Return the references that the charges of each payer line name, by payer key.

        Shared costs are left out: they are nobody's own. It comes after `groups`, which refuses what is missing.
        """
        named: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
        any_named = ~Q(reference_1="") | ~Q(reference_2="")
        for group, _, texts in self._rows(*REFERENCES, asked=any_named, reads_whole=True):
            if group.kind != PayerLine.Kind.SHARED:
                for payer in self._payers(group):
                    for known, text in zip(named[payer.key], texts, strict=True):
                        known.add(text)
        return {key: (_listed(first), _listed(second)) for key, (first, second) in named.items()}

    def resources(self, lines: Collection[PayerLine]) -> Iterator[tuple[_Group, _Sums, tuple[str, str]]]:
        """Yield each group's sums for each resource (name and id) of the owners of these lines."""
        owners = {line.pi_id for line in lines if line.pi_id}
        asked = Q(pi__in=owners)
        if any(source.default_pi_id in owners for source in self.sources.values()):
            asked |= Q(pi__isnull=True)
        if any(line.pi_id is None for line in lines):
            asked |= Q(state=Charge.State.ABSORBED)
        if len(owners) > MANY_OWNERS:
            asked = Q()  # as good as everybody
        seen: set[_Group] = set()
        for group, sums, more in self._rows("resource_id", "resource_name", asked=asked):
            if group.kind == PayerLine.Kind.SHARED:
                # Nobody's own: below nobody's line.
                continue
            if group not in seen:
                seen.add(group)
                self._refuse_what_is_missing([group])
            resource_id, name = more
            yield group, sums, (name or resource_id, resource_id)
        self._refuse_what_is_missing([])

    def lines_of(self, group: _Group, sums: _Sums) -> list[PayerLine]:
        """Round a group's sums to cents, once, and share them among its payers."""
        exact = sums.times(self._rate(group))
        if group.kind == PayerLine.Kind.LATE and not (exact.list_cost or exact.contracted_cost or exact.charged):
            # Taken back and charged again as it was: a change of its description, say.
            return []
        payers = self._payers(group)
        weights = {payer.fund_org: payer.percent for payer in payers if payer.kind != PayerLine.Kind.SUBSIDY}
        list_cost, list_costs = self._shared(exact.list_cost, weights)
        contracted, contracteds = self._shared(exact.contracted_cost, weights)
        charged, chargeds = self._shared(exact.charged, weights)
        residue = half_even(EXACT.subtract(exact.charged, charged))
        lines = []
        for payer in payers:
            if payer.kind != PayerLine.Kind.SUBSIDY:
                figures = (list_costs[payer.fund_org], contracteds[payer.fund_org], chargeds[payer.fund_org])
                lines.append(self._line(group, payer, *figures, residue, sums.count))
                residue = ZERO
            elif funded := contracted - charged:
                # What the fund pays is a cost of its own, with no further discount or subsidy in it.
                lines.append(self._line(group, payer, funded, funded, funded, ZERO, sums.count))
        return lines

    def entered(self) -> Iterator[tuple[PayerLine, EntryLine]]:
        """Yield the lines of the month's entries with the payer line each makes: whole cents as entered.

        An entry moves what is due: whatever it moves is a cost of its own, so that provider discount and
        subsidy stay where the charges showed them.
        """
        lines = EntryLine.objects.charged_in(self.period).select_related("entry").order_by("entry", "number")
        for entered in lines:
            group = _Group(
                for_period_id=entered.entry.for_period_id,
                kind=entered.kind,
                pi_id=entered.pi_id,
                project_id=entered.project_id,
                fund_org=entered.fund_org,
                split_id=None,
                source_id=entered.source_id,
                natural_account=entered.natural_account,
                service_name=entered.service_name,
                currency=entered.entry.currency,
            )
            payer = _Payer(self._key(group, group.kind, group.fund_org), group.kind, group.fund_org, HUNDRED)
            amount = entered.amount
            yield self._line(group, payer, amount, amount, amount, ZERO, 0), entered

    def shares_of(self, group: _Group, sums: _Sums, bearers: Mapping[_Bearer, Decimal]) -> list[PayerLine]:
        """Round a shared cost to cents, once, and share them in proportion to what each bearer was charged.

        `bearers` maps them to what their source charged them, in cents: who was charged nothing, or
        credited, bears nothing. Where that is everybody, the cost goes to the source's default PI and
        overflow fund/org; without these it is noted as having no bearers.
        """
        exact = sums.times(self._rate(group))
        if not (exact.list_cost or exact.contracted_cost or exact.charged):
            return []
        source = self.sources[group.source_id]
        measured = {bearer: charged for bearer, charged in bearers.items() if charged > 0}
        if not measured and source.default_pi_id and source.overflow_fund_org:
            measured = {_Bearer(source.default_pi_id, source.default_project_id, source.overflow_fund_org): HUNDRED}
        if not measured:
            self.without_bearers[f"{source.name} in {self.periods[group.for_period_id]}"] += sums.count
            return []
        by_key = {self._key(group.borne_by(bearer), group.kind, bearer.fund_org): bearer for bearer in measured}
        weights = {key: measured[bearer] for key, bearer in by_key.items()}
        list_cost, list_costs = self._shared(exact.list_cost, weights)
        contracted, contracteds = self._shared(exact.contracted_cost, weights)
        charged, chargeds = self._shared(exact.charged, weights)
        residue = half_even(EXACT.subtract(exact.charged, charged))
        bearing = [key for key in sorted(by_key) if list_costs[key] or contracteds[key] or chargeds[key]]
        lines = []
        # Less than a cent in all is still a line, which bears what rounding left of it.
        for key in bearing or sorted(by_key)[:1]:
            bearer = by_key[key]
            own = group.borne_by(bearer)
            kind = PayerLine.Kind.SHARED.value if bearer.pi_id else PayerLine.Kind.ABSORBED.value
            payer = _Payer(key, kind, bearer.fund_org, HUNDRED)
            line = self._line(own, payer, list_costs[key], contracteds[key], chargeds[key], residue, sums.count)
            line.shared_total = charged
            lines.append(line)
            residue = ZERO
            funded = line.contracted_cost - line.charged
            if source.subsidy_fund_org and funded:
                kind = PayerLine.Kind.SUBSIDY.value
                fund_org = source.subsidy_fund_org
                payer = _Payer(self._key(own, kind, fund_org), kind, fund_org, HUNDRED)
                lines.append(self._line(own, payer, funded, funded, funded, ZERO, sums.count))
        return lines

    def bearers_in(self, period_id: int) -> dict[int, dict[_Bearer, Decimal]]:
        """Return what each source charged whom in another month, as its payer lines stand."""
        if period_id not in self._bearers_in:
            self._bearers_in[period_id] = _bearers(
                PayerLine.objects.filter(period=period_id, kind__in=PayerLine.MEASURES)
            )
        return self._bearers_in[period_id]

    def refuse_what_nobody_bears(self) -> None:
        if found := self.without_bearers:
            total = sum(found.values())
            raise NothingToShareOver(
                f"{self.period} cannot be charged: {total:,} shared {'cost goes' if total == 1 else 'costs go'} over "
                f"what was charged of {', '.join(sorted(found))}, and nobody was charged any of it. Give the source a "
                "default PI and a default fund/org to pay it, or charge it to the center or somebody else in the "
                "review. Where that month is an earlier one without statements, issue them first."
            )

    def shared_lines(self, group: _Group, sums: _Sums) -> list[PayerLine]:
        """Return the shares of a shared cost, measured by the payer lines as they stand."""
        return self.shares_of(group, sums, self.bearers_in(group.for_period_id).get(group.source_id, {}))

    def making(self, group: _Group, sums: _Sums, key: str) -> Making:
        """Say how a group became the cents of the payer line of this key."""
        self._refuse_what_is_missing([group])
        rate = self._rate(group)
        shares = []
        if group.kind == PayerLine.Kind.SHARED:
            measures = self.bearers_in(group.for_period_id).get(group.source_id, {})
            for line in self.shared_lines(group, sums):
                measure = measures.get(_Bearer(line.pi_id, line.project_id, line.fund_org), ZERO)
                is_funded = line.kind == PayerLine.Kind.SUBSIDY
                shares.append(PayerShare(line.key, line.fund_org, line.charged, None, measure, is_funded))
        else:
            percents = {payer.key: payer.percent for payer in self._payers(group)}
            for line in self.lines_of(group, sums):
                is_funded = line.kind == PayerLine.Kind.SUBSIDY
                percent = None if is_funded else percents[line.key]
                shares.append(PayerShare(line.key, line.fund_org, line.charged, percent, None, is_funded))
        converted = EXACT.multiply(sums.charged, rate)
        cents = sum((share.charged for share in shares if not share.is_subsidy), ZERO)
        return Making(
            charges=self.charges_of(group),
            count=sums.count,
            currency=group.currency,
            list_sum=sums.list_cost,
            contracted_sum=sums.contracted_cost,
            charged_sum=sums.charged,
            rate=rate,
            converted=converted,
            cents=cents,
            rounding=EXACT.subtract(converted, cents),
            split=group.split_id,
            is_shared=group.kind == PayerLine.Kind.SHARED,
            shares=tuple(shares),
            charged=sum((share.charged for share in shares if share.key == key), ZERO),
        )

    def charges_of(self, group: _Group) -> ChargeQuerySet:
        """Return the charges of a group that `_rows` yielded, each with what counts of it as `counted`."""
        names = (*GROUPED_BEFORE_SPLIT, "paying_split", *GROUPED_AFTER_SPLIT)
        same = Q(pk__in=())
        for delivered, of in self.resolved.items():
            if of == group:
                same |= Q(**dict(zip(names, delivered, strict=True)))
        charges = Charge.objects.in_month(self.period).alias(paying_split=self.paying_split).filter(same)
        return charges.annotate(counted=cost_charged(self.sources.values()))

    def exact_parts(self, group: _Group, sums: _Sums) -> Iterator[tuple[str, _Sums]]:
        """Yield what each payer of a group bears of `sums`, exact and converted, by payer key."""
        exact = sums.times(self._rate(group))
        for payer in self._payers(group):
            if payer.kind == PayerLine.Kind.SUBSIDY:
                funded = exact.contracted_cost - exact.charged
                yield payer.key, _Sums(funded, funded, funded, sums.count)
            elif payer.percent == HUNDRED:
                yield payer.key, exact
            else:
                yield payer.key, exact.times(payer.percent.scaleb(-2))

    def _rows(
        self, *more: str, asked: Q | None = None, reads_whole: bool = False
    ) -> Iterator[tuple[_Group, _Sums, tuple[str, ...]]]:
        """Yield the sums of the chargeable charges as the database groups them.

        Two rows may come of one group: defaults are filled in here, and approved is charged as clear. What is
        `asked` is looked up by an index, unless finding it takes reading the whole month.
        """
        in_order = not asked or reads_whole
        charges = self.in_storage_order if in_order else Charge.objects.in_month(self.period)
        # Columns that tell rows apart come first: a database that sorts to group compares less.
        rows = (
            charges.filter(asked or Q())
            .chargeable()
            .order_by()
            .with_prices(self.sources.values())
            .values_list(
                *GROUPED_BEFORE_SPLIT,
                self.paying_split,
                *GROUPED_AFTER_SPLIT,
                *more,
            )
            .annotate(
                count=Count("*"),
                measured=Count("exact_charged"),
                sum_list=AmountSum("exact_list"),
                sum_contracted=AmountSum("exact_contracted"),
                sum_charged=AmountSum("exact_charged"),
            )
        )
        resolved = self.resolved
        own = slice(GROUPED_BY, GROUPED_BY + len(more))
        # Groups are few and come at once. Resources may be a million and are streamed.
        for row in rows.iterator(chunk_size=BATCH * 10) if more else rows:
            count, measured, list_sum, contracted_sum, charged_sum = row[own.stop :]
            delivered = row[: own.start]
            if (group := resolved.get(delivered)) is None:
                group = resolved[delivered] = self._group(*delivered, count=count)
            if measured < count:
                self.without_effective[self.sources[group.source_id].name] += count - measured
            else:
                yield group, _Sums(list_sum, contracted_sum, charged_sum, count), row[own]

    def _group(
        self,
        service: str,
        pi_id: int | None,
        project_id: int | None,
        source_id: int,
        fund_org: str,
        split_id: int | None,
        account: str,
        currency: str,
        state: str,
        period_id: int,
        is_late: bool,
        shared_as: str,
        *,
        count: int,
    ) -> _Group:
        """Return the group that charges belong to, with the defaults of their source; note what is missing."""
        source = self.sources[source_id]
        kind = PayerLine.Kind.LATE.value if is_late else PayerLine.Kind.CHARGE.value
        if state == Charge.State.ABSORBED:
            kind, pi_id, project_id, split_id = PayerLine.Kind.ABSORBED.value, None, None, None
            fund_org = self.policy.center_fund_org
            if not fund_org:
                self.without_center[source.name] += count
        elif shared_as:
            # Under one name, whatever services it is of. Late or not, it goes over what its month charged.
            kind, service = PayerLine.Kind.SHARED.value, shared_as
        else:
            if pi_id is None:
                pi_id, project_id = source.default_pi_id, project_id or source.default_project_id
                if pi_id is None:
                    self.without_pi[source.name] += count
            fund_org = "" if split_id else fund_org or source.overflow_fund_org
            if not (split_id or fund_org):
                self.without_fund_org[source.name] += count
        account = account or source.debit_account
        return _Group(period_id, kind, pi_id, project_id, fund_org, split_id, source_id, account, service, currency)

    def _refuse_what_is_missing(self, groups: Iterable[_Group]) -> None:
        month = str(self.period)
        if found := self.without_effective:
            raise MissingEffectiveCost(
                f"{month} has {_counted(found)} without EffectiveCost, by which they are to be charged. "
                "Import a file that has the column, or charge the source by BilledCost."
            )
        if found := self.without_pi:
            raise MissingPI(
                f"{month} has {_counted(found)} without a PI. "
                "Reattribute them in the review, or give the source a default PI."
            )
        if found := self.without_fund_org:
            raise MissingFundOrg(
                f"{month} has {_counted(found)} without a fund/org to pay them. "
                "Reattribute them in the review, or give the source a default fund/org."
            )
        if found := self.without_center:
            raise MissingCenterFundOrg(
                f"{month} has {_counted(found)} that the center absorbs, and the policy names no fund/org of the "
                "center's own. Set it in the policy."
            )
        missing = {
            (self.periods[group.for_period_id].month, group.currency)
            for group in groups
            if group.currency != self.policy.currency and (group.for_period_id, group.currency) not in self.rates
        }
        if missing:
            first = min(missing)
            step = NextStep("enter_rate", {"period": month_text(first[0]), "currency": first[1]})
            raise MissingRate(_rates_to_enter(missing, self.policy.currency), then=step)
        for pk in sorted({group.split_id for group in groups if group.split_id}):
            if (whole := sum(self.split_shares[pk].values(), ZERO)) != HUNDRED:
                raise BrokenSplit(f"The shares of split {pk} sum to {whole.normalize():f} percent, not to 100.")

    @cached_property
    def in_storage_order(self) -> ChargeQuerySet:
        return in_storage_order(self.period)

    @cached_property
    def split_shares(self) -> dict[int, dict[str, Decimal]]:
        """The percent of each fund/org, by split."""
        shares: dict[int, dict[str, Decimal]] = defaultdict(dict)
        for share in PayerSplitShare.objects.order_by():
            shares[share.split_id][share.fund_org] = share.percent
        return shares

    def _shared(self, exact: Decimal, weights: dict[str, Decimal]) -> tuple[Decimal, dict[str, Decimal]]:
        """Return an exact sum in cents, rounded once, and each payer's share of them."""
        home = self.policy.currency
        cents = money.to_cents(exact, home)
        if len(weights) == 1:
            return cents, dict.fromkeys(weights, cents)
        return cents, money.split(cents, weights, home)

    def _rate(self, group: _Group) -> Decimal:
        if group.currency == self.policy.currency:
            return Decimal(1)
        return self.rates[group.for_period_id, group.currency]

    def _payers(self, group: _Group) -> list[_Payer]:
        """Return who pays for a group: the first bears its rounding, a funded subsidy comes last."""
        if group not in self.payers_of_group:
            shares = self.split_shares[group.split_id] if group.split_id else {group.fund_org: HUNDRED}
            payers = [
                _Payer(self._key(group, group.kind, fund_org), group.kind, fund_org, shares[fund_org])
                for fund_org in sorted(shares)
            ]
            if fund_org := self.sources[group.source_id].subsidy_fund_org:
                kind = PayerLine.Kind.SUBSIDY.value
                payers.append(_Payer(self._key(group, kind, fund_org), kind, fund_org, HUNDRED))
            self.payers_of_group[group] = payers
        return self.payers_of_group[group]

    def _key(self, group: _Group, kind: str, fund_org: str) -> str:
        return payer_key(
            for_period=str(self.periods[group.for_period_id]),
            kind=kind,
            pi_email=self.people[group.pi_id].email if group.pi_id else "",
            project_code=self.projects[group.project_id].code if group.project_id else "",
            fund_org=fund_org,
            source_name=self.sources[group.source_id].name,
            natural_account=group.natural_account,
            service_name=group.service_name,
            currency=group.currency,
        )

    def _line(
        self,
        group: _Group,
        payer: _Payer,
        list_cost: Decimal,
        contracted_cost: Decimal,
        charged: Decimal,
        rounding: Decimal,
        count: int,
    ) -> PayerLine:
        return PayerLine(
            period=self.period,
            key=payer.key,
            kind=payer.kind,
            for_period=self.periods[group.for_period_id],
            pi=self.people[group.pi_id] if group.pi_id else None,
            project=self.projects[group.project_id] if group.project_id else None,
            fund_org=payer.fund_org,
            source=self.sources[group.source_id],
            natural_account=group.natural_account,
            service_name=group.service_name,
            currency=self.policy.currency,
            list_cost=list_cost,
            contracted_cost=contracted_cost,
            charged=charged,
            rounding=rounding,
            charge_count=count,
        )


def _may_be_of(line: PayerLine) -> Q:
    """Match the charges that can be of a payer line, by what they never take from a default.

    Their PI may be a default: nobody's go to the source's. Shared costs are under the name they are shared as.
    """
    own = Q(service_name=line.service_name)
    if line.pi_id is not None:
        own &= Q(pi=line.pi_id) | Q(pi__isnull=True)
    shared = Q(shared_as=line.service_name) if line.service_name else Q(pk__in=())
    return Q(source=line.source_id, period=line.for_period_id) & (own | shared)


def in_storage_order(period: BillingPeriod) -> ChargeQuerySet:
    """Return a month's live charges to be read whole, in the order in which the table holds them.

    By its index on owners SQLite would fetch the rows of a month in the order of their PIs: five times
    slower for a million. A unary plus keeps it off that index, and the bounds (read from the index
    alone) off the other months. Where the month lies too far apart the index is better after all.
    """
    charges = Charge.objects.in_month(period)
    if connection.vendor != "sqlite":
        return charges
    found = charges.aggregate(first=Min("pk"), last=Max("pk"), count=Count("*"))
    if not found["count"] or found["last"] - found["first"] > SPARSE * found["count"]:
        return charges
    whole = Charge.objects.live().of_month(period, indexed=False)
    return whole.filter(pk__range=(found["first"], found["last"]))


def _rates_to_enter(missing: Collection[tuple[datetime.date, str]], home: str) -> str:
    named = ", ".join(f"{currency} in {month_text(month)}" for month, currency in sorted(missing))
    return f"There is no exchange rate for {named}: enter what one unit is worth in {home}."


def _lines_of(month: _Month) -> list[PayerLine]:
    lines: dict[str, PayerLine] = {}
    groups = month.groups()
    shared = {group: sums for group, sums in groups.items() if group.kind == PayerLine.Kind.SHARED}
    for group, sums in groups.items():
        if group not in shared:
            for line in month.lines_of(group, sums):
                _add(line, lines)
    # Shares are measured by what is somebody's own, never by each other.
    bearers = _bearers(lines.values())
    for group, sums in shared.items():
        of_month = bearers if group.for_period_id == month.period.pk else month.bearers_in(group.for_period_id)
        for line in month.shares_of(group, sums, of_month.get(group.source_id, {})):
            _add(line, lines)
    month.refuse_what_nobody_bears()
    for key, texts in month.references_named().items():
        if naming := lines.get(key):
            naming.reference_1, naming.reference_2 = texts
    entered: dict[str, PayerLine] = {}
    for line, _ in month.entered():
        _add(line, entered)
    # What an entry of the same month took back is no line.
    lines |= {key: line for key, line in entered.items() if line.charged}
    return [lines[key] for key in sorted(lines)]


def _add(line: PayerLine, lines: dict[str, PayerLine]) -> None:
    """Put a line among others, added to the one of the same payer."""
    # Two groups can share a payer: a fund/org by its tag and by a share of a split.
    if known := lines.get(line.key):
        known.list_cost += line.list_cost
        known.contracted_cost += line.contracted_cost
        known.charged += line.charged
        known.rounding += line.rounding
        known.charge_count += line.charge_count
    else:
        lines[line.key] = line


def _bearers(lines: Iterable[PayerLine]) -> dict[int, dict[_Bearer, Decimal]]:
    """Return what each source (by id) charged whom, of what measures their shares in its shared costs."""
    found: dict[int, dict[_Bearer, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for line in lines:
        if line.kind in PayerLine.MEASURES and line.shared_total is None:
            found[line.source_id][_Bearer(line.pi_id, line.project_id, line.fund_org)] += line.charged
    return found


def _listed(names: Collection[str]) -> str:
    """Write distinct references in order, the first few of many: `A, B, C and 3 more`."""
    found = sorted(name for name in names if name)
    more = f" and {len(found) - MOST_REFERENCES:,} more" if len(found) > MOST_REFERENCES else ""
    return ", ".join(found[:MOST_REFERENCES]) + more


def _counted(found: Counter[str]) -> str:
    total = sum(found.values())
    named = ", ".join(f"{name} {count:,}" for name, count in sorted(found.items()))
    return f"{total:,} {'charge' if total == 1 else 'charges'} ({named})"


def _project_splits() -> list[PayerSplit]:
    """Return the splits of projects, those that begin later after those they take the place of."""
    splits = PayerSplit.objects.filter(project__isnull=False)
    return sorted(splits, key=lambda split: (split.valid_from or datetime.date.min, split.pk))


def _holds(split: PayerSplit, splits: Sequence[PayerSplit], clocks: Clocks) -> Q:
    """Match the charges of a split's project on the days it holds, until a later one takes its place."""
    condition = Q(project=split.project_id) & _within(split, clocks)
    for later in splits[splits.index(split) + 1 :]:
        if later.project_id == split.project_id:
            condition &= ~_within(later, clocks)
    return condition


def _within(split: PayerSplit, clocks: Clocks) -> Q:
    return clocks.begins(first=split.valid_from, last=split.valid_until)


def _paying_split() -> Expression | F:
    """Return the split each charge will have once stamped, for a look at what would be charged."""
    splits = _project_splits()
    if not splits:
        return F("payer_split")
    clocks = Clocks()
    own = Case(
        When(payer_split__in=[split.pk for split in splits], then=Value(None)),
        default=F("payer_split"),
    )
    return Case(
        When(attributed_by__in=Charge.SETTLED, then=F("payer_split")),
        *(When(_holds(split, splits, clocks), then=Value(split.pk)) for split in splits),
        default=own,
    )


def _owned_by(pis: Collection[int | None]) -> Q:
    owned = Q(pi__in=[pi for pi in pis if pi is not None])
    return owned | Q(pi__isnull=True) if None in pis else owned


def _references(
    period: BillingPeriod, lines: Iterable[PayerLine]
) -> dict[tuple[int | None, int | None], BillingReference]:
    """Return the reference of each owner; number the new ones after those that exist, the center last.

    The lock on the period keeps two runs from giving one number twice.
    """
    references = {(each.pi_id, each.project_id): each for each in BillingReference.objects.filter(period=period)}
    owners = {(line.pi_id, line.project_id): line for line in lines}
    new = sorted(
        (line for owner, line in owners.items() if owner not in references),
        key=lambda line: (
            line.pi is None,
            line.pi.email if line.pi else "",
            line.project is not None,
            line.project.code if line.project else "",
        ),
    )
    last = max((each.number for each in references.values()), default=0)
    made = BillingReference.objects.bulk_create(
        [
            BillingReference(period=period, pi=line.pi, project=line.project, number=number)
            for number, line in enumerate(new, start=last + 1)
        ],
        batch_size=BATCH,
    )
    return references | {(each.pi_id, each.project_id): each for each in made}


# What a line says besides its key; a line that says the same is left alone.
_SAID = (
    "kind",
    "for_period_id",
    "reference_id",
    "pi_id",
    "project_id",
    "fund_org",
    "source_id",
    "natural_account",
    "service_name",
    "currency",
    "list_cost",
    "contracted_cost",
    "charged",
    "rounding",
    "shared_total",
    "charge_count",
    *REFERENCES,
)


def _store(period: BillingPeriod, lines: Sequence[PayerLine]) -> tuple[int, int, int]:
    """Write the lines that are new or changed and delete those that vanished; return how many of each."""
    known: dict[str, tuple[Any, ...]] = {
        key: said for key, *said in PayerLine.objects.filter(period=period).order_by().values_list("key", *_SAID)
    }
    created = changed = 0
    to_write = []
    for line in lines:
        said = known.pop(line.key, None)
        if said is None:
            created += 1
        elif list(said) != [getattr(line, name) for name in _SAID]:
            changed += 1
        else:
            continue
        to_write.append(line)
    PayerLine.objects.bulk_create(
        to_write,
        batch_size=BATCH,
        update_conflicts=True,
        unique_fields=["period", "key"],
        update_fields=[*(name.removesuffix("_id") for name in _SAID), "computed_at"],
    )
    vanished = sorted(known)
    for start in range(0, len(vanished), BATCH):
        PayerLine.objects.filter(period=period, key__in=vanished[start : start + BATCH]).delete()
    return created, changed, len(vanished)


class _Spellings(Memo):
    """The one form of a resource's name and id; see `readers.spelling`."""

    def __init__(self) -> None:
        super().__init__(lambda resource: same_resource(*resource))


class _Resources:
    """Sums by resource, name and id: one that is spelled in several ways once, as the first by code point."""

    def __init__(self, spellings: _Spellings) -> None:
        self._spellings = spellings
        self._found: dict[tuple[str, str], tuple[tuple[str, str], _Sums]] = {}

    def add(self, resource: tuple[str, str], part: "_Sums") -> None:
        same = self._spellings[resource]
        shown, sums = self._found.get(same, (resource, _Sums()))
        sums.add(part)
        self._found[same] = min(shown, resource), sums

    @property
    def sums(self) -> "dict[tuple[str, str], _Sums]":
        return dict(self._found.values())


def _shares(line: PayerLine, resources: dict[tuple[str, str], _Sums]) -> list[ResourceShare]:
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

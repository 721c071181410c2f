"""What is rounded together: a month's charges in groups, each with its exact sums, as the database adds them up."""

import datetime
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Any

from django.db.models import Aggregate, Count, Expression, F, Max, Min, Q

from ..fields import AmountSum
from ..models import PATHS, Charge, PayerLine, saying
from ..models.charges import ChargeQuerySet, cost_charged
from ..quantities import Usage
from ..quantity_sums import QuantitySum, used_quantity, used_unit
from ..readers import subsidies
from . import splits
from .month import Group, Month, Sums
from .storage import in_storage_order

# The columns that `Groups.rows` groups by, with the split that pays between them, before those a caller adds.
GROUPED_BEFORE_SPLIT = (PATHS["service_name"], "pi_id", "project_id", "source_id", "fund_org")
GROUPED_AFTER_SPLIT = (
    *("natural_account", "currency", "state", "period_id", "is_late", "shared_as"),
    PATHS["subsidy_fund_org"],
)
GROUPED_BY = len(GROUPED_BEFORE_SPLIT) + 1 + len(GROUPED_AFTER_SPLIT)

# Rows read at once.
CHUNK = 5_000

# The id and name of the resource of a charge.
RESOURCE = (PATHS["resource_id"], PATHS["resource_name"])

# What tags name besides who pays, printed with a payer line: so many of each, and how many more there are.
REFERENCES = ("reference_1", "reference_2")
MOST_REFERENCES = 3

# Beyond this many owners one pass over the month is quicker than looking each of them up.
MANY_OWNERS = 200


class Groups:
    """The chargeable charges of a month, in groups. Charges that lack something are noted in `month.missing`."""

    def __init__(self, month: Month, *, is_stamped: bool = False) -> None:
        self.month = month
        # A closed month keeps the splits it was closed with.
        is_settled = is_stamped or not month.period.takes_changes
        self._paying_split = F("payer_split") if is_settled else splits.paying_split()
        # What the database groups by (see `rows`), and the group it belongs to.
        self._resolved: dict[tuple[Any, ...], Group] = {}

    def sums(self) -> dict[Group, Sums]:
        """Return the exact sums of the month's groups, in the currency delivered."""
        groups: dict[Group, Sums] = {}
        for group, sums, _ in self.rows():
            if known := groups.get(group):
                known.add(sums)
            else:
                groups[group] = sums
        self.month.refuse_what_is_missing(groups)
        return groups

    def references_named(self) -> dict[str, tuple[str, str]]:
        """Return the references that the charges of each payer line name, by payer key.

        Shared costs are left out: they have no payer of their own. Call it after `groups`, which refuses what is
        missing.
        """
        named: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
        any_named = ~Q(reference_1="") | ~Q(reference_2="")
        for group, _, texts in self.rows(*REFERENCES, asked=any_named, reads_whole=True):
            if group.kind != PayerLine.Kind.SHARED:
                for payer in self.month.payers(group):
                    for known, text in zip(named[payer.key], texts, strict=True):
                        known.add(text)
        return {key: (_listed(first), _listed(second)) for key, (first, second) in named.items()}

    def resources(
        self, lines: Collection[PayerLine]
    ) -> Iterator[tuple[Group, Sums, tuple[str, str], Usage | None, tuple[datetime.datetime, datetime.datetime]]]:
        """Yield each group's sums for each resource (name and id) of the owners of these lines, and for each unit.

        With when its service began and ended.
        """
        owners = {line.pi_id for line in lines if line.pi_id}
        asked = Q(pi__in=owners)
        if any(source.default_pi_id in owners for source in self.month.sources.values()):
            asked |= Q(pi__isnull=True)
        if any(line.pi_id is None for line in lines):
            asked |= Q(state=Charge.State.CHARGED_TO_CENTER)
        if len(owners) > MANY_OWNERS:
            asked = Q()  # as good as everybody
        seen: set[Group] = set()
        adding = {
            "used": QuantitySum(used_quantity()),
            "began": Min("charge_period_start"),
            "ended": Max("charge_period_end"),
        }
        for group, sums, more in self.rows(*RESOURCE, used_unit(), asked=asked, adding=adding):
            if group.kind == PayerLine.Kind.SHARED:
                # Shared among several PIs: listed on no single line.
                continue
            if group not in seen:
                seen.add(group)
                self.month.refuse_what_is_missing([group])
            resource_id, name, unit, quantity, began, ended = more
            usage = Usage(quantity, unit) if unit and group.kind in PayerLine.MEASURES else None
            yield group, sums, (name or resource_id, resource_id), usage, (began, ended)
        self.month.refuse_what_is_missing()

    def charges(self, *more: str | Expression, asked: Q) -> Iterator[tuple[Group, Sums, Any]]:
        """Yield each chargeable charge that is `asked` with its group, its prices as delivered, and `more` of it."""
        rows = (
            Charge.objects.in_month(self.month.period)
            .filter(asked)
            .chargeable()
            .order_by()
            .with_prices(self.month.sources.values())
            .values_list(
                *GROUPED_BEFORE_SPLIT,
                self._paying_split,
                *GROUPED_AFTER_SPLIT,
                *(F(f"exact_{cost}") for cost in ("list", "contracted", "charged")),
                *more,
            )
        )
        refused: set[Group] = set()
        for row in rows.iterator(chunk_size=CHUNK):
            group = self._group_of(row[:GROUPED_BY], count=1)
            if group not in refused:
                refused.add(group)
                self.month.refuse_what_is_missing([group])
            listed, contracted, charged, *texts = row[GROUPED_BY:]
            if charged is None:
                self.month.missing.effective_cost[self.month.sources[group.source_id].name] += 1
            else:
                yield group, Sums(listed, contracted, charged, 1), tuple(texts)
        self.month.refuse_what_is_missing()

    def attributions(self) -> Iterator[tuple[Any, ...]]:
        """Yield the PI and the id of each chargeable charge that has a payer of its own, and what can change of it."""
        charges = Charge.objects.in_month(self.month.period).filter(shared_as="").chargeable().order_by()
        mutable = ("project_id", "fund_org", self._paying_split, "natural_account", "state", *REFERENCES)
        rows: Iterator[tuple[Any, ...]] = charges.values_list("pi_id", "pk", *mutable).iterator(chunk_size=CHUNK)
        return rows

    def charges_of(self, group: Group) -> ChargeQuerySet:
        """Return the charges of a group that `rows` yielded, each with what counts of it as `counted`."""
        names = (*GROUPED_BEFORE_SPLIT, "paying_split", *GROUPED_AFTER_SPLIT)
        same = Q(pk__in=())
        for delivered, of in self._resolved.items():
            if of == group:
                same |= Q(**dict(zip(names, delivered, strict=True)))
        charges = Charge.objects.in_month(self.month.period).alias(paying_split=self._paying_split).filter(same)
        return charges.annotate(counted=cost_charged(self.month.sources.values()))

    def rows(
        self,
        *more: str | Expression,
        asked: Q | None = None,
        reads_whole: bool = False,
        adding: Mapping[str, Aggregate] | None = None,
    ) -> Iterator[tuple[Group, Sums, tuple[Any, ...]]]:
        """Yield the sums of the chargeable charges as the database groups them.

        Two rows may come of one group: defaults are filled in here, and approved is charged as clear. What is
        `asked` is looked up by an index, unless finding it takes reading the whole month. What else a row is of
        (`more`) and adds up (`adding`) comes last, in this order.
        """
        in_order = not asked or reads_whole
        charges = self._in_storage_order if in_order else Charge.objects.in_month(self.month.period)
        # Columns that tell rows apart come first: a database that sorts to group compares less.
        rows = (
            charges.filter(asked or Q())
            .chargeable()
            .order_by()
            .with_prices(self.month.sources.values())
            .values_list(
                *GROUPED_BEFORE_SPLIT,
                self._paying_split,
                *GROUPED_AFTER_SPLIT,
                *more,
            )
            .annotate(
                count=Count("*"),
                measured=Count("exact_charged"),
                sum_list=AmountSum("exact_list"),
                sum_contracted=AmountSum("exact_contracted"),
                sum_charged=AmountSum("exact_charged"),
                **(adding or {}),
            )
        )
        own = slice(GROUPED_BY, GROUPED_BY + len(more))
        # Groups are few and come at once. Resources may be a million and are streamed.
        for row in rows.iterator(chunk_size=CHUNK) if more else rows:
            count, measured, list_sum, contracted_sum, charged_sum, *added = row[own.stop :]
            group = self._group_of(row[: own.start], count=count)
            if measured < count:
                self.month.missing.effective_cost[self.month.sources[group.source_id].name] += count - measured
            else:
                yield group, Sums(list_sum, contracted_sum, charged_sum, count), (*row[own], *added)

    def _group_of(self, delivered: tuple[Any, ...], *, count: int) -> Group:
        """Return the group of what the database groups by."""
        if (group := self._resolved.get(delivered)) is None:
            group = self._resolved[delivered] = self._group(*delivered, count=count)
        return group

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
        subsidy_fund_org: str,
        *,
        count: int,
    ) -> Group:
        """Return the group that charges belong to, with the defaults of their source; note what is missing."""
        source = self.month.sources[source_id]
        customer_id = None
        kind = PayerLine.Kind.LATE.value if is_late else PayerLine.Kind.CHARGE.value
        if state == Charge.State.CHARGED_TO_CENTER:
            kind, pi_id, project_id, split_id = PayerLine.Kind.CHARGED_TO_CENTER.value, None, None, None
            fund_org = self.month.policy.center_fund_org
            if not fund_org:
                self.month.missing.center_fund_org[source.name] += count
        elif shared_as:
            # Under one name, whatever services it is of. Late or not, it goes over what its month charged.
            kind, service = PayerLine.Kind.SHARED.value, shared_as
        else:
            if pi_id is None:
                pi_id, project_id = source.default_pi_id, project_id or source.default_project_id
                if pi_id is None:
                    self.month.missing.pi[source.name] += count
            if pi_id is not None:
                # A closed month keeps the customers that its payer lines name.
                charged_in = period_id if is_late or not self.month.period.takes_changes else None
                customer_id = self.month.customer_of(pi_id, project_id, charged_in=charged_in)
            if customer_id and split_id:
                self.month.missing.split_of_customer[self.month.name_of(pi_id, project_id)] += count
            fund_org = "" if split_id or customer_id else fund_org or source.overflow_fund_org
            if not (split_id or fund_org or customer_id):
                self.month.missing.fund_org[source.name] += count
        account = account or source.debit_account
        subsidized_by = subsidies.payer_of(subsidy_fund_org, by_source=source.subsidy_fund_org)
        return Group(
            period_id,
            kind,
            pi_id,
            project_id,
            fund_org,
            split_id,
            source_id,
            account,
            service,
            currency,
            subsidized_by,
            customer_id,
        )

    @cached_property
    def _in_storage_order(self) -> ChargeQuerySet:
        return in_storage_order(self.month.period)


def may_be_of(line: PayerLine) -> Q:
    """Match the charges that can be of a payer line, by what they never take from a default.

    Charges without a PI go to the default PI of their source. Shared costs are under the name they are shared as.
    """
    own = saying(service_name=line.service_name)
    if line.pi_id is not None:
        own &= Q(pi=line.pi_id) | Q(pi__isnull=True)
    shared = Q(shared_as=line.service_name) if line.service_name else Q(pk__in=())
    return Q(source=line.source_id, period=line.for_period_id) & (own | shared)


def _listed(names: Collection[str]) -> str:
    """Write distinct references in order, the first few of many: `A, B, C and 3 more`."""
    found = sorted(name for name in names if name)
    more = f" and {len(found) - MOST_REFERENCES:,} more" if len(found) > MOST_REFERENCES else ""
    return ", ".join(found[:MOST_REFERENCES]) + more

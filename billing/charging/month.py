"""A month that is being charged: what is looked up for it once, and who pays for a group of its charges."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import NamedTuple, TypeVar

from django.db.models import Model

from .. import once_a_page
from ..models import (
    BillingPeriod,
    Customer,
    ExchangeRate,
    PayerLine,
    PayerSplitShare,
    Person,
    Policy,
    Project,
    Source,
)
from ..money import EXACT, ZERO
from .keys import payer_key
from .missing import BrokenSplit, Missing, refuse_without_rate

HUNDRED = Decimal(100)
# A month charges an owner by either of these, never by both.
PLAIN = (PayerLine.Kind.CHARGE, PayerLine.Kind.RECEIVABLE)
M = TypeVar("M", bound=Model)


@dataclass(slots=True)
class Sums:
    """Exact amounts that belong together, in one currency."""

    list_cost: Decimal = ZERO
    contracted_cost: Decimal = ZERO
    charged: Decimal = ZERO
    count: int = 0

    def add(self, other: "Sums") -> None:
        self.list_cost += other.list_cost
        self.contracted_cost += other.contracted_cost
        self.charged += other.charged
        self.count += other.count

    @property
    def is_nothing(self) -> bool:
        return not (self.list_cost or self.contracted_cost or self.charged)

    def times(self, factor: Decimal) -> "Sums":
        if factor == 1:
            return self
        return Sums(
            EXACT.multiply(self.list_cost, factor),
            EXACT.multiply(self.contracted_cost, factor),
            EXACT.multiply(self.charged, factor),
            self.count,
        )


class Group(NamedTuple):
    """What is rounded together: everything of one payer (or split) for one service of a source, and of one funder.

    `subsidized_by` is the fund/org that pays contracted − charged; "" where that is forgone. What a customer pays by
    invoice has no fund/org.
    """

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
    subsidized_by: str = ""
    customer_id: int | None = None

    def borne_by(self, bearer: "Bearer") -> "Group":
        """Return it as a bearer's own."""
        return self._replace(**bearer._asdict())


class Bearer(NamedTuple):
    """Whose part in what a source charged is the measure of their share; without a PI it is the center."""

    pi_id: int | None
    project_id: int | None
    fund_org: str
    customer_id: int | None = None


# What each source (by id) charged whom.
Bearers = dict[int, dict[Bearer, Decimal]]


class Payer(NamedTuple):
    """Who pays for a group, or for a percentage of it, and on which payer line."""

    key: str
    kind: str
    fund_org: str
    percent: Decimal


def by_key(model: type[M]) -> dict[int, M]:
    """Return all rows of a small table by their keys; a page that only reads looks them up once. Change none."""
    look_up = model._default_manager.in_bulk  # noqa: SLF001 (documented by Django)
    return once_a_page.value(f"{model.__name__} by key", look_up)


def sources_by_key() -> dict[int, Source]:
    """Return all sources by their keys with their changes of measure, as `by_key` does."""
    return once_a_page.value("Source by key", Source.objects.with_measures)


class Month:
    """A month that is being charged, with all there is to look up for its charges, read once.

    `missing` collects what charges lack while they are read; `refuse_what_is_missing` says so.
    """

    def __init__(self, period: BillingPeriod) -> None:
        self.period = period
        self.policy = Policy.objects.current()
        self.sources = sources_by_key()
        self.periods = by_key(BillingPeriod)
        self.people = by_key(Person)
        self.projects = by_key(Project)
        self.missing = Missing(period.month)
        self._payers_of: dict[Group, list[Payer]] = {}
        self._bearers_in: dict[int, Bearers] = {}
        self._customers_in: dict[int, dict[tuple[int | None, int | None], int | None]] = {}

    @cached_property
    def rates(self) -> dict[tuple[int, str], Decimal]:
        """The exchange rates, looked up where anything is in another currency than the policy's."""
        return {(rate.period_id, rate.currency): rate.rate for rate in ExchangeRate.objects.order_by()}

    @cached_property
    def customers(self) -> dict[int, Customer]:
        """All customers, looked up where anything is one's: by who owns it now, or in the month that bears it."""
        return by_key(Customer)

    @cached_property
    def split_shares(self) -> dict[int, dict[str, Decimal]]:
        """The percent of each fund/org, by split."""
        shares: dict[int, dict[str, Decimal]] = defaultdict(dict)
        for share in PayerSplitShare.objects.order_by():
            shares[share.split_id][share.fund_org] = share.percent
        return shares

    def refuse_what_is_missing(self, groups: Iterable[Group] = ()) -> None:
        """Raise what charges read so far lack, then the exchange rates and whole splits that groups of them lack."""
        self.missing.refuse()
        refuse_without_rate(
            {
                (self.periods[group.for_period_id].month, group.currency)
                for group in groups
                if group.currency != self.policy.currency and (group.for_period_id, group.currency) not in self.rates
            },
            self.policy.currency,
        )
        for pk in sorted({group.split_id for group in groups if group.split_id}):
            if (whole := sum(self.split_shares[pk].values(), ZERO)) != HUNDRED:
                raise BrokenSplit(f"The shares of split {pk} sum to {whole.normalize():f} percent, not to 100.")

    def customer_of(self, pi_id: int, project_id: int | None, *, charged_in: int | None = None) -> int | None:
        """Return the customer who gets the invoice for an owner's charges: the project's, or the PI's.

        With `charged_in` (the id of a month) it is who was charged there, if anybody was.
        """
        if charged_in and (pi_id, project_id) in (then := self._customers_then(charged_in)):
            return then[pi_id, project_id]
        project = self.projects[project_id] if project_id else None
        return (project.customer_id if project else None) or self.people[pi_id].customer_id

    def name_of(self, pi_id: int | None, project_id: int | None) -> str:
        """Name an owner to a person: ada@u.edu, genomics."""
        names = (self.people[pi_id].email if pi_id else "", self.projects[project_id].code if project_id else "")
        return ", ".join(filter(None, names))

    def _customers_then(self, period_id: int) -> dict[tuple[int | None, int | None], int | None]:
        """Return the customer of each owner who was charged anything in a month, None where a fund/org paid."""
        if period_id not in self._customers_in:
            lines = PayerLine.objects.filter(period=period_id, kind__in=PLAIN, pi__isnull=False)
            rows = lines.order_by("pk").values_list("pi_id", "project_id", "customer_id")
            self._customers_in[period_id] = {(pi_id, project_id): customer for pi_id, project_id, customer in rows}
        return self._customers_in[period_id]

    def rate(self, group: Group) -> Decimal:
        """Return what one unit of a group's currency is worth in the policy's."""
        if group.currency == self.policy.currency:
            return Decimal(1)
        return self.rates[group.for_period_id, group.currency]

    def payers(self, group: Group) -> list[Payer]:
        """Return who pays for a group: the first bears its rounding, a funded subsidy comes last."""
        if group not in self._payers_of:
            shares = self.split_shares[group.split_id] if group.split_id else {group.fund_org: HUNDRED}
            is_receivable = group.customer_id and group.kind == PayerLine.Kind.CHARGE
            kind = PayerLine.Kind.RECEIVABLE.value if is_receivable else group.kind
            payers = [
                Payer(self.key(group, kind, fund_org), kind, fund_org, shares[fund_org]) for fund_org in sorted(shares)
            ]
            if fund_org := group.subsidized_by:
                kind = PayerLine.Kind.SUBSIDY.value
                payers.append(Payer(self.key(group, kind, fund_org), kind, fund_org, HUNDRED))
            self._payers_of[group] = payers
        return self._payers_of[group]

    def key(self, group: Group, kind: str, fund_org: str) -> str:
        """Return the key of the payer line that a group makes, of this kind and fund/org."""
        customer = self._customer_for(group, kind)
        return payer_key(
            for_period=self.periods[group.for_period_id].iso_month,
            kind=kind,
            pi_email=self.people[group.pi_id].email if group.pi_id else "",
            project_code=self.projects[group.project_id].code if group.project_id else "",
            fund_org=fund_org,
            source_name=self.sources[group.source_id].name,
            natural_account=group.natural_account,
            service_name=group.service_name,
            currency=group.currency,
            customer=customer.number if customer else "",
        )

    def _customer_for(self, group: Group, kind: str) -> Customer | None:
        """Return who gets an invoice for a line of a group; the subsidy of a customer's charges is a fund's to pay."""
        if group.customer_id is None or kind == PayerLine.Kind.SUBSIDY:
            return None
        return self.customers[group.customer_id]

    def bearers_in(self, period_id: int) -> Bearers:
        """Return what each source charged whom in another month, as its payer lines stand."""
        if period_id not in self._bearers_in:
            self._bearers_in[period_id] = bearers_of(
                PayerLine.objects.filter(period=period_id, kind__in=PayerLine.MEASURES)
            )
        return self._bearers_in[period_id]

    def line(self, group: Group, payer: Payer, sums: Sums, rounding: Decimal = ZERO) -> PayerLine:
        """Return the payer line of a group's payer over these cents, unsaved."""
        return PayerLine(
            period=self.period,
            key=payer.key,
            kind=payer.kind,
            for_period=self.periods[group.for_period_id],
            pi=self.people[group.pi_id] if group.pi_id else None,
            project=self.projects[group.project_id] if group.project_id else None,
            fund_org=payer.fund_org,
            customer=self._customer_for(group, payer.kind),
            source=self.sources[group.source_id],
            natural_account=group.natural_account,
            service_name=group.service_name,
            currency=self.policy.currency,
            list_cost=sums.list_cost,
            contracted_cost=sums.contracted_cost,
            charged=sums.charged,
            rounding=rounding,
            charge_count=sums.count,
        )


def bearers_of(lines: Iterable[PayerLine]) -> Bearers:
    """Return what each source (by id) charged whom, of what measures their shares in its shared costs."""
    found: Bearers = defaultdict(lambda: defaultdict(Decimal))
    for line in lines:
        if line.kind in PayerLine.MEASURES and line.shared_total is None:
            bearer = Bearer(line.pi_id, line.project_id, line.fund_org, line.customer_id)
            found[line.source_id][bearer] += line.charged
    return found

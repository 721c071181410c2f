"""Subsidies and allocations as staff set them up: what they may say, what was used of each, and what is left.

What was used is as the months stand that were priced; a month that is priced again counts as it was priced last.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, ValidationError

from ..models import (
    Allocation,
    BillingPeriod,
    Department,
    FundingSource,
    Person,
    PrepaidEntry,
    Project,
    RateSchedule,
    UsageFeed,
    UsageSubsidy,
)
from ..models.rates import Scope
from ..money import ZERO
from ..texts import code_of
from .prepaid import Paid, paid_of
from .terms import standing_months

# From here on a balance is told of, in percent.
NEARLY, ALL = 80, 100
# What its purchase says of a balance, so that it stays.
BOUGHT = (
    *("code", "amount", "unit", "is_prepaid", "price", "fund_org", "deferred_fund_org", "deferred_account"),
    *("feed_id", "pi_id", "project_id", "department_id"),
)


@dataclass(frozen=True)
class DrawnIn:
    """What was drawn from a balance in a month of a feed, in its unit."""

    feed: UsageFeed
    period: BillingPeriod
    quantity: Decimal


@dataclass(frozen=True)
class Balance:
    """An allocation with what was drawn from it, month by month."""

    allocation: Allocation
    months: tuple[DrawnIn, ...] = ()
    # What was paid before for it, None where it was granted.
    paid: Paid | None = None

    @property
    def size(self) -> Decimal:
        """What may be drawn in all: what was given back or expired is no part of it."""
        return max(self.allocation.amount - (self.paid.gone if self.paid else ZERO), ZERO)

    @property
    def drawn(self) -> Decimal:
        return sum((each.quantity for each in self.months), ZERO)

    @property
    def left(self) -> Decimal:
        return max(self.size - self.drawn, ZERO)

    @property
    def percent(self) -> int:
        """How much of it is drawn, in whole percent, rounded down, so that it is used up only where it is."""
        return int(min(self.drawn / self.size, Decimal(1)) * 100) if self.size else 100


@dataclass(frozen=True)
class Had:
    """What somebody had of a subsidy until the end of a month: in that month, in its span so far, and what is left."""

    owner: str
    feed: UsageFeed
    period: BillingPeriod
    amount: Decimal
    in_span: Decimal
    left: Decimal | None


def balances(allocations: Iterable[Allocation]) -> dict[int, Balance]:
    """Return what was drawn from allocations, by their ids, latest month first."""
    allocations = list(allocations)
    paid = paid_of(allocations)
    drawn: dict[str, list[DrawnIn]] = defaultdict(list)
    for priced in standing_months():
        for each in priced.drawn:
            if "balance" in each and (quantity := Decimal(each["quantity"])):
                drawn[each["balance"]].append(DrawnIn(priced.feed, priced.period, quantity))
    return {
        each.pk: Balance(
            each,
            tuple(sorted(drawn[each.code], key=lambda one: one.period.month, reverse=True)),
            paid.get(each.pk),
        )
        for each in allocations
    }


def unused(allocation: Allocation) -> Decimal:
    """Return what of the price of a balance was paid for units that nobody has drawn yet."""
    balance = balances([allocation])[allocation.pk]
    if not (paid := balance.paid):
        return ZERO
    return paid.left + paid.recognized - max(paid.worth(balance.drawn), paid.recognized)


def had(subsidy: UsageSubsidy) -> list[Had]:
    """Return what each recipient had of a subsidy, feed by feed, until the last month of each that was priced."""
    latest: dict[tuple[int, str], Had] = {}
    for priced in sorted(standing_months(), key=lambda each: each.period.month):
        for each in priced.drawn:
            if each.get("granted") == subsidy.code:
                latest[priced.feed_id, each["owner"]] = Had(
                    each["owner"],
                    priced.feed,
                    priced.period,
                    Decimal(each["amount"]),
                    Decimal(each["in_span"]),
                    Decimal(each["left"]) if each["left"] is not None else None,
                )
    return sorted(latest.values(), key=lambda each: (each.owner, each.feed.name))


def granted(codes: Iterable[str]) -> dict[str, Decimal]:
    """Return what subsidies came to in all months that were priced, by their codes."""
    sums = dict.fromkeys(codes, ZERO)
    for priced in standing_months():
        for each in priced.drawn:
            if each.get("subsidy") in sums:
                sums[each["subsidy"]] += Decimal(each["amount"])
    return sums


# What they may say ------------------------------------------------------------------------------------


def rate_codes() -> set[str]:
    """Return the codes of rates that versions of any schedule have, but for retired ones."""
    return {code for code, _ in _rates()}


def units() -> set[str]:
    """Return the units of these rates."""
    return {unit for _, unit in _rates()}


def _rates() -> set[tuple[str, str]]:
    contents = (
        RateSchedule.objects.exclude(state=RateSchedule.State.RETIRED).order_by().values_list("content", flat=True)
    )
    return {(each["code"], each["unit"]) for content in contents for each in content.get("rates", ())}


def check_subsidy(subsidy: UsageSubsidy) -> None:
    """Raise ValidationError, by field, for a subsidy that would fit nobody or nothing.

    Recipients are named as they are stored, whatever the case they were typed in.
    """
    problems = _Problems()
    problems.check_months(subsidy)
    if subsidy.scope == Scope.FEED and subsidy.recipients:
        problems.add("recipients", "A subsidy for all of a feed together has no recipients. Name none.")
    subsidy.recipients = [problems.owner(subsidy.scope, each) for each in subsidy.recipients]
    problems.check_known("feeds", subsidy.feeds, set(UsageFeed.objects.values_list("name", flat=True)), "usage feed")
    problems.check_known("rates", subsidy.rates, rate_codes(), "rate")
    problems.raise_any()


def check_allocation(allocation: Allocation) -> None:
    """Raise ValidationError, by field, for an allocation that nothing could be drawn from, or that may not be.

    A sponsored award pays for use, and not before it: it buys a balance only where finance is on record for it.
    """
    problems = _Problems()
    problems.check_months(allocation)
    known = units()
    if allocation.unit and known and allocation.unit not in known:
        problems.add("unit", f"No rate has the unit “{allocation.unit}”. Known: {', '.join(sorted(known))}.")
    problems.check_known("rates", allocation.rates, rate_codes(), "rate")
    if allocation.is_prepaid:
        for name, word in (
            ("fund_org", "Who paid"),
            ("deferred_fund_org", "Where its money lies until it is used"),
            ("deferred_account", "The account code that its money lies on"),
        ):
            if not getattr(allocation, name):
                problems.add(name, f"{word} has to be named for what was paid before.")
        if allocation.unit and allocation.price is None:
            problems.add("price", "What was paid has to be named for what was paid before.")
        if allocation.worth <= 0 and allocation.price is not None:
            problems.add("price", "What was paid is above zero. What costs nothing is granted.")
        if is_sponsored(allocation.fund_org) and not allocation.approved_by.strip():
            problems.add(
                "approved_by",
                f"{allocation.fund_org} is a sponsored fund. It buys no balance before use, unless finance approves: "
                "enter who did.",
            )
    if allocation.pk:
        _check_drawn(allocation, problems)
        _check_bought(allocation, problems)
    problems.raise_any()


def is_sponsored(fund_org: str) -> bool:
    """Tell whether the loaded list of funds says that a fund/org is a sponsored award."""
    return FundingSource.objects.filter(fund_org=code_of(fund_org), is_sponsored=True).exists()


def _check_drawn(allocation: Allocation, problems: "_Problems") -> None:
    """What was drawn already was drawn in this unit, by this owner, and is not more than there is."""
    stored = Allocation.objects.select_related("pi", "project", "department").get(pk=allocation.pk)
    drawn = balances([stored])[stored.pk].drawn
    if not drawn:
        return
    if allocation.amount is not None and allocation.amount < drawn:
        problems.add("amount", f"{drawn.normalize():f} was drawn already: it cannot be less.")
    for name in ("code", "unit", "is_prepaid"):
        if getattr(allocation, name) != getattr(stored, name):
            problems.add(name, "Something was drawn already, so this stays as it is. Add another allocation.")
    if (allocation.pi_id, allocation.project_id, allocation.department_id) != (
        stored.pi_id,
        stored.project_id,
        stored.department_id,
    ):
        problems.add("", "Something was drawn already, so its owner stays. Add another allocation.")


def _check_bought(allocation: Allocation, problems: "_Problems") -> None:
    """What was bought is on a journal as it is."""
    if not PrepaidEntry.objects.filter(allocation=allocation).exists():
        return
    stored = Allocation.objects.get(pk=allocation.pk)
    for name in BOUGHT:
        if getattr(allocation, name) != getattr(stored, name):
            field = "" if name.endswith("_id") else name
            problems.add(field, "It was bought so. Refund what is left of it, and record another purchase.")


class _Problems:
    """What is wrong with a row, by field."""

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = defaultdict(list)

    def add(self, field: str, message: str) -> None:
        self.found[field or "__all__"].append(message)

    def raise_any(self) -> None:
        if self.found:
            raise ValidationError(dict(self.found))

    def check_months(self, row: Any) -> None:
        if row.valid_from and row.valid_until and row.valid_until < row.valid_from:
            self.add("valid_until", "The last month is before the first.")

    def check_known(self, field: str, names: Sequence[str], known: set[str], noun: str) -> None:
        for name in names:
            if name not in known:
                there_are = f"Known: {', '.join(sorted(known))}." if known else "There is none yet."
                self.add(field, f"There is no {noun} “{name}”. {there_are}")

    def owner(self, scope: str, text: str) -> str:
        """Return a PI's address, or the code of a project or department, as it is stored."""
        try:
            if scope == Scope.PI:
                return Person.objects.named(text).email
        except ObjectDoesNotExist as error:
            self.add("recipients", str(error))
            return text
        model: Any = {Scope.PROJECT: Project, Scope.DEPARTMENT: Department}.get(Scope(scope))
        if model is None:
            return text
        found = model.objects.coded(text).first()
        if found is None:
            self.add("recipients", f"There is no {scope} “{text}”.")
        return found.code if found else text

"""Buying a balance: the buyer's fund/org is charged at once, and its money lies on deferred revenue."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.utils import timezone

from .. import audit, corrections
from ..attribution import naming
from ..audit import Actor
from ..corrections import Entered
from ..errors import BillingError, NextStep
from ..models import Allocation, BillingPeriod, Person, PrepaidEntry, Project, Source, UsageFeed
from ..money import rounded
from ..quantities import counted
from ..setup import sourcing
from ..texts import long_date
from ..usage import grants


class NoPrepaidSource(BillingError):
    """No source says where deferred revenue lies, or several do."""


@dataclass(frozen=True)
class Purchase:
    """Who buys how much of a feed, at what price, all of it. `quantity` is in `unit`, or in money where that is empty.

    Use is drawn from `valid_from` on, by default from the month of `bought_on`, which is today where not given.
    `source` holds the money; it is needed where several hold prepayments. `charged_in` is by default the month it is
    bought in, where that takes changes.
    """

    code: str
    feed: UsageFeed
    quantity: Decimal
    unit: str
    price: Decimal
    pi: Person
    fund_org: str
    reason: str
    project: Project | None = None
    rates: Sequence[str] = ()
    bought_on: datetime.date | None = None
    valid_from: datetime.date | None = None
    valid_until: datetime.date | None = None
    approved_by: str = ""
    source: Source | None = None
    charged_in: BillingPeriod | None = None

    def allocation(self, holding: Source, day: datetime.date) -> Allocation:
        """Return the balance that is bought, unsaved; raise ValidationError, by field."""
        made = Allocation(
            code=self.code.strip(),
            pi=None if self.project else self.pi,
            project=self.project,
            amount=self.quantity,
            unit=self.unit.strip(),
            rates=list(self.rates),
            is_prepaid=True,
            fund_org=naming.typed_code(self.fund_org),
            deferred_fund_org=holding.recovery_fund_org,
            deferred_account=holding.recovery_account,
            feed=self.feed,
            bought_on=day,
            price=self.price,
            approved_by=self.approved_by.strip(),
            valid_from=self.valid_from or day.replace(day=1),
            valid_until=self.valid_until,
            reason=self.reason.strip(),
        )
        made.full_clean()
        grants.check_allocation(made)
        return made


def buy(*, purchase: Purchase, dry_run: bool = False, actor: Actor, now: datetime.datetime) -> Entered:
    """Charge somebody for a balance, and let use be drawn from it.

    The charge debits the buyer's fund/org and credits the recovery of a source that holds prepayments: deferred
    revenue. A second person approves it where the policy says so: nothing is drawn before.

    Raises NoPrepaidSource, ValidationError by field, and what a manual charge does.
    """
    day = purchase.bought_on or timezone.localdate(now)
    own = BillingPeriod.objects.taking_changes().filter(month=day.replace(day=1)).first()
    holding = source_of(purchase.source)
    allocation = purchase.allocation(holding, day)
    with audit.gesture(actor=actor, now=now) as gesture:
        entered = corrections.add_manual_charge(
            pi=purchase.pi,
            project=purchase.project,
            fund_org=purchase.fund_org,
            source=holding,
            amount=purchase.price,
            service_name=f"Prepaid balance {allocation.code}",
            reason=purchase.reason,
            printed_text=printed(allocation),
            charged_in=purchase.charged_in or own,
            dry_run=dry_run,
            actor=actor,
            now=now,
        )
        if not dry_run:
            allocation.save()
            kind = PrepaidEntry.Kind.PURCHASE
            PrepaidEntry.objects.create(allocation=allocation, correction=entered.correction, kind=kind)
            gesture.record("allocation.bought", allocation, after=_facts(allocation, entered))
    return entered


def _facts(allocation: Allocation, entered: Entered) -> dict[str, object]:
    """Return a purchase as the audit log keeps it."""
    assert allocation.feed
    return {
        **{"code": allocation.code, "feed": allocation.feed.name, "amount": str(allocation.amount)},
        **{"unit": allocation.unit, "price": str(allocation.price), "owner": allocation.owner},
        **{"fund_org": allocation.fund_org, "approved_by": allocation.approved_by},
        "correction": entered.correction.pk,
    }


def printed(allocation: Allocation) -> str:
    """Say on the buyer's statement what was bought."""
    size = counted(allocation.amount, allocation.unit) if allocation.unit else "Use"
    assert allocation.feed
    assert allocation.bought_on
    return f"{size} of {allocation.feed.label}, bought on {long_date(allocation.bought_on)}"


def source_of(source: Source | None) -> Source:
    """Return the source that holds prepayments: the one that is named, or the only one. Raises NoPrepaidSource."""
    if source is None:
        holding = list(Source.objects.filter(holds_prepayments=True, is_active=True).order_by("name"))
        if len(holding) > 1:
            names = ", ".join(each.name for each in holding)
            raise NoPrepaidSource(f"Several sources hold prepayments: {names}. Say which one takes this one.")
        if not holding:
            raise NoPrepaidSource(
                "No source holds prepayments. Add one whose recovery fund/org and account code are those of deferred "
                "revenue, and mark it.",
                then=NextStep("add_source", {"source": "prepaid"}),
            )
        source = holding[0]
    if not source.holds_prepayments:
        raise NoPrepaidSource(
            f"{source} does not hold prepayments: what is charged there is recovery at once. Mark it, or name another.",
            then=NextStep("change_source", {"source": source.name}),
        )
    if lacking := sourcing.missing_accounting(source):
        raise NoPrepaidSource(
            f"{source} has no {', no '.join(lacking)}: a purchase could not go to the ledger.",
            then=NextStep("complete_source", {"source": source.name}),
        )
    return source


def size_told(allocation: Allocation, amount: Decimal, currency: str) -> str:
    """Write an amount of a balance: in its unit, or in money where it has none."""
    return counted(amount, allocation.unit) if allocation.unit else f"{rounded(amount, currency)} {currency}"

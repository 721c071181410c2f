"""What is left of a prepaid balance: given back to who bought it, or recovery once the balance is over."""

import datetime
from decimal import Decimal

from .. import audit, corrections
from ..audit import Actor
from ..corrections import Entered, month_for
from ..errors import BillingError
from ..models import Allocation, BillingPeriod, PayerLine, Policy, PrepaidEntry
from ..money import named
from ..texts import long_month
from ..usage import grants, prepaid
from . import recognizing


class NothingLeft(BillingError):
    """Nothing is left of a balance that could be given back or expire."""


class NotExpired(BillingError):
    """A balance that may still be drawn from was to expire."""


def refund(
    *,
    allocation: Allocation,
    reason: str,
    amount: Decimal | None = None,
    printed_text: str = "",
    charged_in: BillingPeriod | None = None,
    dry_run: bool = False,
    actor: Actor,
    now: datetime.datetime,
) -> Entered:
    """Give back what was paid for units that nobody used, all of it or an amount; these units are gone.

    It is a refund of the purchase: its fund/org is credited out of deferred revenue. Raises NothingLeft where the
    balance was not bought here, and what a refund does.
    """
    unused = _unused(allocation)
    entry = PrepaidEntry.objects.filter(allocation=allocation, kind=PrepaidEntry.Kind.PURCHASE).first()
    if entry is None:
        raise NothingLeft(f"{allocation} was charged elsewhere: it is refunded there.")
    bought_in = entry.correction.charged_in
    lines = PayerLine.objects.filter(period=bought_in, key__in=prepaid.keys_of(entry))
    found = list(lines.select_related("period", "for_period", "pi", "project", "source", "customer"))
    if not found:
        raise NothingLeft(
            f"The purchase of {allocation} is on no statement of {bought_in} yet: reverse {entry.correction}."
        )
    return corrections.add_refund(
        lines=found,
        amount=unused if amount is None else amount,
        reason=reason,
        printed_text=printed_text,
        charged_in=charged_in,
        dry_run=dry_run,
        actor=actor,
        now=now,
    )


def expire(
    *,
    allocation: Allocation,
    reason: str,
    charged_in: BillingPeriod | None = None,
    actor: Actor,
    now: datetime.datetime,
) -> Entered:
    """Move what is left of a balance that is over from deferred revenue to the recovery of its feed.

    Raises NotExpired before its last month is over, closed and recognized; NothingLeft; closing.PeriodClosed.
    """
    last = allocation.valid_until
    month = charged_in or month_for()
    if last is None or last >= month.month:
        ends = f"the end of {long_month(last)}" if last else "it is used up"
        raise NotExpired(f"{allocation} can be drawn from until {ends}. Refund what is left, or set its last month.")
    open_months = BillingPeriod.objects.taking_changes().filter(month__lte=last)
    if names := ", ".join(str(each) for each in open_months.order_by("month")):
        raise NotExpired(f"{names} is not closed yet: use of it may still be drawn from {allocation}.")
    if allocation.feed is None:
        raise NotExpired(f"{allocation} is of no usage feed. Name one: its recovery takes what is left.")
    with audit.gesture(actor=actor, now=now):
        # What closed months used and nobody recognized is no part of what is left.
        recognizing.recognize(period=month, actor=actor, now=now)
        left = _unused(allocation)
        currency = Policy.objects.current().currency
        entered = corrections.add_prepaid(
            allocation=allocation,
            kind=PayerLine.Kind.PREPAID_EXPIRED,
            source=allocation.feed.source,
            amount=left,
            for_period=month,
            charged_in=month,
            reason=f"{reason.strip()} ({named(left, currency)} of {allocation.code} was left after {long_month(last)}.)"
            if reason.strip()
            else "",
            actor=actor,
            now=now,
        )
        PrepaidEntry.objects.create(allocation=allocation, correction=entered.correction, kind=PrepaidEntry.Kind.EXPIRY)
    return entered


def _unused(allocation: Allocation) -> Decimal:
    unused = grants.unused(allocation)
    if unused <= 0:
        raise NothingLeft(f"Nothing is left of {allocation}: it is used, given back or expired.")
    return unused

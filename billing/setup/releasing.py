"""Letting go of charges whose reason to be held is answered for all of them at once."""

from collections.abc import Mapping
from decimal import Decimal

from django.db.models import Exists, OuterRef

from .. import audit
from ..attribution import holding
from ..models import BillingPeriod, Charge, Flag
from ..money import named
from ..months import closing


def release(*, gesture: audit.Gesture) -> holding.Settled:
    """Hold the charges anew against the list of funds, its exceptions and the people known, and release the others.

    A charge that waits for something else as well stays held for that. What a closed month holds is not touched.
    """
    waiting = Flag.objects.filter(charge=OuterRef("pk"), code__in=Flag.ANSWERED_ELSEWHERE, is_resolved=False)
    taking = BillingPeriod.objects.filter(status__in=(BillingPeriod.Status.OPEN, BillingPeriod.Status.REVIEW))
    held = Charge.objects.held().filter(Exists(waiting), charged_in__in=taking)
    months = BillingPeriod.objects.filter(pk__in=held.order_by().values("charged_in").distinct())
    closing.require_open(*months)
    return holding.settle(held, gesture=gesture)


def told(count: int, billed: Mapping[str, Decimal] | None = None) -> str:
    """Say what was released, in a sentence; nothing where nothing was."""
    if not count:
        return ""
    money = ", ".join(f"{named(amount, currency)}" for currency, amount in (billed or {}).items())
    return f"{count:,} held {'charge is' if count == 1 else 'charges are'} clear now{f' ({money})' if money else ''}."

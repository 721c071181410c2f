"""Exchange rates: what one unit of a foreign currency is worth in the institution's, month by month."""

import datetime
from dataclasses import dataclass
from decimal import Decimal

from .. import audit
from ..audit import Actor
from ..errors import BillingError
from ..models import BillingPeriod, ExchangeRate, Policy
from ..money import plain
from ..months import closing

# As many as the column holds.
DECIMALS, DIGITS = 10, 10


class BadRate(BillingError):
    """A rate that is none: not above zero, with too many digits, or of the institution's own currency."""


@dataclass(frozen=True)
class RateSet:
    """A rate as it is now, and what it was before; None where there was none."""

    rate: ExchangeRate
    before: Decimal | None


def set_rate(*, period: BillingPeriod, currency: str, rate: Decimal, actor: Actor, now: datetime.datetime) -> RateSet:
    """Enter or change what one unit of a currency is worth in a month.

    The rates of a closed month stand, because charges were converted with them; one that is missing there can still
    be entered, for late changes. Raises BadRate, or RateFrozen or PeriodClosed for a rate that stands.
    """
    home = Policy.objects.current().currency
    if currency == home:
        raise BadRate(f"{home} is the institution's own currency: it needs no rate.")
    exponent = rate.normalize().as_tuple().exponent
    if rate <= 0 or rate >= 10**DIGITS or not isinstance(exponent, int) or exponent < -DECIMALS:
        raise BadRate(f"A rate is above zero, with {DECIMALS} decimals at most: {plain(rate)} is not.")
    with audit.gesture(actor=actor, now=now) as gesture:
        # Held for the rest of the gesture, so that two do not enter the same.
        period = closing.locked(period)
        known = ExchangeRate.objects.filter(period=period, currency=currency).first()
        before = known.rate if known else None
        if known and known.rate == rate:
            return RateSet(known, before)
        if known:
            known.period = period
            known.rate, known.entered_by = rate, actor.user
            known.save()
        else:
            known = ExchangeRate.objects.create(period=period, currency=currency, rate=rate, entered_by=actor.user)
        gesture.record(
            "exchange_rate.changed" if before is not None else "exchange_rate.added",
            known,
            before=None if before is None else {"rate": plain(before)},
            after={"period": period.iso_month, "currency": currency, "rate": plain(rate)},
        )
    return RateSet(known, before)

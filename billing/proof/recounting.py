"""Counting a month again: its totals become what its charges come to."""

import datetime
from dataclasses import dataclass

from .. import audit, charging
from ..audit import Actor
from ..models import BillingPeriod, totalling
from ..months import closing
from ..texts import month_name
from . import totals
from .month import Month


@dataclass(frozen=True)
class Recounted:
    """What counting a month again found: groups of charges whose totals were others."""

    period: str
    corrected: int

    def __str__(self) -> str:
        if not self.corrected:
            return f"The totals of {month_name(self.period)} were right."
        groups = "1 group" if self.corrected == 1 else f"{self.corrected:,} groups"
        return f"The totals of {month_name(self.period)} were wrong for {groups} of charges, and are right now."


def recount(*, period: BillingPeriod, actor: Actor, now: datetime.datetime) -> Recounted:
    """Add up the charges of a month again, and replace its totals where they were others.

    The period is locked, so that nobody changes a charge meanwhile. Raises PeriodClosed.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        period = closing.locked(period)
        closing.require_open(period)
        differing = totals.differences(Month(period))
        found = totals.findings(period, differing)
        if differing:
            totalling.rebuild(period.pk, charging.in_storage_order(period))
        recounted = Recounted(period.iso_month, len(differing))
        after = {"corrected": recounted.corrected, "found": [each.text for each in found]}
        gesture.record("period.recounted", period, after=after)
    return recounted

"""Exceptions to the dates of fund/orgs: recorded for a reason, and revoked."""

import datetime
from dataclasses import dataclass

from .. import audit
from ..attribution.holding import Settled
from ..audit import Actor
from ..audit.snapshots import snapshot
from ..errors import BillingError
from ..models import FundException, FundingSource
from ..texts import long_date
from . import releasing

DATES = ("valid_from", "valid_until", "last_posting_date")
DATE_WORDS = {
    "valid_from": "first day of service",
    "valid_until": "last day of service",
    "last_posting_date": "last posting date",
}


class ExceptionRefused(BillingError):
    """An exception of a fund/org that says nothing, or that there is no reason for."""


@dataclass(frozen=True)
class Excepted:
    """Exceptions that were recorded or revoked, and what became of the charges that were held."""

    exceptions: tuple[FundException, ...]
    settled: Settled

    def __str__(self) -> str:
        fund = self.exceptions[0].fund
        verb = "revoked" if self.exceptions[0].revoked_at else "recorded"
        dates = "; ".join(each.dates for each in self.exceptions)
        released = releasing.told(self.settled.cleared, self.settled.billed)
        return f"Exception of {fund} {verb}: {dates}. {released}".strip()


def record_exception(
    *,
    fund: FundingSource,
    reason: str,
    valid_from: datetime.date | None = None,
    valid_until: datetime.date | None = None,
    last_posting_date: datetime.date | None = None,
    actor: Actor,
    now: datetime.datetime,
) -> Excepted:
    """Move dates of a fund/org outward, such as for a no-cost extension, and release the charges that waited for it.

    The list stays as it was loaded. Raises ExceptionRefused.
    """
    reason = reason.strip()
    if not reason:
        raise ExceptionRefused(f"Say why {fund} gets an exception: the reason stays with it.")
    given = {"valid_from": valid_from, "valid_until": valid_until, "last_posting_date": last_posting_date}
    if not any(given.values()):
        raise ExceptionRefused("Give at least one date: a first or last day of service, or a last posting date.")
    for name, date in given.items():
        listed = getattr(fund, name)
        words = DATE_WORDS[name]
        if date and listed is None:
            raise ExceptionRefused(f"{fund} has no {words}: there is nothing to except it from.")
        if date and (date >= listed if name == "valid_from" else date <= listed):
            raise ExceptionRefused(
                f"The {words} of {fund} is {long_date(listed)}: an exception moves it "
                f"{'back' if name == 'valid_from' else 'on'}."
            )
    with audit.gesture(actor=actor, now=now) as gesture:
        exception = FundException.objects.create(
            fund=fund, reason=reason, recorded_at=now, recorded_by=actor.user, recorded_by_name=actor.name, **given
        )
        gesture.record("fund_exception.recorded", exception, after=snapshot(exception), note=reason)
        return Excepted((exception,), releasing.release(gesture=gesture))


def revoke_exceptions(*, fund: FundingSource, actor: Actor, now: datetime.datetime) -> Excepted:
    """Have the exceptions of a fund/org hold no longer: its dates are those of the list again.

    What was charged meanwhile stays charged; held charges are held against the list.
    Raises ExceptionRefused where none is in force.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        in_force = FundException.objects.select_for_update(no_key=True).filter(fund=fund, revoked_at__isnull=True)
        revoked = list(in_force.order_by("pk"))
        if not revoked:
            raise ExceptionRefused(f"{fund} has no exception in force.")
        for each in revoked:
            each.revoked_at, each.revoked_by_name = now, actor.name
            each.save(update_fields=["revoked_at", "revoked_by_name"])
            gesture.record(
                "fund_exception.revoked",
                each,
                before={"revoked_at": None, "revoked_by_name": ""},
                after={"fund": fund.fund_org, "revoked_at": now, "revoked_by_name": actor.name},
            )
        return Excepted(tuple(revoked), releasing.release(gesture=gesture))

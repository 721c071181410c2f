"""What a run of e-mails would send, and, under the month's lock, what it will."""

import datetime
from collections.abc import Callable, Collection
from typing import Any

from django.utils import timezone

from billing import audit, mail_test_mode
from billing.audit import Actor
from billing.errors import BillingError
from billing.models import BillingPeriod
from billing.months import closing

from .. import issuing
from ..issuing import Outdated
from ..models import Email
from . import addressing
from .planned import Planned
from .recording import store

State = Email.State


def planned_now(
    period: BillingPeriod,
    *,
    chosen: Collection[str] | None = None,
    outdated: bool,
    written: bool,
    actor: Actor,
    now: datetime.datetime,
) -> tuple[list[Planned], tuple[Outdated, ...]]:
    """Return the e-mails a run would send, and which of their statements are not current. Writes nothing.

    Raises the errors of `charging.compute`, unless statements that are not current may go, too (`outdated`).
    """
    stale: list[Outdated] = []

    def outdated_of(going: set[int]) -> list[int]:
        stale.extend(_stale(period, going, issuing.outdated_kept, told=outdated))
        return [] if outdated else [each.statement for each in stale]

    on = timezone.localtime(now).date()
    planned = addressing.plan(period, chosen=chosen, outdated=outdated_of, states=_states(written), actor=actor, on=on)
    return planned, tuple(stale)


def queue(
    period: BillingPeriod,
    *,
    chosen: Collection[str] | None = None,
    only: Collection[int] | None = None,
    outdated: bool,
    written: bool,
    actor: Actor,
    now: datetime.datetime,
) -> tuple[list[Planned], tuple[Outdated, ...]]:
    """Store the e-mails of a run, and return them and which of their statements are not current.

    1. Which statements are not current is computed first: it takes long, and needs no lock.
    2. The month is locked, so that two runs do not both make an e-mail for the same recipient.
    3. The e-mails that are there already are locked, so that nobody claims one while it gets other statements.

    Raises the errors of `charging.compute`, unless statements that are not current may go, too (`outdated`).
    """
    asked: dict[str, Any] = {"chosen": chosen, "only": only, "states": _states(written), "actor": actor}
    on = timezone.localtime(now).date()
    going = {
        statement.pk
        for each in addressing.plan(period, **asked, on=on)
        if not each.left_out
        for statement in each.statements
    }
    stale = _stale(period, going, issuing.outdated, told=outdated)
    left_out = set() if outdated else {each.statement for each in stale}
    with audit.gesture(actor=actor, now=now) as gesture:
        period = closing.locked(period)
        planned = addressing.plan(period, outdated=left_out, **asked, locks=True, on=on)
        store(planned, actor=actor, now=now, begins=only is None)
        for each in planned:
            if each.left_out:
                after: dict[str, Any] = {"recipient": each.email.recipient}
                if each.is_small:
                    after |= {"statements": [statement.number for statement in each.statements]}
                gesture.record("email.dropped", each.email, after=after, note=each.left_out)
    return planned, stale


def _states(written: bool) -> tuple[Email.State, ...]:
    """Return the states of e-mails that a run sends; with `written` those that are only files so far, too.

    What only the test address got in test mode goes to its recipients once that has ended.
    """
    tested = () if mail_test_mode.test_address() else (State.REDIRECTED,)
    return (*Email.TO_SEND, *tested, *((State.WRITTEN,) if written else ()))


def _stale(
    period: BillingPeriod,
    going: Collection[int],
    outdated: Callable[[BillingPeriod], list[Outdated]],
    *,
    told: bool,
) -> tuple[Outdated, ...]:
    """Return which of the statements to be sent (ids) are not current."""
    if not going:
        return ()
    try:
        return tuple(each for each in outdated(period) if each.statement in going)
    except BillingError:
        # What the month comes to cannot be computed, so nothing is known to be current.
        if not told:
            raise
        return ()

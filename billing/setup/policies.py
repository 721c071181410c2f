"""Changing the policy: a change adds a version, and no version is ever edited."""

import datetime
from collections.abc import Mapping
from typing import Any

from .. import audit
from ..audit import Actor
from ..audit.snapshots import differences, snapshot
from ..errors import BillingError, NextStep
from ..models import BillingPeriod, Correction, Policy, User
from ..models.periods import SHUT
from ..money import named
from ..notices import Notice
from ..patterns import PatternNotUnderstood, compiled
from . import releasing

# Written by the system, never asked for.
STAMPS = frozenset({"id", "created_at", "created_by"})


class NothingChanged(BillingError):
    """A new version of the policy was to be made that says what the present one says."""


class UnknownPolicyField(BillingError):
    """A policy has no such field."""


class CurrencyInUse(BillingError):
    """The currency was to be changed with amounts in it that stand."""


class PolicyChanged(BillingError):
    """The policy was to be changed from a version that is not in force any more."""


def changed_from(present: Policy, changes: Mapping[str, object]) -> Policy:
    """Return a policy with some fields changed, not saved, once each of them is as it may be.

    Raises UnknownPolicyField, CurrencyInUse, or ValidationError with what is wrong by field.
    """
    fields = {field.name for field in Policy._meta.concrete_fields} - STAMPS
    if unknown := sorted(set(changes) - fields):
        raise UnknownPolicyField(f"A policy has no {', '.join(unknown)}. It has: {', '.join(sorted(fields))}.")
    changed = Policy(**{name: getattr(present, name) for name in fields} | dict(changes))
    changed.full_clean(validate_constraints=False)
    if changed.currency != present.currency:
        _require_free_currency(present.currency)
    return changed


def change_policy(
    *, changes: Mapping[str, object], actor: Actor, now: datetime.datetime, seen: int | None = None
) -> Policy:
    """Add a version of the policy: the one in force with these fields changed.

    `seen` is the version that whoever asks looked at, 0 for the built-in defaults. Raises PolicyChanged where another
    is in force by now, NothingChanged, and what `changed_from` raises.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        present = Policy.objects.current()
        if seen is not None and seen != (present.pk or 0):
            raise PolicyChanged(f"Somebody changed the policy meanwhile: {present} is in force. Look at it first.")
        changed = changed_from(present, changes)
        changed.created_by = actor.user
        changed.validate_constraints()
        before, after = differences(_content(present), _content(changed))
        if not after and present.pk:
            raise NothingChanged(f"Nothing is different from {present} of the policy: no new version was made.")
        changed.save()
        gesture.record("policy.changed", changed, before={"version": present.pk, **before}, after=after)
        if "own_domains" in after:
            # PIs of a domain that is added are known from now on.
            releasing.release(gesture=gesture)
        return changed


def patterns_are_understood(user: User) -> Notice | None:
    """Tell staff of a pattern of the policy that cannot be used: from a version that matched them otherwise."""
    policy = Policy.objects.current()
    for pattern in (*policy.flag_patterns, *policy.fund_org_patterns, policy.fund_org_segments):
        try:
            compiled(pattern)
        except PatternNotUnderstood as error:
            told = f"{error} Until then nothing can be imported."
            return Notice(told, tone="bad", then=NextStep("change_policy"))
    return None


def _require_free_currency(currency: str) -> None:
    """Raise CurrencyInUse where something stands in the currency that is to be replaced.

    What takes changes yet is charged anew in the next one; what is closed, or was corrected by hand, is not converted.
    """
    months = BillingPeriod.objects.filter(status__in=SHUT, payer_lines__isnull=False).distinct().order_by("month")
    if closed := [str(month) for month in months[:2]]:
        raise CurrencyInUse(
            f"The currency stays {currency}: {closed[0]}{' and later months' if closed[1:] else ''} "
            f"{'are' if closed[1:] else 'is'} closed, with amounts in it that are not converted."
        )
    if correction := Correction.objects.exclude(state=Correction.State.REJECTED).order_by("pk").first():
        raise CurrencyInUse(
            f"The currency stays {currency}: {correction} is over "
            f"{named(correction.amount, correction.currency)}, which is not converted."
        )


def _content(policy: Policy) -> dict[str, Any]:
    return {name: value for name, value in snapshot(policy).items() if name not in STAMPS}

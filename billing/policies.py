"""Changing the policy: a change adds a version, and no version is ever edited."""

import datetime
from collections.abc import Mapping
from typing import Any

from . import audit
from .audit import Actor
from .errors import BillingError
from .models import Policy
from .snapshots import differences, snapshot

# Written by the system, never asked for.
STAMPS = frozenset({"id", "created_at", "created_by"})


class NothingChanged(BillingError):
    """A new version of the policy was to be made that says what the present one says."""


class UnknownPolicyField(BillingError):
    """A policy has no such field."""


def change_policy(*, changes: Mapping[str, Any], actor: Actor, now: datetime.datetime) -> Policy:
    """Add a version of the policy: the one in force with these fields changed.

    Raises NothingChanged, UnknownPolicyField, or ValidationError with what is wrong by field.
    """
    fields = {field.name for field in Policy._meta.concrete_fields} - STAMPS
    if unknown := sorted(set(changes) - fields):
        raise UnknownPolicyField(f"A policy has no {', '.join(unknown)}. It has: {', '.join(sorted(fields))}.")
    with audit.gesture(actor=actor, now=now) as gesture:
        present = Policy.objects.current()
        changed = Policy(**{name: getattr(present, name) for name in fields} | dict(changes))
        changed.created_by = actor.user
        changed.full_clean()
        before, after = differences(_content(present), _content(changed))
        if not after and present.pk:
            raise NothingChanged(f"Nothing is different from {present} of the policy: no new version was made.")
        changed.save()
        gesture.record("policy.changed", changed, before={"version": present.pk, **before}, after=after)
        return changed


def _content(policy: Policy) -> dict[str, Any]:
    return {name: value for name, value in snapshot(policy).items() if name not in STAMPS}

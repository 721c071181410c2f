"""Failures that somebody has seen to: set aside, so that the month's page shows what is new, and recorded."""

import datetime
from collections.abc import Sequence
from typing import Any

from django.db.models import CharField, Exists, Model, OuterRef, QuerySet
from django.db.models.functions import Cast, Coalesce

from .audit import Actor, gesture
from .errors import BillingError
from .models import AuditEvent

ACTION = "failure.dismissed"


class NothingToDismiss(BillingError):
    """What is to be set aside has not failed, or was set aside already."""


def remaining(failed: "QuerySet[Any]", *, since: Sequence[str]) -> "QuerySet[Any]":
    """Leave out what was dismissed after it failed, which the first of these columns that is set says."""
    moments = [OuterRef(name) for name in since]
    seen = AuditEvent.objects.filter(
        action=ACTION,
        object_type=failed.model._meta.model_name,
        object_id=Cast(OuterRef("pk"), CharField(max_length=64)),
        at__gte=Coalesce(*moments) if len(moments) > 1 else moments[0],
    )
    return failed.exclude(Exists(seen))


def dismiss(*, failures: Sequence[Model], actor: Actor, now: datetime.datetime) -> int:
    """Record that somebody has seen to these failures; nothing else changes. Returns how many there were.

    Raises NothingToDismiss for none.
    """
    if not failures:
        raise NothingToDismiss("This is dismissed already, or it did not fail.")
    with gesture(actor=actor, now=now) as act:
        for each in failures:
            act.record("failure.dismissed", each)
    return len(failures)

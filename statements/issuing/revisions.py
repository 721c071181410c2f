"""New revisions stored, and the ones they replace taken out of force; or one voided."""

import datetime
from collections.abc import Sequence

from django.db.models import prefetch_related_objects
from django.utils import timezone

from billing import audit
from billing.audit import Actor
from billing.errors import BillingError, ReasonMissing
from billing.models import (
    BillingPeriod,
    Policy,
)
from billing.money import plain
from billing.months import closing

from ..models import Statement, StatementLine
from .ahead import ChargesAhead
from .asides import asides_of
from .changing import changes_since
from .planning import Planned, statement_of

BATCH = 500


class StatementsFrozen(closing.PeriodFinalized):
    """Statements were asked of a finalized period."""


class NotLive(BillingError):
    """A statement that is superseded or void already."""


def refuse_finalized(period: BillingPeriod) -> None:
    """Raise StatementsFrozen for a finalized month."""
    if period.status == BillingPeriod.Status.FINALIZED:
        raise StatementsFrozen(
            f"Billing period {period} is finalized: its statements are locked. Corrections go into an open month."
        )


def issue(planned: Sequence[Planned], *, period: BillingPeriod, charges: ChargesAhead, gesture: audit.Gesture) -> None:
    """Store new revisions and take the ones they replace out of force, all of them in a few queries.

    The caller holds the month's lock, so nobody else issues or voids a statement of it meanwhile.

    1. The statements that are replaced go out of force first: a reference has one in force at any time.
    2. The files of their charges, written ahead, get their names, and the new revisions their hashes.
    3. The new revisions are stored, each with its lines and what it changed.
    4. Those that were replaced name their successors.
    """
    actor, now = gesture.actor, gesture.now
    old = [each.live for each in planned if each.live]
    for start in range(0, len(old), BATCH):
        Statement.objects.filter(pk__in=[each.pk for each in old[start : start + BATCH]]).update(
            state=Statement.State.SUPERSEDED, superseded_at=now
        )
    policy = Policy.objects.current()
    besides = asides_of(period, planned, policy, timezone.localtime(now).date())
    made = [statement_of(each, period=period, currency=policy.currency, actor=actor, now=now) for each in planned]
    prefetch_related_objects(old, "lines")
    for each, statement in zip(planned, made, strict=True):
        statement.document |= besides.of(each)
        if each.live:
            statement.document["changes"] = changes_since(each.live, statement, each.lines).as_data()
    charges.keep(period, [(statement, each.lines) for each, statement in zip(planned, made, strict=True)])
    Statement.objects.bulk_create(made, batch_size=BATCH)
    lines = []
    for each, statement in zip(planned, made, strict=True):
        for line in each.lines:
            # By now it has a key.
            line.statement = statement
            lines.append(line)
        if each.live:
            _record_superseded(gesture, each.live, statement)
        _record_issued(gesture, statement)
    StatementLine.objects.bulk_create(lines, batch_size=BATCH)
    Statement.objects.bulk_update(old, ["superseded_by"], batch_size=BATCH)


def _record_superseded(gesture: audit.Gesture, replaced: Statement, by: Statement) -> None:
    before = replaced.state
    replaced.superseded_by = by
    gesture.record(
        "statement.superseded",
        replaced,
        before={"state": before},
        after={"state": Statement.State.SUPERSEDED.value, "superseded_by": by.number},
    )


def _record_issued(gesture: audit.Gesture, statement: Statement) -> None:
    gesture.record(
        "statement.issued",
        statement,
        after={
            "digest": statement.digest,
            "list": plain(statement.list_cost),
            "contracted": plain(statement.contracted_cost),
            "charged": plain(statement.charged),
            "charges_sha256": statement.charges_sha256,
        },
    )


def void(*, statement: Statement, reason: str, actor: Actor, now: datetime.datetime) -> Statement:
    """Take a statement out of force without a successor; the next run issues the owner's next revision.

    Its PI finds the day and the reason in its place. The month is locked first, so that no run replaces the
    statement meanwhile; then the statement, so that it is voided once.

    Raises ReasonMissing, NotLive, or StatementsFrozen where the period is finalized.
    """
    if not reason.strip():
        raise ReasonMissing("Say why the statement is void: the reason stays with it.")
    with audit.gesture(actor=actor, now=now) as gesture:
        period = closing.locked(statement.period)
        refuse_finalized(period)
        locked = Statement.objects.select_for_update(no_key=True).get(pk=statement.pk)
        if locked.state not in Statement.LIVE:
            raise NotLive(f"Statement {locked} is {locked.get_state_display().lower()} already.")
        before = locked.state
        locked.state = Statement.State.VOID
        locked.voided_at, locked.void_reason = now, reason.strip()
        locked.save(update_fields=["state", "voided_at", "void_reason"])
        gesture.record(
            "statement.voided", locked, before={"state": before}, after={"state": locked.state}, note=locked.void_reason
        )
    return locked

"""Legal holds: placed for a reason, and lifted for one. What they keep is not disposed of."""

import datetime

from django.db import connection

from .. import audit
from ..audit import Actor
from ..audit.snapshots import snapshot
from ..errors import BillingError, ReasonMissing
from ..models import Disposal, LegalHold

# On PostgreSQL, holds are placed and disposals decided one after the other, under an advisory lock of this number.
TURN = 0x4F43_0019


class HoldRefused(BillingError):
    """A legal hold that cannot be placed or lifted."""


def take_turn() -> None:
    """Wait until nobody else places a hold or decides a disposal; until this transaction ends, nobody does.

    On SQLite whoever writes is alone anyway.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [TURN])


def place(*, hold: LegalHold, actor: Actor, now: datetime.datetime) -> LegalHold:
    """Store a new hold on one PI, project, fund/org or month, with its reason.

    Raises HoldRefused while a disposal is going on, for that may be removing what the hold is to keep; ReasonMissing;
    and ValidationError where it is not on exactly one of them.
    """
    hold.reason = hold.reason.strip()
    if not hold.reason:
        raise ReasonMissing("Say why it is held. The reason stays with the hold.")
    hold.placed_at, hold.placed_by, hold.placed_by_name = now, actor.user, actor.name
    with audit.gesture(actor=actor, now=now) as gesture:
        take_turn()
        if going := Disposal.objects.filter(completed_at__isnull=True).first():
            raise HoldRefused(
                f"What was decided under {going} is being removed right now. Place the hold once that is done: what is "
                "left then is kept."
            )
        hold.full_clean()
        hold.save()
        gesture.record("legal_hold.placed", hold, after=snapshot(hold) | {"on": hold.told}, note=hold.reason)
    return hold


def lift(*, hold: LegalHold, reason: str, actor: Actor, now: datetime.datetime) -> LegalHold:
    """Have a hold keep nothing any more; the next disposal may take what it kept. Raises HoldRefused, ReasonMissing."""
    reason = reason.strip()
    if not reason:
        raise ReasonMissing("Say why the hold is lifted. The reason stays with it.")
    with audit.gesture(actor=actor, now=now) as gesture:
        take_turn()
        held = LegalHold.objects.select_for_update(of=("self",)).get(pk=hold.pk)
        if held.lifted_at:
            raise HoldRefused(f"The hold on {held.told} was lifted by {held.lifted_by_name} already.")
        held.lifted_at, held.lifted_by_name, held.lifted_because = now, actor.name, reason
        held.save(update_fields=LegalHold.FREE)
        gesture.record(
            "legal_hold.lifted",
            held,
            before={"lifted_at": None},
            after={"on": held.told, "lifted_at": now, "lifted_by_name": actor.name},
            note=reason,
        )
    return held

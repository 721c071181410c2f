"""Statements that another program e-mailed: they are sent, and no message of them is here."""

import datetime
from collections.abc import Iterable

from billing import audit
from billing.audit import Actor
from billing.errors import WrongState

from ..models import Statement


def note_sent(
    *, statements: Iterable[Statement], at: datetime.datetime, note: str, actor: Actor, now: datetime.datetime
) -> int:
    """Have statements say that they were sent at a moment, by something else than this program; return how many.

    `note` says by what. Raises WrongState for one that is not in force; those that are sent already stay as they are.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        ids = [statement.pk for statement in statements]
        locked = Statement.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk")
        waiting = [statement for statement in locked if statement.state != Statement.State.SENT]
        for statement in waiting:
            if statement.state not in Statement.UNSENT:
                raise WrongState(f"Statement {statement} is {statement.get_state_display().lower()}: it was not sent.")
            before = statement.state
            statement.state, statement.sent_at = Statement.State.SENT, at
            statement.save(update_fields=["state", "sent_at"])
            gesture.record(
                "statement.sent_elsewhere",
                statement,
                before={"state": before},
                after={"state": statement.state, "sent_at": at},
                note=note,
            )
        return len(waiting)

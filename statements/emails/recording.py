"""What is recorded of an e-mail: that it is to be sent, and what became of it."""

import datetime
from collections.abc import Sequence

from billing import audit
from billing.audit import Actor
from billing.months import closing

from ..models import Email, Statement
from . import refusals
from .planned import Planned

State = Email.State


def locked(email: Email) -> Email:
    """Return an e-mail as it is now, locked: nobody claims or sends it for the rest of the transaction."""
    closing.locked(email.period)
    same = Email.objects.select_related("pi", "period", "user")
    return same.select_for_update(no_key=True, of=("self",)).get(pk=email.pk)


def store(planned: Sequence[Planned], *, actor: Actor, now: datetime.datetime, begins: bool = True) -> None:
    """Note what is to be sent, what waits and what is left out, before any of it happens.

    Where somebody has it sent, its tries are counted anew (`begins`).
    """
    for each in planned:
        email = each.email
        is_new = email.pk is None
        if is_new:
            email.created_at = now
        if begins:
            email.asked_by, email.attempts = actor.user, 0
        email.is_small = each.is_small
        if each.left_out:
            email.state = State.DROPPED
            email.try_again_at = None
        if each.left_out or each.waits:
            email.error = each.left_out or each.waits
        email.save()
        if each.left_out and not each.is_small:
            continue
        if is_new or set(email.statements.all()) != set(each.statements):
            email.statements.set(each.statements)
        if each.is_small and email.role == Email.Role.PI:
            pks = [statement.pk for statement in each.statements]
            Statement.objects.filter(pk__in=pks, state=Statement.State.ISSUED).update(state=Statement.State.PORTAL)


def not_tried(email: Email, why: str, *, now: datetime.datetime) -> None:
    """Note of an e-mail why a run did not come to it, and when the worker does."""
    again = refusals.next_try(1, now)
    Email.objects.filter(pk=email.pk, state__in=Email.TO_SEND).update(error=why, try_again_at=again)


def mark_sent(email: Email, at: datetime.datetime, *, path: str) -> None:
    """Have an e-mail and its statements say that it was sent; in test mode, that the test address got it."""
    email.error = ""
    if email.redirected_to:
        email.state, email.message_path = State.REDIRECTED, path
        email.save()
        return
    email.state = State.SENT
    email.sent_at = at
    email.message_path = path
    email.save()
    _statements_reached(email, at)


def _statements_reached(email: Email, at: datetime.datetime) -> None:
    """Have the statements of an e-mail say that they were sent; a copy for somebody else does not make them so."""
    if email.role == Email.Role.PI:
        waiting = Statement.objects.filter(emails=email, state__in=Statement.UNSENT)
        pks = list(waiting.values_list("pk", flat=True))
        Statement.objects.filter(pk__in=pks).update(state=Statement.State.SENT, sent_at=at)


def record(
    email: Email,
    statements: Sequence[Statement],
    state: Email.State,
    error: str,
    path: str,
    *,
    actor: Actor,
    now: datetime.datetime,
) -> None:
    """Record what became of an e-mail that a run had claimed, and what its statements say of it."""
    with audit.gesture(actor=actor, now=now) as gesture:
        email.state = state
        email.error = error
        if path:
            email.message_path = path
        if state == State.SENT:
            email.sent_at = now
        elif state == State.WRITTEN and not error:
            email.written_at = now
        email.save()
        if statements:
            email.statements.set(statements)
        pks = [statement.pk for statement in statements]
        if state == State.SENT:
            _statements_reached(email, now)
        elif state == State.WRITTEN and email.role == Email.Role.PI:
            waiting = (Statement.State.ISSUED, Statement.State.PORTAL)
            Statement.objects.filter(pk__in=pks, state__in=waiting).update(
                state=Statement.State.WRITTEN, written_at=now
            )
        gesture.record(
            {
                State.SENT: "email.sent",
                State.UNCERTAIN: "email.uncertain",
                State.DROPPED: "email.dropped",
                State.REFUSED: "email.refused",
                State.REDIRECTED: "email.redirected",
            }.get(state, "email.failed" if error else "email.written"),
            email,
            after={
                "recipient": email.recipient,
                "statements": [statement.number for statement in statements],
                **({"sent_to": email.redirected_to} if state == State.REDIRECTED else {}),
                **({"because": email.again_because} if email.again_because else {}),
                # Which documents went out can be told from the audit log alone.
                **({"error": error} if error else {"sha256": [statement.pdf_sha256 for statement in statements]}),
            },
        )

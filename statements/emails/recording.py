"""What is recorded of an e-mail: that it is to be sent, and what became of it."""

import datetime
from collections.abc import Sequence

from billing import audit
from billing.audit import Actor
from billing.months import closing

from ..models import Email, Statement
from .addressing import Planned

State = Email.State


def locked(email: Email) -> Email:
    """Return an e-mail as it is now, locked: nobody claims or sends it for the rest of the transaction."""
    closing.locked(email.period)
    same = Email.objects.select_related("pi", "period", "user")
    return same.select_for_update(no_key=True, of=("self",)).get(pk=email.pk)


def store(planned: Sequence[Planned], now: datetime.datetime) -> None:
    """Note what is to be sent, what waits and what is left out, before any of it happens."""
    for each in planned:
        email = each.email
        is_new = email.pk is None
        if is_new:
            email.created_at = now
        if each.left_out:
            email.state = State.DROPPED
        if each.left_out or each.waits:
            email.error = each.left_out or each.waits
        email.save()
        if not each.left_out and (is_new or set(email.statements.all()) != set(each.statements)):
            email.statements.set(each.statements)


def mark_sent(email: Email, at: datetime.datetime, *, path: str) -> None:
    """Have an e-mail and its statements say that it was sent."""
    email.state = State.SENT
    email.error = ""
    email.sent_at = at
    email.message_path = path
    email.save()
    _statements_reached(email, at)


def _statements_reached(email: Email, at: datetime.datetime) -> None:
    """Have the statements of an e-mail say that they were sent; a copy for somebody else does not make them so."""
    if email.role == Email.Role.PI:
        waiting = Statement.objects.filter(emails=email, state__in=(Statement.State.ISSUED, Statement.State.WRITTEN))
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
            Statement.objects.filter(pk__in=pks, state=Statement.State.ISSUED).update(
                state=Statement.State.WRITTEN, written_at=now
            )
        gesture.record(
            {
                State.SENT: "email.sent",
                State.UNCERTAIN: "email.uncertain",
                State.DROPPED: "email.dropped",
            }.get(state, "email.failed" if error else "email.written"),
            email,
            after={
                "recipient": email.recipient,
                "statements": [statement.number for statement in statements],
                # Which documents went out can be told from the audit log alone.
                **({"error": error} if error else {"sha256": [statement.pdf_sha256 for statement in statements]}),
            },
        )

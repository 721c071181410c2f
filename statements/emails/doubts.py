"""E-mails of which nobody knows whether they arrived: a run was stopped, or a connection lost, while it sent them."""

import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from billing import audit
from billing.audit import Actor
from billing.background import working
from billing.errors import BillingError
from billing.files import documents
from billing.models import BillingPeriod

from ..models import Email, Statement
from .outbox import archive_path, tested_path
from .outcomes import Message, message_of
from .recording import locked, mark_sent

State = Email.State

CUT_OFF = "Nobody knows whether it arrived: send it again, or say what became of it."

INTERRUPTED = f"A run was stopped while it sent this. {CUT_OFF}"

RECORDED = "A run was stopped after it had sent this; it is recorded as sent now."


class NotInDoubt(BillingError):
    """An e-mail was to be settled, and it is known what became of it."""


def was_left(email: Email) -> bool:
    """Tell whether the run that had claimed an e-mail is gone."""
    if email.state != State.CLAIMED or email.claimed_at is None:
        return False
    return working.is_gone(mark_of(email.pk))


def uncertain() -> list[Email]:
    """Return the e-mails of which nobody knows whether they arrived: a person has to look at them."""
    found = Email.objects.filter(state__in=(State.UNCERTAIN, State.CLAIMED)).select_related("pi", "period")
    found = found.prefetch_related("statements").order_by("pk")
    return [each for each in found if each.state == State.UNCERTAIN or was_left(each)]


def in_doubt() -> list[Message]:
    """Return the e-mails of which nobody knows whether they arrived, as a look reports them."""
    return [
        message_of(
            each,
            statements=sorted(one.number for one in each.statements.all()),
            error=each.error if each.state == State.UNCERTAIN else INTERRUPTED,
        )
        for each in uncertain()
    ]


def uncertain_messages() -> list[Message]:
    """Return the e-mails that are known to be in doubt, as a run reports them."""
    found = Email.objects.filter(state=State.UNCERTAIN).select_related("pi", "period").order_by("pk")
    return [message_of(each, error=each.error) for each in found]


def troubled(period: BillingPeriod) -> QuerySet[Email]:
    """Keep the e-mails of a period that somebody has to look at: not sent although it should, or perhaps sent."""
    in_force = Statement.objects.live().filter(emails=OuterRef("pk"))
    left = [each.pk for each in uncertain() if each.state == State.CLAIMED]
    return Email.objects.filter(
        Q(Exists(in_force), state__in=(State.FAILED, State.REFUSED)) | Q(state=State.UNCERTAIN) | Q(pk__in=left),
        period=period,
    )


def troubled_statements() -> "QuerySet[Any, Any]":
    """Return the ids of statements of which an e-mail was not sent although it should, or perhaps sent."""
    left = [each.pk for each in uncertain() if each.state == State.CLAIMED]
    links = Email.statements.through.objects.filter(Q(email__state__in=Email.TROUBLED) | Q(email__in=left))
    return links.values("statement")


def settle(*, email: Email, arrived: bool = True, note: str = "", actor: Actor, now: datetime.datetime) -> Email:
    """Record what became of an e-mail that perhaps arrived: it counts as sent, or as left out.

    Raises NotInDoubt for any other.
    """
    note_left_behind(actor=actor, now=now)
    with audit.gesture(actor=actor, now=now) as gesture:
        email = locked(email)
        if email.state != State.UNCERTAIN:
            raise NotInDoubt(f"It is known of {email} what became of it: {email.get_state_display().lower()}.")
        if arrived:
            mark_sent(email, email.claimed_at or now, path=email.message_path)
        else:
            email.state, email.error = State.DROPPED, "It did not arrive, and was not sent again."
            email.save()
        gesture.record(
            "email.settled", email, before={"state": State.UNCERTAIN}, after={"state": email.state}, note=note
        )
    return email


def note_left_behind(*, actor: Actor, now: datetime.datetime) -> list[Message]:
    """Put in doubt the e-mails that a run had claimed when it was stopped; none is sent again by itself.

    Returns those that turn out to be sent, and are recorded so: a message is archived after it was sent.
    """
    recorded = []
    for email in Email.objects.filter(state=State.CLAIMED).select_related("pi", "period"):
        if not was_left(email):
            continue
        with audit.gesture(actor=actor, now=now) as gesture:
            # Somebody else may look at the same time.
            same = Email.objects.filter(pk=email.pk, state=State.CLAIMED, claimed_at=email.claimed_at)
            if not same.update(state=State.UNCERTAIN, error=INTERRUPTED):
                continue
            email.state, email.error = State.UNCERTAIN, INTERRUPTED
            archived = tested_path(email) if email.redirected_to else archive_path(email)
            if documents.exists(archived):
                mark_sent(email, email.claimed_at or now, path=archived)
                gesture.record("email.settled", email, after={"state": email.state}, note=RECORDED)
                recorded.append(message_of(email, error=RECORDED))
            else:
                gesture.record("email.uncertain", email, after={"recipient": email.recipient}, note=INTERRUPTED)
        working.forget(mark_of(email.pk))
    return recorded


def doubt_waiting(*, why: str, actor: Actor, now: datetime.datetime) -> int:
    """Put in doubt every e-mail that waits to be sent or to be tried again, and return how many.

    For an installation that was restored as it was some time ago: since then they may have been sent.
    """
    note_left_behind(actor=actor, now=now)
    with audit.gesture(actor=actor, now=now) as gesture:
        waiting = list(Email.objects.filter(state__in=Email.TO_SEND).order_by("pk"))
        Email.objects.filter(pk__in=[each.pk for each in waiting]).update(
            state=State.UNCERTAIN, error=why, try_again_at=None
        )
        for email in waiting:
            gesture.record("email.uncertain", email, after={"recipient": email.recipient}, note=why)
    return len(waiting)


def mark_of(pk: int) -> str:
    """Return the name under which a process says that it is sending an e-mail."""
    return f"email-{pk}"

"""The words of an e-mail before it is sent, as its recipient would read them; also as a test to oneself."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.utils import timezone

from billing import audit, mail_test_mode
from billing.audit import Actor
from billing.errors import BillingError
from billing.models import BillingPeriod, Policy

from ..models import Email, Statement
from . import addressing, outbox
from .attachments import Files
from .letters import Letter
from .messages import message_of, written
from .outbox import Outbox
from .outcomes import Message


class NoAddress(BillingError):
    """Somebody without an e-mail address wanted a test."""


class NotTested(BillingError):
    """A test could not be sent."""


@dataclass(frozen=True)
class Preview:
    """An e-mail as its recipient would get it."""

    letter: Letter
    files: Files
    recipient: str


def letter_to(
    message: Message, *, period: BillingPeriod, policy: Policy | None = None, now: datetime.datetime
) -> Preview:
    """Return what an e-mail of a preview would say if it was sent now. Raises EmailTemplateError or ChargesLost."""
    statements = list(
        Statement.objects.filter(period=period, number__in=message.statements)
        .select_related("pi", "period", "reference__period", "project")
        .prefetch_related("lines")
        .order_by("number")
    )
    pi = statements[0].pi
    email = Email(period=period, pi=pi, recipient=message.recipient, role=message.role)
    sees_all = True
    if message.role == Email.Role.DELEGATE:
        delegates = addressing.delegates_of([pi], timezone.localtime(now).date())
        email.user = next(
            (each.user for each in delegates.get(pi.pk, ()) if each.user.email == message.recipient), None
        )
        sees_all = addressing.addressed_to(email, statements, delegates).sees_all
    return _previewed(email, statements, policy, sees_all=sees_all, now=now)


def sample(statement: Statement, *, policy: Policy, now: datetime.datetime) -> Preview:
    """Return the e-mail to a PI that brings one statement, by a policy that need not be saved.

    Raises EmailTemplateError or ChargesLost.
    """
    email = Email(period=statement.period, pi=statement.pi, recipient=statement.pi.email, role=Email.Role.PI)
    return _previewed(email, [statement], policy, sees_all=True, now=now)


def _previewed(
    email: Email, statements: Sequence[Statement], policy: Policy | None, *, sees_all: bool, now: datetime.datetime
) -> Preview:
    by = policy or Policy.objects.current()
    letter, files = written(email, statements, by, sees_all=sees_all, now=now)
    return Preview(letter, files, email.recipient)


def send_test(preview: Preview, *, actor: Actor, now: datetime.datetime) -> str:
    """Send a preview to whoever asks, and return where it went. No statement counts as sent.

    Raises NoAddress or NotTested.
    """
    to = actor.user.email if actor.user else ""
    if not to:
        raise NoAddress("Your account has no e-mail address. An administrator can add it under Users.")
    said = f"A test: nobody got this. It would go to {preview.recipient}."
    letter = replace(
        preview.letter,
        subject=f"[TEST] {preview.letter.subject}",
        text=f"{said}\n\n{preview.letter.text}",
        html=mail_test_mode.with_banner(preview.letter.html, said),
    )
    message = message_of(letter, preview.files, to=to, policy=Policy.objects.current())
    out = Outbox()
    try:
        if outbox.writes_files():
            where = outbox.write_test(to, message)
        else:
            out.send(message)
            where = mail_test_mode.test_address() or to
    except (OSError, ValueError) as problem:
        raise NotTested(outbox.words_of(problem)) from problem
    finally:
        out.close()
    with audit.gesture(actor=actor, now=now) as gesture:
        gesture.record("email.tested", None, after={"recipient": to, "instead_of": preview.recipient})
    return where

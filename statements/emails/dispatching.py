"""E-mails on their way, one at a time: claimed, sent outside of any transaction, and recorded."""

import datetime
import time
from collections.abc import Sequence
from pathlib import Path
from smtplib import SMTPException, SMTPResponseException

from django.conf import settings
from django.utils import timezone

from billing.audit import Actor
from billing.background import working
from billing.errors import BillingError
from billing.progress import Progress

from ..models import Email, Statement
from . import addressing, outbox
from .addressing import Planned
from .doubts import CUT_OFF, mark_of
from .letters import compose
from .outbox import Outbox
from .outcomes import Message, message_of, planned_message
from .recording import record

State = Email.State

# A mail server that was not there so many times in a row is not asked again by the same run.
MOST_UNREACHABLE = 3
NOT_TRIED = f"Not tried: the mail server could not be reached {MOST_UNREACHABLE} times in a row."


def dispatch(
    planned: Sequence[Planned], *, actor: Actor, now: datetime.datetime, progress: Progress
) -> tuple[list[Message], list[Message], list[Message]]:
    """Send e-mails one by one; return those sent or written, those that failed, and those nobody gets any more."""
    # The clock of a long run: claims made late in it are not older than they are.
    began = time.monotonic()
    messages: list[Message] = []
    failed: list[Message] = []
    dropped: list[Message] = []
    unreachable = 0
    out = Outbox()
    try:
        for done, each in enumerate(planned, start=1):
            progress(done, len(planned), "Sending statements")
            if unreachable >= MOST_UNREACHABLE:
                failed.append(planned_message(each, error=NOT_TRIED))
                continue
            at = now + datetime.timedelta(seconds=time.monotonic() - began)
            if (message := _claim_and_send(each, out, actor=actor, now=at)) is None:
                continue
            unreachable = unreachable + 1 if out.is_unreachable else 0
            if not message.error:
                messages.append(message)
            elif each.email.state == State.DROPPED:
                dropped.append(message)
            elif each.email.state != State.UNCERTAIN:
                failed.append(message)
    finally:
        out.close()
    return messages, failed, dropped


def _claim_and_send(planned: Planned, out: Outbox, *, actor: Actor, now: datetime.datetime) -> Message | None:
    """Send one e-mail, unless somebody else has claimed it; the mark says that this process is sending it."""
    email = planned.email
    mark = working.begin(mark_of(email.pk))
    if not mark.is_held:
        return None
    try:
        claimed = Email.objects.filter(pk=email.pk, state=email.state)
        if claimed.exclude(state=State.CLAIMED).update(state=State.CLAIMED, claimed_at=now):
            message = _send_claimed(planned, out, actor=actor, now=now)
        else:
            message = None
        working.end(mark)
    finally:
        # Where this was broken off the mark stays, and says so to the next run.
        mark.release()
    return message


def _send_claimed(planned: Planned, out: Outbox, *, actor: Actor, now: datetime.datetime) -> Message:
    """Send one claimed e-mail and record what came of it."""
    email = planned.email
    was_written = email.state == State.WRITTEN
    email.refresh_from_db()
    statements = list(
        Statement.objects.live()
        .filter(pk__in=[each.pk for each in planned.statements])
        .select_related("period", "reference__period", "project")
        .prefetch_related("lines")
        .order_by("number")
    )
    # A long run comes to some late: what a delegate may see is asked when it is sent.
    delegates = addressing.delegates_of([email.pi], timezone.localtime(now).date())
    addressed = addressing.addressed_to(email, statements, delegates)
    email.recipient = addressed.recipient
    statements = [each for each in statements if each in addressed.statements]
    state, error, path = State.DROPPED, addressed.left_out, ""
    out.was_handed_over = out.is_unreachable = False
    if not error:
        try:
            message = compose(email, statements, sees_all=addressed.sees_all)
            email.subject = message.subject[:254]
            if outbox.writes_files():
                path = outbox.write_to_file(email, message, statements)
                state = State.WRITTEN
            else:
                out.send(message)
                path = outbox.archive(email, message)
                state = State.SENT
        except (SMTPException, OSError, BillingError, ValueError) as problem:
            # ValueError: an address that fits no header. The next recipient gets theirs all the same.
            error = outbox.words_of(problem)
            # What was a file stays one.
            state = State.WRITTEN if was_written else State.FAILED
            if out.was_handed_over and not isinstance(problem, SMTPResponseException):
                state = State.UNCERTAIN
                error = f"{error.rstrip('.')}. {CUT_OFF}"
    record(email, statements, state, error, path, actor=actor, now=now)
    return message_of(
        email,
        statements=tuple(each.number for each in statements),
        is_first=planned.is_first,
        path=str(Path(settings.VAR_DIR) / path) if path else "",
        error=error,
    )

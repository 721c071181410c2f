"""E-mails on their way, one at a time: claimed, sent outside of any transaction, and recorded."""

import datetime
import time
from collections.abc import Sequence
from dataclasses import dataclass
from smtplib import SMTPException, SMTPResponseException

from django.utils import timezone

from billing import mail_test_mode
from billing.audit import Actor
from billing.background import working
from billing.errors import BillingError
from billing.files import documents
from billing.progress import Progress

from ..models import Email, Statement
from . import addressing, outbox, pacing, refusals
from .doubts import CUT_OFF, mark_of
from .messages import compose
from .outbox import Outbox
from .outcomes import Message, message_of, planned_message
from .planned import Planned
from .recording import not_tried, record

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

    def clock() -> datetime.datetime:
        return now + datetime.timedelta(seconds=time.monotonic() - began)

    try:
        for done, each in enumerate(planned, start=1):
            progress(done, len(planned), "Sending statements")
            if unreachable >= MOST_UNREACHABLE:
                not_tried(each.email, NOT_TRIED, now=clock())
                failed.append(planned_message(each, error=NOT_TRIED))
                continue
            pacing.wait_for_turn(clock, lambda said, done=done: progress(done, len(planned), said))  # type: ignore[misc]
            if (message := _claim_and_send(each, out, actor=actor, now=clock())) is None:
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
        claim = {
            "state": State.CLAIMED,
            "claimed_at": now,
            "attempts": email.attempts + 1,
            "try_again_at": None,
            # Written before it leaves: whoever finds the claim of a killed run knows who can have got it.
            "redirected_to": mail_test_mode.test_address(),
        }
        claimed = Email.objects.filter(pk=email.pk, state=email.state)
        if claimed.exclude(state=State.CLAIMED).update(**claim):
            message = _send_claimed(planned, out, actor=actor, now=now)
        else:
            message = None
        working.end(mark)
    finally:
        # Where this was broken off the mark stays, and says so to the next run.
        mark.release()
    return message


@dataclass(frozen=True)
class _Outcome:
    """What came of one try: the state it leaves, why it is not sent, where its message is kept, and the next try."""

    state: Email.State
    error: str = ""
    path: str = ""
    try_again_at: datetime.datetime | None = None


def _send_claimed(planned: Planned, out: Outbox, *, actor: Actor, now: datetime.datetime) -> Message:
    """Send one claimed e-mail and record what came of it."""
    email = planned.email
    was = State(email.state)
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
    out.was_handed_over = out.is_unreachable = False
    if addressed.left_out:
        outcome = _Outcome(State.DROPPED, addressed.left_out)
    else:
        outcome = _try(email, statements, out, was=was, sees_all=addressed.sees_all, now=now)
    email.try_again_at = outcome.try_again_at
    record(email, statements, outcome.state, outcome.error, outcome.path, actor=actor, now=now)
    return message_of(
        email,
        statements=tuple(each.number for each in statements),
        is_first=planned.is_first,
        path=str(documents.place(outcome.path)) if outcome.path else "",
        error=outcome.error,
    )


def _try(
    email: Email, statements: list[Statement], out: Outbox, *, was: Email.State, sees_all: bool, now: datetime.datetime
) -> _Outcome:
    """Write an e-mail and hand it to the mail server, or to a file where there is none."""
    # What was a file stays one.
    stays = State.WRITTEN if was == State.WRITTEN else State.FAILED
    try:
        message = compose(email, statements, sees_all=sees_all, now=now)
        email.subject = message.subject[:254]
        if outbox.writes_files():
            return _Outcome(State.WRITTEN, path=outbox.write_to_file(email, message, statements))
    except (OSError, BillingError, ValueError) as problem:
        # The next recipient gets theirs all the same.
        return _Outcome(stays, outbox.words_of_writing(problem))
    try:
        if email.redirected_to:
            mail_test_mode.redirect(message)
        out.send(message)
    except (SMTPException, OSError, ValueError) as problem:
        # ValueError: an address that fits no header.
        return _unsent(problem, email, out, stays=stays, now=now)
    state = State.REDIRECTED if email.redirected_to else State.SENT
    return _Outcome(state, path=outbox.archive(email, message))


def _unsent(problem: Exception, email: Email, out: Outbox, *, stays: Email.State, now: datetime.datetime) -> _Outcome:
    """Return what becomes of an e-mail that the mail server did not say it took."""
    error = outbox.words_of(problem)
    # Of one that was for the test address nobody minds a second.
    if email.redirected_to:
        return _Outcome(stays, error)
    if out.was_handed_over and not isinstance(problem, SMTPResponseException):
        return _Outcome(State.UNCERTAIN, f"{error.rstrip('.')}. {CUT_OFF}")
    if refusals.is_refused(problem):
        return _Outcome(State.REFUSED, error)
    if refusals.is_for_the_moment(problem) and stays == State.FAILED:
        return _Outcome(stays, error, try_again_at=refusals.next_try(email.attempts, now))
    return _Outcome(stays, error)

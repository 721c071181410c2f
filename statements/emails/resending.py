"""Sending one e-mail again."""

import datetime
from collections.abc import Sequence

from django.db.models import Q
from django.utils import timezone

from billing import audit, mail_test_mode
from billing.audit import Actor
from billing.errors import BillingError, NextStep, ReasonMissing
from billing.progress import unwatched

from .. import issuing
from ..models import Email, Statement
from . import addressing, outbox
from .dispatching import dispatch
from .doubts import note_left_behind, uncertain_messages
from .letters import check_templates
from .outcomes import Sent, folder_of_files, stated_by
from .recording import locked, store

State = Email.State

# Two clicks on “Send again” within this are one.
RESEND_PAUSE = datetime.timedelta(minutes=1)


class NothingToResend(BillingError):
    """An e-mail was to be sent again, and none of its statements is in force, or nobody gets it any more."""


class SentJustNow(BillingError):
    """An e-mail was to be sent again twice in a moment: a double click."""


class BeingSent(BillingError):
    """An e-mail was to be sent again while a run is sending it."""


class StillWaits(BillingError):
    """An e-mail was to be sent again that waits for somebody to confirm its PI."""


class NotCurrent(BillingError):
    """An e-mail was to be sent again with statements that are not current."""


def takes_reason(email: Email) -> bool:
    """Tell whether an e-mail has reached its recipient, or may have: then they are told why it comes again."""
    return email.state in (State.SENT, State.UNCERTAIN, State.CLAIMED)


def resend(*, email: Email, reason: str = "", outdated: bool = False, actor: Actor, now: datetime.datetime) -> Sent:
    """Send one e-mail again, with those of its statements that are in force, to whoever it is for today.

    Its recipient reads the `reason`, which is recorded, unless it cannot have reached them before.

    1. What a stopped run left behind is put in doubt first, so that this e-mail says what is known of it.
    2. Its month and the e-mail are locked: a second click waits here, and then sees what the first did.
    3. One that was sent is repeated as a new e-mail; any other is tried again itself.
    4. It is sent outside of the transaction, as by any other run.

    Raises ReasonMissing, NothingToResend, StillWaits, NotCurrent unless `outdated`, BeingSent, or SentJustNow for
    one that was sent within the minute.
    """
    note_left_behind(actor=actor, now=now)
    with audit.gesture(actor=actor, now=now) as gesture:
        email = locked(email)
        if email.state == State.CLAIMED:
            raise BeingSent(f"A run is sending {email} at this moment. Look at it again in a minute.")
        _refuse_double_click(email, now)
        in_force = list(email.statements.live().select_related("pi", "project", "period").order_by("number"))
        if not in_force:
            raise NothingToResend(
                f"The statements of {email} were replaced or voided: send the month instead.",
                then=NextStep("send_statements", {"period": email.period.iso_month}),
            )
        delegates = addressing.delegates_of([email.pi], timezone.localtime(now).date())
        addressed = addressing.addressed_to(email, in_force, delegates)
        if addressed.left_out:
            raise NothingToResend(addressed.left_out)
        if not outdated:
            _refuse_outdated(email, addressed.statements)
        reason = " ".join(reason.split())
        if takes_reason(email) and not reason:
            raise ReasonMissing(f"Say why {email} is sent again. Its recipient reads the reason.")
        again = email
        if email.state == State.SENT:
            again = Email(period=email.period, pi=email.pi, role=email.role, user=email.user, repeats=email)
        again.again_because = reason if takes_reason(email) else ""
        again.recipient = addressed.recipient
        (planned,) = addressing.decided([(again, addressed)], actor)
        if planned.waits:
            raise StillWaits(planned.waits)
        store([planned], actor=actor, now=now)
        if again.pk != email.pk:
            gesture.record("email.queued", again, after={"again": email.pk}, note=reason)
    check_templates(email.period)
    messages, failed, dropped = dispatch([planned], actor=actor, now=now, progress=unwatched)
    return Sent(
        period=email.period.iso_month,
        is_written=outbox.writes_files(),
        messages=tuple(messages),
        failed=tuple(failed),
        interrupted=tuple(each for each in uncertain_messages() if each.number == again.pk),
        left_out=tuple(dropped),
        stated=stated_by([planned]),
        folder=folder_of_files(),
        redirected_to=mail_test_mode.test_address(),
    )


def _refuse_double_click(email: Email, now: datetime.datetime) -> None:
    just_now = bool(email.sent_at and email.sent_at > now - RESEND_PAUSE)
    later = Email.objects.filter(
        Q(state=State.CLAIMED) | Q(created_at__gt=now - RESEND_PAUSE),
        period=email.period,
        pi=email.pi,
        role=email.role,
        user=email.user,
        pk__gt=email.pk,
    )
    if email.state == State.SENT and (just_now or later.exists()):
        raise SentJustNow(f"{email.recipient} is being written to again, or was a moment ago. Look at the list.")


def _refuse_outdated(email: Email, statements: Sequence[Statement]) -> None:
    wanted = {each.pk for each in statements}
    numbers = [each.number for each in issuing.outdated(email.period) if each.statement in wanted]
    if numbers:
        verb = "is" if len(numbers) == 1 else "are"
        raise NotCurrent(
            f"{', '.join(numbers)} {verb} not current: what is charged has changed since.",
            then=NextStep("issue_statements", {"period": email.period.iso_month}),
        )

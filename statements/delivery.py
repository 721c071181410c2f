"""Sending statements by e-mail: planned, claimed, sent to one recipient at a time, recorded, and never twice."""

import datetime
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from smtplib import SMTPException, SMTPResponseException
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from billing import audit
from billing.addresses import ascii_address
from billing.audit import Actor
from billing.background import working
from billing.errors import BillingError, NextStep
from billing.models import BillingPeriod, Policy
from billing.months import checklist, closing
from billing.progress import Progress, unwatched

from . import addressing, emails, issuing, outbox
from .addressing import Planned
from .issuing import Generated, Outdated
from .models import Email, Statement
from .outbox import Outbox

log = logging.getLogger(__name__)

State = Email.State

# Two clicks on “Send again” within this are one.
RESEND_PAUSE = datetime.timedelta(minutes=1)
# A mail server that was not there so many times in a row is not asked again by the same run.
MOST_UNREACHABLE = 3

CUT_OFF = "Nobody knows whether it arrived: send it again, or say what became of it."
INTERRUPTED = f"A run was stopped while it sent this. {CUT_OFF}"
RECORDED = "A run was stopped after it had sent this; it is recorded as sent now."
NOT_TRIED = f"Not tried: the mail server could not be reached {MOST_UNREACHABLE} times in a row."


class NotSent(BillingError):
    """Some e-mails could not be sent, or an earlier run left some behind; the others were sent."""

    def __init__(self, sent: "Sent", *, done: str = "", result: dict[str, Any] | None = None) -> None:
        self.sent = sent
        # What the run came to, for the page of its job.
        self.result = result
        said = [done] if done else []
        if sent.failed:
            total = len(sent.failed) + len(sent.messages)
            names = ", ".join(message.recipient for message in sent.failed)
            said.append(f"{len(sent.failed)} of {total} e-mails were not sent: {names}.")
        if sent.interrupted:
            names = ", ".join(f"#{message.number} to {message.recipient}" for message in sent.interrupted)
            said.append(f"Of {len(sent.interrupted)} that an earlier run began, somebody has to look: {names}.")
        then = NextStep("settle_emails") if sent.interrupted else NextStep("send_statements", {"period": sent.period})
        super().__init__(" ".join(said), then=then)


class NothingToResend(BillingError):
    """An e-mail was to be sent again, and none of its statements is in force, or nobody gets it any more."""


class SentJustNow(BillingError):
    """An e-mail was to be sent again twice in a moment: a double click."""


class BeingSent(BillingError):
    """An e-mail was to be sent again or settled while a run is sending it."""


class StillWaits(BillingError):
    """An e-mail was to be sent again that waits for somebody to confirm its PI."""


class NotCurrent(BillingError):
    """An e-mail was to be sent again with statements that are not current."""


class NotInDoubt(BillingError):
    """An e-mail was to be marked as sent of which it is known whether it was sent."""


class FileNotWritten(BillingError):
    """An e-mail that could not be written to a file."""


class EmailNotConfigured(BillingError):
    """What was written to files was to be sent, and there is no mail server."""


@dataclass(frozen=True)
class Message:
    """One e-mail to one recipient: sent, written to a file, or why it was not."""

    # 0 where it is not stored yet.
    number: int
    period: str
    pi: str
    pi_name: str
    recipient: str
    role: str
    statements: tuple[str, ...]
    is_first: bool = False
    path: str = ""
    error: str = ""


@dataclass(frozen=True)
class Stated:
    """One statement that goes out: what it says is charged, and to whom it goes."""

    number: str
    pi: str
    pi_name: str
    project: str
    charged: Decimal
    currency: str
    recipients: tuple[str, ...]


@dataclass(frozen=True)
class Sent:
    """What a run sent and what it did not; or, as a preview, what it would."""

    period: str
    is_dry_run: bool = False
    # Whether they are files on this machine, because e-mail is not configured.
    is_written: bool = False
    messages: tuple[Message, ...] = ()
    # The next run tries these again.
    failed: tuple[Message, ...] = ()
    # Left behind by a run that was stopped, of this month or another: a person decides.
    interrupted: tuple[Message, ...] = ()
    # Until a PI is confirmed, or a person sends.
    waiting: tuple[Message, ...] = ()
    # To nobody any more: a delegation that ended, a statement that was replaced.
    left_out: tuple[Message, ...] = ()
    # Not current: not sent, unless that was asked for.
    outdated: tuple[Outdated, ...] = ()
    sends_outdated: bool = False
    stated: tuple[Stated, ...] = ()
    # Where the files are; empty where e-mail is configured.
    folder: str = ""
    # E-mails of this month that are files so far.
    files: int = 0

    @property
    def statements(self) -> int:
        return len({number for message in self.messages for number in message.statements})

    @property
    def first(self) -> tuple[Message, ...]:
        """Those to addresses that never got an e-mail with statements before."""
        return tuple(message for message in self.messages if message.is_first)

    @property
    def totals(self) -> dict[str, Decimal]:
        """What the statements come to, by currency."""
        found: dict[str, Decimal] = defaultdict(Decimal)
        for each in self.stated:
            found[each.currency] += each.charged
        return dict(found)

    @property
    def is_trouble(self) -> bool:
        return bool(self.failed or self.interrupted)


def issue_and_send(
    *,
    period: BillingPeriod,
    dry_run: bool = False,
    send_now: bool = False,
    actor: Actor,
    now: datetime.datetime,
    progress: Progress = unwatched,
) -> tuple[Generated, Sent | None]:
    """Generate a period's statements and, if asked, send them; a dry run sends nothing."""
    generated = issuing.generate(period=period, dry_run=dry_run, actor=actor, now=now, progress=progress)
    if dry_run or not send_now:
        return generated, None
    return generated, send(period=period, actor=actor, now=now, progress=progress)


def preview(
    *, period: BillingPeriod, outdated: bool = False, written: bool = False, actor: Actor, now: datetime.datetime
) -> Sent:
    """Return what `send` would do now. Writes nothing."""
    planned, stale = _planned(period, outdated=outdated, written=written, actor=actor, now=now)
    left = [each for each in Email.objects.filter(state=State.CLAIMED) if was_left(each)]
    return Sent(
        period=str(period),
        is_dry_run=True,
        is_written=outbox.writes_files(),
        messages=tuple(_message_of(each) for each in planned if not each.waits and not each.left_out),
        waiting=tuple(_message_of(each) for each in planned if each.waits),
        left_out=tuple(_message_of(each) for each in planned if each.left_out),
        interrupted=(*_uncertain(), *(_told(each, error=INTERRUPTED) for each in left)),
        outdated=stale,
        sends_outdated=outdated,
        stated=_stated(planned),
        folder=_folder(),
        files=_files(period).count(),
    )


def send(
    *,
    period: BillingPeriod,
    outdated: bool = False,
    written: bool = False,
    actor: Actor,
    now: datetime.datetime,
    progress: Progress = unwatched,
) -> Sent:
    """E-mail the statements of a period that are issued and not sent: one e-mail per recipient.

    1. E-mails that an earlier run had claimed when it was stopped are reported, and not sent: they may have arrived.
    2. What is to be sent is decided under the period's lock, so that two runs do not both write to somebody.
       Statements that are not current are left out, unless `outdated`. `written` adds what is a file so far.
    3. Each e-mail is claimed, sent outside of any transaction, and recorded after. One that the server refused is
       tried again by the next run; one that was sent never is.

    Raises EmailTemplateError before anything is sent, EmailNotConfigured, and the errors of `charging.compute`.
    """
    if written and outbox.writes_files():
        raise EmailNotConfigured(
            "E-mail is not configured: there is no mail server to send to. Ask who runs this program to set EMAIL_URL."
        )
    issuing.render_missing(period=period, actor=actor, now=now, progress=progress)
    _check_templates(period)
    recorded = _settle_left(actor=actor, now=now)
    planned, stale = _planned(period, outdated=outdated, written=written, actor=actor, now=now, store=True)
    going = [each for each in planned if not each.waits and not each.left_out]
    messages, failed, dropped = _send(going, actor=actor, now=now, progress=progress)
    return Sent(
        period=str(period),
        is_written=outbox.writes_files(),
        messages=tuple(messages),
        failed=tuple(failed),
        interrupted=(*recorded, *_uncertain()),
        waiting=tuple(_message_of(each) for each in planned if each.waits),
        left_out=(*(_message_of(each) for each in planned if each.left_out), *dropped),
        outdated=stale,
        sends_outdated=outdated,
        stated=_stated(going),
        folder=_folder(),
        files=_files(period).count(),
    )


def resend(*, email: Email, outdated: bool = False, actor: Actor, now: datetime.datetime) -> Sent:
    """Send one e-mail again, with those of its statements that are in force, to whoever it is for today.

    One that was sent is repeated as a new one; any other is tried again itself. Raises NothingToResend, StillWaits,
    NotCurrent unless `outdated`, BeingSent, or SentJustNow for one that was sent within the minute.
    """
    _settle_left(actor=actor, now=now)
    with audit.gesture(actor=actor, now=now) as gesture:
        # A second click waits here, and then sees what the first did.
        email = _locked(email)
        if email.state == State.CLAIMED:
            raise BeingSent(f"A run is sending {email} at this moment. Look at it again in a minute.")
        _refuse_double_click(email, now)
        in_force = list(email.statements.live().select_related("pi", "project", "period").order_by("number"))
        if not in_force:
            raise NothingToResend(
                f"The statements of {email} were replaced or voided: send the month instead.",
                then=NextStep("send_statements", {"period": str(email.period)}),
            )
        delegates = addressing.delegates_of([email.pi], timezone.localtime(now).date())
        addressed = addressing.addressed_to(email, in_force, delegates)
        if addressed.left_out:
            raise NothingToResend(addressed.left_out)
        if not outdated:
            _refuse_outdated(email, addressed.statements)
        again = email
        if email.state == State.SENT:
            again = Email(period=email.period, pi=email.pi, role=email.role, user=email.user)
        again.recipient = addressed.recipient
        (planned,) = addressing.decided([(again, addressed)], actor)
        if planned.waits:
            raise StillWaits(planned.waits)
        _store([planned], now)
        if again.pk != email.pk:
            gesture.record("email.queued", again, after={"again": email.pk})
    _check_templates(email.period)
    messages, failed, dropped = _send([planned], actor=actor, now=now, progress=unwatched)
    return Sent(
        period=str(email.period),
        is_written=outbox.writes_files(),
        messages=tuple(messages),
        failed=tuple(failed),
        interrupted=tuple(each for each in _uncertain() if each.number == again.pk),
        left_out=tuple(dropped),
        stated=_stated([planned]),
        folder=_folder(),
    )


def settle(*, email: Email, arrived: bool = True, note: str = "", actor: Actor, now: datetime.datetime) -> Email:
    """Say of an e-mail of which nobody knew whether it arrived; then it is sent, or left out.

    Raises NotInDoubt for any other.
    """
    _settle_left(actor=actor, now=now)
    with audit.gesture(actor=actor, now=now) as gesture:
        email = _locked(email)
        if email.state != State.UNCERTAIN:
            raise NotInDoubt(f"It is known of {email} what became of it: {email.get_state_display().lower()}.")
        if arrived:
            _mark_sent(email, email.claimed_at or now, path=email.message_path)
        else:
            email.state, email.error = State.DROPPED, "It did not arrive, and was not sent again."
            email.save()
        gesture.record(
            "email.settled", email, before={"state": State.UNCERTAIN}, after={"state": email.state}, note=note
        )
    return email


def _locked(email: Email) -> Email:
    """Return an e-mail as it stands, which nobody claims or sends for the rest of the transaction."""
    closing.locked(email.period)
    same = Email.objects.select_related("pi", "period", "user")
    return same.select_for_update(no_key=True, of=("self",)).get(pk=email.pk)


def was_left(email: Email) -> bool:
    """Tell whether the run that had claimed an e-mail is gone."""
    if email.state != State.CLAIMED or email.claimed_at is None:
        return False
    return working.is_gone(_mark(email.pk))


def uncertain() -> list[Email]:
    """Return the e-mails of which nobody knows whether they arrived: a person has to look at them."""
    found = Email.objects.filter(state__in=(State.UNCERTAIN, State.CLAIMED)).select_related("pi", "period")
    return [each for each in found.order_by("pk") if each.state == State.UNCERTAIN or was_left(each)]


def troubled(period: BillingPeriod) -> QuerySet[Email]:
    """Keep the e-mails of a period that somebody has to look at: not sent although it should, or perhaps sent."""
    in_force = Statement.objects.live().filter(emails=OuterRef("pk"))
    left = [each.pk for each in uncertain() if each.state == State.CLAIMED]
    return Email.objects.filter(
        Q(Exists(in_force), state=State.FAILED) | Q(state=State.UNCERTAIN) | Q(pk__in=left), period=period
    )


def _planned(
    period: BillingPeriod,
    *,
    outdated: bool,
    written: bool,
    actor: Actor,
    now: datetime.datetime,
    store: bool = False,
) -> tuple[list[Planned], tuple[Outdated, ...]]:
    on = timezone.localtime(now).date()
    states = (*Email.TO_SEND, State.WRITTEN) if written else Email.TO_SEND
    found = issuing.outdated if store else _outdated_kept
    stale = _stale(period, addressing.plan(period, states=states, actor=actor, on=on), found, told=outdated)
    left_out = set() if outdated else {each.statement for each in stale}
    if not store:
        return addressing.plan(period, outdated=left_out, states=states, actor=actor, on=on), stale
    with audit.gesture(actor=actor, now=now) as gesture:
        period = closing.locked(period)
        planned = addressing.plan(period, outdated=left_out, states=states, locks=True, actor=actor, on=on)
        _store(planned, now)
        for each in planned:
            if each.left_out:
                gesture.record(
                    "email.dropped",
                    each.email,
                    after={"recipient": each.email.recipient},
                    note=each.left_out,
                )
    return planned, stale


def _outdated_kept(period: BillingPeriod) -> list[Outdated]:
    """Return which statements are not current, worked out again only if something was recorded since."""
    return checklist.kept(period, "outdated", lambda: issuing.outdated(period))


def _stale(
    period: BillingPeriod,
    planned: Sequence[Planned],
    outdated: Callable[[BillingPeriod], list[Outdated]],
    *,
    told: bool,
) -> tuple[Outdated, ...]:
    """Return which of the statements to be sent are not current."""
    wanted = {statement.pk for each in planned if not each.left_out for statement in each.statements}
    if not wanted:
        return ()
    try:
        return tuple(each for each in outdated(period) if each.statement in wanted)
    except BillingError:
        # What the month comes to cannot be computed, so nothing is known to be current.
        if not told:
            raise
        return ()


def _store(planned: Sequence[Planned], now: datetime.datetime) -> None:
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


def _settle_left(*, actor: Actor, now: datetime.datetime) -> list[Message]:
    """Take note of e-mails that a run had claimed when it was stopped; none is sent again by itself.

    Returns those that turn out to be sent: their message was archived, which comes after the sending.
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
            archived = _archive_path(email)
            if (Path(settings.VAR_DIR) / archived).is_file():
                _mark_sent(email, email.claimed_at or now, path=archived)
                gesture.record("email.settled", email, after={"state": State.SENT}, note=RECORDED)
                recorded.append(_told(email, error=RECORDED))
            else:
                gesture.record("email.uncertain", email, after={"recipient": email.recipient}, note=INTERRUPTED)
        working.forget(_mark(email.pk))
    return recorded


def _mark_sent(email: Email, at: datetime.datetime, *, path: str) -> None:
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
            then=NextStep("issue_statements", {"period": str(email.period)}),
        )


def _check_templates(period: BillingPeriod) -> None:
    """Write one letter before any is claimed: a mistake in a template concerns them all."""
    statement = (
        Statement.objects.live()
        .filter(period=period)
        .select_related("period", "reference__period")
        .prefetch_related("lines")
        .order_by("number")
        .first()
    )
    if statement:
        emails.letter_of([statement], policy=Policy.objects.current(), sees_all=True)


def _send(
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
                failed.append(_message_of(each, error=NOT_TRIED))
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
    """Send one e-mail, unless somebody else has claimed it; the mark says that this process is at it."""
    email = planned.email
    mark = working.begin(_mark(email.pk))
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
            message = _message(email, statements, sees_all=addressed.sees_all)
            email.subject = message.subject[:254]
            if outbox.writes_files():
                path = _written(email, message, statements)
                state = State.WRITTEN
            else:
                out.send(message)
                path = _archived(email, message)
                state = State.SENT
        except (SMTPException, OSError, BillingError, ValueError) as problem:
            # ValueError: an address that cannot stand in a header. The next recipient gets theirs all the same.
            error = outbox.words_of(problem)
            # What was a file stays one.
            state = State.WRITTEN if was_written else State.FAILED
            if out.was_handed_over and not isinstance(problem, SMTPResponseException):
                state = State.UNCERTAIN
                error = f"{error.rstrip('.')}. {CUT_OFF}"
    _record(email, statements, state, error, path, actor=actor, now=now)
    return _told(
        email,
        statements=tuple(each.number for each in statements),
        is_first=planned.is_first,
        path=str(Path(settings.VAR_DIR) / path) if path else "",
        error=error,
    )


def _archived(email: Email, message: EmailMultiAlternatives) -> str:
    """Keep an e-mail that was sent, and return where; empty where it cannot be kept: it was sent all the same."""
    path = _archive_path(email)
    try:
        outbox.write(Path(settings.VAR_DIR) / path, message.message().as_bytes())
    except OSError:
        log.exception("%s was sent, and its message could not be archived", email)
        return ""
    return path


def _written(email: Email, message: EmailMultiAlternatives, statements: Sequence[Statement]) -> str:
    """Write an e-mail to a file named by its recipient and statements; return the path as it is kept."""
    name = outbox.file_name(email.recipient, [each.number for each in statements])
    data = message.message().as_bytes()
    try:
        path = outbox.write(Path(settings.EMAIL_FILE_PATH) / name, data, keep=True)
    except OSError as problem:
        raise FileNotWritten(f"The file cannot be written: {problem}") from problem
    return str(path.relative_to(settings.VAR_DIR)) if path.is_relative_to(settings.VAR_DIR) else str(path)


def _message(email: Email, statements: Sequence[Statement], *, sees_all: bool) -> EmailMultiAlternatives:
    policy = Policy.objects.current()
    # Who gets a message of their own may see single projects only.
    letter = emails.letter_of(statements, policy=policy, sees_all=sees_all)
    domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].strip("> ") or "localhost"
    message = EmailMultiAlternatives(
        subject=letter.subject,
        body=letter.text,
        to=[ascii_address(email.recipient)],
        reply_to=[policy.contact_email] if policy.contact_email else None,
        # The same for every try, so that a mailbox can tell a message that came twice.
        headers={
            "Message-ID": f"<statements-{email.pk}-{email.created_at:%Y%m%d%H%M%S%f}@{domain}>",
            "Auto-Submitted": "auto-generated",
        },
    )
    message.attach_alternative(letter.html, "text/html")
    for statement in statements:
        message.attach(f"statement-{statement.number}.pdf", issuing.pdf_of(statement), "application/pdf")
    return message


def _record(
    email: Email,
    statements: Sequence[Statement],
    state: Email.State,
    error: str,
    path: str,
    *,
    actor: Actor,
    now: datetime.datetime,
) -> None:
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
            "email.sent"
            if state == State.SENT
            else "email.uncertain"
            if state == State.UNCERTAIN
            else "email.dropped"
            if state == State.DROPPED
            else "email.failed"
            if error
            else "email.written",
            email,
            after={
                "recipient": email.recipient,
                "statements": [statement.number for statement in statements],
                # Which documents went out can be told from the trail alone.
                **({"error": error} if error else {"sha256": [statement.pdf_sha256 for statement in statements]}),
            },
        )


def _mark(pk: int) -> str:
    return f"email-{pk}"


def _archive_path(email: Email) -> str:
    # With the time it was queued: another database in the same folder may have given the same number.
    return f"mail/archive/{email.period}/{email.pk:06d}-{email.created_at:%Y%m%dT%H%M%S%f}.eml"


def _folder() -> str:
    return settings.EMAIL_FILE_PATH if outbox.writes_files() else ""


def _files(period: BillingPeriod) -> QuerySet[Email]:
    return Email.objects.filter(period=period, state=State.WRITTEN)


def _uncertain() -> list[Message]:
    found = Email.objects.filter(state=State.UNCERTAIN).select_related("pi", "period").order_by("pk")
    return [_told(each, error=each.error) for each in found]


def _message_of(planned: Planned, *, error: str = "") -> Message:
    return _told(
        planned.email,
        statements=tuple(each.number for each in planned.statements),
        is_first=planned.is_first,
        error=error or planned.waits or planned.left_out,
    )


def _told(
    email: Email,
    *,
    statements: Collection[str] | None = None,
    is_first: bool = False,
    path: str = "",
    error: str = "",
) -> Message:
    if statements is None:
        statements = email.statements.order_by("number").values_list("number", flat=True)
    return Message(
        number=email.pk or 0,
        period=str(email.period),
        pi=email.pi.email,
        pi_name=email.pi.display_name,
        recipient=email.recipient,
        role=email.role,
        statements=tuple(statements),
        is_first=is_first,
        path=path,
        error=error,
    )


def _stated(planned: Sequence[Planned]) -> tuple[Stated, ...]:
    """Return the statements that go out, by number, each with all who get it."""
    found: dict[str, Statement] = {}
    recipients: dict[str, list[str]] = defaultdict(list)
    for each in planned:
        if each.waits or each.left_out:
            continue
        for statement in each.statements:
            found[statement.number] = statement
            recipients[statement.number].append(each.email.recipient)
    return tuple(
        Stated(
            number=number,
            pi=statement.pi.email,
            pi_name=statement.pi.display_name,
            project=statement.project.code if statement.project else "",
            charged=statement.charged,
            currency=statement.currency,
            recipients=tuple(recipients[number]),
        )
        for number, statement in sorted(found.items())
    )

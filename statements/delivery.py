"""Bringing statements to PIs by e-mail: queued, claimed, sent, recorded, and never twice."""

import datetime
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from billing import audit, closing
from billing.audit import Actor
from billing.errors import BillingError
from billing.models import BillingPeriod, Membership, Person, Policy
from billing.progress import Progress, unwatched

from . import emails, issuing
from .issuing import Generated
from .models import Delivery, Statement

# A claim older than this belongs to a worker that is gone.
CLAIM_HOLDS = datetime.timedelta(hours=1)
# Two clicks on “Send again” within this are one.
RESEND_PAUSE = datetime.timedelta(minutes=1)

FILE_BACKEND = "django.core.mail.backends.filebased.EmailBackend"


class NotDelivered(BillingError):
    """Some messages could not be sent; the others were."""

    def __init__(self, sent: "Sent") -> None:
        self.sent = sent
        names = ", ".join(message.pi for message in sent.failed)
        super().__init__(
            f"{len(sent.failed)} of {len(sent.failed) + len(sent.messages)} e-mails were not sent: {names}. "
            f"`manage.py send_statements -p {sent.period}` tries them again."
        )


class NothingToResend(BillingError):
    """A message was to be sent again, and none of its statements is in force."""


class SentJustNow(BillingError):
    """A message was to be sent again twice in a moment: a double click."""


@dataclass(frozen=True)
class SentMessage:
    """One e-mail that went out, or why it did not."""

    delivery: int
    pi: str
    recipients: tuple[str, ...]
    statements: tuple[str, ...]
    path: str = ""
    error: str = ""


@dataclass(frozen=True)
class Sent:
    """What a run delivered and what it could not; the next run tries the latter again."""

    period: str
    messages: tuple[SentMessage, ...]
    failed: tuple[SentMessage, ...]
    # Where the messages are when there is no mail server; empty otherwise.
    folder: str = ""

    @property
    def statements(self) -> int:
        return len({number for message in self.messages for number in message.statements})


def issue_and_send(
    *,
    period: BillingPeriod,
    dry_run: bool = False,
    send_now: bool = False,
    actor: Actor,
    now: datetime.datetime,
    progress: Progress = unwatched,
) -> tuple[Generated, Sent | None]:
    """Generate a period's statements and, if asked, deliver them; a dry run sends nothing."""
    generated = issuing.generate(period=period, dry_run=dry_run, actor=actor, now=now, progress=progress)
    if dry_run or not send_now:
        return generated, None
    return generated, send(period=period, actor=actor, now=now, progress=progress)


def send(*, period: BillingPeriod, actor: Actor, now: datetime.datetime, progress: Progress = unwatched) -> Sent:
    """E-mail every PI the statements of a period that are issued and not sent, all in one message.

    Each message is claimed first, sent outside of any transaction, and recorded after; what failed is
    tried again by the next run, what was sent never is. Raises EmailTemplateError before anything is
    sent.
    """
    issuing.render_missing(period=period, actor=actor, now=now, progress=progress)
    _check_templates(period)
    _queue(period, actor=actor, now=now)
    waiting = _waiting(period, now).values_list("pk", flat=True)
    return _send(list(waiting), period=period, actor=actor, now=now, progress=progress)


def resend(*, delivery: Delivery, actor: Actor, now: datetime.datetime) -> Sent:
    """Send one message again, with those of its statements that are in force.

    A failed one is tried again; of one that was sent, a new one is made. Raises NothingToResend, or
    SentJustNow for a message that was sent again already within the minute.
    """
    in_force = list(delivery.statements.live())
    if not in_force:
        raise NothingToResend(f"The statements of {delivery} were replaced: send the period instead.")
    if delivery.state == Delivery.State.SENT:
        with audit.gesture(actor=actor, now=now) as gesture:
            # A second click waits here, and then sees the message of the first.
            closing.locked(delivery.period)
            under_way = Q(state__in=(Delivery.State.QUEUED, Delivery.State.CLAIMED))
            just_now = Q(created_at__gt=now - RESEND_PAUSE)
            later = Delivery.objects.filter(period=delivery.period, pi=delivery.pi, pk__gt=delivery.pk)
            if later.filter(under_way | just_now).exists():
                raise SentJustNow(f"{delivery.pi} is being written to again, or was a moment ago. Look at the list.")
            again = _delivery(delivery.period, delivery.pi, list(delivery.recipients), in_force, now)
            gesture.record("delivery.queued", again, after={"again": delivery.pk})
    else:
        again = delivery
    _check_templates(delivery.period)
    return _send([again.pk], period=delivery.period, actor=actor, now=now, progress=unwatched)


def _waiting(period: BillingPeriod, now: datetime.datetime) -> QuerySet[Delivery]:
    """Keep the messages to be sent now, with at least one statement that is still in force."""
    live = Statement.objects.live().filter(deliveries=OuterRef("pk"))
    return (
        Delivery.objects.filter(period=period).filter(_claimable(now)).filter(Exists(live)).order_by("pi__email", "pk")
    )


def _claimable(now: datetime.datetime) -> Q:
    return Q(state__in=(Delivery.State.QUEUED, Delivery.State.FAILED)) | Q(
        state=Delivery.State.CLAIMED, claimed_at__lt=now - CLAIM_HOLDS
    )


def _queue(period: BillingPeriod, *, actor: Actor, now: datetime.datetime) -> None:
    """Note a message for each PI whose statements are issued and in no message that is under way."""
    under_way = Delivery.objects.exclude(state=Delivery.State.SENT).filter(statements=OuterRef("pk"))
    with audit.gesture(actor=actor, now=now):
        # One run at a time decides what is new, so that nobody is written to twice.
        period = closing.locked(period)
        fresh = (
            Statement.objects.filter(period=period, state=Statement.State.ISSUED)
            .exclude(Exists(under_way))
            .select_related("pi")
            .order_by("pi__email", "number")
        )
        by_pi: dict[Person, list[Statement]] = defaultdict(list)
        for statement in fresh:
            by_pi[statement.pi].append(statement)
        on = timezone.localtime(now).date()
        delegates = _delegates(list(by_pi), on)
        for pi, statements in by_pi.items():
            everything = [each.user.email for each in delegates[pi.pk] if each.project_id is None]
            _delivery(period, pi, _recipients(pi, everything), statements, now)
            for email, own in _limited(delegates[pi.pk], statements).items():
                if email not in everything:
                    _delivery(period, pi, [email], own, now)


def _delivery(
    period: BillingPeriod,
    pi: Person,
    recipients: list[str],
    statements: Sequence[Statement],
    now: datetime.datetime,
) -> Delivery:
    delivery = Delivery.objects.create(period=period, pi=pi, recipients=recipients, created_at=now)
    delivery.statements.set(statements)
    return delivery


def _delegates(pis: Sequence[Person], on: datetime.date) -> dict[int, list[Membership]]:
    """Return, by PI, the delegates who get statements on a day."""
    found: dict[int, list[Membership]] = defaultdict(list)
    memberships = (
        Membership.objects.filter(
            Q(valid_until__isnull=True) | Q(valid_until__gte=on),
            person__in=pis,
            receives_statements=True,
            valid_from__lte=on,
            user__is_active=True,
        )
        .exclude(user__email="")
        .select_related("user")
        .order_by("user__email")
    )
    for membership in memberships:
        found[membership.person_id].append(membership)
    return found


def _recipients(pi: Person, delegates: Sequence[str]) -> list[str]:
    """Return whom a PI's message goes to: the PI first, then who gets a copy; nobody twice."""
    found: dict[str, str] = {}
    for email in (pi.email, pi.contact_email, *delegates):
        if email:
            found.setdefault(email.casefold(), email)
    return list(found.values())


def _limited(delegates: Sequence[Membership], statements: Sequence[Statement]) -> dict[str, list[Statement]]:
    """Return what delegates of single projects get: a message of their own, without the other projects."""
    own: dict[str, list[Statement]] = defaultdict(list)
    for delegate in delegates:
        for statement in statements:
            if delegate.project_id is not None and statement.project_id == delegate.project_id:
                own[delegate.user.email].append(statement)
    return own


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
        _letter([statement], Policy.objects.current())


def _letter(statements: Sequence[Statement], policy: Policy) -> emails.Letter:
    return emails.letter(
        [issuing.document_of(statement) for statement in statements],
        subject=policy.email_subject,
        text=policy.email_text,
        institution=policy.institution,
        portal_url=settings.SITE_URL + reverse("portal:statements"),
    )


def _send(
    ids: Sequence[int], *, period: BillingPeriod, actor: Actor, now: datetime.datetime, progress: Progress
) -> Sent:
    # The clock of a long run: claims made late in it are not older than they are.
    began = time.monotonic()
    messages: list[SentMessage] = []
    failed: list[SentMessage] = []
    outbox = _Outbox()
    try:
        for done, pk in enumerate(ids, start=1):
            progress(done, len(ids), "Sending statements")
            at = now + datetime.timedelta(seconds=time.monotonic() - began)
            claimed = Delivery.objects.filter(_claimable(at), pk=pk).update(state=Delivery.State.CLAIMED, claimed_at=at)
            if not claimed:
                continue
            message = _deliver(pk, outbox, actor=actor, now=at)
            (failed if message.error else messages).append(message)
    finally:
        outbox.close()
    return Sent(
        period=str(period),
        messages=tuple(messages),
        failed=tuple(failed),
        folder=settings.EMAIL_FILE_PATH if settings.EMAIL_BACKEND == FILE_BACKEND else "",
    )


def _deliver(pk: int, outbox: "_Outbox", *, actor: Actor, now: datetime.datetime) -> SentMessage:
    """Send one claimed message and record what came of it."""
    delivery = Delivery.objects.select_related("pi", "period").get(pk=pk)
    statements = list(
        delivery.statements.live()
        .select_related("period", "reference__period")
        .prefetch_related("lines")
        .order_by("number")
    )
    archive = Path(settings.VAR_DIR) / _archive_path(delivery)
    error = ""
    try:
        recipients = _current_recipients(delivery, now)
        # The archive is written after the sending: where it is there, only the recording was cut off.
        if not archive.is_file():
            message = _message(delivery, recipients, statements)
            outbox.send(message)
            _archive(archive, message.message().as_bytes())
            delivery.subject = message.subject[:254]
            delivery.recipients = recipients
    except (SMTPException, OSError, BillingError, ValueError) as problem:
        # ValueError: an address that cannot stand in a header. The next PI gets theirs all the same.
        error = f"{type(problem).__name__}: {problem}"
    _record(delivery, statements, error, actor=actor, now=now)
    return SentMessage(
        delivery=delivery.pk,
        pi=delivery.pi.email,
        recipients=tuple(delivery.recipients),
        statements=tuple(statement.number for statement in statements),
        path="" if error else str(archive),
        error=error,
    )


def _current_recipients(delivery: Delivery, now: datetime.datetime) -> list[str]:
    """Return whom a message goes to today: addresses get corrected and delegates leave while it waits."""
    delegates = _delegates([delivery.pi], timezone.localtime(now).date())[delivery.pi_id]
    limited = {each.user.email for each in delegates if each.project_id is not None}
    if len(delivery.recipients) == 1 and delivery.recipients[0] in limited:
        return list(delivery.recipients)
    return _recipients(delivery.pi, [each.user.email for each in delegates if each.project_id is None])


def _message(delivery: Delivery, recipients: Sequence[str], statements: Sequence[Statement]) -> EmailMultiAlternatives:
    policy = Policy.objects.current()
    letter = _letter(statements, policy)
    domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].strip("> ") or "localhost"
    message = EmailMultiAlternatives(
        subject=letter.subject,
        body=letter.text,
        to=list(recipients[:1]),
        cc=list(recipients[1:]),
        reply_to=[policy.contact_email] if policy.contact_email else None,
        # The same for every try, so that a mailbox can tell a message that came twice.
        headers={
            "Message-ID": f"<statements-{delivery.pk}-{delivery.created_at:%Y%m%d%H%M%S%f}@{domain}>",
            "Auto-Submitted": "auto-generated",
        },
    )
    message.attach_alternative(letter.html, "text/html")
    for statement in statements:
        message.attach(f"statement-{statement.number}.pdf", issuing.pdf_of(statement), "application/pdf")
    return message


def _record(
    delivery: Delivery, statements: Sequence[Statement], error: str, *, actor: Actor, now: datetime.datetime
) -> None:
    with audit.gesture(actor=actor, now=now) as gesture:
        if error:
            delivery.state = Delivery.State.FAILED
            delivery.error = error
        else:
            delivery.state = Delivery.State.SENT
            delivery.error = ""
            delivery.sent_at = now
            delivery.message_path = _archive_path(delivery)
            # A copy for a delegate of one project does not make it sent to its PI.
            if delivery.pi.email in delivery.recipients:
                Statement.objects.filter(
                    pk__in=[statement.pk for statement in statements], state=Statement.State.ISSUED
                ).update(state=Statement.State.SENT, sent_at=now)
        delivery.save()
        gesture.record(
            "delivery.failed" if error else "delivery.sent",
            delivery,
            after={
                "recipients": delivery.recipients,
                "statements": [statement.number for statement in statements],
                # Which documents went out can be told from the trail alone.
                **({"error": error} if error else {"sha256": [statement.pdf_sha256 for statement in statements]}),
            },
        )


def _archive_path(delivery: Delivery) -> str:
    # With the time it was queued: another database in the same folder may have given the same number.
    return f"mail/archive/{delivery.period}/{delivery.pk:06d}-{delivery.created_at:%Y%m%dT%H%M%S%f}.eml"


def _archive(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(data)
    part.chmod(0o640)
    os.replace(part, path)


class _Outbox:
    """One connection for many messages; to files, one for each, so that each has a file of its own."""

    def __init__(self) -> None:
        self.connections: list[BaseEmailBackend] = []

    def send(self, message: EmailMultiAlternatives) -> None:
        if not self.connections or settings.EMAIL_BACKEND == FILE_BACKEND:
            # Kept until the end: the backend names its files by the connection's identity.
            self.connections.append(get_connection())
        message.connection = self.connections[-1]
        try:
            message.connection.open()
            message.send()
        except BaseException:
            self.connections.pop().close()
            raise
        if settings.EMAIL_BACKEND == FILE_BACKEND:
            message.connection.close()

    def close(self) -> None:
        while self.connections:
            self.connections.pop().close()

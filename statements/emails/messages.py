"""The message of an e-mail as it leaves: its words for this reader, its headers and its files."""

import datetime
from collections.abc import Sequence
from email.encoders import encode_base64
from email.mime.base import MIMEBase

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.utils import timezone

from billing.addresses import ascii_address
from billing.models import Policy
from billing.texts import long_date

from ..models import Email, Statement
from . import addressing
from .attachments import File, Files, files_of
from .letter_values import About
from .letters import Letter, letter_of

State = Email.State


def compose(
    email: Email, statements: Sequence[Statement], *, sees_all: bool, now: datetime.datetime
) -> EmailMultiAlternatives:
    """Return the message of an e-mail, with its files. Raises EmailTemplateError or ChargesLost."""
    policy = Policy.objects.current()
    letter, files = written(email, statements, policy, sees_all=sees_all, now=now)
    domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].strip("> ") or "localhost"
    message = message_of(letter, files, to=email.recipient, policy=policy)
    # The same for every try, so that a mailbox can tell a message that came twice.
    message.extra_headers["Message-ID"] = f"<statements-{email.pk}-{email.created_at:%Y%m%d%H%M%S%f}@{domain}>"
    return message


def written(
    email: Email, statements: Sequence[Statement], policy: Policy, *, sees_all: bool, now: datetime.datetime
) -> tuple[Letter, Files]:
    """Write an e-mail to its recipient, and return its words and its files."""
    files = files_of(statements, policy)
    you_get_this, copy_for = _why(email, statements, now)
    about = About(you_get_this, copy_for, _again(email), files.names, files.left_off)
    return letter_of(statements, policy=policy, sees_all=sees_all, about=about), files


def message_of(letter: Letter, files: Files, *, to: str, policy: Policy) -> EmailMultiAlternatives:
    """Return a message with these words and files."""
    message = EmailMultiAlternatives(
        subject=letter.subject,
        body=letter.text,
        to=[ascii_address(to)],
        reply_to=[policy.contact_email] if policy.contact_email else None,
        headers={"Auto-Submitted": "auto-generated"},
    )
    message.attach_alternative(letter.html, "text/html")
    for file in files.attached:
        if file.content_type.startswith("text/"):
            message.attach(_part(file))
        else:
            message.attach(file.name, file.data, file.content_type)
    return message


def _part(file: File) -> MIMEBase:
    """Return a text file as a part that keeps it byte for byte: as text, mail would change the ends of its lines."""
    part = MIMEBase(*file.content_type.split("/"))
    part.set_payload(file.data)
    encode_base64(part)
    part.add_header("Content-Disposition", "attachment", filename=file.name)
    return part


def _why(email: Email, statements: Sequence[Statement], now: datetime.datetime) -> tuple[str, str]:
    """Say why somebody gets an e-mail and who else does; and, of a copy, for whom it is."""
    pi = email.pi.display_name
    if email.role == Email.Role.CONTACT:
        why = f"You receive this as the department contact of {pi}."
        return why, f"Copy for the department contact of {pi}"
    if email.role == Email.Role.DELEGATE:
        name = (email.user.get_full_name() if email.user else "") or email.recipient
        return (
            f"You receive this because you are a delegate of {pi} who gets copies.",
            f"Copy for {name}, delegate of {pi}",
        )
    copies = _copies(email, statements, now)
    said = "You receive this as the PI."
    return (f"{said} {'Copy' if len(copies) == 1 else 'Copies'} to {' and '.join(copies)}." if copies else said), ""


def _copies(email: Email, statements: Sequence[Statement], now: datetime.datetime) -> list[str]:
    """Return who gets copies of a PI's e-mail, as the PI knows them."""
    found = [f"your department contact, {email.pi.contact_email}"] if email.pi.contact_email else []
    projects = {each.project_id for each in statements}
    delegates = {
        each.user_id: each.user.get_full_name() or each.user.email
        for each in addressing.delegates_of([email.pi], timezone.localtime(now).date()).get(email.pi_id, ())
        if each.project_id is None or each.project_id in projects
    }
    if delegates:
        names = ", ".join(delegates.values())
        found.append(f"your delegate{'s' if len(delegates) > 1 else ''}, {names}")
    return found


def _again(email: Email) -> str:
    """Say why an e-mail is sent again; empty where it is the first time."""
    if not email.again_because:
        return ""
    first = email.repeats
    if first and first.sent_at:
        return f"This repeats our e-mail of {long_date(timezone.localdate(first.sent_at))}: {email.again_because}"
    return f"You may have received this e-mail already. It is sent again: {email.again_because}"

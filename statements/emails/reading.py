"""A message as it was sent, read back: its headers, its two parts and its files."""

import datetime
import email.policy
from dataclasses import dataclass
from email.message import EmailMessage

from django.template.defaultfilters import filesizeformat

from billing import audit
from billing.audit import Actor

from ..models import Email
from . import outbox

HEADERS = ("Subject", "From", "To", "Cc", "Reply-To", "Date", "Message-ID")


@dataclass(frozen=True)
class Attached:
    """A file of a message, by its number in it."""

    number: int
    name: str
    content_type: str
    data: bytes

    @property
    def size(self) -> str:
        return filesizeformat(len(self.data))


@dataclass(frozen=True)
class Archived:
    """A message as it was sent."""

    headers: tuple[tuple[str, str], ...]
    text: str
    html: str
    files: tuple[Attached, ...]


def archived(of: Email) -> Archived | None:
    """Return the message of an e-mail as it left; None where none was kept, or it is not there any more."""
    data = outbox.read(of)
    if data is None:
        return None
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return Archived(
        headers=tuple((name, str(message[name])) for name in HEADERS if message[name]),
        text=_part(message, "plain"),
        html=_part(message, "html"),
        files=tuple(
            Attached(
                number,
                part.get_filename() or f"file {number}",
                part.get_content_type(),
                # A part is bytes once it is decoded; `get_content` would make text of a CSV file.
                bytes(part.get_payload(decode=True) or b""),
            )
            for number, part in enumerate(message.iter_attachments(), start=1)
        ),
    )


def _part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    return str(body.get_content()).replace("\r\n", "\n") if body else ""


def record_download(*, of: Email, file: Attached, actor: Actor, now: datetime.datetime) -> None:
    """Note that staff took a file of an e-mail out of the system."""
    with audit.gesture(actor=actor, now=now) as gesture:
        gesture.record("email.file_downloaded", of, after={"file": file.name})

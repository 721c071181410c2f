"""A real SMTP server on localhost for tests: keeps what it is sent, and refuses, stalls or hangs up as told."""

import asyncio
import email
import email.policy
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

SMTP_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
FILE_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
ACCEPTED = "250 OK"


@dataclass(frozen=True)
class Mail:
    """One message as the server accepted it: whom it was for is what the envelope said."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        body = self.message.get_body(("plain",))
        return str(body.get_content()).replace("\r\n", "\n") if body else ""

    @property
    def html(self) -> str:
        body = self.message.get_body(("html",))
        return str(body.get_content()).replace("\r\n", "\n") if body else ""

    @property
    def attachments(self) -> list[str]:
        return [part.get_filename() or "" for part in self.message.iter_attachments()]


@dataclass
class MailServer:
    """What the server does, which may be changed while it runs, and what it got."""

    host: str
    port: int
    mailbox: list[Mail] = field(default_factory=list)
    # By address, what the server says instead of taking it: `550 5.1.1 No such user here`.
    refuses: dict[str, str] = field(default_factory=dict)
    # By address, what it says of the message once it has it: `554 5.7.1 Looks like spam`.
    refuses_message: dict[str, str] = field(default_factory=dict)
    # What it says of whoever sends.
    refuses_sender: str = ""
    # Addresses that it never answers about.
    stalls: set[str] = field(default_factory=set)
    # Addresses whose messages it keeps, and hangs up before it says so.
    drops_after_data: set[str] = field(default_factory=set)
    # Written to when a message is accepted; its answer then waits, so that a test can kill the sender in between.
    holds_at: Path | None = None

    @property
    def url(self) -> str:
        """The value of EMAIL_URL."""
        return f"smtp://{self.host}:{self.port}"

    def to(self, address: str) -> list[Mail]:
        """Return what an address got, oldest first."""
        return [mail for mail in self.mailbox if address in mail.recipients]

    def configure(self, settings: Any) -> None:
        """Have Django send through this server; `settings` is the fixture of that name."""
        settings.EMAIL_BACKEND = SMTP_BACKEND
        settings.EMAIL_HOST, settings.EMAIL_PORT = self.host, self.port
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.refuses_sender:
            return self.refuses_sender
        envelope.mail_from = address
        return ACCEPTED

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.stalls:
            await asyncio.sleep(3600)
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return ACCEPTED

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content).encode()
        for address in envelope.rcpt_tos:
            if address in self.refuses_message:
                return self.refuses_message[address]
        message = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.mailbox.append(Mail(envelope.mail_from or "", tuple(envelope.rcpt_tos), message))
        if self.holds_at:
            self.holds_at.touch()
            await asyncio.sleep(3600)
        if self.drops_after_data & set(envelope.rcpt_tos):
            assert server.transport is not None
            server.transport.close()
        return ACCEPTED


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """Run a mail server on a free port of this machine until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    served = MailServer("127.0.0.1", port)
    controller = Controller(served, hostname=served.host, port=port)
    controller.start()
    try:
        yield served
    finally:
        controller.stop()

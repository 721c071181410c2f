"""Test mode: every e-mail goes to one address, and says for whom it was meant; on no other setting does any leave."""

import re
from collections.abc import Sequence

from django.conf import settings
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.mail.backends import smtp
from django.utils.html import format_html

from .notices import Notice

BACKEND = "billing.mail_test_mode.EmailBackend"
BODY = re.compile(r"<body[^>]*>", re.IGNORECASE)
# On a message that was turned already.
MARK = "X-OpenChargeback-Test"


def test_address() -> str:
    """Return where every e-mail goes in test mode; empty where each goes to its recipient."""
    return str(settings.EMAIL_REDIRECT_TO) if settings.EMAIL_BACKEND == BACKEND else ""


def redirect(message: EmailMessage) -> None:
    """Have a message go to the test address alone, and say so in its subject and each of its parts."""
    if MARK in message.extra_headers:
        return
    meant_for = ", ".join(message.recipients()) or "nobody"
    message.extra_headers[MARK] = meant_for
    message.to, message.cc, message.bcc = [test_address()], [], []
    message.subject = f"[TEST for {meant_for}] {message.subject}"
    said = f"Test mode: this e-mail was meant for {meant_for}, who did not get it."
    message.body = f"{said}\n\n{message.body}"
    if isinstance(message, EmailMultiAlternatives):
        parts, message.alternatives = list(message.alternatives), []
        for content, kind in parts:
            message.attach_alternative(with_banner(str(content), said) if kind == "text/html" else content, kind)


def with_banner(html: str, said: str) -> str:
    """Put a sentence at the head of what is read in an HTML part."""
    style = "margin:0;padding:12px 16px;background:#fff5dd;color:#13211f;font:bold 15px/22px sans-serif"
    at = found.end() if (found := BODY.search(html)) else 0
    banner = format_html('<p style="{}">{}</p>', style, said)
    return f"{html[:at]}{banner}{html[at:]}"


class EmailBackend(smtp.EmailBackend):
    """The mail server's connection in test mode; whoever sends through it reaches the test address alone."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        for message in email_messages:
            redirect(message)
        return int(super().send_messages(email_messages) or 0)


def notice(user: object) -> Notice | None:
    """Say on every page of the staff that no e-mail reaches its recipient."""
    if address := test_address():
        return Notice(f"Test mode: every e-mail goes to {address}, and none to its recipient.")
    return None

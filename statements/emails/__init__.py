"""Statements sent by e-mail: to one recipient at a time, recorded, and never twice by themselves."""

from .choosing import UnknownStatement
from .dispatching import NOT_TRIED
from .doubts import (
    INTERRUPTED,
    RECORDED,
    NotInDoubt,
    in_doubt,
    settle,
    troubled,
    troubled_statements,
    uncertain,
    was_left,
)
from .letters import EmailTemplateError, Letter, letter_of
from .outbox import writes_files
from .outcomes import KeptBack, Message, NotSent, Sent, Stated
from .previewing import letter_to
from .resending import BeingSent, NotCurrent, NothingToResend, SentJustNow, StillWaits, resend
from .revising import SAME_AMOUNTS, Revised, mailed_before
from .sending import EmailNotConfigured, issue_and_send, preview, send

__all__ = [
    "INTERRUPTED",
    "NOT_TRIED",
    "RECORDED",
    "SAME_AMOUNTS",
    "BeingSent",
    "EmailNotConfigured",
    "EmailTemplateError",
    "KeptBack",
    "Letter",
    "Message",
    "NotCurrent",
    "NotInDoubt",
    "NotSent",
    "NothingToResend",
    "Revised",
    "Sent",
    "SentJustNow",
    "Stated",
    "StillWaits",
    "UnknownStatement",
    "issue_and_send",
    "in_doubt",
    "letter_of",
    "letter_to",
    "mailed_before",
    "preview",
    "resend",
    "send",
    "settle",
    "troubled",
    "troubled_statements",
    "uncertain",
    "was_left",
    "writes_files",
]

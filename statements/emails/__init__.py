"""Statements sent by e-mail: to one recipient at a time, recorded, and never twice by themselves."""

from .advice import what_next
from .choosing import UnknownStatement
from .dispatching import NOT_TRIED
from .doubts import (
    INTERRUPTED,
    RECORDED,
    NotInDoubt,
    doubt_waiting,
    in_doubt,
    settle,
    troubled,
    troubled_statements,
    uncertain,
    was_left,
)
from .elsewhere import note_sent
from .letters import EmailTemplateError, Letter, letter_of, shipped_html, shipped_text
from .outbox import writes_files
from .outcomes import KeptBack, Message, NotSent, Sent, Stated
from .previewing import NoAddress, NotTested, Preview, letter_to, sample, send_test
from .reading import Archived, archived, record_download
from .resending import (
    BeingSent,
    NotCurrent,
    NothingToResend,
    SentJustNow,
    StillWaits,
    resend,
    takes_reason,
)
from .retrying import have_due_retried
from .revising import Revised, mailed_before
from .sending import EmailNotConfigured, issue_and_send, preview, send
from .texts import change_texts, changed, examples

__all__ = [
    "INTERRUPTED",
    "NOT_TRIED",
    "RECORDED",
    "Archived",
    "BeingSent",
    "EmailNotConfigured",
    "EmailTemplateError",
    "KeptBack",
    "Letter",
    "Message",
    "NoAddress",
    "NotCurrent",
    "NotInDoubt",
    "NotSent",
    "NothingToResend",
    "Preview",
    "Revised",
    "Sent",
    "SentJustNow",
    "Stated",
    "StillWaits",
    "NotTested",
    "UnknownStatement",
    "archived",
    "change_texts",
    "changed",
    "doubt_waiting",
    "examples",
    "have_due_retried",
    "in_doubt",
    "issue_and_send",
    "letter_of",
    "letter_to",
    "mailed_before",
    "note_sent",
    "preview",
    "record_download",
    "resend",
    "sample",
    "send",
    "send_test",
    "settle",
    "shipped_html",
    "shipped_text",
    "takes_reason",
    "troubled",
    "troubled_statements",
    "uncertain",
    "was_left",
    "what_next",
    "writes_files",
]

"""What becomes of an e-mail that the mail server did not take: tried again by itself, later, or not."""

import datetime
from smtplib import (
    SMTPDataError,
    SMTPException,
    SMTPRecipientsRefused,
    SMTPResponseException,
    SMTPServerDisconnected,
)

from ..models import Email

State = Email.State

# Of a message that exceeds what the server takes (RFC 1870).
TOO_LARGE = 552

# After each try that failed for the moment, how long until the next; then a person or the next run tries.
BACK_OFF = (
    datetime.timedelta(minutes=5),
    datetime.timedelta(minutes=15),
    datetime.timedelta(hours=1),
    datetime.timedelta(hours=4),
)


def code_of(problem: BaseException) -> int:
    """Return the code with which a server refused; 0 where it said none."""
    if isinstance(problem, SMTPRecipientsRefused):
        return max((code for code, _ in problem.recipients.values()), default=0)
    return int(problem.smtp_code) if isinstance(problem, SMTPResponseException) else 0


def is_for_the_moment(problem: BaseException) -> bool:
    """Tell whether a server may take the same message later: it said so (4xx), or was not there or hung up."""
    if code := code_of(problem):
        return 400 <= code < 500
    return isinstance(problem, SMTPServerDisconnected | OSError) and (
        not isinstance(problem, SMTPException) or isinstance(problem, SMTPServerDisconnected)
    )


def is_refused(problem: BaseException) -> bool:
    """Tell whether a server permanently refused this recipient or this message (5xx).

    That a message is too large it says of the sender, before it has the message. Where it refuses the sender otherwise,
    or the sign-in, that is a setting: it concerns every e-mail, and the next run tries them once it is mended.
    """
    code = code_of(problem)
    return code == TOO_LARGE or (code >= 500 and isinstance(problem, SMTPRecipientsRefused | SMTPDataError))


def next_try(attempts: int, now: datetime.datetime) -> datetime.datetime | None:
    """Return when an e-mail is tried again after so many tries; None after the last."""
    return now + BACK_OFF[attempts - 1] if 0 < attempts <= len(BACK_OFF) else None

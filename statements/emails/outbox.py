"""How an e-mail leaves: to the mail server, one recipient at a time; or, without one, to a file named for it."""

import logging
import re
import smtplib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends import smtp
from django.core.mail.backends.base import BaseEmailBackend

from billing.errors import BillingError
from billing.files import documents

from ..models import Email, Statement

log = logging.getLogger(__name__)

FILE_BACKEND = "django.core.mail.backends.filebased.EmailBackend"

# Numbers of statements in the name of a file; of more it says how many.
NAMED = 3
LONGEST_NAME = 180


class FileNotWritten(BillingError):
    """An e-mail that could not be written to a file."""


def writes_files() -> bool:
    """Tell whether e-mail is not configured: then nothing leaves this machine."""
    return bool(settings.EMAIL_BACKEND == FILE_BACKEND)


class Outbox:
    """One connection to the mail server for many messages, each for one recipient."""

    def __init__(self) -> None:
        self.connection: BaseEmailBackend | None = None
        # Of the last message: whether the server may have taken it although it did not say so,
        self.was_handed_over = False
        # and whether the server was not there or did not answer.
        self.is_unreachable = False

    def send(self, message: EmailMultiAlternatives) -> None:
        """Send a message. Raises what the connection raises; then `was_handed_over` tells how far it came."""
        is_used = self.connection is not None
        try:
            self._send(message)
        except smtplib.SMTPServerDisconnected:
            # Servers hang up on a connection that is old or has brought many messages: once more on a new one.
            if not is_used or self.was_handed_over:
                raise
            self._send(message)

    def _send(self, message: EmailMultiAlternatives) -> None:
        self.was_handed_over = self.is_unreachable = False
        try:
            if self.connection is None:
                self.is_unreachable = True
                connection = get_connection()
                connection.open()
                self.connection = connection
                self.is_unreachable = False
                self._watch(connection)
            message.connection = self.connection
            message.send()
        except BaseException as problem:
            self.is_unreachable |= is_timeout(problem)
            self.close()
            raise

    def close(self) -> None:
        """Hang up; a message later opens a connection anew."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()

    def _watch(self, connection: BaseEmailBackend) -> None:
        """Note when the server is given the message itself: what fails before was not sent."""
        if not isinstance(connection, smtp.EmailBackend) or connection.connection is None:
            return
        server = connection.connection
        give = server.data

        def data(msg: bytes) -> tuple[int, bytes]:
            self.was_handed_over = True
            answer = give(msg)
            self.was_handed_over = False
            return answer

        server.data = data  # type: ignore[method-assign, assignment]


def is_timeout(problem: BaseException) -> bool:
    """Tell whether a server did not answer in time; smtplib wraps that as a connection closed."""
    return isinstance(problem, TimeoutError) or (
        isinstance(problem, smtplib.SMTPServerDisconnected) and "timed out" in str(problem)
    )


def words_of(problem: BaseException) -> str:
    """Say why a message was not sent: in the server's own words, with its code, where it said something."""
    if isinstance(problem, smtplib.SMTPRecipientsRefused):
        said = "; ".join(_answer(*answer) for answer in problem.recipients.values())
        return f"The mail server refused the recipient: {said}"
    if isinstance(problem, smtplib.SMTPSenderRefused):
        return f"The mail server refused the sender {problem.sender}: {_answer(problem.smtp_code, problem.smtp_error)}"
    if isinstance(problem, smtplib.SMTPResponseException):
        return f"The mail server refused: {_answer(problem.smtp_code, problem.smtp_error)}"
    if is_timeout(problem):
        return f"The mail server did not answer within {settings.EMAIL_TIMEOUT} seconds."
    if isinstance(problem, smtplib.SMTPServerDisconnected):
        return f"The mail server closed the connection: {problem}"
    if isinstance(problem, BillingError):
        return str(problem)
    if isinstance(problem, OSError):
        return f"The mail server cannot be reached: {problem}"
    return f"{type(problem).__name__}: {problem}"


def words_of_writing(problem: BaseException) -> str:
    """Say why a message could not be written, before any server was asked."""
    return f"Its message could not be written: {problem}" if isinstance(problem, OSError) else words_of(problem)


def _answer(code: int, text: bytes | str) -> str:
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(said.split())}"


def file_name(recipient: str, statements: Sequence[str]) -> str:
    """Name the file of an e-mail by its recipient and its statements: `ada@u.edu_2025-01-0001-1.eml`."""
    who = re.sub(r"[^a-zA-Z0-9@.+-]", "_", recipient).strip(".")[: LONGEST_NAME - 80] or "nobody"
    what = "_".join(statements[:NAMED])
    if len(statements) > NAMED:
        what += f"_and_{len(statements) - NAMED}_more"
    return re.sub(r"[^a-zA-Z0-9@.+_-]", "_", f"{who}_{what}")[:LONGEST_NAME] + ".eml"


def write(name: str, data: bytes, *, keep: bool = False) -> str:
    """Write a message to a file, whole or not at all, and return its name; with `keep` beside one of the same name."""
    free, number = PurePosixPath(name), 1
    while keep and documents.exists(str(free)):
        number += 1
        free = PurePosixPath(name).with_stem(f"{PurePosixPath(name).stem}_{number}")
    documents.write(str(free), data)
    return str(free)


def archive(email: Email, message: EmailMultiAlternatives) -> str:
    """Keep an e-mail that was sent, and return where; empty where it cannot be kept: it was sent all the same."""
    path = tested_path(email) if email.redirected_to else archive_path(email)
    try:
        write(path, message.message().as_bytes())
    except OSError:
        log.exception("%s was sent, and its message could not be archived", email)
        return ""
    return path


def write_test(to: str, message: EmailMultiAlternatives) -> str:
    """Write a test to a file, where there is no mail server, and return where that is."""
    written = write(_in_place_of_a_server(file_name(to, ["test"])), message.message().as_bytes(), keep=True)
    return str(documents.place(written))


def write_to_file(email: Email, message: EmailMultiAlternatives, statements: Sequence[Statement]) -> str:
    """Write an e-mail to a file named by its recipient and statements; return its name."""
    name = file_name(email.recipient, [each.number for each in statements])
    data = message.message().as_bytes()
    try:
        return write(_in_place_of_a_server(name), data, keep=True)
    except OSError as problem:
        raise FileNotWritten(f"The file cannot be written: {problem}") from problem


def _in_place_of_a_server(name: str) -> str:
    """Return the name of a file that an e-mail becomes where there is no mail server."""
    return (Path(settings.EMAIL_FILE_PATH).relative_to(settings.VAR_DIR) / name).as_posix()


def send_one(mail: EmailMultiAlternatives, *, folder: str, name: str) -> str:
    """Send an e-mail that is of no statement, or write it to a file; return where its message is kept.

    What is sent is archived under `folder`. Raises SMTPException and OSError where it cannot be sent.
    """
    if writes_files():
        return PurePosixPath(write(_in_place_of_a_server(name), mail.message().as_bytes(), keep=True)).name
    out = Outbox()
    try:
        out.send(mail)
    finally:
        out.close()
    path = f"mail/archive/{folder}/{name}"
    try:
        write(path, mail.message().as_bytes(), keep=True)
    except OSError:
        # It was sent all the same.
        return ""
    return path


def archive_path(email: Email) -> str:
    """Return where the message of an e-mail is kept once it was sent, by the name of its document."""
    return f"mail/archive/{_archived_as(email)}"


def tested_path(email: Email) -> str:
    """Return where the message of an e-mail is kept that went to the test address: its recipient never got it."""
    return f"mail/test/{_archived_as(email)}"


def _archived_as(email: Email) -> str:
    # With the time it was queued: another database in the same folder may have given the same number.
    return f"{email.period.iso_month}/{email.pk:06d}-{email.created_at:%Y%m%dT%H%M%S%f}.eml"


def read(email: Email) -> bytes | None:
    """Return the message of an e-mail as it was sent or written; None where it is not kept, or not there any more."""
    if not email.message_path:
        return None
    try:
        return documents.read(email.message_path)
    except (FileNotFoundError, ValueError):
        return None

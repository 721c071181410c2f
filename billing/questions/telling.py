"""Mailing the other side what was written: the worker does it, after the commit."""

import datetime

from ..audit import Actor
from ..background import jobs
from ..models import Job, Message


def tell(message: Message, *, via: str, now: datetime.datetime) -> None:
    """Have a message mailed to the other side, by the system: a PI may ask, but has no permission to send mail."""
    jobs.enqueue(
        kind=Job.Kind.TELL,
        subject=f"message-{message.pk}",
        arguments={"message": message.pk},
        actor=Actor(name="system", via=via),
        now=now,
    )


def is_to_be_told(message: Message) -> bool:
    """Tell whether a message still concerns its reader: nobody is mailed about a question that was withdrawn."""
    return message.question.state != message.question.State.WITHDRAWN

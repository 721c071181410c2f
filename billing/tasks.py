"""What the background worker runs: ids in, everything else from the database."""

from django.utils import timezone

from . import jobs, passwords
from .audit import Actor


def run_job(job_id: int) -> str:
    """Do the job of this id, at most once however often it is delivered."""
    return jobs.run(job_id)


def send_password_link(email: str) -> str:
    """Send the account with this address, if there is one, a link to set a password."""
    sent = passwords.send_link(email=email, actor=Actor(name="system", via="task"), now=timezone.now())
    return "sent" if sent else "nobody to send to"

"""What runs in the background, as pages show it until it is over."""

from collections.abc import Iterable
from dataclasses import dataclass

from ..background import jobs
from ..models import Job


@dataclass(frozen=True)
class Running:
    """A job that is not over, in the words of its page."""

    job: Job
    title: str
    said: str


def title_of(job: Job) -> str:
    """Say what a job is, in the words of its page."""
    if job.kind == Job.Kind.IMPORT and job.arguments.get("dry_run"):
        return "Check of files"
    return str(job.get_kind_display())


def shown(unfinished: Iterable[Job]) -> list[Running]:
    """Return jobs as pages show them, with what each says of itself."""
    return [Running(job, title_of(job), jobs.told(job)) for job in unfinished]

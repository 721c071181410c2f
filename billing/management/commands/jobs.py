"""manage.py jobs: what runs in the background, ending or repeating it, and looking after it where no worker does."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing import doors
from billing.background import heartbeat, jobs
from billing.commands import BillingCommand, moment, subcommands, table
from billing.errors import NextStep
from billing.importing import tending
from billing.models import Job


class Command(BillingCommand):
    help = "List background jobs, show one, cancel or retry one, or look after those that nobody works on."
    permission = {
        "list": "billing.view_job",
        "show": "billing.view_job",
        "cancel": "billing.cancel_job",
        "retry": "billing.retry_job",
        "check": "billing.view_job",
    }

    def arguments(self, parser: CommandParser) -> None:
        verbs = subcommands(parser)
        listing = verbs.add_parser("list", help="the latest jobs")
        listing.add_argument("--state", choices=[str(state) for state in Job.State], help="only those in this state")
        listing.add_argument("--limit", type=int, default=20, help="how many (default: 20)")
        for verb, told in (
            ("show", "one job, whole"),
            ("cancel", "end a job that waits or runs"),
            ("retry", "ask again for a job that failed or was canceled"),
        ):
            verbs.add_parser(verb, help=told).add_argument("number", type=int, metavar="N")
        verbs.add_parser(
            "check",
            help="close what nobody works on any more and hand over what waits; for cron. Ends with 1 where something "
            "was closed, no worker runs, or the queue cannot be reached",
        )

    def run(self, **options: object) -> None:
        getattr(self, f"run_{options.pop('verb')}")(**options)

    def run_list(self, *, state: str | None, limit: int, **_: object) -> None:
        tending.close_left(now=self.now)
        found = Job.objects.select_related("created_by", "retried_as")
        if state:
            found = found.filter(state=state)
        rows = [
            [
                str(job.pk),
                moment(job.created_at),
                job.get_kind_display(),
                job.get_state_display(),
                str(job.created_by or "the system"),
                jobs.told(job),
            ]
            for job in found[: max(limit, 0)]
        ]
        headings = ["job", "asked", "what", "state", "by", "says"]
        text = table(rows, headings, right={0}) if rows else "There are no such jobs."
        self.report({"jobs": [as_data(job) for job in found[: max(limit, 0)]]}, text)

    def run_show(self, *, number: int, **_: object) -> None:
        tending.close_left(now=self.now)
        data = as_data(job_numbered(number))
        width = max(len(key) for key in data)
        self.report(data, "\n".join(f"{key.ljust(width)}  {_told(value)}" for key, value in data.items()))

    def run_cancel(self, *, number: int, **_: object) -> None:
        said = jobs.cancel(job=job_numbered(number), actor=self.actor, now=self.now)
        self.report(as_data(job_numbered(number)), said)

    def run_retry(self, *, number: int, **_: object) -> None:
        again = jobs.retry(job=job_numbered(number), actor=self.actor, now=self.now)
        again.refresh_from_db()
        self.report(as_data(again), f"Job {number} is asked for again, as job {again.pk}: {jobs.told(again)}")

    def run_check(self, **_: object) -> None:
        tended = tending.tend(now=self.now)
        works = heartbeat.is_worker_alive()
        waiting = Job.objects.filter(state=Job.State.QUEUED).count()
        trouble = []
        if tended.jobs or tended.imports:
            closed = f"{_counted(tended.jobs, 'job')} and {_counted(tended.imports, 'import')}"
            trouble.append(f"{closed} have failed: nobody worked on them any more.")
        if not tended.queue_answers:
            trouble.append("The queue cannot be reached: jobs are kept until it is back.")
        if not works:
            start = doors.as_command(NextStep("start_worker"))
            trouble.append(f"No background worker runs; waiting: {waiting}. Next: `{start}`.")
        self.report(
            {
                "jobs_closed": tended.jobs,
                "imports_closed": tended.imports,
                "waiting": waiting,
                "worker_alive": works,
                "queue_answers": tended.queue_answers,
            },
            "" if trouble else f"A worker runs and the queue answers. Waiting: {waiting}.",
        )
        if trouble:
            raise CommandError(" ".join(trouble))


def job_numbered(number: int) -> Job:
    """Return a job by its number; raise CommandError where there is none."""
    try:
        return Job.objects.select_related("created_by", "retried_as").get(pk=number)
    except (Job.DoesNotExist, OverflowError):
        raise CommandError(f"There is no job {number}. Next: `manage.py jobs list`.") from None


def as_data(job: Job) -> dict[str, Any]:
    """One job, as --json holds it."""
    again = getattr(job, "retried_as", None)
    return {
        "job": job.pk,
        "kind": job.kind,
        "state": job.state,
        "says": jobs.told(job),
        "percent": job.percent,
        "created_at": job.created_at,
        "created_by": str(job.created_by) if job.created_by else None,
        "handed_at": job.handed_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "retry_of": job.retry_of_id,
        "retried_as": again.pk if again else None,
        "arguments": job.arguments,
        "result": job.result,
    }


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _told(value: Any) -> str:
    if value is None or value == "":
        return "–"
    return moment(value) if hasattr(value, "isoformat") else str(value)

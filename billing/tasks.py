"""What the background worker runs: ids in, everything else from the database."""

from .background import jobs
from .models import BillingPeriod
from .months import checklist


def run_job(job_id: int) -> str:
    """Do the job of this id, at most once however often it is delivered."""
    return jobs.run(job_id)


def work_out_month(period_id: int) -> str:
    """Work out what the pages of a large month show, so that no page waits for it; a second run finds it known."""
    period = BillingPeriod.objects.get(pk=period_id)
    checklist.work_out(period)
    return "worked out"

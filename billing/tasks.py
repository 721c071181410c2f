"""What the background worker runs: ids in, everything else from the database."""

from . import jobs


def run_job(job_id: int) -> str:
    """Do the job of this id, at most once however often it is delivered."""
    return jobs.run(job_id)

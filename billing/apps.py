from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        from . import closing, entries, ingestion, jobs, reattribution, tieout
        from .models import Job

        jobs.register(Job.Kind.IMPORT, ingestion.run_job)
        jobs.register(Job.Kind.BOOK, ingestion.run_book)
        jobs.register(Job.Kind.APPLY, ingestion.run_apply)
        jobs.register(Job.Kind.ATTRIBUTE, reattribution.run_job)
        closing.register_finalize_check(closing.ENTRY, entries.obstacles)
        closing.register_finalize_check(closing.PROOF, tieout.unproved)
        closing.register_finalize_step(closing.PROOF, tieout.freeze)

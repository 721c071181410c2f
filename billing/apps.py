from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        from . import closing, entries, ingestion, jobs
        from .models import Job

        jobs.register(Job.Kind.IMPORT, ingestion.run_job)
        closing.register_finalize_check(closing.ENTRY, entries.obstacles)

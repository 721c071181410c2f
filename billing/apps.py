from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        from . import ingestion, jobs
        from .models import Job

        jobs.register(Job.Kind.IMPORT, ingestion.run_job)

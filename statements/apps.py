from django.apps import AppConfig


class StatementsConfig(AppConfig):
    name = "statements"

    def ready(self) -> None:
        from billing import closing, jobs
        from billing.models import Job

        from . import tasks

        jobs.register(Job.Kind.GENERATE, tasks.generate)
        jobs.register(Job.Kind.SEND, tasks.send)
        closing.register_finalize_check("statements are current", tasks.statements_are_current)

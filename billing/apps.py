from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        from . import closing, deciding, entries, ingestion, jobs, reattribution, tieout, walls
        from .models import Job

        jobs.register(Job.Kind.IMPORT, ingestion.run_job, permission="billing.import_charges")
        jobs.register(Job.Kind.BOOK, ingestion.run_book, permission="billing.book_import")
        jobs.register(Job.Kind.APPLY, ingestion.run_apply, permission="billing.book_import")
        jobs.register(Job.Kind.ATTRIBUTE, reattribution.run_job, permission="billing.review_charges")
        jobs.register(Job.Kind.DECIDE, deciding.run_job, permission="billing.review_charges")
        closing.register_finalize_check(closing.ENTRY, entries.obstacles)
        closing.register_finalize_check(closing.PROOF, tieout.unproved)
        closing.register_finalize_step(closing.PROOF, tieout.freeze)
        walls.register_own()
        pre_migrate.connect(walls.before_migrate, sender=self, dispatch_uid="walls-off")
        post_migrate.connect(walls.after_migrate, sender=self, dispatch_uid="walls-on")

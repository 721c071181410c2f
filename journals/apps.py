from django.apps import AppConfig


class JournalsConfig(AppConfig):
    name = "journals"

    def ready(self) -> None:
        from billing import corrections, proof, tracing
        from billing.background import jobs
        from billing.models import Job
        from billing.months import checklist
        from billing.proof import verifying

        from . import filing, month_items, posting, proving, safeguards
        from .models import Journal, JournalLine
        from .tracing import DOCUMENTS

        jobs.register(Job.Kind.DRAFT, posting.run_job, permission="journals.export_journal")
        corrections.register_place_finder("journals", posting.places_of, position=2)
        checklist.register(
            *("journal", "submitted", "answered"),
            provider=month_items.items,
            is_kept=True,
            watched=(Journal, JournalLine),
        )
        checklist.register_for_worker("Preparing the journal", posting.kept_prospect)
        proof.register_side(proof.JOURNALED, proving.journaled)
        tracing.register_documents("journals", DOCUMENTS)
        verifying.register("journals", filing.kept_files)
        safeguards.register_own()

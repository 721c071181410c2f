from functools import partial

from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate, pre_migrate


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        from . import month_items, notices, prepayments, safeguards
        from .background import jobs, standstill
        from .importing import ingestion, planning
        from .models import Job
        from .months import checklist, closing
        from .proof import adding_up, priced, showing, tieout, verifying
        from .quantity_sums import add_to_sqlite
        from .questions import before_close
        from .review import deciding, reattribution
        from .setup import kept_sheets, policies, registers
        from .usage import bringing, trying
        from .usage import month_items as usage_items

        jobs.register(Job.Kind.IMPORT, planning.run_job, permission="billing.import_charges")
        jobs.register(Job.Kind.BOOK, ingestion.run_book, permission="billing.book_import")
        jobs.register(Job.Kind.APPLY, ingestion.run_apply, permission="billing.book_import")
        jobs.register(Job.Kind.ATTRIBUTE, reattribution.run_job, permission="billing.review_charges")
        jobs.register(Job.Kind.DECIDE, deciding.run_job, permission="billing.review_charges")
        for register in registers.REGISTERS:
            load = partial(registers.load, register)
            jobs.register(register.job, kept_sheets.worker_of(load), permission=register.add_permission)
        jobs.register(Job.Kind.USAGE, bringing.run_job, permission="billing.take_usage")
        jobs.register(Job.Kind.TRY, trying.run_job, permission="billing.view_rateschedule")
        jobs.register(Job.Kind.PROVE, showing.run_job, permission="billing.view_billingperiod")
        checklist.register("imports", provider=month_items.imports, is_kept=True, is_quick=True)
        checklist.register("usage", provider=usage_items.items, is_kept=True, is_quick=True)
        checklist.register(checklist.HELD, provider=month_items.held, is_kept=True, is_quick=True)
        checklist.register("questions", provider=month_items.questions)
        checklist.register(checklist.CORRECTIONS, provider=month_items.entered_corrections, is_kept=True, is_quick=True)
        checklist.register(checklist.PAYER_LINES, provider=month_items.payer_lines, is_kept=True)
        checklist.register(checklist.PROOF, provider=month_items.proved, is_kept=True)
        checklist.register_for_worker("Adding up what was delivered", adding_up.kept_sights)
        closing.register_close_step("questions", before_close)
        closing.register_close_step("prepayments", prepayments.before_close)
        closing.register_finalize_step(checklist.PROOF, tieout.freeze)
        notices.register("worker", standstill.notice, where_work_is_queued=True)
        verifying.register("received", verifying.received)
        verifying.register("usage", priced.kept)
        verifying.register("proofs", tieout.kept_files)
        notices.register("patterns", policies.patterns_are_understood)
        safeguards.register_own()
        connection_created.connect(add_to_sqlite, dispatch_uid="quantity-sum")
        pre_migrate.connect(safeguards.before_migrate, sender=self, dispatch_uid="safeguards-off")
        post_migrate.connect(safeguards.after_migrate, sender=self, dispatch_uid="safeguards-on")

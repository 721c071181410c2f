from functools import partial

from django.apps import AppConfig


class JournalsConfig(AppConfig):
    name = "journals"

    def ready(self) -> None:
        from billing import corrections, proof, reports, tracing
        from billing.background import jobs
        from billing.models import Job
        from billing.months import checklist
        from billing.proof import verifying
        from billing.setup import kept_sheets, registers

        from . import (
            account_rules,
            accounting_calendar,
            crediting,
            filing,
            lookups,
            month_items,
            posting,
            proving,
            receivables,
            safeguards,
            valid_values,
        )
        from .models import CustomerInvoiceLine, Journal, JournalLine, ReceivablesExport
        from .receivables import month_items as of_receivables
        from .tracing import DOCUMENTS

        jobs.register(Job.Kind.DRAFT, posting.run_job, permission="journals.export_journal")
        jobs.register(Job.Kind.INVOICE, receivables.run_job, permission="journals.export_receivables")
        calendar = kept_sheets.worker_of(accounting_calendar.load_calendar)
        jobs.register(Job.Kind.CALENDAR, calendar, permission="journals.add_accountingperiod")
        rules = kept_sheets.worker_of(partial(registers.load, account_rules.ACCOUNT_RULES))
        jobs.register(Job.Kind.ACCOUNT_RULES, rules, permission=account_rules.ACCOUNT_RULES.add_permission)
        values = kept_sheets.worker_of(valid_values.load_values)
        jobs.register(Job.Kind.VALUES, values, permission="journals.add_validvaluelist")
        tables = kept_sheets.worker_of(lookups.load_lookups)
        jobs.register(Job.Kind.LOOKUPS, tables, permission="journals.add_lookuptable")
        corrections.register_place_finder("journals", posting.places_of, position=2)
        checklist.register(
            *("journal", "submitted", "answered"),
            provider=month_items.items,
            is_kept=True,
            watched=(Journal, JournalLine),
        )
        checklist.register(
            "receivables",
            provider=of_receivables.items,
            is_kept=True,
            watched=(ReceivablesExport, CustomerInvoiceLine),
        )
        corrections.register_place_finder("receivables", receivables.places_of, position=3)
        checklist.register_for_worker("Preparing the journal", posting.kept_prospect)
        proof.register_side(proof.JOURNALED, proving.journaled)
        proof.register_side(proof.INVOICED, receivables.invoiced)
        reports.register_ledger(crediting.LEDGER)
        tracing.register_documents(
            "receivables", tracing.Provider(find=receivables.document_of, holding=receivables.holding)
        )
        tracing.register_documents("journals", DOCUMENTS)
        verifying.register("journals", filing.kept_files)
        safeguards.register_own()

from django.apps import AppConfig


class StatementsConfig(AppConfig):
    name = "statements"

    def ready(self) -> None:
        from billing import corrections, mail_test_mode, notices, proof, tracing
        from billing.background import jobs
        from billing.models import Job
        from billing.months import checklist, closing
        from billing.proof import tieout, verifying
        from billing.reports import papers
        from billing.usage import studies

        from . import drawing, issuing, month_items, proving, reports_by_mail, safeguards, tasks
        from .models import Statement, StatementLine
        from .questions import mailing
        from .tracing import DOCUMENTS

        jobs.register(Job.Kind.GENERATE, tasks.generate, permission="statements.issue_statements")
        jobs.register(Job.Kind.SEND, tasks.send, permission="statements.send_statements")
        jobs.register(Job.Kind.COLLECT, tasks.collect, permission="")
        jobs.register(Job.Kind.TELL, mailing.tell, permission="billing.review_charges")
        jobs.register(Job.Kind.REPORT, reports_by_mail.send, permission="billing.finalize_period")
        closing.register_finalize_step("reports by mail", reports_by_mail.ask)
        corrections.register_line_finder("statement", issuing.line_named)
        corrections.register_place_finder("statement", issuing.places_of, position=1)
        checklist.register("statements", provider=month_items.current, is_kept=True, watched=(Statement, StatementLine))
        checklist.register("sent", provider=month_items.sent)
        checklist.register_for_worker("Preparing the statements", issuing.kept_preview)
        proof.register_side(proof.STATED, proving.stated)
        tracing.register_documents("statements", DOCUMENTS)
        tieout.register_drawer(drawing.draw_proof)
        papers.register_drawer(drawing.draw_report)
        studies.register_drawer(drawing.draw_study)
        verifying.register("statements", issuing.kept_files)
        verifying.register("charges of statements", issuing.kept_charge_files)
        notices.register("e-mail", tasks.email_is_configured)
        notices.register("test mode", mail_test_mode.notice)
        safeguards.register_own()

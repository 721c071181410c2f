from django.apps import AppConfig


class StatementsConfig(AppConfig):
    name = "statements"

    def ready(self) -> None:
        from billing import closing, entries, jobs, proof, tieout, tracing
        from billing.models import Job

        from . import issuing, proof_drawing, proving, tasks, walls
        from .tracing import DOCUMENTS

        jobs.register(Job.Kind.GENERATE, tasks.generate, permission="statements.issue_statements")
        jobs.register(Job.Kind.SEND, tasks.send, permission="statements.send_statements")
        entries.register_line_finder("statement", issuing.line_named)
        entries.register_place_finder("1 statement", issuing.places_of)
        closing.register_finalize_check("statements are current", tasks.statements_are_current)
        proof.register_side(proof.STATED, proving.stated)
        tracing.register_documents("statements", DOCUMENTS)
        tieout.register_drawer(proof_drawing.draw)
        walls.register_own()

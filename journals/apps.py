from django.apps import AppConfig


class JournalsConfig(AppConfig):
    name = "journals"

    def ready(self) -> None:
        from billing import closing, entries, proof, tracing

        from . import posting, proving, walls
        from .tracing import DOCUMENTS

        entries.register_place_finder("2 journals", posting.places_of)
        closing.register_finalize_check("everything is journaled", posting.unfinished)
        proof.register_side(proof.JOURNALED, proving.journaled)
        tracing.register_documents("journals", DOCUMENTS)
        walls.register_own()

from django.apps import AppConfig


class JournalsConfig(AppConfig):
    name = "journals"

    def ready(self) -> None:
        from billing import closing, proof

        from . import posting, proving

        closing.register_finalize_check("everything is journaled", posting.unfinished)
        proof.register_side(proof.JOURNALED, proving.journaled)

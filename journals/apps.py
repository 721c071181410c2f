from django.apps import AppConfig


class JournalsConfig(AppConfig):
    name = "journals"

    def ready(self) -> None:
        from billing import closing

        from . import posting

        closing.register_finalize_check("everything is journaled", posting.unfinished)

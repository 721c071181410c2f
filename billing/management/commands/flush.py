"""Django's flush, refused outside tests: it empties every table, also those that the database protects."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.core.management.commands.flush import Command as Flush
from django.db import connections

from billing import safeguards


class Command(Flush):
    help = "Empty the database of a test. Refused for any other."

    def handle(self, **options: Any) -> None:
        if not settings.MAY_FLUSH:
            raise CommandError(
                "This would empty every table, closed months and audit log too, so only tests may do it. "
                "For a fresh start use another database: another VAR_DIR or DATABASE_URL."
            )
        connection = connections[options["database"]]
        safeguards.remove(connection)
        try:
            super().handle(**options)
        finally:
            safeguards.install(connection)

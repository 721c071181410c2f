"""Move the installation to another database."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from billing.commands import BillingCommand
from openchargeback import moving, transfer


class Command(BillingCommand):
    help = (
        "Copy every row to an empty database, from SQLite to PostgreSQL or back, with the numbers of rows and the "
        "safeguards. Stop the site first. The database moved from stays as it is."
    )
    permission = "billing.change_user"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("url", help="the address of the other database, as DATABASE_URL has it")

    def run(self, **options: Any) -> None:
        url: str = options["url"]
        moved = moving.move(url, actor=self.actor, now=self.now, progress=self.progress)
        shown = transfer.without_password(url)
        lines = [
            f"Moved {moved.rows:,} rows of {moved.tables} tables from {moved.origin} to {moved.target}. All numbers go "
            "on where they were, and the safeguards are in place.",
            f"Next: set DATABASE_URL={shown} in .env" + (", with the password" if shown != url else "") + ".",
            f"VAR_DIR stays {settings.VAR_DIR}: files are not in the database.",
            "Then: `manage.py verify_audit`, `manage.py proof` for the months that matter, `manage.py doctor`, and "
            "`manage.py serve`.",
            f"Put the old database away ({transfer.without_password(settings.DATABASE_URL)}), so that nobody goes on "
            "with it. Everybody signs in anew.",
        ]
        self.report(
            {"rows": moved.rows, "tables": moved.tables, "from": moved.origin, "to": moved.target}, "\n".join(lines)
        )

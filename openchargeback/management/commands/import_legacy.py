"""Bring over an installation of the FastAPI version of OpenChargeback."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from billing.commands import BillingCommand
from openchargeback import legacy
from openchargeback.legacy import telling


class Command(BillingCommand):
    help = (
        "Bring over an installation of the FastAPI version: its settings, sources, accounts and months, with what was "
        "decided, sent and journaled. Its database is read only. A second run changes nothing."
    )
    permission = "billing.change_user"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("database", metavar="DATABASE", help="its database, such as instance/billing.db")
        parser.add_argument("--config", metavar="FILE", help="its configuration, such as instance/config.yaml")
        parser.add_argument(
            "--currency",
            default="",
            metavar="CODE",
            help="the currency of its amounts (default: by its sign)",
        )
        parser.add_argument("--dry-run", action="store_true", help="read everything and store nothing")

    def run(self, **options: Any) -> None:
        brought = legacy.bring(
            database=Path(options["database"]),
            configuration=Path(options["config"]) if options["config"] else None,
            currency=options["currency"],
            is_dry_run=options["dry_run"],
            actor=self.actor,
            now=self.now,
            progress=self.progress,
        )
        self.report(telling.as_data(brought), telling.as_text(brought))

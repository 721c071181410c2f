"""A period rebuilt from its files and decisions, and compared with what is stored."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing.commands import BillingCommand, period_named
from billing.replay.replaying import replay


class Command(BillingCommand):
    help = "Rebuild a period from the stored files and recorded decisions, in a scratch database, and compare."
    permission = "billing.view_charge"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("-p", "--period", required=True, metavar="2025-01", help="the billing period")
        parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the scratch database in this empty folder")

    def run(self, **options: Any) -> None:
        replayed = replay(period=period_named(options["period"]), keep=options["keep"])
        self.report(replayed.as_data(), replayed.as_text())
        if not replayed.is_equal:
            raise CommandError(f"{replayed.period} is not what its files and decisions make of it: {replayed.first}")

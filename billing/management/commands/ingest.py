"""manage.py ingest: bring a delivery in."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from billing.commands import BillingCommand
from billing.ingestion import ImportRefused, ingest
from billing.models import Source


class Command(BillingCommand):
    help = "Import a delivery of FOCUS files: all of it, or nothing."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE", help="the files of one delivery")
        parser.add_argument("-s", "--source", metavar="SOURCE", help="where it comes from (default: by file name)")
        parser.add_argument(
            "-p", "--period", default="", help="the expected period, such as 2025-01 or 2025-Q1 (default: by file name)"
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would happen and store nothing")
        parser.add_argument(
            "--replace", action="store_true", help="withdraw what the delivery lacks, even more than half of it"
        )

    def run(self, **options: Any) -> None:
        source = Source.objects.named(options["source"]) if options["source"] else None
        try:
            result = ingest(
                paths=[Path(name) for name in options["files"]],
                source=source,
                period=options["period"],
                dry_run=options["dry_run"],
                replace=options["replace"],
                actor=self.actor,
                now=self.now,
                progress=self.progress,
            )
        except ImportRefused as refused:
            if self.as_json:
                self.report(refused.result, "")
            raise
        self.report(result.as_data(), result.as_text())

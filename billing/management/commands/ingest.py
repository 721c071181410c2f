"""manage.py ingest: bring a delivery in."""

import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing import inbox
from billing.commands import BillingCommand
from billing.ingestion import ingest
from billing.models import Source
from billing.outcomes import ImportRefused


class Command(BillingCommand):
    help = "Import a delivery of FOCUS files: all of it, or nothing."
    permission = "billing.import_charges"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="*", metavar="FILE", help="the files of one delivery")
        parser.add_argument(
            "--inbox",
            metavar="DIR",
            help="import every complete delivery in this folder and put it into done or failed",
        )
        parser.add_argument(
            "--settle",
            type=int,
            default=int(inbox.SETTLE.total_seconds()),
            metavar="SECONDS",
            help="with --inbox: how long a delivery must have been unchanged (default: %(default)s)",
        )
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
        if options["inbox"]:
            self.run_inbox(source, options)
            return
        if not options["files"]:
            raise CommandError("Name the files of a delivery, or a folder to watch with --inbox.", returncode=2)
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

    def run_inbox(self, source: Source | None, options: dict[str, Any]) -> None:
        if options["files"] or options["period"] or options["dry_run"] or options["replace"]:
            raise CommandError("--inbox goes with --source and --settle only.", returncode=2)
        taken = inbox.take_in(
            inbox=Path(options["inbox"]),
            settle=datetime.timedelta(seconds=options["settle"]),
            source=source,
            actor=self.actor,
            now=self.now,
            progress=self.progress,
        )
        self.report(taken.as_data(), taken.as_text())
        if taken.unsuccessful:
            names = ", ".join(each.name for each in taken.unsuccessful)
            raise CommandError(f"Not imported: {names}. The report beside each says why.")

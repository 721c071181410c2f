"""manage.py ingest: bring a delivery in."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from billing.commands import BillingCommand
from billing.ingestion import ImportRefused, IngestResult, ingest
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
                self.report(refusal(refused), "")
            raise
        self.report(as_data(result), as_text(result))


def as_data(result: IngestResult) -> dict[str, Any]:
    """What came of a delivery, as --json and the job's page hold it."""
    return {
        "import": result.imported.pk if result.imported else None,
        "state": result.state,
        "source": result.source.name,
        "periods": list(result.periods),
        "rows": result.rows,
        **vars(result.counts),
        "flagged": result.flagged,
        "flags": result.flags,
        "totals": result.totals,
        "stored": result.stored,
        "seen_before": list(result.seen_before),
        "errors": [],
    }


def refusal(refused: ImportRefused) -> dict[str, Any]:
    """A refused delivery, in the same form."""
    imported = refused.imported
    return {
        "import": imported.pk if imported else None,
        "state": imported.state if imported else "refused",
        "source": imported.source.name if imported and imported.source else None,
        "periods": [],
        "rows": 0,
        "new": 0,
        "changed": 0,
        "unchanged": 0,
        "withdrawn": 0,
        "unseen": 0,
        "flagged": 0,
        "flags": {},
        "totals": {},
        "stored": {},
        "seen_before": [],
        "errors": refused.errors,
    }


def as_text(result: IngestResult) -> str:
    """What came of a delivery, for a person."""
    if result.seen_before and not result.rows:
        return f"Already imported: {'; '.join(result.seen_before)}. Nothing to do."
    counts = result.counts
    head = f"Import {result.imported.pk}: " if result.imported else "Dry run, nothing was stored: "
    lines = [
        f"{head}{result.rows:,} rows of {result.source} for {', '.join(result.periods)}.",
        f"  new {counts.new:,}, changed {counts.changed:,}, unchanged {counts.unchanged:,}, "
        f"withdrawn {counts.withdrawn:,}",
    ]
    if counts.unseen:
        lines.append(f"  {counts.unseen:,} earlier charges are not in this delivery and were left as they are.")
    lines += [
        f"  BilledCost {columns['BilledCost']} {currency}"
        + ("" if result.stored[currency] == columns else f" (stored {result.stored[currency]['BilledCost']})")
        for currency, columns in result.totals.items()
    ]
    if result.seen_before:
        lines.append(f"  passed over, imported before: {'; '.join(result.seen_before)}")
    if result.flagged:
        reasons = ", ".join(f"{code} {count:,}" for code, count in result.flags.items())
        lines.append(f"  {result.flagged:,} rows are held for review: {reasons}")
        lines.append("  Next: manage.py review list, or the review queue in the admin.")
    return "\n".join(lines)

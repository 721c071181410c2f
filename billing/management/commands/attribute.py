"""manage.py attribute: re-apply tags, rules and defaults to the charges of a month."""

from typing import Any

from django.core.management.base import CommandParser

from billing.commands import BillingCommand, period_named
from billing.models import Source
from billing.review import reattribution


class Command(BillingCommand):
    help = "Re-apply tags, rules and defaults to the charges of a month that nobody decided about."
    permission = "billing.review_charges"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("-p", "--period", required=True, metavar="2025-01", help="the billing period")
        parser.add_argument("-s", "--source", metavar="SOURCE", help="only the charges of this source")
        parser.add_argument("--dry-run", action="store_true", help="say what would change and change nothing")

    def run(self, **options: Any) -> None:
        done = reattribution.reapply(
            period=period_named(options["period"]),
            source=Source.objects.named(options["source"]) if options["source"] else None,
            dry_run=options["dry_run"],
            actor=self.actor,
            now=self.now,
            progress=self.progress,
        )
        text = done.as_text()
        if done.is_dry_run and not done.is_idle:
            text += "\n  Next: the same without --dry-run."
        self.report(done.as_data(), text)

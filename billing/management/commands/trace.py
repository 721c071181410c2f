"""Where a number comes from: statement, journal, payer line, charges, file and line, and back."""

from typing import Any

from django.core.management.base import CommandParser

from billing import tracing
from billing.commands import BillingCommand


class Command(BillingCommand):
    help = "Show why a number is what it is: from a line of a statement or journal to the rows of files, and back."
    permission = "billing.view_charge"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "what",
            metavar="WHAT",
            help="2026-01-0007:3 or J2026-01-1:12 (a line of a statement or journal; without :N, all of them), a payer "
            "key, the number of a charge, or 3fa94c:17 (a file's SHA-256, or its beginning, and a line)",
        )
        parser.add_argument("--page", type=int, default=1, metavar="N", help="which page of many charges")

    def run(self, **options: Any) -> None:
        traced = tracing.trace(options["what"], page=options["page"])
        more = f"\nThe next page: --page {traced.page + 1}" if traced.page < traced.pages else ""
        self.report(traced.as_data(), f"{traced.as_text()}{more}")

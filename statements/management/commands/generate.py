"""`manage.py generate`: make payer lines, issue statements, draw them and, if asked, mail them."""

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser

from billing import doors
from billing.commands import BillingCommand, period_named
from billing.errors import NextStep
from statements import emails, reporting


class Command(BillingCommand):
    help = "Issue the statements of a billing period: one per PI and project, as PDF."
    permission = "statements.issue_statements"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("-p", "--period", required=True, metavar="PERIOD", help="the month, such as 2025-01")
        parser.add_argument("--dry-run", action="store_true", help="show what would be issued; write nothing")
        parser.add_argument("--send", action="store_true", help="e-mail each PI their new statements")

    def permissions(self, options: Mapping[str, object]) -> tuple[str, ...]:
        return (*super().permissions(options), *(("statements.send_statements",) if options["send"] else ()))

    def run(self, **options: Any) -> None:
        generated, sent = emails.issue_and_send(
            period=period_named(options["period"]),
            dry_run=options["dry_run"],
            send_now=options["send"],
            actor=self.actor,
            now=self.now,
            progress=self.progress,
        )
        text = reporting.generated_text(generated, word=doors.as_command)
        if sent:
            text += f"\n\n{reporting.sent_text(sent)}"
        elif generated.statements and not generated.is_dry_run:
            then = NextStep("send_statements", {"period": generated.period})
            text += f"\nNext: `{doors.as_command(then)}` sends what is not sent yet."
        self.report(reporting.generated_data(generated, sent), text)
        if sent and sent.is_trouble:
            raise emails.NotSent(sent)

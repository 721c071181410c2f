"""`manage.py send_statements`: mail every PI the statements that are issued and not sent."""

from typing import Any

from django.core.management.base import CommandParser

from billing.commands import BillingCommand, period_named
from statements import delivery, reporting


class Command(BillingCommand):
    help = "E-mail the statements of a billing period that are issued and not sent: one message per PI."
    permission = "statements.send_statements"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("-p", "--period", required=True, metavar="PERIOD", help="the month, such as 2025-01")

    def run(self, **options: Any) -> None:
        sent = delivery.send(
            period=period_named(options["period"]), actor=self.actor, now=self.now, progress=self.progress
        )
        self.report(reporting.sent_data(sent), reporting.sent_text(sent))
        if sent.failed:
            raise delivery.NotDelivered(sent)

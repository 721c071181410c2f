"""`manage.py send_statements`: mail every PI the statements that are issued and not sent."""

from typing import Any

from django.core.management.base import CommandParser

from billing.commands import BillingCommand, period_named, table
from statements import delivery
from statements.delivery import Sent


class Command(BillingCommand):
    help = "E-mail the statements of a billing period that are issued and not sent: one message per PI."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("-p", "--period", required=True, metavar="PERIOD", help="the month, such as 2025-01")

    def run(self, **options: Any) -> None:
        sent = delivery.send(
            period=period_named(options["period"]), actor=self.actor, now=self.now, progress=self.progress
        )
        self.report(as_data(sent), sent_text(sent))
        if sent.failed:
            raise delivery.NotDelivered(sent)


def as_data(sent: Sent) -> dict[str, Any]:
    """Return a result as --json prints it and a job keeps it."""
    return {
        "period": sent.period,
        "sent": len(sent.messages),
        "statements": sent.statements,
        "messages": [
            {
                "pi": each.pi,
                "recipients": list(each.recipients),
                "statements": list(each.statements),
                "message": each.path,
            }
            for each in sent.messages
        ],
        "failed": [{"pi": each.pi, "statements": list(each.statements), "error": each.error} for each in sent.failed],
    }


def sent_text(sent: Sent) -> str:
    """Return what a person reads after a delivery."""
    if not sent.messages and not sent.failed:
        return f"Nothing to send: no statement of {sent.period} waits."
    said = []
    if sent.messages:
        rows = [[each.pi, ", ".join(each.recipients[1:]), ", ".join(each.statements)] for each in sent.messages]
        said += [table(rows, ["Sent to", "Copies", "Statements"]), ""]
    said.append(f"{len(sent.messages)} e-mails sent with {sent.statements} statements.")
    if sent.folder:
        said.append(f"No mail server is set (EMAIL_URL): the messages are files in {sent.folder}")
    said += [f"Not sent to {each.pi}: {each.error}" for each in sent.failed]
    return "\n".join(said)

"""The provider's invoices, typed in to be compared with what its files bill."""

from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing.commands import BillingCommand, exact_figure, period_named, subcommands, table
from billing.models import Policy, Source
from billing.proof import invoices
from billing.proof.month import Month


def amount_of(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise CommandError(f"“{text}” is not an amount. Write the plain number, such as 1234.56.") from None


class Command(BillingCommand):
    help = "Enter what a provider's invoice says, and compare invoices with what the files bill."
    permission = {
        "add": "billing.add_invoicetotal",
        "list": "billing.view_invoicetotal",
    }

    def arguments(self, parser: CommandParser) -> None:
        verbs = subcommands(parser)
        add = verbs.add_parser("add", help="enter an invoice, or enter it again")
        add.add_argument("-p", "--period", metavar="2025-01", required=True, help="the billing period")
        add.add_argument("-s", "--source", required=True, help="the source")
        add.add_argument("--amount", required=True, help="its total, such as 1234.56")
        add.add_argument("--invoice", default="", metavar="ID", help="as in the files' InvoiceId; else the whole month")
        add.add_argument("--account", default="", metavar="ID", help="only this billing account")
        add.add_argument("--currency", default="", metavar="USD", help="the policy's, unless given")
        add.add_argument("--note", default="", help="kept beside it")
        shown = verbs.add_parser("list", help="compare the invoices of a period with the files")
        shown.add_argument("-p", "--period", metavar="2025-01", required=True, help="the billing period")

    def run(self, **options: Any) -> None:
        period = period_named(options["period"])
        if options["verb"] == "add":
            invoices.enter(
                source=Source.objects.named(options["source"]),
                period=period,
                amount=amount_of(options["amount"]),
                currency=options["currency"] or Policy.objects.current().currency,
                invoice_id=options["invoice"],
                billing_account_id=options["account"],
                note=options["note"],
                actor=self.actor,
                now=self.now,
            )
        found = invoices.bridges(Month(period))
        data = [vars(each) | {"difference": each.difference} for each in found]
        rows = [
            [
                each.source,
                each.invoice_id or "whole month",
                each.billing_account_id,
                f"{exact_figure(each.billed, each.currency)} {each.currency}",
                exact_figure(each.said, each.currency),
                exact_figure(each.difference, each.currency),
            ]
            for each in found
        ]
        headings = ["source", "invoice", "account", "files bill", "it says", "difference"]
        text = table(rows, headings, {3, 4, 5}) if rows else f"{period} has no invoices."
        self.report({"period": period.iso_month, "invoices": data}, text)

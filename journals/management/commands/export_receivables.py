"""Write the invoices of a period to customers to a file, as a draft or submitted."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from billing.commands import BillingCommand, amount, period_named
from journals import receivables


class Command(BillingCommand):
    help = (
        "Write what customers pay of a period, and no submitted invoice says, for accounts receivable. A draft, marked "
        "so, may be made again and again; --submit numbers its invoices and freezes them."
    )
    permission = "journals.export_receivables"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("-p", "--period", required=True, metavar="2025-01")
        parser.add_argument(
            "-o", "--output", type=Path, metavar="FILE", help="where to, .csv or .xlsx; else below VAR_DIR"
        )
        parser.add_argument("--submit", action="store_true", help="number the invoices and keep their file")

    def permissions(self, options: Mapping[str, object]) -> tuple[str, ...]:
        return (*super().permissions(options), *(("journals.submit_receivables",) if options["submit"] else ()))

    def run(self, **options: Any) -> None:
        exported = receivables.export(
            period=period_named(options["period"]),
            output=options["output"],
            submit=options["submit"],
            actor=self.actor,
            now=self.now,
        )
        made = exported.export
        data = {
            "period": exported.period,
            "number": made.number if made else None,
            "state": made.state if made else None,
            "currency": exported.currency,
            "total": exported.total,
            "invoices": [
                {
                    "invoice": invoice.text or None,
                    "kind": invoice.kind,
                    "customer": invoice.customer_number,
                    "name": invoice.customer_name,
                    "follows": invoice.follows.text if invoice.follows else None,
                    "lines": len(invoice.lines.all()),
                    "total": invoice.total,
                }
                for invoice in (receivables.invoices_of(made) if made else ())
            ],
            "file": str(exported.file) if exported.file else None,
        }
        self.report(data, self.told(exported))

    def told(self, exported: receivables.Exported) -> str:
        made = exported.export
        if made is None:
            return exported.told
        invoices = "1 invoice" if made.invoice_count == 1 else f"{made.invoice_count:,} invoices"
        lines = "1 line" if made.line_count == 1 else f"{made.line_count:,} lines"
        figures = f"{invoices} with {lines} over {amount(made.total, made.currency)}: {exported.file}"
        if made.state == made.State.DRAFT:
            return f"Draft of receivables {made}, {figures}\nSubmit it with --submit once it is right."
        return f"Receivables {made} submitted, {figures}"

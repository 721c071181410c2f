"""Invoices as a table: a row for each line, CSV or Excel, in which no text is a formula."""

import io
from collections.abc import Iterable, Iterator
from decimal import Decimal

from billing.sheets import FORMATS as FORMATS
from billing.sheets import write_table

from ..models import CustomerInvoice, ReceivablesExport

COLUMNS = (
    *("export", "state", "period", "customer_number", "customer_name", "address", "email", "invoice", "kind"),
    *("follows", "date", "terms", "taxed", "tax_code", "line", "reference", "pi", "project", "service"),
    *("description", "for_month", "quantity", "unit", "amount", "currency", "invoice_total"),
)


def write(export: ReceivablesExport, form: str) -> bytes:
    """Return an export's file in one of FORMATS."""
    file = io.BytesIO()
    write_table(rows=rows_of(export), columns=COLUMNS, title="Invoices", file=file, form=form)
    return file.getvalue()


def rows_of(export: ReceivablesExport) -> Iterator[dict[str, str | Decimal]]:
    """Yield the lines of an export's invoices, each with all that its invoice says."""
    for invoice in invoices_of(export):
        head: dict[str, str | Decimal] = {
            "export": export.number,
            "state": export.state,
            "period": export.period.iso_month,
            "customer_number": invoice.customer_number,
            "customer_name": invoice.customer_name,
            "address": ", ".join(filter(None, (line.strip() for line in invoice.address.splitlines()))),
            "email": invoice.email,
            "invoice": invoice.text,
            "kind": invoice.kind,
            "follows": invoice.follows.text if invoice.follows else "",
            "date": invoice.date.isoformat(),
            "terms": invoice.terms,
            "taxed": "yes" if invoice.is_taxed else "no",
            "tax_code": invoice.tax_code,
            "currency": export.currency,
            "invoice_total": invoice.total,
        }
        for line in invoice.lines.all():
            yield head | {
                "line": str(line.number),
                "reference": line.reference,
                "pi": line.pi_email,
                "project": line.project_code,
                "service": line.service_name or line.source_name,
                "description": line.description,
                "for_month": line.for_month,
                "quantity": line.quantity,
                "unit": line.unit,
                "amount": line.amount,
            }


def invoices_of(export: ReceivablesExport) -> Iterable[CustomerInvoice]:
    """Return the invoices of an export in their order, with their lines."""
    return export.invoices.select_related("follows").prefetch_related("lines").order_by("position")

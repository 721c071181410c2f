"""Invoices and their exports found: by what people call them, or by a payer line."""

from collections.abc import Sequence

from billing import corrections
from billing.charging import is_of_customer
from billing.errors import BillingError, NextStep
from billing.models import BillingPeriod
from billing.tracing import BATCH, Document, DocumentLine

from ..models import CustomerInvoice, CustomerInvoiceLine, ReceivablesExport

PREFIX = "INV-"


class UnknownExport(BillingError):
    """No export of receivables is meant by a number."""


def export_named(text: str) -> ReceivablesExport:
    """Return the export of a number, such as A2025-01-1. Raises UnknownExport."""
    found = ReceivablesExport.objects.select_related("period").filter(number__iexact=text.strip()).first()
    if found is None:
        raise UnknownExport(f"There is no export of receivables {text}.", then=NextStep("list_receivables"))
    return found


def document_of(what: str) -> Document | None:
    """Return the invoice of a number, such as INV-000012."""
    number = what.upper().removeprefix(PREFIX)
    if not what.upper().startswith(PREFIX) or not number.isdecimal():
        return None
    invoices = CustomerInvoice.objects.select_related("export__period")
    invoice = invoices.filter(number=int(number[:9])).first()
    if invoice is None:
        return None
    return Document(
        kind=invoice.get_kind_display().lower(),
        number=invoice.text,
        state=invoice.export.get_state_display(),
        lines=tuple(_line(line, invoice) for line in invoice.lines.order_by("number")),
        subject=invoice.export,
    )


def holding(period: BillingPeriod, keys: Sequence[str]) -> list[DocumentLine]:
    """Return the lines of a month's invoices that are of these payer lines, the latest first."""
    found: list[DocumentLine] = []
    # Nothing else is on invoices, and most pages have nothing else.
    keys = list(filter(is_of_customer, keys))
    for start in range(0, len(keys), BATCH):
        lines = CustomerInvoiceLine.objects.filter(
            invoice__export__period=period, payer_key__in=keys[start : start + BATCH]
        ).select_related("invoice__export__period")
        found += [_line(line, line.invoice) for line in lines.order_by("-invoice", "number")]
    return found


def places_of(period: BillingPeriod, key: str) -> list[corrections.Place]:
    """Return the invoices that a payer line is on, and where."""
    lines = CustomerInvoiceLine.objects.filter(payer_key=key, invoice__export__period=period)
    return [
        corrections.Place(
            f"customer invoice {line.invoice}, line {line.number} ({line.invoice.export.get_state_display().lower()})",
            subject=line.invoice.export,
        )
        for line in lines.select_related("invoice__export").order_by("invoice", "number")
    ]


def _line(line: CustomerInvoiceLine, invoice: CustomerInvoice) -> DocumentLine:
    export = invoice.export
    return DocumentLine(
        kind=invoice.get_kind_display().lower(),
        number=invoice.text or export.number,
        line=line.number,
        state=export.get_state_display(),
        stands=export.state == ReceivablesExport.State.SUBMITTED,
        payer_key=line.payer_key,
        period=export.period,
        text=f"{invoice.customer_name} ({invoice.customer_number})",
        amount=line.amount,
        currency=export.currency,
        subject=export,
    )

"""What submitted invoices say of a month, for the proof: each payer's sum, and invoices that do not add up."""

import hashlib
from collections.abc import Iterator

from django.db.models import Count

from billing.errors import NextStep
from billing.fields import AmountSum
from billing.models import BillingPeriod
from billing.money import ZERO, plain
from billing.proof import INVOICED, About, Finding, Side, SideLine
from billing.proof.seals import LineSeals, sealed, sealed_lines, together

from ..models import CustomerInvoice, CustomerInvoiceLine, ReceivablesExport

# What never changes once it is submitted. Written out, as in billing.seals.
SEALED = ("currency", "total", "invoice_count", "line_count", "file_sha256", "submitted_at")
SEALED_OF_LINES = (
    *("invoice__number", "invoice__kind", "invoice__customer_number", "invoice__customer_name", "invoice__address"),
    *("invoice__email", "invoice__is_taxed", "invoice__tax_code", "invoice__terms", "invoice__date", "invoice__total"),
    *("number", "payer_key", "kind", "for_month", "reference", "pi_email", "project_code", "source_name"),
    *("service_name", "description", "quantity", "unit", "amount"),
)


def invoiced(period: BillingPeriod) -> Side:
    """Return what the submitted invoices of a period say: their sum, by payer key."""
    states: dict[str, list[ReceivablesExport]] = {
        ReceivablesExport.State.SUBMITTED: [],
        ReceivablesExport.State.DRAFT: [],
    }
    for each in ReceivablesExport.objects.filter(period=period, state__in=states).order_by("number"):
        states[each.state].append(each)
    exports, drafts = states.values()
    lines: dict[str, SideLine] = {}
    rows = CustomerInvoiceLine.objects.filter(invoice__export__in=exports).order_by()
    for key, source, amount, count in rows.values_list("payer_key", "source_name").annotate(
        sum=AmountSum("amount"), count=Count("*")
    ):
        known = lines.get(key, SideLine(source, ZERO, 0))
        lines[key] = SideLine(source, known.amount + amount, known.lines + count)
    said = "\n".join(f"{each.number} {each.line_count} {plain(each.total)} {each.file_sha256}" for each in exports)
    return Side(
        code=INVOICED,
        label="Invoices to customers",
        lines=lines,
        find=lambda key: _line_of(period, key),
        broken=tuple(_not_adding_up(exports)),
        fingerprint=hashlib.sha256(said.encode()).hexdigest() if exports else "",
        about=About("journals.receivablesexport", where={"period": period.iso_month, "state": ("submitted",)}),
        then=_next_step(period, drafts),
        seal=lambda: _seals(period),
        seal_lines=lambda: _line_seals(period),
    )


def _next_step(period: BillingPeriod, drafts: list[ReceivablesExport]) -> NextStep:
    """Return how what customers pay gets on invoices: by the draft there is, else by one to be made."""
    about = {"period": period.iso_month}
    if not drafts:
        return NextStep("export_receivables", about)
    return NextStep("look_at_invoices", about | {"export": str(drafts[0].pk), "number": drafts[0].number})


def _seals(period: BillingPeriod) -> dict[str, str]:
    """Return a digest of each export of a month as it was submitted, and of its lines."""
    heads = sealed(ReceivablesExport.objects.filter(period=period), "number", *SEALED)
    lines = CustomerInvoiceLine.objects.filter(invoice__export__period=period)
    return together(heads, sealed(lines, "invoice__export__number", *SEALED_OF_LINES))


def _line_seals(period: BillingPeriod) -> LineSeals:
    lines = CustomerInvoiceLine.objects.filter(invoice__export__period=period)
    return sealed_lines(lines, "invoice__export__number", *SEALED_OF_LINES)


def _not_adding_up(exports: list[ReceivablesExport]) -> Iterator[Finding]:
    """Find the exports whose invoices, and the invoices whose lines, are not what they were submitted with."""
    invoices = CustomerInvoice.objects.filter(export__in=exports).order_by("number")
    added = {
        pk: (count, amount or ZERO)
        for pk, count, amount in CustomerInvoiceLine.objects.filter(invoice__export__in=exports)
        .order_by()
        .values_list("invoice")
        .annotate(count=Count("*"), sum=AmountSum("amount"))
    }
    of_exports: dict[int, list[CustomerInvoice]] = {}
    for invoice in invoices:
        of_exports.setdefault(invoice.export_id, []).append(invoice)
    for export in exports:
        about = About("journals.receivablesexport", export.pk)
        own = of_exports.get(export.pk, [])
        for invoice in own:
            _, amount = added.get(invoice.pk, (0, ZERO))
            if amount != invoice.total:
                text = f"its lines add up to {plain(amount, export.currency)}; it was submitted over "
                yield Finding(
                    "customer invoice", f"Invoice {invoice}", f"{text}{plain(invoice.total, export.currency)}.", about
                )
        total = sum((invoice.total for invoice in own), ZERO)
        count = sum(added.get(invoice.pk, (0, ZERO))[0] for invoice in own)
        if (len(own), count, total) != (export.invoice_count, export.line_count, export.total):
            yield Finding(
                "receivables",
                f"Receivables {export}",
                f"they have {len(own):,} invoices with {count:,} lines over {plain(total, export.currency)}; they were "
                f"submitted with {export.invoice_count:,} and {export.line_count:,} over "
                f"{plain(export.total, export.currency)}.",
                about,
            )


def _line_of(period: BillingPeriod, key: str) -> tuple[str, About | None]:
    lines = CustomerInvoiceLine.objects.filter(
        payer_key=key, invoice__export__period=period, invoice__export__state=ReceivablesExport.State.SUBMITTED
    )
    line = lines.select_related("invoice__export").order_by("-invoice__number").first()
    if line is None:
        return f"No invoice line of {key}", None
    return (
        f"Line {line.number} of invoice {line.invoice}",
        About("journals.receivablesexport", line.invoice.export_id),
    )

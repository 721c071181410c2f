"""Drafts of invoices: what customers are charged less what is on submitted invoices, by payer line."""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Max
from django.utils import timezone

from billing import audit, charging, quantities
from billing.audit import Actor, Gesture
from billing.charging.month import by_key, sources_by_key
from billing.fields import AmountSum
from billing.models import BillingPeriod, BillingReference, Customer, PayerLine, Person, Policy, Project
from billing.money import ZERO, plain
from billing.months import closing

from ..drafting import described
from ..models import CustomerInvoice, CustomerInvoiceLine, ReceivablesExport

BATCH = 2_000
# What a line says besides its amount and quantity.
SAID = (
    *("payer_key", "kind", "for_month", "reference", "pi_email", "pi_name", "project_code"),
    *("source_name", "service_name", "description"),
)
# A longer unit is none that people know.
UNIT_LENGTH = 64


@dataclass(frozen=True)
class Due:
    """What a customer owes for a payer line beyond the invoices submitted for it: a line of an invoice, unsaved."""

    customer_id: int
    line: CustomerInvoiceLine

    @property
    def said(self) -> tuple[int, str, Decimal]:
        return self.customer_id, self.line.payer_key, self.line.amount


@dataclass(frozen=True)
class Drafted:
    """The draft that a period has now; None where everything is on submitted invoices."""

    export: ReceivablesExport | None
    invoices: int
    total: Decimal


def draft(*, period: BillingPeriod, actor: Actor, now: datetime.datetime) -> Drafted:
    """Make the period's draft, in place of the one it had, from its payer lines as they are.

    `export` brings these up to date first.
    """
    with audit.gesture(actor=actor, now=now) as gesture:
        export = redraft(closing.locked(period), gesture)
        return Drafted(export, export.invoice_count if export else 0, export.total if export else ZERO)


def outstanding(period: BillingPeriod, lines: Iterable[PayerLine] | None = None) -> list[Due]:
    """Return what a period's payer lines (those stored, or those given) say beyond its submitted invoices.

    In the order of invoices: by customer, then as statements and the ledger have them. What nobody is charged any
    more is credited to whom it was invoiced. Nothing is said of quantities.
    """
    if lines is None:
        lines = PayerLine.objects.filter(period=period, customer__isnull=False)
    charged = _charged(period, lines)
    invoiced = _invoiced(period)
    found = []
    for key, due in charged.items():
        due.line.amount -= invoiced[key].line.amount if key in invoiced else ZERO
        found.append(due)
    for key in invoiced.keys() - charged.keys():
        gone = invoiced[key]
        gone.line.amount = -gone.line.amount
        found.append(gone)
    numbers = {pk: each.number for pk, each in by_key(Customer).items()}
    owed = [due for due in found if due.line.amount]
    return sorted(owed, key=lambda due: (numbers[due.customer_id], due.line.reference, due.line.payer_key))


def redraft(period: BillingPeriod, gesture: Gesture) -> ReceivablesExport | None:
    """Make the draft of a locked period, and return it; None where nothing is left to invoice."""
    dues = outstanding(period)
    drafts = ReceivablesExport.objects.select_for_update(no_key=True).filter(period=period)
    export = drafts.filter(state=ReceivablesExport.State.DRAFT).first()
    if not dues:
        if export:
            gesture.record("receivables.draft_dropped", export, note="Everything is on submitted invoices already.")
            export.delete()
        return None
    if export:
        export.invoices.all().delete()
    else:
        export = ReceivablesExport(period=period, number=_next_number(period))
    _say_quantities(period, dues)
    invoices = _invoices_of(export, dues, timezone.localdate(gesture.now))
    export.currency = Policy.objects.current().currency
    export.drafted_at = gesture.now
    # A file of the draft before is not of this one.
    export.file_path = ""
    export.invoice_count, export.line_count = len(invoices), len(dues)
    export.total = sum((invoice.total for invoice in invoices), ZERO)
    export.save()
    for invoice in invoices:
        invoice.export = export
    CustomerInvoice.objects.bulk_create(invoices, batch_size=BATCH)
    by_customer = {invoice.customer_id: invoice for invoice in invoices}
    for due in dues:
        due.line.invoice = by_customer[due.customer_id]
    CustomerInvoiceLine.objects.bulk_create([due.line for due in dues], batch_size=BATCH)
    gesture.record("receivables.drafted", export, after=facts(export))
    return export


def is_outdated(export: ReceivablesExport, dues: Sequence[Due]) -> bool:
    """Say whether a draft says something else than what is owed today."""
    lines = CustomerInvoiceLine.objects.filter(invoice__export=export).order_by("invoice__position", "number")
    said = list(lines.values_list("invoice__customer", "payer_key", "amount"))
    return said != [due.said for due in dues]


def facts(export: ReceivablesExport) -> dict[str, object]:
    """Return an export as the audit log keeps it."""
    return {
        "state": export.state,
        "invoices": export.invoice_count,
        "lines": export.line_count,
        "total": plain(export.total),
        "sha256": export.file_sha256,
    }


def _next_number(period: BillingPeriod) -> str:
    """Return the next free number of a month's exports: A2025-01-2. Its months are numbered apart, unlike invoices."""
    prefix = f"A{period.iso_month}-"
    taken = ReceivablesExport.objects.filter(number__startswith=prefix).values_list("number", flat=True)
    return f"{prefix}{max((int(number.removeprefix(prefix)) for number in taken), default=0) + 1}"


def _invoices_of(export: ReceivablesExport, dues: Iterable[Due], date: datetime.date) -> list[CustomerInvoice]:
    """Return an invoice for each customer, unsaved, and number its lines."""
    customers = by_key(Customer)
    earlier = CustomerInvoice.objects.filter(export__period=export.period, number__isnull=False).order_by()
    last = dict(earlier.values_list("customer").annotate(last=Max("number")))
    before = {invoice.number: invoice for invoice in CustomerInvoice.objects.filter(number__in=last.values())}
    by_customer: dict[int, list[CustomerInvoiceLine]] = {}
    for due in dues:
        by_customer.setdefault(due.customer_id, []).append(due.line)
    invoices = []
    for position, (pk, lines) in enumerate(by_customer.items(), start=1):
        for number, line in enumerate(lines, start=1):
            line.number = number
        customer, total = customers[pk], sum((line.amount for line in lines), ZERO)
        invoices.append(
            CustomerInvoice(
                position=position,
                kind=CustomerInvoice.Kind.CREDIT if total < 0 else CustomerInvoice.Kind.INVOICE,
                customer=customer,
                customer_number=customer.number,
                customer_name=customer.name,
                address=customer.address,
                email=customer.email,
                is_taxed=customer.is_taxed,
                tax_code=customer.tax_code,
                terms=customer.terms,
                date=date,
                follows=before.get(last.get(pk)),
                total=total,
            )
        )
    return invoices


def _charged(period: BillingPeriod, lines: Iterable[PayerLine]) -> dict[str, Due]:
    """Return what customers are charged in a period, by payer key."""
    # Looked up once: a join would make five objects more for every line.
    sources, people, projects = sources_by_key(), by_key(Person), by_key(Project)
    months = {pk: each.iso_month for pk, each in by_key(BillingPeriod).items()}
    references = {
        (each.pi_id, each.project_id): each.text
        for each in BillingReference.objects.filter(period=period).select_related("period")
    }
    found = {}
    for line in lines:
        source = sources[line.source_id]
        if line.customer_id is None or not source.is_journaled:
            continue
        pi = people[line.pi_id] if line.pi_id else None
        project_code = projects[line.project_id].code if line.project_id else ""
        # None yet where the lines are not stored, as in a preview.
        reference = references.get((line.pi_id, line.project_id), "")
        found[line.key] = Due(
            line.customer_id,
            CustomerInvoiceLine(
                payer_key=line.key,
                kind=line.kind,
                for_month=months[line.for_period_id],
                reference=reference,
                pi_email=pi.email if pi else "",
                pi_name=pi.name if pi else "",
                project_code=project_code,
                source_name=source.name,
                service_name=line.service_name,
                description=described(
                    reference=reference,
                    project_code=project_code,
                    source=source,
                    service_name=line.service_name,
                    kind=line.kind,
                    for_month=months[line.for_period_id],
                ),
                amount=line.charged,
            ),
        )
    return found


def _invoiced(period: BillingPeriod) -> dict[str, Due]:
    """Return what submitted invoices of a period say, by payer key: the last line, with the sum of all."""
    state = ReceivablesExport.State.SUBMITTED
    lines = CustomerInvoiceLine.objects.filter(invoice__export__period=period, invoice__export__state=state)
    sums = dict(lines.order_by().values_list("payer_key").annotate(sum=AmountSum("amount")))
    found = {}
    for line in lines.select_related("invoice").order_by("invoice__number", "number"):
        whole = CustomerInvoiceLine(amount=sums[line.payer_key], **{name: getattr(line, name) for name in SAID})
        found[line.payer_key] = Due(line.invoice.customer_id, whole)
    return found


def _say_quantities(period: BillingPeriod, dues: Sequence[Due]) -> None:
    """Say on lines how much was used, where that is of one unit, and all of it is invoiced for the first time."""
    known = set(_invoiced(period))
    wanted = {due.line.payer_key: due.line for due in dues if due.line.payer_key not in known}
    lines = list(PayerLine.objects.filter(period=period, key__in=list(wanted)).select_related("pi")) if wanted else []
    for key, resources in charging.resources_of(period, lines).items() if lines else ():
        usage = quantities.added(each for resource in resources for each in resource.usage)
        if len(usage) == 1 and len(usage[0].unit) <= UNIT_LENGTH:
            wanted[key].quantity, wanted[key].unit = quantities.plain(usage[0].quantity), usage[0].unit


def totals_of(dues: Iterable[Due]) -> Mapping[int, Decimal]:
    """Return what each customer (by id) owes."""
    sums: dict[int, Decimal] = {}
    for due in dues:
        sums[due.customer_id] = sums.get(due.customer_id, ZERO) + due.line.amount
    return sums

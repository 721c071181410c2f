"""Receivables: what accounts receivable gets of a month, its invoices to customers and their lines."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from billing.fields import TotalField
from billing.models import BillingPeriod, Customer, PayerLine


class ReceivablesExportQuerySet(models.QuerySet["ReceivablesExport"]):
    def submitted(self) -> "ReceivablesExportQuerySet":
        return self.filter(state=ReceivablesExport.State.SUBMITTED)


class ReceivablesExport(models.Model):
    """What accounts receivable gets of a period: its invoices to customers, a draft until submitted, then frozen."""

    class State(models.TextChoices):
        DRAFT = "draft", "Draft"
        SUBMITTED = "submitted", "Submitted"

    number = models.CharField(max_length=32, unique=True, help_text="Such as A2025-01-1.")
    period = models.ForeignKey(BillingPeriod, on_delete=models.PROTECT, related_name="receivables_exports")
    state = models.CharField(max_length=16, choices=State.choices, default=State.DRAFT)
    currency = models.CharField(max_length=3)
    total = TotalField(default=0)
    invoice_count = models.PositiveIntegerField("invoices", default=0)
    line_count = models.PositiveIntegerField("lines", default=0)
    drafted_at = models.DateTimeField()
    submitted_at = models.DateTimeField(null=True, blank=True)
    submitted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    file_path = models.CharField(max_length=254, blank=True)
    file_sha256 = models.CharField(max_length=64, blank=True)

    objects = ReceivablesExportQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = "export of receivables", "exports of receivables"
        ordering = ("-id",)
        default_permissions = ("view",)
        permissions = [
            ("export_receivables", "Can draft and export receivables"),
            ("submit_receivables", "Can submit receivables"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["period"],
                condition=Q(state="draft"),
                name="one_receivables_draft_per_period",
                violation_error_message="This period has a draft of its receivables already.",
            ),
            models.CheckConstraint(
                condition=Q(state="draft") | Q(submitted_at__isnull=False),
                name="submitted_receivables_have_stamp",
                violation_error_message="A submitted export of receivables says when it was submitted.",
            ),
        ]

    def __str__(self) -> str:
        return self.number


class CustomerInvoice(models.Model):
    """What a customer owes more, or less, than the invoices of the month before say; numbered once it is submitted."""

    class Kind(models.TextChoices):
        INVOICE = "invoice", "Invoice"
        CREDIT = "credit", "Credit"

    export = models.ForeignKey(ReceivablesExport, on_delete=models.CASCADE, related_name="invoices")
    position = models.PositiveIntegerField()
    number = models.PositiveIntegerField(
        null=True, blank=True, unique=True, help_text="One after the other, over all customers and months."
    )
    kind = models.CharField(max_length=16, choices=Kind.choices)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="invoices")
    # As they were then.
    customer_number = models.CharField(max_length=32)
    customer_name = models.CharField(max_length=200)
    address = models.TextField(blank=True)
    email = models.CharField("e-mail", max_length=254, blank=True)
    is_taxed = models.BooleanField("taxed", default=False)
    tax_code = models.CharField(max_length=32, blank=True)
    terms = models.CharField(max_length=64, blank=True)
    date = models.DateField()
    follows = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="followed_by",
        help_text="The invoice of the same customer and month before it.",
    )
    total = TotalField(default=0)

    class Meta:
        ordering = ("export", "position")
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["export", "position"], name="one_customer_invoice_per_position"),
        ]

    def __str__(self) -> str:
        return self.text or f"draft for {self.customer_number}"

    @property
    def text(self) -> str:
        """Its number as printed, `INV-000012`; "" of a draft."""
        return "" if self.number is None else f"INV-{self.number:06d}"


class CustomerInvoiceLine(models.Model):
    """What an invoice says of one service: of a payer line, less what invoices before it said."""

    invoice = models.ForeignKey(CustomerInvoice, on_delete=models.CASCADE, related_name="lines")
    number = models.PositiveIntegerField()
    payer_key = models.CharField(max_length=1000)
    kind = models.CharField(max_length=24, choices=PayerLine.Kind.choices)
    for_month = models.CharField(max_length=7)
    reference = models.CharField(max_length=32)
    pi_email = models.CharField(max_length=254, blank=True)
    pi_name = models.CharField(max_length=254, blank=True)
    project_code = models.CharField(max_length=128, blank=True)
    source_name = models.CharField(max_length=64)
    service_name = models.CharField(max_length=254, blank=True)
    description = models.CharField(max_length=254)
    quantity = models.TextField(blank=True, help_text="Where the line is of one unit, and not a change.")
    unit = models.CharField(max_length=64, blank=True)
    amount = TotalField()

    class Meta:
        ordering = ("invoice", "number")
        default_permissions = ("view",)
        indexes = [models.Index(fields=["payer_key"], name="invoice_line_payer")]
        constraints = [
            models.UniqueConstraint(fields=["invoice", "number"], name="one_invoice_line_per_number"),
            models.CheckConstraint(
                condition=~Q(amount=0),
                name="invoice_line_is_over_something",
                violation_error_message="A line of an invoice is over an amount, not over nothing.",
            ),
        ]

    def __str__(self) -> str:
        return f"invoice line {self.pk}"

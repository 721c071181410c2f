"""What the proof of a period keeps: the provider's invoices as typed in, and the proof a month was finalized with."""

from django.conf import settings
from django.db import models

from ..fields import ExactField
from .periods import BillingPeriod
from .sources import Source


class InvoiceTotal(models.Model):
    """What a provider's invoice says, typed in to be compared with what its files say."""

    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="invoice_totals")
    period = models.ForeignKey(BillingPeriod, on_delete=models.PROTECT, related_name="invoice_totals")
    invoice_id = models.CharField(
        "invoice",
        max_length=254,
        blank=True,
        help_text="As in the files' InvoiceId. Empty: the invoice covers all the source billed for the month.",
    )
    billing_account_id = models.CharField(
        "billing account", max_length=254, blank=True, help_text="Empty: whatever account the rows name."
    )
    currency = models.CharField(max_length=3)
    amount = ExactField(help_text="The total of the invoice, as the files count it: with or without tax.")
    note = models.CharField(max_length=254, blank=True)
    entered_at = models.DateTimeField(editable=False)
    entered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )
    entered_by_name = models.CharField("entered by", max_length=254, blank=True, editable=False)

    class Meta:
        verbose_name, verbose_name_plural = "provider invoice", "provider invoices"
        ordering = ("-period__month", "source__name", "invoice_id")
        constraints = [
            models.UniqueConstraint(
                fields=["source", "period", "invoice_id", "billing_account_id", "currency"],
                name="one_total_per_invoice",
                violation_error_message="This invoice is entered already.",
            ),
        ]

    def __str__(self) -> str:
        return f"invoice {self.invoice_id or self.pk}"


class FrozenProof(models.Model):
    """The proof a period was finalized with: its JSON and PDF as they were written, and their hashes."""

    period = models.OneToOneField(BillingPeriod, on_delete=models.PROTECT, related_name="frozen_proof")
    text = models.TextField(help_text="The JSON, to the byte.")
    json_sha256 = models.CharField("SHA-256 of the JSON", max_length=64)
    pdf = models.BinaryField()
    pdf_sha256 = models.CharField("SHA-256 of the PDF", max_length=64)
    frozen_at = models.DateTimeField()
    frozen_by = models.CharField(max_length=254, blank=True)

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"frozen proof {self.pk}"

"""Customers: who gets an invoice of accounts receivable, because no fund/org of the institution pays."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower

from ..texts import code_of
from .typed import AddressField, CodeField, NameField


class CustomerQuerySet(models.QuerySet["Customer"]):
    def numbered(self, number: str) -> "CustomerQuerySet":
        return self.filter(number__iexact=code_of(number))


class Customer(models.Model):
    """Somebody outside who pays by invoice: what PIs and projects of theirs are charged needs no fund/org."""

    id = models.AutoField(primary_key=True)
    number = CodeField(max_length=32, help_text="As accounts receivable knows the customer.")
    name = NameField(max_length=200, help_text="Printed on the invoice.")
    address = models.TextField(blank=True, help_text="Printed on the invoice, in several lines.")
    email = AddressField("e-mail for invoices", blank=True)
    is_taxed = models.BooleanField("taxed", default=False, help_text="Accounts receivable adds tax to the invoice.")
    tax_code = CodeField(max_length=32, blank=True, help_text="Passed on to accounts receivable as it is.")
    terms = NameField(max_length=64, blank=True, help_text="Terms of payment, such as Net 30.")
    active_from = models.DateField(null=True, blank=True, help_text="Charges for service before this day are held.")
    active_until = models.DateField(null=True, blank=True, help_text="Charges for service after this day are held.")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = CustomerQuerySet.as_manager()

    class Meta:
        ordering = ("number",)
        constraints = [
            models.UniqueConstraint(
                Lower("number"),
                name="one_customer_per_number",
                violation_error_message="There is a customer with this number.",
            ),
            models.CheckConstraint(
                condition=~Q(number="") & ~Q(name=""),
                name="customer_is_named",
                violation_error_message="A customer has a number and a name.",
            ),
            models.CheckConstraint(
                condition=Q(active_from__isnull=True)
                | Q(active_until__isnull=True)
                | Q(active_until__gte=F("active_from")),
                name="customer_dates_in_order",
                violation_error_message="The last day is before the first.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.number})"

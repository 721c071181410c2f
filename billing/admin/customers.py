"""Customers: who gets invoices of accounts receivable, for which PIs and projects."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from ..models import Customer
from ..texts import long_date, long_span
from .audited import BillingAdmin
from .formatting import badge, count_column
from .links import change_url, link
from .rates.classes import ReadMixin


@admin.register(Customer)
class CustomerAdmin(ReadMixin, BillingAdmin):
    when_empty = "There are no customers yet. Add one, then choose it on the page of its PI or project."
    list_display = (
        "number",
        "name",
        count_column("person_number", "PIs"),
        count_column("project_number", "projects"),
        "email",
        "terms",
        "taxed",
        "state",
    )
    # Said again: a list with counts keeps no order of the model's.
    ordering = ("number",)
    search_fields = ("number", "name", "email")
    fieldsets = (
        (None, {"fields": ("number", "name", "address", "email")}),
        ("Payment", {"fields": ("terms", ("is_taxed", "tax_code"))}),
        ("Active", {"fields": (("active_from", "active_until"),)}),
        ("Pays for", {"fields": ("pays_for",)}),
    )
    read_fieldsets = (
        (None, {"fields": ("number", "name", "address", "email", "terms", "taxed", "tax_code", "active")}),
        ("Pays for", {"fields": ("pays_for",)}),
    )
    readonly_fields = ("pays_for",)
    formfield_overrides = {models.TextField: {"widget": forms.Textarea(attrs={"rows": 4})}}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Customer]:
        counts = {
            "person_number": Count("people", distinct=True),
            "project_number": Count("projects", distinct=True),
        }
        return super().get_queryset(request).annotate(**counts)

    def get_fieldsets(self, request: HttpRequest, obj: Customer | None = None) -> Any:
        # Nobody is a new one's yet.
        return super().get_fieldsets(request, obj) if obj else self.fieldsets[:-1]

    @admin.display(description="PIs and projects")
    def pays_for(self, customer: Customer) -> str | SafeString:
        found = [*customer.people.order_by("email")[:50], *customer.projects.order_by("code")[:50]]
        linked = format_html_join(", ", "{}", ((link(change_url(each), str(each)),) for each in found))
        return linked or "Nobody yet. Choose this customer on the page of a PI or a project."

    @admin.display(description="taxed", ordering="is_taxed")
    def taxed(self, customer: Customer) -> str:
        return "yes" if customer.is_taxed else "no"

    @admin.display(description="active")
    def active(self, customer: Customer) -> str:
        return long_span(customer.active_from, customer.active_until) or "always"

    @admin.display(description="state")
    def state(self, customer: Customer) -> str:
        today = timezone.localdate()
        if customer.active_until and customer.active_until < today:
            return badge(f"Ended {long_date(customer.active_until)}", "warn")
        if customer.active_from and customer.active_from > today:
            return badge(f"From {long_date(customer.active_from)}", "info")
        return badge("Active", "good")

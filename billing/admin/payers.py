"""Payer lines: who owes how much for what in a month, in the cents that statements and journals read."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from ..models import PayerLine
from .audited import FrozenAdmin
from .filters import period_filter
from .formatting import amount_column, count_column
from .large_tables import LargeTableMixin
from .tracing import why_url


class ReceivableFilter(admin.SimpleListFilter):
    title = "customers"
    parameter_name = "receivable"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [("yes", "Customers pay by invoice"), ("no", "A fund/org pays")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[PayerLine]) -> QuerySet[PayerLine]:
        if self.value() not in ("yes", "no"):
            return queryset
        return queryset.filter(customer__isnull=self.value() == "no")


@admin.register(PayerLine)
class PayerLineAdmin(LargeTableMixin, FrozenAdmin):
    when_empty = "There are no payer lines yet. They are made with the statements of a month."
    list_display = (
        "number",
        "kind",
        amount_column("charged"),
        amount_column("rounding", named=False),
        "payer",
        "project",
        "fund_org",
        "customer",
        "source",
        "service_name",
        "for_period",
        count_column("charge_count", "charges"),
    )
    list_filter = (period_filter("period"), "kind", "source", ReceivableFilter)
    list_select_related = ("pi", "project", "source", "for_period", "customer")
    search_fields = (
        "=id",
        "pi__email",
        "pi__name",
        "project__code",
        "fund_org",
        "customer__number",
        "customer__name",
        "service_name",
        "reference_1",
        "reference_2",
    )
    search_help_text = "Number, PI, project, fund/org, customer, service, grant number or request id"
    ordering = ("period_id", "key")

    @admin.display(description="payer line")
    def number(self, line: PayerLine) -> str:
        return f"#{line.pk}"

    @admin.display(description="PI")
    def payer(self, line: PayerLine) -> str:
        return line.pi.display_name if line.pi else "the center"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Lead to the page that says what the line is made of and where it is printed."""
        line = self.get_object(request, object_id)
        if line is None:
            return super().change_view(request, object_id, form_url, extra_context)
        if not self.has_view_permission(request, line):
            raise PermissionDenied
        return HttpResponseRedirect(why_url(f"{line.period.iso_month}@{line.key}"))

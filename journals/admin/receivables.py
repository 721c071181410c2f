"""The list of receivables and the page of each: invoices to customers, their file, and their submission."""

import datetime
from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from billing import doors
from billing.admin.audited import FrozenAdmin, actor_of
from billing.admin.filters import period_filter, source_filter
from billing.admin.formatting import amount_column, badge_column, count_column
from billing.admin.links import change_url
from billing.admin.tracing import why_url
from billing.admin.verbs import Missing, Verb
from billing.errors import BillingError
from billing.models import BillingPeriod, Job
from billing.models.periods import parse_month
from billing.money import rounded
from billing.months import checklist
from billing.texts import month_name

from .. import receivables
from ..models import CustomerInvoice, ReceivablesExport
from .forms import MonthField

TONES: dict[str, str] = {ReceivablesExport.State.DRAFT: "info", ReceivablesExport.State.SUBMITTED: "good"}


# Lines of an invoice that its page shows; the file has all.
MOST_LINES = 200


class ExportForm(forms.Form):
    period = MonthField(
        BillingPeriod.objects.shown().order_by("-month"),
        to_field_name="month",
        empty_label=None,
        label="Billing period",
    )


def is_draft(export: ReceivablesExport) -> bool:
    return export.state == ReceivablesExport.State.DRAFT


def _month_asked(request: HttpRequest) -> datetime.date | None:
    """Return the month that the address names, None for no month."""
    try:
        return parse_month(request.GET.get("period", ""))
    except ValueError:
        return None


def _submit(request: HttpRequest, export: ReceivablesExport, data: dict[str, Any]) -> str:
    made = receivables.submit(export=export, actor=actor_of(request), now=timezone.now())
    return f"Receivables {made} are submitted. Download their file for accounts receivable."


def _redraft(request: HttpRequest, export: ReceivablesExport, data: dict[str, Any]) -> str | Job:
    said, job = _drafted(request, export.period)
    return job if isinstance(job, Job) else said


def _drafted(request: HttpRequest, period: BillingPeriod) -> tuple[str, models.Model | None]:
    """Draft a month's invoices; of a large month the worker does."""
    asked: dict[str, Any] = {"period": period, "actor": actor_of(request), "now": timezone.now()}
    if checklist.is_large(period):
        return "This takes a while. This page shows how far it has come.", receivables.export_later(**asked)
    exported = receivables.export(**asked)
    return exported.told, exported.export


def _shown(invoice: CustomerInvoice, period: BillingPeriod) -> dict[str, Any]:
    """Return what the page shows of an invoice: its first lines, each with its month and where it is traced."""
    lines = list(invoice.lines.all())
    return {
        "invoice": invoice,
        "lines": [
            (line, month_name(line.for_month), why_url(f"{period.iso_month}@{line.payer_key}"))
            for line in lines[:MOST_LINES]
        ],
        "more": len(lines[MOST_LINES:]),
    }


def _outdated(export: ReceivablesExport) -> Sequence[Missing]:
    if not receivables.is_outdated(export, receivables.outstanding(export.period)):
        return []
    url = reverse("admin:journals_receivablesexport_redraft", args=[export.pk])
    return [Missing("The draft is not what customers owe today. Draft it again first.", url)]


VERBS = (
    Verb(
        name="submit",
        label="Submit…",
        button="Submit invoices",
        permission="journals.submit_receivables",
        run=_submit,
        offered=is_draft,
        question=lambda export: (
            f"The invoices of {export} over {rounded(export.total, export.currency)} {export.currency} are numbered "
            "and frozen, and their file is kept. Later changes go on further invoices."
        ),
        missing=_outdated,
        is_primary=True,
    ),
    Verb(
        name="redraft",
        label="Draft again…",
        button="Draft again",
        permission="journals.export_receivables",
        run=_redraft,
        offered=is_draft,
        question=lambda export: f"{export} is drafted from today's charges, in place of what it holds now.",
    ),
)


@admin.register(ReceivablesExport)
class ReceivablesExportAdmin(FrozenAdmin):
    when_empty = "There are no receivables yet. Draft the invoices of a month that customers pay."
    list_display = (
        "number",
        "period",
        badge_column("state", TONES),
        count_column("invoice_count", "invoices"),
        count_column("line_count", "lines"),
        amount_column("total"),
        "submitted_at",
    )
    list_filter = (period_filter("period"), "state", source_filter("invoices__lines__source_name"))
    list_select_related = ("period",)
    search_fields = ("number", "invoices__customer_number", "invoices__customer_name")
    search_help_text = "Number, or number or name of a customer"
    fields = ()
    change_form_template = "admin/journals/receivablesexport/change_form.html"
    change_list_template = "admin/journals/receivablesexport/change_list.html"
    verbs = VERBS

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[ReceivablesExport]:
        return super().get_queryset(request).select_related("period", "submitted_by")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path("export/", view(self.export_view), name="journals_receivablesexport_export"),
            path("<int:export_id>/file.<str:form>", view(self.file_view), name="journals_receivablesexport_file"),
        ]
        return own + super().get_urls()

    def export_view(self, request: HttpRequest) -> HttpResponse:
        """Ask for a month, and draft the invoices of what customers pay of it."""
        return self.form_view(
            request,
            permission="journals.export_receivables",
            title="Draft the invoices",
            button="Make the draft",
            form_class=ExportForm,
            run=lambda data: _drafted(request, data["period"]),
            question=(
                "What customers pay of the month, and no submitted invoice says, becomes a draft: an invoice for each "
                "customer. Nothing is numbered until it is submitted."
            ),
            initial={"period": _month_asked(request)},
        )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        export = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if export:
            context = {
                "tone": TONES[export.state],
                "invoices": [_shown(invoice, export.period) for invoice in receivables.invoices_of(export)],
                "may_download": request.user.has_perm("journals.export_receivables"),
                "files": [
                    (label, reverse("admin:journals_receivablesexport_file", args=[export.pk, form]))
                    for form, label in (("csv", "CSV"), ("xlsx", "Excel (XLSX)"))
                ],
            }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def file_view(self, request: HttpRequest, export_id: int, form: str) -> HttpResponse:
        """Hand out the file of an export, and record who took it."""
        if not request.user.has_perm("journals.export_receivables"):
            raise PermissionDenied
        export = self.get_object(request, str(export_id))
        if export is None or form not in receivables.FORMATS:
            raise Http404("There is no such file.")
        try:
            file = receivables.download(export=export, form=form, actor=actor_of(request), now=timezone.now())
        except BillingError as error:
            messages.error(request, doors.for_page(error, request.user))
            return HttpResponseRedirect(change_url(export))
        # Never shown in the browser: what is in it came from outside.
        response = HttpResponse(file.content, content_type="application/octet-stream")
        response["Content-Disposition"] = f'attachment; filename="{file.name}"'
        return response

"""The proof of a month, every figure with the way to its rows; and the provider's invoices, as typed in."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from .. import doors, proof
from ..background import jobs
from ..errors import BillingError
from ..models import BillingPeriod, InvoiceTotal, Job
from ..months import checklist
from ..proof import invoices, showing, tieout
from ..texts import long_month
from .audited import BillingAdmin, actor_of
from .filters import period_filter
from .formatting import amount_column
from .links import change_url

TONES = {proof.Verdict.OK: "good", proof.Verdict.OPEN: "warn", proof.Verdict.OFF: "bad"}
WORDS = {proof.Verdict.OK: "reconciles", proof.Verdict.OPEN: "open", proof.Verdict.OFF: "difference"}
TYPES = {"json": "application/json", "pdf": "application/pdf"}


def proof_view(model_admin: admin.ModelAdmin, request: HttpRequest, period: BillingPeriod | None) -> HttpResponse:
    """Show a period's proof; `?format=json` and `?format=pdf` give it as a file, as frozen where it is.

    The worker proves a large month, and the page shows what it found last, and as of when. A POST proves it again.
    """
    if not model_admin.has_view_permission(request, period):
        raise PermissionDenied
    if period is None:
        raise Http404("There is no such billing period.")
    wanted = request.GET.get("format", "")
    if wanted in TYPES:
        return _file(request, period, wanted)
    is_left = checklist.is_left_to_worker(period)
    acting: dict[str, Any] = {"period": period, "actor": actor_of(request), "now": timezone.now()}
    if request.method == "POST":
        if is_left:
            showing.prove_later(**acting)
        return HttpResponseRedirect(request.path)
    refused, kept, proven, job = "", None, None, None
    if is_left:
        kept, job = showing.kept(period), showing.last_job(period)
        proven = kept.proven if kept else None
        if proven is None and (job is None or job.state == Job.State.DONE):
            showing.prove_later(**acting)
            # As it is once the queue has taken it.
            job = showing.last_job(period)
    else:
        try:
            proven = showing.proven(period, now=acting["now"])
        except BillingError as error:
            refused = doors.for_page(error, request.user)
    context = {
        **model_admin.admin_site.each_context(request),
        "title": f"Reconciliation of {long_month(period.month)}",
        "opts": model_admin.opts,
        "period": period,
        "back": change_url(period),
        "proven": proven,
        "has_changed": kept is not None and kept.has_changed,
        "job": job,
        "told": jobs.told(job) if job and job.state != Job.State.DONE else "",
        "refused": refused,
        "has_before": BillingPeriod.objects.filter(month__lt=period.month).exists,
        "groups": _groups(proven, request.user) if proven else [],
        "may_enter": request.user.has_perm("billing.add_invoicetotal")
        and period.status != BillingPeriod.Status.FINALIZED,
        "may_recount": period.takes_changes and request.user.has_perm("billing.close_period"),
        "enter_url": f"{reverse('admin:billing_invoicetotal_add')}?period={period.pk}",
    }
    return TemplateResponse(request, "admin/billing/billingperiod/proof.html", context)


def _groups(proven: showing.Proven, user: Any) -> list[dict[str, Any]]:
    """Return the equations under their titles, each with the word and tone of its verdict."""
    groups = []
    for code, title in proof.TITLES.items():
        equations = [each for each in proven.equations if each.code == code]
        if equations:
            shown = [
                {
                    "is": each,
                    "word": WORDS[each.verdict],
                    "tone": TONES[each.verdict],
                    "then": doors.link_for(each.then, user) if each.then else "",
                }
                for each in equations
            ]
            groups.append({"code": code, "title": title, "equations": shown})
    return groups


def _file(request: HttpRequest, period: BillingPeriod, extension: str) -> HttpResponse:
    content = tieout.download(period=period, extension=extension, actor=actor_of(request), now=timezone.now())
    response = HttpResponse(content, content_type=TYPES[extension])
    response["Content-Disposition"] = f'attachment; filename="proof-{period.iso_month}.{extension}"'
    return response


class InvoiceForm(forms.ModelForm):
    class Meta:
        model = InvoiceTotal
        fields = ("source", "period", "invoice_id", "billing_account_id", "currency", "amount", "note")

    def clean_currency(self) -> str:
        return str(self.cleaned_data["currency"]).upper()

    def clean_period(self) -> BillingPeriod:
        period: BillingPeriod = self.cleaned_data["period"]
        invoices.check_not_finalized(period)
        if self.instance.pk and self.instance.period_id != period.pk:
            raise ValidationError("An invoice stays in its month. Delete this one and enter it in the other.")
        return period


@admin.register(InvoiceTotal)
class InvoiceTotalAdmin(BillingAdmin):
    when_empty = (
        "There are no invoices yet. Enter what a provider billed, and the reconciliation of the month shows it beside "
        "the files."
    )
    list_display = (
        "invoice",
        "source",
        "period",
        "billing_account_id",
        amount_column("amount", named=False),
        "currency",
        "entered_by_name",
        "entered_at",
    )
    list_filter = (period_filter("period"), "source")
    list_select_related = ("source", "period")
    search_fields = ("invoice_id", "billing_account_id", "note")
    search_help_text = "Invoice, billing account or note"
    sortable_by = ("invoice",)
    form = InvoiceForm

    @admin.display(description="invoice", ordering="invoice_id")
    def invoice(self, total: InvoiceTotal) -> str:
        return total.invoice_id or "whole month"

    def _stands(self, total: Any) -> bool:
        return total is not None and total.period.status == BillingPeriod.Status.FINALIZED

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return super().has_change_permission(request, obj) and not self._stands(obj)

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return super().has_delete_permission(request, obj) and not self._stands(obj)

    def save_model(self, request: HttpRequest, obj: InvoiceTotal, form: Any, change: bool) -> None:
        invoices.stamp(obj, actor=actor_of(request))
        super().save_model(request, obj, form, change)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[InvoiceTotal]) -> None:
        super().delete_queryset(request, queryset.exclude(period__status=BillingPeriod.Status.FINALIZED))

"""Statements for staff: what was issued, to read and to send; and the messages that brought it."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing import jobs
from billing.admin.base import (
    FrozenAdmin,
    FrozenInline,
    Verb,
    actor_of,
    amount_column,
    badge,
    badge_column,
    change_url,
    link,
    period_filter,
    source_filter,
)
from billing.admin.entries import ENTER, correct_url
from billing.admin.tracing import why_url
from billing.errors import BillingError
from billing.models import BillingPeriod, Job

from . import delivery, issuing
from .models import Delivery, Statement, StatementLine
from .views import download

State = Statement.State

TONES: dict[str, str] = {State.ISSUED: "info", State.SENT: "good", State.SUPERSEDED: "", State.VOID: "bad"}
DELIVERY_TONES: dict[str, str] = {
    Delivery.State.QUEUED: "info",
    Delivery.State.CLAIMED: "busy",
    Delivery.State.SENT: "good",
    Delivery.State.FAILED: "bad",
}

ISSUE, SEND, VOID = "statements.issue_statements", "statements.send_statements", "statements.void_statement"


class AmountDueFilter(admin.SimpleListFilter):
    title = "amount due"
    parameter_name = "due"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("due", "Something due"), ("nothing", "Nothing due"), ("credit", "A credit")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Statement]) -> QuerySet[Statement]:
        conditions = {"due": {"charged__gt": 0}, "nothing": {"charged": 0}, "credit": {"charged__lt": 0}}
        return queryset.filter(**conditions.get(self.value() or "", {}))


class InForceFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("live", "In force"), *State.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Statement]) -> QuerySet[Statement]:
        if self.value() == "live":
            return queryset.filter(state__in=Statement.LIVE)
        return queryset.filter(state=self.value()) if self.value() else queryset


class VoidForm(forms.Form):
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), help_text="Kept in the audit trail.")


def void(request: HttpRequest, statement: Statement, data: dict[str, Any]) -> str:
    issuing.void(statement=statement, reason=data["reason"], actor=actor_of(request), now=timezone.now())
    return f"Statement {statement} is void. The next run issues a new one where there are charges."


def resend(request: HttpRequest, message: Delivery, data: dict[str, Any]) -> str:
    sent = delivery.resend(delivery=message, actor=actor_of(request), now=timezone.now())
    if sent.failed:
        raise delivery.NotDelivered(sent)
    return f"Sent to {', '.join(sent.messages[0].recipients)}." if sent.messages else "Somebody else is sending it."


class LineInline(FrozenInline):
    model = StatementLine
    list_amount = amount_column("list_cost", "list price")
    discount_amount = amount_column("discount")
    subsidy_amount = amount_column("subsidy")
    charged_amount = amount_column("charged", "amount due")
    fields = (
        "fund_org",
        "source_label",
        "what_for",
        "natural_account",
        "list_amount",
        "discount_amount",
        "subsidy_amount",
        "charged_amount",
        "why",
    )
    readonly_fields = (*fields, "correct")
    verbose_name_plural = "lines"

    @admin.display(description="service")
    def what_for(self, line: StatementLine) -> SafeString:
        return format_html('{}<br><span class="quiet small">{}</span>', line.what or "–", issuing.for_what(line))

    @admin.display(description="correct")
    def correct(self, line: StatementLine) -> SafeString:
        label = format_html('Correct…<span class="visually-hidden"> line {}</span>', line.number)
        return link(correct_url(f"{line.statement}:{line.number}"), label)

    def get_queryset(self, request: HttpRequest) -> QuerySet[StatementLine]:
        return super().get_queryset(request).select_related("statement__period")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        may = request.user.has_perm(ENTER) and obj is not None and obj.state in Statement.LIVE
        return (*self.fields, "correct") if may else self.fields

    @admin.display(description="traced")
    def why(self, line: StatementLine) -> SafeString:
        label = format_html('why<span class="visually-hidden"> line {}</span>', line.number)
        return link(why_url(f"{line.statement}:{line.number}"), label)


class PeriodForm(forms.Form):
    """Which month; a finalized one says itself that its statements stand."""

    period = forms.ModelChoiceField(
        queryset=BillingPeriod.objects.order_by("-month"),
        to_field_name="month",
        empty_label=None,
    )


@admin.register(Statement)
class StatementAdmin(FrozenAdmin):
    when_empty = "There are no statements yet. Generate them for a month."
    list_amount = amount_column("list_cost", "list price", currency="currency")
    discount_amount = amount_column("discount", currency="currency", order="number")
    subsidy_amount = amount_column("subsidy", currency="currency", order="number")
    charged_amount = amount_column("charged", "amount due", currency="currency")
    list_display = (
        "number",
        "period",
        "pi_name",
        "project",
        amount_column("list_cost", "list price"),
        amount_column("discount", order="number"),
        amount_column("subsidy", order="number"),
        amount_column("charged", "due"),
        badge_column("state", TONES),
        "pdf_link",
    )
    list_filter = (period_filter("period"), InForceFilter, source_filter("lines__source_name"), AmountDueFilter)
    list_select_related = ("period", "pi", "project")
    search_fields = ("number", "pi__name", "pi__email", "project__code", "project__name")
    search_help_text = "Number, PI or project"
    sortable_by = ("number",)
    change_list_template = "admin/statements/statement/change_list.html"
    fields = (
        "number",
        "status",
        "period",
        "pi",
        "project",
        "replaced_by",
        "list_amount",
        "discount_amount",
        "subsidy_amount",
        "charged_amount",
        "issued_at",
        "issued_by",
        "sent_at",
        "pdf_link",
        "pdf_sha256",
    )
    readonly_fields = fields
    inlines = (LineInline,)
    verbs = (
        Verb(
            name="void",
            label="Void…",
            button="Void this statement",
            permission=VOID,
            run=void,
            form=VoidForm,
            offered=lambda statement: statement.state in Statement.LIVE,
            question="The statement is taken out of force and its PI no longer sees it. This cannot be undone; the "
            "next run of statements issues a new revision where there are charges.",
            is_dangerous=True,
        ),
    )

    @admin.display(description="PI")
    def pi_name(self, statement: Statement) -> str:
        return statement.pi.display_name

    @admin.display(description="state")
    def status(self, statement: Statement) -> SafeString:
        said = badge(statement.get_state_display(), TONES[State(statement.state)])
        if statement.review_until:
            return format_html("{} for review until {}", said, statement.review_until)
        return format_html("{} {}", said, "final") if statement.is_final else said

    @admin.display(description="replaced by")
    def replaced_by(self, statement: Statement) -> str | SafeString:
        by = statement.superseded_by
        return link(change_url(by), by) if by else "–"

    @admin.display(description="PDF")
    def pdf_link(self, statement: Statement) -> SafeString:
        label = format_html('PDF<span class="visually-hidden"> of {}</span>', statement.number)
        return link(reverse("admin:statements_statement_pdf", args=[statement.pk]), label)

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        own = [
            path("generate/", wrap(self.generate_view), name="statements_statement_generate"),
            path("send/", wrap(self.send_view), name="statements_statement_send"),
            path("<int:pk>/pdf/", wrap(self.pdf_view), name="statements_statement_pdf"),
        ]
        return own + super().get_urls()

    def pdf_view(self, request: HttpRequest, pk: int) -> FileResponse:
        """Hand out a PDF to staff; the audit trail notes it."""
        statement = Statement.objects.select_related("period", "reference__period").filter(pk=pk).first()
        if statement is None:
            raise Http404("There is no such statement.")
        if not self.has_view_permission(request, statement):
            raise PermissionDenied
        data = issuing.pdf_of(statement)
        issuing.record_download(statement=statement, what="pdf", actor=actor_of(request), now=timezone.now())
        return download(data, f"statement-{statement.number}.pdf", "application/pdf")

    def generate_view(self, request: HttpRequest) -> HttpResponse:
        """Choose a month, see what would be issued, and have it done in the background."""
        if not request.user.has_perm(ISSUE):
            raise PermissionDenied
        form = PeriodForm(request.POST if request.method == "POST" else _asked_or_latest(request))
        period = form.cleaned_data["period"] if form.is_valid() else None
        may_send = request.user.has_perm(SEND)
        if request.method == "POST" and period:
            job = jobs.enqueue(
                kind=Job.Kind.GENERATE,
                arguments={"period": period.pk, "send": may_send and "send" in request.POST},
                actor=actor_of(request),
                now=timezone.now(),
            )
            return HttpResponseRedirect(change_url(job))
        preview, problem = None, ""
        if period and "period" in request.GET:
            try:
                preview = issuing.generate(period=period, dry_run=True, actor=actor_of(request), now=timezone.now())
            except BillingError as error:
                problem = str(error)
        context = {
            **self.admin_site.each_context(request),
            "title": "Generate statements",
            "opts": self.opts,
            "form": form,
            "period": period,
            "preview": preview,
            "problem": problem,
            "may_send": may_send,
            "media": self.media,
        }
        return TemplateResponse(request, "admin/statements/statement/generate.html", context)

    def send_view(self, request: HttpRequest) -> HttpResponse:
        """Choose a month whose statements go out, in the background."""
        if not request.user.has_perm(SEND):
            raise PermissionDenied
        waiting = BillingPeriod.objects.filter(statements__state=State.ISSUED).order_by("-month").distinct()
        if request.method == "POST":
            chosen = PeriodForm(request.POST)
            period = waiting.filter(pk=chosen.cleaned_data["period"].pk).first() if chosen.is_valid() else None
            if period is None:
                messages.error(request, "No statement of this period waits to be sent.")
                return HttpResponseRedirect(reverse("admin:statements_statement_changelist"))
            job = jobs.enqueue(
                kind=Job.Kind.SEND, arguments={"period": period.pk}, actor=actor_of(request), now=timezone.now()
            )
            return HttpResponseRedirect(change_url(job))
        rows = [
            {
                "period": period,
                "statements": Statement.objects.filter(period=period, state=State.ISSUED).count(),
                "pis": Statement.objects.filter(period=period, state=State.ISSUED).values("pi").distinct().count(),
            }
            for period in waiting[:24]
        ]
        context = {
            **self.admin_site.each_context(request),
            "title": "Send statements",
            "opts": self.opts,
            "rows": rows,
            "media": self.media,
        }
        return TemplateResponse(request, "admin/statements/statement/send.html", context)


def _asked_or_latest(request: HttpRequest) -> dict[str, Any]:
    """Return the month asked for (`?period=2025-01`), or the newest that still takes statements."""
    if asked := request.GET.get("period", ""):
        return {"period": asked if asked.count("-") > 1 else f"{asked}-01"}
    latest = BillingPeriod.objects.exclude(status=BillingPeriod.Status.FINALIZED).order_by("-month").first()
    return {"period": latest.month.isoformat() if latest else ""}


@admin.register(Delivery)
class DeliveryAdmin(FrozenAdmin):
    when_empty = "No e-mail was sent yet. Statements are sent by month, from their list."
    list_display = ("number", "period", "pi", "to", badge_column("state", DELIVERY_TONES), "sent_at", "error_start")
    list_filter = (period_filter("period"), "state")
    list_select_related = ("period", "pi")
    search_fields = ("pi__name", "pi__email", "subject", "statements__number")
    sortable_by = ("number",)
    fields = (
        "period",
        "pi",
        "to",
        "subject",
        "statements_sent",
        "state",
        "error",
        "created_at",
        "claimed_at",
        "sent_at",
        "message_path",
    )
    readonly_fields = fields
    verbs = (
        Verb(
            name="resend",
            label="Send again…",
            button="Send again",
            permission=SEND,
            run=resend,
            offered=lambda message: message.state in (Delivery.State.SENT, Delivery.State.FAILED),
            question="The message goes to the PI, the department contact and the delegates as they are today, with "
            "those of its statements that are in force.",
        ),
    )

    @admin.display(description="message", ordering="id")
    def number(self, message: Delivery) -> str:
        return f"#{message.pk}"

    @admin.display(description="to")
    def to(self, message: Delivery) -> str:
        return ", ".join(message.recipients)

    @admin.display(description="error")
    def error_start(self, message: Delivery) -> str:
        return message.error[:120] or "–"

    @admin.display(description="statements")
    def statements_sent(self, message: Delivery) -> str:
        return ", ".join(message.statements.order_by("number").values_list("number", flat=True))

"""Statements for staff: what was issued, to read, to void, and to issue and send by month."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing import doors
from billing.admin import walk
from billing.admin.audited import FrozenAdmin, FrozenInline, actor_of
from billing.admin.corrections import ENTER, correct_url
from billing.admin.filters import period_filter, source_filter
from billing.admin.formatting import amount_column, badge, badge_column
from billing.admin.links import change_url, link
from billing.admin.tracing import why_url
from billing.admin.verbs import Verb
from billing.background import jobs
from billing.errors import BillingError
from billing.models import BillingPeriod, Job

from .. import emails, issuing
from ..models import Email, Statement, StatementLine
from ..views import download

State = Statement.State

TONES: dict[str, str] = {
    State.ISSUED: "info",
    # Not good: nobody got it yet.
    State.WRITTEN: "warn",
    State.SENT: "good",
    State.SUPERSEDED: "",
    State.VOID: "bad",
}

ISSUE, SEND, VOID = "statements.issue_statements", "statements.send_statements", "statements.void_statement"


class TotalChargedFilter(admin.SimpleListFilter):
    title = "total charged"
    parameter_name = "charged"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [("more", "Charged"), ("nothing", "Nothing charged"), ("credit", "Credit")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Statement]) -> QuerySet[Statement]:
        conditions = {"more": {"charged__gt": 0}, "nothing": {"charged": 0}, "credit": {"charged__lt": 0}}
        return queryset.filter(**conditions.get(self.value() or "", {}))


class InForceFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [("live", "In force"), *State.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Statement]) -> QuerySet[Statement]:
        if self.value() == "live":
            return queryset.filter(state__in=Statement.LIVE)
        return queryset.filter(state=self.value()) if self.value() else queryset


class VoidForm(forms.Form):
    reason = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3}), help_text="The PI reads it where the statement was."
    )


def void(request: HttpRequest, statement: Statement, data: dict[str, Any]) -> str:
    issuing.void(statement=statement, reason=data["reason"], actor=actor_of(request), now=timezone.now())
    return f"Statement {statement} is void. The next run issues a new one where there are charges."


# What the charges of its lines name, such as grants.
NAMED = ("lines__reference_1", "lines__reference_2")


class LineInline(FrozenInline):
    model = StatementLine
    list_amount = amount_column("list_cost", "list price", currency="statement__currency", named=False)
    discount_amount = amount_column("discount", currency="statement__currency", named=False)
    subsidy_amount = amount_column("subsidy", currency="statement__currency", named=False)
    charged_amount = amount_column("charged", currency="statement__currency", named=False)
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
        about = " · ".join(filter(None, (issuing.for_what(line), line.reference_1, line.reference_2)))
        return format_html('{}<br><span class="quiet small">{}</span>', line.what or "–", about)

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
    """Which month. A finalized one can be chosen: the refusal says that its statements are locked."""

    period = forms.ModelChoiceField(
        queryset=BillingPeriod.objects.shown().order_by("-month"),
        to_field_name="month",
        empty_label=None,
    )


@admin.register(Statement)
class StatementAdmin(FrozenAdmin):
    when_empty = "There are no statements yet. Generate them for a month."
    list_amount = amount_column("month_list_cost", "list price", order="list_cost")
    discount_amount = amount_column("month_discount", "discount", order="number")
    subsidy_amount = amount_column("month_subsidy", "subsidy", order="number")
    corrections_amount = amount_column("corrections")
    charged_amount = amount_column("charged", "total charged")
    list_display = (
        "number",
        "period",
        "pi_name",
        "project",
        amount_column("month_list_cost", "list price", order="list_cost", named=False),
        amount_column("month_discount", "discount", order="number", named=False),
        amount_column("month_subsidy", "subsidy", order="number", named=False),
        amount_column("corrections", named=False),
        amount_column("charged", "total charged", named=False),
        badge_column("state", TONES),
        "pdf_link",
    )
    list_filter = (period_filter("period"), InForceFilter, source_filter("lines__source_name"), TotalChargedFilter)
    list_select_related = ("period", "pi", "project")
    search_fields = ("number", "pi__name", "pi__email", "project__code", "project__name", *NAMED)
    search_help_text = "Number, PI, project, grant number or request id"
    sortable_by = ("number",)
    change_list_template = "admin/statements/statement/change_list.html"
    fields = (
        "number",
        "status",
        "period",
        "pi",
        "project",
        "replaced_by",
        "voided_at",
        "void_reason",
        "list_amount",
        "discount_amount",
        "subsidy_amount",
        "corrections_amount",
        "charged_amount",
        "issued_at",
        "issued_by",
        "written_at",
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
            question="The statement is no longer in force. Its PI sees when it was voided, and why. This cannot be "
            "undone. The next run of statements issues a new revision if there are charges.",
            is_dangerous=True,
        ),
    )

    @admin.display(description="PI")
    def pi_name(self, statement: Statement) -> str:
        return statement.pi.display_name

    @admin.display(description="state")
    def status(self, statement: Statement) -> SafeString:
        said = badge(statement.get_state_display(), TONES[State(statement.state)])
        return format_html("{} {}", said, statement.month_state)

    @admin.display(description="replaced by")
    def replaced_by(self, statement: Statement) -> str | SafeString:
        by = statement.superseded_by
        return link(change_url(by), by) if by else "–"

    @admin.display(description="PDF")
    def pdf_link(self, statement: Statement) -> SafeString:
        label = format_html('PDF<span class="visually-hidden"> of {}</span>', statement.number)
        return link(reverse("admin:statements_statement_pdf", args=[statement.pk]), label)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("generate/", wrap(self.generate_view), name="statements_statement_generate"),
            path("send/", wrap(self.send_view), name="statements_statement_send"),
            path("<int:pk>/pdf/", wrap(self.pdf_view), name="statements_statement_pdf"),
        ]
        return own + super().get_urls()

    def pdf_view(self, request: HttpRequest, pk: int) -> FileResponse:
        """Hand out a PDF to staff, and record it in the audit log."""
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
        if request.method == "POST" and period:
            job = jobs.enqueue(
                kind=Job.Kind.GENERATE,
                arguments={"period": period.pk},
                actor=actor_of(request),
                now=timezone.now(),
            )
            return HttpResponseRedirect(walk.left(request, period, otherwise=change_url(job)))
        preview, problem = None, ""
        if period and "period" in request.GET:
            try:
                preview = issuing.generate(period=period, dry_run=True, actor=actor_of(request), now=timezone.now())
            except BillingError as error:
                problem = doors.for_page(error, request.user)
        context = {
            **self.admin_site.each_context(request),
            "title": "Generate statements",
            "opts": self.opts,
            "form": form,
            "period": period,
            "preview": preview,
            "problem": problem,
            "media": self.media,
        }
        return TemplateResponse(request, "admin/statements/statement/generate.html", context)

    def send_view(self, request: HttpRequest) -> HttpResponse:
        """Choose a month, see who would get what, and have it sent in the background."""
        if not request.user.has_perm(SEND):
            raise PermissionDenied
        waiting = _months_with_emails()
        if request.method == "POST":
            chosen = PeriodForm(request.POST)
            period = waiting.filter(pk=chosen.cleaned_data["period"].pk).first() if chosen.is_valid() else None
            if period is None:
                messages.error(request, "No statement of this month waits to be sent.")
                return HttpResponseRedirect(reverse("admin:statements_statement_changelist"))
            also = {name: True for name in ("outdated", "written") if name in request.POST}
            job = jobs.enqueue(
                kind=Job.Kind.SEND,
                arguments={"period": period.pk, **also},
                actor=actor_of(request),
                now=timezone.now(),
            )
            return HttpResponseRedirect(walk.left(request, period, otherwise=change_url(job)))
        months = list(waiting[:24])
        named = request.GET.get("period", "")[:7]
        period = next((each for each in months if str(each) == named), None)
        if months and not named:
            period = months[0]
        outdated, written = "outdated" in request.GET, "written" in request.GET
        preview, problem = None, ""
        if period:
            try:
                preview = emails.preview(
                    period=period, outdated=outdated, written=written, actor=actor_of(request), now=timezone.now()
                )
            except BillingError as error:
                problem = doors.for_page(error, request.user)
        context = {
            **self.admin_site.each_context(request),
            "title": "Send statements",
            "opts": self.opts,
            "months": months,
            "asked": named,
            "period": period,
            "preview": preview,
            "problem": problem,
            "outdated": outdated,
            "written": written,
            "in_doubt": emails.uncertain(),
            "is_configured": not emails.writes_files(),
            "media": self.media,
        }
        return TemplateResponse(request, "admin/statements/statement/send.html", context)


def _months_with_emails() -> QuerySet[BillingPeriod]:
    """Return the months of which something waits to be sent, or is only a file so far; the newest first."""
    waiting = Q(statements__state__in=(State.ISSUED, State.WRITTEN)) | Q(
        statement_emails__state__in=(*Email.TO_SEND, Email.State.WRITTEN),
        statement_emails__statements__state__in=Statement.LIVE,
    )
    return BillingPeriod.objects.filter(pk__in=BillingPeriod.objects.filter(waiting).values("pk")).order_by("-month")


def _asked_or_latest(request: HttpRequest) -> dict[str, Any]:
    """Return the month asked for (`?period=2025-01`), or the newest that still takes statements."""
    if asked := request.GET.get("period", ""):
        return {"period": asked if asked.count("-") > 1 else f"{asked}-01"}
    latest = BillingPeriod.objects.shown().exclude(status=BillingPeriod.Status.FINALIZED).order_by("-month").first()
    return {"period": latest.month.isoformat() if latest else ""}

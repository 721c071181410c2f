"""Statements for staff: the list, the page of each, and the pages that issue, send and void them."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from billing import doors
from billing.admin import chips, walk
from billing.admin.audited import FrozenAdmin, actor_of
from billing.admin.formatting import amount_column, badge
from billing.admin.links import change_url, link
from billing.admin.verbs import Verb
from billing.background import jobs
from billing.errors import BillingError
from billing.models import BillingPeriod, Job
from billing.months import checklist

from .. import issuing
from ..models import Statement
from ..views.statements import download
from . import record
from .exporting import EXPORT
from .filters import FILTERS, FilterForm
from .period_form import PeriodForm
from .permissions import ISSUE, SEND, VOID
from .record import TONES
from .sending import send_selected, send_view
from .statement_list import StatementList

State = Statement.State


class VoidForm(forms.Form):
    reason = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3}), help_text="The PI reads it where the statement was."
    )


def void(request: HttpRequest, statement: Statement, data: dict[str, Any]) -> str:
    issuing.void(statement=statement, reason=data["reason"], actor=actor_of(request), now=timezone.now())
    return f"Statement {statement} is void. The next run issues a new one where there are charges."


# What the charges of its lines name, such as grants.
NAMED = ("lines__reference_1", "lines__reference_2")


@admin.register(Statement)
class StatementAdmin(FrozenAdmin):
    when_empty = "There are no statements yet. Issue them for a month."
    list_display = (
        "number",
        "period",
        "owner",
        amount_column("month_list_cost", "list price", order="list_cost", named=False),
        amount_column("month_discount", "discount", order="number", named=False),
        amount_column("month_subsidy", "subsidy", order="number", named=False),
        amount_column("corrections", named=False),
        amount_column("charged", "total charged"),
        "states",
        "pdf_link",
    )
    list_filter = FILTERS
    list_select_related = ("period", "pi", "project")
    # By which links from other pages narrow the list.
    linked_by = ("pi", "project", "period")
    search_fields = ("number", "pi__name", "pi__email", "project__code", "project__name", *NAMED)
    search_help_text = "Number, PI, project, grant number or request id"
    sortable_by = ("number",)
    actions: Any = (send_selected,)
    change_list_template = "admin/statements/statement/change_list.html"
    change_form_template = "admin/statements/statement/change_form.html"
    fields = ()
    verbs = (
        Verb(
            name="void",
            label="Void…",
            button="Void this statement",
            permission=VOID,
            run=void,
            form=VoidForm,
            offered=lambda statement: (
                statement.state in Statement.LIVE and statement.period.status != BillingPeriod.Status.FINALIZED
            ),
            question="The statement is no longer in force. Its PI sees when it was voided, and why. This cannot be "
            "undone. The next run of statements issues a new revision if there are charges.",
            is_dangerous=True,
        ),
    )

    def has_send_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(SEND)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[StatementList]:
        return StatementList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list by an address that says what narrows it and nothing else."""
        if leads := chips.without_empty(request, Statement):
            return leads
        context = chips.context_of(request, FilterForm(request)) | {"narrowing": chips.narrowing_of(request.GET)}
        return super().changelist_view(request, context | (extra_context or {}))

    @admin.display(description="PI and project")
    def owner(self, statement: Statement) -> SafeString:
        return format_html(
            '<bdi title="{}">{}</bdi><br><span class="quiet small">{}</span>',
            statement.pi.email,
            statement.pi.display_name,
            statement.project.code if statement.project else "no project",
        )

    @admin.display(description="state")
    def states(self, statement: Any) -> SafeString:
        """The state, and what is wrong with it: marked by the list."""
        marks = [(badge(statement.get_state_display(), TONES[State(statement.state)]),)]
        if statement.is_outdated:
            marks.append((badge("Outdated", "warn"),))
        if statement.is_troubled:
            marks.append((badge("E-mail not delivered", "bad", is_long=True),))
        return format_html_join(" ", "{}", marks)

    @admin.display(description="PDF")
    def pdf_link(self, statement: Statement) -> SafeString:
        label = format_html('PDF<span class="visually-hidden"> of {}</span>', statement.number)
        return link(reverse("admin:statements_statement_pdf", args=[statement.pk]), label)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("generate/", wrap(self.generate_view), name="statements_statement_generate"),
            path("send/", wrap(self.send_view), name="statements_statement_send"),
            path("export/", wrap(EXPORT.view), name="statements_statement_export"),
            path("<int:pk>/pdf/", wrap(self.pdf_view), name="statements_statement_pdf"),
            path("<int:pk>/charges.csv", wrap(self.charges_view), name="statements_statement_charges"),
        ]
        return own + super().get_urls()

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Statement | None:
        """Return a statement with what its page shows of other tables, looked up once for a request."""
        found: dict[str, Statement | None] = request.__dict__.setdefault("statements_found", {})
        if object_id not in found:
            found[object_id] = super().get_object(request, object_id, from_field)
        return found[object_id]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Statement]:
        statements: QuerySet[Statement] = super().get_queryset(request)
        at = getattr(request, "resolver_match", None)
        if not at or "object_id" not in at.kwargs:
            return statements
        return statements.select_related("period", "pi", "project", "reference__period", "superseded_by", "issued_by")

    def buttons(self, request: HttpRequest, subject: Any) -> list[dict[str, Any]]:
        return [*record.buttons(request, subject), *super().buttons(request, subject)]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        statement = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if statement and self.has_view_permission(request, statement):
            context = record.context_of(request, statement, self.get_preserved_filters(request))
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def send_view(self, request: HttpRequest) -> HttpResponse:
        return send_view(self, request)

    def pdf_view(self, request: HttpRequest, pk: int) -> FileResponse:
        """Hand out a PDF to staff, and record it in the audit log."""
        statement = self._asked(request, pk)
        data = issuing.pdf_of(statement)
        issuing.record_download(statement=statement, what="pdf", actor=actor_of(request), now=timezone.now())
        return download(data, f"statement-{statement.number}.pdf", "application/pdf")

    def charges_view(self, request: HttpRequest, pk: int) -> FileResponse | HttpResponse:
        """Hand out charges.csv to staff, and record it in the audit log; say so where it is lost."""
        statement = self._asked(request, pk)
        try:
            data = issuing.charges_csv_of(statement)
        except issuing.ChargesLost as error:
            self.message_user(request, str(error), messages.ERROR)
            return HttpResponseRedirect(change_url(statement))
        issuing.record_download(statement=statement, what=issuing.CHARGES, actor=actor_of(request), now=timezone.now())
        return download(data, f"statement-{statement.number}-{issuing.CHARGES}", "text/csv; charset=utf-8")

    def _asked(self, request: HttpRequest, pk: int) -> Statement:
        """Return the statement of an address, for whoever may see it."""
        statement: Statement | None = (
            Statement.objects.select_related("period", "reference__period").filter(pk=pk).first()
        )
        if statement is None:
            raise Http404("There is no such statement.")
        if not self.has_view_permission(request, statement):
            raise PermissionDenied
        return statement

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
        preview, problem, is_pending = None, "", False
        if period and "period" in request.GET:
            try:
                preview = issuing.kept_preview(period, waits=False)
                is_pending = preview is None
            except BillingError as error:
                problem = doors.for_page(error, request.user)
        context = {
            **self.admin_site.each_context(request),
            "title": "Issue statements",
            "is_pending": is_pending,
            "progress": checklist.progress_of(period) if is_pending and period else None,
            "opts": self.opts,
            "form": form,
            "period": period,
            "preview": preview,
            "problem": problem,
            "media": self.media,
        }
        return TemplateResponse(request, "admin/statements/statement/generate.html", context)


def _asked_or_latest(request: HttpRequest) -> dict[str, Any]:
    """Return the month asked for (`?period=2025-01`), or the newest that still takes statements."""
    if asked := request.GET.get("period", ""):
        return {"period": asked if asked.count("-") > 1 else f"{asked}-01"}
    latest = BillingPeriod.objects.shown().exclude(status=BillingPeriod.Status.FINALIZED).order_by("-month").first()
    return {"period": latest.month.isoformat() if latest else ""}

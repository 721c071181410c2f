"""The list of journals and the page of each: what goes to the ledger, and what it answered."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from billing import doors
from billing.admin import chips
from billing.admin.audited import FrozenAdmin, actor_of
from billing.admin.filters import source_filter
from billing.admin.formatting import amount_column, badge_column, count_column
from billing.admin.links import change_url
from billing.errors import BillingError

from .. import posting
from ..models import Journal
from . import accruing, answers, exporting, preflight, record
from .listing import TONES, FilterForm, JournalList, MonthFilter, to_journal
from .steps import VERBS


@admin.register(Journal)
class JournalAdmin(FrozenAdmin):
    when_empty = "There are no journals yet. Draft one for a month."
    list_display = (
        "number",
        "period",
        badge_column("state", TONES),
        "kind",
        "posting_date",
        count_column("line_count", "lines"),
        amount_column("debits", named=False),
        amount_column("credits"),
        "document_number",
        "submitted_at",
    )
    list_filter = (MonthFilter, "state", "kind", source_filter("lines__source_name"))
    list_select_related = ("period",)
    search_fields = ("number", "document_number", "lines__reference_1", "lines__reference_2")
    search_help_text = "Number, document number, grant number or request id"
    sortable_by = ("number", "posting_date", "submitted_at")
    fields = ()
    change_form_template = "admin/journals/journal/change_form.html"
    change_list_template = "admin/journals/journal/change_list.html"
    verbs = VERBS

    def get_queryset(self, request: HttpRequest) -> QuerySet[Journal]:
        found = super().get_queryset(request).select_related("period", "reverses", "drafted_by", "submitted_by")
        at = getattr(request, "resolver_match", None)
        # Only its own page needs what changed, and that may be long.
        return found if at and "object_id" in at.kwargs else found.defer("draft_changes")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[JournalList]:
        return JournalList

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path("export/", view(exporting.export_view), name="journals_journal_export"),
            path("accrue/", view(accruing.accrue_view), name="journals_journal_accrue"),
            path("answers/", view(answers.answers_view), name="journals_journal_answers"),
            path("list/", view(exporting.list_view), name="journals_journal_list"),
            path("<int:journal_id>/preflight.<str:form>", view(self.preflight_view), name="journals_journal_preflight"),
            path("<int:journal_id>/file/", view(self.file_view), name="journals_journal_file"),
        ]
        return own + super().get_urls()

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list by an address that says what narrows it, with what is next for its months."""
        if leads := chips.without_empty(request, Journal):
            return leads
        answer = super().changelist_view(request, extra_context)
        listed = getattr(answer, "context_data", {}).get("cl")
        if listed:
            working = answer.context_data["working"]  # type: ignore[attr-defined]
            context = chips.context_of(request, FilterForm(request, listed.month))
            context["to_journal"] = to_journal(listed.month, working.months, request.user)
            answer.context_data.update(context)  # type: ignore[attr-defined]
        return answer

    def buttons(self, request: HttpRequest, subject: Any) -> list[dict[str, Any]]:
        found = super().buttons(request, subject)
        if not record.may_download(request, subject):
            return found
        is_draft = subject.state == Journal.State.DRAFT
        file = {
            "label": "Download draft" if is_draft else "Download file",
            "url": reverse("admin:journals_journal_file", args=[subject.pk]),
            # What is submitted and not answered has to get to the ledger.
            "is_primary": False,
            "is_dangerous": False,
        }
        return [*found, file] if is_draft else [file, *found]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        journal = self.get_object(request, object_id)
        context = record.context_of(request, journal, self.get_preserved_filters(request)) if journal else {}
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def preflight_view(self, request: HttpRequest, journal_id: int, form: str) -> HttpResponse:
        """Write what the preflight of a draft finds to a file."""
        return preflight.export_view(request, self.get_object(request, str(journal_id)), form)

    def file_view(self, request: HttpRequest, journal_id: int) -> HttpResponse:
        """Hand out a journal's file, and record who took it."""
        if not request.user.has_perm("journals.export_journal"):
            raise PermissionDenied
        journal = self.get_object(request, str(journal_id))
        if journal is None:
            raise Http404("There is no such journal.")
        try:
            name = request.GET.get("name", "")
            file = posting.download(journal=journal, name=name, actor=actor_of(request), now=timezone.now())
        except BillingError as error:
            messages.error(request, doors.for_page(error, request.user))
            return HttpResponseRedirect(change_url(journal))
        # Never shown in the browser: what is in it came from outside.
        response = HttpResponse(file.content, content_type="application/octet-stream")
        response["Content-Disposition"] = f'attachment; filename="{file.name}"'
        return response

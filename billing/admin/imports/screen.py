"""Imports, each with its control totals, and the page where files are uploaded."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from ... import audit
from ...files.disposed import DisposedOf
from ...files.received import display_name, opened
from ...importing import tending
from ...models import Import, ImportedFile
from ...texts import long_month, month_name
from ..audited import FrozenAdmin, actor_of
from ..filters import period_filter
from ..formatting import amount, badge_column, count_column
from ..links import change_url
from . import listing, record, words
from .record import DOWNLOAD, TONES
from .uploads import upload
from .verbs import VERBS

State = Import.State


@admin.register(Import)
class ImportAdmin(FrozenAdmin):
    when_empty = "Nothing was imported yet. Import files here."
    list_display = (
        "number",
        "of_source",
        "months_listed",
        badge_column("state", TONES),
        count_column("rows"),
        "billed_amount",
        count_column("new"),
        count_column("changed"),
        count_column("flagged", "held"),
        "imported_at",
        "by",
    )
    list_filter = ("state", "source", period_filter("scope_totals__period"))
    linked_by = ("booked_in",)
    list_select_related = ("source", "booked_in")
    search_fields = ("name", "files__sha256")
    sortable_by = ("number", "imported_at")
    fields = ()
    change_form_template = "admin/billing/import/change_form.html"
    change_list_template = "admin/billing/import/change_list.html"
    verbs = VERBS

    @admin.display(description="import", ordering="id")
    def number(self, imported: Import) -> SafeString:
        return format_html('{}<span class="quiet small plainly block">{}</span>', imported.pk, imported.name[:60])

    @admin.display(description="source")
    def of_source(self, imported: Import) -> str:
        return str(imported.source.label) if imported.source else "unknown"

    @admin.display(description="period")
    def months_listed(self, imported: Any) -> str:
        return ", ".join(map(long_month, imported.months)) or month_name(imported.expected_period) or "–"

    @admin.display(description="billed")
    def billed_amount(self, imported: Import) -> SafeString | str:
        billed = ((amount(exact, currency),) for currency, exact in sorted(words.billed_of(imported.stored).items()))
        return format_html_join(mark_safe("<br>"), "{}", billed) or "–"

    @admin.display(description="imported", ordering="created_at")
    def imported_at(self, imported: Import) -> str:
        return date_format(timezone.localtime(imported.created_at), "DATETIME_FORMAT")

    @admin.display(description="by")
    def by(self, imported: Import) -> str:
        return imported.created_by_name or "the system"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[listing.ImportList]:
        return listing.ImportList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Import | None:
        """Return an import, looked up once for a request."""
        found: dict[str, Import | None] = request.__dict__.setdefault("imports_found", {})
        if object_id not in found:
            found[object_id] = super().get_object(request, object_id, from_field)
        return found[object_id]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Import]:
        queryset = super().get_queryset(request)
        # A filter on the period joins one row per scope.
        return queryset.distinct() if "scope_totals__period" in request.GET else queryset

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("upload/", view(self.upload_view), name="billing_import_upload"),
            path("<int:number>/file/<int:place>/", view(self.file_view), name="billing_import_file"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        # Whoever looks is told the truth about imports whose process is gone.
        tending.close_left(now=timezone.now())
        context = {"running": listing.running() if request.user.has_perm("billing.view_job") else []}
        return super().changelist_view(request, context | (extra_context or {}))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        tending.close_left(now=timezone.now())
        imported = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if imported:
            context = record.context_of(request, imported, self.get_preserved_filters(request))
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def file_view(self, request: HttpRequest, number: int, place: int) -> HttpResponseBase:
        """Hand over a file of an import as it was received; the audit log says so."""
        if request.method != "GET":
            return HttpResponseNotAllowed(["GET"])
        used = (
            ImportedFile.objects.select_related("file", "imported_in").filter(imported_in=number, number=place).first()
        )
        if used is None:
            raise Http404("There is no such file.")
        if not (request.user.has_perm(DOWNLOAD) and self.has_view_permission(request, used.imported_in)):
            raise PermissionDenied
        imported, name = used.imported_in, display_name(used.name.removesuffix(f"/{used.member}"))
        try:
            file = opened(used.file)
        except DisposedOf as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(change_url(imported))
        except FileNotFoundError:
            messages.error(request, f"{name} is no longer there. Restore it from a backup of the stored files.")
            return HttpResponseRedirect(change_url(imported))
        with audit.gesture(actor=actor_of(request), now=timezone.now()) as gesture:
            gesture.record("import.downloaded", imported, after={"file": name, "sha256": used.file.sha256})
        return FileResponse(file, as_attachment=True, filename=name, content_type="application/octet-stream")

    def upload_view(self, request: HttpRequest) -> HttpResponse:
        """Take files, show what each is taken for, and have the worker import them."""
        return upload(request, context={**self.admin_site.each_context(request), "opts": self.opts})

"""Imports, each with its control totals, and the page where files are uploaded."""

from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone

from ...importing import doubts, tending
from ...importing.outcomes import unread_lines
from ...models import Flag, Import, ImportTotal
from ...money import plain
from ...readers.dates import rule_lines
from ..audited import FrozenAdmin
from ..filters import period_filter
from ..formatting import badge_column, count_column
from .uploads import PERMISSION, upload
from .verbs import VERBS, can_keep, takes_changes

State = Import.State

TONES = {
    State.RECEIVED: "busy",
    State.CHECKED: "busy",
    State.APPLIED: "good",
    State.FAILED: "bad",
    State.DEFERRED: "warn",
}
COUNTS = (
    ("rows", "Rows"),
    ("new", "New"),
    ("changed", "Changed"),
    ("unchanged", "Unchanged"),
    ("withdrawn", "Withdrawn"),
    ("unseen", "Not seen again"),
    ("flagged", "Flagged"),
)


def totals_table(imported: Import) -> list[dict[str, str]]:
    """Return a row per currency and cost column: the files' exact total, what is stored, the rounding."""
    rows = []
    for currency, columns in sorted(imported.totals.items()):
        for column, total in columns.items():
            exact = Decimal(total)
            stored = imported.stored.get(currency, {}).get(column)
            rows.append(
                {
                    "currency": currency,
                    "column": column,
                    "exact": f"{exact:,f}",
                    "stored": f"{Decimal(stored):,f}" if stored else "–",
                    "rounding": plain(exact - Decimal(stored)) if stored else "–",
                }
            )
    return rows


@admin.register(Import)
class ImportAdmin(FrozenAdmin):
    when_empty = "Nothing was imported yet. Import files here."
    list_display = (
        "number",
        "source",
        "name",
        badge_column("state", TONES),
        count_column("rows"),
        count_column("new"),
        count_column("changed"),
        count_column("flagged"),
        "created_at",
        "created_by_name",
    )
    list_filter = ("state", "source", period_filter("scope_totals__period"))
    linked_by = ("booked_in",)
    list_select_related = ("source", "booked_in")
    search_fields = ("name", "files__sha256")
    sortable_by = ("number", "created_at")
    fields = ()
    change_form_template = "admin/billing/import/change_form.html"
    change_list_template = "admin/billing/import/change_list.html"
    verbs = VERBS

    @admin.display(description="import", ordering="id")
    def number(self, imported: Import) -> str:
        return f"#{imported.pk}"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Import]:
        queryset = super().get_queryset(request)
        # A filter on the period joins one row per scope.
        return queryset.distinct() if "scope_totals__period" in request.GET else queryset

    def get_urls(self) -> list[URLPattern]:
        own = path("upload/", self.admin_site.admin_view(self.upload_view), name="billing_import_upload")
        return [own, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        # Whoever looks is told the truth about imports whose process is gone.
        tending.close_left(now=timezone.now())
        return super().changelist_view(request, extra_context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        tending.close_left(now=timezone.now())
        imported = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if imported:
            labels = dict(Flag.Code.choices)
            context_files = imported.imported_files.exists()
            context = {
                "counts": [(label, getattr(imported, name)) for name, label in COUNTS],
                "totals": totals_table(imported),
                "scopes": ImportTotal.objects.filter(imported_in=imported)
                .select_related("period")
                .order_by("period__month", "billing_account_id", "currency"),
                "flags": sorted(((labels.get(code, code), number) for code, number in imported.flags.items())),
                "files": imported.imported_files.select_related("file"),
                "is_applicable": takes_changes(imported),
                "doubts": doubts.messages(imported),
                "can_keep": can_keep(imported),
                "is_older": doubts.is_older(imported),
                "rules": [*rule_lines(imported.rules), *unread_lines(imported.unread)],
                "can_be_tried_again": imported.state == State.FAILED
                and context_files
                and request.user.has_perm(PERMISSION),
                "tone": TONES.get(State(imported.state), ""),
            }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def upload_view(self, request: HttpRequest) -> HttpResponse:
        """Take files, show what each is taken for, and have the worker import them."""
        return upload(request, context={**self.admin_site.each_context(request), "opts": self.opts})

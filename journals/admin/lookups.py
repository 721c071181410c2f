"""Lookup tables: loaded as a whole, with a preview, and searched on their page."""

from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import F, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from billing.admin.audited import FrozenAdmin, actor_of
from billing.admin.formatting import badge, count_column
from billing.admin.lists import ListAdmin
from billing.admin.verbs import Verb
from billing.models import Job

from .. import lookups
from ..formats.lookups import KEYS
from ..models import LookupTable
from .valid_values import PER_PAGE, StateFilter

ADD = "journals.add_lookuptable"


def _removed(request: HttpRequest, found: LookupTable, data: dict[str, Any]) -> str:
    lookups.remove(name=found.name, actor=actor_of(request), now=timezone.now())
    return f"Nothing is looked up in {found.name} any more."


@admin.register(LookupTable)
class LookupTableAdmin(FrozenAdmin, ListAdmin):
    when_empty = (
        "There are no lookup tables yet. Load what your ledger needs beside the fund/org, such as worktags or spend "
        "categories, and layouts and descriptions can print it."
    )
    list_display = (
        *("name", "version", "found_by", "has", count_column("row_count", "rows"), "loaded_at", "loaded_by_name"),
        "state",
    )
    list_filter = ("name", StateFilter)
    search_fields = ("name", "rows__key")
    search_help_text = "Table, or what a row is found by"
    fields = ()
    change_form_template = "admin/journals/lookuptable/change_form.html"
    change_list_template = "admin/journals/lookuptable/change_list.html"
    loaded_columns = (*lookups.COLUMNS, *KEYS, "segments.NAME", "and columns of your own")
    load_permissions = (ADD,)
    load_list = staticmethod(lookups.load_lookups)
    load_kind = Job.Kind.LOOKUPS
    load_title = "Load lookup tables"
    load_question = (
        "Replaces each table that the file names, as a whole; other tables stay as they are. Each line names its "
        "table, what it is found by, and its values. A file with a mistake is not loaded at all."
    )
    verbs = (
        Verb(
            name="remove",
            label="Stop looking up…",
            button="Stop looking up",
            permission=ADD,
            run=_removed,
            offered=lambda found: found.replaced_at is None,
            question=lambda found: (
                f"Layouts that print values of {found.name} cannot write journals any more. Journals that were "
                "submitted keep the version they were written with."
            ),
            is_dangerous=True,
        ),
    )

    @admin.display(description="found by")
    def found_by(self, table: LookupTable) -> str:
        return ", ".join(table.keys)

    @admin.display(description="has")
    def has(self, table: LookupTable) -> str:
        return ", ".join(table.columns)

    @admin.display(description="state", ordering="replaced_at")
    def state(self, table: LookupTable) -> str:
        return badge("Replaced", "") if table.replaced_at else badge("In force", "good")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        table = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if isinstance(table, LookupTable):
            asked = request.GET.get("q", "").strip()[:200]
            rows = table.rows.annotate(said=Cast("values", TextField())).order_by(
                "key", F("valid_from").asc(nulls_first=True)
            )
            for word in asked.split()[:10]:
                rows = rows.filter(key__icontains=word) | rows.filter(said__icontains=word)
            page = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
            context = {
                "page": page,
                "asked": asked,
                "rows": [(each, each.parts, [each.values.get(name, "") for name in table.columns]) for each in page],
                "written": table.journals.count(),
            }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

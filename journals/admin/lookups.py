"""Lookup tables: loaded as a whole, with a preview, and searched on their page."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest, HttpResponse

from billing.admin.formatting import count_column
from billing.models import Job

from .. import lookups
from ..formats.lookups import KEYS
from ..models import LookupTable
from .ledger_lists import LedgerListAdmin, removing

ADD = "journals.add_lookuptable"


@admin.register(LookupTable)
class LookupTableAdmin(LedgerListAdmin):
    kind = lookups.LOOKUPS
    when_empty = (
        "There are no lookup tables yet. Load what your ledger needs beside the fund/org, such as worktags or spend "
        "categories, and layouts and descriptions can print it."
    )
    list_display = (
        *("name", "version", "found_by", "has", count_column("row_count", "rows"), "loaded_at", "loaded_by_name"),
        "state",
    )
    search_fields = ("name", "rows__key")
    search_help_text = "Table, or what a row is found by"
    searched = ("key", "said")
    change_form_template = "admin/journals/lookuptable/change_form.html"
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
        removing(
            lookups.LOOKUPS,
            permission=ADD,
            label="Stop looking up",
            question="Layouts that print values of {name} cannot write journals any more. Journals that were "
            "submitted keep the version they were written with.",
            said="Nothing is looked up in {name} any more.",
        ),
    )

    @admin.display(description="found by")
    def found_by(self, table: LookupTable) -> str:
        return ", ".join(table.keys)

    @admin.display(description="has")
    def has(self, table: LookupTable) -> str:
        return ", ".join(table.columns)

    def searchable(self, version: Any) -> QuerySet[Any]:
        return super().searchable(version).annotate(said=Cast("values", TextField()))

    def headings(self, version: Any) -> list[str]:
        return [*version.keys, *version.columns]

    def cells(self, version: Any, row: Any) -> Iterable[str]:
        return (*row.parts, *(row.values.get(name, "") for name in version.columns))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        table = self.get_object(request, object_id)
        written = {"written": table.journals.count()} if isinstance(table, LookupTable) else {}
        return super().change_view(request, object_id, form_url, written | (extra_context or {}))

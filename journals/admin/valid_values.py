"""The lists of values that the ledger knows: loaded as a whole, with a preview, and searched on their page."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin

from billing.admin.formatting import count_column
from billing.models import Job

from .. import valid_values
from ..models import ValidValueList
from .ledger_lists import LedgerListAdmin, removing

ADD = "journals.add_validvaluelist"


@admin.register(ValidValueList)
class ValidValueListAdmin(LedgerListAdmin):
    kind = valid_values.VALUES
    when_empty = (
        "There are no lists of valid values yet. Load those of your ledger, and each journal is checked against them "
        "before it is submitted."
    )
    list_display = ("segment", "version", count_column("row_count", "values"), "loaded_at", "loaded_by_name", "state")
    search_fields = ("name", "rows__value")
    search_help_text = "Segment, or a value of it"
    searched = ("value", "name")
    loaded_columns = tuple(valid_values.COLUMNS)
    load_permissions = (ADD,)
    load_list = staticmethod(valid_values.load_values)
    load_kind = Job.Kind.VALUES
    load_title = "Load valid values"
    load_question = (
        "Replaces the values of each segment that the file names, as a whole; other segments stay as they are. "
        "Each line has a segment and a value. A file with a mistake is not loaded at all."
    )
    verbs = (
        removing(
            valid_values.VALUES,
            permission=ADD,
            label="Stop checking",
            question="Journals are checked against no list of {name} any more. Those that were loaded are kept.",
            said="The values of {name} are checked against no list any more.",
        ),
    )

    @admin.display(description="segment", ordering="name")
    def segment(self, found: ValidValueList) -> str:
        return found.name

    def headings(self, version: Any) -> list[str]:
        return ["Value", "Name"]

    def cells(self, version: Any, row: Any) -> Iterable[str]:
        return (row.value, row.name)

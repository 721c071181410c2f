"""The lists of values that the ledger knows: loaded as a whole, with a preview, and searched on their page."""

from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from billing.admin.audited import FrozenAdmin, actor_of
from billing.admin.formatting import badge, count_column
from billing.admin.lists import ListAdmin
from billing.admin.verbs import Verb
from billing.models import Job

from .. import valid_values
from ..models import ValidValueList

ADD = "journals.add_validvaluelist"
PER_PAGE = 200


def _removed(request: HttpRequest, found: ValidValueList, data: dict[str, Any]) -> str:
    valid_values.remove(segment=found.segment, actor=actor_of(request), now=timezone.now())
    return f"The values of {found.segment} are checked against no list any more."


class StateFilter(admin.SimpleListFilter):
    """Narrows the lists to those in force, or to those that were replaced."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("in_force", "In force"), ("replaced", "Replaced")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ValidValueList]) -> QuerySet[ValidValueList]:
        if self.value() not in ("in_force", "replaced"):
            return queryset
        return queryset.filter(replaced_at__isnull=self.value() == "in_force")


@admin.register(ValidValueList)
class ValidValueListAdmin(FrozenAdmin, ListAdmin):
    when_empty = (
        "There are no lists of valid values yet. Load those of your ledger, and each journal is checked against them "
        "before it is submitted."
    )
    list_display = ("segment", "version", count_column("value_count", "values"), "loaded_at", "loaded_by_name", "state")
    list_filter = ("segment", StateFilter)
    search_fields = ("segment", "values__value")
    search_help_text = "Segment, or a value of it"
    fields = ()
    change_form_template = "admin/journals/validvaluelist/change_form.html"
    change_list_template = "admin/journals/validvaluelist/change_list.html"
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
        Verb(
            name="remove",
            label="Stop checking…",
            button="Stop checking",
            permission=ADD,
            run=_removed,
            offered=lambda found: found.replaced_at is None,
            question=lambda found: (
                f"Journals are checked against no list of {found.segment} any more. Those that were loaded are kept."
            ),
            is_dangerous=True,
        ),
    )

    @admin.display(description="state", ordering="replaced_at")
    def state(self, found: ValidValueList) -> str:
        return badge("Replaced", "") if found.replaced_at else badge("In force", "good")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        found = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if isinstance(found, ValidValueList):
            asked = request.GET.get("q", "").strip()[:200]
            values = found.values.order_by("value", F("valid_from").asc(nulls_first=True))
            for word in asked.split()[:10]:
                values = values.filter(Q(value__icontains=word) | Q(name__icontains=word))
            context = {"page": Paginator(values, PER_PAGE).get_page(request.GET.get("page")), "asked": asked}
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

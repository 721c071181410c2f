"""The lists of the ledger: loaded as a whole, with a preview, and each version searched on its page."""

from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from billing.admin.audited import FrozenAdmin, actor_of
from billing.admin.formatting import badge
from billing.admin.lists import ListAdmin
from billing.admin.verbs import Verb

from .. import ledger_lists
from ..ledger_lists import ListKind

PER_PAGE = 200


class StateFilter(admin.SimpleListFilter):
    """Narrows the lists to those in force, or to those that were replaced."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("in_force", "In force"), ("replaced", "Replaced")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in ("in_force", "replaced"):
            return queryset
        return queryset.filter(replaced_at__isnull=self.value() == "in_force")


class LedgerListAdmin(FrozenAdmin, ListAdmin):
    """A screen of one kind of list: its versions, and the rows of each."""

    kind: ClassVar[ListKind]
    # The fields of a row that its page searches for each word.
    searched: ClassVar[tuple[str, ...]]
    fields = ()
    list_filter = ("name", StateFilter)
    change_form_template = "admin/journals/ledger_list/change_form.html"
    change_list_template = "admin/journals/ledger_list/change_list.html"

    @admin.display(description="state", ordering="replaced_at")
    def state(self, found: Any) -> str:
        return badge("Replaced", "") if found.replaced_at else badge("In force", "good")

    def searchable(self, version: Any) -> QuerySet[Any]:
        """Return the rows of a version with what is `searched` of them."""
        return self.kind.rows_of(version)

    def headings(self, version: Any) -> list[str]:
        """Return what the cells of its rows are called."""
        raise NotImplementedError

    def cells(self, version: Any, row: Any) -> Iterable[str]:
        """Return the cells of a row before its days."""
        raise NotImplementedError

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        version = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if version is not None:
            asked = request.GET.get("q", "").strip()[:200]
            rows = self.searchable(version)
            for word in asked.split()[:10]:
                is_there = Q()
                for name in self.searched:
                    is_there |= Q(**{f"{name}__icontains": word})
                rows = rows.filter(is_there)
            page = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
            context = {
                "page": page,
                "asked": asked,
                "noun": self.kind.nouns[0],
                "nouns": self.kind.nouns[1],
                "headings": self.headings(version),
                "rows": [(each, list(self.cells(version, each))) for each in page],
            }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))


def removing(kind: ListKind, *, permission: str, label: str, question: str, said: str) -> Verb:
    """Return the button that has a list in force no more; its texts name the list as {name}."""

    def run(request: HttpRequest, found: Any, data: dict[str, Any]) -> str:
        ledger_lists.remove(kind, name=found.name, actor=actor_of(request), now=timezone.now())
        return said.format(name=found.name)

    return Verb(
        name="remove",
        label=f"{label}…",
        button=label,
        permission=permission,
        run=run,
        offered=lambda found: found.replaced_at is None,
        question=lambda found: question.format(name=found.name),
        is_dangerous=True,
    )

"""Lists of tables with millions of rows: bounded counts, no order that has no index, and a search without joins."""

from collections import defaultdict
from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import ForeignKey, Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from .filters import words_of
from .formatting import count

# Rows counted before a list says "more than": counting a million for a page number helps nobody.
COUNTED = 10_000


class BoundedPaginator(Paginator):
    """Pages of a large table: counts no further than COUNTED, so a list of millions opens at once."""

    @cached_property
    def count(self) -> int:
        return int(self.object_list[: COUNTED + 1].count())  # type: ignore[attr-defined]

    @property
    def is_more(self) -> bool:
        return self.count > COUNTED

    @property
    def counted(self) -> str:
        return count(COUNTED)


class SearchedApartMixin(admin.ModelAdmin):
    """Looks for each word in each related table by itself, and then for the rows that refer to what it found there.

    Django would join all of these tables with every row of the large one, and compare its texts a million times.
    """

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any]", search_term: str
    ) -> tuple["QuerySet[Any]", bool]:
        for word in words_of(search_term):
            queryset = queryset.filter(self._with_word(request, word))
        return queryset, False

    def _with_word(self, request: HttpRequest, word: str) -> Q:
        own = Q()
        related: dict[str, Q] = defaultdict(Q)
        for name in self.get_search_fields(request):
            relation, _, field = name.rpartition("__")
            if relation:
                related[relation] |= Q(**{f"{field}__icontains": word})
            else:
                own |= Q(**{f"{field}__icontains": word})
        for relation, of_relation in related.items():
            key = self.opts.get_field(relation)
            assert isinstance(key, ForeignKey)
            found = key.related_model._default_manager.filter(of_relation)  # noqa: SLF001 (documented by Django)
            own |= Q(**{f"{relation}__in": found.order_by().values("pk")})
        return own


class LargeTableMixin(admin.ModelAdmin):
    """For tables of millions: bounded counts, and no order that has no index."""

    paginator = BoundedPaginator
    list_max_show_all = 0
    sortable_by = ()

"""Lists of tables with millions of rows: bounded counts, no order that has no index, and a search without joins."""

from collections import defaultdict
from typing import Any, ClassVar

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import CharField, ForeignKey, Model, Q, QuerySet, Value
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

    Django would join all of these tables with every row of the large one, and compare its texts a million times. A
    table that has nothing of a word is no longer asked about; where none has, nothing more is read.
    """

    # Where a text of the large table itself stands too, once for many rows: field -> model with a field of that name.
    kept_once: ClassVar[dict[str, type[Model]]] = {}

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any]", search_term: str
    ) -> tuple["QuerySet[Any]", bool]:
        for word in words_of(search_term):
            with_word = self._with_word(request, word)
            if not with_word:
                return queryset.none(), False
            queryset = queryset.filter(with_word)
        return queryset, False

    def _with_word(self, request: HttpRequest, word: str) -> Q:
        """Return what the rows refer to that has a word; empty where nothing has it. One query for all tables."""
        places = self._places(request, word)
        named = [
            texts.order_by().annotate(place=Value(lookup, CharField())).values_list("place").distinct()
            for lookup, texts in places.items()
        ]
        having = {place for (place,) in named[0].union(*named[1:], all=True)} if named else set()
        found = Q()
        for lookup in sorted(having):
            found |= Q(**{lookup: places[lookup]})
        return found

    def _places(self, request: HttpRequest, word: str) -> "dict[str, QuerySet[Any, Any]]":
        """Return the condition on a row that each of the tables searched makes, and what in it has a word."""
        own: dict[str, QuerySet[Any, Any]] = {}
        related: dict[str, Q] = defaultdict(Q)
        for name in self.get_search_fields(request):
            relation, _, field = name.rpartition("__")
            if relation:
                related[relation] |= Q(**{f"{field}__icontains": word})
            else:
                texts = self.kept_once.get(field, self.model)._default_manager.exclude(**{field: ""})  # noqa: SLF001
                own[f"{field}__in"] = texts.filter(**{f"{field}__icontains": word}).values(field)
        for relation, of_relation in related.items():
            key = self.opts.get_field(relation)
            assert isinstance(key, ForeignKey)
            with_word = key.related_model._default_manager.filter(of_relation)  # noqa: SLF001 (documented by Django)
            own[f"{relation}__in"] = with_word.order_by().values("pk")
        return own


class LargeTableMixin(admin.ModelAdmin):
    """For tables of millions: bounded counts, and no order that has no index."""

    paginator = BoundedPaginator
    list_max_show_all = 0
    sortable_by = ()

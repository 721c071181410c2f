"""Lists of tables with millions of rows: bounded counts, no order that has no index, and a search without joins."""

from collections import defaultdict
from typing import Any, ClassVar

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import CharField, ForeignKey, Model, Q, QuerySet, Value
from django.db.models.functions import Cast
from django.http import HttpRequest
from django.utils.functional import cached_property

from .filters import words_of
from .formatting import count

# Rows counted before a list says "more than": counting a million for a page number helps nobody.
COUNTED = 10_000
# What has a word of a search is named up to so many, and looked up by the database beyond.
NAMED = 200


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
    table that has nothing of a word is no longer asked about; where none has, nothing more is read. Where few have it,
    they are named: a database that is told which, and how many, finds their rows as planned.
    """

    # Where a text of the large table itself stands too, once for many rows: field -> model with a field of that name.
    kept_once: ClassVar[dict[str, type[Model]]] = {}

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any]", search_term: str
    ) -> tuple["QuerySet[Any]", bool]:
        # What each word that only one table has is found in. Conditions on the same column, each by itself, would have
        # a database expect next to nothing.
        alone: dict[str, set[str]] = {}
        for word in words_of(search_term):
            places = self._places(request, word)
            named = _named(places)
            if not named:
                return queryset.none(), False
            lookup, keys = next(iter(named.items()))
            if len(named) == 1 and len(keys) <= NAMED:
                alone[lookup] = alone.get(lookup, set(keys)) & set(keys)
                continue
            found = Q()
            for lookup, keys in sorted(named.items()):
                texts, field = places[lookup]
                found |= Q(**{lookup: keys if len(keys) <= NAMED else texts.order_by().values(field)})
            queryset = queryset.filter(found)
        return queryset.filter(**alone), False

    def _places(self, request: HttpRequest, word: str) -> "dict[str, tuple[QuerySet[Any], str]]":
        """Return the condition on a row that each of the tables searched makes: what in it has a word, and which field
        of that the row holds.
        """
        own: dict[str, tuple[QuerySet[Any], str]] = {}
        related: dict[str, Q] = defaultdict(Q)
        for name in self.get_search_fields(request):
            relation, _, field = name.rpartition("__")
            if relation:
                related[relation] |= Q(**{f"{field}__icontains": word})
            else:
                texts = self.kept_once.get(field, self.model)._default_manager.exclude(**{field: ""})  # noqa: SLF001
                own[f"{field}__in"] = texts.filter(**{f"{field}__icontains": word}), field
        for relation, of_relation in related.items():
            key = self.opts.get_field(relation)
            assert isinstance(key, ForeignKey)
            with_word = key.related_model._default_manager.filter(of_relation)  # noqa: SLF001 (documented by Django)
            own[f"{relation}__in"] = with_word, "pk"
        return own


def _named(places: "dict[str, tuple[QuerySet[Any], str]]") -> dict[str, list[str]]:
    """Return what the rows that each place finds have, of one more at most than are named. One query.

    A text that stands in many rows is there as often. A place that finds nothing is left out.
    """
    # SQLite takes no LIMIT in a part of a UNION, but in what a part looks through.
    parts = [
        texts.model._default_manager.filter(pk__in=texts.order_by().values("pk")[: NAMED + 1])  # noqa: SLF001
        .order_by()
        .annotate(place=Value(lookup, CharField()), having=Cast(field, CharField()))
        .values_list("place", "having")
        for lookup, (texts, field) in places.items()
    ]
    named: dict[str, list[str]] = defaultdict(list)
    for lookup, having in parts[0].union(*parts[1:], all=True) if parts else ():
        named[lookup].append(having)
    return named


class LargeTableMixin(admin.ModelAdmin):
    """For tables of millions: bounded counts, and no order that has no index."""

    paginator = BoundedPaginator
    list_max_show_all = 0
    sortable_by = ()

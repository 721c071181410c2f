"""How a list is narrowed: filters of a month and a source, what an address may ask, and how much is searched."""

import datetime
from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import SEARCH_VAR
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.text import capfirst, smart_split, unescape_string_literal

from .. import once_a_page
from ..models import BillingPeriod, Source
from ..texts import iso_month, long_month

# How much of a search counts: each further word is another condition of the query.
SEARCHED_WORDS, SEARCHED_CHARACTERS = 10, 200
# How a list may be narrowed by a field that it declares. No pattern is among these: one that never ends matching
# would stop the site.
NARROWED_BY, COMPARED_BY = ("exact", "in", "isnull", "isempty"), ("gte", "gt", "lte", "lt")


def months_offered() -> list[tuple[str, str]]:
    """Return the newest months as a filter offers them: `2025-01`, January 2025."""
    newest = BillingPeriod.objects.shown().order_by("-month").values_list("month", flat=True)
    # A list makes its filters twice, and a form asks for them too.
    months = once_a_page.value("months offered", lambda: list(newest[:36]))
    return [(iso_month(month), long_month(month)) for month in months]


def sources_offered(key: str = "pk") -> list[tuple[str, str]]:
    """Return the sources as a filter by their key or `name` offers them."""
    sources = once_a_page.value("sources offered", lambda: list(Source.objects.order_by("name")))
    return [(str(getattr(source, key)), str(source)) for source in sources]


def period_filter(field: str, title: str = "billing period") -> type[admin.SimpleListFilter]:
    """Return a list filter on a foreign key to BillingPeriod, addressed as `?period=2025-01`."""

    class PeriodFilter(admin.SimpleListFilter):
        parameter_name = "period" if field in ("period", "charged_in", "month") else field

        def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
            return months_offered()

        def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
            if not self.value():
                return queryset
            try:
                month = datetime.datetime.strptime(str(self.value()), "%Y-%m").date()  # noqa: DTZ007
            except ValueError:
                return queryset.none()
            return queryset.filter(**{f"{field}__month": month})

    PeriodFilter.title = title
    return PeriodFilter


def source_filter(field: str) -> type[admin.SimpleListFilter]:
    """Return a list filter on the name of a source on the lines of a document (`field`), as `?source=aws`."""

    class SourceFilter(admin.SimpleListFilter):
        title = "source"
        parameter_name = "source"

        def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
            return sources_offered("name")

        def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
            if not self.value():
                return queryset
            # A document with several such lines is listed once.
            return queryset.filter(pk__in=queryset.model.objects.filter(**{field: self.value()}).values("pk"))

    return SourceFilter


def searched(text: str) -> str:
    """Return the part of a search that counts; words in quotes count as one."""
    words = list(smart_split(text[:SEARCHED_CHARACTERS]))
    is_short = len(text) <= SEARCHED_CHARACTERS and len(words) <= SEARCHED_WORDS
    return text if is_short else " ".join(words[:SEARCHED_WORDS])


def words_of(text: str) -> list[str]:
    """Return the words of a search that count, those in quotes as one and without their quotes."""
    found = []
    for word in smart_split(searched(text)):
        is_quoted = len(word) > 1 and word[0] in "\"'" and word[0] == word[-1]
        found.append(unescape_string_literal(word) if is_quoted else word)
    return found


def _is_moment(text: str) -> bool:
    """Tell whether an address names a time with its zone, and one that every other zone has, too."""
    try:
        moment = parse_datetime(text)
    except ValueError:
        return False
    return moment is not None and timezone.is_aware(moment) and datetime.MINYEAR < moment.year < datetime.MAXYEAR


class NarrowedListMixin(admin.ModelAdmin):
    """A list that is narrowed and searched only as it declares."""

    # Fields by which links of ours narrow the list, beside its filters.
    linked_by: tuple[str, ...] = ()

    def lookup_allowed(self, lookup: str, value: object, request: HttpRequest | None = None) -> bool:
        """Take from an address what the filters and links of the list declare, and nothing else.

        Django would take any lookup on any field of the model: patterns, and fields that the list does not show.
        """
        fields = set(self.linked_by)
        for declared in self.get_list_filter(request) if request else self.list_filter:
            if isinstance(declared, type) and issubclass(declared, admin.SimpleListFilter):
                if lookup == declared.parameter_name:
                    return True
            else:
                fields.add(str(declared[0] if isinstance(declared, list | tuple) else declared))
        if lookup not in {narrowed for field in fields for narrowed in self._narrowings(field)}:
            return False
        name, _, compared = lookup.partition("__")
        is_of_time = isinstance(self.opts.get_field(name), models.DateTimeField)
        return not is_of_time or compared == "isnull" or _is_moment(str(value))

    def _narrowings(self, name: str) -> Iterable[str]:
        field = self.opts.get_field(name)
        if isinstance(field, models.ForeignKey | models.ManyToManyField):
            # A filter by a related object names its key. On the relation itself, SQLite fails at a key beyond 64 bits.
            key = field.target_field.name if isinstance(field, models.ForeignKey) else "id"
            yield from (f"{name}__{key}__exact", f"{name}__isnull")
            return
        if isinstance(field, models.DateTimeField):
            yield from (f"{name}__{narrowed}" for narrowed in ("isnull", *COMPARED_BY))
            return
        compared = COMPARED_BY if isinstance(field, models.DateField) else ()
        yield from (name, *(f"{name}__{narrowed}" for narrowed in (*NARROWED_BY, *compared)))

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        return super().get_search_results(request, queryset, searched(search_term))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        title = capfirst(self.opts.verbose_name_plural)
        if searched(words := request.GET.get(SEARCH_VAR, "")) != words:
            messages.warning(
                request,
                f"Only the first {SEARCHED_WORDS} words and {SEARCHED_CHARACTERS} characters are looked for.",
            )
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

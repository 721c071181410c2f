"""Lists of tables with millions of rows: bounded counts, and no order that has no index."""

from django.contrib import admin
from django.core.paginator import Paginator
from django.utils.functional import cached_property

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


class LargeTableMixin(admin.ModelAdmin):
    """For tables of millions: bounded counts, and no order that has no index."""

    paginator = BoundedPaginator
    list_max_show_all = 0
    sortable_by = ()

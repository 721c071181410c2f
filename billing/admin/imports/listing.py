"""The list of imports: what its files come to, how many are of each state, and what runs now."""

from collections import defaultdict
from decimal import Decimal
from functools import cached_property
from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.db.models import Count, Sum
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from ...background import jobs
from ...fields import WIDE
from ...models import Import, ImportTotal, Job
from ...money import ZERO
from ..formatting import amount, count
from . import words

STATE = "state__exact"
# Jobs that bring charges in.
KINDS = (Job.Kind.IMPORT, Job.Kind.BOOK, Job.Kind.APPLY)
RUNNING = 10


class ImportList(ChangeList):
    """A page of imports, with what all of them that it lists come to."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        months = _months_of([imported.pk for imported in self.result_list])
        for imported in self.result_list:
            imported.months = months.get(imported.pk, [])
        self.states = self._states(request)

    @cached_property
    def sums_text(self) -> SafeString | str:
        """Say what the list comes to: imports, rows, and the money of the files of those in force."""
        if not self.result_count:
            return ""
        chosen = self.queryset.order_by()
        rows = Import.objects.filter(pk__in=chosen.values("pk")).aggregate(rows=Sum("rows"))["rows"] or 0
        applied = chosen.filter(state=Import.State.APPLIED)
        billed: dict[str, Decimal] = defaultdict(lambda: ZERO)
        # Exact sums are kept as text, which no database adds up.
        for _, stored in applied.values_list("pk", "stored"):
            for currency, exact in words.billed_of(stored).items():
                billed[currency] = WIDE.add(billed[currency], exact)
        money = format_html_join(", ", "{}", ((amount(sums, currency),) for currency, sums in sorted(billed.items())))
        noun = "import" if self.result_count == 1 else "imports"
        said = format_html("{} {}, {} rows", count(self.result_count), noun, count(rows))
        return format_html("{}. Files that are applied come to {}.", said, money) if money else said

    def _states(self, request: HttpRequest) -> list[dict[str, Any]]:
        """Return the states that imports are in, however the list is narrowed otherwise: number and address of each."""
        chosen = self.get_queryset(request, exclude_parameters=[STATE, "state__isnull"])
        numbers = dict(chosen.order_by().values_list("state").annotate(number=Count("pk", distinct=True)))
        asked = self.get_filters_params().get(STATE, [""])[0]
        found = [
            {
                "label": label,
                "number": numbers[value],
                "url": self.get_query_string({STATE: value}),
                "is_current": value == asked,
            }
            for value, label in Import.State.choices
            if value in numbers
        ]
        everything = {
            "label": "All",
            "number": sum(numbers.values()),
            "url": self.get_query_string(remove=[STATE]),
            "is_current": not asked,
        }
        return [everything, *found]


def _months_of(imports: list[int]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = defaultdict(list)
    totals = ImportTotal.objects.filter(imported_in__in=imports).order_by("period__month")
    for number, month in totals.values_list("imported_in", "period__month").distinct():
        found[number].append(month)
    return found


def running() -> list[dict[str, Any]]:
    """Return the jobs that bring charges in and are not over, the newest first, with what each says of itself."""
    unfinished = Job.objects.filter(kind__in=KINDS, state__in=jobs.UNFINISHED).order_by("-pk")[:RUNNING]
    return [{"job": job, "said": jobs.told(job), "is_check": bool(job.arguments.get("dry_run"))} for job in unfinished]

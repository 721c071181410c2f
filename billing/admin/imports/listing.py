"""The list of imports: what its files come to, how many are of each state, and what runs now."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import cached_property
from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.db.models import Sum
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from ...background import jobs
from ...fields import WIDE
from ...models import Import, ImportTotal, Job
from ...money import ZERO
from ..choice_chips import ChoiceChip, address_by, choice_chips
from ..formatting import amount, count
from ..running import Running, shown
from . import words

STATE = "state__exact"
# The states in which an import waits for somebody.
CHIP_TONES: dict[str, str] = {Import.State.FAILED: "bad", Import.State.DEFERRED: "warn"}
# Jobs that bring charges in.
KINDS = (Job.Kind.IMPORT, Job.Kind.BOOK, Job.Kind.APPLY, Job.Kind.USAGE)
RUNNING = 10


class ImportList(ChangeList):
    """A page of imports, with what all of them that it lists come to."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        months = _months_of([imported.pk for imported in self.result_list])
        for imported in self.result_list:
            imported.months = months.get(imported.pk, [])
        # The states that imports are in, however the list is narrowed otherwise.
        whole = self.get_queryset(request, exclude_parameters=[STATE, "state__isnull"])
        self.by_state = _by_state(whole.order_by().values_list("pk", "state", "stored").distinct())

    @cached_property
    def sums_text(self) -> SafeString | str:
        """Say what the list comes to: imports, rows, and the money of the files of those in force."""
        if not self.result_count:
            return ""
        chosen = self.queryset.order_by()
        rows = Import.objects.filter(pk__in=chosen.values("pk")).aggregate(rows=Sum("rows"))["rows"] or 0
        billed = self.by_state.get(Import.State.APPLIED, (0, {}))[1] if self.state in ("", Import.State.APPLIED) else {}
        money = format_html_join(", ", "{}", ((amount(sums, currency),) for currency, sums in billed.items()))
        noun = "import" if self.result_count == 1 else "imports"
        said = format_html("{} {}, {} rows", count(self.result_count), noun, count(rows))
        return format_html("{}. Files that are applied come to {}.", said, money) if money else said

    @property
    def state(self) -> str:
        """The state that the list is narrowed to, "" for all."""
        return str(self.get_filters_params().get(STATE, [""])[0])

    @property
    def state_chips(self) -> list[ChoiceChip]:
        """What is in each state; all of them together are no sum, for not all are in force."""
        every = ChoiceChip("", "All", sum(number for number, _ in self.by_state.values()))
        found = [
            ChoiceChip(value, label, *self.by_state.get(value, (0, {})), CHIP_TONES.get(value, ""))
            for value, label in Import.State.choices
        ]
        return choice_chips([every, *found], chosen=self.state, url_of=address_by(self, STATE))


def _by_state(imports: Iterable[tuple[int, str, Any]]) -> dict[str, tuple[int, Mapping[str, Decimal]]]:
    """Return how many imports are in each state, and what their files bill by currency."""
    numbers: dict[str, int] = defaultdict(int)
    billed: dict[str, dict[str, Decimal]] = defaultdict(dict)
    for _, state, stored in imports:
        numbers[state] += 1
        # Exact sums are kept as text, which no database adds up.
        for currency, exact in words.billed_of(stored).items():
            billed[state][currency] = WIDE.add(billed[state].get(currency, ZERO), exact)
    return {state: (number, dict(sorted(billed[state].items()))) for state, number in numbers.items()}


def _months_of(imports: list[int]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = defaultdict(list)
    totals = ImportTotal.objects.filter(imported_in__in=imports).order_by("period__month")
    for number, month in totals.values_list("imported_in", "period__month").distinct():
        found[number].append(month)
    return found


def running() -> list[Running]:
    """Return the jobs that bring charges in and are not over, the newest first."""
    return shown(Job.objects.filter(kind__in=KINDS, state__in=jobs.UNFINISHED).order_by("-pk")[:RUNNING])

"""Months that were priced: by which schedule and from which files, where the units went, and which import it became."""

from typing import Any

from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from ...models import Import, Job, Policy, PricedMonth
from ...texts import long_month
from ...usage import bringing
from ...usage.accounts import units_lines
from ..audited import FrozenAdmin, actor_of
from ..filters import period_filter
from ..formatting import badge, count_column
from ..links import change_url, link
from ..verbs import Verb
from . import told
from .money import money_of
from .reading import PERMISSION

FILES = 200


class LatestFilter(admin.SimpleListFilter):
    """How each month was priced last; every other pricing of it was replaced."""

    title = "pricing"
    parameter_name = "pricing"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [("latest", "The last of each month"), ("replaced", "Replaced by a later one")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[PricedMonth]) -> QuerySet[PricedMonth]:
        if self.value() == "latest":
            return queryset.filter(pk=F("latest"))
        return queryset.exclude(pk=F("latest")) if self.value() == "replaced" else queryset


def _price_again(request: HttpRequest, priced: PricedMonth, data: dict[str, Any]) -> Job:
    return bringing.price_again_later(
        feed=priced.feed, month=priced.period.month, actor=actor_of(request), now=timezone.now()
    )


def _is_latest(priced: PricedMonth) -> bool:
    return bool(priced.pk == getattr(priced, "latest", None))


AGAIN = Verb(
    name="again",
    label="Price again…",
    button="Price again",
    permission=PERMISSION,
    run=_price_again,
    offered=_is_latest,
    question=lambda priced: (
        f"The worker prices {long_month(priced.period.month)} of {priced.feed.label} again, by the rates, classes, "
        "subsidies and files as they are now. Later open months build on it and are priced again too. What changes in "
        "a closed month waits as a late change."
    ),
    is_primary=True,
)


@admin.register(PricedMonth)
class PricedMonthAdmin(FrozenAdmin):
    when_empty = "No month was priced yet. Read usage files: their months are priced by the schedule of their feed."
    list_display = ("month", "feed", "schedule", count_column("rows", "charges"), "units_told", "became", "priced_on")
    list_filter = ("feed", period_filter("period", "month"), LatestFilter)
    linked_by = ("schedule",)
    list_select_related = ("feed", "period", "schedule", "imported")
    search_fields = ("feed__name", "feed__display_name", "schedule__name")
    search_help_text = "feed or rate schedule"
    sortable_by = ("month", "rows_count")
    fields = ()
    verbs = (AGAIN,)
    change_form_template = "admin/billing/pricedmonth/change_form.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[PricedMonth]:
        found = super().get_queryset(request).select_related("feed", "period", "schedule", "imported")
        return told.with_latest(found)

    @admin.display(description="month", ordering="period__month")
    def month(self, priced: PricedMonth) -> SafeString | str:
        name = long_month(priced.period.month)
        return name if _is_latest(priced) else format_html("{} {}", name, badge("Replaced"))

    @admin.display(description="delivered = charged + free + held")
    def units_told(self, priced: PricedMonth) -> SafeString | str:
        return format_html_join(mark_safe("<br>"), "{}", ((line,) for line in units_lines(priced.units))) or "–"

    @admin.display(description="import")
    def became(self, priced: PricedMonth) -> SafeString | str:
        return link(change_url(priced.imported), priced.imported.pk) if priced.imported else "–"

    @admin.display(description="priced", ordering="id")
    def priced_on(self, priced: PricedMonth) -> str:
        return date_format(timezone.localtime(priced.priced_at), "DATETIME_FORMAT")

    def told_of(self, subject: PricedMonth) -> str:
        return f"{subject.feed.label}, {long_month(subject.period.month)}"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        priced = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if priced:
            units = told.units_rows(priced.units)
            imported, currency = priced.imported, Policy.objects.current().currency
            sights, cents = money_of(priced)
            context = {
                "month": long_month(priced.period.month),
                "is_latest": _is_latest(priced),
                "latest": getattr(priced, "latest", None),
                "sights": sights,
                "units": units,
                "shows_free": any(each["is_free"] for each in units),
                "shows_held": any(each["is_held"] for each in units),
                "unused": told.unused_rates(priced.units),
                "drawn": told.drawn_lines(priced.drawn, [each["rate"] for each in priced.units], cents, currency),
                "granted": told.granted_rows(priced.drawn, currency),
                "currency": currency,
                "files": priced.files.select_related("feed").order_by("-pk")[:FILES],
                "files_number": priced.files.count(),
                "waits": bool(imported and imported.state == Import.State.DEFERRED),
            }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

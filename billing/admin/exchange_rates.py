"""The exchange rates of a month."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from ..models import (
    ExchangeRate,
)
from ..months import closing
from .audited import BillingAdmin, actor_of
from .filters import period_filter


@admin.register(ExchangeRate)
class ExchangeRateAdmin(BillingAdmin):
    when_empty = (
        "There are no exchange rates yet. A source that delivers in another currency needs one for each month before "
        "it can be charged."
    )
    list_display = ("period", "currency", "rate", "entered_by")
    list_filter = (period_filter("period"), "currency")
    list_select_related = ("period", "entered_by")

    def _is_shut(self, rate: ExchangeRate | None) -> bool:
        return rate is not None and not rate.period.takes_changes

    # The rates of a month are part of what was charged in it.
    def has_change_permission(self, request: HttpRequest, obj: ExchangeRate | None = None) -> bool:
        return not self._is_shut(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: ExchangeRate | None = None) -> bool:
        return not self._is_shut(obj) and super().has_delete_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: ExchangeRate | None = None) -> tuple[str, ...]:
        # Another month or currency is another rate.
        return ("period", "currency") if obj else ()

    def save_model(self, request: HttpRequest, obj: ExchangeRate, form: Any, change: bool) -> None:
        obj.entered_by = actor_of(request).user
        obj.currency = obj.currency.upper()
        if change:
            # Held open for the rest of the gesture, so that no close comes between.
            closing.require_open(obj.period)
        super().save_model(request, obj, form, change)

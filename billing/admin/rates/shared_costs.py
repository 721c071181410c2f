"""Costs that several rates share: the list, and each with its parts and the studies that take them."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms import BaseInlineFormSet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from ...errors import BillingError
from ...fiscal_years import label_of
from ...models import Policy, SharedCost, SharedCostPart
from ...money import ZERO, rounded
from ...quantities import plain
from ...usage import studies
from ..audited import BillingAdmin
from ..formatting import badge
from ..links import change_url, link
from .studies import PoolForm


class PartFormSet(BaseInlineFormSet):
    """The parts of a shared cost, checked together with it."""

    def clean(self) -> None:
        super().clean()
        if any(self.errors) or self.instance.fiscal_year is None:
            return
        left = [each for each in self.forms if each not in self.deleted_forms]
        parts = [each.instance for each in left if each.instance.pk or each.has_changed()]
        if problems := studies.problems_of(self.instance, parts):
            raise ValidationError(problems)


class PartInline(admin.StackedInline):
    model = SharedCostPart
    formset = PartFormSet
    extra = 0
    min_num = 2
    fields = (("feed", "rate", "share"),)
    verbose_name = "part"
    verbose_name_plural = "parts"

    def _is_open(self, shared: SharedCost | None) -> bool:
        return shared is None or shared.locked_at is None

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_open(obj) and super().has_add_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_open(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_open(obj) and super().has_delete_permission(request, obj)


@admin.register(SharedCost)
class SharedCostAdmin(BillingAdmin):
    when_empty = (
        "No cost is shared yet. What several services need, such as their staff or a machine room, is entered here "
        "once, and the study of each rate takes its part."
    )
    form = PoolForm
    actions = None
    inlines = (PartInline,)
    list_display = ("title", "year", "whole", "shared_by", "standing")
    list_filter = ("fiscal_year", "kind")
    search_fields = ("name", "note")
    search_help_text = "Name or note"
    sortable_by = ("title", "year")
    readonly_fields = ("taken",)
    fieldsets = (
        (None, {"fields": (("fiscal_year", "name", "kind"), ("amount", "base"), "note")}),
        (
            "Depreciation",
            {
                "fields": (("cost", "federally_funded", "life_years", "in_service"),),
                "description": "For costs of this kind alone.",
            },
        ),
        ("What each study takes", {"fields": ("taken",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[SharedCost]:
        return super().get_queryset(request).prefetch_related("parts")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fieldsets if obj else self.fieldsets[:2]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return (obj is None or obj.locked_at is None) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return (obj is None or obj.locked_at is None) and super().has_delete_permission(request, obj)

    @admin.display(description="cost", ordering="name")
    def title(self, shared: SharedCost) -> str:
        return shared.name

    @admin.display(description="year", ordering="fiscal_year")
    def year(self, shared: SharedCost) -> str:
        return label_of(shared.fiscal_year)

    @admin.display(description="amount")
    def whole(self, shared: SharedCost) -> str:
        currency = Policy.objects.current().currency
        if shared.cost is not None:
            return f"depreciation of {rounded(shared.cost, currency)}"
        return rounded(shared.amount or ZERO, currency)

    @admin.display(description="shared by")
    def shared_by(self, shared: SharedCost) -> str:
        number = len(shared.parts.all())
        return f"{shared.base}, {number} part{'' if number == 1 else 's'}"

    @admin.display(description="state")
    def standing(self, shared: SharedCost) -> SafeString:
        return badge("Locked", "good") if shared.locked_at else badge("Open", "warn")

    @admin.display(description="parts")
    def taken(self, shared: SharedCost) -> SafeString | str:
        """Say what each rate has of the cost, and which study takes that."""
        try:
            found = studies.taken_of(shared)
        except BillingError as error:
            return str(error)
        currency = Policy.objects.current().currency
        rows = format_html_join(
            "",
            "<tr><th scope='row'>{}: {} {}</th><td class='num' data-label='Counts'>{}</td><td data-label='Study'>{}{}"
            "</td></tr>",
            (
                (
                    *(str(each.part), plain(each.part.share), shared.base),
                    rounded(each.cost.amount, currency),
                    format_html(
                        "{}, {}", link(change_url(each.study), each.study), each.study.get_state_display().lower()
                    )
                    if each.study
                    else "no study yet: this part is in no rate",
                    f"; excluded: {rounded(each.cost.excluded, currency)}" if each.cost.excluded else "",
                )
                for each in found
            ),
        )
        return format_html(
            "<table class='as-cards'><thead><tr><th scope='col'>Rate</th><th scope='col' class='num'>Counts</th>"
            "<th scope='col'>Study</th></tr></thead><tbody>{}</tbody></table>",
            rows,
        )

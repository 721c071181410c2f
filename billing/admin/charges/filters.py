"""How the lists of charges are narrowed: by reason, amount, who pays, and whether they count."""

from typing import ClassVar

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from ... import resources
from ...models import Charge, Flag, ResourceText
from ...review import held_groups
from ...texts import number_in


class ReasonFilter(admin.SimpleListFilter):
    title = "reason"
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [(str(code), str(label)) for code, label in Flag.Code.choices]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Charge]") -> "QuerySet[Charge]":
        if not self.value():
            return queryset
        flagged = Flag.objects.filter(code=self.value(), is_resolved=False)
        return queryset.filter(pk__in=flagged.values("charge"))


class AmountFilter(admin.SimpleListFilter):
    title = "amount billed"
    parameter_name = "amount"
    RANGES: ClassVar[dict[str, tuple[str, Q]]] = {
        "credit": ("Below 0 (credits)", Q(billed_cost__lt=0)),
        "zero": ("0", Q(billed_cost=0)),
        "cents": ("Up to 1", Q(billed_cost__gt=0, billed_cost__lte=1)),
        "tens": ("1 to 100", Q(billed_cost__gt=1, billed_cost__lte=100)),
        "hundreds": ("100 to 1,000", Q(billed_cost__gt=100, billed_cost__lte=1_000)),
        "thousands": ("More than 1,000", Q(billed_cost__gt=1_000)),
    }

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [(name, label) for name, (label, _) in self.RANGES.items()]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Charge]") -> "QuerySet[Charge]":
        chosen = self.RANGES.get(self.value() or "")
        return queryset.filter(chosen[1]) if chosen else queryset


class PresenceFilter(admin.SimpleListFilter):
    """Who pays: known, or missing something."""

    title = "who pays"
    parameter_name = "payer"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [
            ("no-pi", "No PI"),
            ("no-fund", "No fund/org or split"),
            ("known", "PI and fund/org known"),
            ("shared", "Shared over the source's payers"),
        ]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Charge]") -> "QuerySet[Charge]":
        unfunded = Q(fund_org="", payer_split__isnull=True)
        match self.value():
            case "no-pi":
                return queryset.filter(pi__isnull=True, shared_as="")
            case "no-fund":
                return queryset.filter(unfunded, shared_as="")
            case "known":
                return queryset.filter(~unfunded, pi__isnull=False)
            case "shared":
                return queryset.exclude(shared_as="")
        return queryset


class ResourceFilter(admin.SimpleListFilter):
    """The charges of one resource, which its page leads to. It is offered only where it is in use."""

    title = "resource"
    parameter_name = "resource"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        if not (value := self.value()):
            return []
        text = self._text()
        return [(value, text.resource_name or text.resource_id if text else "not found")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Charge]") -> "QuerySet[Charge]":
        if not self.value():
            return queryset
        text = self._text()
        return queryset.filter(resource__in=resources.same_as(text)) if text else queryset.none()

    def _text(self) -> ResourceText | None:
        number = number_in(self.value() or "")
        return ResourceText.objects.filter(pk=number).exclude(folded_id="").first() if number else None


class GroupFilter(admin.SimpleListFilter):
    """The charges of one group of the queue, which leads to them. It is offered only where it is in use."""

    title = "group"
    parameter_name = "group"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        value = self.value()
        if not value:
            return []
        try:
            return [(value, held_groups.reason_label(held_groups.code_in(value)))]
        except held_groups.UnknownGroup:
            return [(value, "not found")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Charge]") -> "QuerySet[Charge]":
        value = self.value()
        if not value:
            return queryset
        try:
            # By their numbers, so that the list sorts and pages its own rows.
            return queryset.filter(pk__in=held_groups.in_group(queryset, value).values("pk"))
        except held_groups.UnknownGroup:
            return queryset.none()


class StandingFilter(admin.SimpleListFilter):
    title = "in force"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [("live", "In force"), ("withdrawn", "Withdrawn or replaced")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Charge]") -> "QuerySet[Charge]":
        if self.value() in ("live", "withdrawn"):
            return queryset.filter(withdrawn_in__isnull=self.value() == "live")
        return queryset

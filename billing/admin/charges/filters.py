"""How the lists of charges are narrowed: by reason, amount, who pays, and whether they count."""

from decimal import Decimal
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from ... import resources
from ...fields import to_units
from ...models import Charge, Flag, PayerSplitShare, Person, Project, ResourceText, saying
from ...review import deciding, held_groups
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
    CHOICES: ClassVar[list[tuple[str, str]]] = [
        ("no-pi", "No PI"),
        ("no-fund", "No fund/org or split"),
        ("known", "PI and fund/org known"),
        ("shared", "Shared over the source's payers"),
    ]

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return self.CHOICES

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


class TypedFilter(admin.SimpleListFilter):
    """A filter whose value is typed or chosen in the form of all filters; it is shown where it is in use."""

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [(value, self.told(value))] if (value := self.value()) else []

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Charge]") -> "QuerySet[Charge]":
        return queryset.filter(self.matching(value)) if (value := self.value()) else queryset

    def told(self, value: str) -> str:
        """Say what a value narrows the list to."""
        return value

    def matching(self, value: str) -> Q:
        """Return the condition on a charge, which none meets where the value names nothing."""
        raise NotImplementedError


NOTHING = Q(pk__in=[])


class ChosenFilter(TypedFilter):
    """Charges that a link of ours names one by one; shown where it is in use."""

    title, parameter_name = "charges", "charges"

    def told(self, value: str) -> str:
        return "those of a link"

    def matching(self, value: str) -> Q:
        return deciding.within(value)


class NamedFilter(TypedFilter):
    """A filter by the name of an object that charges refer to."""

    missing = ""

    @cached_property
    def found(self) -> Any:
        """The object that the value names, None where there is none."""
        return self.find(self.value() or "")

    def find(self, text: str) -> Any:
        raise NotImplementedError

    def matching(self, value: str) -> Q:
        return Q(**{f"{self.parameter_name}": self.found.pk}) if self.found else NOTHING

    def told(self, value: str) -> str:
        return str(self.found.display_name) if self.found else f"{value} ({self.missing})"


class PiFilter(NamedFilter):
    title, parameter_name = "PI", "pi"
    missing = "no PI has this address or name"

    def find(self, text: str) -> Person | None:
        """Return the PI with this address, alias or name; None for no PI, and for a name that several have."""
        if found := Person.objects.owning(text):
            return found
        named = list(Person.objects.filter(name__iexact=text.strip())[:2])
        return named[0] if len(named) == 1 else None


class ProjectFilter(NamedFilter):
    title, parameter_name = "project", "project"
    missing = "no project has this code"

    def find(self, text: str) -> Project | None:
        return Project.objects.coded(text).first()


class FundFilter(TypedFilter):
    """The charges that a fund/org pays, alone or by a share of a split."""

    title, parameter_name = "fund/org", "fund"

    def matching(self, value: str) -> Q:
        return Q(fund_org=value) | Q(payer_split__in=shares_of_fund(value).values("split"))


class ServiceFilter(TypedFilter):
    title, parameter_name = "service", "service"

    def matching(self, value: str) -> Q:
        return saying(service_name=value)


class CategoryFilter(TypedFilter):
    """FOCUS ChargeCategory, spelled as any provider does."""

    title, parameter_name = "category", "category"

    def matching(self, value: str) -> Q:
        return saying(charge_category__iexact=value)


class AmountFromFilter(TypedFilter):
    title, parameter_name = "billed from", "amount_from"
    comparison = "gte"

    def told(self, value: str) -> str:
        found = amount_of(value)
        return f"{value} (not an amount)" if found is None else f"{found:,f}"

    def matching(self, value: str) -> Q:
        found = amount_of(value)
        return NOTHING if found is None else Q(**{f"billed_cost__{self.comparison}": found})


class AmountToFilter(AmountFromFilter):
    title, parameter_name = "billed up to", "amount_to"
    comparison = "lte"


def shares_of_fund(fund_org: str) -> "QuerySet[PayerSplitShare]":
    return PayerSplitShare.objects.filter(fund_org=fund_org).order_by()


def amount_of(text: str) -> Decimal | None:
    """Return an amount as people write it, such as `1,234.50`; None for what is none, or is beyond what is stored."""
    try:
        found = Decimal(text.strip().replace(",", ""))
        to_units(found)
    except (ValueError, ArithmeticError):
        return None
    return found

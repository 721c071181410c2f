"""Who has another rate class than internal users have, from when to when, and why."""

import datetime
from collections.abc import Callable
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import flatten
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from ...models import RateClassMember
from ...texts import long_month
from ...usage import rate_schedules
from ..audited import BillingAdmin
from ..formatting import badge
from .fields import MonthField
from .standing import this_month


def months_text(first: datetime.date, last: datetime.date | None) -> str:
    """Return the months of something in words: since January 2026, or from one to another."""
    return f"{long_month(first)} to {long_month(last)}" if last else f"since {long_month(first)}"


def validity_badge(first: datetime.date, last: datetime.date | None) -> SafeString:
    """Return a badge that says whether something applies to the present month."""
    now = this_month()
    if first > now:
        return badge("To come")
    return badge("Ended") if last and last < now else badge("Applies", "good")


class AppliesFilter(admin.SimpleListFilter):
    title = "now"
    parameter_name = "now"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [("yes", "Applies"), ("no", "Does not apply")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        applies = Q(valid_from__lte=this_month()) & (Q(valid_until__isnull=True) | Q(valid_until__gte=this_month()))
        if self.value() in ("yes", "no"):
            return queryset.filter(applies) if self.value() == "yes" else queryset.exclude(applies)
        return queryset


class ReadMixin(admin.ModelAdmin):
    """A screen whose fields are set otherwise for those who may only read: lists and months in words."""

    read_fieldsets: tuple[Any, ...] = ()

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        reads = obj is not None and not self.has_change_permission(request, obj)
        return self.read_fieldsets if reads else super().get_fieldsets(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        named = [name for _, options in self.read_fieldsets for name in flatten(options["fields"])]
        own = {field.name for field in self.opts.get_fields()}
        return [*super().get_readonly_fields(request, obj), *(name for name in named if name not in own)]


def list_text(field: str, label: str, otherwise: str) -> Callable[..., str]:
    """Return a read-only field of a list of texts, with what an empty one means."""

    def shown(*args: Any) -> str:
        return ", ".join(getattr(args[-1], field)) or otherwise

    shown.__name__ = f"{field}_text"
    shown.short_description = label  # type: ignore[attr-defined]
    return shown


class MemberForm(forms.ModelForm):
    """A member of a class that a rate schedule has."""

    class Meta:
        widgets: ClassVar[dict[str, Any]] = {"reason": forms.Textarea(attrs={"rows": 3})}

    rate_class = forms.ChoiceField(label="Rate class")
    valid_from = MonthField(label="First month")
    valid_until = MonthField(label="Last month", required=False, help_text="Empty: until further notice.")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        known = dict.fromkeys([*rate_schedules.class_names(), self.instance.rate_class])
        field = self.fields.get("rate_class")
        if isinstance(field, forms.ChoiceField):
            field.choices = [("", "Choose one"), *((name, name) for name in known if name)]
            if len(field.choices) == 1:
                field.help_text = "No rate schedule has classes yet. Add them there first."

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        first, last = data.get("valid_from"), data.get("valid_until")
        if first and last and last < first:
            raise ValidationError({"valid_until": "The last month is before the first."})
        return data


@admin.register(RateClassMember)
class RateClassMemberAdmin(ReadMixin, BillingAdmin):
    when_empty = (
        "Everybody is internal and pays the list price. Add whoever has another class of a rate schedule, such as "
        "an affiliate or an external customer."
    )
    form = MemberForm
    list_display = ("who", "rate_class", "kind", "from_to", "applies", "why")
    list_filter = (AppliesFilter, "rate_class")
    list_select_related = ("pi", "project", "department")
    search_fields = ("pi__email", "pi__name", "project__code", "department__code", "department__name", "reason")
    search_help_text = "PI, project, department or reason"
    autocomplete_fields = ("pi", "project", "department")
    fieldsets = (
        (
            "Who",
            {
                "fields": ("pi", "project", "department"),
                "description": "One of the three. The class of a project goes before that of its PI, and that before "
                "the one of a department.",
            },
        ),
        (None, {"fields": ("rate_class", "valid_from", "valid_until", "reason")}),
    )
    read_fieldsets = ((None, {"fields": ("who", "rate_class", "from_to", "applies", "reason")}),)

    @admin.display(description="who", ordering="pk")
    def who(self, member: RateClassMember) -> str:
        return str(member.pi or member.project or member.department or "–")

    @admin.display(description="is a")
    def kind(self, member: RateClassMember) -> str:
        return {"pi": "PI"}.get(member.scope, member.scope)

    @admin.display(description="months", ordering="valid_from")
    def from_to(self, member: RateClassMember) -> str:
        return months_text(member.valid_from, member.valid_until)

    @admin.display(description="now")
    def applies(self, member: RateClassMember) -> SafeString:
        return validity_badge(member.valid_from, member.valid_until)

    @admin.display(description="reason")
    def why(self, member: RateClassMember) -> str:
        text = " ".join(member.reason.split())
        return f"{text[:79]}…" if len(text) > 80 else text

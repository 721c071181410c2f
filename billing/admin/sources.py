"""The screen of sources: their files, their accounting, and which cost they charge."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Max, Q
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.safestring import SafeString

from .. import doors
from ..models import CostMeasureChange, Import, Source
from ..models.sources import pattern_of
from ..setup import sourcing
from .audited import BillingAdmin, actor_of
from .formatting import badge
from .money import MoneyMixin


class MeasureFormSet(BaseInlineFormSet):
    """Changes of measure, refused where they would reach a month that is charged."""

    def clean(self) -> None:
        super().clean()
        for form in self.forms:
            if form.has_changed() and form.is_valid() and self.instance.pk:
                try:
                    sourcing.require_uncharged(self.instance, form.cleaned_data["from_month"])
                except sourcing.MeasureInUse as error:
                    raise ValidationError(doors.for_page(error)) from error


class MeasureInline(admin.TabularInline):
    """Which cost is charged, from which month on; a step that is there already stays."""

    model = CostMeasureChange
    formset = MeasureFormSet
    extra = 0
    can_delete = False
    verbose_name = "change of the cost measure"
    verbose_name_plural = "changes of the cost measure"

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


class AccountingFilter(admin.SimpleListFilter):
    title = "accounting"
    parameter_name = "accounting"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [("complete", "Complete"), ("incomplete", "Incomplete"), ("showback", "Showback")]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Source]) -> models.QuerySet[Source]:
        lacking = Q(recovery_fund_org="") | Q(recovery_account="") | Q(debit_account="")
        match self.value():
            case "complete":
                return queryset.filter(~lacking, is_journaled=True)
            case "incomplete":
                return queryset.filter(lacking, is_journaled=True)
            case "showback":
                return queryset.filter(is_journaled=False)
        return queryset


@admin.register(Source)
class SourceAdmin(MoneyMixin, BillingAdmin):
    money_by, money_key = "source", "name"
    when_empty = "There are no sources yet. Add the first one here."
    list_display = ("name", "label_text", "kind", "import_mode_text", "file_name_patterns", "accounting", "last_import")
    list_filter = (AccountingFilter, "is_active", "kind", "import_mode")
    search_fields = ("name", "display_name", "file_name_patterns", "recovery_fund_org")
    ordering = ("name",)
    autocomplete_fields = ("default_pi", "default_project")
    inlines = (MeasureInline,)
    fund_fields = ("overflow_fund_org", "recovery_fund_org", "subsidy_fund_org")
    fieldsets = (
        (None, {"fields": ("name", "display_name", "kind", "is_active", "notes")}),
        ("Imports", {"fields": ("file_name_patterns", "import_mode", "grain", "cost_measure")}),
        (
            "Accounting of the journal",
            {
                "fields": (
                    "is_journaled",
                    "debit_account",
                    "recovery_fund_org",
                    "recovery_account",
                    "subsidy_fund_org",
                    "holds_prepayments",
                ),
                "description": "A source that is charged back needs all of the first four before its charges can "
                "be submitted to the ledger.",
            },
        ),
        ("Who pays where a row does not say", {"fields": ("default_pi", "default_project", "overflow_fund_org")}),
    )

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Source]:
        applied = Q(imports__state=Import.State.APPLIED)
        return super().get_queryset(request).annotate(last_applied=Max("imports__applied_at", filter=applied))

    def get_readonly_fields(self, request: HttpRequest, obj: Source | None = None) -> tuple[str, ...]:
        # The name is in commands and file names; the first measure holds until a change of it below.
        return ("name", "cost_measure") if obj else ()

    def formfield_for_dbfield(self, db_field: "models.Field[Any, Any]", request: HttpRequest, **kwargs: object) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field and db_field.name == "file_name_patterns":
            field.help_text = (
                "Whole parts of file names, separated by commas: azure fits azure_2025-01.csv and not "
                "azure-local_2025-01.csv. The longest that fits decides. Empty on a new source: its name."
            )
        return field

    def save_model(self, request: HttpRequest, obj: Source, form: Any, change: bool) -> None:
        if not change and not obj.file_name_patterns:
            obj.file_name_patterns = pattern_of(obj.name)
        super().save_model(request, obj, form, change)

    def get_inlines(self, request: HttpRequest, obj: Source | None) -> list[Any]:
        return list(self.inlines) if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Source | None = None) -> bool:
        if obj and (obj.imports.exists() or obj.payer_lines.exists()):
            return False
        return super().has_delete_permission(request, obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Add changes of measure by the verb that the command calls."""
        formset.save(commit=False)
        for step in formset.new_objects:
            sourcing.change_measure(
                source=form.instance,
                measure=step.measure,
                from_month=step.from_month,
                actor=actor_of(request),
                now=timezone.now(),
            )

    @admin.display(description="display name", ordering="display_name")
    def label_text(self, source: Source) -> str:
        return source.label

    @admin.display(description="import mode", ordering="import_mode")
    def import_mode_text(self, source: Source) -> str:
        return source.get_import_mode_display().partition(":")[0]

    @admin.display(description="accounting")
    def accounting(self, source: Source) -> SafeString:
        if not source.is_journaled:
            return badge("showback", "info")
        if missing := sourcing.missing_accounting(source):
            return badge(f"missing: {', '.join(missing)}", "warn", is_long=True)
        return badge("complete", "good")

    @admin.display(description="last import", ordering="last_applied")
    def last_import(self, source: Source) -> str:
        at = source.last_applied  # type: ignore[attr-defined]
        return date_format(timezone.localtime(at), "DATETIME_FORMAT") if at else "never"

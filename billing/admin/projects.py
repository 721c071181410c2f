"""Projects, and their splits: who pays from day to day in place of the fund/org on the tag."""

import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from .. import audit
from ..models import (
    Charge,
    Department,
    PayerSplit,
    PayerSplitShare,
    Project,
)
from ..setup import registers
from .audited import actor_of
from .departments import ProjectDepartmentFilter
from .formatting import count_column
from .lists import RegisterAdmin
from .money import MoneyMixin
from .naming import warn_of_unknown_funds
from .splits import shares_in
from .trying_splits import TryingSplitsMixin


class SplitForm(forms.ModelForm):
    """A split with its shares as text: one fund/org and its percent per line."""

    shares_text = forms.CharField(
        label="Shares",
        widget=forms.Textarea(attrs={"rows": 3, "cols": 28, "placeholder": "BIO-001 60\nCHEM-002 40"}),
        help_text="A fund/org and its percent per line; together 100.",
    )

    class Meta:
        model = PayerSplit
        fields = ("valid_from", "valid_until", "note")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["shares_text"] = "\n".join(
                f"{share.fund_org} {share.percent.normalize():f}" for share in self.instance.shares.all()
            )
            if getattr(self.instance, "is_used", False):
                for field in self.fields.values():
                    field.disabled = True
                self.fields["shares_text"].help_text = "Charges use it: end it with a new split from its own day on."

    def clean_shares_text(self) -> dict[str, Decimal]:
        return shares_in(self.cleaned_data["shares_text"])

    def save_shares(self) -> None:
        """Write the shares as they were given."""
        wanted: dict[str, Decimal] = self.cleaned_data["shares_text"]
        self.instance.shares.exclude(fund_org__in=wanted).delete()
        for fund_org, percent in wanted.items():
            PayerSplitShare.objects.update_or_create(
                split=self.instance, fund_org=fund_org, defaults={"percent": percent}
            )


def used_splits(project: Project) -> set[int]:
    """Return which splits of a project charges use, and so cannot change any more."""
    ids = list(project.payer_splits.values_list("pk", flat=True))
    if not ids:
        return set()
    found = Charge.objects.filter(payer_split__in=ids).order_by().values_list("payer_split", flat=True).distinct()
    return {pk for pk in found if pk}


class SplitFormSet(forms.BaseInlineFormSet):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.used = used_splits(self.instance) if self.instance.pk else set()

    def get_queryset(self) -> QuerySet[PayerSplit]:
        splits = super().get_queryset()
        for split in splits:
            split.is_used = split.pk in getattr(self, "used", ())
        return splits

    def _construct_form(self, i: int, **kwargs: object) -> SplitForm:
        form: SplitForm = super()._construct_form(i, **kwargs)  # type: ignore[misc]
        if form.instance.pk in self.used:
            form.instance.is_used = True
            for field in form.fields.values():
                field.disabled = True
            form.fields["shares_text"].help_text = "Charges use it: it cannot change. Add a new one from its own day."
        return form

    def clean(self) -> None:
        super().clean()
        if any(form.errors for form in self.forms):
            return
        kept = [
            form for form in self.forms if form.cleaned_data.get("shares_text") and not form.cleaned_data.get("DELETE")
        ]
        for form in self.forms:
            if form.cleaned_data.get("DELETE") and form.instance.pk in self.used:
                raise ValidationError("A split that charges use cannot be deleted.")
        self._require_no_customer(kept)
        spans = sorted(
            (
                form.cleaned_data.get("valid_from") or datetime.date.min,
                form.cleaned_data.get("valid_until") or datetime.date.max,
            )
            for form in kept
        )
        for (_, ends), (starts, _) in zip(spans, spans[1:], strict=False):
            if starts <= ends:
                raise ValidationError(
                    "Two splits hold on the same day. Give the earlier one a last day before the next one's first."
                )

    def _require_no_customer(self, kept: list[Any]) -> None:
        """Raise ValidationError where a split holds from today on, and a customer pays the project by invoice."""
        project = self.instance
        customer = project.customer or (project.pi.customer if project.pi else None)
        today = timezone.localdate()
        if customer and any((form.cleaned_data.get("valid_until") or today) >= today for form in kept):
            raise ValidationError(
                f"{customer} pays this project by invoice, and a split shares it among fund/orgs. End the split, or "
                "remove the customer from the project or its PI."
            )


class SplitInline(admin.TabularInline):
    model = PayerSplit
    form = SplitForm
    formset = SplitFormSet
    extra = 0
    fields = ("valid_from", "valid_until", "shares_text", "note")
    verbose_name = "split"
    verbose_name_plural = "splits: who pays, from day to day, in place of the fund/org on the tag"

    def get_queryset(self, request: HttpRequest) -> QuerySet[PayerSplit]:
        return super().get_queryset(request).prefetch_related("shares")


@admin.register(Project)
class ProjectAdmin(TryingSplitsMixin, MoneyMixin, RegisterAdmin):
    register = registers.PROJECTS
    load_title = "Load the list of projects"
    load_hint = "PIs and departments have to be there."
    money_by, money_key = "project", "code"
    change_form_template = "admin/billing/project/change_form.html"
    when_empty = "There are no projects yet. They are learned from the tags of charges, or added here."
    list_display = (
        "code",
        "name",
        "pi",
        "home",
        "default_fund_org",
        count_column("split_number", "splits"),
        "end_date",
    )
    list_filter = (ProjectDepartmentFilter, ("end_date", admin.EmptyFieldListFilter))
    ordering = ("code",)
    list_select_related = ("department", "pi__department")
    search_fields = ("code", "name", "pi__name", "pi__email", "department__code", "department__name")
    autocomplete_fields = ("pi", "department", "customer")
    inlines = (SplitInline,)
    fund_fields = ("default_fund_org",)
    fieldsets = (
        (None, {"fields": ("code", "name", "pi", "department", "default_fund_org", "customer")}),
        ("Ending", {"fields": (("end_date", "reconciliation_end_date"),)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Project]:
        return super().get_queryset(request).annotate(split_number=Count("payer_splits"))

    @admin.display(description="department")
    def home(self, project: Project) -> Department | None:
        return project.home

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        if formset.model is not PayerSplit:
            super().save_formset(request, form, formset, change)
            return
        before = {
            each.pk: {share.fund_org: f"{share.percent.normalize():f}" for share in each.shares.all()}
            for each in formset.get_queryset()
        }
        super().save_formset(request, form, formset, change)
        with audit.gesture(actor=actor_of(request), now=timezone.now()) as gesture:
            for split_form in formset.forms:
                is_gone = split_form.cleaned_data.get("DELETE")
                if is_gone or "shares_text" not in split_form.changed_data or not split_form.instance.pk:
                    continue
                split_form.save_shares()
                warn_of_unknown_funds(request, split_form.cleaned_data["shares_text"])
                gesture.record(
                    "payer_split.shares_set",
                    split_form.instance,
                    before=before.get(split_form.instance.pk),
                    after={
                        fund_org: f"{percent.normalize():f}"
                        for fund_org, percent in split_form.cleaned_data["shares_text"].items()
                    },
                )

"""The fund/orgs of the loaded list, and exceptions to their dates."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from .. import audit
from ..models import (
    FundException,
    FundingSource,
    Policy,
)
from ..money import plain
from ..setup import funding, registers, releasing
from .audited import FrozenInline, actor_of
from .formatting import badge
from .lists import RegisterAdmin
from .money import MoneyMixin
from .verbs import Verb

DATE = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")


class FundForm(forms.ModelForm):
    """A fund/org with its budget as people write amounts."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.instance.budget is not None:
            self.initial["budget"] = plain(self.instance.budget, Policy.objects.current().currency)


class ExceptionForm(forms.Form):
    """Dates of a fund/org to move outward, and why."""

    valid_until = forms.DateField(
        label="Valid until", required=False, widget=DATE, help_text="A later last day of service."
    )
    last_posting_date = forms.DateField(
        label="Last posting date", required=False, widget=DATE, help_text="A later one."
    )
    valid_from = forms.DateField(
        label="Valid from", required=False, widget=DATE, help_text="An earlier first day of service."
    )
    reason = forms.CharField(
        label="Reason",
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Such as the number of the no-cost extension. It stays with the fund/org.",
    )


def _in_force(fund: FundingSource) -> QuerySet[FundException]:
    return FundException.objects.filter(fund=fund, revoked_at__isnull=True)


def _except(request: HttpRequest, fund: FundingSource, data: dict[str, Any]) -> str:
    return str(funding.record_exception(fund=fund, **data, actor=actor_of(request), now=timezone.now()))


def _revoke(request: HttpRequest, fund: FundingSource, data: dict[str, Any]) -> str:
    return str(funding.revoke_exceptions(fund=fund, actor=actor_of(request), now=timezone.now()))


def _what_is_revoked(fund: FundingSource) -> str:
    dates = "; ".join(each.dates for each in _in_force(fund))
    return f"Revokes: {dates}. The dates of the list hold again. What was charged meanwhile stays charged."


class ExceptionInline(FrozenInline):
    model = FundException
    fields = ("dates", "reason", "recorded_by_name", "recorded_at", "standing")
    readonly_fields = ("dates", "standing")
    verbose_name_plural = "exceptions"

    @admin.display(description="allows")
    def dates(self, exception: FundException) -> str:
        return exception.dates

    @admin.display(description="state")
    def standing(self, exception: FundException) -> str:
        if exception.revoked_at:
            return badge(f"Revoked by {exception.revoked_by_name}", "warn")
        return badge("In force", "good")


@admin.register(FundingSource)
class FundingSourceAdmin(MoneyMixin, RegisterAdmin):
    register = registers.FUNDS
    money_by, money_key = "fund", "fund_org"
    form = FundForm
    when_empty = (
        "No list of fund/orgs is loaded yet, so none is unknown. Load yours, and what is not on it is held for review."
    )
    list_display = ("fund_org", "name", "is_sponsored", "valid_from", "valid_until", "last_posting_date", "state")
    list_filter = ("is_sponsored", "fa_treatment", ("valid_until", admin.EmptyFieldListFilter))
    search_fields = ("fund_org", "name")
    autocomplete_fields = ("projects",)
    inlines = (ExceptionInline,)
    load_title = "Load the list of fund/orgs"
    load_hint = "Projects have to be there."
    verbs = (
        Verb(
            name="except",
            label="Record an exception…",
            permission="billing.add_fundexception",
            run=_except,
            form=ExceptionForm,
            question="Moves dates of this fund/org outward, whatever the list says, such as for a no-cost extension. "
            "Charges that were held for these dates alone are released.",
            button="Record",
        ),
        Verb(
            name="revoke",
            label="Revoke the exception…",
            permission="billing.add_fundexception",
            run=_revoke,
            offered=lambda fund: _in_force(fund).exists(),
            question=_what_is_revoked,
            button="Revoke",
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[FundingSource]:
        return super().get_queryset(request).prefetch_related("exceptions")

    def get_inlines(self, request: HttpRequest, obj: FundingSource | None) -> list[Any]:
        return [ExceptionInline] if obj and obj.exceptions.exists() else []

    def save_related(self, request: HttpRequest, form: object, formsets: object, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        with audit.gesture(actor=actor_of(request), now=timezone.now()) as gesture:
            settled = releasing.release(gesture=gesture)
        if told := releasing.told(settled.cleared, settled.billed):
            messages.info(request, told)

    @admin.display(description="today")
    def state(self, fund: FundingSource) -> str:
        today = timezone.localdate()
        if fund.valid_from and fund.valid_from > today:
            return badge("Not yet valid", "info")
        excepted = [each for each in fund.exceptions.all() if not each.revoked_at]
        if fund.valid_until and fund.valid_until < today:
            if any(each.valid_until and each.valid_until >= today for each in excepted):
                return badge("Valid by exception", "good")
            return badge("Expired", "warn")
        return badge("Valid", "good")

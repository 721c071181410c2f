"""The ledger's calendar: a fiscal year added by the policy, periods loaded or changed one by one."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from billing.admin.audited import actor_of
from billing.admin.formatting import badge
from billing.admin.lists import ListAdmin
from billing.fiscal_years import label_of
from billing.models import Job, Policy
from billing.texts import long_month

from .. import accounting_calendar
from ..models import AccountingPeriod

ADD = "journals.add_accountingperiod"


class PeriodForm(forms.ModelForm):
    """A period, whose days are its own."""

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("first_day") and data.get("last_day"):
            others = list(AccountingPeriod.objects.exclude(pk=self.instance.pk))
            probe = AccountingPeriod(first_day=data["first_day"], last_day=data["last_day"])
            if other := accounting_calendar.crossed_by(probe, others):
                raise forms.ValidationError(f"Its days cross those of {other} ({other.days}).")
        return data


class YearForm(forms.Form):
    """A fiscal year, and how long after each month the ledger takes journals for it."""

    fiscal_year = forms.IntegerField(min_value=1900, max_value=2999, help_text="Such as 2026, which ends in 2026.")
    days_to_cutoff = forms.IntegerField(
        label="Days to cutoff",
        required=False,
        min_value=0,
        max_value=400,
        help_text="After the last day of each month. After the cutoff, a journal needs a reason. Empty: no cutoff.",
    )
    days_to_close = forms.IntegerField(
        label="Days to close",
        required=False,
        min_value=0,
        max_value=400,
        help_text="After the last day of each month. Then the ledger takes no journal for it. Empty: until you say.",
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        cutoff, close = data.get("days_to_cutoff"), data.get("days_to_close")
        if cutoff is not None and close is not None and close < cutoff:
            raise forms.ValidationError("A period closes on its cutoff or later.")
        return data


@admin.register(AccountingPeriod)
class AccountingPeriodAdmin(ListAdmin):
    form = PeriodForm
    when_empty = (
        "There is no accounting calendar yet. Journals are then dated in the fiscal year of their month, whenever they "
        "are submitted. Add a fiscal year, or load the calendar of your ledger."
    )
    list_display = ("period", "first_day", "last_day", "opens_on", "cutoff_on", "closes_on", "state")
    list_filter = ("fiscal_year",)
    fields = ("fiscal_year", "number", "first_day", "last_day", "opens_on", "cutoff_on", "closes_on")
    change_list_template = "admin/journals/accountingperiod/change_list.html"
    loaded_columns = tuple(accounting_calendar.COLUMNS)
    load_permissions = (ADD,)
    load_list = staticmethod(accounting_calendar.load_calendar)
    load_kind = Job.Kind.CALENDAR
    load_title = "Load an accounting calendar"
    load_question = (
        "Adds and changes the accounting periods that the file names; the others stay as they are. "
        "A file with a mistake is not loaded at all."
    )

    @admin.display(description="period", ordering="number")
    def period(self, period: AccountingPeriod) -> str:
        return f"{label_of(period.fiscal_year)}, period {period.number}"

    @admin.display(description="today")
    def state(self, period: AccountingPeriod) -> str:
        today = timezone.localdate()
        if period.opens_on and today < period.opens_on:
            return badge("Not open yet", "info")
        if not period.is_open(today):
            return badge("Closed", "")
        if today < period.first_day:
            # No posting date is in the future.
            return badge("To come", "info")
        if period.is_past_cutoff(today):
            return badge("Past cutoff", "warn")
        return badge("Open", "good")

    def get_urls(self) -> list[URLPattern]:
        own = path("year/", self.admin_site.admin_view(self.year_view), name="journals_accountingperiod_year")
        return [own, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        url = reverse("admin:journals_accountingperiod_year") if request.user.has_perm(ADD) else ""
        return super().changelist_view(request, {"year_url": url, **(extra_context or {})})

    def year_view(self, request: HttpRequest) -> HttpResponse:
        """Ask for a fiscal year, and add its twelve months."""

        def run(data: dict[str, Any]) -> tuple[str, Model | None]:
            made = accounting_calendar.add_fiscal_year(**data, actor=actor_of(request), now=timezone.now())
            return f"{label_of(data['fiscal_year'])} is added: {long_month(made[0].first_day)} is its period 1.", None

        latest = AccountingPeriod.objects.order_by("-fiscal_year").values_list("fiscal_year", flat=True).first()
        policy = Policy.objects.current()
        following = latest + 1 if latest else policy.fiscal_year_of(timezone.localdate())
        first, _ = policy.months_of_fiscal_year(following)
        return self.form_view(
            request,
            permission=ADD,
            title="Add a fiscal year",
            button="Add fiscal year",
            form_class=YearForm,
            run=run,
            question=f"Adds the twelve months of a fiscal year, from {long_month(first)} on, as the policy says. "
            "Each period can be changed afterwards.",
            initial={"fiscal_year": following},
        )

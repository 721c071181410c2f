"""The forms of journals: which month and format, and what the ledger answered."""

import contextlib
from typing import Any

from django import forms

from billing.models import BillingPeriod
from billing.models.periods import parse_month
from billing.texts import long_month, number_in

from ..estimates import Estimate, EstimateRefused, read
from ..formats import BUILT_IN
from ..models import JournalLayout, JournalTemplate

DATE = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
REASON = forms.Textarea(attrs={"rows": 3})


def format_choices() -> list[tuple[str, str]]:
    """Return the formats there are, with what each is."""
    built_in = [(name, f"{name}: {each.description}") for name, each in BUILT_IN.items()]
    templates = [
        (template.name, f"{template.name}: {template.description}" if template.description else template.name)
        for template in JournalTemplate.objects.order_by("name")
    ]
    released = JournalLayout.objects.filter(state=JournalLayout.State.RELEASED).order_by("name")
    return built_in + templates + [(layout.name, f"{layout.name}: {layout.title}") for layout in released]


class FormatForm(forms.Form):
    format = forms.ChoiceField(initial="gl")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["format"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = format_choices()


class MonthField(forms.ModelChoiceField):
    def prepare_value(self, value: Any) -> Any:
        """Return what the option of a month is valued by, whether it is named as addresses do, 2026-01, or by a day."""
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                return parse_month(value)
        return super().prepare_value(value)

    def label_from_instance(self, period: Any) -> str:
        return f"{long_month(period.month)}, {period.get_status_display().lower()}"


class ExportForm(FormatForm):
    period = MonthField(
        BillingPeriod.objects.shown().order_by("-month"),
        to_field_name="month",
        empty_label=None,
        label="Billing period",
    )
    posting_date = forms.DateField(
        required=False,
        help_text="Empty: the last day of the period, or today if that is earlier, as far as the accounting calendar "
        "takes it.",
        widget=DATE,
    )
    date_reason = forms.CharField(
        label="Reason for the date",
        required=False,
        help_text="Why it is posted in another fiscal year, or after a cutoff. Else empty.",
    )
    field_order: Any = ("period", "format", "posting_date", "date_reason")


class AccrualForm(ExportForm):
    """Which month is accrued, on which day, and when the accrual is reversed."""

    reversal_date = forms.DateField(
        widget=DATE, help_text="The posting date of its reversal, such as the first day of the next month."
    )
    estimates = forms.CharField(
        label="Not imported yet",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
        help_text="What files will bill that wait or did not come, one amount on a line: source, fund/org, amount, "
        "reason. Such as: hpc, BIO-001, 1200.00, As in May",
    )
    field_order: Any = ("period", "format", "posting_date", "reversal_date", "date_reason", "estimates")

    def clean_estimates(self) -> tuple[Estimate, ...]:
        try:
            return read(self.cleaned_data["estimates"].splitlines())
        except EstimateRefused as error:
            raise forms.ValidationError(str(error)) from error

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        months = self.fields["period"]
        assert isinstance(months, forms.ModelChoiceField)
        unfinished = BillingPeriod.objects.shown().exclude(status=BillingPeriod.Status.FINALIZED)
        months.queryset = unfinished.order_by("-month")


class SubmitForm(FormatForm):
    """The format of the file that is kept as submitted, and the reason for its date where it needs one."""

    def __init__(self, *args: Any, date_reason_needed: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if date_reason_needed:
            self.fields["date_reason"] = forms.CharField(
                label="Reason for the date", help_text=f"{date_reason_needed} Kept with the journal."
            )


class PostedForm(forms.Form):
    document_number = forms.CharField(max_length=64, help_text="Under which the ledger posted it.")


class RejectedForm(forms.Form):
    reason = forms.CharField(widget=REASON, help_text="As the ledger gave it; kept with the journal.")
    file_lines = forms.CharField(
        label="Lines of the file",
        required=False,
        help_text="That the ledger named, such as 3, 7. Each names all journal lines in it. May be empty.",
    )

    def clean_file_lines(self) -> list[int]:
        numbers = [number_in(each) for each in self.cleaned_data["file_lines"].replace(",", " ").split()]
        if None in numbers:
            raise forms.ValidationError("Write the numbers of lines, such as 3, 7.")
        return [number for number in numbers if number is not None]


class ReverseForm(forms.Form):
    reason = forms.CharField(widget=REASON, help_text="Kept with the journal.")
    posting_date = forms.DateField(
        required=False, widget=DATE, help_text="Of the reversal. Empty: a day that the ledger takes today."
    )

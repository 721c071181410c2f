"""Which month statements are issued or sent of."""

from django import forms

from billing.models import BillingPeriod


class PeriodForm(forms.Form):
    """Which month. A finalized one can be chosen: the refusal says that its statements are locked."""

    period = forms.ModelChoiceField(
        queryset=BillingPeriod.objects.shown().order_by("-month"),
        to_field_name="month",
        empty_label=None,
    )

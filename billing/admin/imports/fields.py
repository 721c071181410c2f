"""Fields of forms about imports: a source by the name that people know, and the period that files should be of."""

from typing import Any

from django import forms

from ... import importing


class SourceField(forms.ModelChoiceField):
    """A source, by the name that people know."""

    def label_from_instance(self, obj: Any) -> str:
        return str(obj.label)


class PeriodField(forms.CharField):
    """An expected period, such as `2025-01` or `2025-Q1`; none where the rows tell."""

    def __init__(self, **options: Any) -> None:
        widget = forms.TextInput(attrs={"placeholder": "2025-01", "size": 9})
        super().__init__(**{"required": False, "max_length": 16, "widget": widget, **options})

    def clean(self, value: Any) -> str:
        period = str(super().clean(value)).strip()
        if period:
            try:
                importing.expected_months(period)
            except ValueError as error:
                raise forms.ValidationError(str(error)) from error
        return period

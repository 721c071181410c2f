"""Fields of the forms about rates: months, and texts that say a part of a rate."""

import datetime
from collections.abc import Callable, Iterable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from ...models.periods import parse_month
from ...texts import iso_month
from ...usage.rate_schedules.words import NotUnderstood

LONG = 4_000


class MonthField(forms.CharField):
    """A month, as its first day; browsers offer to choose one, and `2026-07` can be typed."""

    widget = forms.TextInput(attrs={"type": "month", "placeholder": "2026-07", "maxlength": "7"})

    def prepare_value(self, value: Any) -> Any:
        return iso_month(value) if isinstance(value, datetime.date) else value

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text:
            return None
        try:
            return parse_month(text)
        except ValueError:
            raise ValidationError("Write the year and month, such as 2026-07.") from None


class LinesField(forms.CharField):
    """A list of texts, one on each line."""

    widget = forms.Textarea(attrs={"rows": 4, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> list[str]:
        lines = [line.strip() for line in str(super().clean(value) or "").splitlines()]
        return list(dict.fromkeys(filter(None, lines)))


class TicksField(forms.MultipleChoiceField):
    """Some of the names that there are, each with a tick; those a row has already can be kept."""

    widget = forms.CheckboxSelectMultiple

    def offer(self, names: Iterable[str], chosen: Iterable[str] | None) -> None:
        """Offer these names, and those that are chosen already."""
        self.choices = [(name, name) for name in dict.fromkeys([*sorted(names), *(chosen or ())])]


class WordsField(forms.CharField):
    """A text that says a part of a rate, read by one of `rate_schedules.words`; None where it is empty."""

    def __init__(self, read: Callable[[str], Any], *, rows: int = 1, **options: Any) -> None:
        self.read = read
        if rows > 1:
            options["widget"] = forms.Textarea(attrs={"rows": rows, "spellcheck": "false"})
        super().__init__(max_length=LONG, **options)

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text:
            return None
        try:
            return self.read(text)
        except NotUnderstood as error:
            raise ValidationError(list(error.problems)) from error

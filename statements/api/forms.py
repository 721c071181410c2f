"""The form with which somebody makes a token."""

import datetime

from django import forms

from billing.models.typed import NameInput

DAYS = {"30": "30 days", "90": "90 days", "365": "a year"}


class TokenForm(forms.Form):
    name = NameInput(max_length=60, help_text="What it is for, such as the program or the computer that will use it.")
    days = forms.ChoiceField(
        label="Works for", choices=list(DAYS.items()), initial="90", help_text="After that, make another one."
    )

    def last_day(self, today: datetime.date) -> datetime.date:
        return today + datetime.timedelta(days=int(self.cleaned_data["days"]))

"""The forms of questions in the portal: what is asked, and which of the own valid funds is proposed."""

import datetime
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django import forms

from billing.models import FundingSource, Question
from billing.questions import LONGEST

CHOOSE = ("", "Choose one")
# Funds that a form offers: of more, people write.
MOST_FUNDS = 30


def choices_of(reasons: Sequence[Question.Reason]) -> list[tuple[str, str]]:
    return [CHOOSE, *((reason.value, str(reason.label)) for reason in reasons)]


class MessageForm(forms.Form):
    text = forms.CharField(label="Message", max_length=LONGEST, widget=forms.Textarea(attrs={"rows": 4}))


class SharesForm(forms.Form):
    """A percentage for each fund/org that may be proposed; one with 100 pays all."""

    basis = forms.CharField(
        label="Basis of a split",
        required=False,
        max_length=LONGEST,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="What the percentages follow from, such as hours of use. Required where an award is a sponsored one.",
    )

    def __init__(self, *args: Any, funds: Sequence[FundingSource], **options: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **options})
        self.funds = list(funds)[:MOST_FUNDS]
        for fund in self.funds:
            self.fields[f"fund_{fund.pk}"] = forms.DecimalField(
                label=fund.fund_org,
                required=False,
                min_value=0,
                max_value=100,
                max_digits=9,
                decimal_places=6,
                localize=False,
                widget=forms.TextInput(attrs={"inputmode": "decimal", "size": 6}),
            )

    def fund_fields(self) -> list[tuple[FundingSource, forms.BoundField]]:
        return [(fund, self[f"fund_{fund.pk}"]) for fund in self.funds]

    @property
    def has_shares(self) -> bool:
        """Whether somebody filled in who should pay, or what is wrong with it is to be shown."""
        return any(field.value() not in (None, "") or field.errors for _, field in self.fund_fields())

    def shares(self) -> dict[str, Decimal]:
        """Return what was filled in."""
        given = ((fund.fund_org, self.cleaned_data.get(f"fund_{fund.pk}")) for fund in self.funds)
        return {fund_org: percent for fund_org, percent in given if percent}


class AskForm(SharesForm):
    reason = forms.ChoiceField(label="What is wrong?", choices=choices_of(Question.OF_LINES))
    text = forms.CharField(
        label="What should we look at?", max_length=LONGEST, widget=forms.Textarea(attrs={"rows": 4})
    )
    field_order = ("reason", "text")


class ProposeForm(SharesForm):
    reason = forms.ChoiceField(label="Why?", choices=choices_of(Question.OF_PROJECTS))
    text = forms.CharField(
        label="Which work does the project’s cost benefit?",
        max_length=LONGEST,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="That a fund has no money left is no reason to charge a sponsored award.",
    )
    starts_on = forms.DateField(
        label="First day",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text="Of service. One fund/org becomes the default as soon as it is applied; a split holds from this day.",
    )
    field_order = ("reason", "text", "starts_on")

    def __init__(self, *args: Any, today: datetime.date, **options: Any) -> None:
        super().__init__(*args, initial={"starts_on": today}, **options)

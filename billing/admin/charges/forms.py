"""What a person says when deciding charges: a note, why nobody pays, or who does."""

from typing import Any

from django import forms
from django.db.models import QuerySet

from ... import doors, review
from ...attribution import naming
from ...errors import BillingError, ReasonMissing
from ...models import Charge, ReviewDecision
from ..naming import CreateField, NameInput, key_of


class NoteForm(forms.Form):
    note = forms.CharField(
        required=False, widget=forms.Textarea(attrs={"rows": 3}), help_text="Kept with the decision."
    )


class CreditField(forms.TypedChoiceField):
    """What becomes of what a provider bills, where it is rejected."""

    def __init__(self) -> None:
        super().__init__(
            label="Will the provider credit it?",
            choices=[("", "Choose…"), ("yes", "Yes: nobody pays it"), ("no", "No: the center is charged")],
            coerce=lambda said: said == "yes",
            empty_value=None,
            help_text="Asked of what an outside provider bills. Internal services are rejected either way.",
        )


class RejectForm(NoteForm):
    reason = forms.ChoiceField(choices=[("", "Choose…"), *ReviewDecision.Reason.choices], label="Why nobody should pay")
    provider_credits = CreditField()
    field_order = ("reason", "provider_credits", "note")

    def __init__(self, *args: Any, charges: "QuerySet[Charge]", **options: Any) -> None:
        super().__init__(*args, **options)
        if not review.are_billed(charges):
            del self.fields["provider_credits"]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if reason := data.get("reason"):
            try:
                review.check_reason(reason, data.get("note", ""))
            except ReasonMissing as error:
                self.add_error("note", doors.for_page(error))
        return data


class CorrectForm(NoteForm):
    pi = forms.CharField(
        label="PI",
        required=False,
        widget=NameInput("pi"),
        help_text="E-mail address. Fields left empty stay as they are.",
    )
    project = forms.CharField(required=False, widget=NameInput("project"), help_text="Its code.")
    fund_org = forms.CharField(label="Fund/org", required=False, widget=NameInput("fund_org"))
    split = forms.CharField(
        required=False, help_text="Instead of one fund/org: several with their percentages, such as A=60; B=40."
    )
    natural_account = forms.CharField(label="Account code", required=False)
    cost_center = forms.CharField(required=False)
    approve = forms.BooleanField(label="Approve at the same time", required=False, initial=True)
    field_order = (
        *("pi", "project", "fund_org", "split", "create"),
        *("natural_account", "cost_center", "approve", "note"),
    )

    def show_current(self, charges: "QuerySet[Charge]") -> None:
        """Say at each field what charges have there now: nothing is said, too, or that it differs among them."""
        columns = {"pi": "pi__email", "project": "project__code", "split": "payer_split"}
        for name in ("pi", "project", "fund_org", "split", "natural_account", "cost_center"):
            values = charges.order_by().values_list(columns.get(name, name), flat=True).distinct()[:2]
            found = [value or "" for value in values]
            said = "several" if len(found) > 1 else found[0] if found else ""
            if name == "split" and isinstance(said, int):
                said = review.shares_text(review.shares_of([said])[said])
            self.fields[name].current = said or "none"  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        shares: tuple[Any, ...] = ()
        if data.get("split"):
            try:
                shares = tuple(review.parse_shares(data["split"]).items())
            except review.BadSplit as error:
                self.add_error("split", doors.for_page(error))
                return data
        reassignment = review.Reassignment(
            shares=shares,
            **{name: data.get(name, "") for name in ("pi", "project", "fund_org", "natural_account", "cost_center")},
        )
        try:
            data["reassignment"] = reassignment.checked()
        except review.BadPI as error:
            self.add_error("pi", doors.for_page(error))
        except BillingError as error:
            self.add_error(None, doors.for_page(error))
        else:
            data["create"] = self._is_meant(data["reassignment"].unknown())
        return data

    def _is_meant(self, unknown: list[naming.Unknown]) -> bool:
        """Tell whether each name that does not exist is ticked; ask for those that are not."""
        if not unknown:
            return False
        field = CreateField()
        field.ask(unknown)
        self.fields["create"] = field
        self.order_fields(self.field_order)
        ticked = self.fields["create"].widget.value_from_datadict(self.data, self.files, "create") or []
        for each in unknown:
            if key_of(each) not in ticked:
                where = "split" if each.kind == "fund_org" and self.data.get("split") else each.kind
                self.add_error(where, f"{each} If it is new, tick it below.")
        return not self.errors

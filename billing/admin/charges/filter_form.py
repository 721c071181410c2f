"""The form of all filters of the list of charges: it asks by address, and works without script."""

from django import forms
from django.http import HttpRequest

from ...models import Charge, Flag, Product
from ..chips import ANY, AllFiltersForm
from ..filters import months_offered, sources_offered
from ..naming import NameInput

# Services offered below the field; any other can be typed.
SERVICES = 300


class FilterForm(AllFiltersForm):
    """Each field is named as the address names the filter."""

    period = forms.ChoiceField(label="Period")
    source__id__exact = forms.ChoiceField(label="Source")
    state__exact = forms.ChoiceField(label="State", choices=[ANY, *Charge.State.choices])
    standing = forms.ChoiceField(
        label="In force", choices=[ANY, ("live", "In force"), ("withdrawn", "Withdrawn or replaced")]
    )
    pi = forms.CharField(label="PI", widget=NameInput("pi"))
    project = forms.CharField(label="Project code", widget=NameInput("project"))
    fund = forms.CharField(label="Fund/org", widget=NameInput("fund_org"))
    payer = forms.ChoiceField(label="Who pays")
    service = forms.CharField(label="Service", widget=forms.TextInput(attrs={"list": "services"}))
    category = forms.ChoiceField(label="Category", choices=[ANY, *Charge.Category.choices])
    amount_from = forms.CharField(label="Billed from", widget=forms.TextInput(attrs={"inputmode": "decimal"}))
    amount_to = forms.CharField(label="Billed up to", widget=forms.TextInput(attrs={"inputmode": "decimal"}))
    reason = forms.ChoiceField(label="Reason for review", choices=[ANY, *Flag.Code.choices])

    def __init__(self, request: HttpRequest, payers: list[tuple[str, str]]) -> None:
        offered = {"period": months_offered(), "source__id__exact": sources_offered(), "payer": payers}
        super().__init__(request, offered)

    def services(self) -> list[str]:
        names = Product.objects.exclude(service_name="").order_by("service_name").values_list("service_name", flat=True)
        return list(names.distinct()[:SERVICES])

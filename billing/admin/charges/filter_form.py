"""The form of all filters of the list of charges: it asks by address, and works without script."""

from django import forms
from django.http import HttpRequest
from django.utils.formats import date_format

from ...models import BillingPeriod, Charge, Flag, Product, Source
from ..naming import NameInput

# Services offered below the field; any other can be typed.
SERVICES = 300
ANY = ("", "Any")


class FilterForm(forms.Form):
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
        super().__init__(
            initial={name: request.GET.get(name, "") for name in self.base_fields},
            label_suffix="",
            auto_id="filter_%s",
            use_required_attribute=False,
        )
        months = BillingPeriod.objects.shown().order_by("-month").values_list("month", flat=True)[:36]
        offered = [(f"{month:%Y-%m}", date_format(month, "F Y")) for month in months]
        sources = [(str(source.pk), str(source)) for source in Source.objects.order_by("name")]
        for name, choices in (("period", offered), ("source__id__exact", sources), ("payer", payers)):
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)
            field.choices = [ANY, *choices]
            asked = request.GET.get(name, "")
            if asked and asked not in dict(choices):
                # An older month stays what is asked for.
                field.choices.append((asked, asked))

    def services(self) -> list[str]:
        names = Product.objects.exclude(service_name="").order_by("service_name").values_list("service_name", flat=True)
        return list(names.distinct()[:SERVICES])

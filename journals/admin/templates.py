"""The screen of formats of one's own."""

from dataclasses import replace
from typing import Any

from django import forms
from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing import doors
from billing.admin.audited import BillingAdmin
from billing.models import Policy

from .. import lookups, writing
from ..formats import RESERVED, Document, TemplateFailed
from ..formats.sample import sample
from ..models import JournalLayout, JournalTemplate


def _sample() -> Document:
    made = sample(writing.segment_names(), Policy.objects.current().currency)
    return replace(made, lookups=lookups.sample_lookups())


class JournalTemplateForm(forms.ModelForm):
    class Meta:
        model = JournalTemplate
        fields = ("name", "description", "extension", "is_csv", "header", "line", "footer")
        widgets = {
            part: forms.Textarea(attrs={"rows": rows, "class": "vLargeTextField mono", "spellcheck": "false"})
            for part, rows in (("header", 3), ("line", 6), ("footer", 3))
        }

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name in RESERVED:
            raise forms.ValidationError(f"“{name}” is a format of the program's own. Choose another name.")
        if JournalLayout.objects.filter(name=name).exists():
            raise forms.ValidationError(f"“{name}” is a journal layout. Choose another name.")
        return name

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("line"):
            # What is shown to be read (the preview) is among the form's Meta.fields, but no value.
            template = JournalTemplate(**{name: data[name] for name in self.fields if name in data})
            try:
                writing.as_format(template).write(_sample())
            except TemplateFailed as error:
                raise forms.ValidationError(doors.for_page(error)) from error
        return data


@admin.register(JournalTemplate)
class JournalTemplateAdmin(BillingAdmin):
    when_empty = "There are no templates yet. One writes journals in the format of your own ledger."
    form = JournalTemplateForm
    list_display = ("name", "description", "extension", "is_csv")
    search_fields = ("name", "description")
    fieldsets = (
        (None, {"fields": ("name", "description", "extension", "is_csv")}),
        (
            "Texts",
            {
                "fields": ("header", "line", "footer"),
                "description": "Values are in double braces, such as {{ line.fund_org }} or {{ journal.number }}. "
                "An unknown name is refused, with a list of those that exist. Filters: cents, absolute, date, "
                "left, pad, zeros, upper, lower, cut, default. Conditions: {% if line.debit %}…{% endif %}. "
                "Totals, in the header or footer: {% for each in journal.accounts %}…{% endfor %}.",
            },
        ),
        ("Preview", {"fields": ("preview",)}),
    )
    readonly_fields = ("preview",)

    @admin.display(description="on a sample of two pairs")
    def preview(self, template: JournalTemplate) -> str | SafeString:
        if not template.line:
            return "Save the template to see what it makes of a sample."
        try:
            written = writing.as_format(template).write(_sample())
        except TemplateFailed as error:
            return doors.for_page(error)
        return format_html("<pre>{}</pre>", written.content.decode())

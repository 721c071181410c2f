"""The policy as a form."""

import calendar
from typing import Any

from django import forms

from ...models import Policy
from ...models.policy import TAG_FIELDS
from ...money import plain
from ...patterns import compiled, fits_one, group_names
from .fields import AddressesField, CurrencyField, DomainsField, PatternsField, WordsField
from .settings import GROUPS, LABELS, TAG_HELP, TAG_LABELS

MONTHS = [(number, calendar.month_name[number]) for number in range(1, 13)]


class PolicyForm(forms.ModelForm):
    currency = CurrencyField(
        max_length=3,
        widget=forms.TextInput(attrs={"size": 5}),
        help_text="Its code in ISO 4217, such as USD, EUR or JPY: of statements and journals.",
    )
    own_domains = DomainsField(
        required=False,
        help_text="Such as u.edu, separated by commas; their sub-domains count. A tag can name anybody: while neither "
        "domains nor a list of people are set, a typo is billed and mailed like a PI. With them, charges of a PI "
        "outside both are held until somebody confirms the PI.",
    )
    tag_prefixes = WordsField(
        required=False, help_text="Taken off before keys are compared, such as user: of AWS. Separated by commas."
    )
    missing_words = WordsField(
        required=False,
        help_text="A tag that says one of these says nothing, in any case. If a project is really called NA, take the "
        "word off the list. Separated by commas.",
    )
    flag_patterns = PatternsField(
        required=False,
        help_text="One regular expression per line, looked for anywhere and in any case. Charges whose service, "
        "resource or description matches one are held for review.",
    )
    fund_org_patterns = PatternsField(
        required=False,
        help_text="One regular expression per line. A fund/org that matches none as a whole is held. Empty: any form.",
    )
    report_recipients = AddressesField(
        required=False,
        help_text="E-mail addresses, separated by commas. When a month is finalized, each gets the report of the value "
        "delivered in the fiscal year so far, as a PDF. Empty: nobody.",
    )
    fiscal_year_start = forms.TypedChoiceField(
        choices=MONTHS,
        coerce=int,
        help_text="A fiscal year is named for the year it ends in: where it starts in July, July 2025 is in FY2026. "
        "Where it starts in January, it is the calendar year.",
    )
    example = forms.CharField(
        label="Try a fund/org",
        required=False,
        help_text="Shows what the two rules above make of it; not kept. It has to match them.",
    )

    class Meta:
        model = Policy
        fields = (
            "institution",
            "department",
            "contact_name",
            "contact_email",
            "contact_phone",
            "address",
            "currency",
            "own_domains",
            "tag_prefixes",
            "missing_words",
            "folds_plus_addresses",
            "flag_patterns",
            "fund_org_patterns",
            "fund_org_segments",
            "center_fund_org",
            "amount_tolerance",
            "corrections_need_second_person",
            "transfer_justification_days",
            "questions_email",
            "question_days",
            "questions_hold_charges",
            "pis_propose",
            "shows_users",
            "requires_ledger_answer",
            "journals_need_second_person",
            "fiscal_year_start",
            "statement_footer",
            "statement_notices",
            "paper_size",
            "issues_zero_statements",
            "warns_without_email",
            "email_attaches_xlsx",
            "email_attaches_charges",
            "email_megabytes",
            "smallest_emailed",
            "emails_per_minute",
            "report_recipients",
        )
        labels = LABELS
        help_texts = {
            "institution": "Its name at the head of every statement.",
            "department": "The department that issues the statements.",
            "contact_name": "Whom a PI asks about a statement.",
            "contact_email": "Printed beside the name.",
            "contact_phone": "Printed beside the name.",
            "address": "Of the institution: 8 lines at most.",
            "statement_footer": "A text at the end of every statement, such as where to object.",
            "statement_notices": "Printed above the charges of every statement, one on each line: 4 at most. What ends "
            "soon (projects, fund/orgs, reconciliation) is told there by itself.",
            "paper_size": "Of PDF statements.",
            "issues_zero_statements": "Off: a PI whom a month charges nothing gets no statement for it.",
        }
        widgets = {
            "address": forms.Textarea(attrs={"rows": 3}),
            "statement_footer": forms.Textarea(attrs={"rows": 3}),
            "statement_notices": forms.Textarea(attrs={"rows": 3}),
            "fund_org_segments": forms.TextInput(attrs={"spellcheck": "false"}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})
        for name in ("amount_tolerance", "smallest_emailed"):
            self.initial[name] = plain(getattr(self.instance, name), self.instance.currency)
        for name in TAG_FIELDS:
            self.fields[f"keys_{name}"] = WordsField(label=TAG_LABELS[name], required=False, help_text=TAG_HELP[name])
            self.initial[f"keys_{name}"] = list(self.instance.tag_keys.get(name, []))
        for name, field in self.fields.items():
            field.label = LABELS.get(name, field.label)
            if isinstance(field.widget, forms.TextInput | forms.Textarea):
                field.widget.attrs.setdefault("class", "mono" if "pattern" in name or "segments" in name else "")

    def clean_fund_org_segments(self) -> str:
        """Refuse segments that make no columns, or one column of two."""
        segments: str = self.cleaned_data["fund_org_segments"]
        names = group_names(segments)
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise forms.ValidationError(f"Two groups are called {twice[0]}. Give each a name of its own.")
        if segments and not names:
            raise forms.ValidationError("No group has a name, so that there are no columns. Write (?P<fund>[0-9]+).")
        return segments

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        for name in ("address", "statement_footer", "statement_notices"):
            # A browser sends other line ends than are kept.
            data[name] = data.get(name, "").replace("\r\n", "\n")
        data["tag_keys"] = {name: data.get(f"keys_{name}", []) for name in TAG_FIELDS}
        example = data.get("example", "")
        patterns, segments = data.get("fund_org_patterns"), data.get("fund_org_segments")
        if not example or patterns is None or segments is None:
            return data
        if problem := refusal(example, patterns, segments):
            self.add_error("example", problem)
        return data

    def changes(self, present: Policy) -> dict[str, Any]:
        """Return what is different from a version."""
        names = [field.name for field in Policy._meta.concrete_fields if field.name in self.cleaned_data]
        return {name: self.cleaned_data[name] for name in names if self.cleaned_data[name] != getattr(present, name)}

    def wrong(self) -> list[forms.BoundField]:
        """Return the fields to correct."""
        return [field for field in self if field.errors]

    def groups(self) -> list[tuple[str, str, list[forms.BoundField]]]:
        """Return the fields as the page sets them: heading, explanation, fields."""
        return [(title, told, [self[name] for name in names]) for title, told, names in GROUPS]


def refusal(fund_org: str, patterns: list[str], segments: str) -> str:
    """Say why a fund/org does not fit the rules; "" where it does."""
    if patterns and not fits_one(tuple(patterns), fund_org):
        return f"“{fund_org}” matches none of the fund/org patterns: charges with it would be held."
    if segments and not compiled(segments).fullmatch(fund_org):
        names = ", ".join(compiled(segments).groupindex) or "columns"
        return f"“{fund_org}” does not match the segments: a journal would have no {names} for it."
    return ""


def segments_of(fund_org: str, segments: str) -> list[tuple[str, str]]:
    """Return what the journal's columns would hold for a fund/org."""
    match = compiled(segments).fullmatch(fund_org) if segments else None
    return [(name, value or "") for name, value in match.groupdict().items()] if match else []

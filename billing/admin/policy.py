"""The policy: its versions, and a form whose saving makes the next one."""

import calendar
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from .. import doors
from ..addresses import normalized_domain
from ..errors import BillingError
from ..fiscal_years import label_of
from ..models import Policy
from ..models.policy import TAG_FIELDS, check_domains, check_patterns
from ..money import plain
from ..patterns import compiled, fits_one
from ..setup import policies
from ..texts import long_month
from .audited import FrozenAdmin, actor_of
from .formatting import amount_column

TAG_LABELS = {
    "pi_email": "PI",
    "project_id": "Project",
    "fund_org": "Fund/org",
    "cost_center": "Cost center",
    "natural_account": "Account code",
    "reference_1": "Reference 1",
    "reference_2": "Reference 2",
    "end_date": "End date",
}
MONTHS = [(number, calendar.month_name[number]) for number in range(1, 13)]


class WordsField(forms.CharField):
    """A list of words, separated by commas."""

    def prepare_value(self, value: object) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def clean(self, value: object) -> list[str]:
        return [word.strip() for word in str(super().clean(value) or "").split(",") if word.strip()]


class PatternsField(forms.CharField):
    """A list of regular expressions, one per line."""

    widget = forms.Textarea(attrs={"rows": 4, "spellcheck": "false"})

    def prepare_value(self, value: object) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: object) -> list[str]:
        patterns = [line.strip() for line in str(super().clean(value) or "").splitlines() if line.strip()]
        check_patterns(patterns)
        return patterns


class DomainsField(WordsField):
    """A list of domains, as people type them."""

    def clean(self, value: object) -> list[str]:
        domains = [normalized_domain(word.removeprefix("@")) for word in super().clean(value)]
        check_domains(domains)
        return list(dict.fromkeys(domains))


class CurrencyField(forms.CharField):
    """A code, in whatever case it is typed; whether it is one, the policy says."""

    def to_python(self, value: object) -> str:
        return str(super().to_python(value)).upper()


class PolicyForm(forms.ModelForm):
    currency = CurrencyField(
        max_length=3,
        widget=forms.TextInput(attrs={"size": 5}),
        help_text="Its code in ISO 4217, such as USD, EUR or JPY: of statements and journals.",
    )
    own_domains = DomainsField(
        label="Own e-mail domains",
        required=False,
        help_text="Such as u.edu, separated by commas; their sub-domains count. A tag can name anybody: while neither "
        "domains nor a list of people are set, a typo is billed and mailed like a PI. With them, charges of a PI "
        "outside both are held until somebody confirms the PI.",
    )
    tag_prefixes = WordsField(
        required=False, help_text="Taken off before keys are compared, such as user: of AWS. Separated by commas."
    )
    missing_words = WordsField(
        label="Words for nothing",
        required=False,
        help_text="A tag that says one of these says nothing, in any case. If a project is really called NA, take the "
        "word off the list. Separated by commas.",
    )
    flag_patterns = PatternsField(
        required=False,
        help_text="One regular expression per line. Charges whose service, resource or description matches one "
        "are held for review.",
    )
    fund_org_patterns = PatternsField(
        label="Fund/org patterns",
        required=False,
        help_text="One regular expression per line. A fund/org that matches none is held. Empty: any form.",
    )
    fiscal_year_start = forms.TypedChoiceField(
        label="Fiscal year starts in",
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
            "requires_ledger_answer",
            "fiscal_year_start",
            "statement_footer",
            "issues_zero_statements",
            "warns_without_email",
            "email_subject",
            "email_text",
        )
        labels = {
            "contact_email": "Contact e-mail",
            "folds_plus_addresses": "Plus addresses are one mailbox",
            "fund_org_segments": "Fund/org segments",
            "corrections_need_second_person": "Corrections need a second person",
            "transfer_justification_days": "Days until a transfer needs a justification",
            "requires_ledger_answer": "Await the ledger's answer",
            "issues_zero_statements": "Issue statements that charge nothing",
            "warns_without_email": "Say on every page when e-mail is not configured",
            "email_subject": "E-mail subject",
            "email_text": "E-mail text",
        }
        help_texts = {"issues_zero_statements": ""}
        widgets = {
            "address": forms.Textarea(attrs={"rows": 3}),
            "statement_footer": forms.Textarea(attrs={"rows": 3}),
            "email_text": forms.Textarea(attrs={"rows": 8}),
            "fund_org_segments": forms.TextInput(attrs={"spellcheck": "false"}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})
        self.initial["amount_tolerance"] = plain(self.instance.amount_tolerance, self.instance.currency)
        for name in TAG_FIELDS:
            self.fields[f"keys_{name}"] = WordsField(label=TAG_LABELS.get(name, name), required=False)
            self.initial[f"keys_{name}"] = list(self.instance.tag_keys.get(name, []))
        for name, field in self.fields.items():
            if isinstance(field.widget, forms.TextInput | forms.Textarea):
                field.widget.attrs.setdefault("class", "mono" if "pattern" in name or "segments" in name else "")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        data["tag_keys"] = {name: data.get(f"keys_{name}", []) for name in TAG_FIELDS}
        example = data.get("example", "")
        patterns, segments = data.get("fund_org_patterns"), data.get("fund_org_segments")
        if not example or patterns is None or segments is None:
            return data
        if problem := refusal(example, patterns, segments):
            self.add_error("example", problem)
        return data

    def changes(self) -> dict[str, Any]:
        """Return what is different from the version the form was opened with."""
        names = [field.name for field in Policy._meta.concrete_fields if field.name in self.cleaned_data]
        return {
            name: self.cleaned_data[name]
            for name in names
            if self.cleaned_data[name] != getattr(Policy.objects.current(), name)
        }

    def groups(self) -> list[tuple[str, str, list[forms.BoundField]]]:
        """Return the fields as the page sets them: heading, explanation, fields."""
        return [(title, told, [self[name] for name in names]) for title, told, names in GROUPS]


GROUPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "Institution",
        "Printed on statements.",
        (
            "institution",
            "department",
            "contact_name",
            "contact_email",
            "contact_phone",
            "address",
            "statement_footer",
        ),
    ),
    (
        "Who pays: tag keys",
        "For each field the tag keys to look for, separated by commas: the first that a row carries wins. "
        "Upper and lower case, blanks and prefixes do not matter.",
        (*(f"keys_{name}" for name in TAG_FIELDS), "tag_prefixes", "missing_words", "folds_plus_addresses"),
    ),
    (
        "Held for review",
        "",
        ("own_domains", "flag_patterns", "amount_tolerance"),
    ),
    (
        "Fund/orgs",
        "",
        ("fund_org_patterns", "fund_org_segments", "example", "center_fund_org"),
    ),
    (
        "Corrections",
        "",
        ("corrections_need_second_person", "transfer_justification_days"),
    ),
    (
        "Money and the ledger",
        "",
        ("currency", "fiscal_year_start", "requires_ledger_answer"),
    ),
    (
        "Statements and e-mail",
        "",
        ("issues_zero_statements", "warns_without_email", "email_subject", "email_text"),
    ),
)


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


@admin.register(Policy)
class PolicyAdmin(FrozenAdmin):
    when_empty = "The built-in defaults are in force. Saving a change makes the first version."
    list_display = ("version", "institution", "currency", "created_at", "created_by", "is_in_force")
    list_select_related = ("created_by",)
    ordering = ("-id",)
    sortable_by = ()
    change_list_template = "admin/billing/policy/change_list.html"
    fieldsets = (
        (None, {"fields": ("version", "created_at", "created_by")}),
        ("Institution", {"fields": GROUPS[0][2]}),
        (
            "Who pays",
            {"fields": ("tag_keys_shown", "tag_prefixes_shown", "missing_words_shown", "folds_plus_addresses")},
        ),
        ("Held for review", {"fields": ("own_domains_shown", "flag_patterns_shown", "tolerance")}),
        ("Fund/orgs", {"fields": ("fund_org_patterns_shown", "fund_org_segments", "center_fund_org")}),
        ("Corrections", {"fields": GROUPS[4][2]}),
        ("Money and the ledger", {"fields": ("currency", "fiscal_year_shown", "requires_ledger_answer")}),
        ("Statements and e-mail", {"fields": GROUPS[6][2]}),
    )
    readonly_fields = (
        "version",
        "tag_keys_shown",
        "tag_prefixes_shown",
        "missing_words_shown",
        "own_domains_shown",
        "flag_patterns_shown",
        "fund_org_patterns_shown",
        "tolerance",
        "fiscal_year_shown",
        "created_at",
    )
    tolerance = amount_column("amount_tolerance", "amount tolerance", named=False)

    @admin.display(description="version", ordering="id")
    def version(self, policy: Policy) -> str:
        return f"Version {policy.pk}"

    @admin.display(description="in force", boolean=True)
    def is_in_force(self, policy: Policy) -> bool:
        return policy.pk == self._newest

    _newest: int | None = None

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        self._newest = Policy.objects.current().pk
        return super().changelist_view(request, {"title": "Policy", **(extra_context or {})})

    def _lines(self, lines: list[str]) -> str | SafeString:
        return format_html_join("", "<div><code>{}</code></div>", ((line,) for line in lines)) or "–"

    @admin.display(description="tag keys")
    def tag_keys_shown(self, policy: Policy) -> str | SafeString:
        return format_html_join(
            "",
            "<div>{}: <code>{}</code></div>",
            ((TAG_LABELS.get(name, name), ", ".join(keys)) for name, keys in policy.tag_keys.items()),
        )

    @admin.display(description="tag prefixes")
    def tag_prefixes_shown(self, policy: Policy) -> str | SafeString:
        return self._lines(policy.tag_prefixes)

    @admin.display(description="words for nothing")
    def missing_words_shown(self, policy: Policy) -> str | SafeString:
        return self._lines(policy.missing_words)

    @admin.display(description="own e-mail domains")
    def own_domains_shown(self, policy: Policy) -> str | SafeString:
        return self._lines(policy.own_domains)

    @admin.display(description="flag patterns")
    def flag_patterns_shown(self, policy: Policy) -> str | SafeString:
        return self._lines(policy.flag_patterns)

    @admin.display(description="fund/org patterns")
    def fund_org_patterns_shown(self, policy: Policy) -> str | SafeString:
        return self._lines(policy.fund_org_patterns)

    @admin.display(description="fiscal year")
    def fiscal_year_shown(self, policy: Policy) -> str:
        year = policy.fiscal_year_of(timezone.localdate())
        first, last = policy.months_of_fiscal_year(year)
        return f"{label_of(year)} is {long_month(first)} to {long_month(last)}"

    def get_urls(self) -> list[URLPattern]:
        own = path("edit/", self.admin_site.admin_view(self.edit_view), name="billing_policy_edit")
        return [own, *super().get_urls()]

    def edit_view(self, request: HttpRequest) -> HttpResponse:
        """Show the policy in force as a form; saving it makes a new version."""
        if not request.user.has_perm("billing.change_policy"):
            raise PermissionDenied
        present = Policy.objects.current()
        is_posted = request.method == "POST"
        form = PolicyForm(request.POST if is_posted else None, instance=Policy.objects.current())
        tried: list[tuple[str, str]] = []
        is_valid = is_posted and form.is_valid()
        if is_valid and "_try" in request.POST:
            tried = segments_of(form.cleaned_data["example"], form.cleaned_data["fund_org_segments"])
            if form.cleaned_data["example"]:
                messages.info(request, f"“{form.cleaned_data['example']}” fits. Nothing is saved yet.")
        elif is_valid:
            try:
                changed = policies.change_policy(changes=form.changes(), actor=actor_of(request), now=timezone.now())
            except BillingError as error:
                messages.warning(request, doors.for_page(error, request.user))
            except ValidationError as error:
                form.add_error(None, error.messages)
            else:
                messages.success(
                    request,
                    f"{str(changed).capitalize()} of the policy is in force, for imports from now on.",
                )
                return HttpResponseRedirect(reverse("admin:billing_policy_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "title": "Change policy",
            "opts": self.opts,
            "form": form,
            "present": present,
            "tried": tried,
            "back": reverse("admin:billing_policy_changelist"),
        }
        return TemplateResponse(request, "admin/billing/policy/edit.html", context)

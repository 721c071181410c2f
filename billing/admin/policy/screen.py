"""The versions of the policy, to be read."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from ...fiscal_years import label_of
from ...models import Policy
from ...texts import long_month
from ..audited import FrozenAdmin
from ..formatting import amount_column
from .changing import ChangingMixin
from .forms import PolicyForm
from .logo import LogoMixin
from .settings import GROUPS, LABELS, TAG_LABELS

OF_GROUP = {title: names for title, _, names in GROUPS}


class ReadForm(forms.ModelForm):
    """A version, whose settings are called as the form calls them that changes them."""

    class Meta:
        model = Policy
        fields: tuple[str, ...] = ()
        labels = LABELS
        help_texts = PolicyForm.Meta.help_texts


@admin.register(Policy)
class PolicyAdmin(ChangingMixin, LogoMixin, FrozenAdmin):
    form = ReadForm
    when_empty = "The built-in defaults are in force. Saving a change makes the first version."
    list_display = ("version", "institution", "currency", "created_at", "created_by", "is_in_force")
    list_select_related = ("created_by",)
    ordering = ("-id",)
    sortable_by = ()
    change_list_template = "admin/billing/policy/change_list.html"
    fieldsets = (
        (None, {"fields": ("version", "created_at", "created_by")}),
        ("Institution", {"fields": OF_GROUP["Institution"]}),
        (
            "Who pays",
            {"fields": ("tag_keys_shown", "tag_prefixes_shown", "missing_words_shown", "folds_plus_addresses")},
        ),
        ("Held for review", {"fields": ("own_domains_shown", "flag_patterns_shown", "tolerance")}),
        ("Fund/orgs", {"fields": ("fund_org_patterns_shown", "fund_org_segments", "center_fund_org")}),
        ("Questions of PIs", {"fields": OF_GROUP["Questions of PIs"]}),
        ("Corrections", {"fields": OF_GROUP["Corrections"]}),
        (
            "Money and the ledger",
            {
                "fields": (
                    *("currency", "fiscal_year_shown", "requires_ledger_answer"),
                    "journals_need_second_person",
                )
            },
        ),
        (
            "Statements and e-mail",
            {
                "fields": [
                    "smallest" if name == "smallest_emailed" else name for name in OF_GROUP["Statements and e-mail"]
                ]
            },
        ),
        ("Usage", {"fields": OF_GROUP["Usage"]}),
        ("Reports", {"fields": OF_GROUP["Reports"]}),
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
        "smallest",
        "fiscal_year_shown",
        "created_at",
    )
    tolerance = amount_column("amount_tolerance", "amount tolerance")
    smallest = amount_column("smallest_emailed", "smallest charge that is e-mailed")

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

"""Account rules: kept on a page that shows what each would change of the newest month before it is saved."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from billing.admin.formatting import badge
from billing.admin.lists import RegisterAdmin
from billing.admin.seen import SeenForm

from ..account_codes import conditions_of
from ..account_rules import ACCOUNT_RULES
from ..account_trials import try_rule
from ..models import AccountRule
from ..models.accounts import PATTERNS


class AccountRuleForm(SeenForm):
    decides = (
        *("source_id", "sponsored", "fa", *PATTERNS, "debit_account", "overrides_named", "recovery_account"),
        *("priority", "is_active"),
    )
    asks = "Look at what this rule would change, then save it."


@admin.register(AccountRule)
class AccountRuleAdmin(RegisterAdmin):
    register = ACCOUNT_RULES
    load_title = "Load account rules"
    load_hint = "A line without a number adds a rule. They hold for what is drafted from now on."
    when_empty = (
        "There are no account rules yet. Lines have the account code that their charges name, else that of their "
        "source. Add a rule for awards, for what is not in the F&A base, or for a project."
    )
    form = AccountRuleForm
    change_form_template = "admin/journals/accountrule/change_form.html"
    list_display = ("rule", "priority", "when", "debits", "recovers", "state")
    list_filter = ("is_active", "sponsored", "fa", "source")
    list_select_related = ("source",)
    search_fields = ("debit_account", "recovery_account", *PATTERNS, "note")
    search_help_text = "Account code, fund/org, project, service or note"
    fieldsets = (
        (
            "When all of this holds",
            {
                "fields": ("source", "sponsored", "fa", "fund_org", "project", "service", "named_account"),
                "description": "In a pattern * stands for anything and ? for one character; upper and lower case are "
                "alike. What is empty is no condition.",
            },
        ),
        ("Then it is posted to", {"fields": ("debit_account", "overrides_named", "recovery_account")}),
        (None, {"fields": ("priority", "is_active", "note", "seen")}),
    )

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        form = context["adminform"].form
        rule = form.instance if form.instance.pk and not form.is_bound else None
        if form.is_bound and not form.errors.get_json_data().keys() - {"__all__"}:
            rule = form.instance
        shown = {
            "tried": try_rule(rule) if rule else None,
            "is_tried": bool(rule),
            "preview_is_new": form.preview_is_new,
        }
        return super().render_change_form(request, context | shown, *args, **kwargs)

    @admin.display(description="rule", ordering="id")
    def rule(self, rule: AccountRule) -> str:
        return str(rule)

    @admin.display(description="when")
    def when(self, rule: AccountRule) -> str:
        return conditions_of(rule)

    @admin.display(description="debits", ordering="debit_account")
    def debits(self, rule: AccountRule) -> str:
        return rule.debit_account or "–"

    @admin.display(description="recovers", ordering="recovery_account")
    def recovers(self, rule: AccountRule) -> str:
        return rule.recovery_account or "–"

    @admin.display(description="state")
    def state(self, rule: AccountRule) -> SafeString:
        if not rule.is_active:
            return badge("off")
        return badge("over named codes", "warn") if rule.overrides_named else badge("active", "good")

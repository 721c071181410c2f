"""Who pays where tags are silent: rules, the owners of cloud accounts, and re-applying them to a month."""

from collections.abc import Sequence
from contextlib import suppress
from glob import escape
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from .. import doors
from ..background import jobs
from ..errors import BillingError
from ..models import AttributionRule, BillingPeriod, Charge, CloudAccount, Job, MonthTotal, Source
from ..models.attribution import PATTERNS
from ..review import deciding, learning, reattribution
from ..review.reapplied import Reapplied
from ..setup import registers
from ..texts import long_span, number_in
from ..usage import trying
from .audited import BillingAdmin, actor_of
from .formatting import badge
from .links import change_url, list_url
from .lists import RegisterAdmin
from .rates.trying import tried_or_job
from .seen import SeenForm, digest_of

REAPPLY = "billing.review_charges"
# Charges that an address can name.
MOST = 5_000
WORDS = {
    "billing_account": "billing account",
    "sub_account": "sub account",
    "cloud_project": "cloud project",
    "resource": "resource",
    "service": "service",
    "charge_category": "category",
    "charge_description": "description",
    "commitment_status": "commitment",
}


def when_text(rule: AttributionRule) -> str:
    """Return what has to hold for a rule to speak."""
    parts = [rule.source.label] if rule.source else []
    parts += [f"{WORDS[name]} {getattr(rule, name)}" for name in PATTERNS if name in WORDS and getattr(rule, name)]
    if rule.tag_key:
        parts.append(f"tag {rule.tag_key}" + (f" = {rule.tag_value}" if rule.tag_value else ""))
    return ", ".join(parts)


def then_text(rule: AttributionRule) -> str:
    """Return what a rule sets."""
    parts = [
        rule.pi.email if rule.pi else "",
        rule.project.code if rule.project else "",
        rule.fund_org,
        f"cost center {rule.cost_center}" if rule.cost_center else "",
        f"account {rule.natural_account}" if rule.natural_account else "",
        f"shared as {rule.shared_as}" if rule.shared_as else "",
    ]
    return ", ".join(part for part in parts if part)


def rule_url(*, gesture: str = "", charges: Sequence[int] = ()) -> str:
    """Return the address of the form for a rule, filled in with what corrected charges have in common."""
    made_of = {"gesture": gesture} if gesture else {"charges": deciding.ranges_of(sorted(charges))}
    return f"{reverse('admin:billing_attributionrule_add')}?{urlencode(made_of)}"


def rule_url_of(charge: Charge) -> str:
    """Return the address of the form for a rule made of all that was corrected together with a charge."""
    gesture = learning.corrected_with(charge)
    own = rule_url(charges=[charge.pk])
    return f"{own}&{urlencode({'gesture': gesture})}" if gesture else own


def sharing_url(charge: Charge) -> str:
    """Return the address of the form for a rule that shares such costs, filled in with what tells them from usage."""
    status = charge.commitment_discount_status
    values = {
        "source": charge.source_id,
        "service": escape(charge.service_name),
        "charge_category": "" if charge.charge_category == Charge.Category.USAGE else escape(charge.charge_category),
        "commitment_status": escape(status) if status.casefold() == "unused" else "",
        "shared_as": (charge.service_name or charge.charge_category)[:128],
        "note": f"Made of charge {charge.pk}.",
    }
    query = urlencode({name: value for name, value in values.items() if value})
    return f"{reverse('admin:billing_attributionrule_add')}?{query}"


LINES = "billing.view_payerline"


class RuleForm(SeenForm):
    """A rule, saved once it was shown what it would have decided."""

    decides = (*learning.SAID, *learning.SETS)
    asks = "Look at what this rule would have decided, then save it."


class SharingFilter(admin.SimpleListFilter):
    title = "who pays"
    parameter_name = "shares"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [("yes", "Shared over the source's payers"), ("no", "A payer of its own")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[AttributionRule]") -> "QuerySet[AttributionRule]":
        if self.value() in ("yes", "no"):
            return queryset.exclude(shared_as="") if self.value() == "yes" else queryset.filter(shared_as="")
        return queryset


@admin.register(AttributionRule)
class AttributionRuleAdmin(RegisterAdmin):
    register = registers.RULES
    load_title = "Load attribution rules"
    load_hint = "A line without a number adds a rule. They hold for imports from now on."
    when_empty = (
        "Tags decide who pays, then rules, then cloud accounts and the defaults of sources. There are no "
        "rules yet: add one here, or make one of a correction in the review."
    )
    list_display = ("rule", "priority", "when", "then", "dates", "state")
    list_filter = ("is_active", "source", SharingFilter, "overrides_tags")
    list_select_related = ("source", "pi", "project")
    search_fields = (
        *("pi__email", "pi__name", "project__code", "fund_org", "sub_account", "cloud_project", "resource"),
        *("service", "charge_description", "shared_as", "tag_key", "note"),
    )
    search_help_text = "PI, project, fund/org, account, resource, service, description, shared cost, tag or note"
    autocomplete_fields = ("pi", "project")
    form = RuleForm
    change_form_template = "admin/billing/attributionrule/change_form.html"
    fund_fields = ("fund_org",)
    fieldsets = (
        (
            "When all of this holds",
            {
                "fields": ("source", "billing_account", "sub_account", "cloud_project", "resource", "service")
                + ("charge_category", "charge_description", "commitment_status")
                + (("tag_key", "tag_value"), ("valid_from", "valid_until")),
                "description": "In a pattern * stands for anything and ? for one character; upper and lower case are "
                "alike. What is empty is no condition.",
            },
        ),
        (
            "Then this pays",
            {
                "fields": ("pi", "project", "fund_org", "shared_as", "cost_center", "natural_account")
                + ("overrides_tags",),
                "description": "Holds for every import from now on. For charges that are there already, use "
                "“Re-apply rules…” on the page of their billing period.",
            },
        ),
        (None, {"fields": ("priority", "is_active", "note", "seen")}),
    )

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Offer the rule that corrected charges make, where the address names these; else an empty form."""
        if made_of := _corrected(request):
            try:
                rule, request.corrected_charges = _learned(made_of)  # type: ignore[attr-defined]
            except BillingError as error:
                messages.error(request, doors.for_page(error, request.user))
                return HttpResponseRedirect(reverse("admin:billing_charge_changelist"))
            if request.method == "GET":
                request.learned_rule = rule  # type: ignore[attr-defined]
        return super().add_view(request, form_url, extra_context)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        rule = getattr(request, "learned_rule", None)
        if rule is None:
            return super().get_changeform_initial_data(request)
        return {**forms.model_to_dict(rule), "seen": digest_of(rule, RuleForm.decides)}

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        form = context["adminform"].form
        rule = getattr(request, "learned_rule", None)
        if form.is_bound and not form.errors.get_json_data().keys() - {"__all__"}:
            rule = form.instance
        corrected = getattr(request, "corrected_charges", None)
        newest = corrected.order_by("-charged_in__month").first() if corrected is not None else None
        foreseen = learning.foresee(rule, month=newest.charged_in if newest else None) if rule else None
        extra = {
            "foreseen": foreseen,
            **(_tried(request, rule, foreseen or []) if rule and request.user.has_perm(LINES) else {}),
            "made_of": corrected.count() if corrected is not None else 0,
            "preview_is_new": getattr(form, "preview_is_new", False),
        }
        return super().render_change_form(request, {**context, **extra}, *args, **kwargs)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.try_view)
        return [path("try/<slug:key>/", view, name="billing_attributionrule_try"), *super().get_urls()]

    def try_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show what a rule that is filled in and not saved would charge; the worker tries it where months are large."""
        if not self.has_view_permission(request) or not request.user.has_perm(LINES):
            raise PermissionDenied
        context: dict[str, Any] = {**self.admin_site.each_context(request), "opts": self.opts}
        context |= {"original": "An attribution rule", "back": list_url(self.model), "by": "this attribution rule"}
        try:
            context |= tried_or_job(request, trying.trial_kept(key), is_wanted=True)
        except BillingError as error:
            context["refused"] = doors.for_page(error, request.user)
        return TemplateResponse(
            request, "admin/billing/rateschedule/try.html", {**context, "title": "Try an attribution rule"}
        )

    @admin.display(description="rule", ordering="id")
    def rule(self, rule: AttributionRule) -> str:
        return str(rule)

    @admin.display(description="when")
    def when(self, rule: AttributionRule) -> str:
        return when_text(rule)

    @admin.display(description="pays")
    def then(self, rule: AttributionRule) -> str:
        return then_text(rule)

    @admin.display(description="days of service")
    def dates(self, rule: AttributionRule) -> str:
        return long_span(rule.valid_from, rule.valid_until) or "any"

    @admin.display(description="state")
    def state(self, rule: AttributionRule) -> SafeString:
        if not rule.is_active:
            return badge("off")
        return badge("over tags", "warn") if rule.overrides_tags else badge("active", "good")


def _tried(request: HttpRequest, rule: AttributionRule, foreseen: "Sequence[learning.Foreseen]") -> dict[str, Any]:
    """Return what the months that a rule would decide something of would be charged by it, and the journal have.

    Where they are too large to try while somebody waits, it is the address of the page that has the worker try it.
    """
    months = [each.period.month for each in foreseen if each.changed or each.is_too_large]
    if not months:
        return {}
    try:
        asked = trying.of_rule(rule=rule, months=months)
        if trying.is_large(asked) and trying.kept(asked) is None:
            return {"try_url": reverse("admin:billing_attributionrule_try", args=[trying.keep_arguments(asked)])}
        return tried_or_job(request, asked, is_wanted=True)
    except BillingError:
        # What is wrong with the months is told where they are charged.
        return {}


def _corrected(request: HttpRequest) -> "list[QuerySet[Charge]]":
    """Return the corrected charges that the address of the form for a rule names: of an act, then one by one."""
    found = []
    if gesture := request.GET.get("gesture"):
        found.append(learning.corrected_by(gesture))
    if named := request.GET.get("charges"):
        found.append(learning.still_corrected(Charge.objects.filter(deciding.within(named))))
    return found


def _learned(made_of: "list[QuerySet[Charge]]") -> "tuple[AttributionRule, QuerySet[Charge]]":
    """Return the rule that an act makes, or where its charges have nothing in common, that the charges named make."""
    *wider, last = made_of
    for charges in wider:
        with suppress(BillingError):
            return learning.rule_from(charges), charges
    return learning.rule_from(last), last


@admin.register(CloudAccount)
class CloudAccountAdmin(RegisterAdmin):
    register = registers.ACCOUNTS
    load_title = "Load cloud accounts"
    load_hint = "PIs, projects and sources have to be there."
    when_empty = "No cloud account has an owner yet. Charges of an account whose tags name nobody go to its owner."
    list_display = ("account_id", "name", "source", "default_pi", "default_project", "default_fund_org", "state")
    list_filter = ("source", "is_active")
    list_select_related = ("source", "default_pi", "default_project")
    search_fields = ("account_id", "name", "default_pi__email", "default_pi__name", "default_project__code")
    autocomplete_fields = ("default_pi", "default_project")
    fund_fields = ("default_fund_org",)
    fieldsets = (
        (None, {"fields": ("source", "account_id", "name", "is_active", "note")}),
        (
            "Who pays what neither tags nor rules say",
            {"fields": ("default_pi", "default_project", "default_fund_org")},
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[CloudAccount]:
        return super().get_queryset(request).order_by("source__name", "account_id")

    @admin.display(description="state")
    def state(self, account: CloudAccount) -> SafeString:
        return badge("active", "good") if account.is_active else badge("off")


class ReapplyForm(forms.Form):
    source = forms.ModelChoiceField(
        Source.objects.none(), required=False, empty_label="Every source", widget=forms.HiddenInput
    )
    expected = forms.CharField(widget=forms.HiddenInput, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["source"].queryset = Source.objects.order_by("name")  # type: ignore[attr-defined]


def is_large(period: BillingPeriod, source: Source | None) -> bool:
    """Whether looking at the charges of a month takes longer than a page may."""
    charges = Charge.objects.in_month(period).order_by()
    of_source = charges.filter(source=source) if source else charges
    return of_source[: jobs.LARGE + 1].count() > jobs.LARGE


def _money_of(request: HttpRequest, period: BillingPeriod, shown: Reapplied | None) -> dict[str, Any]:
    """Return what each PI would be charged, and the journal would have, after re-applying as a preview shows it."""
    if shown is None or shown.is_idle or not request.user.has_perm(LINES):
        return {}
    source = Source.objects.filter(name=shown.source).first() if shown.source else None
    try:
        return tried_or_job(request, trying.of_reapplied(period=period, source=source), is_wanted=True)
    except BillingError:
        # What is wrong with the month is told where it is charged.
        return {}


def reapply_view(screen: BillingAdmin, request: HttpRequest, period: BillingPeriod) -> HttpResponse:
    """Show what re-applying tags, rules and defaults to a month would do; do that once it is confirmed."""
    if not request.user.has_perm(REAPPLY):
        raise PermissionDenied
    back = change_url(period)
    acting: dict[str, Any] = {"period": period, "actor": actor_of(request), "now": timezone.now()}
    charged = MonthTotal.objects.of_month(period).summed("source").values("source")
    sources: Sequence[Source] = list(Source.objects.filter(pk__in=charged))
    form = ReapplyForm(request.POST) if request.method == "POST" else None
    name = request.GET.get("source", "")
    try:
        if form and form.is_valid():
            chosen, expected = form.cleaned_data["source"], form.cleaned_data["expected"]
            name = chosen.name if chosen else ""
            if is_large(period, chosen) or not expected:
                job = reattribution.reapply_later(source=chosen, dry_run=not expected, expected=expected, **acting)
                return HttpResponseRedirect(change_url(job))
            try:
                done = reattribution.reapply(source=chosen, expected=expected, **acting)
            except reattribution.PreviewOutdated as error:
                messages.warning(request, doors.for_page(error, request.user))
            else:
                messages.success(request, done.summary)
                return HttpResponseRedirect(back)
        source = next((each for each in sources if each.name == name), None)
        job_asked = number_in(request.GET.get("job", ""))
        asked = Job.objects.filter(pk=job_asked).first() if job_asked is not None else None
        shown = reattribution.shown_by(asked, period) if asked else None
        if shown:
            source = next((each for each in sources if each.name == shown.source), None)
        elif not is_large(period, source):
            shown = reattribution.reapply(source=source, dry_run=True, **acting)
    except BillingError as error:
        messages.error(request, doors.for_page(error, request.user))
        return HttpResponseRedirect(back)
    context = {
        **screen.admin_site.each_context(request),
        "title": "Re-apply rules",
        "opts": screen.opts,
        "original": period,
        "back": back,
        "shown": shown,
        "source": source,
        "sources": sources if len(sources) > 1 else (),
        **_money_of(request, period, shown),
        # Without a preview the worker is asked for one.
        "form": ReapplyForm(initial={"source": source, "expected": shown.digest if shown else ""}),
        "media": screen.media,
    }
    return TemplateResponse(request, "admin/billing/billingperiod/reapply.html", context)

"""All charges as delivered, and the page of each: what it was for, who pays, and who decided that."""

import re
from decimal import Decimal
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString

from ...audit.snapshots import differences
from ...importing import origins
from ...models import AttributionRule, Charge, Flag, ReviewDecision
from ..attribution import rule_url_of, sharing_url
from ..filters import period_filter
from ..formatting import amount_column, badge
from ..large_tables import LargeTableMixin
from ..links import change_url
from ..tracing import why_url, why_view
from .filters import AmountFilter, PresenceFilter, ReasonFilter, ResourceFilter, StandingFilter
from .listing import ReviewMixin, action_of, make_rule
from .resource import resource_url, resource_view
from .steps import STEPS, payers_text, verb_of

State = Charge.State
RULE_NUMBER = re.compile(r"rule (\d+) ")
TONES = {
    State.CLEAR: "good",
    State.HELD: "warn",
    State.APPROVED: "good",
    State.REJECTED: "bad",
    State.CHARGED_TO_CENTER: "info",
}

FACTS = (
    ("What it was for", ("service_name", "service_category", "charge_category", "charge_class", "charge_frequency")),
    ("Resource", ("resource_name", "resource_id", "resource_type", "region_id", "sku_id", "sku_price_id")),
    (
        "Price and quantity",
        (
            "pricing_category",
            "pricing_quantity",
            "pricing_unit",
            "pricing_currency",
            "list_unit_price",
            "contracted_unit_price",
            "consumed_quantity",
            "consumed_unit",
            "commitment_discount_id",
            "commitment_discount_status",
        ),
    ),
    (
        "Provider",
        (
            "provider_name",
            "publisher_name",
            "invoice_id",
            "billing_account_id",
            "billing_account_name",
            "sub_account_id",
            "sub_account_name",
        ),
    ),
)


@admin.register(Charge)
class ChargeAdmin(LargeTableMixin, ReviewMixin):
    when_empty = "There are no charges yet. Import files, and each of their rows is one."
    list_display = (
        "charge_link",
        "state_badge",
        amount_column("billed_cost", "billed"),
        "owner",
        "payers",
        "source",
        "used",
        "month",
    )
    linked_by = ("charged_in", "period", "project")
    list_filter = (
        period_filter("charged_in"),
        "state",
        "source",
        ReasonFilter,
        AmountFilter,
        PresenceFilter,
        StandingFilter,
        ResourceFilter,
    )
    fields: ClassVar[Any] = ()
    change_form_template = "admin/billing/charge/change_form.html"
    verbs = tuple(verb_of(step) for step in STEPS.values())
    actions: Any = (*(action_of(STEPS[name]) for name in ("correct", "reject", "charge_to_center", "undo")), make_rule)

    def get_urls(self) -> list[URLPattern]:
        resource = self.admin_site.admin_view(resource_view)
        return [
            path("why/", self.admin_site.admin_view(why_view), name="billing_charge_why"),
            path("resource/<slug:source>/<int:number>/", resource, name="billing_charge_resource"),
            *super().get_urls(),
        ]

    @admin.display(description="state")
    def state_badge(self, charge: Charge) -> SafeString:
        if charge.withdrawn_in_id:
            return badge("Withdrawn")
        return badge(charge.get_state_display(), TONES[State(charge.state)])

    def buttons(self, request: HttpRequest, subject: Any) -> list[dict[str, Any]]:
        is_decided = ReviewDecision.objects.filter(charge=subject.pk).exists()
        return [each for each in super().buttons(request, subject) if is_decided or not each["url"].endswith("/undo/")]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        charge = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if charge:
            context = {
                "tone": "" if charge.withdrawn_in_id else TONES[State(charge.state)],
                "payers": payers_text(charge),
                "deciders": deciders_of(charge),
                "rule_url": rule_url_of(charge) if may_make_rule(request, charge) else "",
                "sharing_url": sharing_url(charge) if may_make_sharing_rule(request, charge) else "",
                "flags": Flag.objects.filter(charge=charge.pk).order_by("is_resolved", "pk"),
                "decisions": decisions_of(charge),
                "amounts": [
                    (charge._meta.get_field(name).verbose_name, getattr(charge, name))
                    for name in ("billed_cost", "effective_cost", "list_cost", "contracted_cost")
                ],
                "facts": [
                    (title, [(_label(name), getattr(charge, name)) for name in names if getattr(charge, name)])
                    for title, names in FACTS
                ],
                "counted": counted_of(charge),
                "imported": charge.imported_in,
                "why_url": why_url(charge.pk),
                "resource_url": resource_url(charge) if charge.resource_label else "",
                "delivered": origins.row_of(charge),
                "replaced": _linked(charge.replaces),
                "replaced_by": [_linked(each) for each in charge.replaced_by.order_by("pk")],
            }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))


def counted_of(charge: Charge) -> list[tuple[str, Decimal | None]]:
    """Return what a charge counts for, by the names statements use: exact, and none where it lacks EffectiveCost."""
    prices = Charge.objects.filter(pk=charge.pk).with_prices()
    listed, contracted, charged = prices.values_list(F("exact_list"), F("exact_contracted"), F("exact_charged")).get()
    return [
        ("list price", listed),
        ("provider discount", None if listed is None or contracted is None else listed - contracted),
        ("subsidy", None if contracted is None or charged is None else contracted - charged),
        ("charged", charged),
    ]


def deciders_of(charge: Charge) -> list[tuple[str, str]]:
    """Return the rules and the account that said who pays, each with its page; a deleted rule has none."""
    if charge.attributed_by in Charge.SETTLED or not charge.deciders:
        return []
    numbers = {int(number) for number in RULE_NUMBER.findall(charge.deciders)}
    rules = AttributionRule.objects.in_bulk(numbers)
    found = []
    for text in charge.deciders.split("; "):
        named = RULE_NUMBER.match(text)
        rule = rules.get(int(named[1])) if named else None
        found.append((text, change_url(rule) if rule else ""))
    return found


def may_make_rule(request: HttpRequest, charge: Charge) -> bool:
    """Tell whether a charge's correction is offered as a rule: somebody said who pays, and may make rules."""
    return charge.attributed_by == Charge.AttributedBy.DECISION and request.user.has_perm("billing.add_attributionrule")


def may_make_sharing_rule(request: HttpRequest, charge: Charge) -> bool:
    """Tell whether a rule that shares such costs is offered: the charge is unassigned, and the user may make rules."""
    is_nobodys = not (charge.pi_id or charge.shared_as or charge.withdrawn_in_id)
    return is_nobodys and charge.charged_in.takes_changes and request.user.has_perm("billing.add_attributionrule")


def decisions_of(charge: Charge) -> list[dict[str, Any]]:
    """Return what was decided about a charge, the latest first, with what each decision changed."""
    decisions = []
    for decision in ReviewDecision.objects.filter(charge=charge.pk).order_by("-pk"):
        before, after = differences(decision.before, decision.after)
        shown = [name for name in after if not name.endswith("_id") and name != "undone"]
        decisions.append(
            {
                "decision": decision,
                "changes": [(_label(name), before.get(name) or "–", after[name] or "–") for name in shown],
            }
        )
    return decisions


def _label(name: str) -> str:
    """Return a column's name as people write it: `sku_price_id` as “SKU price ID”."""
    words = [{"id": "ID", "sku": "SKU", "pi": "PI"}.get(word, word) for word in name.split("_")]
    label = " ".join(words).replace("fund org", "fund/org")
    return label[0].upper() + label[1:]


def _linked(charge: Charge | None) -> dict[str, Any] | None:
    return {"charge": charge, "url": change_url(charge)} if charge else None

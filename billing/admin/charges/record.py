"""The page of a charge: what it comes to, who pays and why, where its money went, and the row it was made of."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.db.models import F
from django.http import HttpRequest
from django.urls import reverse

from ... import attribution, charging, money, tracing
from ...audit.snapshots import differences
from ...importing import origins
from ...models import AttributionRule, Charge, Correction, CorrectionLine, Flag, PayerLine, Policy, ReviewDecision
from ...readers.tags import tags_of
from ..attribution import rule_url_of, sharing_url
from ..links import change_url
from ..question_links import answered_by, questions_of
from ..tracing import why_url
from .resource import resource_url
from .steps import payers_text

State = Charge.State
RULE_NUMBER = re.compile(r"rule (\d+) ")
TONES = {
    State.CLEAR: "good",
    State.HELD: "warn",
    State.APPROVED: "good",
    State.REJECTED: "bad",
    State.CHARGED_TO_CENTER: "info",
}

# What a reason means, in words.
REASONS = {
    Flag.Code.MISSING_PI: "No tag, rule or account names a PI. Correct the charge, or make a rule for all like it.",
    Flag.Code.MISSING_FUND_ORG: "The PI is known, but no fund/org or split pays. Correct it, or give the project one.",
    Flag.Code.INVALID_TAGS: "The tags of the row are not written as the provider's format says. Say who pays.",
    Flag.Code.MISSING_PROJECT: "No project is named. Approve it if the PI alone is enough.",
    Flag.Code.INVALID_FUND_ORG: "The fund/org is not written as the policy asks. Check it for a typo.",
    Flag.Code.UNKNOWN_FUND_ORG: "The fund/org is not on the loaded list. Check it for a typo, or load the list again.",
    Flag.Code.FUND_NOT_VALID: "The fund/org is not valid on the days of service. Choose another one.",
    Flag.Code.FUND_CLOSED: "The ledger takes nothing more for this fund/org. Choose another one.",
    Flag.Code.UNKNOWN_PI: "This PI came with the file and nobody has confirmed them. Confirm them on their page.",
    Flag.Code.PI_INACTIVE: "The PI left before the service. Charge the successor, or somebody else.",
    Flag.Code.PROJECT_ENDED: "The project ended before the service. Choose another one, or approve it as it is.",
    Flag.Code.CUSTOMER_INACTIVE: "The customer who pays is not active on these days. Approve it, or correct who pays.",
    Flag.Code.PATTERN_MATCH: "The policy holds what looks like this.",
    Flag.Code.PERIOD_MISMATCH: "The days of service lie in another month than the file is for.",
    Flag.Code.PERIOD_REVERSED: "The service ends before it begins.",
    Flag.Code.UNKNOWN_CATEGORY: "FOCUS knows no such category of charge.",
    Flag.Code.AMOUNT_CHANGED: "It was approved at another amount, and a newer file changed it.",
    Flag.Code.DISPUTED: "The PI asks about it. Answer the question; its charges are charged then as you say.",
    Flag.Code.POSSIBLE_DUPLICATE: "There is a charge like it already. Reject it if it was billed twice.",
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
            "subsidy_fund_org",
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


def context_of(request: HttpRequest, charge: Charge, preserved: str) -> dict[str, Any]:
    """Return what the page shows: the head of it, and the part that the address asks for."""
    asked = request.GET.get("tab", "")
    chosen = asked if asked in TABS else "overview"
    counted = counted_of(charge)
    shown = {
        "tone": "" if charge.withdrawn_in_id else TONES[State(charge.state)],
        "tab": chosen,
        "tabs": [
            {"label": label, "url": _tab_url(name, preserved), "is_current": name == chosen}
            for name, (label, _) in TABS.items()
        ],
        "is_charged": is_charged(charge),
        "comes_to": counted[-1][1],
        "counted": counted,
        "payers": payers_text(charge),
        "why_url": why_url(charge.pk),
        "beside": [
            (way, f"{reverse('admin:billing_charge_beside', args=[charge.pk, way])}?{preserved}")
            for way in ("previous", "next")
        ]
        if preserved
        else [],
    }
    return shown | TABS[chosen][1](request, charge)


def told_of(charge: Charge) -> str:
    """Say in a line which charge it is: what was used, what is billed for it, and why it is held."""
    held = charge.flags.filter(is_resolved=False).order_by("pk")
    reasons = [flag.get_code_display() for flag in held] if charge.state == Charge.State.HELD else []
    parts = [
        f"Charge {charge.pk}",
        charge.service_name,
        charge.resource_label,
        str(charge.charged_in),
        f"{money.written(charge.billed_cost, charge.currency)} {charge.currency}",
        ", ".join(dict.fromkeys(reasons)),
    ]
    return " · ".join(filter(None, parts))


def is_charged(charge: Charge) -> bool:
    """Tell whether somebody pays for a charge: a PI, or the center."""
    return not charge.withdrawn_in_id and charge.state in Charge.CHARGEABLE


def _tab_url(name: str, preserved: str) -> str:
    return "?" + "&".join(filter(None, ("" if name == "overview" else f"tab={name}", preserved)))


def _overview(request: HttpRequest, charge: Charge) -> dict[str, Any]:
    flags = list(Flag.objects.filter(charge=charge.pk).order_by("is_resolved", "pk"))
    of_project = charge.project.customer if charge.project else None
    return {
        "customer": of_project or (charge.pi.customer if charge.pi else None),
        "deciders": deciders_of(charge),
        "rule_url": rule_url_of(charge) if may_make_rule(request, charge) else "",
        "sharing_url": sharing_url(charge) if may_make_sharing_rule(request, charge) else "",
        "flags": [(flag, REASONS.get(Flag.Code(flag.code), "")) for flag in flags],
        "decisions": decisions_of(charge),
        "questions": questions_of(charge),
        "amounts": [
            (_label(name), getattr(charge, name))
            for name in ("billed_cost", "effective_cost", "list_cost", "contracted_cost")
        ],
        "imported": charge.imported_in,
        "tags": tags_shown(charge),
        "resource_url": resource_url(charge) if charge.resource_label else "",
        "replaced": _linked(charge.replaces),
        "replaced_by": [_linked(each) for each in charge.replaced_by.order_by("pk")],
    }


def _delivered(request: HttpRequest, charge: Charge) -> dict[str, Any]:
    return {
        "facts": [
            (title, [(_label(name), getattr(charge, name)) for name in names if getattr(charge, name)])
            for title, names in FACTS
        ],
        "imported": charge.imported_in,
        "delivered": origins.row_of(charge),
    }


def _money(request: HttpRequest, charge: Charge) -> dict[str, Any]:
    """Return the payer lines that a charge is part of, where they are printed, and what corrected them since."""
    keys = charging.keys_of(charge) if is_charged(charge) else []
    period = charge.charged_in
    lines = {
        line.key: line
        for line in PayerLine.objects.filter(period=period, key__in=keys).select_related("pi", "customer")
    }
    printed = tracing.holding(period, keys) if keys else []
    corrected = (
        CorrectionLine.objects.select_related("correction__charged_in")
        .filter(corrects_period=period, corrects_key__in=keys)
        .exclude(correction__state=Correction.State.REJECTED)
        .order_by("correction", "number")
    )
    return {
        "lines": [(lines[key], why_url(f"{period.iso_month}@{key}")) for key in keys if key in lines],
        "printed": [(each, change_url(each.subject), why_url(each.name)) for each in printed],
        "corrected": [(each, change_url(each.correction)) for each in corrected] if keys else [],
    }


Part = Callable[[HttpRequest, Charge], dict[str, Any]]
TABS: dict[str, tuple[str, Part]] = {
    "overview": ("Overview", _overview),
    "money": ("Where it went", _money),
    "delivered": ("As delivered", _delivered),
}


def tags_shown(charge: Charge) -> list[tuple[str, str, str]]:
    """Return the tags of a charge as key, value and what each of them said; none where they cannot be read."""
    used: dict[tuple[str, str], list[str]] = {}
    for name, pair in attribution.tags_used(charge.tags, Policy.objects.current()).items():
        used.setdefault(pair, []).append(_label(name))
    return [
        (key, value, ", ".join(used.get((key, value.strip()), ()))) for key, value in tags_of(charge.tags).pairs.items()
    ]


def counted_of(charge: Charge) -> list[tuple[str, Decimal | None]]:
    """Return what a charge counts for, by the names statements use: exact, and none where it lacks EffectiveCost."""
    prices = Charge.objects.filter(pk=charge.pk).with_prices([charge.source])
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
    found = list(ReviewDecision.objects.filter(charge=charge.pk).order_by("-pk"))
    answered = answered_by({decision.gesture for decision in found}) if found else {}
    for decision in found:
        before, after = differences(decision.before, decision.after)
        shown = [name for name in after if not name.endswith("_id") and name not in ("undone", "provider_credits")]
        decisions.append(
            {
                "decision": decision,
                "question": answered.get(decision.gesture),
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

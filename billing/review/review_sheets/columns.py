"""The columns of a review sheet, and a charge as its row shows it."""

import hashlib
from collections.abc import Iterable

from django.db.models import Prefetch, QuerySet

from ...models import PATHS, BillingPeriod, Charge, Flag, Person, Project, ReviewDecision, Source
from ...readers.cells import Kind
from ..locked_charges import DECIDED_FIELDS, NEEDED_FIELDS
from ..shares import shares_text

SHEET = "Charges"
# Heading and width. What a department may fill in comes after `reasons`; who pays it may correct in place.
COLUMNS = {
    "id": 10,
    "period": 9,
    "source": 12,
    "pi": 28,
    "project": 20,
    "fund_org": 20,
    "split": 24,
    "service": 24,
    "resource": 36,
    "billed": 14,
    "currency": 9,
    "reasons": 44,
    "decision": 18,
    "reason": 16,
    "provider_credits": 16,
    "note": 40,
    "create": 8,
    "fingerprint": 20,
}
EDITABLE = ("pi", "project", "fund_org", "split", "decision", "reason", "provider_credits", "note", "create")
# What people write, and the action it stands for.
DECISIONS = {
    "approve": ReviewDecision.Action.APPROVE.value,
    "reject": ReviewDecision.Action.REJECT.value,
    "charge to center": ReviewDecision.Action.CHARGE_TO_CENTER.value,
}
# What the columns hold that are reversed.
KINDS = {
    **dict.fromkeys(("id", "pi", "project", "fund_org", "split", "decision", "reason", "fingerprint"), Kind.CODE),
    "note": Kind.TEXT,
    "create": Kind.YES,
    "provider_credits": Kind.YES,
}
# What fits an .xlsx by its own rules.
MAX_ROWS = 1_048_575


def with_names(charges: "QuerySet[Charge]") -> "QuerySet[Charge]":
    """Add what a row shows, with only the columns it needs: a charge has sixty."""
    return (
        charges.select_related("source", "pi", "project", "charged_in", "product", "resource")
        .prefetch_related("payer_split__shares", open_flags())
        .only(
            *NEEDED_FIELDS,
            "source__name",
            "pi__email",
            "pi__name",
            "project__code",
            "charged_in__month",
            "billed_cost",
            "currency",
            *(PATHS[name] for name in ("service_name", "resource_id", "resource_name")),
        )
        .order_by("pk")
    )


def open_flags() -> "Prefetch[str]":
    """Read the reasons that still stand into `open_flags`."""
    return Prefetch("flags", queryset=Flag.objects.filter(is_resolved=False).order_by("pk"), to_attr="open_flags")


def values_of(charge: Charge) -> dict[str, str]:
    """Return a charge as its row shows it."""
    source: Source = charge.source
    period: BillingPeriod = charge.charged_in
    pi: Person | None = charge.pi
    project: Project | None = charge.project
    split = charge.payer_split
    flags: Iterable[Flag] = charge.open_flags  # type: ignore[attr-defined]
    return {
        "id": str(charge.pk),
        "period": period.iso_month,
        "source": source.name,
        "pi": pi.email if pi else "",
        "project": project.code if project else "",
        "fund_org": charge.fund_org,
        "split": shares_text({share.fund_org: share.percent for share in split.shares.all()}) if split else "",
        "service": charge.service_name,
        "resource": charge.resource_label,
        "billed": "",
        "currency": charge.currency,
        "reasons": "; ".join(f"{flag.code}: {flag.detail}" if flag.detail else flag.code for flag in flags),
        "decision": "",
        "reason": "",
        "provider_credits": "",
        "note": "",
        "create": "",
        "fingerprint": fingerprint(charge),
    }


def fingerprint(charge: Charge) -> str:
    """Return a short hash of a charge's state and of who pays it: another one means it was changed."""
    content = [charge.withdrawn_in_id, *(getattr(charge, name) for name in DECIDED_FIELDS)]
    return hashlib.sha256(repr(content).encode()).hexdigest()[:16]

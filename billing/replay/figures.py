"""The figures of a period in one canonical form, by names that are the same wherever it was computed."""

import hashlib
import json
from typing import Any

from django.db.models import F

from ..models import BillingPeriod, Charge, Import, PayerLine
from ..money import plain
from ..review import shares_of, shares_text

AMOUNTS = ("billed_cost", "effective_cost", "list_cost", "contracted_cost")
FIGURES = ("list_cost", "contracted_cost", "charged", "rounding")


def figures_of(period: BillingPeriod, numbers: list[int]) -> dict[str, dict[str, Any]]:
    """Return the figures of a period: of its imports, its charges and its payer lines, by natural name.

    Amounts are exact decimal texts. A charge is named by import, file and line; one that takes another back by
    the import and that other.
    """
    found: dict[str, dict[str, Any]] = {}
    for imported in Import.objects.filter(pk__in=numbers).order_by("pk"):
        found[f"import {imported.pk:09}"] = {
            "state": imported.state,
            "rows": imported.rows,
            "totals": imported.totals,
            "stored": imported.stored,
        }
    charges = Charge.objects.in_month(period).order_by("pk")
    rows = charges.values(
        "id",
        "imported_in_id",
        "file_number",
        "line_number",
        "currency",
        "service_name",
        "fund_org",
        "cost_center",
        "natural_account",
        "attributed_by",
        "state",
        "is_late",
        "shared_as",
        "row_count",
        "payer_split_id",
        *AMOUNTS,
        of_import=F("reverses__imported_in"),
        of_file=F("reverses__file_number"),
        of_line=F("reverses__line_number"),
        delivered_for=F("period__month"),
        pi_email=F("pi__email"),
        project_code=F("project__code"),
    )
    splits = shares_of({pk for pk in charges.values_list("payer_split", flat=True) if pk})
    seen: dict[str, int] = {}
    for row in rows.iterator(chunk_size=5_000):
        name = f"charge of import {row['imported_in_id']:09}, file {row['file_number']}, line {row['line_number']:09}"
        if row["of_import"]:
            name = (
                f"charge of import {row['imported_in_id']:09} that reverses import {row['of_import']}, "
                f"file {row['of_file']}, line {row['of_line']}"
            )
        # One line makes one charge; where sums are kept, several may begin at one line.
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            name += f" ({seen[name]})"
        split = splits.get(row["payer_split_id"]) if row["payer_split_id"] else None
        found[name] = {
            **{amount: _text(row[amount]) for amount in AMOUNTS},
            "currency": row["currency"],
            "for": f"{row['delivered_for']:%Y-%m}",
            "service": row["service_name"],
            "pi": row["pi_email"] or "",
            "project": row["project_code"] or "",
            "fund_org": row["fund_org"],
            "split": shares_text(split) if split else "",
            "natural_account": row["natural_account"],
            "cost_center": row["cost_center"],
            "attributed_by": row["attributed_by"],
            "state": row["state"],
            "late": bool(row["is_late"]),
            "shared_as": row["shared_as"],
            "rows": row["row_count"],
        }
    lines = PayerLine.objects.filter(period=period).select_related("reference__period").order_by("key")
    for line in lines.iterator(chunk_size=5_000):
        found[f"payer line {line.key}"] = {
            **{name: plain(getattr(line, name)) for name in FIGURES},
            "kind": line.kind,
            "currency": line.currency,
            "fund_org": line.fund_org,
            "charges": line.charge_count,
            "reference": line.reference.text,
        }
    return found


def digest_of(figures: dict[str, dict[str, Any]]) -> str:
    """Return the SHA-256 of figures in canonical text: equal bytes are equal figures."""
    digest = hashlib.sha256()
    for name in sorted(figures):
        text = json.dumps([name, figures[name]], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        digest.update(text.encode() + b"\n")
    return digest.hexdigest()


def _text(amount: Any) -> str:
    return "" if amount is None else plain(amount)

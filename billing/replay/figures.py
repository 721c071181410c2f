"""The figures of a period in one canonical form, by names that are the same wherever it was computed."""

import hashlib
import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import F

from ..models import PATHS, BillingPeriod, Charge, Import, PayerLine
from ..money import plain
from ..review import shares_of, shares_text
from ..texts import iso_month

AMOUNTS = ("billed_cost", "effective_cost", "list_cost", "contracted_cost")
FIGURES = ("list_cost", "contracted_cost", "charged", "rounding")
# What a charge says besides its amounts, by column, and how it is called here.
SAID = {
    "currency": "currency",
    "fund_org": "fund_org",
    "natural_account": "natural_account",
    "cost_center": "cost_center",
    "attributed_by": "attributed_by",
    "state": "state",
    "is_late": "late",
    "shared_as": "shared_as",
    "row_count": "rows",
}

# By natural name.
Figures = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Difference:
    """The first figure that is not the same: what it is of, and both values; "" where one side lacks it."""

    of: str
    figure: str
    stored: str
    rebuilt: str

    def __str__(self) -> str:
        return f"{self.of}: {self.figure} is {self.stored or 'not there'}, and rebuilt {self.rebuilt or 'not there'}"


def figures_of(period: BillingPeriod, numbers: list[int]) -> Figures:
    """Return the figures of a period: of its imports, its charges and its payer lines, by natural name.

    Amounts are exact decimal texts. A charge is named by import, file and line; one that reverses another by
    the import and that other.
    """
    return _of_imports(numbers) | _of_charges(period) | _of_payer_lines(period)


def digest_of(figures: Figures) -> str:
    """Return the SHA-256 of figures in canonical text: equal bytes are equal figures."""
    digest = hashlib.sha256()
    for name in sorted(figures):
        text = json.dumps([name, figures[name]], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        digest.update(text.encode() + b"\n")
    return digest.hexdigest()


def _of_imports(numbers: list[int]) -> Figures:
    return {
        f"import {imported.pk:09}": {
            "state": imported.state,
            "rows": imported.rows,
            "totals": imported.totals,
            "stored": imported.stored,
        }
        for imported in Import.objects.filter(pk__in=numbers).order_by("pk")
    }


def _of_charges(period: BillingPeriod) -> Figures:
    charges = Charge.objects.in_month(period).order_by("pk")
    rows = charges.values(
        "id",
        "imported_in_id",
        "file_number",
        "line_number",
        "payer_split_id",
        *SAID,
        *AMOUNTS,
        service=F(PATHS["service_name"]),
        of_import=F("reverses__imported_in"),
        of_file=F("reverses__file_number"),
        of_line=F("reverses__line_number"),
        delivered_for=F("period__month"),
        pi_email=F("pi__email"),
        project_code=F("project__code"),
    )
    splits = shares_of({pk for pk in charges.values_list("payer_split", flat=True) if pk})
    found: Figures = {}
    seen: dict[str, int] = {}
    for row in rows.iterator(chunk_size=5_000):
        name = _name_of(row)
        # One line makes one charge; where sums are kept, several may begin at one line.
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            name += f" ({seen[name]})"
        split = splits.get(row["payer_split_id"]) if row["payer_split_id"] else None
        found[name] = {
            **{amount: _text(row[amount]) for amount in AMOUNTS},
            **{SAID[column]: row[column] for column in SAID},
            "service": row["service"],
            "for": iso_month(row["delivered_for"]),
            "pi": row["pi_email"] or "",
            "project": row["project_code"] or "",
            "split": shares_text(split) if split else "",
            "late": bool(row["is_late"]),
        }
    return found


def _name_of(row: dict[str, Any]) -> str:
    """Return the natural name of a charge."""
    of_import = f"charge of import {row['imported_in_id']:09}"
    if row["of_import"]:
        return f"{of_import} that reverses import {row['of_import']}, file {row['of_file']}, line {row['of_line']}"
    return f"{of_import}, file {row['file_number']}, line {row['line_number']:09}"


def _of_payer_lines(period: BillingPeriod) -> Figures:
    lines = PayerLine.objects.filter(period=period).select_related("reference__period").order_by("key")
    return {
        f"payer line {line.key}": {
            **{name: plain(getattr(line, name)) for name in FIGURES},
            "kind": line.kind,
            "currency": line.currency,
            "fund_org": line.fund_org,
            "charges": line.charge_count,
            "reference": line.reference.text,
        }
        for line in lines.iterator(chunk_size=5_000)
    }


def _text(amount: Decimal | None) -> str:
    return "" if amount is None else plain(amount)

"""The charges of a source and month as a FOCUS file, which is imported like any provider's."""

import csv
import json
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

from billing.fields import UNIT
from billing.models import BillingPeriod, Source
from billing.money import plain
from billing.texts import iso_month

from .reading import LegacyCharge

COLUMNS = (
    *("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd", "BillingCurrency"),
    *("ChargeCategory", "ListCost", "ContractedCost", "BilledCost", "EffectiveCost", "ResourceId", "ResourceName"),
    *("ServiceName", "Tags"),
)

# Below the header. A row is a line: no text has a line break.
FIRST_LINE = 2


def write(
    path: Path, charges: Iterable[LegacyCharge], *, period: BillingPeriod, currency: str, tags: dict[str, str]
) -> int:
    """Write charges that one month bears; return how many.

    A row says who pays by the tag `tags` names for each field, as that version read it. It kept no category: what is
    negative is a credit, all else is usage. Where it kept no dates, a row is of the whole month.
    """
    first, end = (f"{month}-01T00:00:00Z" for month in (period.iso_month, iso_month(period.next_month)))
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for charge in charges:
            count += 1
            writer.writerow(
                (
                    first,
                    end,
                    charge.start or first,
                    charge.end or end,
                    currency,
                    "Credit" if charge.billed_cost < 0 else "Usage",
                    _written(charge.list_cost),
                    _written(charge.contracted_cost),
                    _written(charge.billed_cost),
                    _written(charge.effective_cost),
                    _on_one_line(charge.resource_id),
                    _on_one_line(charge.resource_name),
                    _on_one_line(charge.service_name),
                    _tags(charge, tags),
                )
            )
    return count


def name_of(source: Source, period: BillingPeriod) -> str:
    """Return what the file of a source and month is called, here and in the list of imports."""
    return f"{source.name}_{period.iso_month}_from-fastapi.csv"


def exact(amount: Decimal) -> Decimal:
    """Return an amount as it is stored: a float may print digits that no bill has."""
    return amount.quantize(UNIT)


def _written(amount: Decimal | None) -> str:
    return "" if amount is None else plain(exact(amount))


def _tags(charge: LegacyCharge, keys: dict[str, str]) -> str:
    """Return the tags as they were delivered, with who pays as that version had it."""
    said = {
        "pi_email": charge.pi_email,
        "project_id": charge.project_id,
        "fund_org": charge.fund_org,
        "reference_1": charge.reference_1,
        "reference_2": charge.reference_2,
    }
    tags = charge.tags | {keys[field]: value for field, value in said.items() if value and field in keys}
    return json.dumps(tags, ensure_ascii=False) if tags else ""


def _on_one_line(text: str) -> str:
    return " ".join(text.split())

"""What the stories share: files written row by row, and commands as a person types them."""

import csv
import json
from io import StringIO
from pathlib import Path
from typing import Any

from django.core.management import call_command

COLUMNS = (
    "BillingPeriodStart",
    "BillingPeriodEnd",
    "ChargePeriodStart",
    "ChargePeriodEnd",
    "BillingCurrency",
    "ChargeCategory",
    "ListCost",
    "ContractedCost",
    "BilledCost",
    "EffectiveCost",
    "ResourceId",
    "ResourceName",
    "ServiceName",
    "ChargeDescription",
    "Tags",
)


def tags(pi: str | None = "ada@u.edu", project: str | None = "genomics", fund: str | None = "BIO-001") -> str:
    """Write tags as JSON, without those that are None."""
    named = {"pi_email": pi, "project_id": project, "fund_org": fund}
    return json.dumps({key: value for key, value in named.items() if value is not None})


def row(billed: str, **columns: str) -> dict[str, str]:
    """Return a row of January 2025 that costs `billed` in every column, unless told otherwise."""
    return {
        "BillingPeriodStart": "2025-01-01T00:00:00Z",
        "BillingPeriodEnd": "2025-02-01T00:00:00Z",
        "ChargePeriodStart": "2025-01-10T00:00:00Z",
        "ChargePeriodEnd": "2025-01-11T00:00:00Z",
        "BillingCurrency": "USD",
        "ChargeCategory": "Usage",
        "ListCost": billed,
        "ContractedCost": billed,
        "BilledCost": billed,
        "EffectiveCost": billed,
        "ResourceId": "i-1",
        "ResourceName": "",
        "ServiceName": "EC2",
        "ChargeDescription": "",
        "Tags": tags(),
        **columns,
    }


def write(path: Path, rows: list[dict[str, str]], columns: tuple[str, ...] = COLUMNS) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def command(*arguments: Any) -> dict[str, Any]:
    """Run `manage.py ARGUMENTS --json` and return its object."""
    out = StringIO()
    call_command(*(str(argument) for argument in arguments), "--json", stdout=out)
    answer = json.loads(out.getvalue())
    assert isinstance(answer, dict)
    return answer

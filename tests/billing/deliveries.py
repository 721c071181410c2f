"""Deliveries written for tests: rows as dicts of FOCUS columns, files as people send them."""

import csv
import json
from pathlib import Path
from typing import Any

from billing.importing.ingestion import ingest
from billing.importing.outcomes import IngestResult
from billing.models import Source
from tests import build

NO_TAGS: dict[str, str] = {}


def a_row(billed: str = "100.00", *, tags: dict[str, Any] | str | None = None, **columns: str) -> dict[str, str]:
    """Make a FOCUS row of January 2025 for ada@u.edu's genomics project, paid by BIO-001."""
    if tags is None:
        tags = {"pi_email": "ada@u.edu", "project_id": "genomics", "fund_org": "BIO-001"}
    return {
        "BillingAccountId": "acct-1",
        "BillingCurrency": "USD",
        "BillingPeriodStart": "2025-01-01T00:00:00Z",
        "BillingPeriodEnd": "2025-02-01T00:00:00Z",
        "ChargePeriodStart": "2025-01-05T00:00:00Z",
        "ChargePeriodEnd": "2025-01-06T00:00:00Z",
        "ChargeCategory": "Usage",
        "ServiceName": "Compute",
        "ResourceId": "i-1",
        "ListCost": billed,
        "ContractedCost": billed,
        "BilledCost": billed,
        "EffectiveCost": billed,
        "Tags": tags if isinstance(tags, str) else json.dumps(tags),
    } | columns


def a_file(folder: Path, rows: list[dict[str, str]], name: str = "aws_2025-01.csv") -> Path:
    """Write rows as a CSV file; the columns are those of all rows, in order of appearance."""
    path = folder / name
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def delivered(
    folder: Path,
    rows: list[dict[str, str]],
    name: str = "aws_2025-01.csv",
    source: Source | None = None,
    **options: Any,
) -> IngestResult:
    """Write rows to a file and bring it in."""
    return ingest(
        paths=[a_file(folder, rows, name)],
        source=source or build.a_source("aws"),
        actor=build.SOMEBODY,
        now=build.NOW,
        **options,
    )

"""LiteLLM's export in FOCUS is imported as it is, without a usage feed."""

import csv
import io
import json

import pytest
from django.core import management

from billing.models import Charge, Source
from tests import build

from .reading import SAMPLES, needs_samples

pytestmark = pytest.mark.django_db


def ingested(*arguments):
    out = io.StringIO()
    management.call_command("ingest", *map(str, arguments), "--json", stdout=out)
    return json.loads(out.getvalue())


def a_day(folder, spend, day="2026-09-01", name="usage_20260901T000000Z.csv"):
    """The columns that decide, as LiteLLM's transformer writes them: its billing periods are days."""
    following = f"{day[:8]}{int(day[8:]) + 1:02}"
    row = {
        "BilledCost": f"{spend}00000",
        "BillingAccountId": "a" * 64,
        "BillingAccountName": "lab notebook",
        "BillingCurrency": "USD",
        "BillingPeriodEnd": f"{following}T00:00:00Z",
        "BillingPeriodStart": f"{day}T00:00:00Z",
        "ChargeCategory": "Usage",
        "ChargePeriodEnd": f"{following}T00:00:00Z",
        "ChargePeriodStart": f"{day}T00:00:00Z",
        "EffectiveCost": f"{spend}00000",
        "ListCost": f"{spend}00000",
        "ProviderName": "openai",
        "ResourceId": "gpt-5.4",
        "ServiceName": "gpt-5.4",
        "SubAccountId": "t-1",
        "SubAccountName": "chen-lab",
        "Tags": json.dumps({"team_id": "t-1", "team_alias": "chen-lab", "user_email": "chen@x.edu"}),
    }
    path = folder / name
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row)
    return path


@needs_samples
def test_the_shape_of_its_export_is_imported_and_the_same_as_csv_and_parquet():
    build.a_source("ai")
    folder = SAMPLES / "litellm"
    first = ingested(folder / "litellm_focus_shape.csv", "-s", "ai")
    assert (first["rows"], first["new"], first["periods"]) == (30, 30, ["2026-09"])
    assert first["totals"]["USD"]["BilledCost"] == "17.34897"
    second = ingested(folder / "litellm_focus_shape.parquet", "-s", "ai")
    assert (second["new"], second["changed"], second["unchanged"], second["withdrawn"]) == (0, 0, 30, 0)


def test_a_day_that_is_exported_again_is_corrected_and_not_added(tmp_path):
    build.a_source("ai", import_mode=Source.ImportMode.MERGE)
    ingested(a_day(tmp_path, "1.5"), "-s", "ai")
    ingested(a_day(tmp_path, "2.5", day="2026-09-02", name="usage_20260902T000000Z.csv"), "-s", "ai")
    again = ingested(a_day(tmp_path, "1.7"), "-s", "ai")
    assert (again["new"], again["changed"], again["withdrawn"]) == (0, 1, 0)
    assert sorted(map(str, Charge.objects.live().values_list("billed_cost", flat=True))) == ["1.70000000", "2.50000000"]

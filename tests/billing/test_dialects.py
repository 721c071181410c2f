"""What the providers write otherwise than FOCUS says: how it is taken, and that the import says so."""

import datetime
import json
from decimal import Decimal
from io import StringIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core import management
from django.urls import reverse

from billing.importing.ingestion import ingest
from billing.importing.outcomes import ImportRefused
from billing.models import AttributionRule, Charge, CloudAccount, Import, Source
from billing.readers.projects import project_of
from tests import build
from tests.billing.deliveries import a_row, delivered

pytestmark = [pytest.mark.django_db, pytest.mark.same_on_either]

PACIFIC = {"BillingPeriodStart": "2025-01-01T08:00:00Z", "BillingPeriodEnd": "2025-01-31T08:00:00Z"}
ORACLE = {"ChargePeriodStart": "2025-01-16T00:00Z", "ChargePeriodEnd": "2025-01-16T23:59:59.999Z"}
LENIENT = {
    "BillingPeriodStart": "2025-01-01",
    "BillingPeriodEnd": "2025-01-31",
    "ChargePeriodStart": "2025-01-01",
    "ChargePeriodEnd": "2025-01-31",
}


@pytest.mark.parametrize("grain", Source.Grain.values)
@pytest.mark.parametrize(
    ("columns", "rules"),
    [
        ({}, {}),
        (PACIFIC, {"pacific": 2, "period_last_day": 2}),
        (ORACLE, {"last_second": 2}),
        (LENIENT, {"last_day": 2, "period_last_day": 2}),
        ({"BillingPeriodStart": "2024-12-31T16:00:00Z"}, {"east": 2}),
        ({"BillingPeriodStart": "2025-01-03T00:00:00Z"}, {"not_a_month": 2}),
        ({"BillingPeriodEnd": "2025-01-31T23:59:59Z"}, {"period_last_second": 2}),
        ({"x_Project": '{"id": "lab-7"}'}, {"cloud_project": 2}),
    ],
)
def test_the_rule_by_which_values_are_taken_stands_on_the_import(tmp_path, grain, columns, rules):
    rows = [a_row(ResourceId=name, **columns) for name in ("a", "b")]
    result = delivered(tmp_path, rows, source=build.a_source("aws", grain=grain))
    imported = Import.objects.get()
    assert result.rules == result.as_data()["rules"] == imported.rules == rules
    assert set(Charge.objects.values_list("period__month", flat=True)) == {datetime.date(2025, 1, 1)}


def test_a_rule_counts_the_rows_that_it_was_used_for(tmp_path):
    result = delivered(tmp_path, [a_row(), a_row(ResourceId="b", **ORACLE), a_row(ResourceId="c", **PACIFIC)])
    assert result.rules == {"last_second": 1, "pacific": 1, "period_last_day": 1}
    assert "  Charge periods end with the last second they name. (1 row)" in result.as_text()


def test_the_rules_are_shown_where_the_import_is(tmp_path, client):
    cast = build.the_cast()
    delivered(tmp_path, [a_row(**PACIFIC)])
    imported = Import.objects.get()
    said = "Billing months begin at midnight Pacific time, and days of service are Pacific days. (1 row)"
    client.force_login(cast.viewer)
    page = client.get(reverse("admin:billing_import_change", args=[imported.pk])).content.decode()
    out = StringIO()
    management.call_command("imports", "show", str(imported.pk), stdout=out)
    assert said in page
    assert said in out.getvalue()
    out = StringIO()
    management.call_command("imports", "show", str(imported.pk), "--json", stdout=out)
    assert json.loads(out.getvalue())["rules"] == {"pacific": 1, "period_last_day": 1}


# Google --------------------------------------------------------------------------------------------

GOOGLE = PACIFIC | {
    "BillingAccountId": "01AB-CD",
    "SubAccountId": "01AB-CD",
    "ChargeCategory": "usage",
    "PricingCategory": "standard",
    "ProviderName": "Google Cloud",
    "ServiceName": "Compute Engine",
    "ResourceId": "//compute.googleapis.com/projects/999/zones/a/instances/1",
}
PROJECT = '{"id": "Lab-7", "number": "999", "name": "Lab seven", "ancestry_numbers": "/1/2", "ancestors": []}'


@pytest.mark.parametrize(
    ("text", "project"),
    [
        (PROJECT, ("Lab-7", "Lab seven")),
        ("lab-7", ("lab-7", "")),
        ('{"ID": 42}', ("42", "")),
        ('{"id": null, "name": null}', ("", "")),
        ("{}", ("", "")),
        ("null", ("", "")),
        ("", ("", "")),
        ("{'id': 'lab-7'}", ("", "")),
        ('{"id": {"nested": 1}}', ("", "")),
        ('{"id": "lab-7", "name": "\\ud800"}', ("", "")),
    ],
)
def test_a_project_is_read_as_json_or_as_an_id(text, project):
    assert project_of(text) == project


@pytest.mark.parametrize("heading", ["x_Project", "x_project", "x_ProjectId", "x_Project.id"])
def test_the_project_takes_the_place_of_a_sub_account_that_only_repeats_the_billing_account(tmp_path, heading):
    delivered(tmp_path, [a_row(**GOOGLE, **{heading: "lab-7"})])
    assert Charge.objects.get().sub_account_id == "lab-7"


def test_a_sub_account_that_is_one_stays(tmp_path):
    result = delivered(tmp_path, [a_row(**(GOOGLE | {"SubAccountId": "folder-1"}), x_Project=PROJECT)])
    assert Charge.objects.get().sub_account_id == "folder-1"
    assert "cloud_project" not in result.rules


def test_a_row_without_a_project_keeps_its_sub_account(tmp_path):
    rows = [a_row(**GOOGLE, x_Project=PROJECT), a_row("3", **(GOOGLE | {"ChargeCategory": "tax"}), x_Project="")]
    result = delivered(tmp_path, rows)
    assert list(Charge.objects.order_by("id").values_list("account__sub_account_id", "account__sub_account_name")) == [
        ("Lab-7", "Lab seven"),
        ("01AB-CD", ""),
    ]
    assert result.rules["cloud_project"] == 1


def test_a_rule_on_the_project_of_the_cloud_decides_who_pays(tmp_path):
    source = build.a_source("gcp")
    AttributionRule.objects.create(cloud_project="lab-7", pi=build.a_pi("bob@u.edu"), fund_org="BIO-007", source=source)
    delivered(tmp_path, [a_row(**GOOGLE, x_Project=PROJECT, tags={})], "gcp_2025-01.csv", source)
    charge = Charge.objects.get()
    assert (charge.pi.email, charge.fund_org, charge.attributed_by) == ("bob@u.edu", "BIO-007", "rule")


def test_a_cloud_account_of_the_project_decides_who_pays(tmp_path):
    source = build.a_source("gcp")
    CloudAccount.objects.create(
        source=source, account_id="lab-7", default_pi=build.a_pi("bob@u.edu"), default_fund_org="BIO-007"
    )
    delivered(tmp_path, [a_row(**GOOGLE, x_Project=PROJECT, tags={})], "gcp_2025-01.csv", source)
    charge = Charge.objects.get()
    assert (charge.pi.email, charge.attributed_by) == ("bob@u.edu", "account")


TAG = pa.struct(
    [
        ("key", pa.string()),
        ("value", pa.string()),
        ("x_type", pa.string()),
        ("x_inherited", pa.bool_()),
        ("x_namespace", pa.string()),
    ]
)
PROJECT_TYPE = pa.struct(
    [
        ("id", pa.string()),
        ("number", pa.string()),
        ("name", pa.string()),
        ("ancestry_numbers", pa.string()),
        ("ancestors", pa.list_(pa.struct([("resource_name", pa.string()), ("display_name", pa.string())]))),
    ]
)


def a_tag(key, value, inherited=False):
    return {"key": key, "value": value, "x_type": "label", "x_inherited": inherited, "x_namespace": "n/a"}


def googles_view(tmp_path):
    """Write what Google's FOCUS view gives as BigQuery exports it to parquet."""
    utc = datetime.UTC
    project = {
        "id": "lab-7",
        "number": "999",
        "name": "Lab seven",
        "ancestry_numbers": "/1/",
        "ancestors": [{"resource_name": "organizations/1", "display_name": "u.edu"}],
    }
    own = [a_tag("pi_email", "ada@u.edu"), a_tag("fund_org", "BIO-001"), a_tag("project_id", "genomics")]
    size = 2
    table = pa.table(
        {
            "BilledCost": pa.array([Decimal("12.500000001"), Decimal("-0.5")], pa.decimal128(38, 9)),
            "BillingAccountId": ["01AB-CD"] * size,
            "BillingCurrency": ["USD"] * size,
            "BillingPeriodStart": pa.array([datetime.datetime(2025, 1, 1, 8, tzinfo=utc)] * size),
            "BillingPeriodEnd": pa.array([datetime.datetime(2025, 1, 31, 8, tzinfo=utc)] * size),
            "ChargeCategory": ["usage", "adjustment"],
            "ChargeClass": [None, "correction"],
            "ChargePeriodStart": pa.array([datetime.datetime(2025, 1, 5, 10, tzinfo=utc)] * size),
            "ChargePeriodEnd": pa.array([datetime.datetime(2025, 1, 5, 11, tzinfo=utc)] * size),
            "ListCost": pa.array([Decimal(20), None], pa.decimal128(38, 9)),
            "ServiceName": ["Compute Engine"] * size,
            "ResourceId": ["//compute.googleapis.com/projects/999/zones/a/instances/1", None],
            "SubAccountId": ["01AB-CD"] * size,
            "Tags": pa.array([own, []], pa.list_(TAG)),
            "x_Credits": pa.array([[{"Name": "SUD", "Amount": Decimal("-3")}], []]),
            "x_Project": pa.array([project, None], PROJECT_TYPE),
        }
    )
    path = tmp_path / "gcp_2025-01.parquet"
    pq.write_table(table, path)
    return path


@pytest.mark.parametrize("grain", [Source.Grain.LINE, Source.Grain.DAY])
def test_googles_view_as_bigquery_exports_it_is_read_whole(tmp_path, grain):
    source = build.a_source("gcp", grain=grain)
    result = ingest(paths=[googles_view(tmp_path)], actor=build.SOMEBODY, now=build.NOW)
    machine, correction = Charge.objects.filter(source=source).order_by("id")
    assert (machine.sub_account_id, machine.sub_account_name) == ("lab-7", "Lab seven")
    assert (machine.pi.email, machine.state, machine.charge_category) == ("ada@u.edu", "clear", "Usage")
    assert json.loads(machine.tags) == {"pi_email": "ada@u.edu", "fund_org": "BIO-001", "project_id": "genomics"}
    # BilledCost has the credits in it: what x_Credits repeats is never added.
    assert result.totals["USD"]["BilledCost"] == "12.000000001"
    assert (correction.charge_class, correction.sub_account_id, correction.state) == ("Correction", "01AB-CD", "held")
    assert correction.list_cost is None
    assert result.rules == {"cloud_project": 1, "pacific": 2, "period_last_day": 2}


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_label_of_the_resource_goes_before_the_one_of_its_project(tmp_path, kind):
    tags = [a_tag("pi_email", "boss@u.edu", inherited=True), a_tag("pi_email", "ada@u.edu"), a_tag("org", "x", True)]
    row = a_row(**GOOGLE, tags=json.dumps(tags))
    if kind == "csv":
        delivered(tmp_path, [row])
    else:
        table = pa.table({name: [value] for name, value in row.items()} | {"Tags": pa.array([tags], pa.list_(TAG))})
        path = tmp_path / "aws_2025-01.parquet"
        pq.write_table(table, path)
        build.a_source("aws")
        ingest(paths=[path], actor=build.SOMEBODY, now=build.NOW)
    charge = Charge.objects.get()
    assert charge.pi.email == "ada@u.edu"
    assert not charge.flags.filter(code="invalid_tags").exists()


def test_the_same_rows_of_google_as_csv_are_the_same_charges(tmp_path):
    source = build.a_source("gcp")
    ingest(paths=[googles_view(tmp_path)], actor=build.SOMEBODY, now=build.NOW)
    tags = [{"key": "pi_email", "value": "ada@u.edu"}, {"key": "fund_org", "value": "BIO-001"}]
    tags += [{"key": "project_id", "value": "genomics"}]
    common = {name: GOOGLE[name] for name in ("BillingAccountId", "SubAccountId", "ServiceName")} | PACIFIC
    common |= {"BillingCurrency": "USD", "ChargePeriodStart": "2025-01-05 10:00:00 UTC"}
    common |= {"ChargePeriodEnd": "2025-01-05 11:00:00 UTC"}
    rows = [
        common
        | {"BilledCost": "12.500000001", "ListCost": "20", "ChargeCategory": "usage", "Tags": json.dumps(tags)}
        | {"ResourceId": GOOGLE["ResourceId"], "x_Project": json.dumps({"id": "lab-7", "name": "Lab seven"})},
        common | {"BilledCost": "-0.5", "ChargeCategory": "adjustment", "ChargeClass": "correction"},
    ]
    again = delivered(tmp_path, rows, "gcp_2025-01.csv", source)
    assert (again.counts.unchanged, again.counts.new, again.counts.changed) == (2, 0, 0)


def test_a_project_with_a_nul_in_it_is_refused_with_its_line(tmp_path):
    with pytest.raises(ImportRefused) as caught:
        delivered(tmp_path, [a_row(**GOOGLE, x_Project="lab\0")])
    assert caught.value.errors[0]["column"] == "x_Project"

"""FOCUS as CSV: every header and every way to be broken."""

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.readers import UnreadableFile, csv_file, read_csv

HEADER = "BillingPeriodStart,ChargePeriodStart,BilledCost,ResourceName\n"
ROW = "2025-01-01,2025-01-01,1.00,vm\n"


def written(tmp_path, content):
    path = tmp_path / "some.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows_of(path, **options):
    rows = []
    for batch in read_csv(path, **options):
        names = list(batch.columns)
        for line, *values in zip(batch.lines, *map(batch.texts, names), strict=True):
            rows.append((line, dict(zip(names, values, strict=True))))
    return rows


def refusal(path, **options):
    with pytest.raises(UnreadableFile) as caught:
        rows_of(path, **options)
    return caught.value.problems[0]


@pytest.mark.parametrize(
    "content",
    [
        HEADER + ROW,
        "\ufeff" + HEADER + ROW,
        (HEADER + ROW).replace("\n", "\r\n"),
        (HEADER + ROW).rstrip("\n"),
        (HEADER + ROW).replace(",", ";"),
        (HEADER + ROW).replace(",", "\t"),
        HEADER.upper() + ROW,
        "ResourceName , BilledCost,ChargePeriodStart,BillingPeriodStart\nvm,1.00,2025-01-01,2025-01-01\n",
        "x_Extra,oci_Other," + HEADER + "1,2," + ROW,
    ],
)
def test_headers_come_in_any_case_order_and_dialect(tmp_path, content):
    ((line, row),) = rows_of(written(tmp_path, content))
    assert line == 2
    assert row == {
        "BillingPeriodStart": "2025-01-01",
        "ChargePeriodStart": "2025-01-01",
        "BilledCost": "1.00",
        "ResourceName": "vm",
    }


def test_older_names_are_understood_and_give_way_to_the_real_ones(tmp_path):
    header = HEADER.replace("ResourceName", "AmortizedCost,EffectiveCost,ChargeType")
    ((_, row),) = rows_of(written(tmp_path, header + ROW.replace("vm", "5,6,Usage")))
    assert (row["EffectiveCost"], row["ChargeCategory"]) == ("6", "Usage")


def test_the_successors_of_the_provider_are_taken_in_the_order_of_their_meaning(tmp_path):
    def provider_of(header, values):
        ((_, row),) = rows_of(written(tmp_path, header + HEADER + values + ROW))
        return row["ProviderName"]

    assert provider_of("HostProviderName,", "AWS,") == "AWS"
    assert provider_of("HostProviderName,ServiceProviderName,", "AWS,Acme,") == "Acme"
    assert provider_of("ServiceProviderName,HostProviderName,ProviderName,", "Acme,AWS,Old,") == "Old"


def test_the_preview_names_of_oracle_are_understood(tmp_path):
    header = (
        "BilledCost,BillingPeriodStart,ChargePeriodStart,ChargeSubcategory,InvoiceIssuer,Provider,Publisher,Region,"
        "UsageQuantity,UsageUnit,oci_AttributedCost\n"
    )
    values = "1.5,2024-08-01T00:00Z,2024-08-16T00:00Z,On-Demand,Oracle,Oracle Cloud,Oracle,us-ashburn-1,2,HOURS,99\n"
    ((_, row),) = rows_of(written(tmp_path, header + values))
    assert (row["ProviderName"], row["PublisherName"], row["RegionId"]) == ("Oracle Cloud", "Oracle", "us-ashburn-1")
    assert (row["ConsumedQuantity"], row["ConsumedUnit"], row["BilledCost"]) == ("2", "HOURS", "1.5")
    assert "99" not in row.values()


@pytest.mark.parametrize("twice", ["Region", "region ", "RegionId"])
def test_a_column_that_stands_there_twice_is_refused_under_every_name(tmp_path, twice):
    header = f"{twice},{twice}," + HEADER
    assert "twice" in refusal(written(tmp_path, header + "a,b," + ROW)).message


def test_lines_are_counted_through_newlines_in_quotes_and_blank_lines(tmp_path, monkeypatch):
    content = HEADER + ROW + '2025-01-01,2025-01-01,2.00,"two\nlines"\n' + "\n" + ROW
    assert [line for line, _ in rows_of(written(tmp_path, content))] == [2, 3, 6]
    monkeypatch.setattr(csv_file, "ROWS", 1)
    assert [line for line, _ in rows_of(written(tmp_path, content))] == [2, 3, 6]


def test_rows_taken_one_by_one_that_end_with_the_file_are_no_error(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_file, "ROWS", 2)
    assert len(rows_of(written(tmp_path, HEADER + ROW * 4 + "\n"))) == 4


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (HEADER, "no rows"),
        (b"PK\x03\x04rest", "zip"),
        (b"PAR1rest", "parquet"),
        (b"\x1f\x8brest", "gzip"),
        ("hello".encode("utf-16"), "UTF-16"),
        (b"\x00\x01\x02\x03" * 100, "not a CSV"),
        ("a,b,c\n1,2,3\n", "BillingPeriodStart, BilledCost, ChargePeriodStart"),
        (HEADER.replace("ResourceName", "billedcost") + ROW, "twice"),
    ],
)
def test_what_is_no_focus_csv_is_refused_by_what_it_is(tmp_path, content, says):
    assert says in refusal(written(tmp_path, content)).message


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (
            "identity/LineItemId,bill/PayerAccountId,lineItem/LineItemType,lineItem/UnblendedCost",
            "Cost and Usage Report",
        ),
        ("bill_payer_account_id,line_item_usage_account_id,line_item_unblended_cost", "Cost and Usage Report"),
        ("InvoiceID,PayerAccountId,LinkedAccountId,RecordType,UnBlendedCost", "detailed billing report"),
        ("BillingAccountId,MeterId,UnitPrice", "Azure cost details"),
        ("invoiceId,billingAccountId,meterId,costInBillingCurrency,costInUsd", "Azure cost details"),
        ("SubscriptionGuid,Date,MeterId,PreTaxCost,Currency", "Azure cost details"),
        ("SubscriptionGuid,MeterId,ConsumedQuantity,Cost", "Azure cost details"),
        ("MeterId,PartNumber,IncludedQuantity,UnitPrice", "price sheet"),
        ("lineItem/referenceNo,lineItem/tenantId,cost/myCost", "OCI"),
        ("lineItem/tenantId,lineItem/intervalUsageStart,usage/billedQuantity", "OCI"),
        ("billing_account_id,usage_start_time,cost_type", "Google"),
        ("billing_account_id,service.id,sku.id,usage.amount", "Google"),
        ("Billing account name,Billing account ID,Project ID,SKU ID,Cost type,Cost ($)", "console"),
    ],
)
def test_another_export_of_a_provider_is_refused_by_name(tmp_path, header, says):
    assert says in refusal(written(tmp_path, f"{header}\n1,2,3\n")).message


def test_a_period_from_elsewhere_makes_its_column_needless(tmp_path):
    path = written(tmp_path, "ChargePeriodStart,BilledCost\n2025-01-01,1\n")
    assert "BillingPeriodStart" in refusal(path).message
    assert len(rows_of(path, has_period=True)) == 1


def test_a_row_of_another_length_names_its_line(tmp_path):
    problem = refusal(written(tmp_path, HEADER + ROW * 3 + "2025-01-01,2025-01-01,1.00,a,b\n"))
    assert (problem.line, "5 fields where the header has 4" in problem.message) == (5, True)


def test_a_line_that_is_not_utf8_is_named(tmp_path):
    problem = refusal(written(tmp_path, (HEADER + ROW).encode() + "2025-01-01,2025-01-01,1,Zoë\n".encode("latin-1")))
    assert (problem.line, "0xEB" in problem.message) == (3, True)


def test_an_unclosed_quote_is_refused_and_swallows_nothing(tmp_path):
    problem = refusal(written(tmp_path, HEADER + ROW + '2025-01-01,2025-01-01,1,"open\n' + ROW * 3))
    assert "quote" in problem.message


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert "no such file" in refusal(tmp_path / "nowhere.csv").message
    assert "folder" in refusal(tmp_path).message


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=300), st.binary(max_size=200).map(lambda noise: (HEADER + ROW).encode() + noise)))
def test_noise_raises_the_named_error_or_is_read(tmp_path, noise):
    # Any other error, or none of the reader's own, breaks the test.
    with contextlib.suppress(UnreadableFile):
        rows_of(written(tmp_path, noise))

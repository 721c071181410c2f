"""Ids that a provider spells in several ways are one: no decision is lost, nothing is told twice."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import charging, review
from billing.importing.charge_hashes import content_hash_of, identity_hash_of
from billing.models import Charge, CloudAccount, Source
from billing.proof import coverage
from billing.proof.month import Month
from billing.readers.spelling import same_id, same_resource, same_tags
from tests import build
from tests.billing.deliveries import a_row, delivered

pytestmark = pytest.mark.django_db

GUID = "1a2b3c4d-0000-4000-8000-0123456789ab"
UPPER = f"/subscriptions/{GUID.upper()}/resourceGroups/RG-Tidal/providers/Microsoft.Compute/virtualMachines/VM-01"
LOWER = UPPER.lower()
ARN = "arn:aws:ec2:us-east-1:123:instance/I-1"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (UPPER, LOWER),
        (UPPER.replace("/subscriptions", "/Subscriptions"), LOWER),
        (f"{UPPER}/", LOWER),
        (GUID.upper(), GUID),
        (
            "/providers/Microsoft.Billing/billingAccounts/77:AB_2019",
            "/providers/microsoft.billing/billingaccounts/77:ab_2019",
        ),
    ],
)
def test_spellings_of_one_id(one, other):
    assert same_id(one) == same_id(other)


@pytest.mark.parametrize(
    "text",
    [
        ARN,
        "//compute.googleapis.com/projects/Lab-7/zones/a/instances/VM",
        "ocid1.instance.oc1.iad.AAA",
        "I-1",
        "",
        "s3://B/",
    ],
)
def test_other_providers_ids_are_compared_to_the_letter(text):
    assert same_id(text) == text


@given(st.text())
def test_the_form_of_a_form_is_itself(text):
    assert same_id(same_id(text)) == same_id(text)
    assert same_resource(*same_resource(text, UPPER)) == same_resource(text, UPPER)


def test_ids_in_tags_are_compared_without_case_and_other_values_are_not():
    assert same_tags('{"hidden-link:/Subscriptions/A":"R","x":"/subscriptions/B"}') == (
        '{"hidden-link:/subscriptions/a":"R","x":"/subscriptions/b"}'
    )
    assert same_tags('{"x":"s3://B/subscriptions/A"}') == '{"x":"s3://B/subscriptions/A"}'


def azure(mode=Source.ImportMode.SNAPSHOT, **fields):
    return build.a_source("azure", import_mode=mode, **fields)


def rows(resource=UPPER, **columns):
    return [a_row("12.50", ResourceId=resource, tags="{}", **columns), a_row("7.50", ResourceId="i-2", tags="{}")]


SPELLED = [
    {"ResourceId": LOWER},
    {"ResourceId": UPPER.replace("/subscriptions", "/Subscriptions")},
    {"ResourceId": f"{UPPER}/"},
    {"ResourceId": UPPER.replace("RG-Tidal", "rg-TIDAL")},
    {"ResourceName": "vm-01"},
    {"ResourceType": "microsoft.compute/virtualmachines"},
    {"RegionId": "EASTUS"},
    {"SubAccountId": GUID.upper()},
    {"BillingAccountId": "/providers/microsoft.billing/BILLINGACCOUNTS/7"},
    {"CommitmentDiscountId": "/providers/microsoft.capacity/reservationorders/R"},
    {"Tags": '{"hidden-link:/SUBSCRIPTIONS/A": "Resource"}'},
]


@pytest.mark.parametrize("spelled", SPELLED, ids=lambda each: next(iter(each)))
@pytest.mark.parametrize("mode", ["snapshot", "merge"])
def test_a_redelivery_in_another_spelling_changes_nothing(tmp_path, mode, spelled):
    row = a_row(
        "12.50",
        ResourceId=UPPER,
        ResourceName="VM-01",
        ResourceType="Microsoft.Compute/virtualMachines",
        RegionId="eastus",
        SubAccountId=GUID,
        BillingAccountId="/providers/Microsoft.Billing/billingAccounts/7",
        CommitmentDiscountId="/providers/Microsoft.Capacity/reservationOrders/R",
        tags='{"hidden-link:/subscriptions/A": "Resource"}',
    )
    delivered(tmp_path, [row], "azure_1.csv", azure(mode))
    charge = Charge.objects.get()
    by = {"actor": build.SOMEBODY, "now": build.NOW}
    reassignment = review.Reassignment(pi="ada@u.edu", project="genomics", fund_org="BIO-001")
    review.reattribute(charges=[charge.pk], reassignment=reassignment, approve=True, create=True, **by)

    result = delivered(tmp_path, [row | spelled], "azure_2.csv", azure(mode))
    assert (result.counts.new, result.counts.changed, result.counts.unchanged) == (0, 0, 1)
    kept = Charge.objects.live().get()
    assert (kept.pk, kept.state) == (charge.pk, "approved")
    # Charges keep the spelling that was delivered first.
    assert kept.resource_id == UPPER


@pytest.mark.parametrize("mode", ["snapshot", "merge"])
def test_resources_of_others_that_differ_in_case_stay_two(tmp_path, mode):
    source = build.a_source("aws", import_mode=mode)
    delivered(tmp_path, [a_row("5", ResourceId=ARN)], source=source)
    result = delivered(
        tmp_path, [a_row("5", ResourceId=ARN), a_row("5", ResourceId=ARN.lower())], "aws_2.csv", source=source
    )
    assert (result.counts.new, result.counts.unchanged) == (1, 1)


def test_a_changed_amount_in_another_spelling_is_a_change_of_the_same_charge(tmp_path):
    delivered(tmp_path, rows(), "azure_1.csv", azure())
    first = Charge.objects.get(resource__resource_id=UPPER)
    result = delivered(
        tmp_path,
        [a_row("13", ResourceId=LOWER, tags="{}"), rows()[1]],
        "azure_2.csv",
        azure(),
    )
    assert (result.counts.changed, result.counts.unchanged, result.counts.withdrawn) == (1, 1, 0)
    assert Charge.objects.live().get(replaces=first).billed_cost == 13


def test_an_invoice_id_that_is_filled_in_comes_with_another_spelling(tmp_path):
    delivered(tmp_path, rows(), "azure_1.csv", azure("merge"))
    result = delivered(tmp_path, rows(LOWER, InvoiceId="INV-7"), "azure_2.csv", azure("merge"))
    assert (result.counts.new, result.counts.changed, result.counts.unchanged) == (0, 1, 1)


def test_a_billing_account_in_another_spelling_is_not_missing(tmp_path):
    account = "/providers/Microsoft.Billing/billingAccounts/7"
    source = azure()
    both = [*rows(BillingAccountId=account), a_row("1", BillingAccountId="8", ResourceId="j")]
    delivered(tmp_path, both, "azure_1.csv", source)
    respelled = [*rows(LOWER, BillingAccountId=account.upper()), both[-1]]
    result = delivered(tmp_path, respelled, "azure_2.csv", source)
    assert (result.counts.unchanged, result.counts.withdrawn, result.warnings) == (3, 0, ())


def test_a_month_of_daily_spellings_states_each_resource_once(tmp_path):
    tags = {"pi_email": "ada@u.edu", "project_id": "genomics", "fund_org": "BIO-001"}
    days = [
        a_row("1", ResourceId=resource, ResourceName=name, tags=tags, ChargePeriodStart=f"2025-01-0{day}T00:00:00Z")
        for day, (resource, name) in enumerate([(UPPER, "VM-01"), (LOWER, "vm-01"), (f"{LOWER}/", "VM-01")], start=1)
    ]
    delivered(tmp_path, days, "azure_1.csv", azure("merge", debit_account="6540"))
    period = build.a_period("2025-01")
    lines = charging.compute(period)
    ((share,),) = charging.resources_of(period, lines).values()
    assert (share.name, share.resource_id, share.count, share.charged) == ("VM-01", UPPER, 3, Decimal("3.00"))


def test_a_source_kept_by_day_adds_one_resource_up_whatever_its_spelling(tmp_path):
    source = azure(grain=Source.Grain.DAY)
    hours = [
        a_row("1", ResourceId=resource, ChargePeriodStart=f"2025-01-05T0{hour}:00:00Z", ChargePeriodEnd="")
        for hour, resource in enumerate([UPPER, LOWER, f"{LOWER}/"])
    ]
    delivered(tmp_path, hours, "azure_1.csv", source)
    assert [(each.resource_id, each.row_count) for each in Charge.objects.live()] == [(UPPER, 3)]
    result = delivered(tmp_path, hours[::-1], "azure_2.csv", source)
    assert (result.counts.new, result.counts.unchanged) == (0, 1)


def test_an_account_that_is_only_spelled_otherwise_is_not_missed_in_the_next_month(tmp_path):
    build.a_charge(sub_account_id=GUID, period="2025-01")
    build.a_charge(sub_account_id=GUID.upper(), period="2025-02")
    found = coverage.uncharged(Month(build.a_period("2025-02")))
    assert [each for each in found if each.kind == "cloud account"] == []


def test_a_cloud_account_is_known_in_any_spelling(tmp_path):
    source = azure()
    CloudAccount.objects.create(source=source, account_id=f"/subscriptions/{GUID}", default_pi=build.a_pi("ada@u.edu"))
    delivered(tmp_path, rows(SubAccountId=f"/Subscriptions/{GUID.upper()}/"), "azure_1.csv", source)
    assert Charge.objects.live().get(resource__resource_id=UPPER).pi.email == "ada@u.edu"


def test_columns_of_a_charge_give_the_hashes_of_its_row(tmp_path):
    delivered(
        tmp_path, [a_row(ResourceId=UPPER, ResourceName="VM-01", SubAccountId=GUID.upper())], "azure_1.csv", azure()
    )
    charge = Charge.objects.select_related("period").get()
    assert content_hash_of(charge) == bytes(charge.content_hash)
    assert identity_hash_of(charge) == bytes(charge.identity_hash)

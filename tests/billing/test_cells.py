"""Texts and ids of an import: cleaned of what nobody sees, and empty where they say that there is nothing."""

from decimal import Decimal

import pytest

from billing.importing.outcomes import ImportRefused
from billing.models import Charge, Source
from billing.readers import columns
from tests import build
from tests.billing.deliveries import a_row
from tests.billing.test_columns import bring_in

pytestmark = [pytest.mark.django_db, pytest.mark.same_on_either]

EACH_WAY = [*(("line", form) for form in ("csv", "xlsx", "parquet")), ("day", "csv"), ("month", "parquet")]
each_way = pytest.mark.parametrize(("grain", "form"), EACH_WAY)

# As it comes, and as it is kept.
TEXTS = {
    "SubAccountId": ("12\u200b34", "1234"),
    "BillingAccountId": ("acct\u20131\ufeff", "acct-1"),
    "ResourceId": ("i\u2011１", "i-1"),
    "InvoiceId": ("INV\u00ad\u00a07", "INV 7"),
    "SkuId": ("caf\u0065\u200d\u0301", "caf\u00e9"),
    "ServiceName": ("Compute\u00a0Engine", "Compute Engine"),
    "ResourceName": ("A\nB", "A B"),
    "ChargeDescription": ("Fo\u0308rderung \u2013 2\u202e", "F\u00f6rderung \u2013 2"),
    "ChargeCategory": ("usage\u200b", "Usage"),
    "ProviderName": ("\u200bAWS\t", "AWS"),
}


@each_way
def test_texts_and_ids_of_an_import_are_cleaned(tmp_path, grain, form):
    row = a_row() | {column: written for column, (written, _) in TEXTS.items()}
    bring_in(tmp_path, [row], form=form, source=build.a_source("aws", grain=grain))
    charge = Charge.objects.get()
    assert {column: getattr(charge, columns.TEXTS[column]) for column in TEXTS} == {
        column: clean for column, (_, clean) in TEXTS.items()
    }


@pytest.mark.parametrize("grain", Source.Grain.values)
def test_a_snapshot_whose_ids_gained_what_nobody_sees_is_the_same(tmp_path, grain):
    source = build.a_source("aws", grain=grain)
    rows = [a_row("1", ResourceId=f"i-{number}", SubAccountId="1234", ServiceName="Gel Lab") for number in "123"]
    bring_in(tmp_path, rows, source=source)
    unseen = {"SubAccountId": "12\u200b34", "BillingAccountId": "acct-1\ufeff", "ServiceName": "Gel\u00a0Lab"}
    result = bring_in(tmp_path, [row | unseen for row in rows], source=source)
    assert (result.counts.new, result.counts.unchanged, result.counts.withdrawn) == (0, 3, 0)


# Words for nothing -------------------------------------------------------------------------------

IDS = (
    *("ResourceId", "InvoiceId", "SubAccountId", "BillingAccountId", "SkuId", "SkuPriceId", "CommitmentDiscountId"),
    columns.PROJECT,
)


@each_way
@pytest.mark.parametrize("word", ["N/A", "none", "-", "nan", "\u2014", "Unassigned", "'n/a"])
def test_an_id_that_says_there_is_none_is_empty(tmp_path, grain, form, word):
    bring_in(tmp_path, [a_row() | dict.fromkeys(IDS, word)], form=form, source=build.a_source("aws", grain=grain))
    charge = Charge.objects.get()
    assert {getattr(charge, columns.TEXTS[column]) for column in IDS if column != columns.PROJECT} == {""}


@pytest.mark.parametrize("grain", Source.Grain.values)
@pytest.mark.parametrize("word", ["N/A", "-"])
def test_rows_without_a_resource_are_no_changes_of_each_other_however_they_say_it(tmp_path, grain, word):
    source = build.a_source("aws", import_mode=Source.ImportMode.MERGE, grain=grain)
    bring_in(tmp_path, [a_row("5.00", ResourceId=word)], source=source)
    result = bring_in(tmp_path, [a_row("7.00", ResourceId=word)], source=source)
    assert (result.counts.new, result.counts.changed) == (1, 0)
    assert sum(charge.billed_cost for charge in Charge.objects.live()) == 12


def test_a_region_may_be_north_america_and_a_name_any_word(tmp_path):
    bring_in(tmp_path, [a_row(RegionId="NA", ResourceName="n/a")])
    charge = Charge.objects.get()
    assert (charge.region_id, charge.resource_name) == ("NA", "n/a")


def test_a_cloud_project_stands_in_for_a_sub_account_that_is_none(tmp_path):
    named, none = '{"id": "gel-1", "name": "Gels"}', '{"id": "none", "name": "Gels"}'
    rows = [a_row(SubAccountId="N/A", x_Project=named), a_row(ResourceId="i-2", SubAccountId="", x_Project=none)]
    result = bring_in(tmp_path, rows)
    found = Charge.objects.order_by("resource__resource_id").values_list(
        "account__sub_account_id", "account__sub_account_name"
    )
    assert list(found) == [("gel-1", "Gels"), ("", "")]
    assert result.rules == {"cloud_project": 1}


@each_way
def test_a_dash_for_an_amount_is_no_amount(tmp_path, grain, form):
    row = a_row("12.50", ListCost="-", ContractedCost=" - ", EffectiveCost="\u2013", ListUnitPrice="-")
    bring_in(tmp_path, [row], form=form, source=build.a_source("aws", grain=grain))
    charge = Charge.objects.get()
    assert (charge.billed_cost, charge.list_cost, charge.contracted_cost, charge.effective_cost) == (
        Decimal("12.5"),
        None,
        None,
        None,
    )
    assert not charge.list_unit_price


@pytest.mark.parametrize("grain", Source.Grain.values)
def test_a_dash_for_the_billed_cost_is_refused_by_line(tmp_path, grain):
    rows = [a_row("1"), a_row("-", ListCost="1")]
    with pytest.raises(ImportRefused, match="line 3, column BilledCost: BilledCost is empty"):
        bring_in(tmp_path, rows, source=build.a_source("aws", grain=grain))

"""AmountField: the same exact money on every database."""

import io
import json
from decimal import Decimal

import pytest
from django.core import management
from django.core.exceptions import FieldError, ValidationError
from django.db import connection
from django.db.models import Avg, Case, F, Q, When
from django.db.models.functions import Coalesce
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.fields import (
    MAX_UNITS,
    AmountOutOfRange,
    AmountSum,
    SumOfAmounts,
    from_units,
    sum_sql,
    to_units,
    units_of_sum,
)
from billing.models import Charge
from tests import build

pytestmark = pytest.mark.django_db


def test_an_amount_comes_back_to_its_last_digit():
    charge = build.a_charge("1234567890.12345678")
    assert Charge.objects.get(pk=charge.pk).billed_cost == Decimal("1234567890.12345678")


def test_a_sum_of_amounts_is_exact():
    for _ in range(3):
        build.a_charge("0.1")
    build.a_charge("90000000000.00000001")
    assert Charge.objects.aggregate(total=AmountSum("billed_cost"))["total"] == Decimal("90000000000.30000001")


def test_a_sum_is_exact_beyond_what_64_bits_hold():
    for _ in range(3):
        build.a_charge("92233720368.54775807")
    assert Charge.objects.aggregate(total=AmountSum("billed_cost"))["total"] == Decimal("276701161105.64327421")
    Charge.objects.update(billed_cost=Decimal("-92233720368.54775807"))
    assert Charge.objects.aggregate(total=AmountSum("billed_cost"))["total"] == Decimal("-276701161105.64327421")


@given(st.lists(st.integers(-MAX_UNITS, MAX_UNITS), min_size=1, max_size=8))
@settings(max_examples=200)
def test_sums_of_any_amounts_are_exact_and_sort_as_numbers_do(units):
    amounts = "SELECT * FROM (" + " UNION ALL ".join(f"SELECT {each} AS units" for each in units) + ") amounts"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {sum_sql('units', connection.vendor)} FROM ({amounts}) a")
        (found,) = cursor.fetchone()
    assert units_of_sum(found) == sum(units)
    field = SumOfAmounts()
    of = [from_units(sum(units)), from_units(units[0])]
    stored = [field.get_db_prep_value(each, connection) for each in of]
    assert (stored[0] < stored[1], stored[0] == stored[1]) == (of[0] < of[1], of[0] == of[1])
    assert [field.from_db_value(each, None, connection) for each in stored] == of


def test_large_sums_are_ordered_filtered_and_grouped_by_as_numbers():
    for service, amounts in {
        "more": ["90000000000"] * 3,
        "less": ["-90000000000"] * 3,
        "little": ["0.00000001"],
        "cent": ["0.01"],
        "much": ["60000000000", "60000000000.00000001"],
    }.items():
        for amount in amounts:
            build.a_charge(amount, service_name=service)
    by_service = Charge.objects.order_by().values_list("product__service_name").annotate(sum=AmountSum("billed_cost"))
    assert [name for name, _ in by_service.order_by("-sum")] == ["more", "much", "cent", "little", "less"]
    assert {name for name, _ in by_service.filter(sum__gt=Decimal("120000000000"))} == {"more", "much"}
    assert by_service.get(sum=Decimal("120000000000.00000001"))[0] == "much"


def test_a_sum_can_leave_rows_out_and_have_a_value_for_none():
    build.a_charge("60000000000", service_name="a")
    build.a_charge("60000000000", service_name="a")
    build.a_charge("5", service_name="b")
    found = Charge.objects.aggregate(
        some=AmountSum("billed_cost", filter=Q(product__service_name="a")),
        none=AmountSum("billed_cost", filter=Q(product__service_name="c")),
        zero=AmountSum("billed_cost", filter=Q(product__service_name="c"), default=Decimal(0)),
    )
    assert found == {"some": Decimal(120_000_000_000), "none": None, "zero": Decimal(0)}


def test_what_is_no_amount_is_not_added_up_as_one():
    build.a_charge("1")
    with pytest.raises(FieldError, match="no amount"):
        Charge.objects.aggregate(sum=AmountSum("row_count"))


def test_a_difference_of_two_columns_is_an_amount():
    build.a_charge("70", list_cost=Decimal("100.25"))
    row = Charge.objects.annotate(off=F("list_cost") - F("billed_cost")).get()
    assert row.off == Decimal("30.25")


def test_filters_compare_amounts_in_the_same_unit():
    build.a_charge("99.99999999")
    build.a_charge("100")
    assert Charge.objects.filter(billed_cost__gte=Decimal(100)).count() == 1


def test_case_and_coalesce_give_amounts():
    build.a_charge("5", list_cost=None)
    chosen = Case(When(Q(list_cost__isnull=True), then=F("billed_cost")), default=F("list_cost"))
    row = Charge.objects.annotate(chosen=chosen, either=Coalesce(F("list_cost"), F("billed_cost"))).get()
    assert (row.chosen, row.either) == (Decimal(5), Decimal(5))
    none = Charge.objects.none().aggregate(total=AmountSum("billed_cost", default=0))
    assert none["total"] == 0


def test_update_writes_amounts():
    charge = build.a_charge("1")
    Charge.objects.update(billed_cost=F("billed_cost") + F("list_cost"), effective_cost=Decimal("0.00000001"))
    charge.refresh_from_db()
    assert (charge.billed_cost, charge.effective_cost) == (Decimal(2), Decimal("0.00000001"))


def test_a_product_of_amounts_has_no_meaning():
    build.a_charge()
    with pytest.raises(FieldError):
        list(Charge.objects.annotate(wrong=F("billed_cost") * F("list_cost")))


def test_an_average_never_comes_back_as_a_float():
    build.a_charge("1")
    build.a_charge("2")
    try:
        average = Charge.objects.aggregate(average=Avg("billed_cost"))["average"]
    except TypeError:
        return
    assert average == Decimal("1.5")


def test_dumpdata_writes_amounts_as_text_that_loads_again():
    build.a_charge("3.00000001")
    out = io.StringIO()
    management.call_command("dumpdata", "billing.charge", stdout=out)
    assert json.loads(out.getvalue())[0]["fields"]["billed_cost"] == "3.00000001"


@pytest.mark.parametrize("wrong", ["0.000000001", "abc"])
def test_what_is_no_amount_is_refused(wrong):
    with pytest.raises((ValueError, ValidationError)):
        build.a_charge("1", list_cost=wrong)


def test_an_amount_beyond_64_bits_is_refused_by_name():
    with pytest.raises(AmountOutOfRange, match="92 billion"):
        to_units(Decimal("92233720368.54775808"))
    assert to_units(Decimal("-92233720368.54775807")) == -(2**63) + 1


def test_a_float_is_refused():
    with pytest.raises(TypeError):
        build.a_charge("1", list_cost=1.5)


def test_the_form_field_takes_what_the_column_holds():
    field = Charge._meta.get_field("billed_cost").formfield()
    assert field.clean("12.00000001") == Decimal("12.00000001")
    with pytest.raises(ValidationError):
        field.clean("12.000000001")

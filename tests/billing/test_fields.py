"""AmountField: the same exact money on every database."""

import io
import json
from decimal import Decimal

import pytest
from django.core import management
from django.core.exceptions import FieldError, ValidationError
from django.db.models import Avg, Case, F, Q, Sum, Value, When
from django.db.models.functions import Coalesce

from billing.fields import AmountField, AmountOutOfRange, to_units
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
    assert Charge.objects.aggregate(total=Sum("billed_cost"))["total"] == Decimal("90000000000.30000001")


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
    none = Charge.objects.none().aggregate(total=Coalesce(Sum("billed_cost"), Value(0, output_field=AmountField())))
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

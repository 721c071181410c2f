"""AmountField: exact money in the database of either vendor."""

from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Any

from django import forms
from django.core import checks, exceptions
from django.db import models
from django.db.models.expressions import Combinable, register_combinable_fields

PLACES = 8
UNITS_PER_ONE = 10**PLACES
MAX_UNITS = 2**63 - 1
UNIT = Decimal(1).scaleb(-PLACES)
# Files hold numbers of any precision; the default context would stop at 28 digits.
WIDE = Context(prec=100)


class AmountOutOfRange(ValueError):
    """An amount beyond what 64 bits hold: about ±92 billion."""


def to_units(amount: Decimal | int) -> int:
    """Return `amount` in units of 10⁻⁸.

    Raises ValueError for more than 8 decimals (round first: `money.to_amount`) and
    AmountOutOfRange beyond ±92,233,720,368.54775807.
    """
    if isinstance(amount, float):
        raise TypeError("An amount is a Decimal, never a float.")
    try:
        scaled = Decimal(amount).scaleb(PLACES)
        units = int(scaled)
    except (InvalidOperation, OverflowError, ValueError) as error:
        raise ValueError(f"{amount!r} is not an amount.") from error
    if units != scaled:
        raise ValueError(f"{amount} has more than {PLACES} decimals.")
    if abs(units) > MAX_UNITS:
        raise AmountOutOfRange(f"{amount} is beyond the ±92 billion an amount can hold.")
    return units


def from_units(units: int) -> Decimal:
    """Return the amount that `units` of 10⁻⁸ make."""
    return Decimal(units).scaleb(-PLACES)


class AmountField(models.Field):
    """An amount of money, exact to 8 decimals: a Decimal here, a 64-bit integer in the database.

    A subclass of Field on purpose: as a DecimalField, SQLite would make it a float; as a
    BigIntegerField, `F("a") - F("b")` would come back 10⁸ times too large and Avg would be wrong.
    """

    description = "Exact amount with 8 decimals"
    empty_strings_allowed = False
    default_error_messages = {"invalid": "“%(value)s” is not an amount."}

    def get_internal_type(self) -> str:
        return "AmountField"

    def db_type(self, connection: Any) -> str:
        return "bigint"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Decimal | None:
        if value is None:
            return None
        if isinstance(value, float):
            raise TypeError("The database made a float of an amount (Avg, division). Sum and count instead.")
        return Decimal(value).scaleb(-PLACES)

    def to_python(self, value: Any) -> Decimal | None:
        if value is None or isinstance(value, Decimal):
            return value
        if isinstance(value, float):
            raise exceptions.ValidationError("An amount is a Decimal, never a float.")
        try:
            return Decimal(value)
        except (InvalidOperation, TypeError, ValueError) as error:
            raise exceptions.ValidationError(
                self.error_messages["invalid"], code="invalid", params={"value": value}
            ) from error

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        if value is None or hasattr(value, "resolve_expression"):
            return value
        if isinstance(value, str):
            value = self.to_python(value)
        return to_units(value)

    def validate(self, value: Any, model_instance: Any) -> None:
        super().validate(value, model_instance)
        if value is not None:
            try:
                to_units(value)
            except (ValueError, AmountOutOfRange) as error:
                raise exceptions.ValidationError(str(error), code="invalid") from error

    def value_to_string(self, obj: Any) -> str:
        value = self.value_from_object(obj)
        return "" if value is None else format(value, "f")

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(
            **{"form_class": forms.DecimalField, "max_digits": 19, "decimal_places": PLACES, **kwargs}
        )

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        found = super().check(**kwargs)
        if self.has_default() and isinstance(self.default, float):
            found.append(checks.Error("The default of an amount is a float.", obj=self, id="billing.E001"))
        return found


# Adding and subtracting amounts gives an amount; a product of two has no meaning and stays an error.
for connector in (Combinable.ADD, Combinable.SUB):
    register_combinable_fields(AmountField, connector, AmountField, AmountField)


def half_even(amount: Decimal) -> Decimal:
    """Round to the 8 decimals of an AmountField, halves to even."""
    return amount.quantize(UNIT, rounding=ROUND_HALF_EVEN, context=WIDE)

"""Exact money in the database of either vendor: an amount of a row, and sums of any size."""

import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Any

from django import forms
from django.core import checks, exceptions
from django.db import models
from django.db.models.expressions import Combinable, register_combinable_fields
from django.utils.dateparse import parse_datetime

from .errors import BillingError
from .money import plain

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
SECOND = datetime.timedelta(seconds=1)

PLACES = 8
# No currency has more (ISO 4217).
TOTAL_PLACES = 4
MAX_UNITS = 2**63 - 1
MOST_DIGITS = 19
UNIT = Decimal(1).scaleb(-PLACES)
# Files hold numbers of any precision; the default context would stop at 28 digits.
WIDE = Context(prec=100)
LIMITS = {PLACES: "an amount is ±92 billion", TOTAL_PLACES: "a line or a total is ±922 trillion"}


class AmountOutOfRange(BillingError, ValueError):
    """An amount beyond what 64 bits hold: about ±92 billion of a row, ±922 trillion of a line or a total."""


def to_units(amount: Decimal | int, places: int = PLACES) -> int:
    """Return `amount` in units of 10⁻⁸, or of another power.

    Raises ValueError for more decimals than these (round first) and AmountOutOfRange beyond 64 bits, which
    is ±92,233,720,368.54775807 with 8 decimals and ±922,337,203,685,477.5807 with 4.
    """
    if isinstance(amount, float):
        raise TypeError("An amount is a Decimal, never a float.")
    try:
        scaled = Decimal(amount).scaleb(places, context=WIDE)
        # 1E900000 is short, the number written out is not.
        is_huge = scaled.is_finite() and bool(scaled) and scaled.adjusted() > MOST_DIGITS
        units = MAX_UNITS + 1 if is_huge else int(scaled)
    except (ArithmeticError, ValueError) as error:
        raise ValueError(f"{amount!r} is not an amount.") from error
    if abs(units) > MAX_UNITS:
        raise AmountOutOfRange(f"{amount} is more than can be stored: {LIMITS[places]} at the most.")
    if units != scaled:
        raise ValueError(f"{amount} has more than {places} decimals.")
    return units


def from_units(units: int) -> Decimal:
    """Return the amount that `units` of 10⁻⁸ make."""
    return Decimal(units).scaleb(-PLACES)


class _UnitsField(models.Field):
    """An amount of money, exact to some decimals: a Decimal here, a 64-bit integer in the database.

    A subclass of Field on purpose: as a DecimalField, SQLite would make it a float; as a
    BigIntegerField, `F("a") - F("b")` would come back 10⁸ times too large and Avg would be wrong.
    """

    places: int
    empty_strings_allowed = False
    default_error_messages = {"invalid": "“%(value)s” is not an amount."}

    def db_type(self, connection: object) -> str:
        return "bigint"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Decimal | None:
        if value is None:
            return None
        if isinstance(value, float):
            raise TypeError("The database made a float of an amount (Avg, division). Sum and count instead.")
        return Decimal(value).scaleb(-self.places)

    def to_python(self, value: object) -> Decimal | None:
        return _decimal_of(self, value)

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        if value is None or hasattr(value, "resolve_expression"):
            return value
        if isinstance(value, str):
            value = self.to_python(value)
        return to_units(value, self.places)

    def validate(self, value: Any, model_instance: Any) -> None:
        super().validate(value, model_instance)
        if value is not None:
            try:
                to_units(value, self.places)
            except ValueError as error:
                raise exceptions.ValidationError(str(error), code="invalid") from error

    def value_to_string(self, obj: Any) -> str:
        value = self.value_from_object(obj)
        return "" if value is None else format(value, "f")

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(
            **{"form_class": forms.DecimalField, "max_digits": 19, "decimal_places": self.places, **kwargs}
        )

    def check(self, **kwargs: object) -> list[checks.CheckMessage]:
        found = super().check(**kwargs)
        if self.has_default() and isinstance(self.default, float):
            found.append(checks.Error("The default of an amount is a float.", obj=self, id="billing.E001"))
        return found


def _decimal_of(field: "models.Field[Any, Any]", value: Any) -> Decimal | None:
    """Return a value of a field of amounts, as code, forms and fixtures give it."""
    if value is None or isinstance(value, Decimal):
        return value
    if isinstance(value, float):
        raise exceptions.ValidationError("An amount is a Decimal, never a float.")
    try:
        return Decimal(value)
    except (InvalidOperation, TypeError, ValueError) as error:
        raise exceptions.ValidationError(
            field.error_messages["invalid"], code="invalid", params={"value": value}
        ) from error


class AmountField(_UnitsField):
    """The amount of a row as it was delivered, exact to 8 decimals, up to ±92 billion."""

    description = "Exact amount with 8 decimals"
    places = PLACES


class TotalField(_UnitsField):
    """What many rows come to once it is in whole cents: of a payer, a statement, a journal. Up to ±922 trillion.

    No currency has more than 4 decimals. With these a line of a hundred billion dong has room, and the database
    still adds, compares and checks it as a 64-bit integer. In SQL it never meets an AmountField, whose unit is another.
    """

    description = "Exact amount with 4 decimals"
    places = TOTAL_PLACES


class ExactField(models.Field):
    """An exact sum of rows as delivered, of any size: a Decimal here, decimal text in the database.

    It is read, written and compared for equality; nothing is added up or ordered in SQL.
    """

    description = "Exact amount of any size"
    empty_strings_allowed = False
    default_error_messages = {"invalid": "“%(value)s” is not an amount."}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"max_length": 64, **options})

    def get_internal_type(self) -> str:
        return "CharField"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Decimal | None:
        return None if value is None else Decimal(value)

    def to_python(self, value: object) -> Decimal | None:
        return _decimal_of(self, value)

    def get_prep_value(self, value: object) -> Any:
        value = super().get_prep_value(value)
        if value is None or hasattr(value, "resolve_expression"):
            return value
        amount = self.to_python(value)
        return None if amount is None else plain(amount)

    def value_to_string(self, obj: Any) -> str:
        value = self.value_from_object(obj)
        return "" if value is None else format(value, "f")

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(
            **{
                "form_class": forms.DecimalField,
                "max_digits": 40,
                "decimal_places": PLACES,
                **kwargs,
            }
        )


class MomentField(models.Field):
    """A moment, to the second: an aware datetime here, whole seconds since 1970 in the database of either vendor.

    A text of SQLite takes 26 bytes where these take 4. Parts of a second are cut off.
    """

    description = "Moment, to the second"
    empty_strings_allowed = False
    default_error_messages = {"invalid": "“%(value)s” is not a moment."}

    def db_type(self, connection: Any) -> str:
        return "bigint"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> datetime.datetime | None:
        return None if value is None else moment_of(value)

    def to_python(self, value: Any) -> datetime.datetime | None:
        if value is None or isinstance(value, datetime.datetime):
            return value
        found = parse_datetime(value) if isinstance(value, str) else None
        if found is None:
            raise exceptions.ValidationError(self.error_messages["invalid"], code="invalid", params={"value": value})
        return found

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        if value is None or isinstance(value, int) or hasattr(value, "resolve_expression"):
            return value
        moment = self.to_python(value)
        return None if moment is None else seconds_of(moment)

    def value_to_string(self, obj: Any) -> str:
        value: Any = self.value_from_object(obj)
        return "" if value is None else str(value.isoformat())

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(**{"form_class": forms.DateTimeField, **kwargs})


def seconds_of(moment: datetime.datetime) -> int:
    """Return the whole seconds from 1970 to an aware moment. Raises ValueError for one without a zone."""
    if moment.tzinfo is None:
        raise ValueError("The moment has no time zone.")
    return (moment - EPOCH) // SECOND


def moment_of(seconds: int) -> datetime.datetime:
    """Return the moment so many seconds after 1970, in UTC."""
    return EPOCH + datetime.timedelta(seconds=seconds)


# Adding and subtracting amounts gives an amount; a product of two has no meaning and stays an error.
for connector in (Combinable.ADD, Combinable.SUB):
    for kind in (AmountField, TotalField):
        register_combinable_fields(kind, connector, kind, kind)


class SumOfAmounts(models.Field):
    """What amounts add up to: a Decimal of any size here, a decimal or a text that sorts as numbers do in the database.

    It is what `AmountSum` gives; no model has a column of it.
    """

    def __init__(self, places: int = PLACES, **options: Any) -> None:
        self.places = places
        super().__init__(**options)

    def db_type(self, connection: Any) -> str:
        return "text" if connection.vendor == "sqlite" else "numeric"

    def from_db_value(self, value: object, expression: object, connection: object) -> Decimal | None:
        units = units_of_sum(value)
        return None if units is None else Decimal(units).scaleb(-self.places, context=WIDE)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        if value is None or hasattr(value, "as_sql"):
            return value
        units = int(Decimal(value).scaleb(self.places, context=WIDE))
        return _as_text(units) if connection.vendor == "sqlite" else units


class AmountSum(models.Sum):
    """The exact sum of amounts, whatever it comes to.

    PostgreSQL adds 64-bit integers up to a decimal. SQLite refuses a sum beyond 64 bits, which two rows can reach:
    there the upper and the lower halves are added apart. Every sum of amounts in the program is this one.
    """

    name = "AmountSum"
    function = "SUM"
    # As a window SQLite would need both halves over it; nothing asks for that.
    window_compatible = False

    def _resolve_output_field(self) -> "models.Field[Any, Any]":
        field = super()._resolve_output_field()  # type: ignore[misc]
        if not isinstance(field, _UnitsField):
            raise exceptions.FieldError(f"{field} is no amount: AmountSum adds up nothing else.")
        return SumOfAmounts(field.places)

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, tuple[Any, ...]]:
        whole = self.copy()
        if self.filter is not None:
            (source,) = models.Func.get_source_expressions(self)
            whole.filter = None
            whole.set_source_expressions([models.Case(models.When(self.filter, then=source)), None])  # type: ignore[list-item]
        high, high_values = whole.as_sql(compiler, connection, template=HIGH_SUM)
        low, low_values = whole.as_sql(compiler, connection, template=LOW_SUM)
        return _together(high, low), (*high_values, *low_values, *low_values)


# The two halves of an amount on SQLite. A shift of a negative number rounds down, so that the lower one is never
# negative; each half can be added four billion times.
HALF_BITS = 32
HALF = 2**HALF_BITS - 1
HIGH_SUM = f"SUM((%(expressions)s) >> {HALF_BITS})"
LOW_SUM = f"SUM((%(expressions)s) & {HALF})"
# What makes all upper halves positive and of 19 digits, and all lower ones of 11: the texts sort as the numbers do.
ABOVE = 4 * 10**18
BESIDE = 10**10


def sum_sql(expression: str, vendor: str) -> str:
    """Return SQL for an exact sum of amounts in units, for statements written by hand; `units_of_sum` reads it.

    Sums compare with one another as they are: equal, less and greater.
    """
    if vendor != "sqlite":
        return f"sum({expression})"
    names = {"expressions": expression}
    return _together(HIGH_SUM % names, LOW_SUM % names)


class HalvesSum(models.Func):
    """The exact sum of amounts that are kept as two halves, in columns `name_high` and `name_low`.

    Halves add up by themselves, so that the database adds to such a column what it likes (see `in_halves`).
    """

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(*halves_of(name).values(), **{"output_field": SumOfAmounts(), **options})

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **extra: Any) -> tuple[str, tuple[Any, ...]]:
        (high, high_values), (low, low_values) = map(compiler.compile, self.get_source_expressions())
        return f"({high} * {HALF + 1} + {low})", (*high_values, *low_values)

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, tuple[Any, ...]]:
        (high, high_values), (low, low_values) = map(compiler.compile, self.get_source_expressions())
        return _together(high, low), (*high_values, *low_values, *low_values)


def halves_of(name: str) -> dict[str, models.Sum]:
    """Return the sums of both halves of an amount, by their columns; `of_halves` reads them."""
    return {column: models.Sum(column) for column in (f"{name}_high", f"{name}_low")}


def halves_sql(expression: str) -> str:
    """Return SQL for the two halves of an exact sum of amounts in units, as two columns; `of_halves` reads them."""
    names = {"expressions": expression}
    return f"{HIGH_SUM % names}, {LOW_SUM % names}"


def in_halves(units: int) -> tuple[int, int]:
    """Return units of any sum as an upper and a lower half, which are added up apart."""
    return units >> HALF_BITS, units & HALF


def of_halves(high: Any, low: Any) -> int:
    """Return the units that two halves come to, each added up as often as it may be."""
    return (int(high) << HALF_BITS) + int(low)


def units_of_sum(value: Any) -> int | None:
    """Return the units that an exact sum comes to, as `sum_sql` or AmountSum had it from the database."""
    if not isinstance(value, str):
        return None if value is None else int(value)
    return ((int(value[:19]) - ABOVE) << HALF_BITS) + int(value[19:]) - BESIDE


def _together(high: str, low: str) -> str:
    # The lower halves carry over; no rows at all are no sum (null).
    return f"(({high} + ({low} >> {HALF_BITS}) + {ABOVE}) || (({low} & {HALF}) + {BESIDE}))"


def _as_text(units: int) -> str:
    return f"{(units >> HALF_BITS) + ABOVE}{(units & HALF) + BESIDE}"


def half_even(amount: Decimal) -> Decimal:
    """Round to the 8 decimals of an AmountField, halves to even."""
    return amount.quantize(UNIT, rounding=ROUND_HALF_EVEN, context=WIDE)

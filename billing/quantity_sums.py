"""How much a charge is of, as FOCUS says it, and its exact sum in the database of either vendor."""

from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models import Case, F, Q, Value, When

from .models import PATHS
from .quantities import EXACT, plain

# What is priced and not used: it would count the usage that it is about a second time.
_NO_USAGE = ("Tax", "Credit", "Adjustment")
_CATEGORY = PATHS["charge_category"]


def _is_given(kind: str) -> Q:
    return ~Q(**{f"{kind}_quantity": ""}) & ~Q(**{PATHS[f"{kind}_unit"]: ""})


def _whens(consumed: str, pricing: str) -> tuple[When, When]:
    """Choose between what was consumed and what was priced.

    FOCUS 1.0: ConsumedQuantity is of charges whose ChargeCategory is Usage alone; PricingQuantity of Usage and
    Purchase, null for Tax. What it leaves to providers of credits and adjustments is money about usage, not usage.
    A commitment that is bought is none either: what it covers comes as Usage.
    """
    category, commitment = _CATEGORY, PATHS["commitment_discount_id"]
    of_usage = ~Q(**{f"{category}__in": (*_NO_USAGE, "Purchase")})
    of_purchase = Q(**{category: "Purchase", commitment: ""})
    return (
        When(of_usage & _is_given("consumed"), then=F(consumed)),
        When((of_usage | of_purchase) & _is_given("pricing"), then=F(pricing)),
    )


def used_unit() -> Case:
    """Return the unit of a charge's usage; empty where it has none."""
    return Case(
        *_whens(PATHS["consumed_unit"], PATHS["pricing_unit"]), default=Value(""), output_field=models.TextField()
    )


def used_quantity() -> Case:
    """Return the quantity of a charge's usage as decimal text; null where it has none."""
    return Case(*_whens("consumed_quantity", "pricing_quantity"), default=Value(None), output_field=models.TextField())


class Quantity(models.Field):
    """What quantities add up to: a Decimal of any size; no model has a column of it."""

    def db_type(self, connection: Any) -> str:
        return "text" if connection.vendor == "sqlite" else "numeric"

    def from_db_value(self, value: Any, expression: object, connection: object) -> Decimal | None:
        return None if value is None else Decimal(value)


class QuantitySum(models.Aggregate):
    """The exact sum of decimal texts; null where there are none."""

    name = "QuantitySum"
    function = "SUM"
    template = "%(function)s(CAST(%(expressions)s AS numeric))"
    output_field = Quantity()

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        # As a number of SQLite it would be a float.
        return self.as_sql(compiler, connection, function=_SQLITE_SUM, template="%(function)s(%(expressions)s)")


_SQLITE_SUM = "quantity_sum"


class _Adding:
    """A sum as SQLite calls it: each text as it comes, and added up at the end, which is a third quicker."""

    def __init__(self) -> None:
        texts: list[str | None] = []
        self.texts, self.step = texts, texts.append

    def finalize(self) -> str | None:
        total: Decimal | None = None
        for text in self.texts:
            if text is not None:
                total = Decimal(text) if total is None else EXACT.add(total, Decimal(text))
        return None if total is None else plain(total)


def add_to_sqlite(*, connection: Any, **_: Any) -> None:
    """Teach a new connection to SQLite the sum of decimal texts."""
    if connection.vendor == "sqlite":
        connection.connection.create_aggregate(_SQLITE_SUM, 1, _Adding)

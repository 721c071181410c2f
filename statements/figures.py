"""Amounts that belong together, and how documents write amounts and parts of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from billing.money import ZERO, Priced, written

SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£"}


@dataclass(frozen=True)
class Figures(Priced):
    """List price, price after the provider's discount, and what is charged; in whole cents of the currency."""

    list_cost: Decimal = ZERO
    contracted_cost: Decimal = ZERO
    charged: Decimal = ZERO

    @property
    def discount_percent(self) -> str:
        """The provider's discount as a part of the list price."""
        return percent(self.discount, self.list_cost)

    @property
    def subsidy_percent(self) -> str:
        """The subsidy as a part of the price after the discount: 100% means that nothing is charged."""
        return percent(self.subsidy, self.contracted_cost)

    def less(self, part: "Figures") -> "Figures":
        """Return what is left without a part of it."""
        return Figures(
            self.list_cost - part.list_cost, self.contracted_cost - part.contracted_cost, self.charged - part.charged
        )

    @classmethod
    def total(cls, parts: "Iterable[Figures]") -> "Figures":
        parts = list(parts)
        return cls(
            sum((part.list_cost for part in parts), ZERO),
            sum((part.contracted_cost for part in parts), ZERO),
            sum((part.charged for part in parts), ZERO),
        )


def money(amount: Decimal, currency: str) -> str:
    """Write an amount with separators and the decimals of its currency: `-1,234.50`, of yen `-1,234`.

    Nothing is rounded here: what has more decimals shows them.
    """
    return written(amount if amount else ZERO, currency)


def money_with_currency(amount: Decimal, currency: str) -> str:
    """Write an amount with its currency: `-$1,234.50`, `CHF 20.00`."""
    if symbol := SYMBOLS.get(currency):
        return f"{'-' if amount < 0 else ''}{symbol}{money(abs(amount), currency)}"
    return f"{currency} {money(amount, currency)}"


def percent(part: Decimal, whole: Decimal) -> str:
    """Write a part in percent of a whole, with a decimal where needed: `100%`, `12.5%`.

    Empty where there is no part, or no whole that it could be a part of. `100%` means all of it:
    99.96 is written as 99.9.
    """
    if not part or whole == 0 or (part < 0) != (whole < 0) or abs(part) > abs(whole):
        return ""
    if part == whole:
        return "100%"
    exact = part * 100 / whole
    rounded = exact.quantize(Decimal("0.1"), rounding=ROUND_HALF_UP)
    if rounded >= 100:
        rounded = exact.quantize(Decimal("0.1"), rounding=ROUND_DOWN)
    if not rounded:
        return "<0.1%"
    text = f"{rounded:f}"
    return f"{text.removesuffix('.0')}%"

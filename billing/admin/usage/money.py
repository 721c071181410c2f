"""A priced month in money: from the list price to what is billed, as figures that add up in sight."""

from decimal import Decimal

from ...fields import WIDE
from ...models import ImportTotal, PricedMonth
from ...money import ZERO, apportion, to_cents
from ...proof.adding_up import Part, Sight


def money_of(priced: PricedMonth) -> list[Sight]:
    """Return what a month was priced at, by currency: list price less discount, free amounts and subsidies is billed.

    The sums are those of its import. What nothing else explains was drawn from balances.
    """
    found: list[Sight] = []
    if priced.imported_id is None:
        return found
    for total in ImportTotal.objects.filter(imported_in=priced.imported_id, period=priced.period_id):
        listed, contracted, billed = total.list_stored, total.contracted_stored, total.billed_stored
        free, subsidies = (_drawn(priced, name) for name in ("free", "subsidy"))
        taken = WIDE.subtract(contracted, billed)
        exact = {
            "discount": ("Discount", WIDE.subtract(listed, contracted)),
            "free": ("Free", free),
            "subsidies": ("Subsidies", subsidies),
            "balances": ("From balances", WIDE.subtract(taken, WIDE.add(free, subsidies))),
        }
        found.append(_sight(total.currency, listed, billed, {code: each for code, each in exact.items() if each[1]}))
    return found


def _drawn(priced: PricedMonth, name: str) -> Decimal:
    return sum((Decimal(each["amount"]) for each in priced.drawn if name in each and "amount" in each), ZERO)


def _sight(currency: str, listed: Decimal, billed: Decimal, less: dict[str, tuple[str, Decimal]]) -> Sight:
    whole, rest = to_cents(listed, currency), to_cents(billed, currency)
    cents = apportion(whole - rest, {code: amount for code, (_, amount) in less.items()}, currency)
    parts = [Part("list", "List price", whole, listed)]
    parts += [Part(code, label, cents[code], amount, sign="−") for code, (label, amount) in less.items()]
    return Sight("price", currency, tuple(parts), (Part("billed", "Billed", rest, billed, sign="="),))

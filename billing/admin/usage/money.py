"""A priced month in money: from the list price to what is billed, as figures that add up in sight."""

from decimal import Decimal

from ...fields import WIDE
from ...models import ImportTotal, PricedMonth
from ...money import ZERO, apportion, to_cents
from ...proof.adding_up import Part, Sight

LABELS = {"discount": "Discount", "free": "Free", "subsidy": "Subsidies", "balances": "From balances"}
# What was taken off: the code of its figure, and its place in what was drawn, where it was.
Less = tuple[str, int | None]


def money_of(priced: PricedMonth) -> tuple[list[Sight], dict[int, Decimal]]:
    """Return what a month was priced at, by currency: list price less discount, free amounts and subsidies is billed.

    The sums are those of its import. What nothing else explains was drawn from balances. With it come the cents of
    each free amount and subsidy, by its place in what was drawn: they add up to the figures.
    """
    sights: list[Sight] = []
    each_cents: dict[int, Decimal] = {}
    totals = ImportTotal.objects.filter(imported_in=priced.imported_id or 0, period=priced.period_id)
    for total in totals:
        less = _less(priced, total)
        whole, rest = (to_cents(each, total.currency) for each in (total.list_stored, total.billed_stored))
        cents = apportion(whole - rest, less, total.currency)
        each_cents |= {place: amount for (_, place), amount in cents.items() if place is not None}
        parts = [Part("list", "List price", whole, total.list_stored)]
        for code, label in LABELS.items():
            keys = [key for key in less if key[0] == code]
            if keys:
                exact = sum((less[key] for key in keys), ZERO)
                parts.append(Part(code, label, sum((cents[key] for key in keys), ZERO), exact, sign="−"))
        billed = Part("billed", "Billed", rest, total.billed_stored, sign="=")
        sights.append(Sight("price", total.currency, tuple(parts), (billed,)))
    return sights, each_cents


def _less(priced: PricedMonth, total: ImportTotal) -> dict[Less, Decimal]:
    """Return what is between the list price and what is billed, exact, what comes to nothing left out."""
    less: dict[Less, Decimal] = {("discount", None): WIDE.subtract(total.list_stored, total.contracted_stored)}
    taken = WIDE.subtract(total.contracted_stored, total.billed_stored)
    for place, each in enumerate(priced.drawn):
        code = next((code for code in ("free", "subsidy") if code in each), "")
        if code and "amount" in each:
            less[code, place] = Decimal(each["amount"])
            taken = WIDE.subtract(taken, less[code, place])
    less["balances", None] = taken
    return {key: amount for key, amount in less.items() if amount}

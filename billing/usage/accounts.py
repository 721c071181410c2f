"""What became of a month's usage, as it is kept and told: units by rate, subsidies and balances, and the terms."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from ..money import plain, rounded
from ..quantities import counted, for_people
from .pricing.engine import Priced
from .pricing.exact import decimal
from .pricing.lines import FREE_AMOUNT, By, Notice
from .terms import Terms

# Digits of a quantity that is no decimal number, such as a third of an hour.
PLACES = Decimal("0.00000001")


def units_data(priced: Priced) -> list[dict[str, Any]]:
    """Return where the units of each rate went, as decimal texts: delivered = charged + free + held."""
    return [
        {
            "rate": each.rate,
            "unit": each.unit,
            "records": each.records,
            "delivered": text_of(each.counted),
            "charged": text_of(each.charged),
            "free": {reason: text_of(quantity) for reason, quantity in each.free.items()},
            "held": text_of(each.held),
            "difference": text_of(each.difference),
        }
        for each in priced.units
    ]


def text_of(quantity: Fraction) -> str:
    """Return a quantity as decimal text, to eight decimals."""
    exact = (Decimal(quantity.numerator) / Decimal(quantity.denominator)).quantize(PLACES)
    return plain_quantity(exact)


def plain_quantity(quantity: Decimal) -> str:
    """Write a quantity without zeros that say nothing."""
    text = format(quantity, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def units_line(units: Mapping[str, Any]) -> str:
    """Say where the units of a rate went: `cpu: 120 core-hours = 100 charged, 20 free (failed)`."""

    def said(text: str) -> str:
        return for_people(Decimal(text))

    free = "".join(f", {said(quantity)} {free_for(reason)}" for reason, quantity in sorted(units["free"].items()))
    held = f", {said(units['held'])} held" if Decimal(units["held"]) else ""
    delivered = counted(Decimal(units["delivered"]), units["unit"])
    line = f"{units['rate']}: {delivered} = {said(units['charged'])} charged{free}{held}"
    return line if not Decimal(units["difference"]) else f"{line}; {said(units['difference'])} is not accounted for"


def free_for(reason: str) -> str:
    """Say why use is free: `within the free amount`, or `free (node failed)`."""
    return "within the free amount" if reason == FREE_AMOUNT else f"free ({reason.replace('_', ' ')})"


def units_lines(units: Iterable[Mapping[str, Any]]) -> list[str]:
    """Say where the units of each rate went that any record fits."""
    return [units_line(each) for each in units if each["records"]]


def charges_by(rows: int, schedule: str) -> str:
    """Say how many charges a month came to: `1 charge by hpc v1.`"""
    return f"{rows:,} charge{'' if rows == 1 else 's'} by {schedule}."


def drawn_data(priced: Priced) -> list[dict[str, Any]]:
    """Return what was drawn from each balance, what each subsidy and free amount came to, and who had a subsidy."""
    drawn: list[dict[str, Any]] = [
        {"balance": each.code, "quantity": plain_quantity(each.drawn), "left": plain_quantity(each.left)}
        for each in priced.balances
    ]
    for each, amount in sorted(priced.reduced.items()):
        if each.by != By.DRAWDOWN:
            drawn.append(
                {
                    "subsidy" if each.by == By.SUBSIDY else "free": each.code,
                    "fund_org": each.fund_org,
                    "amount": plain(decimal(amount)),
                }
            )
    drawn += [
        {
            "granted": each.code,
            "owner": each.owner,
            "amount": plain(each.amount),
            "in_span": plain(each.in_span),
            "left": None if each.left is None else plain(each.left),
        }
        for each in sorted(priced.subsidies, key=lambda each: (each.code, each.owner))
    ]
    return drawn


def notices(priced: Priced, terms: Terms) -> list[str]:
    """Say which balances and caps came to 80 or 100 percent in this month."""
    return [_said(each, terms) for each in priced.notices]


def _said(notice: Notice, terms: Terms) -> str:
    what = "Balance" if notice.by == By.DRAWDOWN else "Subsidy"
    owner = f" of {notice.owner}" if notice.owner else ""
    if notice.unit:
        of = f"{for_people(notice.used)} of {counted(notice.of, notice.unit)}"
    else:
        of = f"{rounded(notice.used, terms.currency)} of {rounded(notice.of, terms.currency)} {terms.currency}"
    if notice.percent >= 100:
        return f"{what} {notice.code}{owner} is used up: {of}."
    return f"{what} {notice.code}{owner} is used to {notice.percent}%: {of}."

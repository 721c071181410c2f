"""What funds pay of a month's subsidies, exactly, by what its charges say: never by its payer lines."""

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal

from ..fields import AmountSum, from_units
from ..models import PATHS, Charge, Source
from ..models.dimensions import subsidy_fund_orgs
from ..models.month_totals import AMOUNTS, KEY, Priced
from ..money import EXACT, ZERO
from ..readers.subsidies import FORGONE
from .month import Month, Scope


@dataclass
class Subsidy:
    """What is contracted and not charged, in the institution's currency.

    `named` is what the fund/orgs pay that rows name. `of_all` is with what the source's own pays where rows name none.
    """

    named: Decimal = ZERO
    of_all: Decimal = ZERO


def subsidies_of(month: Month) -> dict[Scope, Subsidy]:
    """Return the subsidies of a month by source and currency delivered. What has no exchange rate is left out."""
    found: dict[Scope, Subsidy] = defaultdict(Subsidy)
    for (source_id, currency, period_id), amount in _whole(month).items():
        found[source_id, currency].of_all += _converted(month, amount, currency, period_id)
    for source_id, currency, period_id, fund_org, amount in _named(month):
        converted = _converted(month, amount, currency, period_id)
        if fund_org == FORGONE:
            found[source_id, currency].of_all -= converted
        else:
            found[source_id, currency].named += converted
    return found


def _whole(month: Month) -> dict[tuple[int, str, int], Decimal]:
    """Return contracted less charged of all that somebody pays, by source, currency and month delivered for."""
    priced: dict[tuple[int, str, int], Priced] = defaultdict(Priced)
    for group in month.groups:
        of = dict(zip(KEY, group.key, strict=True))
        if of["state"] not in Charge.CHARGEABLE:
            continue
        number, *units = group.sums
        source_id, period_id = of["source_id"], of["period_id"]
        priced[source_id, of["currency"], period_id].add(
            number,
            dict(zip(AMOUNTS, map(from_units, units), strict=True)),
            of["prices"],
            is_effective=month.charges_effective(source_id, period_id),
            is_internal=month.sources[source_id].kind == Source.Kind.INTERNAL,
        )
    return {scope: EXACT.subtract(each.contracted, each.charged) for scope, each in priced.items()}


def _named(month: Month) -> list[tuple[int, str, int, str, Decimal]]:
    """Return contracted less charged of what rows name a fund/org for, or say that it is forgone."""
    if not (named := subsidy_fund_orgs()):
        return []
    fund_org = PATHS["subsidy_fund_org"]
    charges = Charge.objects.in_month(month.period).chargeable().filter(product__in=list(named)).order_by()
    rows = (
        charges.with_prices(month.sources.values())
        .values_list("source_id", "currency", "period_id", fund_org)
        .annotate(contracted=AmountSum("exact_contracted"), charged=AmountSum("exact_charged"))
    )
    return [(*of, EXACT.subtract(contracted or ZERO, charged or ZERO)) for *of, contracted, charged in rows]


def _converted(month: Month, amount: Decimal, currency: str, period_id: int) -> Decimal:
    if currency == month.home:
        return amount
    return EXACT.multiply(amount, month.rates.get((period_id, currency), ZERO))

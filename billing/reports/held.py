"""What is held for review, by the fund/org it names: told exactly, in the institution's currency."""

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from ..models import ExchangeRate, Source
from ..money import EXACT, ZERO

# What an amount is of: fund/org, source and month (ids).
Place = tuple[str, int, int]


def held(totals: Any, currency: str, sources: Sequence[Source]) -> tuple[dict[Place, Decimal], list[str]]:
    """Return what is held of sources that are journaled, of these totals of months, and which rates are missing.

    `sources` are all there are, with their changes of measure. Amounts are exact; `trends.in_cents` rounds them.
    """
    priced = (
        totals.held()
        .filter(source__is_journaled=True)
        .priced("fund_org", "source_id", "charged_in_id", "currency", "period_id", sources=sources)
    )
    rates = {(each.period_id, each.currency): each.rate for each in ExchangeRate.objects.order_by()}
    found: dict[Place, Decimal] = defaultdict(lambda: ZERO)
    lacking = set()
    for (fund_org, source_id, charged_in, of, period_id), sums in priced.items():
        rate = Decimal(1) if of == currency else rates.get((period_id, of))
        if rate is None:
            lacking.add(of)
            continue
        place = (fund_org, source_id, charged_in)
        found[place] = EXACT.add(found[place], EXACT.multiply(sums.charged, rate))
    return found, [f"What is held in {of} has no exchange rate and is not counted." for of in sorted(lacking)]

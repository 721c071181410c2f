"""The totals that months must have, worked out from the charges row by row, in Python instead of SQL."""

from collections import Counter

from django.db import connection

from billing.fields import to_units
from billing.models import Charge, MonthTotal
from billing.models.month_totals import AMOUNTS, KEY
from billing.models.totalling import kept


def known_prices(charge: Charge) -> int:
    def is_unknown(price, charged):
        return price is None or (price == 0 and charged != 0)

    effective = charge.billed_cost if charge.effective_cost is None else charge.effective_cost
    conditions = (
        charge.effective_cost is not None,
        is_unknown(charge.list_cost, charge.billed_cost),
        is_unknown(charge.contracted_cost, charge.billed_cost),
        is_unknown(charge.list_cost, effective),
        is_unknown(charge.contracted_cost, effective),
    )
    return sum(2**place for place, holds in enumerate(conditions) if holds)


def of_charges() -> dict[tuple[object, ...], list[int]]:
    """Return what all live charges come to, by KEY."""
    found: dict[tuple[object, ...], list[int]] = {}
    for charge in Charge.objects.filter(withdrawn_in=None).select_related("product").iterator():
        key = tuple(known_prices(charge) if name == "prices" else getattr(charge, name) for name in KEY)
        sums = found.setdefault(key, [0] * (1 + len(AMOUNTS)))
        sums[0] += 1
        for place, name in enumerate(AMOUNTS, 1):
            sums[place] += to_units(getattr(charge, f"{name}_cost") or 0)
    return found


def of_months() -> dict[tuple[object, ...], list[int]]:
    """Return what is kept, over all months."""
    return kept(MonthTotal.objects.order_by().values_list("charged_in", flat=True).distinct())


def can_be_asked() -> bool:
    """Whether the test left a transaction that takes questions: one that the database refused something does not."""
    if connection.needs_rollback:
        return False
    if connection.vendor != "postgresql" or connection.connection is None:
        return True
    return connection.connection.info.transaction_status.name != "INERROR"


def require_kept() -> None:
    """Fail where what is kept is not what the charges come to, naming the keys."""
    said, found = of_months(), of_charges()
    wrong = {key for key in {*said, *found} if said.get(key) != found.get(key)}
    assert not wrong, {key: (said.get(key), found.get(key)) for key in wrong}


def rows_by_key() -> Counter[tuple[object, ...]]:
    return Counter(MonthTotal.objects.values_list(*KEY))

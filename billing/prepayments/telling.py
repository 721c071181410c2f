"""What a statement says of prepaid balances: what was bought, what a month drew, and what is left."""

from ..models import Allocation, BillingPeriod, Policy
from ..money import ZERO, named
from ..usage import grants
from ..usage.grants import Balance
from .buying import size_told

# It costs nothing any more, and what a line does not cost is in that column.
LISTED = " What it paid for is in the column Subsidy, for it is paid already."


def noted_on(period: BillingPeriod) -> dict[tuple[int | None, int | None], list[str]]:
    """Return a sentence on each prepaid balance that a month may draw from, by the ids of its PI and project.

    One of a PI has no project: it is for all statements of the PI.
    """
    currency = Policy.objects.current().currency
    found: dict[tuple[int | None, int | None], list[str]] = {}
    prepaid = Allocation.objects.filter(is_prepaid=True, valid_from__lte=period.month)
    allocations = list(prepaid.select_related("pi", "project__pi", "department", "feed").order_by("order", "code"))
    for balance in grants.balances(allocations).values():
        allocation = balance.allocation
        pi = allocation.pi or (allocation.project.pi if allocation.project else None)
        if pi and balance.paid and not balance.paid.waits and _concerns(balance, period):
            found.setdefault((pi.pk, allocation.project_id), []).append(_told(balance, period, currency))
    return found


def _concerns(balance: Balance, period: BillingPeriod) -> bool:
    allocation = balance.allocation
    is_over = allocation.valid_until is not None and allocation.valid_until < period.month
    return not is_over or any(each.period.month == period.month for each in balance.months)


def _told(balance: Balance, period: BillingPeriod, currency: str) -> str:
    allocation, paid = balance.allocation, balance.paid
    assert paid
    until = [each for each in balance.months if each.period.month <= period.month]
    now = sum((each.quantity for each in until if each.period.month == period.month), ZERO)
    drawn = sum((each.quantity for each in until), ZERO)
    bought, used, used_now, left = (
        size_told(allocation, each, currency)
        for each in (allocation.amount, drawn, now, max(balance.size - drawn, ZERO))
    )
    money = paid.purchased - paid.refunded - paid.expired - paid.worth(drawn)
    worth = f" ({named(money, currency)})" if allocation.unit else ""
    told = (
        f"Prepaid balance {allocation.code}: {bought} for {named(paid.purchased, currency)}. "
        f"Used in {period}: {used_now}; so far: {used}; left: {left}{worth}"
    )
    told += f"; refunded: {named(paid.refunded, currency)}" if paid.refunded else ""
    told += f"; expired: {named(paid.expired, currency)}" if paid.expired else ""
    return f"{told}.{LISTED if now else ''}"

"""What was paid before use: how much of it became recovery, was given back or expired, and what is left.

The money of a balance follows its units. What was drawn of them so far is worth its part of the price, rounded to cents
once. So the months of a balance come to its price, to the cent, in whatever order they are priced.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from django.db.models import Q

from .. import charging
from ..fields import AmountSum
from ..models import Allocation, Correction, CorrectionLine, PayerLine, Policy, PrepaidEntry
from ..money import ZERO, to_cents

Kind = PrepaidEntry.Kind
# What exact money and units are rounded to before anything else: parts of the price are seldom decimal numbers.
PLACES = Decimal("0.00000001")
MOVED = (PayerLine.Kind.PREPAID_USE, PayerLine.Kind.PREPAID_EXPIRED)
APPROVED = Q(correction__state=Correction.State.APPROVED)


@dataclass(frozen=True)
class Paid:
    """The money of a balance that was paid before, in cents: purchased = recognized + expired + refunded + left.

    `recognized` is what use moved to recovery. `waits` tells that the purchase is not approved: nothing is drawn yet.
    """

    allocation: Allocation
    purchased: Decimal
    refunded: Decimal = ZERO
    recognized: Decimal = ZERO
    expired: Decimal = ZERO
    waits: bool = False

    @property
    def left(self) -> Decimal:
        return self.purchased - self.refunded - self.recognized - self.expired

    def worth(self, drawn: Decimal) -> Decimal:
        """Return what so many units are worth, in cents; never more than was not given back and did not expire."""
        whole = self.allocation.amount
        if not whole:
            return ZERO
        part = min(Fraction(drawn) / Fraction(whole), Fraction(1)) * Fraction(self.allocation.worth)
        exact = (Decimal(part.numerator) / Decimal(part.denominator)).quantize(PLACES)
        return min(to_cents(exact, Policy.objects.current().currency), self.purchased - self.refunded - self.expired)

    @property
    def gone(self) -> Decimal:
        """How many units went with the money that was given back or expired."""
        given_back = self.refunded + self.expired
        if not given_back or not self.allocation.worth:
            return ZERO
        part = Fraction(given_back) / Fraction(self.allocation.worth) * Fraction(self.allocation.amount)
        return (Decimal(part.numerator) / Decimal(part.denominator)).quantize(PLACES)


def paid_of(allocations: Iterable[Allocation]) -> dict[int, Paid]:
    """Return the money of those allocations that were paid before, by their ids.

    One that was entered without a purchase here was charged elsewhere: its price is what was purchased.
    """
    prepaid = [each for each in allocations if each.is_prepaid]
    purchases = PrepaidEntry.objects.filter(allocation__in=prepaid, kind=Kind.PURCHASE).select_related("correction")
    bought = {entry.allocation_id: entry for entry in purchases}
    moved = _moved(prepaid)
    refunded = _refunded(bought.values())
    found = {}
    for each in prepaid:
        entry = bought.get(each.pk)
        stands = entry is None or entry.correction.state == Correction.State.APPROVED
        found[each.pk] = Paid(
            allocation=each,
            purchased=each.worth if stands else ZERO,
            refunded=refunded.get(each.pk, ZERO),
            recognized=moved[each.pk].get(PayerLine.Kind.PREPAID_USE, ZERO),
            expired=moved[each.pk].get(PayerLine.Kind.PREPAID_EXPIRED, ZERO),
            waits=not stands,
        )
    return found


def _moved(allocations: list[Allocation]) -> dict[int, dict[str, Decimal]]:
    """Return what use and expiry moved to recovery, by allocation and kind of line."""
    found: dict[int, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    path = "correction__prepaid_entry__allocation"
    rows = CorrectionLine.objects.filter(APPROVED, kind__in=MOVED, **{f"{path}__in": allocations}).order_by()
    for allocation, kind, amount in rows.values_list(path, "kind").annotate(sum=AmountSum("amount")):
        found[allocation][kind] += amount
    return found


def recognized_by_source(allocation: Allocation) -> dict[int, Decimal]:
    """Return what use of a balance moved to the recovery of each source (id)."""
    lines = CorrectionLine.objects.filter(
        APPROVED, correction__prepaid_entry__allocation=allocation, kind=PayerLine.Kind.PREPAID_USE
    )
    return dict(lines.order_by().values_list("source").annotate(sum=AmountSum("amount")))


def _refunded(purchases: Iterable[PrepaidEntry]) -> dict[int, Decimal]:
    """Return what of purchases was given back, by allocation: refunds of their lines, and reversals."""
    found: dict[int, Decimal] = defaultdict(Decimal)
    keys = {(entry.correction.charged_in_id, key): entry for entry in purchases for key in keys_of(entry)}
    of_lines = CorrectionLine.objects.filter(
        APPROVED,
        kind=PayerLine.Kind.REFUND,
        corrects_period__in={period for period, _ in keys},
        corrects_key__in={key for _, key in keys},
    )
    rows = of_lines.order_by().values_list("corrects_period", "corrects_key").annotate(sum=AmountSum("amount"))
    for period, key, amount in rows:
        if entry := keys.get((period, key)):
            found[entry.allocation_id] -= amount
    reversed_ = {entry.correction_id: entry for entry in keys.values()}
    reversals = CorrectionLine.objects.filter(APPROVED, correction__reverses__in=list(reversed_)).order_by()
    for number, amount in reversals.values_list("correction__reverses").annotate(sum=AmountSum("amount")):
        found[reversed_[number].allocation_id] -= amount
    return found


def keys_of(purchase: PrepaidEntry) -> list[str]:
    """Return the keys of the payer lines that a purchase makes."""
    lines = purchase.correction.lines.select_related("pi", "project", "source", "customer", "correction__for_period")
    return [charging.key_of_correction(line) for line in lines]


def purchase_of(period_id: int, key: str) -> PrepaidEntry | None:
    """Return the purchase that makes a payer line of a month, None where it is none of a purchase."""
    for entry in PrepaidEntry.objects.filter(kind=Kind.PURCHASE, correction__charged_in=period_id):
        if key in keys_of(entry):
            return entry
    return None

"""How much of a payer line can be corrected."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from .. import charging
from ..currencies import minor_units
from ..errors import BillingError, NextStep
from ..models import BillingPeriod, Correction, CorrectionLine, PayerLine, Policy, PrepaidEntry
from ..money import ZERO, is_whole, plain
from ..usage import grants, prepaid
from .finding import lines_with_owners, told


class NotCorrectable(BillingError):
    """A payer line cannot be corrected in this way."""


class AmountRefused(BillingError):
    """An amount is not in whole cents, or more than is left of what was charged."""


@dataclass(frozen=True)
class Correctable:
    """A payer line, and what is left to be corrected of it."""

    line: PayerLine
    taken: Decimal

    @property
    def left(self) -> Decimal:
        return self.line.charged - self.taken


def correctable(lines: Iterable[PayerLine]) -> list[Correctable]:
    """Return payer lines with what corrections reversed of them already."""
    taken = Taken()
    return [Correctable(line, taken.of(line.period_id, line.key)) for line in lines]


def taken_back_too_much(period: BillingPeriod) -> list[str]:
    """Say which lines of a month corrections take more back of than they charge: of a reopened month, say."""
    taken_back = CorrectionLine.objects.taken_back(period)
    lines = {line.key: line for line in lines_with_owners().filter(period=period, key__in=taken_back)}
    found = []
    for key, taken in sorted(taken_back.items()):
        line = lines.get(key)
        charged = line.charged if line else ZERO
        if not _is_part(taken, charged):
            corrections = CorrectionLine.objects.filter(corrects_period=period, corrects_key=key)
            numbers = sorted(set(corrections.values_list("correction", flat=True)))
            what = told(line) if line else f"A line of {period}"
            home = Policy.objects.current().currency
            found.append(
                f"{what} charges {plain(charged, home)}, and corrections took back {plain(taken, home)} of it "
                f"({', '.join(f'correction {number}' for number in numbers)}). Reverse what is too much."
            )
    return found


class Taken:
    """What standing corrections reversed of payer lines, looked up once for each month."""

    def __init__(self) -> None:
        self.months: dict[int, dict[str, Decimal]] = {}

    def of(self, period_id: int, key: str) -> Decimal:
        if period_id not in self.months:
            self.months[period_id] = CorrectionLine.objects.taken_back(BillingPeriod(pk=period_id))
        return self.months[period_id].get(key, ZERO)


def _is_part(taken: Decimal, charged: Decimal) -> bool:
    """Tell whether so much can be reversed of what was charged, which may be a credit."""
    return 0 <= taken <= charged or charged <= taken <= 0


def require_correctable(each: Correctable, *, kind: Correction.Kind, charged_in: BillingPeriod) -> None:
    """Raise NotCorrectable for a payer line that a correction of this kind cannot be about."""
    line = each.line
    if line.kind not in PayerLine.CHARGED or line.pi is None:
        raise NotCorrectable(f"{told(line)} is the center's own cost: no PI was charged that could be relieved.")
    if kind != Correction.Kind.TRANSFER and line.charged <= 0:
        raise NotCorrectable(f"{told(line)} is {plain(line.charged, line.currency)}: there is nothing to give back.")
    if line.kind in PayerLine.ENTERED and line.period_id == charged_in.pk:
        raise NotCorrectable(
            f"{told(line)} was itself entered in {line.period}, which is still open: reverse that correction, and "
            "enter it as it should be.",
            then=NextStep("show_corrections", {"period": line.period.iso_month}),
        )


def require_cents(amount: Decimal, currency: str) -> None:
    """Raise AmountRefused for an amount that is not in whole cents, or what its currency has."""
    if not amount.is_finite():
        raise AmountRefused(f"{amount} is not an amount.")
    if not is_whole(amount, currency):
        raise AmountRefused(
            f"{plain(amount, currency)} has too many decimals: {currency} has {minor_units(currency) or 'none'}."
        )


def require_part(each: Correctable, amount: Decimal) -> None:
    """Raise AmountRefused for more than what is left of a line, or what has not its sign."""
    line = each.line
    require_cents(amount, line.currency)
    if not amount or (amount < 0) != (line.charged < 0):
        raise AmountRefused(
            f"{told(line)} is {plain(line.charged, line.currency)}: correct an amount of the same sign."
        )
    if abs(amount) > abs(each.left) or (each.left < 0) != (line.charged < 0):
        taken = f", of which corrections took back {plain(each.taken, line.currency)} already" if each.taken else ""
        raise AmountRefused(
            f"{told(line)} charged {plain(line.charged, line.currency)}{taken}: {plain(each.left, line.currency)} is "
            f"left, and {plain(amount, line.currency)} is more."
        )


def require_unused(line: PayerLine, amount: Decimal) -> None:
    """Raise AmountRefused where a refund would give back what was used of a balance that a payer line bought."""
    entry = prepaid.purchase_of(line.period_id, line.key)
    if entry and amount > (unused := grants.unused(entry.allocation)):
        raise AmountRefused(
            f"{told(line)} bought the balance {entry.allocation}, of which {plain(unused, line.currency)} is not used. "
            f"A refund of {plain(amount, line.currency)} is more."
        )


def require_reversible(correction: Correction) -> None:
    """Raise NotCorrectable for the money of a balance that a reversal would have counted twice, or after its use."""
    if correction.kind == Correction.Kind.PREPAID:
        raise NotCorrectable(
            f"{str(correction).capitalize()} follows from what was used of a balance. Correct the usage; the "
            "difference is recognized when its month closes."
        )
    reversed_purchase = PrepaidEntry.objects.filter(correction=correction.reverses_id).first()
    if reversed_purchase:
        raise NotCorrectable(f"The purchase of {reversed_purchase.allocation} was reversed. Record another purchase.")
    entry = PrepaidEntry.objects.filter(correction=correction).first()
    if entry and grants.unused(entry.allocation) < correction.amount:
        raise NotCorrectable(f"The balance {entry.allocation} is used already. Refund what is left of it.")


def require_charged(lines: Iterable[CorrectionLine], beside: Iterable[CorrectionLine] = ()) -> None:
    """Raise AmountRefused where corrections, those `beside` included, take back more than payer lines charged."""
    more: dict[tuple[int, str], Decimal] = defaultdict(Decimal)
    for line in beside:
        if line.corrects_period_id:
            more[line.corrects_period_id, line.corrects_key] -= line.amount
    taken = Taken()
    for period_id, key in sorted({(line.corrects_period_id, line.corrects_key) for line in lines if line.corrects_key}):
        assert period_id
        corrected = lines_with_owners().filter(period=period_id, key=key).first()
        charged = corrected.charged if corrected else ZERO
        total = taken.of(period_id, key) + more[period_id, key]
        if not _is_part(total, charged):
            what = told(corrected) if corrected else "A line it corrects"
            home = Policy.objects.current().currency
            raise AmountRefused(
                f"{what} charges {plain(charged, home)} now, and corrections would reverse {plain(total, home)} of it."
            )


def require_untouched(line: CorrectionLine, correction: Correction) -> None:
    """Raise NotCorrectable where what a correction charged somebody was corrected by another since."""
    key = charging.key_of_correction(line)
    corrections = CorrectionLine.objects.filter(corrects_period=correction.charged_in_id, corrects_key=key)
    later = (
        corrections.exclude(correction__state=Correction.State.REJECTED)
        .select_related("correction")
        .order_by("-correction")
        .first()
    )
    if later and CorrectionLine.objects.taken_back(correction.charged_in).get(key):
        raise NotCorrectable(
            f"What {correction} charged to {line.paid_by} was corrected since, "
            f"by {later.correction}: reverse that first."
        )

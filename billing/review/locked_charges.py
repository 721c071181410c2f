"""The charges of a selection, locked against whoever else decides about them."""

import datetime
from collections import defaultdict
from collections.abc import Iterable

from django.db.models import QuerySet

from ..clocks import Clocks
from ..errors import BillingError, NextStep
from ..models import BillingPeriod, Charge
from ..months import closing
from .batches import batches

# What decisions change of a charge; the rest is fact.
DECIDED_FIELDS = (
    "state",
    "pi_id",
    "project_id",
    "fund_org",
    "payer_split_id",
    "cost_center",
    "natural_account",
    "shared_as",
    "attributed_by",
)
NEEDED_FIELDS = (
    *(name.removesuffix("_id") for name in DECIDED_FIELDS),
    "imported_in",
    "file_number",
    "line_number",
    "withdrawn_in",
    "charged_in",
    "source",
    "is_late",
    "product",
    "charge_period_start",
    "charge_period_end",
)


class UnknownCharge(BillingError):
    """A charge was named that does not exist."""


class ChargesChanged(BillingError):
    """Charges changed between the look and the write."""


class LockedCharges:
    """The charges that may be decided about, by id, and why the others may not.

    1. The periods are locked against their close, where they take changes at all.
    2. The charges are locked in the order of their ids: of two who decide about the same, one waits.
    3. Those of a closed month, those that a later import replaced, and those that a late change reversed in another
       month are left out.
    4. What was found is kept: only what is still as found is written.
    """

    def __init__(self, charges: "QuerySet[Charge] | Iterable[int]") -> None:
        self.charges: dict[int, Charge] = {}
        self.why_skipped: dict[int, str] = {}
        self.clocks = Clocks()
        self._found: dict[int, tuple[object, ...]] = {}
        ids = _ids_of(charges)
        periods = _periods_of(ids)
        self.months: dict[int, datetime.date] = {period.pk: period.month for period in periods.values()}
        closing.require_open(*(period for period in periods.values() if period.takes_changes))
        for batch in batches(ids):
            chosen_now = Charge.objects.filter(pk__in=batch).order_by("pk").only(*NEEDED_FIELDS)
            self.charges.update({charge.pk: charge for charge in chosen_now.select_for_update(no_key=True)})
        if unknown := [pk for pk in ids if pk not in self.charges]:
            named = ", ".join(str(pk) for pk in unknown[:10]) + (", …" if len(unknown) > 10 else "")
            raise UnknownCharge(f"There is no charge {named}.", then=NextStep("review_queue"))
        late = _reversed(ids)
        for charge in list(self.charges.values()):
            if why := _why_fixed(charge, periods[charge.charged_in_id], late.get(charge.pk)):
                self.skip(charge, why)
                del self.charges[charge.pk]
            else:
                self._found[charge.pk] = decided_values(charge)

    def skip(self, charge: Charge, why: str) -> str:
        """Note why a charge is left as it is; return the reason."""
        self.why_skipped[charge.pk] = why
        return why

    def save(self, ids: Iterable[int]) -> None:
        """Write the same change of many charges as one statement, only where they are still as found."""
        alike: dict[tuple[str, tuple[tuple[str, object], ...]], list[int]] = defaultdict(list)
        for pk in dict.fromkeys(ids):
            was, now = self._found[pk], decided_values(self.charges[pk])
            changes = tuple((name, new) for name, old, new in zip(DECIDED_FIELDS, was, now, strict=True) if old != new)
            if changes:
                alike[str(was[0]), changes].append(pk)
        for (state, changes), ids in alike.items():
            for batch in batches(ids):
                written = Charge.objects.live().filter(pk__in=batch, state=state).update(**dict(changes))
                if written != len(batch):
                    raise ChargesChanged("Some of these charges changed meanwhile. Look at them again, then decide.")


def decided_values(charge: Charge) -> tuple[object, ...]:
    """Return what decisions change of a charge, in the order of DECIDED_FIELDS."""
    return tuple(getattr(charge, name) for name in DECIDED_FIELDS)


def _ids_of(charges: "QuerySet[Charge] | Iterable[int]") -> list[int]:
    if isinstance(charges, QuerySet):
        return sorted(set(charges.order_by().values_list("pk", flat=True)))
    return sorted(set(charges))


def _periods_of(ids: list[int]) -> dict[int, BillingPeriod]:
    months = {
        month
        for batch in batches(ids)
        for month in Charge.objects.filter(pk__in=batch).order_by().values_list("charged_in", flat=True).distinct()
    }
    return BillingPeriod.objects.in_bulk(months)


def _reversed(ids: list[int]) -> dict[int, BillingPeriod]:
    """Return the month in which a late change reversed each of these charges, of those that any did."""
    found: dict[int, BillingPeriod] = {}
    for batch in batches(ids):
        reversals = Charge.objects.live().filter(reverses__in=batch).select_related("charged_in")
        found |= {charge.reverses_id: charge.charged_in for charge in reversals if charge.reverses_id}
    return found


def _why_fixed(charge: Charge, period: BillingPeriod, reversed_in: BillingPeriod | None) -> str:
    """Say why nobody may decide about a charge any more, if so."""
    if not period.takes_changes:
        return f"period {period} is {period.get_status_display().lower()}"
    if charge.withdrawn_in_id:
        return "withdrawn: a later import replaced it"
    if reversed_in is not None and reversed_in.pk != period.pk:
        # Decided here, it could be charged to one payer and reversed for another.
        return f"a late change reversed it in {reversed_in}: decide about what it charges there"
    return ""
